/* pki/ossl: see ossl.h. */
#include "pki/ossl.h"
#include <limits.h>
#include <openssl/err.h>

int rf_ossl_fail(struct rf_err *e, int code, const char *what)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());
	ERR_clear_error();
	return reason ? rf_fail(e, code, "%s: %s", what, reason) : rf_fail(e, code, "%s", what);
}

int rf_ossl_no_passphrase(char *buf, int size, int rw, void *ctx)
{
	(void)buf;
	(void)size;
	(void)rw;
	(void)ctx;
	return -1;
}

BIO *rf_ossl_bio(struct rf_str s)
{
	return s.n > INT_MAX ? NULL : BIO_new_mem_buf(s.p ? s.p : "", (int)s.n);
}

bool rf_ossl_time(ASN1_TIME *t, int64_t epoch)
{
	return ASN1_TIME_adj(t, (time_t)epoch, 0, 0) != NULL;
}
