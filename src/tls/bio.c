/* tls/bio: libssl's way to the socket, through the loop, so that it can be scripted and counted. */
#include "tls/layer.h"

static void retry(BIO *b, int code, int flags)
{
	BIO_clear_retry_flags(b);
	if (code == RF_E_AGAIN)
		BIO_set_flags(b, flags | BIO_FLAGS_SHOULD_RETRY);
}

static int bio_read(BIO *b, char *p, size_t n, size_t *ret)
{
	ssize_t got = rf_stream_recv(BIO_get_data(b), p, n);
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
