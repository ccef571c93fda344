/* pki/x509: building certificates; used by the CA only. */
#pragma once
#include "pki/ossl.h"

/* version 3, random serial, public key, validity in seconds since 1970; NULL with e filled on failure. */
X509 *rf_x509_new(EVP_PKEY *public, int64_t not_before, int64_t not_after, struct rf_err *e);

/* Append an attribute (NID_commonName, ...) as UTF8String. */
bool rf_name_add(X509_NAME *name, int nid, struct rf_str value);

/* Add an extension in libcrypto's notation: (NID_basic_constraints, "critical,CA:TRUE,pathlen:0"). `issuer` is
 * the signer, x itself when self-signed. */
int rf_x509_ext(X509 *x, X509 *issuer, int nid, const char *value, struct rf_err *e);

/* The digest that fits the key: SHA-384 for P-384, none for Edwards curves, else SHA-256. */
const EVP_MD *rf_key_digest(const EVP_PKEY *key);

int rf_x509_sign(X509 *x, EVP_PKEY *key, struct rf_err *e);
