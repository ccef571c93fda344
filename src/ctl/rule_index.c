/* ctl/rule_index: see rule_index.h. All memory is taken when a note is made, so that settling cannot fail: a table that a note goes to
 * is made, and has room for it. */
#include "ctl/rule_index.h"
#include <stdio.h>
#include <stdlib.h>
#include "base/hash.h"
#include "base/room.h"
#include "base/way.h"

static void put(struct rf_rule_table *t, struct rf_rule_link r)
{
	rf_way_give();
	rf_table_add(&t->rules, rf_hash_quick(rf_link_id(r)), (void *)r.to);
	if (rf_link_revision(r) > t->newest)
		t->newest = rf_link_revision(r);
}

static void fini(struct rf_rule_table *t)
{
	rf_table_fini(&t->rules);
	rf_ruleset_put(t->from);
}

/* False without memory. */
static bool make(struct rf_rule_table *t)
{
	struct rf_ruleset *s = t->from;
	if (!s)
		return true;
	if (!rf_table_reserve(&t->rules, s->count))
		return false;
	for (size_t b = 0; b < s->nblocks; b++)
		for (unsigned i = 0; i < s->blocks[b]->count; i++)
			put(t, s->blocks[b]->rules[i]);
	t->from = NULL;
	rf_ruleset_put(s);
	return true;
}

static struct rf_rule_link find_in(const struct rf_rule_table *t, struct rf_str id)
{
	RF_TABLE_EACH(at, &t->rules, rf_hash_quick(id)) {
		struct rf_rule_link r = { (uintptr_t)t->rules.slot[at].p };
		if (rf_str_eq(rf_link_id(r), id))
			return r;
	}
	return (struct rf_rule_link){ 0 };
}

static struct rf_rule_table *table_of(struct rf_rule_table *v, size_t n, const char *set)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(v[i].set, set) == 0)
			return &v[i];
	return NULL;
}

struct rf_rule_link rf_rule_index_in(struct rf_rule_index *x, const char *set, const char *id, uint64_t revision)
{
	struct rf_rule_table *t = table_of(x->v, x->n, set);
	struct rf_rule_link r = t && revision <= t->newest && make(t) ? find_in(t, rf_str_z(id)) : (struct rf_rule_link){ 0 };
	return r.to && rf_link_revision(r) == revision ? r : (struct rf_rule_link){ 0 };
}

int rf_rule_index_find(struct rf_rule_index *x, const char *id, const char **ret_set, struct rf_rule_link *ret)
{
	*ret = (struct rf_rule_link){ 0 };
	for (size_t i = 0; i < x->n && !ret->to; i++) {
		if (!make(&x->v[i]))
			return RF_E_NOMEM;
		*ret = find_in(&x->v[i], rf_str_z(id));
		*ret_set = x->v[i].set;
	}
	return RF_OK;
}

int rf_rule_index_note(struct rf_rule_index *x, const char *id, const char *set, struct rf_rule_link rule)
{
	struct rf_rule_table *t = rule.to ? table_of(x->v, x->n, set) : NULL;
	if (!RF_ROOM(x->notes, x->note_cap, x->note_count) || (t && !make(t)))
		return RF_E_NOMEM;
	if (rule.to && (!t || !rf_table_reserve(&t->rules, t->rules.count + x->note_count + 1)))
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

static uint64_t newest(const struct rf_ruleset *s)
{
	uint64_t n = 0;
	for (size_t b = 0; b < s->nblocks; b++)
		for (unsigned i = 0; i < s->blocks[b]->count; i++) {
			uint64_t revision = rf_link_revision(s->blocks[b]->rules[i]);
			rf_way_give();
			n = revision > n ? revision : n;
		}
	return n;
}

int rf_rule_index_note_set(struct rf_rule_index *x, const char *set, struct rf_ruleset *rules)
{
	struct rf_rule_table t = { .gone = !rules }, *there = table_of(x->noted, x->noted_n, set);
	snprintf(t.set, sizeof t.set, "%s", set);
	if (!RF_ROOM(x->noted, x->noted_cap, x->noted_n) || !RF_ROOM(x->v, x->cap, x->n + x->noted_n))
		return RF_E_NOMEM;
	if (rules) {
		t.from = rf_ruleset_get(rules);
		t.newest = newest(rules);
	}
	if (there) {
		fini(there);
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
		fini(was);
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
	struct rf_rule_table *to = n->rule.to ? table_of(x->v, x->n, n->set) : NULL;
	for (size_t i = 0; i < x->n; i++) {
		struct rf_rule_link was = find_in(&x->v[i], id);
		if (was.to)
			rf_table_del(&x->v[i].rules, rf_hash_quick(id), (void *)was.to);
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
		fini(&x->noted[i]);
	x->note_count = x->noted_n = 0;
}

void rf_rule_index_fini(struct rf_rule_index *x)
{
	rf_rule_index_drop(x);
	for (size_t i = 0; i < x->n; i++)
		fini(&x->v[i]);
	free(x->v);
	free(x->noted);
	free(x->notes);
	*x = (struct rf_rule_index){ 0 };
}
