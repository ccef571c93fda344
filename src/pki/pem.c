/* pki/pem: see pem.h. */
#include "pki/pem.h"
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include "base/enc.h"
#include "pki/cert.h"
#include "pki/ossl.h"

static int check_size(X509 *x, struct rf_err *e)
{
	int n = i2d_X509(x, NULL);
	if (n <= 0 || n > RF_CERT_DER_MAX)
		return rf_fail(e, RF_E_TOO_LARGE, "a certificate is larger than %d bytes", RF_CERT_DER_MAX);
	return RF_OK;
}

static int read_all(BIO *bio, STACK_OF(X509) *list, struct rf_err *e)
{
	for (;;) {
		RF_OWN(X509) *x = PEM_read_bio_X509(bio, NULL, rf_ossl_no_passphrase, NULL);
		if (!x)
			break;
		int rc = check_size(x, e);
		if (rc != RF_OK)
			return rc;
		if (sk_X509_num(list) == RF_PEM_CERTS_MAX)
			return rf_fail(e, RF_E_TOO_LARGE, "more than %d certificates", RF_PEM_CERTS_MAX);
		if (!sk_X509_push(list, x))
			return rf_fail(e, RF_E_NOMEM, "no memory for the certificates");
		x = NULL;
	}
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		return rf_ossl_fail(e, RF_E_SYNTAX, "a certificate of the bundle cannot be read");
	ERR_clear_error();
	if (sk_X509_num(list) == 0)
		return rf_fail(e, RF_E_MISSING, "no certificate in PEM form found");
	return RF_OK;
}

int rf_pem_certs(struct rf_str text, STACK_OF(X509) **ret, struct rf_err *e)
{
	if (text.n > RF_PEM_BYTES_MAX)
		return rf_fail(e, RF_E_TOO_LARGE, "a bundle is at most %d bytes", RF_PEM_BYTES_MAX);
	if (rf_str_search(text, RF_STR("PRIVATE KEY-----")) < text.n)
		return rf_fail(e, RF_E_INVALID, "the bundle holds a private key: leave it out");
	RF_OWN(BIO) *bio = rf_ossl_bio(text);
	STACK_OF(X509) *list = sk_X509_new_null();
	int rc = bio && list ? read_all(bio, list, e) : rf_fail(e, RF_E_NOMEM, "no memory for the certificates");
	if (rc == RF_OK)
		*ret = list;
	else
		sk_X509_pop_free(list, X509_free);
	return rc;
}

int rf_pem_cert(struct rf_str text, X509 **ret, struct rf_err *e)
{
	const unsigned char *p = (const unsigned char *)text.p;
	if (text.n > RF_PEM_BYTES_MAX)
		return rf_fail(e, RF_E_TOO_LARGE, "a certificate is at most %d bytes", RF_CERT_DER_MAX);
	if (text.n && text.p[0] == 0x30) {
		RF_OWN(X509) *x = d2i_X509(NULL, &p, (long)text.n);
		if (!x || p != (const unsigned char *)text.p + text.n)
			return rf_ossl_fail(e, RF_E_SYNTAX, "the DER certificate cannot be read");
		int rc = check_size(x, e);
		if (rc == RF_OK)
			*ret = RF_TAKE(x);
		return rc;
	}
	STACK_OF(X509) *list = NULL;
	int rc = rf_pem_certs(text, &list, e);
	if (rc != RF_OK)
		return rc;
	if (sk_X509_num(list) == 1)
		*ret = sk_X509_pop(list);
	else
		rc = rf_fail(e, RF_E_INVALID, "one certificate expected, not %d", sk_X509_num(list));
	sk_X509_pop_free(list, X509_free);
	return rc;
}

bool rf_x509_is_ca(X509 *x)
{
	uint32_t flags = X509_get_extension_flags(x);
	if (flags & (EXFLAG_INVALID | EXFLAG_V1) || !(flags & EXFLAG_CA))
		return false;
	return X509_get_key_usage(x) & KU_KEY_CERT_SIGN; /* all bits set when absent */
}

int rf_x509_match(X509 *x, const EVP_PKEY *key, struct rf_err *e)
{
	EVP_PKEY *public = X509_get0_pubkey(x);
	if (!public)
		return rf_ossl_fail(e, RF_E_CERT, "the public key of the certificate cannot be read");
	if (EVP_PKEY_eq(public, key) != 1)
		return rf_ossl_fail(e, RF_E_CERT, "the private key does not belong to the certificate");
	return RF_OK;
}

int rf_pem_add(struct rf_buf *to, X509 *x)
{
	unsigned char *der = NULL;
	int n = i2d_X509(x, &der);
	if (n <= 0)
		return RF_E_NOMEM;
	rf_pem_wrap(to, "CERTIFICATE", (struct rf_str){ (char *)der, (size_t)n });
	OPENSSL_free(der);
	return to->bad ? RF_E_NOMEM : RF_OK;
}

void rf_pem_wrap(struct rf_buf *to, const char *label, struct rf_str der)
{
	rf_buf_printf(to, "-----BEGIN %s-----\n", label);
	for (size_t i = 0; i < der.n; i += 48) { /* 64 characters a line [RFC 7468 2] */
		rf_b64_add(to, (struct rf_str){ der.p + i, der.n - i < 48 ? der.n - i : 48 });
		rf_buf_addc(to, '\n');
	}
	rf_buf_printf(to, "-----END %s-----\n", label);
}
