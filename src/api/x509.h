/* api/x509: certificates that operators upload: read, checked, and described as documented. */
#pragma once
#include "api/call.h"
#include "pki/cert.h"
#include "pki/pem.h"

/* The certificates of a PEM text; on error the finding points at `pointer`. Free with rf_x509_free. */
int rf_x509_read(struct rf_api_call *c, const char *pem, const char *pointer, STACK_OF(X509) **ret);
void rf_x509_free(STACK_OF(X509) *list);
/* RF_OK when `pem` is the private key of the certificate. */
int rf_x509_check_key(struct rf_api_call *c, X509 *x, const char *pem, const char *pointer);

/* Set issuer, serial_number (decimal), signature, ski, fingerprint, expires_on in the document. */
int rf_x509_describe(struct rf_api_call *c, X509 *x, json_t *doc);
/* DNS names and addresses that it is good for. NULL without memory. */
json_t *rf_x509_hosts(struct rf_api_call *c, X509 *x);
const char *rf_x509_signature(const X509 *x);

/* The document of a certificate that our CA issued, as RF_KIND_CLIENT_CERT keeps it: certificate, serial_number, ski,
 * issuer_ski, fingerprint_sha256, times, subject, status "active"; and zone_id, device_id, csr, validity_days as given ("" and 0:
 * left out). The object's name is its serial_number. NULL without memory. */
json_t *rf_client_cert_doc(const struct rf_cert *cert, const struct rf_ca *ca, const char *zone_id, const char *device_id,
			   const char *csr, int64_t validity_days);
