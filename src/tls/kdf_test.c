/* Our key schedule against the published trace [RFC 8448 3] and against libcrypto's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <string.h>
#include "tls/kdf.h"
#include "tls/libctx.h"

static EVP_KDF_CTX *make(OSSL_LIB_CTX *libctx)
{
	EVP_KDF *kdf = EVP_KDF_fetch(libctx, "TLS13-KDF", NULL);
	assert_non_null(kdf);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
	EVP_KDF_free(kdf);
	return ctx;
}

struct question {
	int mode;
	const char *hash, *label;
	const uint8_t *key, *salt, *data;
	size_t key_n, salt_n, data_n;
};

static int ask(EVP_KDF_CTX *ctx, const struct question *q, uint8_t *to, size_t n)
{
	OSSL_PARAM p[8], *at = p;
	*at++ = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, (int *)&q->mode);
	*at++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)q->hash, 0);
	if (q->key)
		*at++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)q->key, q->key_n);
	if (q->salt)
		*at++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)q->salt, q->salt_n);
	*at++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PREFIX, "tls13 ", 6);
	*at++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_LABEL, (void *)q->label, strlen(q->label));
	if (q->data)
		*at++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_DATA, (void *)q->data, q->data_n);
	*at = OSSL_PARAM_construct_end();
	return EVP_KDF_derive(ctx, to, n, p);
}

static void early_secret_of_the_trace(void **state)
{
	(void)state;
	static const uint8_t want[] = { 0x33, 0xad, 0x0a, 0x1c, 0x60, 0x7e, 0xc0, 0x3b, 0x09, 0xe6, 0xcd, 0x98, 0x93, 0x68, 0x0c, 0xe2,
					0x10, 0xad, 0xf3, 0x00, 0xaa, 0x1f, 0x26, 0x60, 0xe1, 0xb2, 0x2e, 0x10, 0xf1, 0x70, 0xf9, 0x2a };
	uint8_t got[32];
	EVP_KDF_CTX *ours = make(rf_tls_libctx());
	struct question q = { .mode = EVP_KDF_HKDF_MODE_EXTRACT_ONLY, .hash = "SHA256", .label = "derived" };
	assert_int_equal(ask(ours, &q, got, sizeof got), 1);
	assert_memory_equal(got, want, sizeof want);
	EVP_KDF_CTX_free(ours);
}

static void the_same_as_libcrypto(void **state)
{
	(void)state;
	static const char *const labels[] = { "derived", "c hs traffic", "s ap traffic", "exp master", "res master", "resumption",
					     "key", "iv", "finished" };
	static const char *const names[] = { "SHA256", "SHA384", "SHA2-256" };
	EVP_KDF_CTX *ours = make(rf_tls_libctx()), *theirs = make(NULL);
	uint8_t bytes[3][64], a[300], b[300];
	unsigned seed = 1;
	for (int round = 0; round < 400; round++) {
		EVP_KDF_CTX_reset(theirs); /* it keeps what it was told before */
		for (size_t i = 0; i < sizeof bytes; i++)
			bytes[i / 64][i % 64] = (uint8_t)((seed = seed * 1103515245 + 12345) >> 16);
		size_t n = round % 3 == 1 ? 48 : 32;
		struct question q = { .mode = round % 2 ? EVP_KDF_HKDF_MODE_EXPAND_ONLY : EVP_KDF_HKDF_MODE_EXTRACT_ONLY,
				      .hash = names[round % 3], .label = labels[round % 9], .key = bytes[0], .key_n = n };
		size_t out = q.mode == EVP_KDF_HKDF_MODE_EXTRACT_ONLY ? n : (size_t)(1 + round % 300);
		if (q.mode == EVP_KDF_HKDF_MODE_EXTRACT_ONLY && round % 4) {
			q.salt = bytes[1];
			q.salt_n = n;
		} else if (q.mode == EVP_KDF_HKDF_MODE_EXPAND_ONLY && round % 5) {
			q.data = bytes[2];
			q.data_n = round % 7 ? n : 0;
		}
		assert_int_equal(ask(theirs, &q, b, out), 1);
		assert_int_equal(ask(ours, &q, a, out), 1);
		assert_memory_equal(a, b, out);
	}
	EVP_KDF_CTX_free(ours);
	EVP_KDF_CTX_free(theirs);
}

static struct { int client, server; size_t n; uint8_t last[TLS_SECRET_MAX]; } heard;

static void listen_to(void *arg, bool of_client, const uint8_t *secret, size_t n)
{
	assert_ptr_equal(arg, &heard);
	of_client ? heard.client++ : heard.server++;
	heard.n = n;
	memcpy(heard.last, secret, n);
}

static void traffic_secrets_are_told(void **state)
{
	(void)state;
	uint8_t key[32] = { 1 }, got[32];
	EVP_KDF_CTX *ours = make(rf_tls_libctx());
	struct question q = { .mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY, .hash = "SHA256", .key = key, .key_n = 32 };
	static const char *const labels[] = { "c hs traffic", "c ap traffic", "s ap traffic", "c ap traffic ", "traffic upd", "exporter" };
	for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) {
		tls_kdf_listen(i == 5 ? NULL : listen_to, &heard);
		q.label = labels[i];
		assert_int_equal(ask(ours, &q, got, sizeof got), 1);
		if (i == 2)
			assert_memory_equal(heard.last, got, 32);
	}
	assert_int_equal(heard.client, 1);
	assert_int_equal(heard.server, 1);
	assert_int_equal(heard.n, 32);
	q.label = "c ap traffic"; /* nobody listens */
	assert_int_equal(ask(ours, &q, got, sizeof got), 1);
	assert_int_equal(heard.client, 1);
	EVP_KDF_CTX_free(ours);
}

static void nonsense_is_refused(void **state)
{
	(void)state;
	static const uint8_t key[200] = { 1 };
	uint8_t got[64];
	char label[300];
	memset(label, 'x', sizeof label);
	label[299] = '\0';
	EVP_KDF_CTX *ours = make(rf_tls_libctx());
	const struct question cases[] = {
		{ .mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY, .hash = "MD5", .label = "key", .key = key, .key_n = 32 },
		{ .mode = EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND, .hash = "SHA256", .label = "key", .key = key, .key_n = 32 },
		{ .mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY, .hash = "SHA256", .label = "key" },
		{ .mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY, .hash = "SHA256", .label = label, .key = key, .key_n = 32 },
		{ .mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY, .hash = "SHA256", .label = "key", .key = key, .key_n = 200 },
		{ .mode = EVP_KDF_HKDF_MODE_EXTRACT_ONLY, .hash = "SHA256", .label = "derived", .key = key, .key_n = 32 }, /* 64 bytes asked */
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_true(ask(ours, &cases[i], got, sizeof got) <= 0);
	EVP_KDF_CTX_free(ours);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(early_secret_of_the_trace), cmocka_unit_test(the_same_as_libcrypto),
		cmocka_unit_test(traffic_secrets_are_told), cmocka_unit_test(nonsense_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
