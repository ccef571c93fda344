/* svc/test_tls: devices with certificates, and their TLS clients against a front on the replay loop, for the tests of services.
 * Included after the test.h of a service, which has the world `w` and run().
 */
#pragma once
#include <openssl/err.h>
#include <openssl/ssl.h>
#include "pki/ca.h"
#include "tls/test_cert.h"

#define WALL 1795219200 /* where the replay loop's wall clock starts */

static struct {
	char dir[64];
	struct rf_ca *ca, *other_ca;
	struct rf_bundle device, second, stranger, expired;
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

static void bundle(struct rf_ca *ca, const char *cn, int64_t at, struct rf_bundle *ret)
{
	struct rf_err e;
	struct rf_issue req = { .days = 10, .cn = rf_str_z(cn) };
	assert_int_equal(rf_ca_bundle(ca, &req, at, ret, &e), RF_OK);
}

/* Of a server of this name, and of devices of our CA and of another. */
static void keys_make(const char *server)
{
	strcpy(k.dir, "/tmp/rf-tls-XXXXXX");
	assert_non_null(mkdtemp(k.dir));
	k.ca = make_ca("ours");
	k.other_ca = make_ca("other");
	bundle(k.ca, "camera-1", WALL - DAY, &k.device);
	bundle(k.ca, "camera-2", WALL - DAY, &k.second);
	bundle(k.ca, "camera-3", WALL - 20 * DAY, &k.expired);
	bundle(k.other_ca, "stranger", WALL - DAY, &k.stranger);
	k.server = self_signed(server, 3650);
	RF_BUF_AUTO pem = { 0 };
	struct rf_err e;
	rf_ca_chain_pem(k.ca, &pem);
	struct rf_trust_root root = { .id = RF_TRUST_OWN, .pem = rf_buf_str(&pem), .crl_mode = RF_CRL_NONE };
	assert_int_equal(rf_trust_new(&root, 1, &k.trust, &e), RF_OK);
}

static int keys_teardown(void **state)
{
	(void)state;
	char cmd[128];
	struct rf_bundle *all[] = { &k.device, &k.second, &k.stranger, &k.expired };
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		rf_bundle_fini(all[i]);
	rf_trust_put(k.trust);
	rf_keypair_put(k.server);
	rf_ca_free(k.ca);
	rf_ca_free(k.other_ca);
	snprintf(cmd, sizeof cmd, "rm -rf %s", k.dir);
	return system(cmd);
}

/* A class that takes our root on first sight. */
static void add_class(bool first_sight)
{
	uint16_t slot;
	struct rf_class *c = RF_ARENA_NEW(&w.site->arena, struct rf_class);
	memset(c->id, 'c', RF_ID_LEN);
	c->name = RF_STR("cameras");
	c->bind = RF_BIND_SKI;
	c->roots = 1;
	c->first_sight = first_sight;
	assert_int_equal(rf_registry_class_slot(w.registry, c->id, &slot), RF_OK);
	w.site->classes = rf_arena_array(&w.site->arena, slot + 1u, sizeof *w.site->classes);
	w.site->classes[slot] = c;
	w.site->class_slots = slot + 1u;
}

/* The world's TLS, which asks `host` about a server name. */
static void tls_start(bool (*host)(void *arg, struct rf_stream *s, struct rf_str sni, struct rf_tls_host *ret))
{
	struct rf_err e;
	struct rf_tls_conf conf = { .host = host, .trust = trust, .denied = denied, .session_cache = 100, .chain_cache = 16,
				    .session_timeout_s = 3600, .clock = { mono_now, wall_now, NULL } };
	w.tls = rf_tls_new(&conf, &e);
	assert_non_null(w.tls);
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

static void tls_close(struct tls_client *t)
{
	if (!rf_replay_closed(t->p))
		rf_replay_close(t->p);
	run();
	SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* or libssl forgets the session */
	SSL_free(t->ssl);
	SSL_CTX_free(t->ctx);
}
