#include "base/heap.h"
#include <stdlib.h>
#include "base/room.h"

static void put(struct rf_heap *h, size_t i, struct rf_heap_node *node)
{
	h->v[i] = node;
	node->at = i + 1;
}

static void up(struct rf_heap *h, size_t i)
{
	struct rf_heap_node *node = h->v[i];
	while (i && h->v[(i - 1) / 4]->key > node->key) {
		put(h, i, h->v[(i - 1) / 4]);
		i = (i - 1) / 4;
	}
	put(h, i, node);
}

static void down(struct rf_heap *h, size_t i)
{
	struct rf_heap_node *node = h->v[i];
	for (;;) {
		size_t least = i, first = 4 * i + 1;
		uint64_t key = node->key;
		for (size_t c = first; c < first + 4 && c < h->n; c++)
			if (h->v[c]->key < key) {
				least = c;
				key = h->v[c]->key;
			}
		if (least == i)
			break;
		put(h, i, h->v[least]);
		i = least;
	}
	put(h, i, node);
}

bool rf_heap_reserve(struct rf_heap *h, size_t n)
{
	return rf_room(&h->v, &h->cap, n, sizeof *h->v);
}

bool rf_heap_add(struct rf_heap *h, struct rf_heap_node *node, uint64_t key)
{
	if (!rf_heap_reserve(h, h->n + 1))
		return false;
	node->key = key;
	put(h, h->n++, node);
	up(h, h->n - 1);
	return true;
}

void rf_heap_move(struct rf_heap *h, struct rf_heap_node *node, uint64_t key)
{
	node->key = key;
	up(h, node->at - 1);
	down(h, node->at - 1);
}

void rf_heap_del(struct rf_heap *h, struct rf_heap_node *node)
{
	if (!node->at)
		return;
	size_t i = node->at - 1;
	struct rf_heap_node *last = h->v[--h->n];
	node->at = 0;
	if (last == node)
		return;
	put(h, i, last);
	up(h, i);
	down(h, last->at - 1);
}

void rf_heap_fini(struct rf_heap *h)
{
	free(h->v);
	*h = (struct rf_heap){ 0 };
}
