/* tls/takeover: how a connection leaves libssl once its handshake is over.
 *
 * The traffic secrets are learned when they are derived: on the server from our own key schedule (kdf), towards origins, which
 * have libcrypto's, from libssl's key log, which stays in this process. libssl tells each record that it makes or reads, which
 * gives the sequence numbers: a session ticket that it has sent is counted like anything else. After the handshake, when
 * nothing waits inside it, that is all there is to the connection; libssl's object, which is the greater part of an idle
 * connection's memory and a third of a request's instructions, is freed.
 *
 * What stays with libssl: TLS 1.2 and older; other suites; 0-RTT data that is not over; anything that is pending in
 * it. Both are the same struct rf_layer to the owner.
 */
#include <openssl/err.h>
#include <string.h>
#include "tls/layer.h"

enum { RANDOM_HEX = 64 };

/* The bytes of hexadecimal digits in small letters; 0 when there are others or too many. */
static size_t unhex(const char *from, uint8_t *to, size_t max)
{
	size_t n = strlen(from);
	if (n % 2 || n / 2 > max)
		return 0;
	for (size_t i = 0; i < n; i++) {
		unsigned d = (unsigned char)from[i];
		d = d >= '0' && d <= '9' ? d - '0' : d >= 'a' && d <= 'f' ? d - 'a' + 10 : 16;
		if (d > 15)
			return 0;
		to[i / 2] = (uint8_t)(i % 2 ? to[i / 2] | d : d << 4);
	}
	return n / 2;
}

static void keep(struct tls_direct *d, bool of_client, const uint8_t *secret, size_t n)
{
	struct tls_half *h = of_client == d->client ? &d->out : &d->in;
	h->secret_n = (uint8_t)(n <= sizeof h->secret ? n : 0);
	memcpy(h->secret, secret, h->secret_n);
	h->seq = 0; /* the next record is the first under these keys */
}

static void on_derived(void *arg, bool of_client, const uint8_t *secret, size_t n)
{
	struct tls_conn *c = arg;
	keep(&c->direct, of_client, secret, n);
}

void tls_listen(struct tls_conn *c)
{
	tls_kdf_listen(c ? on_derived : NULL, c);
}

/* "CLIENT_TRAFFIC_SECRET_0 <client random> <secret>" */
static void on_logged(const SSL *ssl, const char *text)
{
	uint8_t secret[TLS_SECRET_MAX];
	static const char client[] = "CLIENT_TRAFFIC_SECRET_0 ", server[] = "SERVER_TRAFFIC_SECRET_0 ";
	_Static_assert(sizeof client == sizeof server, "one offset for both");
	size_t at = sizeof client - 1 + RANDOM_HEX + 1;
	struct tls_direct *d = &tls_conn_of((struct rf_stream *)SSL_get_app_data(ssl))->direct;
	bool of_client = !strncmp(text, client, sizeof client - 1);
	if ((!of_client && strncmp(text, server, sizeof server - 1) != 0) || strlen(text) <= at)
		return;
	keep(d, of_client, secret, unhex(text + at, secret, sizeof secret));
	OPENSSL_cleanse(secret, sizeof secret);
}

void tls_watch(SSL_CTX *ctx)
{
	SSL_CTX_set_keylog_callback(ctx, on_logged);
}

void tls_count_record(struct tls_conn *c, bool out)
{
	(out ? &c->direct.out : &c->direct.in)->seq++;
}

static uint16_t most_of(const SSL *ssl)
{
	unsigned code = SSL_SESSION_get_max_fragment_length(SSL_get0_session(ssl)); /* [RFC 6066 4] */
	return code >= 1 && code <= 4 ? (uint16_t)(256u << code) : TLS_PLAIN_MAX;
}

static bool able(const struct tls_conn *c, const struct tls_suite *suite)
{
	return suite && SSL_version(c->ssl) == TLS1_3_VERSION && SSL_is_init_finished(c->ssl) && !SSL_has_pending(c->ssl) &&
	       !SSL_get_shutdown(c->ssl) && c->direct.in.secret_n == suite->secret_n &&
	       c->direct.out.secret_n == suite->secret_n;
}

void tls_take_over(struct rf_stream *s)
{
	struct tls_conn *c = tls_conn_of(s);
	struct tls_direct *d = &c->direct;
	const SSL_CIPHER *cipher = SSL_get_current_cipher(c->ssl);
	const struct tls_suite *suite = cipher ? tls_suite_of(SSL_CIPHER_get_id(cipher)) : NULL;
	c->framed = false;
	if (!able(c, suite) || !tls_half_start(&c->tls->ciphers, &d->in, suite) || !tls_half_start(&c->tls->ciphers, &d->out, suite)) {
		tls_half_fini(&d->in);
		tls_half_fini(&d->out);
		ERR_clear_error();
		return;
	}
	d->most = most_of(c->ssl);
	tls_ssl_free(c);
	rf_stream_layer(s, &tls_direct_layer, c);
}
