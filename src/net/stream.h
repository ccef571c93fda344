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

/* A transformation between the owner and the socket (TLS). Calls down with rf_io_*. */
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
	bool readable, writable; /* false after RF_E_AGAIN until the next edge */
	bool hup;                /* the socket is dead: writes will fail */
};

/* Take over an accepted io. */
int rf_stream_accept(struct rf_stream *s, struct rf_loop *loop, int fd, void (*on_event)(struct rf_stream *));
/* Begin to connect; the first event tells the result by rf_stream_connected. */
int rf_stream_connect(struct rf_stream *s, struct rf_loop *loop, const struct rf_addr *to,
		      void (*on_event)(struct rf_stream *));
/* RF_OK, RF_E_AGAIN while connecting, or the error. */
int rf_stream_connected(struct rf_stream *s);

/* Put a layer on; from now on bytes pass through it. state is the layer's. */
void rf_stream_layer(struct rf_stream *s, const struct rf_layer *layer, void *state);
/* RF_OK at once for a plain stream. */
int rf_stream_handshake(struct rf_stream *s);

/* > 0; RF_E_AGAIN, RF_E_EOF (orderly), RF_E_RESET (also TLS truncation), RF_E_IO, RF_E_CRYPTO. */
ssize_t rf_stream_read(struct rf_stream *s, void *p, size_t n);
/* > 0, possibly fewer bytes than given; RF_E_AGAIN, RF_E_RESET, RF_E_IO, RF_E_CRYPTO. */
ssize_t rf_stream_write(struct rf_stream *s, const struct iovec *v, int count);
int rf_stream_shutdown(struct rf_stream *s);
void rf_stream_close(struct rf_stream *s); /* frees the layer; harmless when closed */

static inline bool rf_stream_open(const struct rf_stream *s) { return s->io.fd >= 0; }
