/* policy/outcome: between the loop over rules (verdict.c) and what they do (outcome.c). Private to policy. */
#pragma once
#include "policy/verdict.h"

struct run {
	struct rf_facts *f;
	struct rf_verdict *v;
	const struct rf_trace *trace;
	const struct rf_ruleset *set;
	bool done;     /* the phase has ended */
	bool set_done; /* the rest of this ruleset is skipped */
};

/* Has a skip rule named it? (verdict.c) */
bool verdict_skips(const struct rf_verdict *v, const struct rf_ruleset *set, const struct rf_rule *rule);
/* The rule's condition holds: do what its action says. */
void outcome_act(struct run *r, const struct rf_rule *rule);
/* The same of what is past, where texts that it would make may rest on unknown facts: only what it decides. */
void outcome_known(struct run *r, const struct rf_rule *rule);
/* At the end of a ruleset that let pass: what its rate limits count that they do not apply to. */
void outcome_count(struct run *r);
/* It could not be evaluated: block. */
void outcome_broke(struct run *r, const struct rf_rule *rule, int error);
