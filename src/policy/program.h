/* policy/program: the flat form that is evaluated. Private to policy.
 *
 * One block of memory: the header, nodes (the kids of a node side by side, the root first), then the
 * bytes of literals. Sets and patterns hang off their nodes. Nothing in it ever changes, so any
 * number of threads read it.
 */
#pragma once
#include <stdatomic.h>
#include "policy/ast.h"
#include "policy/regex.h"
#include "policy/set.h"

struct pnode {
	uint8_t op, sub, type;
	bool each;
	uint16_t field;  /* of N_FIELD */
	uint16_t nkids;
	uint32_t kid;    /* index of the first kid */
	uint32_t at;     /* byte of the text */
	uint16_t memo;   /* not 0: number under which facts keep the result of this call */
	uint16_t slot;   /* of N_LIST */
	union {
		struct rf_val lit;
		struct set *set;
		struct regex *re;
		struct rereplace *rere;
	};
};

struct rf_expr {
	atomic_uint refs;
	uint32_t count;
	size_t bytes;       /* of all of it */
	const char *deprecated;
	bool lent;          /* its memory is another's */
	uint64_t uses[(RF_FIELD_COUNT + 63) / 64];
	struct rf_str text; /* as written */
	struct pnode node[];
};

/* Evaluate one node, for explain. */
int node_test(const struct rf_expr *x, const struct pnode *n, struct rf_facts *f, bool *ret);
/* The same where some facts are not known (know.c): an error in *err, which is otherwise untouched. */
struct rf_knowledge;
int node_known(const struct rf_expr *x, const struct pnode *n, struct rf_facts *f, struct rf_knowledge *k, int *err);
int node_value(const struct rf_expr *x, const struct pnode *n, struct rf_facts *f, struct rf_val *ret);
/* Whether two nodes, and all below them, ask the same. */
bool node_same(const struct rf_expr *x, const struct pnode *a, const struct rf_expr *y, const struct pnode *b);
uint64_t node_hash(const struct rf_expr *x, const struct pnode *n); /* equal for nodes that are the same */
void node_print(const struct rf_expr *x, const struct pnode *n, struct rf_buf *to);
