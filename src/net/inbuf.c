/* net/inbuf: bytes that wait in a buffer of the pool: taken at the first read, given back by rf_inbuf_drop. */
#include "net/inbuf.h"
#include <stdlib.h>

void rf_inbuf_drop(struct rf_inbuf *in, struct rf_bufpool *bufs)
{
	if (in->cap > RF_BUFPOOL_SIZE)
		free(in->p);
	else
		rf_bufpool_put(bufs, in->p);
	*in = (struct rf_inbuf){ 0 };
}

int rf_inbuf_grow(struct rf_inbuf *in, struct rf_bufpool *bufs, uint32_t cap)
{
	char *p = malloc(cap);
	if (!p)
		return RF_E_NOMEM;
	struct rf_inbuf old = *in;
	memcpy(p, old.p, old.end);
	rf_inbuf_drop(in, bufs);
	*in = old;
	in->p = p;
	in->cap = cap;
	return RF_OK;
}

ssize_t rf_inbuf_read_most(struct rf_inbuf *in, struct rf_stream *s, struct rf_bufpool *bufs, size_t most)
{
	if (!in->p) {
		in->p = rf_bufpool_get(bufs);
		if (!in->p)
			return RF_E_NOMEM;
		in->cap = RF_BUFPOOL_SIZE;
	}
	if (in->at == in->end)
		in->at = in->end = in->floor;
	if (in->end == in->cap)
		return RF_E_FULL;
	size_t room = in->cap - in->end;
	ssize_t r = rf_stream_read(s, in->p + in->end, room < most ? room : most);
	if (r > 0)
		in->end += (uint32_t)r;
	return r;
}

ssize_t rf_inbuf_read(struct rf_inbuf *in, struct rf_stream *s, struct rf_bufpool *bufs)
{
	return rf_inbuf_read_most(in, s, bufs, SIZE_MAX);
}
