/* net/tally: counts by key, in entries whose memory is taken at the start, and touched when they are needed.
 *
 * Invariants: an entry is in the map exactly while its count is not 0, else in the free list, or among the `fresh` that no key has had
 * yet, which are the last ones. Its pointer stays valid while somebody holds one of its counts.
 *
 * Not here: rates (net/rate).
 */
#include "net/tally.h"
#include <stdlib.h>
#include "base/err.h"
#include "base/hash.h"
#include "base/list.h"

enum { KEY_MAX = 40 };

struct rf_tally_entry {
	struct rf_map_node node;
	struct rf_tally_entry *next_free;
	uint32_t count;
	char key[KEY_MAX];
};

int rf_tally_init(struct rf_tally *t, uint32_t keys)
{
	struct rf_tally_entry *entries = calloc(keys ? keys : 1, sizeof *entries);
	if (!entries)
		return RF_E_NOMEM;
	*t = (struct rf_tally){ .entries = entries, .next = entries, .fresh = keys };
	return RF_OK;
}

void rf_tally_fini(struct rf_tally *t)
{
	rf_map_fini(&t->map);
	free(t->entries);
	*t = (struct rf_tally){ 0 };
}

int rf_tally_get(struct rf_tally *t, struct rf_str key, uint32_t limit, struct rf_tally_entry **ret)
{
	uint64_t hash;
	if (key.n > KEY_MAX) {
		hash = rf_hash(key);
		key = (struct rf_str){ (const char *)&hash, sizeof hash };
	}
	struct rf_map_node *node = rf_map_find(&t->map, key);
	struct rf_tally_entry *e = node ? RF_CONTAINER(node, struct rf_tally_entry, node) : t->free ? t->free : t->fresh ? t->next : NULL;
	if (!limit || (node && e->count >= limit)) {
		t->refused++;
		return RF_E_RATE;
	}
	if (!e) {
		t->full++;
		return RF_E_FULL;
	}
	if (!node) {
		if (t->free)
			t->free = e->next_free;
		else
			t->next++, t->fresh--;
		if (key.n)
			memcpy(e->key, key.p, key.n);
		rf_map_add(&t->map, &e->node, (struct rf_str){ e->key, key.n });
	}
	e->count++;
	*ret = e;
	return RF_OK;
}

void rf_tally_put(struct rf_tally *t, struct rf_tally_entry *e)
{
	if (!e || --e->count)
		return;
	rf_map_del(&t->map, &e->node);
	e->next_free = t->free;
	t->free = e;
}
