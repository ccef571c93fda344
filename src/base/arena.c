#include "base/arena.h"
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/way.h"

struct rf_arena_block {
	struct rf_arena_block *next;
	size_t size;
	alignas(max_align_t) char data[];
};

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
enum { BLOCK = 0 }; /* one malloc an allocation */
#else
enum { BLOCK = 4096 - sizeof(struct rf_arena_block) - 16 /* malloc's own header */ };
#endif

void rf_arena_init(struct rf_arena *a, size_t bound)
{
	*a = (struct rf_arena){ .bound = bound };
}

enum { SPARES = 4 };

static void free_all(struct rf_arena_block *b)
{
	while (b) {
		struct rf_arena_block *next = b->next;
		rf_way_give();
		free(b);
		b = next;
	}
}

void rf_arena_reset(struct rf_arena *a)
{
	free_all(a->blocks);
	free_all(a->spare);
	rf_arena_init(a, a->bound);
}

static __attribute__((noinline)) void rewind_blocks(struct rf_arena *a)
{
	struct rf_arena_block *spare = a->spare, *next;
	unsigned spares = a->spares;
	for (struct rf_arena_block *b = a->blocks; b; b = next) {
		next = b->next;
		if (b->size != BLOCK || spares == SPARES) {
			free(b);
			continue;
		}
		b->next = spare;
		spare = b;
		spares++;
	}
	rf_arena_init(a, a->bound);
	a->spare = spare;
	a->spares = spares;
}

void rf_arena_rewind(struct rf_arena *a)
{
	if (a->blocks)
		rewind_blocks(a);
	a->full = false;
}

void rf_arena_fini(struct rf_arena *a)
{
	rf_arena_reset(a);
}

void rf_arena_release(struct rf_arena *a, const struct rf_arena *mark)
{
	struct rf_arena_block *spare = a->spare; /* blocks of before the mark may have been spares then */
	unsigned spares = a->spares;
	while (a->blocks != mark->blocks) {
		struct rf_arena_block *next = a->blocks->next;
		free(a->blocks);
		a->blocks = next;
	}
	bool full = a->full;
	*a = *mark;
	a->full = full;
	a->spare = spare;
	a->spares = spares;
}

static struct rf_arena_block *block_of(struct rf_arena *a, size_t size)
{
	struct rf_arena_block *b = a->spare;
	if (!b || size != BLOCK)
		return malloc(sizeof *b + size);
	a->spare = b->next;
	a->spares--;
	return b;
}

static bool grow(struct rf_arena *a, size_t n)
{
	size_t size = n > BLOCK ? n : BLOCK;
	if (size > a->bound - a->used)
		size = n;
	if (size > a->bound - a->used)
		return false;
	struct rf_arena_block *b = block_of(a, size);
	if (!b)
		return false;
	*b = (struct rf_arena_block){ .next = a->blocks, .size = size };
	a->blocks = b;
	a->used += size;
	a->at = b->data;
	a->end = b->data + size;
	return true;
}

void *rf_arena_alloc(struct rf_arena *a, size_t n)
{
	size_t align = alignof(max_align_t);
	a->full |= n > SIZE_MAX / 2;
	if (n > SIZE_MAX / 2)
		return NULL;
	n = n ? (n + align - 1) & ~(align - 1) : align;
	if ((size_t)(a->end - a->at) < n && !grow(a, n)) {
		a->full = true;
		return NULL;
	}
	char *p = a->at;
	a->at += n;
	return memset(p, 0, n);
}

void *rf_arena_array(struct rf_arena *a, size_t count, size_t size)
{
	size_t n;
	return __builtin_mul_overflow(count, size, &n) ? NULL : rf_arena_alloc(a, n);
}

struct rf_str rf_arena_dup(struct rf_arena *a, struct rf_str s)
{
	char *p = s.n < SIZE_MAX ? rf_arena_alloc(a, s.n + 1) : NULL;
	if (!p)
		return (struct rf_str){ NULL, 0 };
	if (s.n)
		memcpy(p, s.p, s.n);
	return (struct rf_str){ p, s.n };
}

struct rf_str rf_arena_printf(struct rf_arena *a, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	char *p = n < 0 ? NULL : rf_arena_alloc(a, (size_t)n + 1);
	if (!p)
		return (struct rf_str){ NULL, 0 };
	va_start(ap, fmt);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return (struct rf_str){ p, (size_t)n };
}
