/* api/clients: certificates of our device CA and credentials, which several resources make. All in a transaction. */
#pragma once
#include "api/call.h"
#include "pki/cert.h"

/* Keep an issued certificate as an object; the caller frees *ret. */
int rf_client_keep(struct rf_api_call *c, const struct rf_cert *cert, const char *zone_id, const char *device_id,
		   const char *csr, int64_t days, struct rf_object *ret);
/* Bind what the document (a Credential) names to a device. Findings are below `at`. */
int rf_credential_add(struct rf_api_call *c, const char *device_id, json_t *doc, const char *at, struct rf_object *ret);
/* Bind the key of a certificate (its SKI) to a device. Bound to the same device already is fine. */
int rf_credential_bind_cert(struct rf_api_call *c, const char *device_id, const struct rf_cert *cert);
