/* policy/access: by which of its predicates a rule is reached. Private to policy.
 *
 * A rule can only hold where its access holds: one predicate of an `and`, one of each branch of an `or`. What an index
 * answers is a string or number that is equal, an address in a prefix, a literal or pattern in a text; any other
 * predicate is a gate: it is tested for every request, once for all rules behind it.
 */
#pragma once
#include "policy/program.h"

enum access_kind {
	ACCESS_STRING,  /* term eq lit */
	ACCESS_INT,     /* term eq number */
	ACCESS_PREFIX,  /* term in prefix */
	ACCESS_TEXT,    /* term contains lit, without regard to case */
	ACCESS_PATTERN, /* term matches pattern */
	ACCESS_GATE,    /* `test` */
};

struct access {
	enum access_kind kind;
	const struct pnode *test; /* the predicate, any() included */
	const struct pnode *term; /* its left side; of a gate: NULL */
	union {
		struct rf_str lit; /* in the expression, or in the arena of the plan */
		const struct regex *pattern;
		int64_t number;
		struct rf_prefix prefix;
	};
};

enum {
	ACCESS_MAX = 20000, /* keys of one rule; a rule with more is always a candidate */
	ACCESS_INTS = 256,  /* numbers of one list that are looked up one by one */
	ACCESS_LITERAL = 3, /* bytes of the shortest literal that leads to a rule */
};

struct access_plan {
	struct rf_arena *arena;  /* of `v` and of literals */
	struct access *v;
	size_t n, cap;
	double chance;           /* that a request has it: a guess */
	bool always;             /* no predicate leads to it: it is asked of every request */
	const struct pnode *gate; /* a predicate that no index answers, where there is one; NULL: none */
};

/* What is found under it is always found: no step of that can fail. */
bool access_sure(const struct access *a);
/* Nothing but what it is found under makes the condition hold. */
bool access_decides(const struct rf_expr *x, const struct access *a);
/* RF_E_NOMEM. With n 0 and not `always` the rule can never hold. */
int access_plan(const struct rf_expr *x, struct access_plan *p);
/* Why a predicate has no index, a clause: "`not` holds for nearly every request". */
const char *access_reason(const struct rf_expr *x, const struct pnode *gate);

/* The longest literal without which a wildcard or a pattern cannot match; n 0 where there is none. *ret_whole: the
 * wildcard has no star. Bytes in the arena; p NULL without memory. */
struct rf_str wild_literal(struct rf_str pattern, struct rf_arena *arena, bool *ret_whole);
struct rf_str regex_literal(struct rf_str pattern, struct rf_arena *arena);
/* The bytes with which a text begins that a pattern matches; all of them where that is not clear, or it may be empty. */
void regex_first(struct rf_str pattern, uint64_t ret[4]);
