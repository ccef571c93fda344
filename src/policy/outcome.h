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

/* The rule's condition holds: do what its action says. */
void outcome_act(struct run *r, const struct rf_rule *rule);
/* It could not be evaluated: block. */
void outcome_broke(struct run *r, const struct rf_rule *rule, int error);
