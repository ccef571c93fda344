/* policy/know: see know.h. The connectives are here, what they join is the evaluator's (eval.c). Depth is that of the program. */
#include "policy/know.h"
#include "policy/program.h"

struct knowing {
	const struct rf_expr *x;
	struct rf_facts *f;
	struct rf_knowledge *k;
	int err;
};

static void missed(struct rf_knowledge *k, enum rf_field f) { k->missed[f >> 6] |= 1ull << (f & 63); }

/* Are all facts known that this part asks for? */
static bool all_known(struct knowing *w, const struct pnode *n, struct rf_str key)
{
	bool all = true;
	if (n->op == N_FIELD && !w->k->knows(w->k->ctx, (enum rf_field)n->field, key)) {
		missed(w->k, (enum rf_field)n->field);
		return false;
	}
	for (unsigned i = 0; i < n->nkids; i++)
		all &= all_known(w, &w->x->node[n->kid + i], n->op == N_KEY ? n->lit.s : RF_STR(""));
	return all;
}

static enum rf_known part(struct knowing *w, const struct pnode *n)
{
	bool yes = false;
	if (!all_known(w, n, RF_STR("")))
		return RF_HOLDS_UNKNOWN;
	int rc = node_test(w->x, n, w->f, &yes);
	if (rc != RF_OK)
		w->err = rc;
	return yes ? RF_HOLDS : RF_HOLDS_NOT;
}

static enum rf_known know(struct knowing *w, const struct pnode *n);

/* `and` stops at what does not hold, `or` at what does. */
static enum rf_known chain(struct knowing *w, const struct pnode *n, enum rf_known stop)
{
	enum rf_known all = stop == RF_HOLDS ? RF_HOLDS_NOT : RF_HOLDS;
	for (unsigned i = 0; i < n->nkids; i++) {
		enum rf_known one = know(w, &w->x->node[n->kid + i]);
		if (one == stop)
			return stop;
		if (one == RF_HOLDS_UNKNOWN)
			all = one;
	}
	return all;
}

static enum rf_known odd(struct knowing *w, const struct pnode *n)
{
	bool sum = false;
	for (unsigned i = 0; i < n->nkids; i++) {
		enum rf_known one = know(w, &w->x->node[n->kid + i]);
		if (one == RF_HOLDS_UNKNOWN)
			return one;
		sum ^= one == RF_HOLDS;
	}
	return sum ? RF_HOLDS : RF_HOLDS_NOT;
}

static enum rf_known know(struct knowing *w, const struct pnode *n)
{
	enum rf_known one;
	switch (n->op) {
	case N_AND:
		return chain(w, n, RF_HOLDS_NOT);
	case N_OR:
		return chain(w, n, RF_HOLDS);
	case N_XOR:
		return odd(w, n);
	case N_NOT:
		one = know(w, &w->x->node[n->kid]);
		return one == RF_HOLDS_UNKNOWN ? one : one == RF_HOLDS ? RF_HOLDS_NOT : RF_HOLDS;
	default:
		return part(w, n);
	}
}

int node_known(const struct rf_expr *x, const struct pnode *n, struct rf_facts *f, struct rf_knowledge *k, int *err)
{
	struct knowing w = { x, f, k, RF_OK };
	enum rf_known r = know(&w, n);
	if (w.err)
		*err = w.err;
	return (int)r;
}

int rf_expr_know(const struct rf_expr *x, struct rf_facts *f, struct rf_knowledge *k, enum rf_known *ret)
{
	int err = RF_OK, r = node_known(x, &x->node[0], f, k, &err);
	if (err)
		return err;
	*ret = (enum rf_known)r;
	return RF_OK;
}
