/* ctl/rule_index: see rule_index.h. All memory is taken when a note is made, so that settling cannot fail: a table that a note goes to
 * has room for it. */
#include "ctl/rule_index.h"
#include <stdio.h>
#include <stdlib.h>
#include "base/hash.h"
#include "base/room.h"
#include "base/way.h"

static void put(struct rf_rule_table *t, struct rf_rule *r)
{
	rf_way_give();
	rf_table_add(&t->rules, rf_hash_quick(r->id), r);
	if (r->revision > t->newest)
		t->newest = r->revision;
}

static struct rf_rule *find_in(const struct rf_rule_table *t, struct rf_str id)
{
	RF_TABLE_EACH(at, &t->rules, rf_hash_quick(id)) {
		struct rf_rule *r = t->rules.slot[at].p;
		if (rf_str_eq(r->id, id))
			return r;
	}
	return NULL;
}

static struct rf_rule_table *table_of(struct rf_rule_table *v, size_t n, const char *set)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(v[i].set, set) == 0)
			return &v[i];
	return NULL;
}

struct rf_rule *rf_rule_index_in(const struct rf_rule_index *x, const char *set, const char *id, uint64_t revision)
{
	const struct rf_rule_table *t = table_of(x->v, x->n, set);
	struct rf_rule *r = t && revision <= t->newest ? find_in(t, rf_str_z(id)) : NULL;
	return r && r->revision == revision ? r : NULL;
}

struct rf_rule *rf_rule_index_find(const struct rf_rule_index *x, const char *id, const char **ret_set)
{
	struct rf_rule *r = NULL;
	for (size_t i = 0; i < x->n && !r; i++) {
		r = find_in(&x->v[i], rf_str_z(id));
		*ret_set = x->v[i].set;
	}
	return r;
}

int rf_rule_index_note(struct rf_rule_index *x, const char *id, const char *set, struct rf_rule *rule)
{
	struct rf_rule_table *t = rule ? table_of(x->v, x->n, set) : NULL;
	if (!RF_ROOM(x->notes, x->note_cap, x->note_count))
		return RF_E_NOMEM;
	if (rule && (!t || !rf_table_reserve(&t->rules, t->rules.count + x->note_count + 1)))
		return t ? RF_E_NOMEM : RF_E_INTERNAL;
	struct rf_rule_note *n = &x->notes[x->note_count++];
	*n = (struct rf_rule_note){ .rule = rule };
	snprintf(n->id, sizeof n->id, "%s", id);
	snprintf(n->set, sizeof n->set, "%s", set);
	return RF_OK;
}

bool rf_rule_index_noted(const struct rf_rule_index *x, const char *id)
{
	for (size_t i = 0; i < x->note_count; i++)
		if (strcmp(x->notes[i].id, id) == 0)
			return true;
	return false;
}

bool rf_rule_index_noted_set(const struct rf_rule_index *x, const char *set)
{
	return table_of(x->noted, x->noted_n, set);
}

int rf_rule_index_note_set(struct rf_rule_index *x, const char *set, struct rf_rule *const *rules, size_t n)
{
	struct rf_rule_table t = { .gone = !rules }, *there = table_of(x->noted, x->noted_n, set);
	snprintf(t.set, sizeof t.set, "%s", set);
	if ((rules && !rf_table_reserve(&t.rules, n)) || !RF_ROOM(x->noted, x->noted_cap, x->noted_n) ||
	    !RF_ROOM(x->v, x->cap, x->n + x->noted_n)) {
		rf_table_fini(&t.rules);
		return RF_E_NOMEM;
	}
	for (size_t i = 0; rules && i < n; i++)
		put(&t, rules[i]);
	if (there) {
		rf_table_fini(&there->rules);
		*there = t;
	} else {
		x->noted[x->noted_n++] = t;
	}
	return RF_OK;
}

static void settle_set(struct rf_rule_index *x, const struct rf_rule_table *now)
{
	struct rf_rule_table *was = table_of(x->v, x->n, now->set);
	if (was)
		rf_table_fini(&was->rules);
	else if (!now->gone)
		was = &x->v[x->n++];
	if (was && now->gone)
		*was = x->v[--x->n];
	else if (was)
		*was = *now;
}

static void settle_rule(struct rf_rule_index *x, const struct rf_rule_note *n)
{
	struct rf_str id = rf_str_z(n->id);
	struct rf_rule_table *to = n->rule ? table_of(x->v, x->n, n->set) : NULL;
	for (size_t i = 0; i < x->n; i++) {
		struct rf_rule *was = find_in(&x->v[i], id);
		if (was)
			rf_table_del(&x->v[i].rules, rf_hash_quick(id), was);
	}
	if (to)
		put(to, n->rule);
}

void rf_rule_index_settle(struct rf_rule_index *x)
{
	for (size_t i = 0; i < x->note_count; i++)
		settle_rule(x, &x->notes[i]);
	for (size_t i = 0; i < x->noted_n; i++)
		settle_set(x, &x->noted[i]);
	x->note_count = x->noted_n = 0;
}

void rf_rule_index_drop(struct rf_rule_index *x)
{
	for (size_t i = 0; i < x->noted_n; i++)
		rf_table_fini(&x->noted[i].rules);
	x->note_count = x->noted_n = 0;
}

void rf_rule_index_fini(struct rf_rule_index *x)
{
	rf_rule_index_drop(x);
	for (size_t i = 0; i < x->n; i++)
		rf_table_fini(&x->v[i].rules);
	free(x->v);
	free(x->noted);
	free(x->notes);
	*x = (struct rf_rule_index){ 0 };
}
