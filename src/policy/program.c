/* policy/program: from the checked tree to one block of memory, and reference counts.
 *
 * Two walks: the first counts nodes and bytes, the second fills. A literal that stands in the text as it is is not kept twice. Patterns are compiled in the second
 * one, where a failure frees what was made so far: a node that was not filled is all zero.
 */
#include "policy/program.h"
#include <stdlib.h>
#include "policy/wild.h"

struct filling {
	struct parser *p;
	struct rf_expr *x;
	char *text;      /* where the next literal's bytes go */
	uint32_t next;   /* the next free node */
};

static bool in_text(struct rf_str text, const struct node *n)
{
	return n->lit_at && n->lit.s.n <= text.n - n->lit_at && (!n->lit.s.n || memcmp(text.p + n->lit_at, n->lit.s.p, n->lit.s.n) == 0);
}

static void measure(struct rf_str text, const struct node *n, size_t *nodes, size_t *bytes)
{
	++*nodes;
	if (n->lit.tag == RF_V_STR && !in_text(text, n))
		*bytes += n->lit.s.n;
	for (const struct node *k = n->kid; k; k = k->next)
		measure(text, k, nodes, bytes);
}

static struct rf_str keep(struct filling *f, struct rf_str s)
{
	struct rf_str kept = { f->text, s.n };
	if (s.n)
		memcpy(f->text, s.p, s.n);
	f->text += s.n;
	return kept;
}

static int no_memory(struct filling *f, const struct node *n)
{
	return lex_fail(&f->p->lex, n->at, RF_E_NOMEM, "no memory for this expression");
}

static int pattern(struct filling *f, const struct node *n, const struct node *lit, struct pnode *to)
{
	struct rf_err why;
	size_t at = 0;
	int r = n->op == N_MATCHES ? regex_make(lit->lit.s, &to->re, &at, &why) :
		rereplace_make(lit->lit.s, &to->rere, &at, &why);
	if (r)
		return lex_fail(&f->p->lex, lit->lit_at + at, r, "%s", why.text);
	f->x->bytes += n->op == N_MATCHES ? regex_bytes(to->re) : rereplace_bytes(to->rere);
	return RF_OK;
}

static int fill_literal(struct filling *f, const struct node *n, struct pnode *to)
{
	static const enum set_kind of[RF_TYPE_COUNT] = { [RF_T_INT] = SET_INT, [RF_T_IP] = SET_IP, [RF_T_STR] = SET_STR,
		[RF_T_VERSION] = SET_VERSION };
	struct rf_err why;
	size_t at = 0;
	switch (n->op) {
	case N_IN:
		to->set = set_make(of[n->kid->type], n->items, n->nitems);
		f->x->bytes += to->set ? set_bytes(to->set) : 0;
		return to->set ? RF_OK : no_memory(f, n);
	case N_MATCHES:
		return pattern(f, n, n, to);
	case N_WILD:
		if (wild_check(n->lit.s, &at, &why))
			return lex_fail(&f->p->lex, n->lit_at + at, why.code, "%s", why.text);
		break;
	case N_LIST:
		to->slot = (uint16_t)n->sub;
		break;
	case N_CALL:
		return n->sub == FN_RE_REPLACE ? pattern(f, n, n->kid->next, to) : RF_OK;
	default:
		break;
	}
	to->lit = n->lit;
	if (n->lit.tag == RF_V_STR)
		to->lit.s = in_text(f->x->text, n) ? (struct rf_str){ f->x->text.p + n->lit_at, n->lit.s.n } : keep(f, n->lit.s);
	return RF_OK;
}

/* Transformations of whole fields that many rules share are kept by the facts: number them. */
static uint16_t memo_number(const struct node *n)
{
	if (n->op != N_CALL || !n->kid || n->kid->op != N_FIELD)
		return 0;
	unsigned variant;
	if (n->sub == FN_LOWER || n->sub == FN_UPPER) {
		variant = n->sub == FN_UPPER;
	} else if (n->sub == FN_URL_DECODE) {
		struct rf_str options = n->kid->next ? n->kid->next->lit.s : RF_STR("");
		variant = 2;
		for (size_t i = 0; i < options.n; i++)
			variant |= options.p[i] == 'r' ? 4 : 8;
	} else {
		return 0;
	}
	return (uint16_t)(1 + variant * RF_FIELD_COUNT + n->kid->field);
}

static int fill(struct filling *f, const struct node *n, struct pnode *to)
{
	*to = (struct pnode){ .op = (uint8_t)n->op, .sub = n->op == N_LIST ? 0 : (uint8_t)n->sub,
		.type = (uint8_t)n->type, .each = n->each,
		.field = (uint16_t)n->field, .nkids = (uint16_t)n->nkids, .kid = f->next, .at = (uint32_t)n->at,
		.memo = memo_number(n) };
	f->next += n->nkids;
	int r = fill_literal(f, n, to);
	uint32_t at = to->kid;
	for (const struct node *k = n->kid; k && r == RF_OK; k = k->next)
		r = fill(f, k, &f->x->node[at++]);
	return r;
}

static void destroy(struct rf_expr *x)
{
	for (uint32_t i = 0; i < x->count; i++) {
		struct pnode *n = &x->node[i];
		if (n->op == N_IN)
			set_free(n->set);
		else if (n->op == N_MATCHES)
			regex_free(n->re);
		else if (n->op == N_CALL && n->sub == FN_RE_REPLACE)
			rereplace_free(n->rere);
	}
	if (!x->lent)
		free(x);
}

int program_make(struct parser *p, struct node *root, struct rf_expr **ret)
{
	size_t nodes = 0, bytes = p->lex.text.n;
	measure(p->lex.text, root, &nodes, &bytes);
	struct rf_expr *x = calloc(1, sizeof *x + nodes * sizeof *x->node + bytes);
	if (!x)
		return lex_fail(&p->lex, 0, RF_E_NOMEM, "no memory for this expression");
	x->refs = 1;
	x->count = (uint32_t)nodes;
	x->bytes = sizeof *x + nodes * sizeof *x->node + bytes;
	x->deprecated = p->deprecated;
	memcpy(x->uses, p->uses, sizeof x->uses);
	struct filling f = { .p = p, .x = x, .text = (char *)(x->node + nodes), .next = 1 };
	x->text = keep(&f, p->lex.text);
	int r = fill(&f, root, &x->node[0]);
	if (r) {
		destroy(x);
		return r;
	}
	*ret = x;
	return RF_OK;
}

void rf_expr_put(struct rf_expr *x)
{
	if (x && atomic_fetch_sub_explicit(&x->refs, 1, memory_order_acq_rel) == 1)
		destroy(x);
}
