/* pki/ossl: what every file here needs of libcrypto: owned locals, and its errors in our words. */
#pragma once
#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include "base/err.h"

#define RF_OSSL_AUTO(type, free) \
	static inline void rf_auto_##type(type **p) { free(*p); }
RF_OSSL_AUTO(X509, X509_free)
RF_OSSL_AUTO(X509_REQ, X509_REQ_free)
RF_OSSL_AUTO(X509_NAME, X509_NAME_free)
RF_OSSL_AUTO(X509_ALGOR, X509_ALGOR_free)
RF_OSSL_AUTO(EVP_PKEY, EVP_PKEY_free)
RF_OSSL_AUTO(ASN1_TYPE, ASN1_TYPE_free)
RF_OSSL_AUTO(ASN1_INTEGER, ASN1_INTEGER_free)
RF_OSSL_AUTO(ASN1_BIT_STRING, ASN1_BIT_STRING_free)
RF_OSSL_AUTO(BIGNUM, BN_free)
RF_OSSL_AUTO(BIO, BIO_free_all)
RF_OSSL_AUTO(GENERAL_NAMES, GENERAL_NAMES_free)
#undef RF_OSSL_AUTO
/* An owned local of libcrypto: RF_OWN(X509) *x = NULL; */
#define RF_OWN(type) __attribute__((cleanup(rf_auto_##type))) type

#define RF_TAKE(p) ({ __typeof__(p) rf_taken_ = (p); (p) = NULL; rf_taken_; })

/* rf_fail with the newest reason of libcrypto's error queue appended; empties the queue. */
int rf_ossl_fail(struct rf_err *e, int code, const char *what);

/* A passphrase callback that has none: without it libcrypto asks on the terminal, at the wish of whoever wrote
 * the PEM. */
int rf_ossl_no_passphrase(char *buf, int size, int rw, void *ctx);

/* A read-only memory BIO over s; NULL without memory or when s is larger than INT_MAX. */
BIO *rf_ossl_bio(struct rf_str s);

/* Set t to `epoch` seconds since 1970, UTCTime before 2050 [RFC 5280 4.1.2.5]. */
bool rf_ossl_time(ASN1_TIME *t, int64_t epoch);
