/* pki/ca_own: the inside of struct rf_ca, for pki/ca and pki/issue only. */
#pragma once
#include "pki/ca.h"
#include "pki/ossl.h"

struct rf_ca {
	X509 *root, *cert;
	EVP_PKEY *key;
	EVP_PKEY *root_key; /* only while opening */
	char base_url[RF_CA_URL_MAX]; /* without a slash at its end; "": certificates carry no URLs */
};

/* notAfter in seconds since 1970; 0 (long over) when it cannot be read. */
int64_t rf_x509_end(const X509 *x);
