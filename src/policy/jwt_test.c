#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include "base/enc.h"
#include "policy/jwt.h"

enum { NOW = 1700000000 };
static const char secret[] = "0123456789abcdef0123456789abcdef";

static struct rf_arena arena;
static EVP_PKEY *rsa, *ec;

static int start(void **state)
{
	(void)state;
	rf_arena_init(&arena, 1 << 20);
	rsa = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
	ec = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	return rsa && ec ? 0 : -1;
}

static int stop(void **state)
{
	(void)state;
	rf_arena_fini(&arena);
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(ec);
	return 0;
}

static const char *b64(const void *p, size_t n)
{
	RF_BUF_AUTO b = { 0 };
	rf_b64url_add(&b, (struct rf_str){ p, n });
	return rf_arena_dup(&arena, rf_buf_str(&b)).p;
}

static const char *number(EVP_PKEY *key, const char *name, int size)
{
	BIGNUM *n = NULL;
	unsigned char raw[512];
	assert_int_equal(EVP_PKEY_get_bn_param(key, name, &n), 1);
	int len = size ? BN_bn2binpad(n, raw, size) : BN_bn2bin(n, raw);
	BN_free(n);
	return b64(raw, (size_t)len);
}

/* All three keys in one configuration "c1"; a second one looks into a cookie and has the secret alone. */
static struct rf_tokens *tokens(void)
{
	struct rf_str json = rf_arena_printf(&arena,
		"[{\"id\": \"c1\", \"title\": \"t\", \"token_type\": \"JWT\", \"token_sources\": "
		"[\"http.request.headers[\\\"X-Token\\\"][0]\", \"http.request.headers[\\\"authorization\\\"][0]\"], \"credentials\": {\"keys\": ["
		"{\"kty\": \"RSA\", \"alg\": \"RS256\", \"kid\": \"r\", \"n\": \"%s\", \"e\": \"%s\"},"
		"{\"kty\": \"EC\", \"crv\": \"P-256\", \"x\": \"%s\", \"y\": \"%s\"},"
		"{\"kty\": \"oct\", \"k\": \"%s\"}]}},"
		"{\"id\": \"c2\", \"token_sources\": [\"http.request.cookies[\\\"t\\\"][0]\"], \"credentials\": {\"keys\": ["
		"{\"kty\": \"oct\", \"k\": \"%s\"}]}}]",
		number(rsa, OSSL_PKEY_PARAM_RSA_N, 0), number(rsa, OSSL_PKEY_PARAM_RSA_E, 0),
		number(ec, OSSL_PKEY_PARAM_EC_PUB_X, 32), number(ec, OSSL_PKEY_PARAM_EC_PUB_Y, 32),
		b64(secret, sizeof secret - 1), b64(secret, sizeof secret - 1));
	struct rf_tokens *t = NULL;
	struct rf_err e = { 0 };
	if (rf_tokens_make(json, &t, &e))
		fail_msg("%s %s", e.pointer, e.text);
	return t;
}

static size_t sign(EVP_PKEY *key, struct rf_str text, unsigned char *sig)
{
	size_t n = 512;
	unsigned char der[512];
	const unsigned char *p = der;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	assert_true(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) > 0);
	assert_true(EVP_DigestSign(ctx, der, &n, (const unsigned char *)text.p, text.n) > 0);
	EVP_MD_CTX_free(ctx);
	memcpy(sig, der, n);
	if (key != ec)
		return n;
	ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &p, (long)n);
	BN_bn2binpad(ECDSA_SIG_get0_r(s), sig, 32);
	BN_bn2binpad(ECDSA_SIG_get0_s(s), sig + 32, 32);
	ECDSA_SIG_free(s);
	return 64;
}

/* key NULL: HMAC with the secret. */
static struct rf_str token(EVP_PKEY *key, const char *head, const char *claims)
{
	unsigned char sig[512];
	size_t n = 32;
	struct rf_str text = rf_arena_printf(&arena, "%s.%s", b64(head, strlen(head)), b64(claims, strlen(claims)));
	if (key)
		n = sign(key, text, sig);
	else
		HMAC(EVP_sha256(), secret, sizeof secret - 1, (const unsigned char *)text.p, text.n, sig, NULL);
	return rf_arena_printf(&arena, "%.*s.%s", RF_ARG(text), b64(sig, n));
}

static struct rf_str header, cookie;

static bool source(void *ctx, bool is_cookie, struct rf_str name, struct rf_str *ret)
{
	(void)ctx;
	*ret = is_cookie ? cookie : header;
	return ret->n && rf_str_eq(name, is_cookie ? RF_STR("t") : RF_STR("authorization"));
}

static struct rf_val ask(const struct rf_tokens *t, enum rf_field f)
{
	size_t n;
	struct rf_val v = { 0 };
	const struct rf_claims *c = rf_tokens_read(t, source, NULL, NOW, &arena, &n);
	assert_non_null(c);
	assert_true(rf_claims_fact(c, n, f, &arena, &v));
	return v;
}

static bool good(const struct rf_tokens *t, struct rf_str tok)
{
	header = tok;
	cookie = RF_STR("");
	return ask(t, RF_F_JWT).n == 1;
}

static const char CLAIMS[] = "{\"iss\": \"me\", \"aud\": [\"a\", \"b\"], \"sub\": \"lamp\", \"iat\": 1699999000, \"exp\": 1700000100}";

static void signatures(void **state)
{
	(void)state;
	struct rf_tokens *t = tokens();
	struct rf_str r = token(rsa, "{\"alg\": \"RS256\", \"kid\": \"r\"}", CLAIMS);
	assert_true(good(t, r));
	assert_true(good(t, rf_arena_printf(&arena, "Bearer %.*s", RF_ARG(r))));
	assert_true(good(t, token(ec, "{\"alg\": \"ES256\"}", CLAIMS)));
	assert_true(good(t, token(NULL, "{\"alg\": \"HS256\"}", CLAIMS)));
	assert_false(good(t, token(rsa, "{\"alg\": \"RS256\", \"kid\": \"other\"}", CLAIMS)));
	EVP_PKEY *stranger = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
	assert_false(good(t, token(stranger, "{\"alg\": \"RS256\"}", CLAIMS)));
	EVP_PKEY_free(stranger);
	for (size_t i = 0; i < r.n; i += 7) { /* no byte may be changed */
		struct rf_str bent = rf_arena_dup(&arena, r);
		((char *)(uintptr_t)bent.p)[i] ^= 1;
		assert_false(good(t, bent));
	}
	rf_tokens_put(t);
}

static void tricks(void **state)
{
	(void)state;
	struct rf_tokens *t = tokens();
	struct rf_str none = rf_arena_printf(&arena, "%s.%s.", b64("{\"alg\": \"none\"}", 15), b64(CLAIMS, sizeof CLAIMS - 1));
	assert_false(good(t, none));
	assert_false(good(t, token(NULL, "{\"alg\": \"none\"}", CLAIMS)));
	assert_false(good(t, token(NULL, "{\"alg\": \"RS256\"}", CLAIMS))); /* the secret does not stand for a public key */
	assert_false(good(t, token(rsa, "{\"alg\": \"HS256\"}", CLAIMS)));
	assert_false(good(t, token(NULL, "{\"alg\": \"HS256\", \"crit\": [\"x\"]}", CLAIMS)));
	assert_false(good(t, token(NULL, "{\"alg\": \"HS256\", \"alg\": \"HS256\"}", CLAIMS)));
	assert_false(good(t, token(NULL, "{\"alg\": \"HS256\"}", "[1]")));
	assert_false(good(t, token(NULL, "{\"alg\": \"HS256\"}", "{\"exp\": 1699999000}")));
	assert_false(good(t, token(NULL, "{\"alg\": \"HS256\"}", "{\"exp\": \"never\"}")));
	assert_false(good(t, token(NULL, "{\"alg\": \"HS256\"}", "{\"nbf\": 1700009000}")));
	assert_true(good(t, token(NULL, "{\"alg\": \"HS256\"}", "{\"nbf\": 1700000000}")));
	static const char *const junk[] = { "", ".", "..", "...", "a.b.c", "Bearer ", "e30.e30.", "e30.e30.AA" };
	for (size_t i = 0; i < sizeof junk / sizeof *junk; i++)
		assert_false(good(t, rf_str_z(junk[i])));
	rf_tokens_put(t);
}

static void claims(void **state)
{
	(void)state;
	struct rf_tokens *t = tokens();
	header = token(NULL, "{\"alg\": \"HS256\"}", CLAIMS);
	cookie = token(NULL, "{\"alg\": \"HS256\"}", "{\"aud\": \"c\", \"jti\": 7}");
	struct rf_val v = ask(t, RF_F_JWT_AUD);
	assert_int_equal(v.n, 2);
	assert_true(rf_str_eq(v.m[0].key, RF_STR("c1")) && v.m[0].val.n == 2 && rf_str_eq(v.m[0].val.a[1].s, RF_STR("b")));
	assert_true(rf_str_eq(v.m[1].key, RF_STR("c2")) && rf_str_eq(v.m[1].val.a[0].s, RF_STR("c")));
	assert_int_equal(ask(t, RF_F_JWT_AUD_VALUES).n, 3);
	assert_int_equal(ask(t, RF_F_JWT_AUD_NAMES).n, 2);
	v = ask(t, RF_F_JWT_EXP);
	assert_true(v.n == 1 && v.m[0].val.n == 1 && v.m[0].val.a[0].i == 1700000100);
	assert_int_equal(ask(t, RF_F_JWT_JTI).n, 0); /* not a text */
	assert_int_equal(ask(t, RF_F_JWT_NBF_VALUES).n, 0);
	v = ask(t, RF_F_JWT);
	assert_true(v.n == 2 && rf_str_eq(v.m[0].val.a[0].s, rf_str_z(CLAIMS)));
	rf_tokens_put(t);
}

static void bad_configurations(void **state)
{
	(void)state;
#define ONE(sources, key) "[{\"id\": \"x\", \"token_sources\": [" sources "], \"credentials\": {\"keys\": [" key "]}}]"
#define HDR "\"http.request.headers[\\\"a\\\"][0]\""
	static const struct { const char *json, *words; } rows[] = {
		{ "", "JSON array" }, { "{}", "JSON array" }, { "[{}]", "needs an `id`" }, { "[{\"id\": \"x\"}]", "token_sources" },
		{ ONE("\"ip.src\"", "{}"), "a token source is" }, { ONE("\"http.request.headers[\\\"a\\\"][1]\"", "{}"), "a token source is" },
		{ ONE(HDR, ""), "array of 1 to" }, { ONE(HDR, "{\"kty\": \"none\"}"), "RSA, EC or oct" },
		{ ONE(HDR, "{\"kty\": \"oct\", \"k\": \"c2hvcnQ\"}"), "too weak" }, { ONE(HDR, "{\"kty\": \"RSA\", \"n\": \"AQAB\", \"e\": \"AQAB\"}"), "too weak" },
		{ ONE(HDR, "{\"kty\": \"EC\", \"crv\": \"P-521\"}"), "too weak" }, { ONE(HDR, "{\"kty\": \"oct\", \"alg\": \"none\"}"), "alg HS256" },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct rf_tokens *t = NULL;
		struct rf_err e = { 0 };
		if (rf_tokens_make(rf_str_z(rows[i].json), &t, &e) == RF_OK || t)
			fail_msg("%s should be refused", rows[i].json);
		if (!strstr(e.text, rows[i].words))
			fail_msg("%s is refused with `%s`", rows[i].json, e.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(signatures, start, stop), cmocka_unit_test_setup_teardown(tricks, start, stop),
		cmocka_unit_test_setup_teardown(claims, start, stop), cmocka_unit_test(bad_configurations),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
