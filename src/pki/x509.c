/* pki/x509: see x509.h. */
#include "pki/x509.h"
#include <openssl/rand.h>

/* 128 random bits, first octet not zero, so that the text has 32 digits always [RFC 5280 4.1.2.2]. */
static bool random_serial(ASN1_INTEGER *to)
{
	unsigned char b[16];
	do {
		if (RAND_bytes(b, sizeof b) != 1)
			return false;
	} while (b[0] == 0);
	RF_OWN(BIGNUM) *n = BN_bin2bn(b, sizeof b, NULL);
	return n && BN_to_ASN1_INTEGER(n, to);
}

X509 *rf_x509_new(EVP_PKEY *public, int64_t not_before, int64_t not_after, struct rf_err *e)
{
	RF_OWN(X509) *x = X509_new();
	if (x && X509_set_version(x, X509_VERSION_3) && random_serial(X509_get_serialNumber(x)) &&
	    X509_set_pubkey(x, public) && rf_ossl_time(X509_getm_notBefore(x), not_before) &&
	    rf_ossl_time(X509_getm_notAfter(x), not_after))
		return RF_TAKE(x);
	rf_ossl_fail(e, RF_E_CRYPTO, "cannot build a certificate");
	return NULL;
}

bool rf_name_add(X509_NAME *name, int nid, struct rf_str value)
{
	return X509_NAME_add_entry_by_NID(name, nid, MBSTRING_UTF8, (const unsigned char *)value.p,
					  (int)value.n, -1, 0);
}

int rf_x509_ext(X509 *x, X509 *issuer, int nid, const char *value, struct rf_err *e)
{
	X509V3_CTX ctx;
	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	X509V3_set_ctx_nodb(&ctx);
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	bool added = ext && X509_add_ext(x, ext, -1);
	X509_EXTENSION_free(ext);
	return added ? RF_OK : rf_ossl_fail(e, RF_E_CRYPTO, "cannot add an extension");
}

const EVP_MD *rf_key_digest(const EVP_PKEY *key)
{
	switch (EVP_PKEY_get_base_id(key)) {
	case EVP_PKEY_ED25519:
	case EVP_PKEY_ED448:
		return NULL;
	case EVP_PKEY_EC:
		return EVP_PKEY_get_bits(key) > 256 ? EVP_sha384() : EVP_sha256();
	default:
		return EVP_sha256();
	}
}

int rf_x509_sign(X509 *x, EVP_PKEY *key, struct rf_err *e)
{
	return X509_sign(x, key, rf_key_digest(key))
		       ? RF_OK
		       : rf_ossl_fail(e, RF_E_CRYPTO, "cannot sign the certificate");
}
