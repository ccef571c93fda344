/* tls/layer: a connection that libssl has, for both halves.
 *
 * libssl is fed by our BIO and keeps no buffer while a connection is idle. Small pieces of one write
 * are gathered, so that a head and its body leave in one record and one system call.
 */
#include <openssl/err.h>
#include <stdlib.h>
#include "tls/layer.h"

enum { RECORD = 16384 }; /* the most plain bytes in a record [RFC 8446 5.1] */

static const char *words_of(unsigned long error)
{
	const char *reason = error ? ERR_reason_error_string(error) : NULL;
	return reason ? reason : "the peer closed the connection during TLS";
}

int tls_result(struct rf_stream *s, int ret)
{
	struct tls_conn *c = tls_conn_of(s);
	switch (SSL_get_error(c->ssl, ret)) {
	case SSL_ERROR_NONE:
		return RF_OK;
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return RF_E_AGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return RF_E_EOF;
	case SSL_ERROR_SYSCALL:
		c->error = c->error ? c->error : words_of(0);
		ERR_clear_error();
		return RF_E_RESET;
	default:
		if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
			c->error = "the peer closed the connection without TLS's good-bye";
			ERR_clear_error();
			return RF_E_RESET;
		}
		c->error = c->error ? c->error : words_of(ERR_peek_error());
		ERR_clear_error();
		return RF_E_CRYPTO;
	}
}

static void conn_free(struct tls_conn *c)
{
	tls_session_leave(c);
	rf_peer_put(c->peer);
	rf_trust_put(c->trust);
	tls_direct_fini(c);
	free(c->sni);
	free(c->hello);
	free(c->early);
	free(c);
}

int tls_attach(struct rf_tls *t, struct rf_stream *s, SSL_CTX *ctx, const struct rf_layer *layer)
{
	struct tls_conn *c = calloc(1, sizeof *c);
	BIO *bio = c ? BIO_new(t->bio) : NULL;
	SSL *ssl = bio ? SSL_new(ctx) : NULL;
	if (!ssl) {
		BIO_free(bio);
		free(c);
		return RF_E_NOMEM;
	}
	BIO_set_data(bio, s);
	SSL_set_bio(ssl, bio, bio);
	SSL_set_app_data(ssl, (char *)s);
	SSL_set_msg_callback(ssl, tls_on_message);
	c->tls = t;
	c->ssl = ssl;
	c->framed = true;
	c->direct.most = TLS_PLAIN_MAX;
	c->info = (struct rf_tls_info){ .version = "", .cipher = "", .sni = "", .reason = "", .stale = "" };
	c->begun_ns = t->conf.clock.mono(t->conf.clock.ctx);
	rf_stream_layer(s, layer, c);
	return RF_OK;
}

void tls_on_message(int out, int version, int type, const void *p, size_t n, SSL *ssl, void *arg)
{
	struct tls_conn *c = tls_conn_of((struct rf_stream *)SSL_get_app_data(ssl));
	(void)version, (void)arg;
	if (type == SSL3_RT_HEADER)
		tls_count_record(c, out);
	else if (!out && type == SSL3_RT_HANDSHAKE && n && *(const unsigned char *)p == SSL3_MT_CLIENT_HELLO && !c->hello_seen)
		tls_note_hello(c, p, n);
}

ssize_t tls_take_early(struct tls_conn *c, void *p, size_t n)
{
	if (n > c->early_n)
		n = c->early_n;
	memcpy(p, c->early, n);
	memmove(c->early, c->early + n, c->early_n - n);
	c->early_n -= n;
	if (c->early_n == 0) {
		free(c->early);
		c->early = NULL;
	}
	return (ssize_t)n;
}

static ssize_t read_early(struct rf_stream *s, void *p, size_t n)
{
	struct tls_conn *c = tls_conn_of(s);
	size_t got = 0;
	tls_listen(c);
	int r = c->early_over ? SSL_READ_EARLY_DATA_FINISH : SSL_read_early_data(c->ssl, p, n, &got);
	tls_listen(NULL);
	if (r == SSL_READ_EARLY_DATA_SUCCESS && got)
		return (ssize_t)got;
	if (r == SSL_READ_EARLY_DATA_ERROR)
		return tls_result(s, 0);
	c->early_over = true;
	int rc = rf_tls_settle(s);
	return rc == RF_OK ? s->layer->read(s, p, n) : rc; /* which may be another now */
}

ssize_t tls_read(struct rf_stream *s, void *p, size_t n)
{
	struct tls_conn *c = tls_conn_of(s);
	size_t got = 0;
	if (c->phase == FAILED)
		return RF_E_CRYPTO;
	if (c->early)
		return tls_take_early(c, p, n);
	if (c->phase == EARLY)
		return read_early(s, p, n);
	int r = SSL_read_ex(c->ssl, p, n, &got);
	return r == 1 ? (ssize_t)got : tls_result(s, r);
}

/* One SSL_write of what lies at v; several small pieces are copied together first. */
static size_t gather(const struct iovec *v, int count, char *scratch, const void **ret)
{
	size_t n = 0;
	if (count == 1 || v[0].iov_len >= RECORD) {
		*ret = v[0].iov_base;
		return v[0].iov_len;
	}
	for (int i = 0; i < count && n < RECORD; i++) {
		size_t take = v[i].iov_len < RECORD - n ? v[i].iov_len : RECORD - n;
		if (take)
			memcpy(scratch + n, v[i].iov_base, take);
		n += take;
	}
	*ret = scratch;
	return n;
}

ssize_t tls_write(struct rf_stream *s, const struct iovec *v, int count)
{
	static _Thread_local char scratch[RECORD];
	struct tls_conn *c = tls_conn_of(s);
	const void *p;
	size_t put = 0, n;
	while (count && v->iov_len == 0)
		v++, count--;
	if (!count)
		return 0;
	n = gather(v, count, scratch, &p);
	int r = c->phase == EARLY ? SSL_write_early_data(c->ssl, p, n, &put) : SSL_write_ex(c->ssl, p, n, &put);
	return r == 1 ? (ssize_t)put : tls_result(s, r);
}

int tls_shutdown(struct rf_stream *s)
{
	struct tls_conn *c = tls_conn_of(s);
	if (c->phase != OPEN)
		return RF_OK;
	int r = SSL_shutdown(c->ssl);
	return r >= 0 ? RF_OK : tls_result(s, r);
}

void tls_ssl_free(struct tls_conn *c)
{
	/* libssl takes a session out of its cache when a connection ends without a shutdown; a device that
	 * lost its radio link is the one that wants to resume. After a TLS error the session does go. */
	if (c->ssl && c->phase == OPEN)
		SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(c->ssl);
	c->ssl = NULL;
}

void tls_free(struct rf_stream *s)
{
	struct tls_conn *c = tls_conn_of(s);
	tls_ssl_free(c);
	conn_free(c);
	ERR_clear_error();
	s->layer_state = NULL;
}

const char *rf_tls_error(const struct rf_stream *s)
{
	const struct tls_conn *c = s->layer ? tls_conn_of(s) : NULL;
	return c && c->error ? c->error : "no TLS error";
}
