/* ctl/rule_index: see rule_index.h. All memory is taken when a note is made, so that settling cannot fail. */
#include "ctl/rule_index.h"
#include <stdio.h>
#include <stdlib.h>
#include "base/list.h"

struct rf_indexed_rule *rf_rule_index_find(const struct rf_rule_index *x, const char *id)
{
	struct rf_map_node *n = x->rules.count ? rf_map_find(&x->rules, rf_str_z(id)) : NULL;
	return n ? RF_CONTAINER(n, struct rf_indexed_rule, node) : NULL;
}

static void free_entry(struct rf_indexed_rule *r)
{
	if (!r)
		return;
	rf_rule_put(r->rule);
	free(r);
}

static bool room(struct rf_rule_index *x)
{
	if (x->note_count < x->note_cap)
		return true;
	size_t cap = x->note_cap ? x->note_cap * 2 : 16;
	struct rf_rule_note *v = realloc(x->notes, cap * sizeof *v);
	if (!v)
		return false;
	x->notes = v;
	x->note_cap = cap;
	return true;
}

int rf_rule_index_note(struct rf_rule_index *x, const char *id, const char *set, struct rf_rule *rule, uint64_t revision)
{
	struct rf_indexed_rule *now = rule ? calloc(1, sizeof *now) : NULL;
	if ((rule && !now) || !room(x)) {
		free(now);
		return RF_E_NOMEM;
	}
	if (now) {
		now->rule = rf_rule_get(rule);
		now->revision = revision;
		snprintf(now->set, sizeof now->set, "%s", set);
	}
	struct rf_rule_note *n = &x->notes[x->note_count++];
	n->now = now;
	snprintf(n->id, sizeof n->id, "%s", id);
	return RF_OK;
}

bool rf_rule_index_noted(const struct rf_rule_index *x, const char *id)
{
	for (size_t i = 0; i < x->note_count; i++)
		if (strcmp(x->notes[i].id, id) == 0)
			return true;
	return false;
}

void rf_rule_index_settle(struct rf_rule_index *x)
{
	for (size_t i = 0; i < x->note_count; i++) {
		struct rf_rule_note *n = &x->notes[i];
		struct rf_indexed_rule *was = rf_rule_index_find(x, n->id);
		if (was) {
			rf_map_del(&x->rules, &was->node);
			free_entry(was);
		}
		if (n->now)
			rf_map_add(&x->rules, &n->now->node, n->now->rule->id);
	}
	x->note_count = 0;
}

void rf_rule_index_drop(struct rf_rule_index *x)
{
	for (size_t i = 0; i < x->note_count; i++)
		free_entry(x->notes[i].now);
	x->note_count = 0;
}

void rf_rule_index_fini(struct rf_rule_index *x)
{
	rf_rule_index_drop(x);
	for (struct rf_map_node *n = rf_map_next(&x->rules, NULL), *next; n; n = next) {
		next = rf_map_next(&x->rules, n);
		free_entry(RF_CONTAINER(n, struct rf_indexed_rule, node));
	}
	rf_map_fini(&x->rules);
	free(x->notes);
	*x = (struct rf_rule_index){ 0 };
}
