/* base/arena: memory with the lifetime of one request.
 *
 * Allocation is a pointer bump; everything goes at once in rf_arena_reset or rf_arena_fini.
 * An arena never grows past its bound: a request that wants more gets NULL, and its caller
 * answers with RF_E_NOMEM. Owned by one thread. Under AddressSanitizer every allocation is a
 * malloc of its own, so that overruns inside the arena are seen.
 */
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include "base/str.h"

struct rf_arena_block;

struct rf_arena {
	struct rf_arena_block *blocks; /* newest first */
	struct rf_arena_block *spare;  /* kept by rf_arena_rewind; part of neither `used` nor the bound */
	unsigned spares;
	char *at, *end;                /* free part of the newest block */
	size_t used;                   /* bytes taken from the system */
	size_t bound;                  /* and the most that may be */
	bool full;                     /* an allocation has failed since it was empty */
};

/* No memory is taken before the first allocation. */
void rf_arena_init(struct rf_arena *a, size_t bound);
void rf_arena_reset(struct rf_arena *a);
/* As rf_arena_reset, but a few blocks stay for the next use, so that a stream of requests allocates nothing. */
void rf_arena_rewind(struct rf_arena *a);
void rf_arena_fini(struct rf_arena *a);

/* Give back what was allocated since `mark`, a copy of the arena made then: for results that nobody
 * keeps. The arena must not have been reset in between. */
void rf_arena_release(struct rf_arena *a, const struct rf_arena *mark);

/* n bytes, zeroed, aligned for any object; NULL past the bound or without memory. */
void *rf_arena_alloc(struct rf_arena *a, size_t n) __attribute__((malloc));
#define RF_ARENA_NEW(a, type) ((type *)rf_arena_alloc((a), sizeof(type)))
void *rf_arena_array(struct rf_arena *a, size_t count, size_t size);

/* Copies; p is NULL on failure. The copy is followed by a NUL that n does not count. */
struct rf_str rf_arena_dup(struct rf_arena *a, struct rf_str s);
struct rf_str rf_arena_printf(struct rf_arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
