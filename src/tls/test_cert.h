/* tls/test_cert: certificates that sign themselves, for servers of tests. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <openssl/x509v3.h>
#include "pki/pem.h"
#include "tls/keypair.h"

#define DAY 86400

/* A self-signed certificate for a server of this name. */
static inline struct rf_keypair *self_signed(const char *name, long days_left)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	char san[128];
	snprintf(san, sizeof san, "DNS:%s", name);
	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -10L * DAY);
	X509_gmtime_adj(X509_getm_notAfter(x), days_left * DAY);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	X509_set_pubkey(x, key);
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san);
	X509_add_ext(x, ext, -1);
	X509_EXTENSION_free(ext);
	ext = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "CA:TRUE");
	X509_add_ext(x, ext, -1);
	X509_EXTENSION_free(ext);
	X509_sign(x, key, EVP_sha256());
	RF_BUF_AUTO cert = { 0 };
	rf_pem_add(&cert, x);
	BIO *bio = BIO_new(BIO_s_mem());
	PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
	char *p;
	long n = BIO_get_mem_data(bio, &p);
	struct rf_keypair *k = NULL;
	struct rf_err e;
	assert_int_equal(rf_keypair_from_pem(rf_buf_str(&cert), (struct rf_str){ p, (size_t)n }, &k, &e), RF_OK);
	BIO_free(bio);
	X509_free(x);
	EVP_PKEY_free(key);
	return k;
}
