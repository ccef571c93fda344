/* policy/lists_table: the table of a snapshot that gives each named list a slot.
 *
 * Invariant: a slot keeps its name in every table made from this one, also when its list is gone, so
 * that a list of that name gets the same slot again.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include "base/near.h"
#include "policy/lists.h"

enum { NAME_SIZE = 50 };

struct slot {
	char name[NAME_SIZE + 1];
	struct rf_list *list;
};

struct rf_lists {
	atomic_uint refs;
	size_t count;
	struct slot slot[];
};

bool rf_list_name_ok(struct rf_str name)
{
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '_')
			return false;
	}
	return name.n > 0 && name.n <= NAME_SIZE;
}

static int slot_of(const struct rf_lists *t, struct rf_str name)
{
	for (size_t i = 0; t && i < t->count; i++)
		if (rf_str_eq(name, rf_str_z(t->slot[i].name)))
			return (int)i;
	return -1;
}

int rf_lists_with(const struct rf_lists *old, struct rf_str name, struct rf_list *list, struct rf_lists **ret)
{
	size_t count = old ? old->count : 0;
	int at = slot_of(old, name);
	size_t grown = count + (at < 0);
	if (grown > RF_LISTS)
		return RF_E_FULL;
	if (!rf_list_name_ok(name))
		return RF_E_SYNTAX;
	struct rf_lists *t = calloc(1, sizeof *t + grown * sizeof *t->slot);
	if (!t)
		return RF_E_NOMEM;
	t->refs = 1;
	t->count = grown;
	if (count)
		memcpy(t->slot, old->slot, count * sizeof *t->slot);
	if (at < 0)
		memcpy(t->slot[at = (int)count].name, name.p, name.n);
	t->slot[at].list = list;
	for (size_t i = 0; i < grown; i++)
		if (t->slot[i].list)
			rf_list_get(t->slot[i].list);
	*ret = t;
	return RF_OK;
}

struct rf_lists *rf_lists_get(struct rf_lists *t)
{
	atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

void rf_lists_put(struct rf_lists *t)
{
	if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < t->count; i++)
		rf_list_put(t->slot[i].list);
	free(t);
}

int rf_lists_find(const struct rf_lists *t, struct rf_str name)
{
	int at = slot_of(t, name);
	return at >= 0 && t->slot[at].list ? at : -1;
}

struct rf_list *rf_lists_at(const struct rf_lists *t, int slot)
{
	return t && slot >= 0 && (size_t)slot < t->count ? t->slot[slot].list : NULL;
}

const char *rf_lists_near(const struct rf_lists *t, struct rf_str name)
{
	const char *names[RF_LISTS];
	size_t n = 0;
	for (size_t i = 0; t && i < t->count; i++)
		if (t->slot[i].list)
			names[n++] = t->slot[i].name;
	return rf_near(name, names, n);
}
