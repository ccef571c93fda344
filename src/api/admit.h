/* api/admit: what the transport asks of the API besides the answer to a request. */
#pragma once
#include "api/api.h"

/* Would the request be allowed, whatever its body? RF_OK, or an error with *ret filled. Does not count the request. */
int rf_api_admit(struct rf_api *a, const struct rf_api_request *q, struct rf_api_answer *ret);

/* "Not Found"; "Error" for a status without words here. */
const char *rf_status_words(int status);
