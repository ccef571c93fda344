/* Requests over mutual TLS: who is let in, what the origin is told, revocation while connected. */
#include "base/enc.h"
#include "svc/http/test.h"
#include "svc/test_tls.h"

/* What a ClientHello takes, how the wall clock is set meanwhile, and how many of them a turn had at most. */
static struct { uint64_t takes_ns; int64_t step_ns; unsigned now, most; } hellos;

static void turn_ends(void *arg, bool online)
{
	(void)arg, (void)online;
	hellos.most = hellos.now > hellos.most ? hellos.now : hellos.most;
	hellos.now = 0;
}

static bool host(void *arg, struct rf_stream *s, struct rf_str sni, struct rf_tls_host *ret)
{
	hellos.now++;
	rf_replay_busy(w.r, hellos.takes_ns);
	rf_replay_wall_step(w.r, hellos.step_ns);
	bool known = rf_front_tls_host(arg, s, sni, ret);
	ret->keypair[0] = k.server;
	ret->keep_hello = true;
	return known;
}

static int keys_setup(void **state)
{
	(void)state;
	keys_make("app.test");
	return 0;
}

static int setup(void **state)
{
	(void)state;
	world_open();
	w.at.tls = true;
	w.app->auth = RF_AUTH_ENFORCE;
	w.app->forward_rfc9440 = true;
	add_class(true);
	tls_start(host);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_close();
	return 0;
}

static const char *tls_heard(struct tls_client *t)
{
	static char text[1 << 16];
	size_t n = 0;
	pump(t);
	for (int r; (r = SSL_read(t->ssl, text + n, (int)(sizeof text - 1 - n))) > 0;)
		n += (size_t)r;
	text[n] = '\0';
	return text;
}

static void test_known(void **state)
{
	(void)state;
	struct tls_client c;
	world_start();
	tls_open(&c, &k.device, "app.test");
	assert_true(c.up);
	tls_say(&c, "GET /reading HTTP/1.1\r\nHost: app.test\r\nClient-Cert: :forged:\r\nCf-Client-Cert-Status: valid\r\n\r\n");
	struct rf_peer *o = origin();
	assert_non_null(o);
	const char *q = heard(o);
	assert_true(has(q, "\r\nCf-Client-Cert-Status: valid\r\nRingfence-Client-Cert-Status: valid\r\n"));
	assert_true(has(q, "\r\nRingfence-Device-Class: cameras\r\n"));
	assert_true(has(q, "\r\nX-Forwarded-Proto: https\r\n"));
	assert_true(has(q, "\r\nClient-Cert: :MII"));
	assert_false(has(q, "forged"));
	answer(o, "thanks");
	assert_true(has(tls_heard(&c), "\r\n\r\nthanks"));
	assert_string_equal(last_request()->cert, "valid");
	assert_int_equal(strlen(last_request()->device), RF_ID_LEN);
	tls_close(&c);
}

/* A request over `c` is answered with this status, by us or by the origin that says "ok". */
static void ask(struct tls_client *c, const char *path, unsigned status)
{
	char text[256], want[32];
	snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: app.test\r\n\r\n", path);
	tls_say(c, text);
	struct rf_peer *o = origin();
	if (o) {
		heard(o);
		say(o, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
	}
	snprintf(want, sizeof want, "HTTP/1.1 %u ", status);
	const char *a = tls_heard(c);
	if (!has(a, want))
		fail_msg("wanted %s, got %s", want, a);
	assert_true(!o == (status != 200));
}

static void refused(struct rf_bundle *who, const char *reason)
{
	struct tls_client c;
	tls_open(&c, who, "app.test");
	assert_true(c.up); /* refused politely, after the handshake */
	ask(&c, "/", 403);
	assert_string_equal(last_request()->action, "block");
	if (!has(last_request()->reason, reason))
		fail_msg("wanted %s, got %s", reason, last_request()->reason);
	tls_close(&c);
}

static void test_enforce(void **state)
{
	(void)state;
	world_start();
	refused(NULL, "no client certificate was shown");
	refused(&k.stranger, "self-signed");
	refused(&k.expired, "expired");
}

static void test_unknown(void **state)
{
	(void)state;
	w.site->classes[w.site->class_slots - 1]->first_sight = false;
	world_start();
	refused(&k.device, "no known device");
}

static void test_other_root(void **state)
{
	(void)state;
	w.app->roots = 2; /* trusted somewhere, not by this host */
	world_start();
	refused(&k.device, "does not accept");
}

static void test_report(void **state)
{
	(void)state;
	w.app->auth = RF_AUTH_REPORT;
	world_start();
	struct rf_bundle *who[] = { NULL, &k.stranger, &k.expired, &k.device };
	static const char *const says[] = { "none", "invalid", "invalid", "valid" };
	for (size_t i = 0; i < sizeof who / sizeof *who; i++) {
		struct tls_client c;
		char want[64];
		tls_open(&c, who[i], "app.test");
		tls_say(&c, GET("/"));
		struct rf_peer *o = origin();
		assert_non_null(o);
		const char *q = heard(o);
		snprintf(want, sizeof want, "\r\nCf-Client-Cert-Status: %s\r\n", says[i]);
		assert_true(has(q, want));
		assert_true(has(q, "Cf-Client-Cert-Reason: ") == (i == 1 || i == 2));
		assert_true(has(q, "\r\nClient-Cert: ") == (i == 3)); /* never one that a reader would take for good */
		say(o, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
		assert_true(has(tls_heard(&c), "200 OK"));
		assert_string_equal(last_request()->action, i == 3 ? "allow" : "log");
		tls_close(&c);
	}
}

static void test_operator_body(void **state)
{
	(void)state;
	w.app->deny_status = 401;
	w.app->deny_body = (struct rf_error_body){ RF_STR("{\"call\":\"support\"}"), RF_STR("<p>call support</p>") };
	struct tls_client c;
	world_start();
	tls_open(&c, NULL, "app.test");
	tls_say(&c, "GET / HTTP/1.1\r\nHost: app.test\r\nAccept: text/html, */*;q=0.1\r\n\r\n");
	const char *a = tls_heard(&c);
	assert_true(has(a, "HTTP/1.1 401 "));
	assert_true(has(a, "\r\n\r\n<p>call support</p>"));
	tls_say(&c, "GET / HTTP/1.1\r\nHost: app.test\r\nAccept: application/json\r\n\r\n");
	assert_true(has(tls_heard(&c), "\r\n\r\n{\"call\":\"support\"}"));
	tls_close(&c);
}

static void set_state(const char *id, enum rf_device_state state)
{
	struct rf_err e;
	struct rf_device *d = rf_device_find(w.registry, rf_str_z(id));
	assert_non_null(d);
	struct rf_device_spec spec = { .state = state, .class_slot = rf_device_class_slot(d), .name = RF_STR("cam") };
	snprintf(spec.id, sizeof spec.id, "%s", id);
	assert_int_equal(rf_registry_put(w.registry, &spec, &e), RF_OK);
}

static void test_quarantine(void **state)
{
	(void)state;
	struct tls_client c;
	char id[RF_ID_LEN + 1];
	world_start();
	tls_open(&c, &k.device, "app.test");
	ask(&c, "/", 200);
	snprintf(id, sizeof id, "%s", last_request()->device);
	set_state(id, RF_DEVICE_QUARANTINED);
	ask(&c, "/", 403); /* on the same connection, at once */
	tls_say(&c, "GET /.well-known/est/cacerts HTTP/1.1\r\nHost: app.test\r\n\r\n");
	assert_non_null(w.local);
	assert_string_equal(w.local->device, id);
	assert_true(w.local->cert_verified);
	rf_http_local_answer(w.local);
	run();
	assert_true(has(tls_heard(&c), "HTTP/1.1 500 ")); /* what the service said: nothing */
	set_state(id, RF_DEVICE_ACTIVE);
	ask(&c, "/", 200);
	set_state(id, RF_DEVICE_REVOKED);
	ask(&c, "/", 403);
	pass(3 * RF_NS_S);
	assert_true(rf_replay_closed(c.p));
	tls_close(&c);
}

/* Revoking ends every connection of the device, also in the middle of a request, and no other. */
static void test_sever(void **state)
{
	(void)state;
	struct tls_client a, b, other;
	char id[RF_ID_LEN + 1];
	world_start();
	tls_open(&a, &k.device, "app.test");
	ask(&a, "/", 200);
	snprintf(id, sizeof id, "%s", last_request()->device);
	tls_open(&b, &k.device, "app.test");
	tls_open(&other, &k.second, "app.test");
	tls_say(&b, GET("/long"));
	struct rf_peer *o = origin();
	heard(o);
	say(o, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome");
	assert_int_equal(atomic_load(&rf_device_use(rf_device_find(w.registry, rf_str_z(id)))->connections), 2);
	assert_int_equal(rf_front_sever(w.front, rf_str_z(id)), 2);
	run();
	assert_true(rf_replay_closed(a.p));
	assert_true(rf_replay_closed(b.p));
	assert_true(rf_replay_closed(o));
	assert_false(rf_replay_closed(other.p));
	assert_int_equal(atomic_load(&rf_device_use(rf_device_find(w.registry, rf_str_z(id)))->connections), 0);
	ask(&other, "/", 200);
	tls_close(&a);
	tls_close(&b);
	tls_close(&other);
}

static void test_denied_key(void **state)
{
	(void)state;
	struct tls_client c, other;
	world_start();
	tls_open(&c, &k.device, "app.test");
	tls_open(&other, &k.second, "app.test");
	ask(&c, "/", 200);
	struct rf_device *d = rf_device_find(w.registry, rf_str_z(last_request()->device));
	assert_non_null(d);
	struct rf_cert *x = NULL;
	struct rf_err e;
	BIO *bio = BIO_new_mem_buf(k.device.cert_pem.p, (int)k.device.cert_pem.n);
	X509 *leaf = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	BIO_free(bio);
	assert_int_equal(rf_cert_from_x509(leaf, NULL, 0, &x, &e), RF_OK);
	X509_free(leaf);
	uint8_t fp[32];
	assert_int_equal(rf_unhex(rf_str_z(x->sha256), fp, sizeof fp), 32);
	assert_int_equal(rf_registry_deny(w.registry, RF_CRED_FINGERPRINT, (struct rf_str){ (char *)fp, 32 }, true), RF_OK);
	rf_cert_put(x);
	assert_int_equal(rf_front_recheck(w.front), 1);
	run();
	assert_true(rf_replay_closed(c.p));
	ask(&other, "/", 200);
	tls_close(&c);
	tls_close(&other);
	refused(&k.device, "revoked");
	assert_string_equal(last_request()->cert, "revoked");
}

static void test_misdirected(void **state)
{
	(void)state;
	struct tls_client c;
	w.other->auth = RF_AUTH_OFF;
	world_start();
	tls_open(&c, &k.device, "other.test"); /* not asked for a certificate there */
	tls_say(&c, GET("/"));
	assert_true(has(tls_heard(&c), "HTTP/1.1 421 "));
	assert_null(origin());
	tls_close(&c);
	tls_open(&c, &k.device, "app.test"); /* the other way round is judged by the host that is asked */
	tls_say(&c, "GET / HTTP/1.1\r\nHost: other.test\r\n\r\n");
	assert_non_null(origin());
	tls_close(&c);
}

static void test_class_limits(void **state)
{
	(void)state;
	struct rf_class *class = w.site->classes[w.site->class_slots - 1];
	class->max_connections = 1;
	class->request_rate_ns = RF_NS_S;
	class->request_burst = 2;
	struct tls_client a, b;
	world_start();
	tls_open(&a, &k.device, "app.test");
	ask(&a, "/1", 200);
	tls_open(&b, &k.device, "app.test");
	ask(&b, "/", 429);
	assert_true(has(last_request()->reason, "connections"));
	ask(&a, "/2", 200);
	tls_say(&a, GET("/3"));
	const char *text = tls_heard(&a);
	assert_true(has(text, "HTTP/1.1 429 "));
	assert_true(has(text, "\r\nRetry-After: 1\r\n"));
	pass(RF_NS_S);
	ask(&a, "/4", 200);
	tls_close(&a);
	tls_close(&b);
}

static struct rf_phase_set *rule_set(enum rf_phase phase, const char *expression, const char *action)
{
	struct rf_err e = { 0 };
	struct rf_rule_env env = { 0 };
	struct rf_ruleset *set = NULL;
	struct rf_phase_set *all = NULL;
	json_t *rules = json_pack("[{s:s,s:s,s:s,s:s}]", "id", "rule-1", "expression", expression, "action", action,
				  "description", "patch");
	if (rf_ruleset_make(&env, phase, RF_STR("set-1"), RF_STR("test"), rules, NULL, &set, &e))
		fail_msg("%s", e.text);
	assert_int_equal(rf_phase_set_make(phase, &set, 1, &all), RF_OK);
	rf_ruleset_put(set);
	json_decref(rules);
	return all;
}

static void test_rules(void **state)
{
	(void)state;
	struct tls_client c;
	world_start();
	w.snap->zone_policy[0].phase[RF_PHASE_HTTP_REQUEST] = rule_set(RF_PHASE_HTTP_REQUEST,
		"http.request.uri.path contains \"/cgi-bin/\" or any(http.request.headers[\"x-exploit\"][*] contains \"() {\") or "
		"(device.class eq \"cameras\" and http.request.body.raw contains \"jndi:\")", "block");
	tls_open(&c, &k.device, "app.test");
	ask(&c, "/fine", 200);
	ask(&c, "/cgi-bin/x", 403);
	assert_string_equal(last_request()->layer, "rule");
	assert_string_equal(last_request()->rule, "rule-1");
	tls_say(&c, "GET /a HTTP/1.1\r\nHost: app.test\r\nX-Exploit: () { :;}\r\n\r\n");
	assert_true(has(tls_heard(&c), "HTTP/1.1 403 "));
	tls_say(&c, "POST /a HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n${jnd\r\n");
	assert_null(origin()); /* held until the rules can see enough */
	tls_say(&c, "2\r\ni:\r\n0\r\n\r\n");
	assert_true(has(tls_heard(&c), "HTTP/1.1 403 "));
	assert_null(origin());
	tls_say(&c, "POST /a HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
	tls_say(&c, "1\r\n!\r\n0\r\n\r\n");
	struct rf_peer *o = origin();
	assert_non_null(o);
	assert_true(has(heard(o), "\r\n\r\n6\r\nhello!\r\n0\r\n\r\n"));
	answer(o, "ok");
	assert_true(has(tls_heard(&c), "200 OK"));
	tls_close(&c);
}

static void test_fingerprints(void **state)
{
	(void)state;
	struct tls_client c;
	world_start();
	w.snap->zone_policy[0].phase[RF_PHASE_HTTP_REQUEST] = rule_set(RF_PHASE_HTTP_REQUEST,
		"http.request.uri.path eq \"/cgi-bin/x\" and cf.bot_management.ja4 matches r\"^t13d[0-9]{4}.._[0-9a-f]{12}_[0-9a-f]{12}$\" "
		"and cf.bot_management.ja3_hash matches \"^[0-9a-f]{32}$\" and cf.tls_client_hello_length gt 100 and "
		"len(cf.tls_ciphers_sha1) eq 28 and len(cf.tls_client_extensions_sha1) eq 28 and "
		"len(cf.tls_client_extensions_sha1_le) eq 28 and len(cf.tls_client_random) eq 44", "block");
	tls_open(&c, &k.device, "app.test");
	ask(&c, "/fine", 200);
	ask(&c, "/cgi-bin/x", 403);
	tls_close(&c);
}

static void test_connection_rule(void **state)
{
	(void)state;
	struct tls_client c;
	world_start();
	w.snap->zone_policy[0].phase[RF_PHASE_CONNECTION] =
		rule_set(RF_PHASE_CONNECTION, "ip.src in {192.0.2.0/24} and tls.client.cert_verified", "block");
	tls_open(&c, &k.device, "app.test");
	assert_true(rf_replay_closed(c.p));
	assert_string_equal(w.seen[w.seen_count - 1].layer, "rule");
	tls_close(&c);
}

static void test_handshake_bounds(void **state)
{
	(void)state;
	w.front_conf.handshakes = 10;
	w.front_conf.handshakes_per_turn = 1;
	struct rf_peer *half[30];
	struct tls_client c;
	world_start();
	for (size_t i = 0; i < sizeof half / sizeof *half; i++)
		half[i] = client(); /* they connect and say nothing */
	assert_int_equal(w.front->stats.handshakes, 10);
	assert_true(rf_replay_closed(half[0])); /* the oldest made room */
	assert_false(rf_replay_closed(half[29]));
	tls_open(&c, &k.device, "app.test");
	ask(&c, "/", 200);
	pass(11 * RF_NS_S);
	assert_true(rf_replay_closed(half[29]));
	assert_int_equal(w.front->stats.handshakes, 0);
	say(client(), "this is not TLS at all, and far too chatty");
	tls_close(&c);
}

/* Many hellos at once; how many of them a turn takes when each costs this. */
static unsigned hellos_a_turn(uint64_t takes_ns, int64_t step_ns)
{
	enum { MANY = 12 };
	struct rf_peer *p[MANY];
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	for (size_t i = 0; i < MANY; i++)
		p[i] = client();
	hellos.takes_ns = takes_ns;
	hellos.step_ns = step_ns;
	hellos.most = hellos.now = 0;
	for (size_t i = 0; i < MANY; i++) {
		char *hello;
		SSL *ssl = SSL_new(ctx);
		SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
		SSL_set_tlsext_host_name(ssl, "app.test");
		assert_int_equal(SSL_connect(ssl), -1);
		long n = BIO_get_mem_data(SSL_get_wbio(ssl), &hello);
		rf_replay_send(p[i], (struct rf_str){ hello, (size_t)n });
		SSL_free(ssl);
	}
	SSL_CTX_free(ctx);
	ERR_clear_error();
	pass(0);
	hellos.takes_ns = 0;
	hellos.step_ns = 0;
	for (size_t i = 0; i < MANY; i++)
		rf_replay_reset(p[i]);
	pass(0);
	return hellos.most;
}

/* A turn ends its handshakes by their number or by their time, whichever comes first. */
static void test_handshake_budget(void **state)
{
	(void)state;
	w.front_conf.handshakes_per_turn = 8;
	w.front_conf.handshake_turn_ns = 500 * RF_NS_US;
	world_start();
	rf_loop_hook(w.loop, turn_ends, NULL);
	assert_int_equal(hellos_a_turn(0, 0), 8);
	assert_int_equal(hellos_a_turn(200 * RF_NS_US, 0), 3);
	assert_int_equal(hellos_a_turn(5 * RF_NS_MS, 0), 1);
	/* Whoever sets the wall clock meanwhile changes nothing. */
	assert_int_equal(hellos_a_turn(0, 5 * (int64_t)RF_NS_MS), 8);
	assert_int_equal(hellos_a_turn(200 * RF_NS_US, -5 * (int64_t)RF_NS_MS), 3);
	rf_loop_hook(w.loop, NULL, NULL);
}

/* The session of a finished conversation, for 0-RTT. */
static SSL_SESSION *session_of(void)
{
	struct tls_client c;
	tls_open(&c, &k.device, "app.test");
	ask(&c, "/", 200);
	SSL_SESSION *s = SSL_get1_session(c.ssl);
	assert_true(SSL_SESSION_get_max_early_data(s) > 0);
	SSL_shutdown(c.ssl);
	pump(&c);
	tls_close(&c);
	return s;
}

/* Send the request as 0-RTT data; what the origin hears, NULL: nothing. */
static const char *early(const char *request, struct tls_client *c)
{
	SSL_SESSION *s = session_of();
	static char buf[1 << 14];
	size_t put;
	*c = (struct tls_client){ .ctx = SSL_CTX_new(TLS_client_method()) };
	c->ssl = SSL_new(c->ctx);
	SSL_set_bio(c->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_tlsext_host_name(c->ssl, "app.test");
	SSL_set_session(c->ssl, s);
	SSL_SESSION_free(s);
	SSL_set_connect_state(c->ssl);
	assert_int_equal(SSL_write_early_data(c->ssl, request, strlen(request), &put), 1);
	c->p = rf_replay_connect(w.r, w.fd, NULL);
	int n = BIO_read(SSL_get_wbio(c->ssl), buf, sizeof buf);
	rf_replay_send(c->p, (struct rf_str){ buf, (size_t)n });
	run(); /* the handshake is not finished yet */
	struct rf_peer *o = origin();
	const char *q = o ? heard(o) : NULL;
	if (o)
		say(o, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
	pump(c);
	return q;
}

static void test_early_data(void **state)
{
	(void)state;
	static const struct rf_str safe[] = { { "/status", 7 } };
	struct tls_client c;
	w.app->idempotent_paths = safe;
	w.app->idempotent_count = 1;
	world_start();
	const char *q = early("GET /status HTTP/1.1\r\nHost: app.test\r\n\r\n", &c);
	assert_non_null(q);
	assert_true(has(q, "\r\nEarly-Data: 1\r\n"));
	assert_true(has(tls_heard(&c), "HTTP/1.1 200 "));
	tls_close(&c);
	assert_null(early("GET /door/open HTTP/1.1\r\nHost: app.test\r\n\r\n", &c)); /* may be a replay */
	assert_true(has(tls_heard(&c), "HTTP/1.1 425 "));
	tls_close(&c);
	static const char *const elsewhere[] = { "/statusboard", "/status/../door", "/status/%2e%2e/door" };
	for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++) {
		char text[128];
		snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: app.test\r\n\r\n", elsewhere[i]);
		assert_null(early(text, &c));
		assert_true(has(tls_heard(&c), "HTTP/1.1 425 "));
		tls_close(&c);
	}
	assert_null(early("POST /status HTTP/1.1\r\nHost: app.test\r\nContent-Length: 0\r\n\r\n", &c));
	assert_true(has(tls_heard(&c), "HTTP/1.1 425 "));
	tls_close(&c);
}

/* An origin that speaks TLS, played by libssl. */
static struct tls_client origin_tls(void)
{
	struct tls_client o = { .ctx = SSL_CTX_new(TLS_server_method()) };
	SSL_CTX_use_certificate(o.ctx, rf_keypair_leaf(k.server));
	SSL_CTX_use_PrivateKey(o.ctx, rf_keypair_key(k.server));
	o.ssl = SSL_new(o.ctx);
	SSL_set_bio(o.ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_accept_state(o.ssl);
	o.p = origin();
	assert_non_null(o.p);
	pump(&o);
	return o;
}

static void test_origin_tls(void **state)
{
	(void)state;
	struct tls_client c;
	w.origin[0].tls = RF_ORIGIN_TLS_UNVERIFIED;
	w.origin[0].tls_name = RF_STR("origin.test");
	world_start();
	tls_open(&c, &k.device, "app.test");
	tls_say(&c, GET("/secret"));
	struct tls_client o = origin_tls();
	assert_true(o.up);
	assert_string_equal(SSL_get_servername(o.ssl, TLSEXT_NAMETYPE_host_name), "origin.test");
	assert_true(has(tls_heard(&o), "GET /secret HTTP/1.1\r\n"));
	tls_say(&o, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	assert_true(has(tls_heard(&c), "\r\n\r\nok"));
	tls_say(&c, GET("/again")); /* over the same session */
	assert_true(has(tls_heard(&o), "GET /again HTTP/1.1\r\n"));
	tls_close(&o);
	tls_close(&c);
}

static void test_origin_tls_refused(void **state)
{
	(void)state;
	struct tls_client c;
	w.origin[0].tls = RF_ORIGIN_TLS;
	w.group.trust = k.trust;
	w.app->retries = 0;
	world_start();
	tls_open(&c, &k.device, "app.test");
	tls_say(&c, GET("/secret"));
	struct tls_client o = origin_tls();
	assert_string_equal(tls_heard(&o), ""); /* it was told nothing */
	assert_true(has(tls_heard(&c), "HTTP/1.1 502 "));
	assert_string_equal(last_request()->layer, "origin");
	tls_close(&o);
	tls_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(test_known), T(test_enforce), T(test_unknown), T(test_other_root), T(test_report), T(test_operator_body),
		T(test_quarantine), T(test_sever), T(test_denied_key), T(test_misdirected), T(test_class_limits), T(test_rules),
		T(test_fingerprints), T(test_connection_rule), T(test_handshake_bounds), T(test_handshake_budget),
		T(test_early_data), T(test_origin_tls), T(test_origin_tls_refused),
	};
	return cmocka_run_group_tests(tests, keys_setup, keys_teardown);
}
