/* policy/eval: evaluate nodes of an expression over facts. Private to policy. */
#pragma once
#include "policy/program.h"

struct eval {
	const struct rf_expr *x;
	struct rf_facts *f;
	const struct rf_val *element; /* what [*] stands for now */
	int err;                      /* the first error sticks; then everything is false */
};

bool eval_test(struct eval *e, const struct pnode *n);
/* A value in the facts, in the expression or in *room. */
const struct rf_val *eval_value(struct eval *e, const struct pnode *n, struct rf_val *room);
/* What the [*] below a node goes through: always in the first argument. */
const struct pnode *eval_source(const struct eval *e, const struct pnode *n);
