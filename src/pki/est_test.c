#include "pki/test.h"
#include <openssl/x509.h>
#include "pki/est.h"
#include "pki/key.h"

/* A caller's state: one token, one known device. */
struct fleet {
	bool spent, known, fail_store, pending;
	unsigned spends, stores, unspends;
	bool quarantine;
};

static struct rf_ca *ca;

static int spend(void *ctx, struct rf_str token, struct rf_str subject, struct rf_est_grant *ret)
{
	struct fleet *f = ctx;
	(void)subject;
	f->spends++;
	if (f->pending) {
		ret->retry_after = 7;
		return RF_E_AGAIN;
	}
	if (f->spent || !rf_str_eq(token, RF_STR("rfp_good")))
		return RF_E_UNAUTH;
	f->spent = true;
	*ret = (struct rf_est_grant){ .days = 30,
				      .sans = { { RF_SAN_URI, RF_STR("urn:uuid:1") },
						{ RF_SAN_IP, RF_STR("10.1.2.3") } },
				      .san_count = 2 };
	return RF_OK;
}

static int renew(void *ctx, const struct rf_est_request *r, bool expired, struct rf_est_grant *ret)
{
	struct fleet *f = ctx;
	assert_int_equal(expired, r->peer == RF_EST_EXPIRED);
	ret->days = 30;
	return f->known ? RF_OK : RF_E_DENIED;
}

static int store(void *ctx, const struct rf_est_grant *g, struct rf_cert *c, bool quarantine, struct rf_err *e)
{
	struct fleet *f = ctx;
	(void)g;
	(void)c;
	f->stores++;
	f->quarantine = quarantine;
	return f->fail_store ? rf_fail(e, RF_E_DISK, "the disk is full") : RF_OK;
}

static void unspend(void *ctx, struct rf_str token, const struct rf_est_grant *g)
{
	struct fleet *f = ctx;
	(void)token;
	(void)g;
	f->unspends++;
	f->spent = false;
}

static const struct rf_est_ops ops = { spend, renew, store, unspend };

static int setup(void **state)
{
	(void)state;
	make_dir();
	ca = open_ca("ca", NULL);
	return run(
		"openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout d.key -subj "
		"/O=Acme/CN=d1 "
		"-outform DER -out d.csr && openssl base64 -in d.csr -out d.b64 && "
		"openssl req -new -key d.key -subj /O=Acme/CN=d2 -outform DER | openssl base64 -out d2.b64 && "
		"printf "
		"'[req]\\nprompt=no\\ndistinguished_name=d\\nattributes=a\\n[d]\\nO=Acme\\nCN=d1\\n[a]"
		"\\nchallengePassword=Ymlu\\n' "
		"> c.conf && openssl req -new -key d.key -config c.conf -outform DER | openssl base64 -out "
		"c.b64");
}

static int teardown(void **state)
{
	(void)state;
	rf_ca_free(ca);
	remove_dir();
	return 0;
}

static struct rf_est_request enroll(struct rf_str body)
{
	return (struct rf_est_request){ .method = RF_STR("POST"),
					.path = RF_STR("simpleenroll"),
					.content_type = RF_STR("application/pkcs10"),
					.body = body,
					.token = RF_STR("rfp_good") };
}

static int handle(struct fleet *f, const struct rf_est_request *r, struct rf_est_response *to)
{
	return rf_est_handle(ca, &ops, f, r, NOW, to, &err);
}

/* The status, when nothing else of the answer matters. */
static int status(struct fleet *f, const struct rf_est_request *r)
{
	struct rf_est_response to;
	handle(f, r, &to);
	int s = to.status;
	assert_true(s == 200 || !to.issued);
	assert_true(s == 401 ? to.authenticate : !to.authenticate);
	rf_est_response_fini(&to);
	return s;
}

static void cacerts_are_readable_by_others(void **state)
{
	(void)state;
	struct fleet f = { 0 };
	struct rf_est_response to;
	struct rf_est_request r = { .method = RF_STR("GET"), .path = RF_STR("cacerts") };
	assert_int_equal(handle(&f, &r, &to), RF_OK);
	assert_int_equal(to.status, 200);
	assert_true(to.base64);
	assert_string_equal(to.content_type, "application/pkcs7-mime; smime-type=certs-only");
	spill("ca.p7", rf_buf_str(&to.body));
	assert_int_equal(run("openssl base64 -d -A -in ca.p7 | openssl pkcs7 -inform DER -print_certs -out all.pem && "
			     "test $(grep -c BEGIN all.pem) = 2"), 0);
	rf_est_response_fini(&to);
	r.path = RF_STR("fleet-a/csrattrs");
	assert_int_equal(handle(&f, &r, &to), RF_OK);
	spill("attrs", rf_buf_str(&to.body));
	assert_int_equal(run("openssl base64 -d -A -in attrs | openssl asn1parse -inform DER > text && grep -q "
			     "prime256v1 text"),
			 0);
	rf_est_response_fini(&to);
}

static void a_device_enrols_once(void **state)
{
	(void)state;
	struct fleet f = { 0 };
	struct rf_est_response to;
	RF_BUF_AUTO csr = slurp("d.b64");
	struct rf_est_request r = enroll(rf_buf_str(&csr));
	assert_int_equal(handle(&f, &r, &to), RF_OK);
	assert_int_equal(to.status, 200);
	assert_false(to.quarantine);
	assert_non_null(to.issued);
	spill("leaf.p7", rf_buf_str(&to.body));
	assert_int_equal(
		run("openssl base64 -d -A -in leaf.p7 | openssl pkcs7 -inform DER -print_certs -out leaf.pem && "
		    "openssl verify -attime %d -CAfile ca/root.crt -untrusted ca/intermediate.crt leaf.pem",
		    NOW),
		0);
	rf_est_response_fini(&to);
	assert_int_equal(status(&f, &r), 401); /* spent */
	assert_int_equal(f.stores, 1);

	f = (struct fleet){ .fail_store = true };
	assert_int_equal(status(&f, &r), 507); /* nothing stored: the token is given back */
	assert_int_equal(f.unspends, 1);
	assert_false(f.spent);
	f = (struct fleet){ .pending = true };
	assert_int_equal(handle(&f, &r, &to), RF_E_AGAIN);
	assert_int_equal(to.status, 202);
	assert_int_equal(to.retry_after, 7);
	rf_est_response_fini(&to);
}

static void bad_requests_cost_no_token(void **state)
{
	(void)state;
	struct fleet f = { 0 };
	RF_BUF_AUTO csr = slurp("d.b64");
	struct rf_est_request good = enroll(rf_buf_str(&csr)), r = good;
	r.token = RF_STR("");
	assert_int_equal(status(&f, &r), 401);
	r = good;
	r.content_type = RF_STR("text/plain");
	assert_int_equal(status(&f, &r), 415);
	r = good;
	r.method = RF_STR("GET");
	assert_int_equal(status(&f, &r), 405);
	r = good;
	r.path = RF_STR("serverkeygen");
	assert_int_equal(status(&f, &r), 404);
	r.path = RF_STR("a/b/simpleenroll");
	assert_int_equal(status(&f, &r), 404);
	r = good;
	for (size_t n = 0; n + 1 < csr.n; n++) {
		r.body.n = n;
		assert_int_equal(status(&f, &r), 400);
	}
	r.body = RF_STR("!!!!");
	assert_int_equal(status(&f, &r), 400);
	char *big = malloc(RF_EST_BODY_MAX + 1);
	memset(big, 'A', RF_EST_BODY_MAX + 1);
	r.body = (struct rf_str){ big, RF_EST_BODY_MAX + 1 };
	assert_int_equal(status(&f, &r), 413);
	r.body.n = RF_EST_BODY_MAX;
	assert_int_equal(status(&f, &r), 413); /* decodes to more than a CSR may have */
	free(big);
	assert_int_equal(f.spends, 0);
	r = good;
	r.content_type = RF_STR("Application/PKCS10; charset=x");
	assert_int_equal(status(&f, &r), 200);
}

static void a_channel_binding_is_checked_when_there(void **state)
{
	(void)state;
	struct fleet f = { 0 };
	RF_BUF_AUTO bound = slurp("c.b64"), plain = slurp("d.b64");
	struct rf_est_request r = enroll(rf_buf_str(&bound));
	assert_int_equal(status(&f, &r), 400);
	r.tls_unique = RF_STR("YmluZ");
	assert_int_equal(status(&f, &r), 400);
	assert_int_equal(f.spends, 0);
	r.tls_unique = RF_STR("Ymlu");
	assert_int_equal(status(&f, &r), 200);
	f.spent = false;
	r.body = rf_buf_str(&plain);
	assert_int_equal(status(&f, &r), 200);
}

static void a_device_renews(void **state)
{
	(void)state;
	struct fleet f = { .known = true };
	struct rf_est_response first, to;
	RF_BUF_AUTO csr = slurp("d.b64"), other = slurp("d2.b64");
	struct rf_est_request r = enroll(rf_buf_str(&csr));
	assert_int_equal(handle(&f, &r, &first), RF_OK);
	r.path = RF_STR("simplereenroll");
	assert_int_equal(status(&f, &r), 403); /* a token renews nothing */
	r.peer_cert = first.issued;
	r.peer = RF_EST_VALID;
	assert_int_equal(handle(&f, &r, &to), RF_OK);
	assert_true(to.reenrolled);
	assert_false(to.quarantine);
	assert_string_not_equal(to.issued->serial, first.issued->serial);
	assert_true(rf_str_eq(to.issued->sans, first.issued->sans)); /* the names stay */
	rf_est_response_fini(&to);

	r.peer = RF_EST_EXPIRED;
	assert_int_equal(handle(&f, &r, &to), RF_OK);
	assert_true(to.quarantine);
	assert_true(f.quarantine);
	rf_est_response_fini(&to);

	r.body = rf_buf_str(&other);
	assert_int_equal(status(&f, &r), 400); /* another subject */
	r.body = rf_buf_str(&csr);
	f.known = false;
	assert_int_equal(status(&f, &r), 403);
	r.peer = RF_EST_NONE;
	f.known = true;
	assert_int_equal(status(&f, &r), 403);
	r.path = RF_STR("simpleenroll"); /* an expired certificate opens nothing but renewal */
	r.peer = RF_EST_EXPIRED;
	r.token = RF_STR("");
	assert_int_equal(status(&f, &r), 401);
	rf_est_response_fini(&first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cacerts_are_readable_by_others),
		cmocka_unit_test(a_device_enrols_once),
		cmocka_unit_test(bad_requests_cost_no_token),
		cmocka_unit_test(a_channel_binding_is_checked_when_there),
		cmocka_unit_test(a_device_renews),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
