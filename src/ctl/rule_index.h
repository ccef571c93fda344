/* ctl/rule_index: which compiled rule stands for which row of the state.
 *
 * The index says what is in force, a table for each ruleset. A build notes what it would change, rule by rule or a ruleset as a whole;
 * the control thread settles the notes when the build is in force, or drops them. Rules are not held here: the rulesets in force, or
 * those that a build has made, hold them. Control thread only.
 */
#pragma once
#include "base/table.h"
#include "ctl/store.h"
#include "policy/rule.h"

struct rf_rule_table {
	char set[33];
	struct rf_table rules;    /* by id */
	uint64_t newest;          /* no rule here is of a later revision */
	bool gone;                /* of a note: the ruleset is no more */
};

struct rf_rule_note {
	char id[33], set[33];
	struct rf_rule *rule;     /* NULL: it is gone */
};

struct rf_rule_index {
	struct rf_rule_table *v, *noted;
	size_t n, cap, noted_n, noted_cap;
	struct rf_rule_note *notes;
	size_t note_count, note_cap;
};

/* The rule of a ruleset that was compiled from this revision of its row; of any ruleset, and then *ret_set is which. NULL: none. */
struct rf_rule *rf_rule_index_in(const struct rf_rule_index *x, const char *set, const char *id, uint64_t revision);
struct rf_rule *rf_rule_index_find(const struct rf_rule_index *x, const char *id, const char **ret_set);

/* What a build changes. `rule` NULL: it is gone. RF_E_NOMEM. */
int rf_rule_index_note(struct rf_rule_index *x, const char *id, const char *set, struct rf_rule *rule);
bool rf_rule_index_noted(const struct rf_rule_index *x, const char *id);
/* All rules of a ruleset; `rules` NULL: it is no more. */
int rf_rule_index_note_set(struct rf_rule_index *x, const char *set, struct rf_rule *const *rules, size_t n);
bool rf_rule_index_noted_set(const struct rf_rule_index *x, const char *set);
void rf_rule_index_settle(struct rf_rule_index *x); /* cannot fail */
void rf_rule_index_drop(struct rf_rule_index *x);
void rf_rule_index_fini(struct rf_rule_index *x);
