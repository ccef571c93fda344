/* policy/access: choose the predicate that leads to a rule.
 *
 *	and -> the kid that the fewest requests have     or -> all kids together     else -> the predicate itself
 *
 * Chances are guesses, made of what a field usually says and of how long a literal is; they only choose, the answer is
 * the same with any of them. Invariant: where the expression holds, one of the accesses holds.
 */
#include "policy/access.h"
#include <math.h>

enum { PLAN_MEMORY = 64 << 20 };

#define GATE_COST 1.0 /* above every index: a gate is tested for each request */

struct planning {
	struct access_plan *p;
	const struct rf_expr *x;
	bool failed; /* no memory */
};

/* How often a request has one given value of a field. */
static double commonness(enum rf_field f)
{
	switch (f) {
	case RF_F_HTTP_METHOD: case RF_F_HTTP_VERSION: case RF_F_DEVICE_STATE: case RF_F_CERT_STATUS: case RF_F_TLS_VERSION:
		return 0.5;
	case RF_F_DEVICE_CLASS: case RF_F_TLS_CIPHER: case RF_F_TLS_ALPN: case RF_F_HTTP_BODY_MIME: case RF_F_EDGE_IP:
	case RF_F_IP_DST: case RF_F_EDGE_PORT: case RF_F_TCP_DSTPORT:
		return 0.2;
	case RF_F_DEVICE_MODEL: case RF_F_DEVICE_OWNER: case RF_F_DEVICE_TAGS: case RF_F_HTTP_HOST: case RF_F_TLS_SNI:
	case RF_F_HTTP_PATH_EXT: case RF_F_IP_ASN: case RF_F_HTTP_HEADER_NAMES:
		return 0.05;
	case RF_F_HTTP_PATH: case RF_F_HTTP_URI: case RF_F_HTTP_FULL_URI: case RF_F_RAW_PATH: case RF_F_RAW_URI:
	case RF_F_RAW_FULL_URI: case RF_F_HTTP_QUERY: case RF_F_RAW_QUERY:
		return 1e-4;
	case RF_F_DEVICE_ID: case RF_F_DEVICE_NAME: case RF_F_DEVICE_SKI: case RF_F_CERT_SERIAL: case RF_F_CERT_SHA256:
	case RF_F_CERT_SHA1: case RF_F_CERT_SKI: case RF_F_CERT_SUBJECT_DN:
		return 1e-6;
	default:
		return 0.01;
	}
}

static enum rf_field field_of(const struct rf_expr *x, const struct pnode *n)
{
	while (n->op != N_FIELD && n->nkids)
		n = &x->node[n->kid];
	return n->op == N_FIELD ? (enum rf_field)n->field : RF_FIELD_COUNT;
}

static struct access *add(struct planning *g, enum access_kind kind, const struct pnode *test, const struct pnode *term)
{
	struct access_plan *p = g->p;
	if (p->n == ACCESS_MAX)
		return NULL;
	if (p->n == p->cap) {
		size_t cap = p->cap ? p->cap * 2 : 8;
		struct access *v = rf_arena_array(p->arena, cap, sizeof *v);
		if (!v) {
			g->failed = true;
			return NULL;
		}
		if (p->n)
			memcpy(v, p->v, p->n * sizeof *v);
		p->v = v;
		p->cap = cap;
	}
	p->v[p->n] = (struct access){ .kind = kind, .test = test, .term = term };
	return &p->v[p->n++];
}

static double gate(struct planning *g, const struct pnode *test)
{
	bool list = test->op == N_LIST;
	if (!add(g, ACCESS_GATE, test, NULL))
		return -1;
	return GATE_COST + (list ? 0.02 : test->op == N_NOT ? 0.9 : 0.5);
}

static double text(struct planning *g, const struct pnode *test, const struct pnode *term, struct rf_str lit)
{
	if (!lit.p) {
		g->failed = true;
		return -1;
	}
	if (lit.n < ACCESS_LITERAL)
		return gate(g, test);
	struct access *a = add(g, ACCESS_TEXT, test, term);
	if (!a)
		return -1;
	a->lit = lit;
	return lit.n < 4 ? 0.02 : fmax(1e-6, 2e-3 * pow(0.5, (double)lit.n - 4));
}

static double string(struct planning *g, const struct pnode *test, const struct pnode *term, struct rf_str lit)
{
	struct access *a = add(g, ACCESS_STRING, test, term);
	if (!a)
		return -1;
	a->lit = lit;
	return commonness(field_of(g->x, term));
}

static double number(struct planning *g, const struct pnode *test, const struct pnode *term, int64_t v)
{
	struct access *a = add(g, ACCESS_INT, test, term);
	if (!a)
		return -1;
	a->number = v;
	return commonness(field_of(g->x, term));
}

static double prefix(struct planning *g, const struct pnode *test, const struct pnode *term, struct rf_prefix v)
{
	struct access *a = add(g, ACCESS_PREFIX, test, term);
	if (!a)
		return -1;
	a->prefix = v;
	double host = commonness(field_of(g->x, term)), wide = pow(0.7, v.ip.family == 4 ? v.bits : v.bits / 4.0);
	return fmax(host * 1e-2, wide);
}

static double pattern(struct planning *g, const struct pnode *test, const struct pnode *n, const struct pnode *term)
{
	struct rf_str all = regex_pattern(n->re), lit = regex_literal(all, g->p->arena);
	if (!lit.p || lit.n >= ACCESS_LITERAL)
		return text(g, test, term, lit);
	struct access *a = add(g, ACCESS_PATTERN, test, term);
	if (!a)
		return -1;
	a->pattern = n->re;
	return 0.05;
}

static double wildcard(struct planning *g, const struct pnode *test, const struct pnode *n, const struct pnode *term)
{
	bool whole = false;
	struct rf_str lit = wild_literal(n->lit.s, g->p->arena, &whole);
	return whole && n->sub && lit.p ? string(g, test, term, lit) : text(g, test, term, lit);
}

struct items {
	struct planning *g;
	const struct pnode *test, *term;
	double sum;
	size_t left; /* numbers that may be looked up one by one */
};

static bool bad(struct items *i, double chance)
{
	i->sum += chance;
	return chance < 0;
}

static bool each_string(void *ctx, struct rf_str s)
{
	struct items *i = ctx;
	return !bad(i, string(i->g, i->test, i->term, s));
}

static bool each_range(void *ctx, int64_t lo, int64_t hi)
{
	struct items *i = ctx;
	if ((uint64_t)hi - (uint64_t)lo >= i->left)
		return false;
	i->left -= (size_t)(hi - lo) + 1;
	for (int64_t v = lo;; v++) {
		if (bad(i, number(i->g, i->test, i->term, v)))
			return false;
		if (v == hi)
			return true;
	}
}

static bool each_prefix(void *ctx, const struct rf_prefix *p)
{
	struct items *i = ctx;
	return !bad(i, prefix(i->g, i->test, i->term, *p));
}

/* One access an item; a gate where there are too many. */
static double list(struct planning *g, const struct pnode *test, const struct pnode *n, const struct pnode *term)
{
	struct items i = { .g = g, .test = test, .term = term, .left = ACCESS_INTS };
	size_t before = g->p->n;
	bool fit = set_each(n->set, &(struct set_visit){ &i, each_string, each_range, each_prefix });
	if (fit)
		return i.sum;
	g->p->n = before;
	return gate(g, test);
}

/* A comparison `n` of a value, or of each element of one in the predicate `test`, which is what a gate would ask. */
static double comparison(struct planning *g, const struct pnode *test, const struct pnode *n)
{
	const struct pnode *left = &g->x->node[n->kid];
	bool plain = left->type == RF_T_STR || left->type == RF_T_INT || left->type == RF_T_IP;
	switch (n->op) {
	case N_CMP:
		if (n->sub != CMP_EQ || !plain)
			return gate(g, test);
		if (n->lit.tag == RF_V_STR)
			return string(g, test, left, n->lit.s);
		if (n->lit.tag == RF_V_INT)
			return number(g, test, left, n->lit.i);
		return prefix(g, test, left, (struct rf_prefix){ n->lit.ip, n->lit.ip.family == 4 ? 32 : 128 });
	case N_IN:
		return plain ? list(g, test, n, left) : gate(g, test);
	case N_CONTAINS:
		return n->lit.s.n ? text(g, test, left, n->lit.s) : gate(g, test);
	case N_WILD:
		return wildcard(g, test, n, left);
	case N_MATCHES:
		return pattern(g, test, n, left);
	case N_CALL:
		if ((n->sub == FN_STARTS_WITH || n->sub == FN_ENDS_WITH) && left[1].op == N_CONST && left[1].lit.s.n)
			return text(g, test, left, left[1].lit.s);
		return gate(g, test);
	default:
		return gate(g, test);
	}
}

static double plan(struct planning *g, const struct pnode *n);

/* The kid that the fewest requests have. */
static double plan_and(struct planning *g, const struct pnode *n)
{
	struct access_plan *p = g->p;
	size_t from = p->n;
	double best = -1;
	for (unsigned i = 0; i < n->nkids && !g->failed; i++) {
		size_t middle = p->n;
		double chance = plan(g, &g->x->node[n->kid + i]);
		bool better = chance >= 0 && (best < 0 || chance < best);
		if (better) {
			size_t count = p->n - middle;
			if (count)
				memmove(&p->v[from], &p->v[middle], count * sizeof *p->v);
			p->n = from + count;
			best = chance;
		} else {
			p->n = middle;
		}
	}
	return best;
}

static double plan_or(struct planning *g, const struct pnode *n)
{
	size_t from = g->p->n;
	double sum = 0;
	for (unsigned i = 0; i < n->nkids; i++) {
		double chance = plan(g, &g->x->node[n->kid + i]);
		if (chance < 0) {
			g->p->n = from;
			return -1;
		}
		sum += chance;
	}
	return sum;
}

/* The chance that a request has one of the accesses added; below 0: there are none that lead to all that hold. */
static double plan(struct planning *g, const struct pnode *n)
{
	const struct pnode *kid = &g->x->node[n->kid];
	switch (n->op) {
	case N_CONST:
		return n->lit.b ? -1 : 0;
	case N_AND:
		return plan_and(g, n);
	case N_OR:
		return plan_or(g, n);
	case N_NOT: case N_XOR:
		return gate(g, n);
	case N_CALL:
		if (n->sub == FN_ANY && kid->op != N_NOT && kid->nkids)
			return comparison(g, n, kid);
		return comparison(g, n, n);
	case N_FIELD: case N_INDEX: case N_KEY:
		return gate(g, n);
	default:
		return comparison(g, n, n);
	}
}

int access_plan(const struct rf_expr *x, struct access_plan *p)
{
	struct planning g = { .p = p, .x = x };
	p->n = 0;
	p->gate = NULL;
	p->chance = plan(&g, &x->node[0]);
	if (g.failed)
		return RF_E_NOMEM;
	p->always = p->chance < 0;
	if (p->always)
		p->n = 0;
	for (size_t i = 0; i < p->n; i++)
		if (p->v[i].kind == ACCESS_GATE)
			p->gate = p->v[i].test;
	return RF_OK;
}

const char *access_reason(const struct rf_expr *x, const struct pnode *n)
{
	if (!n)
		return "it holds for every request, or has more alternatives than the index takes";
	if (n->op == N_CALL && n->sub == FN_ANY)
		n = &x->node[n->kid];
	switch (n->op) {
	case N_NOT:
		return "`not` holds for what has no index: whatever is not there";
	case N_XOR:
		return "`xor` can hold in either way";
	case N_CMP:
		return n->lit.tag == RF_V_BOOL ? "a boolean halves the requests at best" :
			n->sub == CMP_NE ? "`ne` holds for nearly every request" :
			n->sub != CMP_EQ ? "an order has no index" : "versions that are equal can be written differently";
	case N_LIST:
		return "a named list changes without its rules; it is looked up once a request";
	case N_CONTAINS: case N_WILD:
		return "the text to find is too short to lead to a rule";
	case N_IN:
		return "versions, or more numbers than the index takes";
	case N_FIELD: case N_KEY: case N_INDEX:
		return "a boolean halves the requests at best";
	case N_CALL:
		return n->sub == FN_ALL ? "`all` holds for an empty array too" : "what this function says has no index";
	default:
		return "this predicate has no index";
	}
}

static const char *by(enum access_kind kind)
{
	return kind == ACCESS_STRING || kind == ACCESS_INT ? "equal values" : kind == ACCESS_PREFIX ? "addresses" :
		kind == ACCESS_TEXT ? "a literal in the text" : "patterns of the text";
}

bool rf_expr_reached(const struct rf_expr *x, struct rf_buf *to)
{
	struct rf_arena arena;
	rf_arena_init(&arena, PLAN_MEMORY);
	struct access_plan p = { .arena = &arena };
	bool indexed = access_plan(x, &p) == RF_OK && !p.always && !p.gate;
	if (!indexed) {
		rf_buf_printf(to, "%s", access_reason(x, p.gate));
		if (p.gate) {
			rf_buf_add(to, RF_STR(": "));
			node_print(x, p.gate, to);
		}
	} else if (p.n == 0) {
		rf_buf_add(to, RF_STR("never: it cannot hold"));
	} else {
		rf_buf_printf(to, "%s: ", by(p.v[0].kind));
		node_print(x, p.v[0].test, to);
		if (p.n > 1)
			rf_buf_printf(to, " and %zu more", p.n - 1);
	}
	rf_arena_fini(&arena);
	return indexed;
}

bool access_sure(const struct access *a)
{
	return a->term && a->term->op == N_FIELD && (a->kind == ACCESS_STRING || a->kind == ACCESS_INT || a->kind == ACCESS_PREFIX);
}

bool access_decides(const struct rf_expr *x, const struct access *a)
{
	return access_sure(a) && a->test == &x->node[0] && (a->test->op == N_CMP || a->test->op == N_IN);
}
