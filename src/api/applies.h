/* api/applies: changes that wait to be confirmed, and what they keep others from. */
#pragma once
#include "api/call.h"

/* While changes wait to be confirmed the configuration is theirs: RF_E_CONFLICT, with a Retry-After, for a request that would write to
 * it. What protects the fleet at once (states of devices, access rules, attacks, certificates) and tokens are not held up. */
int rf_applies_admit(struct rf_api_call *c);

/* Into the status: which changes wait to be confirmed, and for how long. */
bool rf_applies_status(struct rf_api_call *c, json_t *status);

/* Around the parts of a batch that is to be confirmed: before the first; after the last, within the transaction; after the commit, with
 * the apply as a JSON object. */
int rf_applies_before(struct rf_api_call *c);
int rf_applies_after(struct rf_api_call *c, unsigned seconds, char id[33]);
json_t *rf_applies_made(struct rf_api_call *c, const char *id);
