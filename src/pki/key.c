/* pki/key: see key.h.
 *
 * Load: URI? pki/pkcs11 : file -> mode checked -> bounded read -> PEM. Every buffer that held a
 * private key is wiped on its way out.
 *
 * Not here: encrypted PEM files; whoever wants a key protected at rest uses a token.
 */
#include "pki/key.h"
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include "pki/file.h"
#include "pki/ossl.h"
#include "pki/pkcs11.h"

int rf_key_new(EVP_PKEY **ret, struct rf_err *e)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	if (!key)
		return rf_ossl_fail(e, RF_E_CRYPTO, "cannot generate a P-256 key");
	*ret = key;
	return RF_OK;
}

bool rf_key_is_uri(const char *where)
{
	return rf_str_starts(rf_str_z(where), RF_STR("pkcs11:"));
}

int rf_key_parse(struct rf_str pem, EVP_PKEY **ret, struct rf_err *e)
{
	if (pem.n > RF_KEY_FILE_MAX)
		return rf_fail(e, RF_E_TOO_LARGE, "a private key is at most %d bytes of PEM", RF_KEY_FILE_MAX);
	RF_OWN(BIO) *bio = rf_ossl_bio(pem);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, rf_ossl_no_passphrase, NULL) : NULL;
	if (!key)
		return rf_ossl_fail(e, RF_E_SYNTAX, "no unencrypted private key in PEM form found");
	*ret = key;
	return RF_OK;
}

int rf_key_load(const char *where, EVP_PKEY **ret, struct rf_err *e)
{
	if (rf_key_is_uri(where))
		return rf_pkcs11_key(where, ret, e);
	RF_SECRET_AUTO pem = { 0 };
	int rc = rf_file_get(where, RF_KEY_FILE_MAX, true, &pem, e);
	if (rc == RF_OK)
		rc = rf_key_parse(rf_buf_str(&pem), ret, e);
	if (rc == RF_E_SYNTAX)
		return rf_fail(e, rc, "%s: no unencrypted private key in PEM form found", where);
	return rc;
}

int rf_key_pem(const EVP_PKEY *key, struct rf_buf *to, struct rf_err *e)
{
	char *p = NULL;
	RF_OWN(BIO) *bio = BIO_new(BIO_s_secmem());
	if (!bio || !PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL))
		return rf_ossl_fail(e, RF_E_CRYPTO, "cannot write the key as PEM");
	long n = BIO_get_mem_data(bio, &p);
	char *room = rf_buf_room(to, (size_t)n);
	if (room) {
		memcpy(room, p, (size_t)n);
		to->n += (size_t)n;
	}
	OPENSSL_cleanse(p, (size_t)n);
	return room ? RF_OK : rf_fail(e, RF_E_NOMEM, "no memory for the key");
}

int rf_key_save(const EVP_PKEY *key, const char *path, struct rf_err *e)
{
	RF_SECRET_AUTO pem = { 0 };
	int rc = rf_key_pem(key, &pem, e);
	return rc == RF_OK ? rf_file_put(path, 0600, rf_buf_str(&pem), e) : rc;
}

/* Curves are accepted by name only: explicit parameters let a peer choose its own curve [RFC 5480 2.1.1]. */
static int ec_allowed(const EVP_PKEY *key, struct rf_err *e)
{
	char group[64] = "", coding[32] = "";
	EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group, NULL);
	EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_EC_ENCODING, coding, sizeof coding, NULL);
	ERR_clear_error(); /* a parameter that is not there is no error here */
	if (strcmp(coding, OSSL_PKEY_EC_ENCODING_GROUP) != 0)
		return rf_fail(e, RF_E_CERT,
			       "the curve is given by explicit parameters: use a named curve, P-256 or P-384");
	if (strcmp(group, "prime256v1") != 0 && strcmp(group, "secp384r1") != 0)
		return rf_fail(e, RF_E_CERT, "the curve %s is not allowed: use P-256 or P-384",
			       group[0] ? group : "?");
	return RF_OK;
}

int rf_key_allowed(const EVP_PKEY *key, struct rf_err *e)
{
	int bits = EVP_PKEY_get_bits(key);
	switch (EVP_PKEY_get_base_id(key)) {
	case EVP_PKEY_EC:
		return ec_allowed(key, e);
	case EVP_PKEY_RSA:
		if (bits < RF_KEY_RSA_MIN || bits > RF_KEY_RSA_MAX)
			return rf_fail(e, RF_E_CERT,
				       "an RSA key of %d bits is not allowed: use %d to %d bits, or P-256",
				       bits, RF_KEY_RSA_MIN, RF_KEY_RSA_MAX);
		return RF_OK;
	default:
		return rf_fail(e, RF_E_CERT, "this kind of key is not allowed: use EC P-256, P-384 or RSA");
	}
}
