#include "pki/test.h"
#include <openssl/x509.h>
#include "base/cur.h"
#include "pki/cert.h"
#include "pki/certtmpl.h"
#include "pki/der.h"
#include "pki/pem.h"

static struct rf_arena arena;

static int setup(void **state)
{
	(void)state;
	make_dir();
	rf_arena_init(&arena, 1 << 20);
	return run("openssl ecparam -name prime256v1 -genkey -noout -out k.pem");
}

static int teardown(void **state)
{
	(void)state;
	rf_arena_fini(&arena);
	remove_dir();
	return 0;
}

static X509 *make(const char *subject, const char *options)
{
	X509 *x = NULL;
	assert_int_equal(
		run("openssl req -x509 -utf8 -key k.pem -subj '%s' -days 10 -out c.pem %s", subject, options),
		0);
	RF_BUF_AUTO pem = slurp("c.pem");
	assert_int_equal(rf_pem_cert(rf_buf_str(&pem), &x, &err), RF_OK);
	return x;
}

static struct rf_cert *facts(const char *subject, const char *options)
{
	X509 *x = make(subject, options);
	struct rf_cert *c = NULL;
	assert_int_equal(rf_cert_from_x509(x, NULL, 0, &c, &err), RF_OK);
	X509_free(x);
	return c;
}

static void assert_text(struct rf_str got, const char *want)
{
	if (!rf_str_eq(got, rf_str_z(want)))
		print_error("'%.*s' is not what was wanted\n", RF_ARG(got));
	assert_true(rf_str_eq(got, rf_str_z(want)));
}

static void names_come_in_three_styles(void **state)
{
	(void)state;
	struct rf_cert *c =
		facts("/C=US/ST=Texas/O=Access, Inc./OU=A+OU=B/CN=James \"J\" Röyal", "-multivalue-rdn");
	struct rf_str v;
	assert_text(rf_cert_subject(c, RF_DN_RFC2253, &arena),
		    "CN=James \\\"J\\\" R\\C3\\B6yal,OU=B+OU=A,O=Access\\, Inc.,ST=Texas,C=US");
	assert_text(rf_cert_subject(c, RF_DN_DEFAULT, &arena),
		    "CN=James \\\"J\\\" R\\C3\\B6yal, OU=B + OU=A, O=Access\\, Inc., ST=Texas, C=US");
	assert_true(rf_str_starts(rf_cert_issuer(c, RF_DN_LEGACY, &arena),
				  RF_STR("/C=US/ST=Texas/O=Access, Inc./OU=")));
	assert_true(rf_cert_attr(c, false, RF_STR("cn"), 0, &arena, &v));
	assert_text(v, "James \"J\" Röyal");
	assert_true(rf_cert_attr(c, true, RF_STR("OU"), 1, &arena, &v));
	assert_false(rf_cert_attr(c, false, RF_STR("ou"), 2, &arena, &v));
	assert_false(rf_cert_attr(c, false, RF_STR("nonsense"), 0, &arena, &v));
	rf_cert_put(c);
}

static void old_string_types_become_utf8(void **state)
{
	(void)state;
	struct rf_str v;
	spill("bmp.conf", RF_STR("[req]\nstring_mask=MASK:2048\ndistinguished_name=d\n[d]\n"));
	struct rf_cert *c = facts("/CN=Gerät €1", "-config bmp.conf");
	assert_int_equal(run("openssl asn1parse -in c.pem > text; grep -q BMPSTRING text"), 0);
	assert_true(rf_cert_attr(c, false, RF_STR("cn"), 0, &arena, &v));
	assert_text(v, "Gerät €1");
	rf_cert_put(c);
}

static void identifiers_are_right(void **state)
{
	(void)state;
	struct rf_cert *a = facts("/CN=a", ""),
		       *b = facts("/CN=b",
				  "-addext subjectKeyIdentifier=none -addext authorityKeyIdentifier=none");
	assert_false(a->ski_computed);
	assert_true(b->ski_computed); /* the same key: the same identifier, found or computed */
	assert_string_equal(a->ski, b->ski);
	assert_int_equal(strlen(a->ski), 40);
	assert_string_equal(a->issuer_ski, a->ski);
	assert_string_equal(b->issuer_ski, "");
	assert_true(a->ca);
	assert_string_equal(a->key, "EC P-256");
	rf_cert_put(a);
	rf_cert_put(b);
	a = facts("/CN=a", "-addext subjectKeyIdentifier=0102 -set_serial -5");
	b = facts("/CN=b", "-addext subjectKeyIdentifier=0102 -set_serial 128");
	assert_string_equal(a->ski, "0102"); /* a collision: only the fingerprints differ */
	assert_string_equal(b->ski, "0102");
	assert_string_not_equal(a->sha256, b->sha256);
	assert_string_equal(a->serial, "-05");
	assert_string_equal(b->serial, "80");
	assert_int_equal(b->serial_der.n, 2);
	rf_cert_put(a);
	rf_cert_put(b);
	run("openssl req -x509 -newkey rsa:2048 -nodes -keyout r.key -out r.pem -subj /CN=r");
	RF_BUF_AUTO pem = slurp("r.pem");
	X509 *x = NULL;
	assert_int_equal(rf_pem_cert(rf_buf_str(&pem), &x, &err), RF_OK);
	assert_int_equal(rf_cert_from_x509(x, x, 0, &a, &err), RF_OK);
	assert_string_equal(a->key, "RSA 2048");
	assert_string_equal(a->issuer_serial, a->serial);
	assert_int_equal(rf_cert_from_x509(x, NULL, 100, &b, &err), RF_E_TOO_LARGE);
	X509_free(x);
	rf_cert_put(a);
}

static void odd_certificates_are_refused(void **state)
{
	(void)state;
	struct rf_cert *c = NULL;
	char serial[128];
	snprintf(serial, sizeof serial, "-set_serial 0x%080d", 1);
	X509 *x = make("/CN=x", serial);
	assert_int_equal(rf_cert_from_x509(x, NULL, 0, &c, &err), RF_OK); /* leading zeros are no digits */
	rf_cert_put(c);
	X509_free(x);
	memset(serial + 14, '7', 80);
	x = make("/CN=x", serial);
	c = NULL;
	assert_int_equal(rf_cert_from_x509(x, NULL, 0, &c, &err), RF_E_CERT);
	assert_non_null(strstr(err.text, "serial"));
	X509_free(x);
	RF_BUF_AUTO conf = { 0 };
	rf_buf_printf(&conf, "[req]\ndistinguished_name=d\nx509_extensions=x\n[d]\n[x]\nsubjectAltName=@s\n[s]\n");
	for (int i = 0; i < 700; i++)
		rf_buf_printf(&conf, "DNS.%d=a-rather-long-name-%d.example.com\n", i, i);
	spill("huge.conf", rf_buf_str(&conf));
	assert_int_equal(run("openssl req -x509 -key k.pem -subj /CN=h -config huge.conf -out c.pem"), 0);
	RF_BUF_AUTO pem = slurp("c.pem");
	x = NULL;
	assert_int_equal(rf_pem_cert(rf_buf_str(&pem), &x, &err), RF_E_TOO_LARGE);
	assert_null(x);
	assert_null(c);
}

static void broken_der_is_refused(void **state)
{
	(void)state;
	struct rf_cert *c = facts("/CN=x", "-addext subjectAltName=DNS:a.example,IP:10.0.0.1"), *d = NULL;
	size_t n = c->der.n;
	char *der = malloc(n + 1);
	memcpy(der, c->der.p, n);
	der[n] = 0;
	for (size_t k = 0; k < n; k++)
		assert_int_not_equal(rf_cert_from_der((struct rf_str){ der, k }, &d, &err), RF_OK);
	assert_int_not_equal(rf_cert_from_der((struct rf_str){ der, n + 1 }, &d, &err), RF_OK); /* a byte behind */
	for (size_t i = 0; i < n * 8; i++) {
		der[i / 8] ^= (char)(1 << i % 8);
		if (rf_cert_from_der((struct rf_str){ der, n }, &d, &err) == RF_OK) {
			struct rf_str v;
			assert_string_not_equal(d->sha256, c->sha256);
			rf_cert_subject(d, RF_DN_DEFAULT, &arena);
			rf_cert_san(d, RF_SAN_IP, 0, &arena, &v);
			rf_cert_put(d);
			rf_arena_reset(&arena);
		}
		der[i / 8] ^= (char)(1 << i % 8);
	}
	free(der);
	rf_cert_put(c);
}

static void times_are_strict(void **state)
{
	(void)state;
	static const struct {
		struct rf_str der;
		int64_t epoch; /* -1: refused */
	} CASES[] = {
		{ RF_STR("\x17\x0d" "700101000000Z"), 0 },
		{ RF_STR("\x17\x0d" "220321133500Z"), 1647869700 },
		{ RF_STR("\x18\x0f" "20220321133500Z"), 1647869700 },
		{ RF_STR("\x18\x0f" "99991231235959Z"), 253402300799 },
		{ RF_STR("\x17\x0d" "221321133500Z"), -1 },
		{ RF_STR("\x17\x0d" "220321133560Z"), -1 },
		{ RF_STR("\x17\x0b" "2203211335Z"), -1 },
		{ RF_STR("\x17\x11" "220321133500+0100"), -1 },
		{ RF_STR("\x18\x0f" "2022032113350.Z"), -1 },
	};
	char text[RF_CERT_TIME];
	for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
		struct rf_cur at = rf_cur_over(CASES[i].der.p, CASES[i].der.n);
		int64_t got = rf_der_time(&at);
		assert_int_equal(rf_cur_ok(&at) ? got : -1, CASES[i].epoch);
	}
	assert_string_equal(rf_cert_time(1647869700, text), "Mar 21 13:35:00 2022 GMT");
	assert_string_equal(rf_cert_time(1646092800, text), "Mar  1 00:00:00 2022 GMT");
}

static int expand(const char *tmpl, const struct rf_cert *c, struct rf_str *ret)
{
	struct rf_cert_tmpl *t = NULL;
	int rc = rf_cert_tmpl_compile(rf_str_z(tmpl), &t, &err);
	if (rc != RF_OK)
		return rc;
	rc = rf_cert_tmpl_expand(t, c, &arena, ret);
	struct rf_str copy =
		rc == RF_OK ? rf_arena_dup(&arena, *ret) : (struct rf_str){ NULL, 0 }; /* it may point into t */
	rf_cert_tmpl_free(t);
	*ret = copy;
	return rc;
}

static void templates_expand(void **state)
{
	(void)state;
	static const struct {
		const char *tmpl, *want;
	} CASES[] = {
		{ "dev-${cert.subject.cn}", "dev-d1" },
		{ "${cert.subject.OU[1]}/${cert.subject.ou}", "B/A" },
		{ "${cert.san.uri[0]}", "urn:uuid:7" },
		{ "${cert.san.dns[1]}", "b.example" },
		{ "${cert.san.ip}", "10.0.0.1" },
		{ "$${cert.serial} $5 $", "${cert.serial} $5 $" },
		{ "a$$${cert.serial}", "a$${cert.serial}" },
		{ "${cert.serial}", "2A" },
		{ "${cert.issuer.cn}", "d1" },
		{ "${cert.key}", "EC P-256" },
		{ "plain", "plain" },
	};
	struct rf_cert *c = facts(
		"/OU=A/OU=B/CN=d1",
		"-set_serial 42 -addext subjectAltName=DNS:a.example,URI:urn:uuid:7,DNS:b.example,IP:10.0.0.1");
	struct rf_str v = { NULL, 0 };
	for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
		assert_int_equal(expand(CASES[i].tmpl, c, &v), RF_OK);
		assert_text(v, CASES[i].want);
	}
	assert_int_equal(expand("x${cert.san.email}", c, &v), RF_E_MISSING);
	assert_int_equal(expand("${cert.san.dns[2]}", c, &v), RF_E_MISSING);
	rf_cert_put(c);
	c = facts("/CN=a\nX-Admin: 1", "");
	assert_int_equal(expand("${cert.subject.cn}", c, &v), RF_E_INVALID);
	rf_cert_put(c);
}

static void wrong_templates_are_explained(void **state)
{
	(void)state;
	struct rf_str v;
	assert_int_equal(expand("id ${cert.seral}", NULL, &v), RF_E_UNKNOWN);
	assert_non_null(strstr(err.text, "did you mean ${cert.serial}?"));
	assert_int_equal(err.column, 4);
	assert_int_equal(expand("${cert.subject.cm}", NULL, &v), RF_E_UNKNOWN);
	assert_non_null(strstr(err.text, "cert.subject.c"));
	assert_int_equal(expand("${cert.serial", NULL, &v), RF_E_SYNTAX);
	assert_int_equal(expand("${cert.serial[0]}", NULL, &v), RF_E_SYNTAX);
	assert_int_equal(expand("${cert.san.dns[x]}", NULL, &v), RF_E_SYNTAX);
	assert_int_equal(expand("${cert.san.dns[64]}", NULL, &v), RF_E_SYNTAX);
	assert_int_equal(expand("${cert.san.dns[0}", NULL, &v), RF_E_SYNTAX);
	assert_int_equal(expand("${}", NULL, &v), RF_E_UNKNOWN);
	assert_int_equal(expand("a\r\nb", NULL, &v), RF_E_SYNTAX);
	assert_int_equal(expand("", NULL, &v), RF_E_MISSING);
	char many[200] = "";
	for (int i = 0; i < RF_CERT_TMPL_PARTS + 1; i++)
		strcat(many, "$${");
	assert_int_equal(expand(many, NULL, &v), RF_E_TOO_LARGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_come_in_three_styles),
		cmocka_unit_test(old_string_types_become_utf8),
		cmocka_unit_test(identifiers_are_right),
		cmocka_unit_test(odd_certificates_are_refused),
		cmocka_unit_test(broken_der_is_refused),
		cmocka_unit_test(times_are_strict),
		cmocka_unit_test(templates_expand),
		cmocka_unit_test(wrong_templates_are_explained),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
