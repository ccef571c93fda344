/* ctl/rule_cost: whether a change of rules stays within its time and memory, and which rules cost the most.
 *
 * Bounds are for changes: what is in the state already is in force after every start, however slow the machine is that day. Errors
 * point to "WHERE/ID/expression" of the costliest rule.
 */
#pragma once
#include "policy/rule.h"

struct rf_rule_costs {
	const char *where;   /* "/rules" */
	uint64_t bound;      /* nanoseconds of one change; 0: none */
	uint64_t took;       /* so far */
	struct { char id[33], label[64]; uint64_t took; } costly[RF_COSTLY]; /* that took the most of it, the most first */
};

/* What a person knows a rule by: its description, else its ref, else its expression. */
struct rf_str rf_rule_label(const struct rf_rule *r);

/* One rule more, of so many nanoseconds; `label` is shown in quotes. RF_E_TOO_LARGE: the change takes longer than its bound. */
int rf_rule_cost(struct rf_rule_costs *k, const char *id, struct rf_str label, uint64_t took, struct rf_err *e);
/* RF_E_TOO_LARGE: a ruleset takes more than so many bytes, with its index and the `texts` that it was made of; 0: any. */
int rf_rule_cost_memory(const struct rf_ruleset *s, size_t texts, const char *where, size_t bound, struct rf_err *e);
