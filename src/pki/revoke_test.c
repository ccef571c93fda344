#include "pki/test.h"
#include <openssl/x509.h>
#include "pki/cert.h"
#include "pki/crl.h"
#include "pki/key.h"
#include "pki/ocsp.h"
#include "pki/pem.h"

static struct rf_ca *ca;

static int setup(void **state)
{
	(void)state;
	make_dir();
	ca = open_ca("ca", NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rf_ca_free(ca);
	remove_dir();
	return 0;
}

static struct rf_crl_entry entry(const char *serial, unsigned reason)
{
	struct rf_crl_entry e;
	assert_int_equal(rf_crl_entry(rf_str_z(serial), NOW - 100, reason, &e), RF_OK);
	return e;
}

static struct rf_buf build(const struct rf_crl_entry *v, size_t n, uint64_t number, uint64_t base)
{
	struct rf_buf der = { 0 };
	struct rf_crl_make m = { .ca = rf_ca_cert(ca),
				 .key = rf_ca_key(ca),
				 .entries = v,
				 .count = n,
				 .number = number,
				 .base = base,
				 .delta = base != 0,
				 .now = NOW,
				 .valid_for = 3600 };
	assert_int_equal(rf_crl_build(&m, &der, &err), RF_OK);
	return der;
}

static struct rf_crl *parse(struct rf_str text)
{
	struct rf_crl *c = NULL;
	int rc = rf_crl_parse(text, rf_ca_cert(ca), &c, &err);
	if (rc != RF_OK)
		print_error("%s\n", err.text);
	assert_int_equal(rc, RF_OK);
	return c;
}

static struct rf_str serial_of(const struct rf_crl_entry *e)
{
	return (struct rf_str){ (const char *)e->serial, e->serial_len };
}

static void a_crl_goes_round(void **state)
{
	(void)state;
	struct rf_crl_entry v[] = { entry("7F01", RF_REASON_KEY_COMPROMISE), entry("80", RF_REASON_UNSPECIFIED),
				    entry("00FF0102030405060708090A0B0C0D0E0F", RF_REASON_HOLD),
				    entry("01", RF_REASON_SUPERSEDED) };
	RF_BUF_AUTO der = build(v, 4, 300, 0);
	spill("crl.der", rf_buf_str(&der));
	assert_int_equal(
		run("openssl crl -inform DER -in crl.der -CAfile ca/intermediate.crt -noout -text > text 2>&1"),
		0);
	assert_int_equal(run("grep -q 'verify OK' text"), 0);
	assert_int_equal(run("grep -q 'Key Compromise' text && grep -q 'Serial Number: "
			     "FF0102030405060708090A0B0C0D0E0F' text && "
			     "grep -A1 'CRL Number' text | grep -q 300"),
			 0);
	struct rf_crl *c = parse(rf_buf_str(&der));
	assert_int_equal(c->count, 4);
	assert_int_equal(c->number, 300);
	assert_false(c->delta);
	for (size_t i = 0; i < 4; i++) {
		const struct rf_crl_entry *f = rf_crl_find(c, serial_of(&v[i]));
		assert_non_null(f);
		assert_int_equal(f->reason, v[i].reason);
		assert_int_equal(f->revoked_at, NOW - 100);
	}
	assert_null(rf_crl_find(c, RF_STR("\x02")));
	assert_null(rf_crl_find(c, RF_STR("")));
	assert_int_equal(rf_crl_state(c, NOW), RF_CRL_FRESH);
	assert_int_equal(rf_crl_state(c, NOW - 1), RF_CRL_NOT_YET);
	assert_int_equal(rf_crl_state(c, NOW + 3600), RF_CRL_EXPIRED);
	rf_crl_put(c);

	RF_BUF_AUTO pem = { 0 };
	rf_pem_wrap(&pem, "X509 CRL", rf_buf_str(&der));
	c = parse(rf_buf_str(&pem));
	assert_int_equal(c->count, 4);
	rf_crl_put(c);

	RF_BUF_AUTO empty = build(NULL, 0, 1, 0);
	c = parse(rf_buf_str(&empty));
	assert_int_equal(c->count, 0);
	rf_crl_put(c);
}

static void a_revoked_leaf_fails_at_another_verifier(void **state)
{
	(void)state;
	struct rf_bundle b = { 0 };
	struct rf_issue req = { .cn = RF_STR("gone"), .days = 9 };
	assert_int_equal(rf_ca_bundle(ca, &req, NOW, &b, &err), RF_OK);
	spill("leaf.crt", rf_buf_str(&b.cert_pem));
	RF_BUF_AUTO none = build(NULL, 0, 1, 0);
	struct rf_crl_entry v = entry(b.cert->serial, RF_REASON_CESSATION);
	RF_BUF_AUTO some = build(&v, 1, 2, 0);
	static const char VERIFY[] =
		"openssl crl -inform DER -in x.der -out x.pem && openssl verify -crl_check -CRLfile x.pem "
		"-attime %d -partial_chain -trusted ca/intermediate.crt leaf.crt > verdict 2>&1";
	spill("x.der", rf_buf_str(&none));
	assert_int_equal(run(VERIFY, NOW + 1), 0);
	spill("x.der", rf_buf_str(&some));
	assert_int_not_equal(run(VERIFY, NOW + 1), 0);
	assert_int_equal(run("grep -q revoked verdict"), 0);
	struct rf_crl *c = parse(rf_buf_str(&some));
	assert_non_null(rf_crl_find(c, b.cert->serial_der));
	rf_crl_put(c);
	rf_bundle_fini(&b);
}

static void a_delta_is_applied(void **state)
{
	(void)state;
	struct rf_crl_entry full[] = { entry("0A", RF_REASON_HOLD), entry("0B", RF_REASON_SUPERSEDED) };
	struct rf_crl_entry change[] = { entry("0A", RF_REASON_REMOVE), entry("0B", RF_REASON_KEY_COMPROMISE),
					 entry("0C", 0), entry("0D", RF_REASON_REMOVE) };
	RF_BUF_AUTO a = build(full, 2, 10, 0);
	RF_BUF_AUTO d = build(change, 4, 12, 10);
	RF_BUF_AUTO gap = build(change, 4, 15, 11);
	struct rf_crl *base = parse(rf_buf_str(&a)), *delta = parse(rf_buf_str(&d)),
		      *late = parse(rf_buf_str(&gap)), *c = NULL;
	assert_true(delta->delta);
	assert_int_equal(delta->base, 10);
	assert_int_equal(rf_crl_apply(base, delta, &c, &err), RF_OK);
	assert_int_equal(c->count, 2);
	assert_int_equal(c->number, 12);
	assert_null(rf_crl_find(c, RF_STR("\x0a")));
	assert_int_equal(rf_crl_find(c, RF_STR("\x0b"))->reason, RF_REASON_KEY_COMPROMISE);
	assert_non_null(rf_crl_find(c, RF_STR("\x0c")));
	struct rf_crl *none = NULL;
	assert_int_equal(rf_crl_apply(base, late, &none, &err), RF_E_STALE);
	assert_int_equal(rf_crl_apply(c, delta, &none, &err), RF_E_STALE);
	assert_int_equal(rf_crl_apply(base, base, &none, &err), RF_E_INVALID);
	assert_int_equal(rf_crl_apply(delta, delta, &none, &err), RF_E_INVALID);
	rf_crl_put(base);
	rf_crl_put(delta);
	rf_crl_put(late);
	rf_crl_put(c);
}

static void hostile_crls_are_refused(void **state)
{
	(void)state;
	struct rf_crl *c = NULL;
	struct rf_crl_entry v[] = { entry("7F01", RF_REASON_KEY_COMPROMISE), entry("80", 0) };
	RF_BUF_AUTO der = build(v, 2, 5, 0);
	for (size_t n = 0; n < der.n; n++)
		assert_int_not_equal(rf_crl_parse((struct rf_str){ der.p, n }, rf_ca_cert(ca), &c, &err), RF_OK);
	for (size_t i = 0; i < der.n; i++) { /* any flipped bit breaks the form or the signature */
		der.p[i] ^= 0x10;
		assert_int_not_equal(rf_crl_parse(rf_buf_str(&der), rf_ca_cert(ca), &c, &err), RF_OK);
		der.p[i] ^= 0x10;
	}
	struct rf_ca *other = open_ca("other", NULL);
	assert_int_equal(rf_crl_parse(rf_buf_str(&der), rf_ca_cert(other), &c, &err), RF_E_CERT);
	assert_int_equal(rf_crl_parse(rf_buf_str(&der), rf_ca_root(ca), &c, &err), RF_E_CERT);
	assert_non_null(strstr(err.text, "another CA"));
	assert_int_equal(rf_crl_parse(RF_STR("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
				      rf_ca_cert(ca), &c, &err),
			 RF_E_SYNTAX);
	assert_null(c);
	rf_ca_free(other);
}

/* Lists of another maker, with the extensions that must be refused. */
static void foreign_crls_are_judged(void **state)
{
	(void)state;
	static const struct {
		const char *ext;
		int rc;
	} CASES[] = {
		{ "authorityKeyIdentifier=keyid", RF_OK },
		{ "issuingDistributionPoint=critical,@idp\n[idp]\nonlyuser=TRUE", RF_OK },
		{ "issuingDistributionPoint=critical,@idp\n[idp]\nindirectCRL=TRUE", RF_E_UNSUPPORTED },
		{ "issuingDistributionPoint=critical,@idp\n[idp]\nonlyCA=TRUE", RF_E_UNSUPPORTED },
		{ "issuingDistributionPoint=critical,@idp\n[idp]\nonlysomereasons=keyCompromise",
		  RF_E_UNSUPPORTED },
		{ "1.2.3.4=critical,DER:0500", RF_E_UNSUPPORTED },
		{ "1.2.3.4=DER:0500", RF_OK },
	};
	run("openssl req -x509 -newkey rsa:2048 -nodes -keyout f.key -out f.crt -days 3650 -subj /CN=Foreign");
	RF_BUF_AUTO pem = slurp("f.crt");
	X509 *foreign = NULL;
	assert_int_equal(rf_pem_cert(rf_buf_str(&pem), &foreign, &err), RF_OK);
	for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
		struct rf_buf conf = { 0 };
		struct rf_crl *c = NULL;
		rf_buf_printf(&conf,
			      "[ca]\ndefault_ca=d\n[d]\ndatabase=index\ncrlnumber=number\ndefault_md=sha256\n"
			      "default_crl_days=9\ncrl_extensions=x\n[x]\n%s\n",
			      CASES[i].ext);
		spill("c.conf", rf_buf_str(&conf));
		assert_int_equal(run("printf "
				     "'R\\t300101000000Z\\t260101000000Z,keyCompromise\\t0ABC\\tunknown\\t/"
				     "CN=x\\n' > index; "
				     "echo 01 > number; openssl ca -config c.conf -gencrl -keyfile f.key -cert "
				     "f.crt -out f.crl"),
				 0);
		struct rf_buf crl = slurp("f.crl");
		int rc = rf_crl_parse(rf_buf_str(&crl), foreign, &c, &err);
		assert_int_equal(rc, CASES[i].rc);
		if (rc == RF_OK)
			assert_int_equal(rf_crl_find(c, RF_STR("\x0a\xbc"))->reason, RF_REASON_KEY_COMPROMISE);
		rf_crl_put(c);
		rf_buf_fini(&crl);
		rf_buf_fini(&conf);
	}
	X509_free(foreign);
}

static void a_million_entries_are_found(void **state)
{
	(void)state;
	size_t n = RF_CRL_ENTRIES_MAX;
	struct rf_crl_entry *v = calloc(n + 1, sizeof *v);
	for (size_t i = 0; i < n; i++) {
		uint32_t x = (uint32_t)i * 2654435761u; /* a bijection: unique, unsorted */
		v[i] = (struct rf_crl_entry){ .serial = { 1, (uint8_t)(x >> 24), (uint8_t)(x >> 16),
							  (uint8_t)(x >> 8), (uint8_t)x },
					      .serial_len = 5,
					      .revoked_at = NOW,
					      .reason = i % 2 };
	}
	RF_BUF_AUTO der = build(v, n, 1, 0);
	struct rf_crl *c = parse(rf_buf_str(&der));
	assert_int_equal(c->count, n);
	for (size_t i = 0; i < n; i += 997)
		assert_int_equal(rf_crl_find(c, serial_of(&v[i]))->reason, i % 2);
	assert_null(rf_crl_find(c, RF_STR("\x02\x01\x01\x01\x01")));
	rf_crl_put(c);
	struct rf_crl_make m = { .ca = rf_ca_cert(ca), .key = rf_ca_key(ca), .entries = v, .count = n + 1 };
	assert_int_equal(rf_crl_build(&m, &der, &err), RF_E_TOO_LARGE);
	free(v);
}

static void serials_are_checked(void **state)
{
	(void)state;
	struct rf_crl_entry e;
	assert_int_equal(rf_crl_entry(RF_STR(""), 0, 0, &e), RF_E_SYNTAX);
	assert_int_equal(rf_crl_entry(RF_STR("xy"), 0, 0, &e), RF_E_SYNTAX);
	assert_int_equal(rf_crl_entry(RF_STR("010203040506070809101112131415161718192021"), 0, 0, &e), RF_E_SYNTAX);
}

static struct rf_ocsp_answer lookup(void *ctx, const char *serial)
{
	const struct rf_bundle *b = ctx;
	if (strcmp(serial, b[0].cert->serial) == 0)
		return (struct rf_ocsp_answer){ .status = RF_OCSP_GOOD };
	if (strcmp(serial, b[1].cert->serial) == 0)
		return (struct rf_ocsp_answer){ RF_OCSP_REVOKED, NOW - 500, RF_REASON_KEY_COMPROMISE };
	return (struct rf_ocsp_answer){ .status = RF_OCSP_UNKNOWN };
}

static void ask(const struct rf_ocsp *o, const char *nonce, const char *digest, const char *leaf,
		const char *verdict)
{
	unsigned max_age;
	int64_t now = time(NULL); /* the client in use here has no option for the time */
	assert_int_equal(run("openssl ocsp %s %s -issuer ca/intermediate.crt -cert %s -reqout req.der", nonce,
			     digest, leaf),
			 0);
	RF_BUF_AUTO req = slurp("req.der"), resp = { 0 };
	assert_int_equal(rf_ocsp_answer(o, rf_buf_str(&req), now, &resp, &max_age, &err), RF_OK);
	assert_int_equal(max_age, strcmp(nonce, "-no_nonce") == 0 ? 3600 : 0);
	spill("resp.der", rf_buf_str(&resp));
	assert_int_equal(run("openssl ocsp -no_nonce %s -reqin req.der -respin resp.der -issuer "
			     "ca/intermediate.crt -cert %s -CAfile ca/root.crt "
			     "-verify_other ca/intermediate.crt > verdict 2>&1",
			     digest, leaf),
			 0);
	assert_int_equal(run("grep -q 'Response verify OK' verdict && grep -q '%s: %s' verdict", leaf, verdict), 0);
}

static void ocsp_answers_another_client(void **state)
{
	(void)state;
	struct rf_bundle b[3] = { 0 };
	struct rf_issue req = { .cn = RF_STR("d"), .days = 9 };
	for (int i = 0; i < 3; i++) {
		static const char *const FILES[] = { "good.crt", "bad.crt", "who.crt" };
		assert_int_equal(rf_ca_bundle(ca, &req, NOW, &b[i], &err), RF_OK);
		spill(FILES[i], rf_buf_str(&b[i].cert_pem));
	}
	struct rf_ocsp o = { rf_ca_cert(ca), rf_ca_key(ca), 3600, lookup, b };
	ask(&o, "-nonce", "-sha1", "good.crt", "good");
	ask(&o, "-no_nonce", "-sha1", "bad.crt", "revoked");
	ask(&o, "-nonce", "-sha256", "who.crt", "unknown");
	/* By one whom the CA has certified for it: the CA's key signs none. */
	assert_int_equal(rf_ca_responder(ca, 14, time(NULL), &o.signer, &o.key, &err), RF_OK);
	assert_int_not_equal(EVP_PKEY_eq(o.key, rf_ca_key(ca)), 1);
	ask(&o, "-nonce", "-sha1", "good.crt", "good");
	ask(&o, "-no_nonce", "-sha256", "bad.crt", "revoked");
	assert_int_equal(run("openssl ocsp -respin resp.der -noverify -text > told && grep -q 'OCSP Signing' told && grep -q 'OCSP No Check' told"), 0);
	X509_free(o.signer);
	EVP_PKEY_free(o.key);
	for (int i = 0; i < 3; i++)
		rf_bundle_fini(&b[i]);
}

static void ocsp_refuses_what_it_must(void **state)
{
	(void)state;
	struct rf_bundle b[2] = { 0 };
	struct rf_issue issue = { .cn = RF_STR("d"), .days = 9 };
	unsigned max_age;
	for (int i = 0; i < 2; i++)
		assert_int_equal(rf_ca_bundle(ca, &issue, NOW, &b[i], &err), RF_OK);
	spill("good.crt", rf_buf_str(&b[0].cert_pem));
	struct rf_ocsp o = { rf_ca_cert(ca), rf_ca_key(ca), 3600, lookup, b };
	assert_int_equal(run("openssl ocsp -nonce -issuer ca/root.crt -cert good.crt -reqout other.der"), 0);
	RF_BUF_AUTO other = slurp("other.der"), r = { 0 };
	assert_int_equal(rf_ocsp_answer(&o, rf_buf_str(&other), NOW, &r, &max_age, &err), RF_OK);
	assert_true(rf_str_eq(rf_buf_str(&r), RF_STR("\x30\x03\x0a\x01\x06"))); /* unauthorized */
	for (size_t n = 0; n < other.n; n++) {
		rf_buf_clear(&r);
		assert_int_equal(rf_ocsp_answer(&o, (struct rf_str){ other.p, n }, NOW, &r, &max_age, &err), RF_OK);
		assert_true(rf_str_eq(rf_buf_str(&r), RF_STR("\x30\x03\x0a\x01\x01"))); /* malformedRequest */
	}
	assert_int_equal(run("openssl ocsp -no_nonce -issuer ca/intermediate.crt -cert good.crt -reqout r.der && "
			     "base64 -w0 r.der | sed 's/+/%%2B/g;s/=/%%3D/g' > r.b64"), 0);
	RF_BUF_AUTO path = slurp("r.b64");
	rf_buf_clear(&r);
	assert_int_equal(rf_ocsp_answer_get(&o, rf_buf_str(&path), NOW, &r, &max_age, &err), RF_OK);
	assert_true(r.n > 100);
	assert_int_equal(max_age, 3600);
	rf_buf_clear(&r);
	assert_int_equal(rf_ocsp_answer_get(&o, RF_STR("/!!"), NOW, &r, &max_age, &err), RF_OK);
	assert_true(rf_str_eq(rf_buf_str(&r), RF_STR("\x30\x03\x0a\x01\x01")));
	rf_bundle_fini(&b[0]);
	rf_bundle_fini(&b[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_crl_goes_round),
		cmocka_unit_test(a_revoked_leaf_fails_at_another_verifier),
		cmocka_unit_test(a_delta_is_applied),
		cmocka_unit_test(hostile_crls_are_refused),
		cmocka_unit_test(foreign_crls_are_judged),
		cmocka_unit_test(a_million_entries_are_found),
		cmocka_unit_test(serials_are_checked),
		cmocka_unit_test(ocsp_answers_another_client),
		cmocka_unit_test(ocsp_refuses_what_it_must),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
