/* net/stream: events of a socket turned into "you may read or write", and bytes passed on.
 *
 * An edge sets readable, writable, eof or hup and calls the owner. The owner's reads and writes
 * go to the layer, or straight to the socket; what the socket cannot take or give clears the
 * flag again. A short read clears `readable` too (epoll(7)): bytes that come later are a new
 * edge. It must not when the end of the peer's side is known already, for that gives no edge.
 *
 * Invariants: no bytes are kept here. readable or writable is false only if an edge will come, or, for
 * reading, when the end has been read.
 *
 * Not here: TLS (tls/), buffers and relaying (bufpool, svc).
 */
#include "net/stream.h"

static void ready(struct rf_io *io, unsigned events)
{
	struct rf_stream *s = RF_CONTAINER(io, struct rf_stream, io);
	if (events & RF_IO_READ)
		s->readable = true;
	if (events & RF_IO_WRITE)
		s->writable = true;
	if (events & RF_IO_EOF)
		s->eof = true;
	if (events & RF_IO_HUP)
		s->hup = true;
	if (s->connected == RF_E_AGAIN) {
		if (!(events & (RF_IO_WRITE | RF_IO_HUP)))
			return;
		s->connected = s->hup ? rf_io_error(s->loop, io) : RF_OK;
		if (s->hup && s->connected == RF_OK)
			s->connected = RF_E_RESET;
	}
	s->on_event(s);
}

int rf_stream_accept(struct rf_stream *s, struct rf_loop *loop, int fd, void (*on_event)(struct rf_stream *))
{
	*s = (struct rf_stream){ .io = { .fd = fd, .ready = ready }, .loop = loop, .on_event = on_event,
				 .readable = true, .writable = true };
	int r = rf_loop_add(loop, &s->io);
	if (r)
		rf_loop_close(loop, &s->io);
	return r;
}

int rf_stream_connect(struct rf_stream *s, struct rf_loop *loop, const struct rf_addr *to,
		      void (*on_event)(struct rf_stream *))
{
	*s = (struct rf_stream){ .io = { .fd = -1, .ready = ready }, .loop = loop, .on_event = on_event,
				 .connected = RF_E_AGAIN };
	int r = rf_io_connect(loop, &s->io, to);
	if (r)
		s->connected = r;
	return r;
}

int rf_stream_connected(struct rf_stream *s)
{
	return s->connected;
}

void rf_stream_layer(struct rf_stream *s, const struct rf_layer *layer, void *state)
{
	s->layer = layer;
	s->layer_state = state;
}

int rf_stream_handshake(struct rf_stream *s)
{
	return s->layer ? s->layer->handshake(s) : RF_OK;
}

static void nothing_read(struct rf_stream *s, ssize_t r)
{
	if (r == RF_E_EOF)
		s->eof = s->ended = true;
	if (r == RF_E_EOF || r == RF_E_AGAIN)
		s->readable = false;
}

ssize_t rf_stream_recv(struct rf_stream *s, void *p, size_t n)
{
	if (!s->readable)
		return s->ended ? RF_E_EOF : RF_E_AGAIN;
	ssize_t r = rf_io_recv(s->loop, &s->io, p, n);
	if (r > 0) {
		s->in += (uint64_t)r;
		s->readable = (size_t)r == n || s->eof;
	} else {
		nothing_read(s, r);
	}
	return r;
}

ssize_t rf_stream_splice_in(struct rf_stream *s, int pipe, size_t n)
{
	if (!s->readable)
		return s->ended ? RF_E_EOF : RF_E_AGAIN;
	ssize_t r = rf_io_splice_in(s->loop, &s->io, pipe, n);
	if (r > 0) { /* the pipe may have been too small: only RF_E_AGAIN says that no more is there */
		s->in += (uint64_t)r;
		s->app_in += (uint64_t)r;
	} else {
		nothing_read(s, r);
	}
	return r;
}

static size_t total(const struct iovec *v, int count)
{
	size_t n = 0;
	for (int i = 0; i < count; i++)
		n += v[i].iov_len;
	return n;
}

ssize_t rf_stream_send(struct rf_stream *s, const struct iovec *v, int count)
{
	if (!s->writable)
		return RF_E_AGAIN;
	ssize_t r = rf_io_send(s->loop, &s->io, v, count);
	if (r > 0) {
		s->out += (uint64_t)r;
		s->writable = (size_t)r == total(v, count);
	} else if (r == RF_E_AGAIN) {
		s->writable = false;
	}
	return r;
}

ssize_t rf_stream_splice_out(struct rf_stream *s, int pipe, size_t n)
{
	if (!s->writable)
		return RF_E_AGAIN;
	ssize_t r = rf_io_splice_out(s->loop, &s->io, pipe, n);
	if (r > 0) {
		s->out += (uint64_t)r;
		s->app_out += (uint64_t)r;
	} else if (r == RF_E_AGAIN) { /* as above: a short one may be the pipe's doing */
		s->writable = false;
	}
	return r;
}

ssize_t rf_stream_read(struct rf_stream *s, void *p, size_t n)
{
	ssize_t r = s->layer ? s->layer->read(s, p, n) : rf_stream_recv(s, p, n);
	if (r > 0)
		s->app_in += (uint64_t)r;
	return r;
}

ssize_t rf_stream_write(struct rf_stream *s, const struct iovec *v, int count)
{
	ssize_t r = s->layer ? s->layer->write(s, v, count) : rf_stream_send(s, v, count);
	if (r > 0)
		s->app_out += (uint64_t)r;
	return r;
}

int rf_stream_shutdown(struct rf_stream *s)
{
	int r = s->layer ? s->layer->shutdown(s) : RF_OK;
	return r ? r : rf_io_shutdown(s->loop, &s->io);
}

void rf_stream_doom(struct rf_stream *s)
{
	if (rf_stream_open(s))
		rf_io_doom(s->loop, &s->io);
}

void rf_stream_close(struct rf_stream *s)
{
	if (s->layer && s->layer->free)
		s->layer->free(s);
	s->layer = NULL;
	if (s->loop)
		rf_loop_close(s->loop, &s->io);
}
