/* net/bufpool: a worker's buffers of one size, and a pipe over one of them.
 *
 * A connection holds a buffer only while bytes are under way: an idle one holds none.
 * Owned by one thread. Under AddressSanitizer a buffer in the cache is poisoned.
 */
#pragma once
#include "base/str.h"

#define RF_BUFPOOL_SIZE 16384 /* one TLS record, and a good unit for recv */

struct rf_bufpool {
	size_t size;         /* of each buffer */
	void *cache;         /* free buffers, linked through their first word */
	uint32_t cached, cache_max;
	uint32_t out, bound; /* handed out, and the most that may be */
	uint32_t high;       /* most ever handed out */
	uint64_t refused;    /* gets without a buffer: at the bound, or no memory */
};

void rf_bufpool_init(struct rf_bufpool *pool, uint32_t bound, uint32_t cache_max);
/* The same with buffers of another size, at least that of a pointer; no pipe may use it. */
void rf_bufpool_init_size(struct rf_bufpool *pool, size_t size, uint32_t bound, uint32_t cache_max);
/* RF_BUFPOOL_SIZE bytes (or what was asked for), not cleared; NULL at the bound or without memory. */
void *rf_bufpool_get(struct rf_bufpool *pool);
void rf_bufpool_put(struct rf_bufpool *pool, void *buf); /* harmless for NULL */
void rf_bufpool_fini(struct rf_bufpool *pool); /* every buffer must be back */

/* First in, first out, at most RF_BUFPOOL_SIZE bytes. Starts zeroed, without a buffer. */
struct rf_pipe {
	char *p; /* NULL when empty */
	uint32_t head, tail;
};

/* Where to put bytes, at least one: *ret_n of room. NULL when full (*ret_n 0) or when there is no buffer.
 * Always follow with rf_pipe_filled. */
char *rf_pipe_room(struct rf_pipe *pipe, struct rf_bufpool *pool, size_t *ret_n);
void rf_pipe_filled(struct rf_pipe *pipe, struct rf_bufpool *pool, size_t n); /* n may be 0 */
/* The bytes, and how many of them are done with; the buffer goes back with the last one. */
static inline struct rf_str rf_pipe_str(const struct rf_pipe *pipe)
{
	return (struct rf_str){ pipe->p ? pipe->p + pipe->head : NULL, pipe->tail - pipe->head };
}
static inline bool rf_pipe_full(const struct rf_pipe *pipe)
{
	return pipe->tail - pipe->head == RF_BUFPOOL_SIZE;
}
void rf_pipe_eat(struct rf_pipe *pipe, struct rf_bufpool *pool, size_t n);
void rf_pipe_fini(struct rf_pipe *pipe, struct rf_bufpool *pool); /* drops what is left; may be used again */
