/* base/heap: an intrusive 4-ary min-heap of 64-bit keys, for timers.
 *
 * A node knows its place, so that removal is O(log n). Owned by one thread.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rf_heap_node {
	uint64_t key;
	size_t at; /* 1-based place; 0: not in a heap */
};

struct rf_heap {
	struct rf_heap_node **v;
	size_t n, cap;
};

/* Room for n nodes in all, so that adding up to there never fails; false when memory is missing. */
bool rf_heap_reserve(struct rf_heap *h, size_t n);
/* False when memory is missing; the heap is unchanged then. The node must not be in a heap. */
bool rf_heap_add(struct rf_heap *h, struct rf_heap_node *node, uint64_t key);
/* Change the key of a node that is in the heap. */
void rf_heap_move(struct rf_heap *h, struct rf_heap_node *node, uint64_t key);
/* Harmless on a node that is in no heap. */
void rf_heap_del(struct rf_heap *h, struct rf_heap_node *node);
static inline struct rf_heap_node *rf_heap_min(const struct rf_heap *h) { return h->n ? h->v[0] : NULL; }
void rf_heap_fini(struct rf_heap *h);
