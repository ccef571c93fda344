/* tls/bio: libssl's way to the socket, through the loop, so that it can be scripted and counted.
 *
 * One reading takes what is there, but libssl gets it record by record: what lies behind the handshake's last one is
 * for whoever has the connection then.
 */
#include "tls/layer.h"

static void retry(BIO *b, int code, int flags)
{
	BIO_clear_retry_flags(b);
	if (code == RF_E_AGAIN)
		BIO_set_flags(b, flags | BIO_FLAGS_SHOULD_RETRY);
}

/* How many of these bytes belong to the record that is under way. */
static size_t within(struct tls_conn *c, const uint8_t *p, size_t n)
{
	size_t i = 0;
	while (i < n && c->frame_n < TLS_HEADER)
		c->frame[c->frame_n++] = p[i++];
	if (i && c->frame_n == TLS_HEADER)
		c->frame_left = (uint16_t)(c->frame[3] << 8 | c->frame[4]);
	if (c->frame_n < TLS_HEADER)
		return n;
	size_t take = n - i < c->frame_left ? n - i : c->frame_left;
	c->frame_left -= (uint16_t)take;
	if (!c->frame_left)
		c->frame_n = 0;
	return i + take;
}

/* What the last reading found behind its record. */
static size_t kept(struct tls_conn *c, char *p, size_t n)
{
	struct tls_arrived *rx = &c->direct.rx;
	n = n < rx->end - rx->at ? n : rx->end - rx->at;
	if (c->framed)
		n = within(c, rx->p + rx->at, n);
	memcpy(p, rx->p + rx->at, n);
	rx->at += (uint32_t)n;
	if (rx->at == rx->end) {
		rf_bufpool_put(&c->tls->bufs, rx->p);
		*rx = (struct tls_arrived){ 0 };
	}
	return n;
}

static ssize_t fresh(struct rf_stream *s, struct tls_conn *c, char *p, size_t n)
{
	n = n < TLS_BUFFER ? n : TLS_BUFFER;
	ssize_t got = rf_stream_recv(s, p, n);
	if (got <= 0 || !c->framed)
		return got;
	size_t here = within(c, (const uint8_t *)p, (size_t)got), rest = (size_t)got - here;
	if (rest) {
		uint8_t *to = tls_direct_buffer(c);
		if (!to)
			return RF_E_NOMEM;
		memcpy(to, p + here, rest);
		c->direct.rx.end = (uint32_t)rest;
	}
	return (ssize_t)here;
}

static int bio_read(BIO *b, char *p, size_t n, size_t *ret)
{
	struct rf_stream *s = BIO_get_data(b);
	struct tls_conn *c = tls_conn_of(s);
	ssize_t got = c->direct.rx.p ? (ssize_t)kept(c, p, n) : fresh(s, c, p, n);
	retry(b, got < 0 ? (int)got : RF_OK, BIO_FLAGS_READ);
	if (got < 0)
		return 0;
	*ret = (size_t)got;
	return 1;
}

static int bio_write(BIO *b, const char *p, size_t n, size_t *ret)
{
	struct iovec v = { (void *)p, n };
	ssize_t put = rf_stream_send(BIO_get_data(b), &v, 1);
	retry(b, put < 0 ? (int)put : RF_OK, BIO_FLAGS_WRITE);
	if (put < 0)
		return 0;
	*ret = (size_t)put;
	return 1;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	(void)num;
	(void)ptr;
	struct rf_stream *s = BIO_get_data(b);
	if (cmd == BIO_CTRL_EOF)
		return s->eof && !s->readable;
	return cmd == BIO_CTRL_FLUSH || cmd == BIO_CTRL_PUSH || cmd == BIO_CTRL_POP;
}

static int bio_create(BIO *b)
{
	BIO_set_init(b, 1);
	return 1;
}

BIO_METHOD *tls_bio_method(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "ringfence stream");
	if (m && BIO_meth_set_read_ex(m, bio_read) && BIO_meth_set_write_ex(m, bio_write) &&
	    BIO_meth_set_ctrl(m, bio_ctrl) && BIO_meth_set_create(m, bio_create))
		return m;
	BIO_meth_free(m);
	return NULL;
}
