/* pki/pem: bundles of certificates, and what a certificate is for. */
#pragma once
#include <openssl/x509.h>
#include "base/buf.h"
#include "base/err.h"

#define RF_PEM_CERTS_MAX 64
#define RF_PEM_BYTES_MAX (1 << 20)

/* Every certificate of a PEM text, in its order. At least one and at most RF_PEM_CERTS_MAX, each of at
 * most RF_CERT_DER_MAX bytes; a text that also holds a private key is refused, so that none is stored
 * or shown by mistake. Free with sk_X509_pop_free(list, X509_free). */
int rf_pem_certs(struct rf_str text, STACK_OF(X509) **ret, struct rf_err *e);

/* One certificate, PEM or DER. */
int rf_pem_cert(struct rf_str text, X509 **ret, struct rf_err *e);

/* May it sign certificates: basicConstraints with CA true, and keyUsage, where present, with keyCertSign.
 * A version 1 certificate is never a CA here. */
bool rf_x509_is_ca(X509 *x);

/* RF_E_CERT unless `key` is the private half of the certificate's key. */
int rf_x509_match(X509 *x, const EVP_PKEY *key, struct rf_err *e);

/* Append as PEM. RF_E_NOMEM when there is no room. */
int rf_pem_add(struct rf_buf *to, X509 *x);
/* Append DER bytes as a PEM block: "CERTIFICATE", "X509 CRL", ... */
void rf_pem_wrap(struct rf_buf *to, const char *label, struct rf_str der);
