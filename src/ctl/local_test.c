/* The service behind the hosts of the edge, over a real store, registry and CA; the edge is played by the test. */
#include "ctl/test.h"
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/pkcs7.h>
#include "base/enc.h"
#include "ctl/doc.h"
#include "ctl/local_own.h"
#include "pki/credkey.h"
#include "pki/token.h"

static struct rf_local *local;
static bool was_answered;

static void answered(struct rf_local_request *q)
{
	(void)q;
	assert_false(was_answered);
	was_answered = true;
}

static int setup(void **state)
{
	(void)state;
	world_open("ca:\n  crl_validity: 1h\n");
	GOOD(rf_local_new(&w.ctl, &local, &w.e));
	local->answered = answered;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rf_local_free(local);
	world_close();
	return 0;
}

/* --- one request --- */

static struct rf_local_request q;

static void fresh(const char *method, const char *path)
{
	rf_buf_fini(&q.answer);
	rf_buf_fini(&q.headers);
	q = (struct rf_local_request){ .method = rf_str_z(method), .path = rf_str_z(path), .tls = true, .status = 500 };
}

/* The status. */
static int ask(void)
{
	was_answered = false;
	rf_buf_fini(&q.answer);
	rf_buf_fini(&q.headers);
	rf_local_handle(local, &q);
	for (int i = 0; i < 10 && !was_answered; i++)
		rf_loop_turn(w.ctl.loop, 0);
	assert_true(was_answered);
	return q.status;
}

static int get(const char *path)
{
	fresh("GET", path);
	return ask();
}

static bool headers_have(const char *text)
{
	return strstr(rf_buf_z(&q.headers), text) != NULL;
}

/* --- what a device has --- */

static EVP_PKEY *new_key(void)
{
	EVP_PKEY *k = EVP_EC_gen("P-256");
	assert_non_null(k);
	return k;
}

/* base64 of a CSR. */
static struct rf_buf csr(EVP_PKEY *key, const char *cn)
{
	struct rf_buf b = { 0 };
	X509_REQ *r = X509_REQ_new();
	unsigned char *der = NULL;
	if (cn)
		X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(r), "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0);
	X509_REQ_set_pubkey(r, key);
	assert_true(X509_REQ_sign(r, key, EVP_sha256()) > 0);
	int n = i2d_X509_REQ(r, &der);
	rf_b64_add(&b, (struct rf_str){ (char *)der, (size_t)n });
	OPENSSL_free(der);
	X509_REQ_free(r);
	return b;
}

static void new_token(const char *class_id, const char *device_name, char text[RF_TOKEN_SIZE])
{
	uint8_t hash[RF_TOKEN_HASH];
	char name[2 * RF_TOKEN_HASH + 1], id[33] = "", at[RF_RFC3339_SIZE];
	GOOD(rf_token_new(RF_TOKEN_PROVISION, text, hash));
	rf_hex(hash, sizeof hash, name);
	rf_rfc3339((w.now_s + 86400) * (int64_t)RF_NS_S, 0, at);
	json_t *doc = json_pack("{s:s, s:[s], s:i, s:s, s:s}", "device_name", device_name, "tags", "site=3", "validity_days", 30,
				"expires_on", at, "description", "");
	if (class_id[0])
		json_object_set_new(doc, "class_id", json_string(class_id));
	world_put(RF_KIND_PROVISIONING_TOKEN, w.ctl.account_id, name, doc, id);
}

static char authorization[256];

static int enrol(EVP_PKEY *key, const char *cn, const char *token)
{
	RF_BUF_AUTO body = csr(key, cn);
	fresh("POST", "/.well-known/est/simpleenroll");
	q.content_type = RF_STR("application/pkcs10");
	q.body = rf_buf_str(&body);
	snprintf(authorization, sizeof authorization, "Bearer %s", token);
	q.authorization = rf_str_z(authorization);
	return ask();
}

/* The certificate of an EST answer. */
static struct rf_cert *issued(void)
{
	char der[8192], text[12288];
	size_t n = 0;
	struct rf_cert *c = NULL;
	for (size_t i = 0; i < q.answer.n && n < sizeof text; i++)
		if (q.answer.p[i] != '\n')
			text[n++] = q.answer.p[i];
	ssize_t len = rf_unb64((struct rf_str){ text, n }, der, sizeof der);
	assert_true(len > 0);
	const unsigned char *p = (unsigned char *)der;
	PKCS7 *p7 = d2i_PKCS7(NULL, &p, len);
	assert_non_null(p7);
	GOOD(rf_cert_from_x509(sk_X509_value(p7->d.sign->cert, 0), NULL, 0, &c, &w.e));
	PKCS7_free(p7);
	return c;
}

static struct rf_device *device_of(const struct rf_cert *c)
{
	struct rf_credkey key;
	GOOD(rf_credkey_ski(rf_str_z(c->ski), &key));
	return rf_device_by_cred(w.ctl.devices, RF_CRED_SKI, rf_credkey_str(&key));
}

static void show_cert(struct rf_cert *c)
{
	q.cert = c;
	q.cert_trusted = true;
	q.cert_verified = w.now_s <= c->not_after;
	struct rf_device *d = device_of(c);
	if (d)
		snprintf(q.device, sizeof q.device, "%s", rf_device_id(d));
}

static int renew(EVP_PKEY *key, const char *cn, struct rf_cert *with)
{
	RF_BUF_AUTO body = csr(key, cn);
	fresh("POST", "/.well-known/est/simplereenroll");
	q.content_type = RF_STR("application/pkcs10");
	q.body = rf_buf_str(&body);
	show_cert(with);
	return ask();
}

struct member {
	EVP_PKEY *key;
	struct rf_cert *cert;
};

static struct member new_member(const char *name)
{
	char token[RF_TOKEN_SIZE];
	struct member m = { .key = new_key() };
	new_token("", name, token);
	assert_int_equal(enrol(m.key, "x", token), 200);
	m.cert = issued();
	return m;
}

static void member_fini(struct member *m)
{
	EVP_PKEY_free(m->key);
	rf_cert_put(m->cert);
}

static void serial_name(const struct rf_cert *c, char to[128])
{
	size_t n = 0;
	for (; c->serial[n]; n++)
		to[n] = (char)rf_lower((unsigned char)c->serial[n]);
	to[n] = '\0';
}

static void set_certificate(const struct rf_cert *c, const char *status)
{
	char name[128], at[RF_RFC3339_SIZE], id[33];
	RF_OBJECT_AUTO o = { 0 };
	serial_name(c, name);
	GOOD(rf_store_find(w.ctl.store, RF_KIND_CLIENT_CERT, NULL, name, &o, &w.e));
	json_object_set_new(o.doc, "status", json_string(status));
	json_object_set_new(o.doc, "revoked_on", json_string(rf_rfc3339(w.now_s * (int64_t)RF_NS_S, 0, at)));
	memcpy(id, o.id, sizeof id);
	world_put(RF_KIND_CLIENT_CERT, o.parent, o.name, json_incref(o.doc), id);
}

static void set_device(const char *device, const char *state)
{
	char id[33];
	RF_OBJECT_AUTO o = { 0 };
	snprintf(id, sizeof id, "%s", device);
	GOOD(rf_store_get(w.ctl.store, RF_KIND_DEVICE, id, &o, &w.e));
	json_object_set_new(o.doc, "state", json_string(state));
	world_put(RF_KIND_DEVICE, o.parent, o.name, json_incref(o.doc), id);
}

/* --- enrolment --- */

static void a_token_makes_one_device_with_its_class_and_name(void **state)
{
	(void)state;
	char token[RF_TOKEN_SIZE], class_id[33] = "";
	world_put(RF_KIND_CLASS, w.ctl.account_id, "pumps", json_pack("{s:s}", "bind", "ski"), class_id);
	new_token(class_id, "pump-7", token);
	EVP_PKEY *key = new_key();
	assert_int_equal(enrol(key, "whatever it asks for", token), 200);
	assert_true(headers_have("Content-Transfer-Encoding: base64"));
	struct rf_cert *c = issued();
	struct rf_device *d = device_of(c); /* in force when the answer is given */
	assert_non_null(d);
	assert_string_equal(rf_device_text(d)->name.p, "pump-7");
	assert_string_equal(rf_device_text(d)->tags[0].p, "site=3");
	uint16_t slot;
	GOOD(rf_registry_class_slot(w.ctl.devices, class_id, &slot));
	assert_int_equal(rf_device_class_slot(d), slot);
	struct rf_arena a;
	struct rf_str s;
	rf_arena_init(&a, 4096);
	assert_true(rf_cert_attr(c, false, RF_STR("cn"), 0, &a, &s) && rf_str_eq(s, RF_STR("pump-7")));
	assert_true(rf_cert_san(c, RF_SAN_URI, 0, &a, &s) && rf_str_starts(s, RF_STR("urn:uuid:")));
	rf_arena_fini(&a);
	assert_int_equal(c->not_after - NOW, 30 * 86400);
	rf_cert_put(c);

	EVP_PKEY *other = new_key();
	assert_int_equal(enrol(other, "x", token), 401);
	assert_true(headers_have("WWW-Authenticate: Basic"));
	assert_int_equal(rf_registry_count(w.ctl.devices), 1);
	EVP_PKEY_free(other);
	EVP_PKEY_free(key);
}

static void basic_credentials_carry_the_token_too(void **state)
{
	(void)state;
	char token[RF_TOKEN_SIZE], pair[128];
	EVP_PKEY *key = new_key();
	RF_BUF_AUTO body = csr(key, "lamp-1");
	RF_BUF_AUTO basic = { 0 };
	new_token("", "", token);
	rf_buf_printf(&basic, "Basic ");
	snprintf(pair, sizeof pair, "device:%s", token);
	rf_b64_add(&basic, rf_str_z(pair));
	fresh("POST", "/.well-known/est/factory/simpleenroll");
	q.content_type = RF_STR("application/pkcs10");
	q.body = rf_buf_str(&body);
	q.authorization = rf_buf_str(&basic);
	assert_int_equal(ask(), 200);
	struct rf_cert *c = issued();
	assert_string_equal(rf_device_text(device_of(c))->name.p, "lamp-1"); /* the token names none */
	rf_cert_put(c);
	EVP_PKEY_free(key);
}

static void what_cannot_be_issued_spends_no_token(void **state)
{
	(void)state;
	char token[RF_TOKEN_SIZE];
	struct member m = new_member("a");
	size_t before = rf_registry_count(w.ctl.devices);
	new_token("", "b", token);
	assert_int_equal(enrol(m.key, "x", token), 409); /* the key is another device's */
	fresh("POST", "/.well-known/est/simpleenroll");
	q.content_type = RF_STR("application/pkcs10");
	q.body = RF_STR("bm90IGEgQ1NS");
	q.authorization = rf_str_z(authorization);
	assert_int_equal(ask(), 400);
	q.content_type = RF_STR("text/plain");
	assert_int_equal(ask(), 415);
	assert_int_equal(rf_registry_count(w.ctl.devices), before);
	EVP_PKEY *key = new_key();
	assert_int_equal(enrol(key, "x", token), 200);
	EVP_PKEY_free(key);
	member_fini(&m);
}

static void tokens_that_are_wrong_over_or_of_no_class_are_refused(void **state)
{
	(void)state;
	char token[RF_TOKEN_SIZE], class_id[33] = "";
	EVP_PKEY *key = new_key();
	assert_int_equal(enrol(key, "x", "nonsense"), 401);
	assert_int_equal(enrol(key, "x", "rfp_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), 401);
	assert_int_equal(enrol(key, "x", ""), 401);
	new_token("", "a", token);
	w.now_s = NOW + 86400;
	assert_int_equal(enrol(key, "x", token), 401);
	w.now_s = NOW;
	world_put(RF_KIND_CLASS, w.ctl.account_id, "pumps", json_pack("{s:s}", "bind", "ski"), class_id);
	new_token(class_id, "a", token);
	GOOD(rf_ctl_begin(&w.ctl, "test", &w.e));
	GOOD(rf_store_del(w.ctl.store, RF_KIND_CLASS, class_id, 0, &w.e));
	GOOD(rf_ctl_touch(&w.ctl, RF_KIND_CLASS, class_id, &w.e));
	GOOD(rf_ctl_commit(&w.ctl, false, &w.e));
	assert_int_equal(enrol(key, "x", token), 401);
	assert_int_equal(rf_registry_count(w.ctl.devices), 0);
	EVP_PKEY_free(key);
}

static void a_name_that_would_deceive_a_person_is_not_taken(void **state)
{
	(void)state;
	char token[RF_TOKEN_SIZE];
	EVP_PKEY *key = new_key();
	new_token("", "", token);
	assert_int_equal(enrol(key, "lamp\033[2J", token), 200);
	struct rf_cert *c = issued();
	assert_string_equal(rf_device_text(device_of(c))->name.p, "device");
	rf_cert_put(c);
	EVP_PKEY_free(key);
}

static void a_known_device_renews_with_a_new_key(void **state)
{
	(void)state;
	struct member m = new_member("a");
	EVP_PKEY *key = new_key();
	w.now_s += 10 * 86400;
	assert_int_equal(renew(key, "a", m.cert), 200);
	struct rf_cert *c = issued();
	assert_ptr_equal(device_of(c), device_of(m.cert));
	assert_int_equal(rf_device_state(device_of(c)), RF_DEVICE_ACTIVE);
	assert_int_equal(c->not_after - w.now_s, 30 * 86400); /* as long as the old one */
	assert_true(c->sans.n > 0 && rf_str_eq(c->sans, m.cert->sans));
	assert_int_equal(renew(key, "b", c), 400); /* another name */
	rf_cert_put(c);
	EVP_PKEY_free(key);
	member_fini(&m);
}

static void after_its_end_a_known_key_renews_into_quarantine(void **state)
{
	(void)state;
	struct member m = new_member("a");
	w.now_s = m.cert->not_after + 10;
	assert_int_equal(renew(m.key, "a", m.cert), 200);
	assert_int_equal(rf_device_state(device_of(m.cert)), RF_DEVICE_QUARANTINED);
	struct rf_cert *c = issued();
	set_device(rf_device_id(device_of(c)), "active");
	assert_int_equal(renew(m.key, "a", c), 200); /* and from there as everybody */
	assert_int_equal(rf_device_state(device_of(c)), RF_DEVICE_ACTIVE);
	rf_cert_put(c);
	member_fini(&m);
}

static void who_is_revoked_or_not_known_does_not_renew(void **state)
{
	(void)state;
	struct member a = new_member("a"), b = new_member("b"), d = new_member("d");
	set_certificate(a.cert, "revoked");
	assert_int_equal(renew(a.key, "a", a.cert), 403);
	set_certificate(a.cert, "active");
	assert_int_equal(renew(a.key, "a", a.cert), 200);

	char id[33];
	snprintf(id, sizeof id, "%s", rf_device_id(device_of(b.cert)));
	set_device(id, "revoked");
	assert_int_equal(renew(b.key, "b", b.cert), 403);

	RF_BUF_AUTO body = csr(d.key, "d");
	fresh("POST", "/.well-known/est/simplereenroll");
	q.content_type = RF_STR("application/pkcs10");
	q.body = rf_buf_str(&body);
	assert_int_equal(ask(), 403); /* no certificate */
	show_cert(d.cert);
	q.cert_trusted = false;
	assert_int_equal(ask(), 403);
	q.cert_trusted = true;
	q.cert_revoked = true; /* by a list */
	assert_int_equal(ask(), 403);
	q.cert_revoked = false;
	snprintf(q.device, sizeof q.device, "%s", id); /* the edge takes it for somebody else */
	assert_int_equal(ask(), 403);

	/* One of our own CA that is not in the state: issued behind our back. */
	RF_BUF_AUTO text = csr(d.key, "d");
	char der[2048];
	ssize_t n = rf_unb64(rf_buf_str(&text), der, sizeof der);
	struct rf_issue issue = { .csr = { der, (size_t)n }, .days = 30, .cn = RF_STR("d") };
	struct rf_cert *c = NULL;
	GOOD(rf_ca_issue(w.ctl.ca, &issue, NOW, &c, &w.e));
	assert_int_equal(renew(d.key, "d", c), 403);
	rf_cert_put(c);
	member_fini(&a);
	member_fini(&b);
	member_fini(&d);
}

static size_t keys_of(const char *device)
{
	struct rf_store_query by = { .parent = device };
	size_t n = 0;
	GOOD(rf_store_count(w.ctl.store, RF_KIND_CREDENTIAL, &by, &n, &w.e));
	return n;
}

static void keys_of_old_certificates_do_not_pile_up(void **state)
{
	(void)state;
	struct member m = new_member("a");
	struct rf_cert *at = rf_cert_get(m.cert);
	for (int i = 0; i < 12; i++) {
		EVP_PKEY *key = new_key();
		assert_int_equal(renew(key, "a", at), 200);
		rf_cert_put(at);
		at = issued();
		EVP_PKEY_free(key);
	}
	assert_non_null(device_of(at));
	assert_int_equal(keys_of(rf_device_id(device_of(at))), 8);
	assert_null(device_of(m.cert));
	assert_int_equal(renew(m.key, "a", m.cert), 403); /* its key is not known any more */
	rf_cert_put(at);
	member_fini(&m);
}

static void enrolment_needs_tls_and_has_its_paths(void **state)
{
	(void)state;
	assert_int_equal(get("/.well-known/est/cacerts"), 200);
	struct rf_cert *c = issued();
	assert_true(c->ca);
	rf_cert_put(c);
	assert_int_equal(get("/.well-known/est/line-2/csrattrs"), 200);
	assert_int_equal(get("/.well-known/est/simpleenroll"), 405);
	assert_int_equal(get("/.well-known/est/fullcmc"), 404);
	fresh("GET", "/.well-known/est/cacerts");
	q.tls = false;
	assert_int_equal(ask(), 403);
	assert_int_equal(get("/healthz"), 200);
	assert_int_equal(get("/elsewhere"), 404);
}

/* --- lists --- */

static struct rf_crl *list(const char *path)
{
	struct rf_crl *c = NULL;
	assert_int_equal(get(path), 200);
	GOOD(rf_crl_parse(rf_buf_str(&q.answer), rf_ca_cert(w.ctl.ca), &c, &w.e));
	return c;
}

static void the_list_follows_every_revocation(void **state)
{
	(void)state;
	struct member a = new_member("a"), b = new_member("b");
	struct rf_crl *c = list("/.well-known/pki/crl");
	uint64_t first = c->number;
	assert_int_equal(c->count, 0);
	rf_crl_put(c);
	c = list("/.well-known/pki/crl");
	assert_int_equal(c->number, first); /* kept */
	assert_int_equal(get("/.well-known/pki/crl/delta"), 404);
	rf_crl_put(c);

	set_certificate(a.cert, "revoked");
	c = list("/.well-known/pki/crl");
	assert_non_null(rf_crl_find(c, a.cert->serial_der));
	assert_null(rf_crl_find(c, b.cert->serial_der));
	assert_true(c->number > first);
	struct rf_crl *delta = list("/.well-known/pki/crl/delta");
	assert_true(delta->delta);
	assert_int_equal(delta->base, first);
	assert_int_equal(delta->number, c->number);
	assert_int_equal(delta->count, 1);
	rf_crl_put(delta);
	uint64_t last = c->number;
	rf_crl_put(c);

	set_certificate(a.cert, "active");
	set_certificate(b.cert, "revoked");
	w.now_s -= 1000; /* the clock steps back */
	c = list("/.well-known/pki/crl");
	assert_null(rf_crl_find(c, a.cert->serial_der));
	assert_non_null(rf_crl_find(c, b.cert->serial_der));
	assert_true(c->number > last);
	last = c->number;
	rf_crl_put(c);

	w.now_s += 1000 + 1801; /* half its validity: made anew, and deltas start again */
	c = list("/.well-known/pki/crl");
	assert_true(c->number > last && c->this_update == w.now_s);
	assert_int_equal(get("/.well-known/pki/crl/delta"), 404);
	last = c->number;
	rf_crl_put(c);

	rf_local_free(local); /* a restart, with a clock that is wrong */
	w.now_s -= 86400;
	GOOD(rf_local_new(&w.ctl, &local, &w.e));
	local->answered = answered;
	c = list("/.well-known/pki/crl");
	assert_true(c->number > last);
	rf_crl_put(c);
	member_fini(&a);
	member_fini(&b);
}

static void a_reactivated_certificate_is_removed_by_the_delta(void **state)
{
	(void)state;
	struct member a = new_member("a");
	set_certificate(a.cert, "revoked");
	struct rf_crl *base = list("/.well-known/pki/crl"), *now = NULL;
	set_certificate(a.cert, "active");
	struct rf_crl *delta = list("/.well-known/pki/crl/delta");
	GOOD(rf_crl_apply(base, delta, &now, &w.e));
	assert_non_null(rf_crl_find(base, a.cert->serial_der));
	assert_null(rf_crl_find(now, a.cert->serial_der));
	rf_crl_put(base);
	rf_crl_put(delta);
	rf_crl_put(now);
	member_fini(&a);
}

static void certificates_of_the_ca_are_there(void **state)
{
	(void)state;
	struct rf_cert *c = NULL;
	assert_int_equal(get("/.well-known/pki/ca.crt"), 200);
	GOOD(rf_cert_from_der(rf_buf_str(&q.answer), &c, &w.e));
	assert_true(c->ca);
	rf_cert_put(c);
	assert_int_equal(get("/.well-known/pki/root.crt"), 200);
	GOOD(rf_cert_from_der(rf_buf_str(&q.answer), &c, &w.e));
	assert_true(rf_str_eq(c->subject, c->issuer));
	rf_cert_put(c);
	assert_int_equal(get("/.well-known/pki/intermediate.key"), 404);
	assert_int_equal(get("/.well-known/pki/../pki/crl"), 404);
	fresh("POST", "/.well-known/pki/crl");
	assert_int_equal(ask(), 405);
	assert_true(headers_have("Allow: GET, HEAD"));
}

/* --- OCSP --- */

static struct rf_buf ocsp_request(const struct rf_cert *c, bool turn)
{
	struct rf_buf b = { 0 };
	const unsigned char *p = (const unsigned char *)c->der.p;
	unsigned char *der = NULL;
	X509 *x = d2i_X509(NULL, &p, (long)c->der.n);
	if (turn) {
		ASN1_INTEGER *serial = X509_get_serialNumber(x);
		serial->data[serial->length - 1] ^= 1;
	}
	OCSP_REQUEST *r = OCSP_REQUEST_new();
	assert_non_null(OCSP_request_add0_id(r, OCSP_cert_to_id(EVP_sha1(), x, rf_ca_cert(w.ctl.ca))));
	int n = i2d_OCSP_REQUEST(r, &der);
	rf_buf_add(&b, (struct rf_str){ (char *)der, (size_t)n });
	OPENSSL_free(der);
	OCSP_REQUEST_free(r);
	X509_free(x);
	return b;
}

/* V_OCSP_CERTSTATUS_* of the answer. */
static int ocsp_status(void)
{
	const unsigned char *p = (unsigned char *)q.answer.p;
	OCSP_RESPONSE *r = d2i_OCSP_RESPONSE(NULL, &p, (long)q.answer.n);
	assert_non_null(r);
	assert_int_equal(OCSP_response_status(r), OCSP_RESPONSE_STATUS_SUCCESSFUL);
	OCSP_BASICRESP *b = OCSP_response_get1_basic(r);
	STACK_OF(X509) *signer = sk_X509_new_null();
	sk_X509_push(signer, rf_ca_cert(w.ctl.ca));
	assert_int_equal(OCSP_basic_verify(b, signer, NULL, OCSP_NOVERIFY), 1);
	int status = OCSP_single_get0_status(OCSP_resp_get0(b, 0), NULL, NULL, NULL, NULL);
	sk_X509_free(signer);
	OCSP_BASICRESP_free(b);
	OCSP_RESPONSE_free(r);
	return status;
}

static int ocsp(const struct rf_cert *c, bool turn)
{
	RF_BUF_AUTO body = ocsp_request(c, turn);
	fresh("POST", "/.well-known/pki/ocsp");
	q.tls = false;
	q.content_type = RF_STR("application/ocsp-request");
	q.body = rf_buf_str(&body);
	assert_int_equal(ask(), 200);
	return ocsp_status();
}

static void ocsp_says_what_is_true_now(void **state)
{
	(void)state;
	struct member a = new_member("a");
	assert_int_equal(ocsp(a.cert, false), V_OCSP_CERTSTATUS_GOOD);
	set_certificate(a.cert, "revoked");
	assert_int_equal(ocsp(a.cert, false), V_OCSP_CERTSTATUS_REVOKED);
	assert_int_equal(ocsp(a.cert, true), V_OCSP_CERTSTATUS_UNKNOWN);

	RF_BUF_AUTO der = ocsp_request(a.cert, false);
	RF_BUF_AUTO path = { 0 };
	RF_BUF_AUTO b64 = { 0 };
	rf_b64_add(&b64, rf_buf_str(&der));
	rf_buf_printf(&path, "/.well-known/pki/ocsp/");
	for (size_t i = 0; i < b64.n; i++)
		rf_buf_printf(&path, strchr("+/=", b64.p[i]) ? "%%%02X" : "%c", (unsigned char)b64.p[i]);
	assert_int_equal(get(rf_buf_z(&path)), 200);
	assert_int_equal(ocsp_status(), V_OCSP_CERTSTATUS_REVOKED);

	fresh("POST", "/.well-known/pki/ocsp");
	q.content_type = RF_STR("text/plain");
	assert_int_equal(ask(), 415);
	q.content_type = RF_STR("application/ocsp-request");
	q.body = RF_STR("garbage");
	assert_int_equal(ask(), 200); /* with malformedRequest in it */
	fresh("GET", "/.well-known/pki/ocsp");
	assert_int_equal(ask(), 405);
	member_fini(&a);
}

static void signing_has_a_bound(void **state)
{
	(void)state;
	local->sign.credit = 0;
	local->sign_rate.count = 1;
	local->sign.at = w.ctl.clock.mono(NULL);
	fresh("POST", "/.well-known/pki/ocsp");
	q.content_type = RF_STR("application/ocsp-request");
	assert_int_equal(ask(), 503);
	assert_true(headers_have("Retry-After: 1"));
	assert_int_equal(get("/.well-known/pki/crl"), 200);
}

static int end(void **state)
{
	(void)state;
	fresh("", "");
	return 0;
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_token_makes_one_device_with_its_class_and_name),
		T(basic_credentials_carry_the_token_too),
		T(what_cannot_be_issued_spends_no_token),
		T(tokens_that_are_wrong_over_or_of_no_class_are_refused),
		T(a_name_that_would_deceive_a_person_is_not_taken),
		T(a_known_device_renews_with_a_new_key),
		T(after_its_end_a_known_key_renews_into_quarantine),
		T(who_is_revoked_or_not_known_does_not_renew),
		T(keys_of_old_certificates_do_not_pile_up),
		T(enrolment_needs_tls_and_has_its_paths),
		T(the_list_follows_every_revocation),
		T(a_reactivated_certificate_is_removed_by_the_delta),
		T(certificates_of_the_ca_are_there),
		T(ocsp_says_what_is_true_now),
		T(signing_has_a_bound),
	};
	return cmocka_run_group_tests(tests, NULL, end);
}
