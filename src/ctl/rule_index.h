/* ctl/rule_index: which compiled rule stands for which row of the state.
 *
 * The index says what is in force. A build notes what it would change; the control thread settles the notes when the
 * build is in force, or drops them. Control thread only.
 */
#pragma once
#include "base/map.h"
#include "ctl/store.h"
#include "policy/rule.h"

struct rf_indexed_rule {
	struct rf_map_node node;  /* by the rule's id */
	struct rf_rule *rule;     /* a reference */
	char set[33];             /* its ruleset */
	uint64_t revision;        /* of the row that was compiled */
	uint64_t seen;            /* by the last full build that met it */
};

struct rf_rule_note {
	char id[33];
	struct rf_indexed_rule *now; /* NULL: the rule is gone */
};

struct rf_rule_index {
	struct rf_map rules;
	struct rf_rule_note *notes;
	size_t note_count, note_cap;
	uint64_t full_builds;
};

struct rf_indexed_rule *rf_rule_index_find(const struct rf_rule_index *x, const char *id);

/* What a build changes. `rule` NULL: it is gone; else a reference is taken. RF_E_NOMEM. */
int rf_rule_index_note(struct rf_rule_index *x, const char *id, const char *set, struct rf_rule *rule, uint64_t revision);
bool rf_rule_index_noted(const struct rf_rule_index *x, const char *id);
void rf_rule_index_settle(struct rf_rule_index *x); /* cannot fail */
void rf_rule_index_drop(struct rf_rule_index *x);
void rf_rule_index_fini(struct rf_rule_index *x);
