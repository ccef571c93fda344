/* api/lists: bulk changes of lists, which are done when they are answered, and remembered for who asks later. */
#pragma once
#include "api/call.h"

/* Remember a completed operation and make its id the result. */
int rf_operation_done(struct rf_api_call *c);
