/* ctl/rule_index: which compiled rule stands for which row of the state.
 *
 * The index says what is in force, a table for each ruleset. A build notes what it would change, rule by rule or a ruleset as a whole;
 * the control thread settles the notes when the build is in force, or drops them. Rules are not held here: the rulesets in force, or
 * those that a build has made, hold them. The table of a ruleset that was built as a whole is made when a rule is first looked for in it.
 * Control thread only.
 */
#pragma once
#include "base/table.h"
#include "ctl/store.h"
#include "policy/rule.h"

struct rf_rule_table {
	char set[33];
	struct rf_table rules;    /* links by id, where `from` is NULL */
	struct rf_ruleset *from;  /* a reference: what the table is still to be made of; its rules are not in it yet */
	uint64_t newest;          /* no rule here is of a later revision */
	bool gone;                /* of a note: the ruleset is no more */
};

struct rf_rule_note {
	char id[33], set[33];
	struct rf_rule_link rule; /* zeroed: it is gone */
};

struct rf_rule_index {
	struct rf_rule_table *v, *noted;
	size_t n, cap, noted_n, noted_cap;
	struct rf_rule_note *notes;
	size_t note_count, note_cap;
};

/* The rule of a ruleset that is of this revision of its row. Zeroed: none, or no memory to look for it. */
struct rf_rule_link rf_rule_index_in(struct rf_rule_index *x, const char *set, const char *id, uint64_t revision);
/* The rule of an id; *ret_set is whose. Zeroed: none. RF_E_NOMEM. */
int rf_rule_index_find(struct rf_rule_index *x, const char *id, const char **ret_set, struct rf_rule_link *ret);

/* What a build changes. `rule` zeroed: it is gone. RF_E_NOMEM. */
int rf_rule_index_note(struct rf_rule_index *x, const char *id, const char *set, struct rf_rule_link rule);
bool rf_rule_index_noted(const struct rf_rule_index *x, const char *id);
/* All rules of a ruleset; NULL: it is no more. */
int rf_rule_index_note_set(struct rf_rule_index *x, const char *set, struct rf_ruleset *rules);
bool rf_rule_index_noted_set(const struct rf_rule_index *x, const char *set);
void rf_rule_index_settle(struct rf_rule_index *x); /* cannot fail */
void rf_rule_index_drop(struct rf_rule_index *x);
void rf_rule_index_fini(struct rf_rule_index *x);
