/* base/table: see table.h. Open, with a third of the slots free, at least; what stands behind a slot that becomes free moves up. */
#include "base/table.h"
#include <stdlib.h>
#include "base/way.h"

enum { FIRST = 16 };

void rf_table_add(struct rf_table *t, uint64_t hash, void *p)
{
	size_t at = hash & t->mask;
	while (t->slot[at].p)
		at = (at + 1) & t->mask;
	t->slot[at] = (struct rf_table_slot){ hash, p };
	t->count++;
}

bool rf_table_reserve(struct rf_table *t, size_t count)
{
	size_t slots = FIRST;
	if (t->slot && count * 3 <= (t->mask + 1) * 2)
		return true;
	while (slots * 2 < count * 3)
		slots *= 2;
	struct rf_table more = { .slot = rf_way_calloc(slots, sizeof *more.slot), .mask = slots - 1 };
	if (!more.slot)
		return false;
	for (size_t i = 0; t->slot && i <= t->mask; i++)
		if (t->slot[i].p) {
			rf_table_add(&more, t->slot[i].hash, t->slot[i].p);
			rf_way_give();
		}
	rf_way_free(t->slot);
	*t = more;
	return true;
}

void rf_table_del(struct rf_table *t, uint64_t hash, const void *p)
{
	size_t gap = hash & t->mask;
	while (t->slot[gap].p != p)
		gap = (gap + 1) & t->mask;
	for (size_t at = (gap + 1) & t->mask; t->slot[at].p; at = (at + 1) & t->mask) {
		size_t home = t->slot[at].hash & t->mask;
		if (((at - home) & t->mask) < ((at - gap) & t->mask))
			continue; /* its way does not lead over the gap */
		t->slot[gap] = t->slot[at];
		gap = at;
	}
	t->slot[gap] = (struct rf_table_slot){ 0 };
	t->count--;
}

void rf_table_fini(struct rf_table *t)
{
	rf_way_free(t->slot);
	*t = (struct rf_table){ 0 };
}
