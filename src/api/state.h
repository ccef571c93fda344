/* api/state: the API's way of changing the state, over the control thread. */
#pragma once
#include "api/api.h"

struct rf_ctl;

/* begin, touch, commit, abort and reload of `c`, which outlives it. */
struct rf_api_state rf_api_state_of(struct rf_ctl *c);
