/* tls/server: the edge's side of a handshake.
 *
 *   accept -> ClientHello (which host? which certificate, ask for one?) -> client certificate (peer: cache
 *   or verify; never fails the handshake unless the host wants that) -> [0-RTT data] -> finished: info
 *
 * Sessions are kept by this worker (stateful): a resumption needs no certificate to be parsed again.
 * The peer travels with its session, and is judged anew at each resumption and each request, so that a
 * session never outlives a revocation, an expiry or a root.
 *
 * Not here: what becomes of a client that proved nothing (svc).
 */
#include <openssl/err.h>
#include <stdlib.h>
#include "tls/layer.h"
#include "tls/libctx.h"

enum { SNI_MAX = 255, EARLY_MAX = 16384, CLIENT_CHAIN_MAX = 32768, BUFFERS_CACHED = 64 };
enum { REKEY_RECORDS = 1 << 24 }; /* below 2^24.5, what AES-GCM is good for with one key [RFC 8446 5.5] */

static struct rf_stream *stream_of(const SSL *ssl)
{
	return (struct rf_stream *)SSL_get_app_data(ssl);
}

/* --- the ClientHello --- */

/* The host_name of the extension [RFC 6066 3], lower case, or false on a malformed one. */
static bool read_sni(SSL *ssl, char to[SNI_MAX + 1])
{
	const unsigned char *p;
	size_t n;
	to[0] = '\0';
	if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &n))
		return true;
	struct rf_cur c = rf_cur_over(p, n);
	struct rf_cur list = rf_cur_sub(&c, rf_cur_u16(&c));
	uint8_t type = rf_cur_u8(&list);
	struct rf_str name = rf_cur_take(&list, rf_cur_u16(&list));
	if (!rf_cur_ok(&c) || !rf_cur_ok(&list) || type != TLSEXT_NAMETYPE_host_name || name.n > SNI_MAX ||
	    memchr(name.p, '\0', name.n))
		return false;
	for (size_t i = 0; i < name.n; i++)
		to[i] = (char)rf_lower((unsigned char)name.p[i]);
	to[name.n] = '\0';
	return true;
}

void tls_note_hello(struct tls_conn *c, const void *p, size_t n)
{
	c->hello_length = (uint16_t)(n < UINT16_MAX ? n : UINT16_MAX);
	rf_buf_clear(&c->tls->hello); /* on_hello follows at once, for the same connection */
	rf_buf_add(&c->tls->hello, (struct rf_str){ p, c->hello_length });
}

/* For fingerprints. Without memory it is not kept, and rules that ask see no fingerprint. */
static void keep_hello(struct tls_conn *c)
{
	struct rf_str hello = rf_buf_str(&c->tls->hello);
	if (c->tls->hello.bad || hello.n != c->hello_length || !(c->hello = malloc(hello.n + 1)))
		return;
	memcpy(c->hello, hello.p, hello.n);
}

static void print_hello(struct tls_conn *c)
{
	RF_BUF_AUTO b = { 0 };
	if (!c->hello_seen && rf_tls_print(rf_buf_str(&c->tls->hello), RF_PRINT_JA4, &b) == RF_OK)
		snprintf(c->ja4, sizeof c->ja4, "%s", rf_buf_z(&b));
}

/* What the host says of this handshake. */
static bool apply(SSL *ssl, struct tls_conn *c, const struct rf_tls_host *host)
{
	SSL_CTX *ctx = tls_host_ctx(c->tls, host->keypair);
	int verify = host->ask_client ? SSL_VERIFY_PEER | SSL_VERIFY_CLIENT_ONCE : SSL_VERIFY_NONE;
	c->roots = host->roots;
	c->refuse = host->refuse_handshake;
	c->any_protocol = host->any_protocol;
	c->info.asked = host->ask_client;
	SSL_set_verify(ssl, c->refuse ? verify | SSL_VERIFY_FAIL_IF_NO_PEER_CERT : verify, NULL);
	SSL_set_max_early_data(ssl, host->early_data ? EARLY_MAX : 0);
	/* A session of a host that asks for no certificate must not stand in for a device at one that does. */
	const char *kind = host->ask_client ? "ringfence device" : "ringfence open";
	int level = SSL_get_security_level(ssl); /* of the listener; libssl takes the context's with its certificate */
	if (!ctx || !SSL_set_SSL_CTX(ssl, ctx))
		return false;
	SSL_set_security_level(ssl, level);
	return SSL_set_session_id_context(ssl, (const unsigned char *)kind, (unsigned)strlen(kind));
}

static int refuse_hello(struct tls_conn *c, int *alert, int code, const char *why)
{
	*alert = code;
	c->error = why;
	return SSL_CLIENT_HELLO_ERROR;
}

static int on_hello(SSL *ssl, int *alert, void *arg)
{
	struct tls_conn *c = tls_conn_of(stream_of(ssl));
	struct rf_tls *t = arg;
	struct rf_tls_host host = { 0 };
	char sni[SNI_MAX + 1];
	print_hello(c);
	c->hello_seen = true; /* a second one, after a HelloRetryRequest, says nothing new of the client */
	if (!read_sni(ssl, sni))
		return refuse_hello(c, alert, SSL_AD_DECODE_ERROR, "malformed server name");
	if (sni[0]) {
		free(c->sni);
		c->sni = strdup(sni);
		c->info.sni = c->sni ? c->sni : "";
	}
	if (!t->conf.host(t->conf.arg, stream_of(ssl), rf_str_z(sni), &host))
		return refuse_hello(c, alert, SSL_AD_UNRECOGNIZED_NAME, "no host of this name");
	if (host.keep_hello && !c->hello)
		keep_hello(c);
	if (!apply(ssl, c, &host))
		return refuse_hello(c, alert, SSL_AD_INTERNAL_ERROR, "no memory for the host's certificate");
	return SSL_CLIENT_HELLO_SUCCESS;
}

/* --- the client's certificate --- */

/* The number is read before the question: what changes in between is asked for again. */
static bool denied_now(struct tls_conn *c)
{
	const struct rf_tls_conf *k = &c->tls->conf;
	uint64_t now = k->denials ? k->denials(k->arg) : 0;
	if (!now || now != c->denials) {
		c->denied = k->denied && k->denied(k->arg, c->peer);
		c->denials = now;
	}
	return c->denied;
}

static void judge(struct tls_conn *c)
{
	struct rf_tls *t = c->tls;
	if (!c->peer) {
		c->info.status = RF_CERT_NONE;
		c->info.why = RF_REASON_CERT_NONE;
		c->info.reason = c->info.asked ? "no certificate was presented" : "";
		return;
	}
	bool denied = denied_now(c);
	rf_peer_judge(c->peer, t->conf.clock.wall(t->conf.clock.ctx) / (int64_t)RF_NS_S, denied, &c->info);
}

static bool acceptable(const struct tls_conn *c)
{
	return c->info.status == RF_CERT_VALID && (c->roots & c->info.roots);
}

/* Called by libssl instead of X509_verify_cert. 1 lets the handshake go on. */
static int on_certificate(X509_STORE_CTX *store, void *arg)
{
	struct rf_tls *t = arg;
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_conn *c = tls_conn_of(stream_of(ssl));
	struct rf_err e;
	rf_peer_put(c->peer);
	c->peer = NULL;
	c->denials = 0;
	if (rf_peer_verify(t->peers, t->conf.trust(t->conf.arg), X509_STORE_CTX_get0_cert(store),
			   X509_STORE_CTX_get0_untrusted(store), &c->peer, &e) != RF_OK) {
		c->error = "the client certificate has a broken or huge encoding";
		X509_STORE_CTX_set_error(store, X509_V_ERR_UNSPECIFIED);
		return 0;
	}
	judge(c);
	if (c->refuse && !acceptable(c)) {
		c->error = *c->info.reason ? c->info.reason : rf_reason_words(rf_tls_unvouched(&c->info, c->roots));
		X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
		return 0;
	}
	if (!tls_session_set_peer(SSL_get_session(ssl), rf_peer_get(c->peer))) {
		X509_STORE_CTX_set_error(store, X509_V_ERR_OUT_OF_MEM);
		return 0;
	}
	X509_STORE_CTX_set_error(store, X509_V_OK);
	return 1;
}

/* --- contexts --- */

static const char alpn[] = "\x08http/1.1";

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
		       unsigned in_len, void *arg)
{
	(void)arg;
	if (tls_conn_of(stream_of(ssl))->any_protocol)
		return SSL_TLSEXT_ERR_NOACK;
	/* A client that offers only what we do not speak is told so [RFC 7301 3.2]. */
	return SSL_select_next_proto((unsigned char **)out, out_len, (const unsigned char *)alpn, sizeof alpn - 1, in, in_len) ==
		       OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

int tls_server_settings(struct rf_tls *t, SSL_CTX *ctx)
{
	static const unsigned char id[] = "ringfence";
	/* A device that loses its link says no good-bye; libssl would take that for an attack and forget its session. What
	 * was cut short shows in the framing of HTTP [RFC 9112 8]. */
	SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN | SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
			 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_num_tickets(ctx, 1);
	SSL_CTX_set_timeout(ctx, (long)t->conf.session_timeout_s);
	SSL_CTX_set_max_cert_list(ctx, CLIENT_CHAIN_MAX);
	SSL_CTX_set_client_hello_cb(ctx, on_hello, t);
	SSL_CTX_set_cert_verify_callback(ctx, on_certificate, t);
	SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, NULL);
	SSL_CTX_set_max_early_data(ctx, 0);
	SSL_CTX_set_recv_max_early_data(ctx, EARLY_MAX);
	bool good = tls_sessions_use(&t->sessions, ctx) && SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) &&
		    SSL_CTX_set_session_id_context(ctx, id, sizeof id - 1) &&
		    SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") &&
		    SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384");
	return good ? RF_OK : RF_E_CRYPTO;
}

struct rf_tls *rf_tls_new(const struct rf_tls_conf *conf, struct rf_err *e)
{
	struct rf_tls *t = calloc(1, sizeof *t);
	if (!t) {
		rf_fail(e, RF_E_NOMEM, "no memory for TLS");
		return NULL;
	}
	t->conf = *conf;
	rf_list_init(&t->hosts_used);
	t->bio = tls_bio_method();
	t->peers = rf_peer_cache_new(conf->chain_cache);
	t->base = SSL_CTX_new_ex(rf_tls_libctx(), NULL, TLS_server_method());
	t->client = tls_client_ctx();
	rf_bufpool_init_size(&t->bufs, TLS_BUFFER, UINT32_MAX, BUFFERS_CACHED);
	if (!t->conf.rekey_records)
		t->conf.rekey_records = REKEY_RECORDS;
	bool ciphers = tls_ciphers_init(&t->ciphers, rf_tls_libctx());
	bool sessions = tls_sessions_init(&t->sessions, conf->session_cache);
	if (ciphers && sessions && t->bio && t->peers && t->base && t->client &&
	    tls_server_settings(t, t->base) == RF_OK)
		return t;
	rf_fail(e, RF_E_CRYPTO, "TLS could not be set up: %s", ERR_reason_error_string(ERR_get_error()));
	rf_tls_free(t);
	return NULL;
}

void rf_tls_free(struct rf_tls *t)
{
	if (!t)
		return;
	tls_hosts_fini(t);
	SSL_CTX_free(t->base);
	SSL_CTX_free(t->client);
	tls_sessions_fini(&t->sessions);
	rf_peer_cache_free(t->peers);
	BIO_meth_free(t->bio);
	tls_ciphers_fini(&t->ciphers);
	rf_bufpool_fini(&t->bufs);
	rf_buf_fini(&t->hello);
	free(t);
}

/* --- the handshake --- */

static void established(struct rf_stream *s)
{
	const unsigned char *proto;
	unsigned proto_n;
	struct tls_conn *c = tls_conn_of(s);
	struct rf_tls *t = c->tls;
	c->info.resumed = SSL_session_reused(c->ssl);
	c->info.version = SSL_get_version(c->ssl);
	c->info.cipher = SSL_get_cipher_name(c->ssl);
	SSL_get_client_random(c->ssl, c->random, sizeof c->random);
	SSL_get0_alpn_selected(c->ssl, &proto, &proto_n);
	c->alpn = proto_n > 0;
	c->info.handshake_ns = t->conf.clock.mono(t->conf.clock.ctx) - c->begun_ns;
	if (c->info.resumed) {
		rf_peer_put(c->peer);
		c->denials = 0;
		c->peer = rf_peer_get(tls_session_peer(SSL_get_session(c->ssl)));
		t->stats.resumed++;
	} else {
		t->stats.full++;
	}
	rf_tls_recheck(s);
}

static int failed(struct tls_conn *c, int code)
{
	c->phase = FAILED;
	c->tls->stats.failed++;
	return code;
}

/* Read what comes before the end of the handshake: RF_OK with c->early set, or RF_OK without it when there is
 * no 0-RTT data (any more). */
static int read_early(struct rf_stream *s)
{
	struct tls_conn *c = tls_conn_of(s);
	char buf[EARLY_MAX];
	size_t got = 0;
	if (c->early_over)
		return RF_OK;
	tls_listen(c);
	int r = SSL_read_early_data(c->ssl, buf, sizeof buf, &got);
	tls_listen(NULL);
	if (r == SSL_READ_EARLY_DATA_ERROR)
		return tls_result(s, 0);
	c->early_over = r == SSL_READ_EARLY_DATA_FINISH;
	if (r == SSL_READ_EARLY_DATA_SUCCESS && got) {
		c->early = malloc(got);
		if (!c->early)
			return RF_E_NOMEM;
		memcpy(c->early, buf, got);
		c->early_n = got;
	}
	return RF_OK;
}

static int finish(struct rf_stream *s)
{
	struct tls_conn *c = tls_conn_of(s);
	tls_listen(c);
	int r = SSL_accept(c->ssl);
	tls_listen(NULL);
	if (r != 1)
		return tls_result(s, r);
	if (c->phase != EARLY)
		established(s);
	c->phase = OPEN;
	c->info.early = false;
	if (c->refuse && !acceptable(c))
		return RF_E_CRYPTO;
	tls_take_over(s);
	return RF_OK;
}

static int server_handshake(struct rf_stream *s)
{
	struct tls_conn *c = tls_conn_of(s);
	if (c->phase != HANDSHAKE)
		return c->phase == FAILED ? RF_E_CRYPTO : RF_OK;
	int rc = read_early(s);
	if (rc == RF_OK && c->early) {
		c->phase = EARLY;
		c->info.early = true;
		c->tls->stats.early++;
		established(s);
		return c->refuse && !acceptable(c) ? failed(c, RF_E_CRYPTO) : RF_OK;
	}
	if (rc == RF_OK)
		rc = finish(s);
	return rc == RF_OK || rc == RF_E_AGAIN ? rc : failed(c, rc);
}

int rf_tls_settle(struct rf_stream *s)
{
	struct tls_conn *c = s->layer ? tls_conn_of(s) : NULL;
	if (!c || c->phase == OPEN)
		return RF_OK;
	int rc = c->phase == FAILED ? RF_E_CRYPTO : finish(s);
	return rc == RF_OK || rc == RF_E_AGAIN ? rc : failed(c, rc);
}

static const struct rf_layer server_layer = { server_handshake, tls_read, tls_write, tls_shutdown, tls_free };

static bool set_version(SSL *ssl, int min_version)
{
	if (!min_version || min_version == TLS1_2_VERSION)
		return true;
	if (min_version < TLS1_2_VERSION && !SSL_set_cipher_list(ssl, "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:RSA+AES:@SECLEVEL=0"))
		return false;
	return SSL_set_min_proto_version(ssl, min_version);
}

int rf_tls_accept(struct rf_tls *t, struct rf_stream *s, int min_version)
{
	int rc = tls_attach(t, s, t->base, &server_layer);
	if (rc != RF_OK)
		return rc;
	if (!set_version(tls_conn_of(s)->ssl, min_version))
		return RF_E_CRYPTO; /* the stream's close frees the layer */
	SSL_set_accept_state(tls_conn_of(s)->ssl);
	return RF_OK;
}

/* Ours towards a client, whoever has its records? */
static bool of_server(const struct rf_stream *s)
{
	return s->layer == &server_layer || (s->layer == &tls_direct_layer && !tls_conn_of(s)->direct.client);
}

const struct rf_tls_info *rf_tls_info(const struct rf_stream *s)
{
	return of_server(s) ? &tls_conn_of(s)->info : NULL;
}

void rf_tls_recheck(struct rf_stream *s)
{
	struct tls_conn *c = of_server(s) ? tls_conn_of(s) : NULL;
	struct rf_err e;
	if (!c)
		return;
	const struct rf_tls_peer *before = c->peer;
	if (c->peer && rf_peer_renew(c->tls->peers, c->tls->conf.trust(c->tls->conf.arg), &c->peer, &e) != RF_OK) {
		c->info.verified = false; /* without memory to know, nothing is proved */
		c->info.status = RF_CERT_INVALID;
		c->info.why = RF_REASON_MEMORY;
		c->info.reason = "the certificate could not be verified again";
		return;
	}
	if (c->peer != before)
		c->denials = 0;
	judge(c);
}

void rf_tls_client_random(const struct rf_stream *s, char to[65])
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *random = tls_conn_of(s)->random;
	for (size_t i = 0; i < sizeof tls_conn_of(s)->random; i++) {
		to[2 * i] = digits[random[i] >> 4];
		to[2 * i + 1] = digits[random[i] & 15];
	}
	to[64] = '\0';
}

unsigned rf_tls_hello_length(const struct rf_stream *s)
{
	return tls_conn_of(s)->hello_length;
}

struct rf_str rf_tls_hello(const struct rf_stream *s)
{
	const struct tls_conn *c = tls_conn_of(s);
	return (struct rf_str){ c->hello, c->hello ? c->hello_length : 0 };
}

struct rf_str rf_tls_ja4(const struct rf_stream *s)
{
	return rf_str_z(tls_conn_of(s)->ja4);
}

struct rf_str rf_tls_alpn(const struct rf_stream *s)
{
	return tls_conn_of(s)->alpn ? (struct rf_str){ alpn + 1, sizeof alpn - 2 } : (struct rf_str){ NULL, 0 };
}

void rf_tls_stats(const struct rf_tls *t, struct rf_tls_stats *ret)
{
	*ret = t->stats;
	rf_peer_cache_stats(t->peers, &ret->chain_hits, &ret->chain_misses);
}
