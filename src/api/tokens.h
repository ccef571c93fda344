/* api/tokens: what auth and the handlers of tokens share. */
#pragma once
#include "api/call.h"
#include "pki/token.h"

/* Seconds since 1970, since this process began; 0: never. */
int64_t rf_auth_last_used(struct rf_api *a, const char *token_id);
void rf_auth_forget(struct rf_api *a, const char *token_id);
/* "active", "disabled" or "expired" at this second. */
const char *rf_auth_token_status(const json_t *doc, int64_t now);
/* May the caller do that there? zone "": in all of the account. */
bool rf_auth_may(struct rf_api_call *c, const char *noun, bool write, const char *account, const char *zone);
