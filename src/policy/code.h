/* policy/code: conditions as a small bytecode over predicates that rules share. Private to policy.
 *
 * An instruction tests one predicate and goes on to one of two others, or to an end: and, or and not cost nothing. Code is
 * made from the back to the front, so that where an instruction goes is known. The parity of an xor is a bit.
 */
#pragma once
#include "policy/eval.h"

enum { CODE_YES = UINT16_MAX, CODE_NO = UINT16_MAX - 1 };

/* Of the predicate of an instruction: what it is instead of a test; the low bits are the depth of the xor. */
#define CODE_BEGIN 0xf1000000u
#define CODE_FLIP 0xf2000000u
#define CODE_END 0xf3000000u
#define CODE_OTHER 0xf0000000u

struct ins {
	uint32_t pred;    /* number, or CODE_* */
	uint16_t yes, no; /* of the same piece of code, or CODE_YES, CODE_NO */
};

struct pred {
	const struct rf_expr *x;
	const struct pnode *n;
	uint32_t uses;    /* in all code; an answer that is asked for more than once is kept */
};

struct code_at {      /* one piece */
	uint32_t base;
	uint16_t entry;
};

struct code {
	struct ins *ins;
	struct pred *pred;
	size_t ins_count, pred_count;
};

struct code_maker {
	struct code code;
	size_t ins_cap, pred_cap;
	uint32_t *slot;   /* predicates by hash */
	size_t mask;
	uint32_t base;
	size_t expected;  /* predicates, about; 0: some */
	unsigned depth;   /* of the xors around */
	bool failed;      /* no memory */
};

/* A piece that says whether a node holds. */
struct code_at code_make(struct code_maker *m, const struct rf_expr *x, const struct pnode *n);
void code_maker_fini(struct code_maker *m); /* leaves the code to the caller */
void code_fini(struct code *c);

/* Run a piece; false, too, where e->err says why it could not be answered. */
bool code_run(const struct code *c, struct code_at at, struct eval *e);
