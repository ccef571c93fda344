/* base/table: pointers under hashes, in one piece of memory, for one thread.
 *
 * For tables of which a hundred thousand entries come at once: an entry takes no memory of its own, and no object is looked at to put
 * it in. What a hash leads to is the caller's to compare, and several may have the same. Room is taken before, so that adding cannot
 * fail.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rf_table_slot {
	uint64_t hash;
	void *p; /* NULL: free */
};

struct rf_table {
	struct rf_table_slot *slot;
	size_t mask, count;
};

/* Room for so many in all; false without memory, and all is as it was. */
bool rf_table_reserve(struct rf_table *t, size_t count);
void rf_table_add(struct rf_table *t, uint64_t hash, void *p); /* there is room for it */
void rf_table_del(struct rf_table *t, uint64_t hash, const void *p); /* it is there */
void rf_table_fini(struct rf_table *t);

/* Each entry of a hash: `at` is its slot's number. */
#define RF_TABLE_EACH(at, t, h) \
	for (size_t at = (h) & (t)->mask; (t)->slot && (t)->slot[at].p; at = (at + 1) & (t)->mask) \
		if ((t)->slot[at].hash == (h))
