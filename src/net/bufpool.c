/* net/bufpool: a free list of equal buffers, and a pipe over one of them.
 *
 * Invariants: cached <= cache_max, out <= bound. A pipe holds a buffer exactly while it has
 * bytes, but for the time between rf_pipe_room and rf_pipe_filled.
 */
#include "net/bufpool.h"
#include <assert.h>
#include <sanitizer/asan_interface.h>
#include <stdlib.h>

void rf_bufpool_init(struct rf_bufpool *pool, uint32_t bound, uint32_t cache_max)
{
	rf_bufpool_init_size(pool, RF_BUFPOOL_SIZE, bound, cache_max);
}

void rf_bufpool_init_size(struct rf_bufpool *pool, size_t size, uint32_t bound, uint32_t cache_max)
{
	*pool = (struct rf_bufpool){ .size = size, .bound = bound, .cache_max = cache_max };
}

static void *cache_pop(struct rf_bufpool *pool)
{
	void *buf = pool->cache;
	ASAN_UNPOISON_MEMORY_REGION(buf, pool->size);
	memcpy(&pool->cache, buf, sizeof pool->cache);
	pool->cached--;
	return buf;
}

void *rf_bufpool_get(struct rf_bufpool *pool)
{
	void *buf = NULL;
	if (pool->out < pool->bound)
		buf = pool->cache ? cache_pop(pool) : malloc(pool->size);
	if (!buf) {
		pool->refused++;
		return NULL;
	}
	if (++pool->out > pool->high)
		pool->high = pool->out;
	return buf;
}

void rf_bufpool_put(struct rf_bufpool *pool, void *buf)
{
	if (!buf)
		return;
	pool->out--;
	if (pool->cached == pool->cache_max) {
		free(buf);
		return;
	}
	memcpy(buf, &pool->cache, sizeof pool->cache);
	ASAN_POISON_MEMORY_REGION(buf, pool->size);
	pool->cache = buf;
	pool->cached++;
}

void rf_bufpool_fini(struct rf_bufpool *pool)
{
	assert(pool->out == 0);
	while (pool->cache)
		free(cache_pop(pool));
}

char *rf_pipe_room(struct rf_pipe *pipe, struct rf_bufpool *pool, size_t *ret_n)
{
	*ret_n = 0;
	if (!pipe->p) {
		pipe->p = rf_bufpool_get(pool);
		pipe->head = pipe->tail = 0;
		if (!pipe->p)
			return NULL;
	} else if (pipe->tail == RF_BUFPOOL_SIZE) {
		if (!pipe->head)
			return NULL;
		memmove(pipe->p, pipe->p + pipe->head, pipe->tail - pipe->head);
		pipe->tail -= pipe->head;
		pipe->head = 0;
	}
	*ret_n = RF_BUFPOOL_SIZE - pipe->tail;
	return pipe->p + pipe->tail;
}

void rf_pipe_filled(struct rf_pipe *pipe, struct rf_bufpool *pool, size_t n)
{
	assert(n <= RF_BUFPOOL_SIZE - pipe->tail);
	pipe->tail += (uint32_t)n;
	if (pipe->head == pipe->tail)
		rf_pipe_fini(pipe, pool);
}

void rf_pipe_eat(struct rf_pipe *pipe, struct rf_bufpool *pool, size_t n)
{
	assert(n <= pipe->tail - pipe->head);
	pipe->head += (uint32_t)n;
	if (pipe->head == pipe->tail)
		rf_pipe_fini(pipe, pool);
}

void rf_pipe_fini(struct rf_pipe *pipe, struct rf_bufpool *pool)
{
	rf_bufpool_put(pool, pipe->p);
	*pipe = (struct rf_pipe){ 0 };
}
