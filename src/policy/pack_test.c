#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include "policy/pack.h"

static const struct rf_rule_env env = { .have = ~0u, .any_list = true };
static struct rf_err e;

enum { MANY = 300 };

static EVP_PKEY *new_key(void)
{
	EVP_PKEY *k = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	assert_non_null(k);
	return k;
}

static void add_public(EVP_PKEY *k, struct rf_buf *to)
{
	char *p;
	BIO *b = BIO_new(BIO_s_mem());
	assert_int_equal(PEM_write_bio_PUBKEY(b, k), 1);
	long n = BIO_get_mem_data(b, &p);
	rf_buf_add(to, (struct rf_str){ p, (size_t)n });
	BIO_free(b);
}

static struct rf_pack_keys trusting(EVP_PKEY *k)
{
	RF_BUF_AUTO pem = { 0 };
	struct rf_pack_keys keys;
	add_public(k, &pem);
	assert_int_equal(rf_pack_keys_read(rf_buf_str(&pem), &keys, &e), RF_OK);
	return keys;
}

static json_t *patch(const char *name, const char *expression, const char *attack, const char *harmless)
{
	json_t *p = json_pack("{s:s, s:s, s:[], s:[s], s:s, s:s, s:s, s:s, s:s, s:{s:[{s:s}], s:[{s:s}]}}", "name", name, "title", "t", "cve",
		"references", "https://example.com/a", "devices", "d", "kind", "router", "category", "c", "severity", "high", "expression", expression,
		"tests", "attacks", "path", attack, "harmless", "path", harmless);
	assert_non_null(p);
	return p;
}

static json_t *pack(void)
{
	return json_pack("{s:s, s:s, s:i, s:[o, o]}", "name", "devices", "title", "t", "version", 7, "patches",
		patch("one", "http.request.uri.path eq \"/one\"", "/one", "/other"),
		patch("two", "http.request.uri.path contains \"/two\"", "/x/two", "/tw"));
}

static struct rf_str sealed(json_t *doc, EVP_PKEY *key, struct rf_buf *to)
{
	assert_int_equal(rf_pack_seal(doc, key, to, &e), RF_OK);
	return rf_buf_str(to);
}

static void opens_what_was_sealed(void **state)
{
	RF_BUF_AUTO a = { 0 };
	RF_BUF_AUTO b = { 0 };
	EVP_PKEY *key = new_key();
	struct rf_pack_keys keys = trusting(key);
	struct rf_pack p;
	json_t *doc = pack();
	(void)state;
	struct rf_str file = sealed(doc, key, &a);
	assert_true(rf_str_eq(file, sealed(doc, key, &b))); /* the same every time */
	assert_int_equal(rf_pack_open(file, &keys, RF_PACK_SIGNED, &p, &e), RF_OK);
	assert_string_equal(p.key, keys.id[0]);
	assert_string_equal(p.name, "devices");
	assert_int_equal(p.version, 7);
	assert_int_equal(p.count, 2);
	assert_true(json_equal(p.doc, doc));
	assert_int_equal(rf_pack_check(&env, p.doc, 0, &e), RF_OK);
	rf_pack_fini(&p);
	rf_pack_keys_fini(&keys);
	EVP_PKEY_free(key);
	json_decref(doc);
}

/* Every byte of it counts, and every length that is less. */
static void refuses_what_was_changed(void **state)
{
	RF_BUF_AUTO a = { 0 };
	EVP_PKEY *key = new_key();
	struct rf_pack_keys keys = trusting(key);
	struct rf_pack p = { .version = -1 };
	json_t *doc = pack();
	(void)state;
	struct rf_str file = sealed(doc, key, &a);
	for (size_t i = 0; i < file.n; i++) {
		a.p[i] ^= 1;
		assert_int_not_equal(rf_pack_open(file, &keys, RF_PACK_UNSIGNED, &p, &e), RF_OK);
		a.p[i] ^= 1;
		assert_int_not_equal(rf_pack_open((struct rf_str){ a.p, i }, &keys, RF_PACK_UNSIGNED, &p, &e), RF_OK);
	}
	a.p[file.n - 1] ^= 1;
	assert_int_equal(rf_pack_open(file, &keys, RF_PACK_SIGNED, &p, &e), RF_E_DENIED);
	assert_non_null(strstr(e.text, "signature"));
	assert_int_equal(p.version, -1);
	rf_pack_keys_fini(&keys);
	EVP_PKEY_free(key);
	json_decref(doc);
}

static void trusts_only_its_keys(void **state)
{
	RF_BUF_AUTO a = { 0 };
	RF_BUF_AUTO pem = { 0 };
	EVP_PKEY *key = new_key(), *other = new_key();
	struct rf_pack_keys keys = trusting(other), both, none = { 0 };
	struct rf_pack p;
	json_t *doc = pack();
	(void)state;
	struct rf_str file = sealed(doc, key, &a);
	assert_int_equal(rf_pack_open(file, &keys, RF_PACK_UNSIGNED, &p, &e), RF_E_DENIED);
	assert_non_null(strstr(e.text, "not trusted"));
	assert_int_equal(rf_pack_open(file, &none, RF_PACK_SIGNED, &p, &e), RF_E_DENIED);
	assert_int_equal(rf_pack_open(file, NULL, RF_PACK_SIGNED, &p, &e), RF_E_DENIED);
	add_public(other, &pem);
	rf_buf_add(&pem, RF_STR("a remark\n"));
	add_public(key, &pem);
	assert_int_equal(rf_pack_keys_read(rf_buf_str(&pem), &both, &e), RF_OK);
	assert_int_equal(both.n, 2);
	assert_int_equal(rf_pack_open(file, &both, RF_PACK_SIGNED, &p, &e), RF_OK);
	rf_pack_fini(&p);
	rf_pack_keys_fini(&keys);
	rf_pack_keys_fini(&both);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
	json_decref(doc);
}

static void takes_unsigned_where_told(void **state)
{
	RF_BUF_AUTO a = { 0 };
	struct rf_pack p;
	json_t *doc = pack();
	(void)state;
	struct rf_str file = sealed(doc, NULL, &a);
	assert_int_equal(rf_pack_open(file, NULL, RF_PACK_SIGNED, &p, &e), RF_E_DENIED);
	assert_int_equal(rf_pack_open(file, NULL, RF_PACK_UNSIGNED, &p, &e), RF_OK);
	assert_string_equal(p.key, "");
	rf_pack_fini(&p);
	json_decref(doc);
}

static void says_what_is_no_pack(void **state)
{
	static const struct { const char *text; int code; } cases[] = {
		{ "", RF_E_SYNTAX }, { "{}", RF_E_SYNTAX }, { "ringfence-pack 1 unsigned", RF_E_SYNTAX }, { "ringfence-pack 2 unsigned\n{}", RF_E_UNSUPPORTED },
		{ "ringfence-pack 1 rsa\n{}", RF_E_SYNTAX }, { "ringfence-pack 1 unsigned more\n{}", RF_E_SYNTAX }, { "ringfence-pack 1 unsigned\n{", RF_E_SYNTAX },
		{ "ringfence-pack 1 unsigned\n{}", RF_E_INVALID }, { "ringfence-pack 1 ed25519 0123\n{}", RF_E_SYNTAX },
		{ "ringfence-pack 1 unsigned\n{\"name\":\"a\",\"name\":\"b\"}", RF_E_SYNTAX },
	};
	struct rf_pack p;
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(rf_pack_open(rf_str_z(cases[i].text), NULL, RF_PACK_UNSIGNED, &p, &e), cases[i].code);
	struct rf_pack_keys keys;
	assert_int_equal(rf_pack_keys_read(RF_STR(""), &keys, &e), RF_E_SYNTAX);
	assert_int_equal(rf_pack_keys_read(RF_STR("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"), &keys, &e), RF_E_SYNTAX);
	EVP_PKEY *ec = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	RF_BUF_AUTO pem = { 0 };
	add_public(ec, &pem);
	assert_int_equal(rf_pack_keys_read(rf_buf_str(&pem), &keys, &e), RF_E_TYPE);
	EVP_PKEY_free(ec);
}

static json_t *first(json_t *doc) { return json_array_get(json_object_get(doc, "patches"), 0); }

static void refuses_bad_shapes(void **state)
{
	static const struct { const char *name; const char *json; const char *pointer; } cases[] = {
		{ "name", "\"Bad Name\"", "/patches/0" }, { "name", "\"two\"", "/patches/1" }, { "title", "7", "/patches/0" }, { "cve", "{}", "/patches/0" },
		{ "cve", "[7]", "/patches/0" }, { "tests", "{}", "/patches/0" }, { "tests", "{\"attacks\":[{}],\"harmless\":[]}", "/patches/0" },
		{ "classes", "[\"cameras\"]", "/patches/0" }, { "state", "\"enforce\"", "/patches/0" }, { "until", "7", "/patches/0" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		json_t *doc = pack();
		json_object_set_new(first(doc), cases[i].name, json_loads(cases[i].json, JSON_DECODE_ANY, NULL));
		assert_int_not_equal(rf_pack_shape(doc, &e), RF_OK);
		assert_string_equal(e.pointer, cases[i].pointer);
		json_decref(doc);
	}
	json_t *doc = pack();
	json_object_set_new(doc, "version", json_integer(0));
	assert_int_equal(rf_pack_shape(doc, &e), RF_E_INVALID);
	json_decref(doc);
}

static int checked(const char *member, const char *text)
{
	json_t *doc = pack();
	json_object_set_new(first(doc), member, json_string(text));
	int rc = rf_pack_check(&env, doc, 0, &e);
	json_decref(doc);
	return rc;
}

static void refuses_what_does_not_hold(void **state)
{
	(void)state;
	assert_int_equal(checked("expression", "http.nothing eq 1"), RF_E_UNKNOWN);
	assert_non_null(strstr(e.text, "patch one"));
	assert_int_equal(e.line, 1);
	assert_int_equal(checked("expression", "http.request.uri.path eq \"/1\""), RF_E_CONFLICT); /* misses its attack */
	assert_int_equal(checked("expression", "http.request.uri.path contains \"/o\""), RF_E_CONFLICT); /* stops its harmless one */
	assert_non_null(strstr(e.text, "harmless request 0"));
	assert_int_equal(checked("expression", "http.request.uri.path in {\"/one\" \"/tw\"}"), RF_E_CONFLICT); /* and its neighbour's */
	assert_non_null(strstr(e.text, "patch two: harmless request 0 of its tests is stopped by one"));
	assert_int_not_equal(checked("until", "http.host eq \"a\""), RF_OK);
	assert_int_not_equal(checked("phase", "nowhere"), RF_OK);
}

/* Each harmless request is asked of the patches that its path leads to, and still one that any of them stops is found. */
static void many_patches_are_checked(void **state)
{
	(void)state;
	json_t *v = json_array(), *doc = json_pack("{s:s, s:s, s:i, s:o}", "name", "many", "title", "t", "version", 1, "patches", v);
	for (int i = 0; i < MANY; i++) {
		char name[32], expression[96], attack[32], harmless[32];
		snprintf(name, sizeof name, "p%d", i);
		snprintf(expression, sizeof expression, i % 2 ? "http.request.uri.path eq \"/p%d\"" : "http.request.uri.path contains \"/p%d/\"", i);
		snprintf(attack, sizeof attack, i % 2 ? "/p%d" : "/x/p%d/y", i);
		snprintf(harmless, sizeof harmless, "/q%d", i);
		json_array_append_new(v, patch(name, expression, attack, harmless));
	}
	assert_int_equal(rf_pack_check(&env, doc, 0, &e), RF_OK);
	json_array_set_new(v, 7, patch("p7", "not http.request.uri.path contains \"q\" and http.request.uri.path ne \"/\"", "/p7", "/q7"));
	assert_int_equal(rf_pack_check(&env, doc, 0, &e), RF_OK);
	json_array_set_new(v, MANY - 1, patch("last", "http.request.uri.path eq \"/last\"", "/last", "/b/p4/c"));
	assert_int_equal(rf_pack_check(&env, doc, 0, &e), RF_E_CONFLICT);
	assert_non_null(strstr(e.text, "patch last"));
	assert_non_null(strstr(e.text, "stopped by p4"));
	json_decref(doc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_patches_are_checked), cmocka_unit_test(opens_what_was_sealed), cmocka_unit_test(refuses_what_was_changed), cmocka_unit_test(trusts_only_its_keys),
		cmocka_unit_test(takes_unsigned_where_told), cmocka_unit_test(says_what_is_no_pack), cmocka_unit_test(refuses_bad_shapes),
		cmocka_unit_test(refuses_what_does_not_hold),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
