/* net/inbuf: what was read from a stream and not used yet: a buffer of the worker's pool, held only while bytes are there. */
#pragma once
#include "net/bufpool.h"
#include "net/stream.h"

/* Bytes read and not used yet; p is NULL while there are none. What is before `floor` is in use. */
struct rf_inbuf {
	char *p;
	uint32_t floor, at, end, cap; /* cap RF_BUFPOOL_SIZE: from the pool; larger: an own one for a large head */
};

/* Read more into the buffer. > 0, RF_E_FULL without room, RF_E_NOMEM without a buffer, or as rf_stream_read. */
ssize_t rf_inbuf_read(struct rf_inbuf *in, struct rf_stream *s, struct rf_bufpool *bufs);
/* The same, no more than `most` bytes. */
ssize_t rf_inbuf_read_most(struct rf_inbuf *in, struct rf_stream *s, struct rf_bufpool *bufs, size_t most);
void rf_inbuf_drop(struct rf_inbuf *in, struct rf_bufpool *bufs); /* gives the buffer back */
/* Make it hold `cap` bytes, moving what it has. RF_E_NOMEM. */
int rf_inbuf_grow(struct rf_inbuf *in, struct rf_bufpool *bufs, uint32_t cap);
static inline struct rf_str rf_inbuf_str(const struct rf_inbuf *in)
{
	return (struct rf_str){ in->p ? in->p + in->at : NULL, in->end - in->at };
}
