/* api/apps: what apps of hosts and of ports have in common. */
#pragma once
#include "api/call.h"

/* RF_OK when the document's `origin_ca` can be read and its `origin_certificate_id` is a certificate of the zone. */
int rf_origin_tls_check(struct rf_api_call *c, const json_t *doc);
