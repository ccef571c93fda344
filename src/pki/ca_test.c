#include "pki/test.h"
#include <openssl/x509.h>
#include "base/arena.h"
#include "pki/key.h"
#include "pki/pem.h"
#include "pki/token.h"

static int setup(void **state)
{
	(void)state;
	make_dir();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	remove_dir();
	return 0;
}

static void ca_is_created_once(void **state)
{
	(void)state;
	struct rf_ca *a = open_ca("once", NULL), *b = open_ca("once", NULL);
	assert_int_equal(X509_cmp(rf_ca_cert(a), rf_ca_cert(b)), 0);
	assert_int_equal(X509_cmp(rf_ca_root(a), rf_ca_root(b)), 0);
	assert_int_equal(run("openssl verify -attime %d -CAfile once/root.crt once/intermediate.crt", NOW), 0);
	assert_int_equal(run("test $(stat -c %%a once/root.key) = 600 && test $(stat -c %%a "
			     "once/intermediate.key) = 600"),
			 0);
	rf_ca_free(a);
	rf_ca_free(b);
}

/* Every prefix of the ladder is what a crash can leave; each must be climbed, and what was there kept. */
static void creation_survives_a_crash_at_each_step(void **state)
{
	(void)state;
	static const char *const FILES[] = { "root.key", "root.crt", "intermediate.key", "intermediate.crt" };
	for (size_t kept = 0; kept < 4; kept++) {
		rf_ca_free(open_ca("crash", NULL));
		for (size_t i = kept; i < 4; i++)
			run("mv crash/%s crash/%s.new", FILES[i], FILES[i]);
		run("cd crash && sha256sum $(ls | grep -v new) /dev/null > ../before");
		rf_ca_free(open_ca("crash", NULL));
		assert_int_equal(run("cd crash && sha256sum -c ../before"), 0);
		assert_int_equal(
			run("openssl verify -attime %d -CAfile crash/root.crt crash/intermediate.crt", NOW), 0);
		run("rm -rf crash");
	}
}

static int open_rc(const char *sub, int64_t now)
{
	struct rf_ca *ca = NULL;
	int rc = rf_ca_open(&(struct rf_ca_conf){ .dir = in_dir(sub) }, now, &ca, &err);
	rf_ca_free(ca);
	return rc;
}

static void a_broken_ca_is_refused(void **state)
{
	(void)state;
	rf_ca_free(open_ca("good", NULL));
	rf_ca_free(open_ca("other", NULL));
	run("cp -a good a && cp other/intermediate.key a/");
	assert_int_equal(open_rc("a", NOW), RF_E_CERT);
	assert_non_null(strstr(err.text, "does not belong"));
	run("cp -a good b && cp other/root.crt other/root.key b/");
	assert_int_equal(open_rc("b", NOW), RF_E_CERT);
	run("cp -a good c && rm c/root.crt");
	assert_int_equal(open_rc("c", NOW), RF_E_MISSING);
	run("cp -a good d && rm d/intermediate.key");
	assert_int_equal(open_rc("d", NOW), RF_E_MISSING);
	run("cp -a good f && chmod 640 f/intermediate.key");
	assert_int_equal(open_rc("f", NOW), RF_E_DENIED);
	assert_non_null(strstr(err.text, "chmod 600"));
	run("cp -a good g && echo junk > g/intermediate.crt");
	assert_int_equal(open_rc("g", NOW), RF_E_CERT);
	run("cp -a good h && rm h/root.key");
	assert_int_equal(open_rc("h", NOW), RF_OK); /* offline root */
	assert_int_equal(open_rc("good", NOW + 11ll * 366 * 86400), RF_E_CERT);
	assert_int_equal(open_rc("good", NOW - 2 * 86400), RF_E_CERT);
}

static struct rf_buf make_csr(const char *key, const char *extra)
{
	if (run("openssl req -new %s -nodes -keyout dev.key -subj /O=Acme/CN=dev-1 -out dev.csr %s", key,
		extra) != 0)
		run("cat out >&2");
	return slurp("dev.csr");
}

static void a_leaf_is_what_was_asked(void **state)
{
	(void)state;
	struct rf_ca *ca = open_ca("issue", "http://ca.example.com");
	struct rf_buf csr =
		make_csr("-newkey ec -pkeyopt ec_paramgen_curve:P-256",
			 "-addext subjectAltName=DNS:evil.example.com -addext basicConstraints=CA:TRUE");
	struct rf_san sans[] = {
		{ RF_SAN_URI, RF_STR("urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6") },
		{ RF_SAN_DNS, RF_STR("dev-1.example.com") },
		{ RF_SAN_IP, RF_STR("2001:db8::7") },
	};
	struct rf_issue req = { .csr = rf_buf_str(&csr), .days = 30, .sans = sans, .san_count = 3 };
	struct rf_cert *c = NULL;
	assert_int_equal(rf_ca_issue(ca, &req, NOW, &c, &err), RF_OK);
	assert_int_equal(c->not_before, NOW - 3600);
	assert_int_equal(c->not_after, NOW + 30 * 86400);
	assert_int_equal(strlen(c->serial), 32);
	assert_string_equal(c->key, "EC P-256");
	assert_false(c->ca);
	assert_false(c->ski_computed);

	struct rf_arena a;
	rf_arena_init(&a, 65536);
	struct rf_str v;
	assert_true(rf_cert_attr(c, false, RF_STR("CN"), 0, &a, &v));
	assert_true(rf_str_eq(v, RF_STR("dev-1")));
	assert_true(rf_str_eq(rf_cert_subject(c, RF_DN_DEFAULT, &a), RF_STR("CN=dev-1, O=Acme")));
	assert_true(rf_str_eq(rf_cert_subject(c, RF_DN_RFC2253, &a), RF_STR("CN=dev-1,O=Acme")));
	assert_true(rf_str_eq(rf_cert_subject(c, RF_DN_LEGACY, &a), RF_STR("/O=Acme/CN=dev-1")));
	assert_true(rf_cert_san(c, RF_SAN_IP, 0, &a, &v));
	assert_true(rf_str_eq(v, RF_STR("2001:db8::7")));
	assert_true(rf_cert_san(c, RF_SAN_DNS, 0, &a, &v));
	assert_true(rf_str_eq(v, RF_STR("dev-1.example.com")));
	assert_false(rf_cert_san(c, RF_SAN_DNS, 1, &a, &v));
	rf_arena_fini(&a);

	RF_BUF_AUTO pem = { 0 };
	rf_cert_pem(c, &pem);
	spill("leaf.crt", rf_buf_str(&pem));
	assert_int_equal(run("openssl verify -x509_strict -purpose sslclient -attime %d -CAfile issue/root.crt "
			     "-untrusted issue/intermediate.crt leaf.crt", NOW), 0);
	assert_int_not_equal(run("openssl verify -purpose sslserver -attime %d -CAfile issue/root.crt "
				 "-untrusted issue/intermediate.crt leaf.crt", NOW), 0);
	assert_int_equal(run("test \"$(openssl x509 -in leaf.crt -noout -serial)\" = serial=%s", c->serial), 0);
	assert_int_equal(
		run("openssl x509 -in leaf.crt -noout -fingerprint -sha256 | tr -d : | grep -qi %s", c->sha256),
		0);
	assert_int_equal(
		run("openssl x509 -in leaf.crt -noout -ext subjectKeyIdentifier | tr -d ': ' | grep -q %s",
		    c->ski),
		0);
	assert_int_equal(run("openssl x509 -in issue/intermediate.crt -noout -ext subjectKeyIdentifier | tr -d "
			     "': ' | grep -q %s",
			     c->issuer_ski),
			 0);
	assert_int_equal(
		run("openssl x509 -in issue/intermediate.crt -noout -serial | grep -q =%s$", c->issuer_serial),
		0);
	assert_int_equal(
		run("openssl x509 -in leaf.crt -noout -ocsp_uri | grep -qx http://ca.example.com/ocsp"), 0);
	assert_int_equal(run("openssl x509 -in leaf.crt -noout -text | grep -q http://ca.example.com/crl"), 0);
	assert_int_not_equal(run("openssl x509 -in leaf.crt -noout -text | grep -q evil"), 0);
	rf_cert_put(c);
	rf_buf_fini(&csr);
	rf_ca_free(ca);
}

static void keys_outside_the_policy_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *key, *extra, *reason;
	} CASES[] = {
		{ "-newkey ec -pkeyopt ec_paramgen_curve:P-384", "", NULL },
		{ "-newkey rsa:2048", "", NULL },
		{ "-newkey rsa:1024", "", "1024 bits" },
		{ "-newkey ec -pkeyopt ec_paramgen_curve:P-521", "", "secp521r1" },
		{ "-newkey ec -pkeyopt ec_paramgen_curve:secp256k1", "", "secp256k1" },
		{ "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit", "", "explicit" },
		{ "-newkey ed25519", "", "kind of key" },
		{ "-newkey rsa:2048", "-sha1", "SHA1" },
	};
	struct rf_ca *ca = open_ca("policy", NULL);
	for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
		struct rf_buf csr = make_csr(CASES[i].key, CASES[i].extra);
		struct rf_cert *c = NULL;
		struct rf_issue req = { .csr = rf_buf_str(&csr), .days = 1 };
		int rc = rf_ca_issue(ca, &req, NOW, &c, &err);
		assert_int_equal(rc, CASES[i].reason ? RF_E_CERT : RF_OK);
		if (CASES[i].reason) {
			assert_non_null(strstr(err.text, CASES[i].reason));
			assert_string_equal(err.pointer, "/csr");
		}
		rf_cert_put(c);
		rf_buf_fini(&csr);
	}
	rf_ca_free(ca);
}

static void hostile_csrs_are_refused(void **state)
{
	(void)state;
	struct rf_ca *ca = open_ca("hostile", NULL);
	RF_BUF_AUTO pem = make_csr("-newkey ec -pkeyopt ec_paramgen_curve:P-256", "-outform DER");
	struct rf_cert *c = NULL;
	for (size_t n = 0; n < pem.n; n++) { /* every truncation */
		struct rf_issue req = { .csr = { pem.p, n }, .days = 1 };
		assert_int_not_equal(rf_ca_issue(ca, &req, NOW, &c, &err), RF_OK);
	}
	pem.p[pem.n - 1] ^= 1; /* the signature */
	struct rf_issue req = { .csr = rf_buf_str(&pem), .days = 1 };
	assert_int_equal(rf_ca_issue(ca, &req, NOW, &c, &err), RF_E_CERT);
	req.csr = RF_STR("-----BEGIN CERTIFICATE REQUEST-----\nProc-Type: 4,ENCRYPTED\n"
			 "DEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\nAAAA\n"
			 "-----END CERTIFICATE REQUEST-----\n"); /* must not make us ask anybody for a passphrase */
	assert_int_equal(rf_ca_issue(ca, &req, NOW, &c, &err), RF_E_SYNTAX);
	char *huge = calloc(1, RF_CSR_MAX + 1);
	req.csr = (struct rf_str){ huge, RF_CSR_MAX + 1 };
	assert_int_equal(rf_ca_issue(ca, &req, NOW, &c, &err), RF_E_TOO_LARGE);
	free(huge);
	assert_null(c);
	rf_ca_free(ca);
}

static void bounds_of_a_request_hold(void **state)
{
	(void)state;
	struct rf_ca *ca = open_ca("bounds", NULL);
	struct rf_bundle b = { 0 };
	struct rf_issue req = { .cn = RF_STR("x"), .days = 0 };
	assert_int_equal(rf_ca_bundle(ca, &req, NOW, &b, &err), RF_E_RANGE);
	assert_string_equal(err.pointer, "/validity_days");
	req.days = RF_CA_DAYS_MAX + 1;
	assert_int_equal(rf_ca_bundle(ca, &req, NOW, &b, &err), RF_E_RANGE);
	req.days = 1;
	req.cn = RF_STR("a\nb");
	assert_int_equal(rf_ca_bundle(ca, &req, NOW, &b, &err), RF_E_INVALID);
	req.cn = RF_STR("\xff\xfe");
	assert_int_equal(rf_ca_bundle(ca, &req, NOW, &b, &err), RF_E_INVALID);
	req.cn = (struct rf_str){ NULL, 0 };
	assert_int_equal(rf_ca_bundle(ca, &req, NOW, &b, &err), RF_E_MISSING);
	req.cn = RF_STR("x");
	struct rf_san bad[] = { { RF_SAN_DNS, RF_STR("ok.example") }, { RF_SAN_IP, RF_STR("300.1.1.1") } };
	req.sans = bad;
	req.san_count = 2;
	assert_int_equal(rf_ca_bundle(ca, &req, NOW, &b, &err), RF_E_INVALID);
	assert_string_equal(err.pointer, "/sans/1");
	req.san_count = 0;
	int64_t late = NOW + ((int64_t)RF_CA_INTERMEDIATE_DAYS - 3) * 86400;
	req.days = 100;
	assert_int_equal(rf_ca_bundle(ca, &req, late, &b, &err), RF_OK); /* cut at the CA's end */
	assert_int_equal(b.cert->not_after, NOW + (int64_t)RF_CA_INTERMEDIATE_DAYS * 86400);
	rf_bundle_fini(&b);
	assert_int_equal(rf_ca_bundle(ca, &req, late + 4 * 86400, &b, &err), RF_E_CERT);
	rf_ca_free(ca);
}

static void a_bundle_is_complete(void **state)
{
	(void)state;
	struct rf_ca *ca = open_ca("bundle", NULL);
	struct rf_bundle b = { 0 };
	struct rf_issue req = { .cn = RF_STR("sensor-9"), .days = 365 };
	assert_int_equal(rf_ca_bundle(ca, &req, NOW, &b, &err), RF_OK);
	EVP_PKEY *key = NULL;
	X509 *x = NULL;
	STACK_OF(X509) *chain = NULL;
	assert_int_equal(rf_key_parse(rf_buf_str(&b.key_pem), &key, &err), RF_OK);
	assert_int_equal(rf_pem_certs(rf_buf_str(&b.cert_pem), &chain, &err), RF_OK);
	assert_int_equal(sk_X509_num(chain), 2);
	assert_int_equal(rf_x509_match(sk_X509_value(chain, 0), key, &err), RF_OK);
	assert_int_equal(rf_x509_match(sk_X509_value(chain, 1), key, &err), RF_E_CERT);
	assert_false(rf_x509_is_ca(sk_X509_value(chain, 0)));
	assert_true(rf_x509_is_ca(sk_X509_value(chain, 1)));
	assert_int_equal(rf_pem_cert(rf_buf_str(&b.ca_pem), &x, &err), RF_OK);
	assert_int_equal(X509_cmp(x, rf_ca_root(ca)), 0);
	rf_buf_add(&b.cert_pem, rf_buf_str(&b.key_pem));
	STACK_OF(X509) *none = NULL;
	assert_int_equal(rf_pem_certs(rf_buf_str(&b.cert_pem), &none, &err), RF_E_INVALID);
	assert_int_equal(rf_pem_certs(RF_STR("hello"), &none, &err), RF_E_MISSING);
	X509_free(x);
	sk_X509_pop_free(chain, X509_free);
	EVP_PKEY_free(key);
	rf_bundle_fini(&b);
	rf_ca_free(ca);
}

static void tokens_are_checked(void **state)
{
	(void)state;
	char text[RF_TOKEN_SIZE];
	uint8_t a[RF_TOKEN_HASH], b[RF_TOKEN_HASH] = { 0 };
	assert_int_equal(rf_token_new(RF_TOKEN_PROVISION, text, a), RF_OK);
	assert_int_equal(strlen(text), RF_TOKEN_SIZE - 1);
	assert_int_equal(rf_token_hash(RF_TOKEN_PROVISION, rf_str_z(text), b), RF_OK);
	assert_memory_equal(a, b, sizeof a);
	assert_int_equal(rf_token_hash(RF_TOKEN_API, rf_str_z(text), b), RF_E_SYNTAX);
	assert_int_equal(rf_token_hash(RF_TOKEN_PROVISION, (struct rf_str){ text, RF_TOKEN_SIZE - 2 }, b),
			 RF_E_SYNTAX);
	text[10] ^= 1;
	if (rf_token_hash(RF_TOKEN_PROVISION, rf_str_z(text), b) == RF_OK)
		assert_memory_not_equal(a, b, sizeof a);
	text[10] = '\n';
	assert_int_equal(rf_token_hash(RF_TOKEN_PROVISION, rf_str_z(text), b), RF_E_SYNTAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ca_is_created_once),
		cmocka_unit_test(creation_survives_a_crash_at_each_step),
		cmocka_unit_test(a_broken_ca_is_refused),
		cmocka_unit_test(a_leaf_is_what_was_asked),
		cmocka_unit_test(keys_outside_the_policy_are_refused),
		cmocka_unit_test(hostile_csrs_are_refused),
		cmocka_unit_test(bounds_of_a_request_hold),
		cmocka_unit_test(a_bundle_is_complete),
		cmocka_unit_test(tokens_are_checked),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
