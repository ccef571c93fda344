/* Ports where TLS ends at the edge: who is let in, what the origin is told of the device, revocation while connected. */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include "pki/ca.h"
#include "pki/pem.h"
#include "svc/l4/test.h"
#include "wire/proxy.h"

#define WALL 1795219200 /* where the replay loop's wall clock starts */
#define DAY 86400
#define NAME "mqtt.example.com"

static struct {
	char dir[64];
	struct rf_ca *ca, *other_ca;
	struct rf_bundle device, stranger;
	struct rf_keypair *server;
	struct rf_trust *trust;
} k;

struct tls_client {
	SSL_CTX *ctx;
	SSL *ssl;
	struct rf_peer *p;
	bool up;
};

static int64_t wall_now(void *ctx) { (void)ctx; return rf_loop_wall(w.loop); }
static uint64_t mono_now(void *ctx) { (void)ctx; return rf_loop_now(w.loop); }
static const struct rf_trust *trust(void *arg) { (void)arg; return k.trust; }
static bool denied(void *arg, const struct rf_tls_peer *p) { (void)arg; return rf_identity_denied(w.registry, p); }

static struct rf_keypair *self_signed(const char *name)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -DAY);
	X509_gmtime_adj(X509_getm_notAfter(x), 3650L * DAY);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	X509_set_pubkey(x, key);
	X509_sign(x, key, EVP_sha256());
	RF_BUF_AUTO cert = { 0 };
	rf_pem_add(&cert, x);
	BIO *bio = BIO_new(BIO_s_mem());
	PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
	char *p;
	long n = BIO_get_mem_data(bio, &p);
	struct rf_keypair *pair = NULL;
	struct rf_err e;
	assert_int_equal(rf_keypair_from_pem(rf_buf_str(&cert), (struct rf_str){ p, (size_t)n }, &pair, &e), RF_OK);
	BIO_free(bio);
	X509_free(x);
	EVP_PKEY_free(key);
	return pair;
}

static struct rf_ca *make_ca(const char *sub)
{
	char path[128];
	struct rf_ca *ca = NULL;
	struct rf_err e = { 0 };
	snprintf(path, sizeof path, "%s/%s", k.dir, sub);
	if (rf_ca_open(&(struct rf_ca_conf){ .dir = path }, WALL - 30 * DAY, &ca, &e) != RF_OK)
		fail_msg("%s", e.text);
	return ca;
}

static void bundle(struct rf_ca *ca, const char *cn, struct rf_bundle *ret)
{
	struct rf_err e;
	struct rf_issue req = { .days = 10, .cn = rf_str_z(cn) };
	assert_int_equal(rf_ca_bundle(ca, &req, WALL - DAY, ret, &e), RF_OK);
}

static int keys_setup(void **state)
{
	(void)state;
	strcpy(k.dir, "/tmp/rf-l4-XXXXXX");
	assert_non_null(mkdtemp(k.dir));
	k.ca = make_ca("ours");
	k.other_ca = make_ca("other");
	bundle(k.ca, "sensor-1", &k.device);
	bundle(k.other_ca, "stranger", &k.stranger);
	k.server = self_signed(NAME);
	RF_BUF_AUTO pem = { 0 };
	struct rf_err e;
	rf_ca_chain_pem(k.ca, &pem);
	struct rf_trust_root root = { .id = RF_TRUST_OWN, .pem = rf_buf_str(&pem), .crl_mode = RF_CRL_NONE };
	assert_int_equal(rf_trust_new(&root, 1, &k.trust, &e), RF_OK);
	return 0;
}

static int keys_teardown(void **state)
{
	(void)state;
	char cmd[128];
	rf_bundle_fini(&k.device);
	rf_bundle_fini(&k.stranger);
	rf_trust_put(k.trust);
	rf_keypair_put(k.server);
	rf_ca_free(k.ca);
	rf_ca_free(k.other_ca);
	snprintf(cmd, sizeof cmd, "rm -rf %s", k.dir);
	return system(cmd);
}

static int setup(void **state)
{
	(void)state;
	struct rf_err e;
	world_open();
	w.port->tls = RF_PORT_TLS_FLEXIBLE;
	w.port->auth = RF_AUTH_ENFORCE;
	w.port->header = RF_PORT_HEADER_V2;
	w.port->keypair[0] = k.server;
	struct rf_tls_conf conf = { .host = rf_front_tls_host, .trust = trust, .denied = denied, .session_cache = 100,
				    .chain_cache = 16, .session_timeout_s = 3600, .clock = { mono_now, wall_now, NULL } };
	w.tls = rf_tls_new(&conf, &e);
	assert_non_null(w.tls);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_close();
	return 0;
}

/* A class that takes our root on first sight. */
static void start(void)
{
	uint16_t slot;
	world_start();
	struct rf_class *c = RF_ARENA_NEW(&w.site->arena, struct rf_class);
	memset(c->id, 'c', RF_ID_LEN);
	c->name = RF_STR("sensors");
	c->bind = RF_BIND_SKI;
	c->roots = 1;
	c->first_sight = true;
	assert_int_equal(rf_registry_class_slot(w.registry, c->id, &slot), RF_OK);
	w.site->classes = rf_arena_array(&w.site->arena, slot + 1u, sizeof *w.site->classes);
	w.site->classes[slot] = c;
	w.site->class_slots = slot + 1u;
}

/* Move bytes between libssl's client and the edge until nothing moves. */
static void pump(struct tls_client *t)
{
	static char buf[1 << 16];
	for (bool moved = true; moved;) {
		moved = false;
		run();
		size_t n = rf_replay_take(t->p, buf, sizeof buf);
		if (n) {
			BIO_write(SSL_get_rbio(t->ssl), buf, (int)n);
			moved = true;
		}
		if (!t->up)
			t->up = SSL_do_handshake(t->ssl) == 1;
		int out = BIO_read(SSL_get_wbio(t->ssl), buf, sizeof buf);
		if (out > 0) {
			rf_replay_send(t->p, (struct rf_str){ buf, (size_t)out });
			moved = true;
		}
	}
}

static void show(struct tls_client *t, struct rf_bundle *who)
{
	BIO *bio = BIO_new_mem_buf(who->cert_pem.p, (int)who->cert_pem.n);
	X509 *x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	BIO_free(bio);
	bio = BIO_new_mem_buf(who->key_pem.p, (int)who->key_pem.n);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	BIO_free(bio);
	SSL_CTX_use_certificate(t->ctx, x);
	SSL_CTX_use_PrivateKey(t->ctx, key);
	X509_free(x);
	EVP_PKEY_free(key);
	BIO *more = BIO_new(BIO_s_mem()); /* the intermediate that the device was given with its certificate */
	RF_BUF_AUTO pem = { 0 };
	rf_ca_chain_pem(who == &k.stranger ? k.other_ca : k.ca, &pem);
	BIO_write(more, pem.p, (int)pem.n);
	while ((x = PEM_read_bio_X509(more, NULL, NULL, NULL)))
		SSL_CTX_add_extra_chain_cert(t->ctx, x);
	BIO_free(more);
}

static void tls_open(struct tls_client *t, struct rf_bundle *who, const char *sni)
{
	*t = (struct tls_client){ .ctx = SSL_CTX_new(TLS_client_method()) };
	if (who)
		show(t, who);
	t->ssl = SSL_new(t->ctx);
	SSL_set_bio(t->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	if (sni)
		SSL_set_tlsext_host_name(t->ssl, sni);
	SSL_set_connect_state(t->ssl);
	t->p = rf_replay_connect(w.r, w.fd, NULL);
	pump(t);
}

static void tls_say(struct tls_client *t, const char *text)
{
	assert_int_equal(SSL_write(t->ssl, text, (int)strlen(text)), (int)strlen(text));
	pump(t);
}

static void tls_expect(struct tls_client *t, const char *text)
{
	char got[256] = "";
	pump(t);
	int n = SSL_read(t->ssl, got, sizeof got - 1);
	assert_int_equal(n, (int)strlen(text));
	assert_memory_equal(got, text, strlen(text));
}

static void tls_close(struct tls_client *t)
{
	if (!rf_replay_closed(t->p))
		rf_replay_close(t->p);
	run();
	SSL_free(t->ssl);
	SSL_CTX_free(t->ctx);
}

/* The header that the origin was told, taken away. */
static void header_of(struct rf_peer *o, struct rf_proxy *ret, struct rf_str *ret_ski, struct rf_str *ret_device)
{
	static char kept[2048];
	size_t n = rf_replay_sent(o).n;
	assert_true(n < sizeof kept);
	memcpy(kept, rf_replay_sent(o).p, n);
	assert_int_equal(rf_proxy_parse((struct rf_str){ kept, n }, ret), RF_OK);
	rf_replay_take(o, NULL, ret->size);
	struct rf_str rest = ret->tlvs, v;
	uint8_t type;
	*ret_ski = *ret_device = (struct rf_str){ 0 };
	while (rf_proxy_tlv_next(&rest, &type, &v)) {
		*ret_ski = type == RF_PROXY_TLV_SKI ? v : *ret_ski;
		*ret_device = type == RF_PROXY_TLV_DEVICE ? v : *ret_device;
	}
}

static void test_device(void **state)
{
	(void)state;
	struct tls_client c;
	struct rf_proxy p;
	struct rf_str ski, device;
	start();
	tls_open(&c, &k.device, NAME);
	assert_true(c.up);
	struct rf_peer *o = origin();
	assert_non_null(o);
	header_of(o, &p, &ski, &device);
	assert_true(p.checked && p.has_ssl && p.ssl_verify == 0);
	assert_int_equal(p.ssl_client, RF_PROXY_SSL | RF_PROXY_CERT_CONN | RF_PROXY_CERT_SESS);
	assert_true(rf_str_eq(p.ssl_cn, RF_STR("sensor-1")) && rf_str_eq(p.ssl_version, RF_STR("TLSv1.3")) && p.ssl_cipher.n);
	assert_true(rf_str_eq(p.authority, RF_STR(NAME)));
	assert_int_equal(ski.n, 40);
	assert_true(rf_str_eq(device, rf_str_z(last()->device)) && device.n);
	tls_say(&c, "reading");
	assert_true(heard(o, RF_STR("reading")));
	rf_replay_send(o, RF_STR("noted"));
	tls_expect(&c, "noted");
	assert_int_equal(rf_front_sever(w.front, device), 1);
	run();
	assert_true(rf_replay_closed(c.p) && rf_replay_closed(o));
	expect_end(403, "clientFiltered");
	assert_string_equal(last()->layer, "device");
	assert_true(last()->in == 7 && last()->out == 5);
	tls_close(&c);
}

static void test_strangers(void **state)
{
	(void)state;
	struct tls_client c;
	start();
	tls_open(&c, NULL, NAME);
	assert_true(rf_replay_closed(c.p) && !origin());
	expect_end(403, "clientFiltered");
	assert_string_equal(last()->layer, "tls");
	tls_close(&c);
	tls_open(&c, &k.stranger, NULL);
	assert_true(rf_replay_closed(c.p) && !origin());
	expect_end(403, "clientFiltered");
	tls_close(&c);
	tls_open(&c, &k.device, "other.example.com");
	assert_false(c.up);
	expect_end(400, "clientFiltered");
	tls_close(&c);
	tls_open(&c, &k.device, "198.51.100.1"); /* no name at all, and yet sent */
	assert_true(c.up && origin());
	tls_close(&c);
	struct rf_peer *p = rf_replay_connect(w.r, w.fd, NULL);
	say(p, RF_STR("SSH-2.0-no TLS at all\r\n"));
	expect_end(443, "clientFiltered");
}

static void test_refused_in_the_handshake(void **state)
{
	(void)state;
	struct tls_client c;
	w.port->refuse_handshake = true;
	start();
	tls_open(&c, &k.stranger, NAME);
	assert_true(rf_replay_closed(c.p) && !origin());
	expect_end(443, "clientFiltered");
	tls_close(&c);
	tls_open(&c, &k.device, NAME);
	assert_non_null(origin());
	tls_close(&c);
}

static void test_report(void **state)
{
	(void)state;
	struct tls_client c;
	struct rf_proxy p;
	struct rf_str ski, device;
	w.port->auth = RF_AUTH_REPORT;
	start();
	tls_open(&c, NULL, NAME);
	struct rf_peer *o = origin();
	header_of(o, &p, &ski, &device);
	assert_true(p.ssl_client == RF_PROXY_SSL && p.ssl_verify == 1 && !p.ssl_cn.n && !ski.n);
	assert_string_equal(last()->action, "log");
	assert_string_equal(last()->event, "connect");
	tls_say(&c, "hello");
	assert_true(heard(o, RF_STR("hello")));
	tls_close(&c);
	tls_open(&c, &k.stranger, NAME);
	o = origin();
	header_of(o, &p, &ski, &device);
	assert_true(p.ssl_verify == 1 && rf_str_eq(p.ssl_cn, RF_STR("stranger")) && !device.n);
	tls_close(&c);
}

/* Ends of TLS: a farewell passes as an end, and so does a socket that ends without one. */
static void test_ends(void **state)
{
	(void)state;
	struct tls_client c;
	w.port->auth = RF_AUTH_OFF;
	w.port->header = RF_PORT_HEADER_NONE;
	start();
	tls_open(&c, NULL, NAME);
	struct rf_peer *o = origin();
	tls_say(&c, "last words");
	SSL_shutdown(c.ssl);
	pump(&c);
	rf_replay_fin(c.p);
	run();
	assert_true(heard(o, RF_STR("last words")));
	assert_true(rf_replay_ended(o) && !rf_replay_closed(o));
	rf_replay_send(o, RF_STR("answer"));
	rf_replay_fin(o);
	tls_expect(&c, "answer");
	assert_int_equal(SSL_read(c.ssl, &(char){ 0 }, 1), 0);
	assert_true(SSL_get_shutdown(c.ssl) & SSL_RECEIVED_SHUTDOWN);
	expect_end(200, "disconnect");
	SSL_free(c.ssl);
	SSL_CTX_free(c.ctx);
	tls_open(&c, NULL, NAME);
	o = origin();
	tls_say(&c, "gone");
	rf_replay_fin(c.p);
	run();
	assert_true(heard(o, RF_STR("gone")));
	assert_true(rf_replay_ended(o) && !rf_replay_was_reset(o));
	rf_replay_fin(o);
	run();
	expect_end(200, "disconnect");
	SSL_free(c.ssl);
	SSL_CTX_free(c.ctx);
}

/* What is not TLS after the handshake. */
static void test_broken_tls(void **state)
{
	(void)state;
	struct tls_client c;
	w.port->auth = RF_AUTH_OFF;
	start();
	tls_open(&c, NULL, NAME);
	struct rf_peer *o = origin();
	rf_replay_send(c.p, RF_STR("\x17\x03\x03\0\x20" "0123456789abcdef0123456789abcdef"));
	run();
	assert_true(rf_replay_was_reset(o));
	expect_end(490, "disconnect");
	tls_close(&c);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_device), T(test_strangers), T(test_refused_in_the_handshake), T(test_report), T(test_ends), T(test_broken_tls),
	};
	return cmocka_run_group_tests(tests, keys_setup, keys_teardown);
}
