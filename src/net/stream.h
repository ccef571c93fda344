/* net/stream: a non-blocking byte stream, plain or through a layer such as TLS.
 *
 * Embedded in a connection. The owner sets `on_event`, which is called whenever reading or
 * writing may have become possible; it then reads or writes until RF_E_AGAIN. A stream buffers
 * nothing itself: an idle connection costs no buffer, and back-pressure is simply not reading.
 *
 * Life: rf_stream_accept / rf_stream_connect -> events -> rf_stream_close. After close no event
 * comes, and the memory is the owner's again.
 */
#pragma once
#include "loop/loop.h"

struct rf_stream;

/* A transformation between the owner and the socket (TLS). It calls rf_stream_recv and rf_stream_send. */
struct rf_layer {
	/* The handshake, driven by events until RF_OK. */
	int (*handshake)(struct rf_stream *s);
	ssize_t (*read)(struct rf_stream *s, void *p, size_t n);
	ssize_t (*write)(struct rf_stream *s, const struct iovec *v, int count);
	int (*shutdown)(struct rf_stream *s);   /* orderly end of our direction: close_notify */
	void (*free)(struct rf_stream *s);
};

struct rf_stream {
	struct rf_io io;
	struct rf_loop *loop;
	const struct rf_layer *layer; /* NULL: plain */
	void *layer_state;
	void (*on_event)(struct rf_stream *s);
	uint64_t in, out;        /* bytes over the socket (TLS included where the layer counts them) */
	uint64_t app_in, app_out; /* bytes of the owner */
	bool readable, writable; /* the socket: false once drained or filled, until the next edge */
	bool eof;                /* the peer has ended its side; bytes before it are read while `readable` */
	bool ended;              /* RF_E_EOF was read from the socket: every further read gives it again */
	bool hup;                /* the socket is dead: writes will fail */
	int connected;           /* what rf_stream_connected answers */
};

/* Take over an accepted descriptor, which is closed on failure: RF_E_FULL, RF_E_NOMEM. The first event
 * comes by itself. Sets all of *s. */
int rf_stream_accept(struct rf_stream *s, struct rf_loop *loop, int fd, void (*on_event)(struct rf_stream *));
/* Begin to connect; the first event tells the result by rf_stream_connected. Fails at once as rf_io_connect,
 * and no event comes then. Sets all of *s. */
int rf_stream_connect(struct rf_stream *s, struct rf_loop *loop, const struct rf_addr *to,
		      void (*on_event)(struct rf_stream *));
/* RF_OK, RF_E_AGAIN while connecting, or RF_E_RESET, RF_E_TIMEOUT, RF_E_IO. */
int rf_stream_connected(struct rf_stream *s);

/* Put a layer on; from now on bytes pass through it. state is the layer's. */
void rf_stream_layer(struct rf_stream *s, const struct rf_layer *layer, void *state);
/* RF_OK at once for a plain stream. */
int rf_stream_handshake(struct rf_stream *s);

/* > 0; RF_E_AGAIN, RF_E_EOF (orderly), RF_E_RESET (also TLS truncation), RF_E_IO, RF_E_CRYPTO. */
ssize_t rf_stream_read(struct rf_stream *s, void *p, size_t n);
/* > 0, possibly fewer bytes than given; RF_E_AGAIN, RF_E_RESET, RF_E_IO, RF_E_CRYPTO. */
ssize_t rf_stream_write(struct rf_stream *s, const struct iovec *v, int count);
/* No more writes from us; reading goes on. RF_OK, RF_E_AGAIN (a layer could not send its farewell yet: call
 * again on the next event), RF_E_RESET, RF_E_IO. */
int rf_stream_shutdown(struct rf_stream *s);
void rf_stream_close(struct rf_stream *s); /* frees the layer; harmless when closed */
/* Its close, whoever does it, will be a reset: the peer is told that something broke, and what it has not got yet is lost. */
void rf_stream_doom(struct rf_stream *s);

/* Bytes of a plain stream into an empty pipe, and out of it, in the kernel. As rf_stream_read and rf_stream_write. */
ssize_t rf_stream_splice_in(struct rf_stream *s, int pipe, size_t n);
ssize_t rf_stream_splice_out(struct rf_stream *s, int pipe, size_t n);

/* For layers: the socket below, with `in`, `out`, `readable` and `writable` kept. A short read or write
 * clears the flag, so that no call is made only to see RF_E_AGAIN. */
ssize_t rf_stream_recv(struct rf_stream *s, void *p, size_t n);
ssize_t rf_stream_send(struct rf_stream *s, const struct iovec *v, int count);

static inline bool rf_stream_open(const struct rf_stream *s) { return s->io.fd >= 0; }
