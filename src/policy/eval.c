/* policy/eval: walk a program over the facts of one request.
 *
 * Connectives stop as soon as they know. An error (arena full, a result too large, a named list gone)
 * sticks in `err`; from then on everything is false and the caller gets the error, never the answer.
 * Recursion is bounded by the depth that the parser admits.
 */
#include "policy/eval.h"
#include "policy/lists.h"
#include "policy/wild.h"

enum { MEMO_TAG = 0x10000 };

static const struct rf_val missing;

static const struct pnode *kid(const struct eval *e, const struct pnode *n)
{
	return &e->x->node[n->kid];
}

static void fail(struct eval *e, int code)
{
	if (!e->err)
		e->err = code;
}

/* The [*] below a node: always in the first argument. */
const struct pnode *eval_source(const struct eval *e, const struct pnode *n)
{
	while (n->op != N_EACH)
		n = kid(e, n);
	return kid(e, n);
}

static bool quantify(struct eval *e, const struct pnode *n)
{
	const struct pnode *body = kid(e, n);
	struct rf_val room;
	const struct rf_val *a = eval_value(e, eval_source(e, body), &room), *outer = e->element;
	bool all = n->sub == FN_ALL, result = all;
	if (a->tag != RF_V_ARRAY)
		return false;
	for (uint32_t i = 0; i < a->n && result == all && !e->err; i++) {
		e->element = &a->a[i];
		result = eval_test(e, body);
	}
	e->element = outer;
	return result;
}

static struct rf_val collect(struct eval *e, const struct pnode *n)
{
	const struct pnode *body = kid(e, n);
	struct rf_val room, *to;
	const struct rf_val *a = eval_value(e, eval_source(e, body), &room), *outer = e->element;
	if (a->tag != RF_V_ARRAY)
		return missing;
	to = rf_arena_array(e->f->arena, a->n, sizeof *to);
	if (!to) {
		fail(e, RF_E_NOMEM);
		return missing;
	}
	for (uint32_t i = 0; i < a->n && !e->err; i++) {
		e->element = &a->a[i];
		struct rf_val made;
		to[i] = *eval_value(e, body, &made);
	}
	e->element = outer;
	return rf_val_array(to, a->n);
}

static struct rf_val apply(struct eval *e, const struct pnode *n)
{
	struct rf_val arg[RF_FUNC_ARGS], result = { 0 };
	for (unsigned i = 0; i < n->nkids; i++) {
		struct rf_val room;
		arg[i] = *eval_value(e, &e->x->node[n->kid + i], &room);
		if (arg[i].tag == RF_V_MISSING && n->sub == FN_CONCAT)
			arg[i] = rf_val_str(RF_STR(""));
		if (arg[i].tag == RF_V_MISSING)
			return missing;
	}
	int r = func_call((enum func)n->sub, e->f, n->sub == FN_RE_REPLACE ? n->rere : NULL, arg, n->nkids, &result);
	if (r)
		fail(e, r);
	return r ? missing : result;
}

static struct rf_val call(struct eval *e, const struct pnode *n)
{
	struct rf_facts *f = e->f;
	if (n->sub == FN_ANY || n->sub == FN_ALL)
		return rf_val_bool(quantify(e, n));
	uint32_t tag = MEMO_TAG + n->memo;
	for (unsigned i = 0; n->memo && i < f->kept_count; i++)
		if (f->kept[i].tag == tag)
			return f->kept[i].val;
	struct rf_val v = apply(e, n);
	if (n->memo && f->kept_count < RF_FACTS_KEPT)
		f->kept[f->kept_count++] = (struct rf_kept){ .tag = tag, .val = v };
	return v;
}

static struct rf_val index_of(struct eval *e, const struct pnode *n)
{
	struct rf_val room;
	const struct rf_val *a = eval_value(e, kid(e, n), &room);
	return a->tag == RF_V_ARRAY && (uint64_t)n->lit.i < a->n ? a->a[n->lit.i] : missing;
}

const struct rf_val *eval_value(struct eval *e, const struct pnode *n, struct rf_val *room)
{
	if (e->err)
		return &missing;
	switch (n->op) {
	case N_CONST:
		return &n->lit;
	case N_FIELD:
		return rf_fact(e->f, (enum rf_field)n->field);
	case N_EACH:
		return e->element ? e->element : &missing;
	case N_KEY:
		*room = rf_fact_key(e->f, (enum rf_field)kid(e, n)->field, n->lit.s);
		return room;
	case N_INDEX:
		*room = index_of(e, n);
		return room;
	case N_COLLECT:
		*room = collect(e, n);
		return room;
	case N_CALL:
		*room = call(e, n);
		return room;
	default:
		*room = rf_val_bool(eval_test(e, n));
		return room;
	}
}

static bool ordered(unsigned op, int c)
{
	switch (op) {
	case CMP_EQ:
		return c == 0;
	case CMP_NE:
		return c != 0;
	case CMP_LT:
		return c < 0;
	case CMP_LE:
		return c <= 0;
	case CMP_GT:
		return c > 0;
	default:
		return c >= 0;
	}
}

static bool compare(const struct pnode *n, enum rf_type type, const struct rf_val *v)
{
	const struct rf_val *lit = &n->lit;
	switch (lit->tag) {
	case RF_V_BOOL:
		return (v->b == lit->b) == (n->sub == CMP_EQ);
	case RF_V_INT:
		return ordered(n->sub, v->i < lit->i ? -1 : v->i > lit->i);
	case RF_V_IP:
		return rf_ip_eq(&v->ip, &lit->ip) == (n->sub == CMP_EQ);
	default:
		if (type == RF_T_VERSION)
			return ordered(n->sub, rf_version_cmp(v->s, lit->s));
		if (n->sub == CMP_EQ || n->sub == CMP_NE)
			return rf_str_eq(v->s, lit->s) == (n->sub == CMP_EQ);
		return ordered(n->sub, rf_str_cmp(v->s, lit->s));
	}
}

static bool in_set(const struct set *s, const struct rf_val *v)
{
	switch (v->tag) {
	case RF_V_INT:
		return set_has_int(s, v->i);
	case RF_V_IP:
		return set_has_ip(s, &v->ip);
	default:
		return set_has_str(s, v->s);
	}
}

static bool in_list(struct eval *e, const struct pnode *n, const struct rf_val *v)
{
	const struct rf_list *l = rf_lists_at(e->f->lists, n->slot);
	if (!l) {
		fail(e, RF_E_NOT_FOUND);
		return false;
	}
	switch (v->tag) {
	case RF_V_INT:
		return rf_list_has_int(l, v->i);
	case RF_V_IP:
		return rf_list_has_ip(l, &v->ip);
	default:
		return rf_list_has_str(l, v->s);
	}
}

static bool contains(struct rf_str s, struct rf_str needle)
{
	if (needle.n == 0)
		return true;
	return s.n >= needle.n && memmem(s.p, s.n, needle.p, needle.n) != NULL;
}

static bool compared(struct eval *e, const struct pnode *n)
{
	struct rf_val room;
	const struct pnode *left = kid(e, n);
	const struct rf_val *v = eval_value(e, left, &room);
	bool result = false;
	int r = RF_OK;
	if (v->tag == RF_V_MISSING)
		return false;
	switch (n->op) {
	case N_CMP:
		return compare(n, (enum rf_type)left->type, v);
	case N_CONTAINS:
		return contains(v->s, n->lit.s);
	case N_IN:
		return in_set(n->set, v);
	case N_LIST:
		return in_list(e, n, v);
	case N_WILD:
		r = wild_match(n->lit.s, !n->sub, v->s, e->f->arena, &result, NULL, NULL);
		break;
	default:
		r = regex_test(n->re, v->s, &result);
	}
	if (r)
		fail(e, r);
	return !r && result;
}

bool eval_test(struct eval *e, const struct pnode *n)
{
	const struct pnode *k = kid(e, n);
	struct rf_val room;
	const struct rf_val *v;
	bool odd = false;
	if (e->err)
		return false;
	switch (n->op) {
	case N_AND:
		for (unsigned i = 0; i < n->nkids; i++)
			if (!eval_test(e, k + i))
				return false;
		return true;
	case N_OR:
		for (unsigned i = 0; i < n->nkids; i++)
			if (eval_test(e, k + i))
				return true;
		return false;
	case N_XOR:
		for (unsigned i = 0; i < n->nkids; i++)
			odd ^= eval_test(e, k + i);
		return odd;
	case N_NOT:
		return !eval_test(e, k);
	case N_CONST: case N_FIELD: case N_EACH: case N_KEY: case N_INDEX: case N_COLLECT: case N_CALL:
		v = eval_value(e, n, &room);
		return v->tag == RF_V_BOOL && v->b;
	default:
		return compared(e, n);
	}
}

int node_test(const struct rf_expr *x, const struct pnode *n, struct rf_facts *f, bool *ret)
{
	struct eval e = { .x = x, .f = f };
	bool result = eval_test(&e, n);
	if (e.err)
		return e.err;
	*ret = result;
	return RF_OK;
}

int node_value(const struct rf_expr *x, const struct pnode *n, struct rf_facts *f, struct rf_val *ret)
{
	struct eval e = { .x = x, .f = f };
	struct rf_val room;
	const struct rf_val *v = eval_value(&e, n, &room);
	if (e.err)
		return e.err;
	*ret = *v;
	return RF_OK;
}

/* What functions made for this answer alone is given back, so that the arena's bound does not depend on
 * the number of rules; not when something was learnt on the way, which is kept in the same arena. */
int rf_expr_test(const struct rf_expr *x, struct rf_facts *f, bool *ret)
{
	const struct rf_arena mark = *f->arena;
	unsigned asked = f->asked, kept = f->kept_count;
	int r = node_test(x, &x->node[0], f, ret);
	if (r == RF_OK && f->arena->full) /* a fact that has no room is not an absent one */
		r = RF_E_NOMEM;
	if (f->arena->at != mark.at && f->asked == asked && f->kept_count == kept)
		rf_arena_release(f->arena, &mark);
	return r;
}

int rf_expr_value(const struct rf_expr *x, struct rf_facts *f, struct rf_val *ret)
{
	int r = node_value(x, &x->node[0], f, ret);
	return r == RF_OK && f->arena->full ? RF_E_NOMEM : r;
}
