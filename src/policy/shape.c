/* policy/shape: see shape.h.
 *
 *	text -> cut at its strings -> hash of the rest -> a shape with that rest -> its program, with strings and places of this text
 *	not known: parsed; the second time that a rest is seen, its program becomes a shape
 *
 * Invariants: a literal is `free`, that is another one may stand in its place, only where the parser does not look into it: the right
 * side of a comparison, and what is contained. All others are the same bytes in every text of the shape.
 */
#include "policy/shape.h"
#include <stdlib.h>
#include "base/hash.h"

enum { SHAPES = 32, SEEN = 64, NO_SHAPE = SHAPE_LITERALS + 1 };

struct shape {
	uint64_t hash;
	enum rf_phase phase;
	struct rf_expr *x;          /* a reference */
	unsigned n;
	struct cut_literal lit[SHAPE_LITERALS];
	uint32_t node[SHAPE_LITERALS]; /* whose literal it is; UINT32_MAX: it is not free */
};

struct rf_shapes {
	struct shape v[SHAPES];
	unsigned n, next, last;     /* last: that was found last */
	uint64_t seen[SEEN];        /* hashes of rests, by their low bits */
	struct rf_rule_like like;
};

struct rf_shapes *rf_shapes_new(void)
{
	return calloc(1, sizeof(struct rf_shapes));
}

void rf_shapes_free(struct rf_shapes *v)
{
	for (unsigned i = 0; v && i < v->n; i++)
		rf_expr_put(v->v[i].x);
	free(v);
}

struct rf_rule_like *shapes_like(struct rf_shapes *v)
{
	return &v->like;
}

void shape_cut(struct rf_str text, struct cut *c)
{
	const char *from = text.p, *end = text.p + text.n, *open, *close;
	*c = (struct cut){ .n = memchr(text.p, '\\', text.n) ? NO_SHAPE : 0 };
	while (c->n <= SHAPE_LITERALS && (open = memchr(from, '"', (size_t)(end - from)))) {
		close = memchr(open + 1, '"', (size_t)(end - open - 1));
		bool raw = open > text.p && (open[-1] == 'r' || open[-1] == '#');
		if (!close || raw || c->n == SHAPE_LITERALS) {
			c->n = NO_SHAPE;
			return;
		}
		c->hash = c->hash * 31 + rf_hash_quick((struct rf_str){ from, (size_t)(open + 1 - from) });
		c->lit[c->n++] = (struct cut_literal){ (uint32_t)(open + 1 - text.p), (uint32_t)(close - open - 1) };
		from = close + 1;
	}
	c->hash = c->hash * 31 + rf_hash_quick((struct rf_str){ from, (size_t)(end - from) });
}

bool shape_has(const struct shape *s, enum rf_phase phase, struct rf_str text, const struct cut *c)
{
	struct rf_str of = s->x->text;
	uint32_t a = 0, b = 0;
	if (s->hash != c->hash || s->phase != phase || s->n != c->n)
		return false;
	for (unsigned i = 0; i < c->n; i++) {
		if (s->lit[i].at - a != c->lit[i].at - b || memcmp(of.p + a, text.p + b, c->lit[i].at - b) != 0)
			return false;
		a = s->lit[i].at;
		b = c->lit[i].at;
		if (s->node[i] == UINT32_MAX && (s->lit[i].n != c->lit[i].n || memcmp(of.p + a, text.p + b, c->lit[i].n) != 0))
			return false;
		a += s->lit[i].n;
		b += c->lit[i].n;
	}
	return of.n - a == text.n - b && memcmp(of.p + a, text.p + b, text.n - b) == 0;
}

const struct shape *shape_find(struct rf_shapes *v, enum rf_phase phase, struct rf_str text, struct cut *ret_cut)
{
	shape_cut(text, ret_cut);
	if (!v || ret_cut->n > SHAPE_LITERALS)
		return NULL;
	for (unsigned i = 0; i < v->n; i++) {
		unsigned at = (v->last + i) % v->n;
		if (!shape_has(&v->v[at], phase, text, ret_cut))
			continue;
		v->last = at;
		return &v->v[at];
	}
	return NULL;
}

/* --- filling --- */

/* Literals that are not in the text as they are stand behind it. */
static size_t behind(const struct rf_expr *x)
{
	return x->bytes - sizeof *x - x->count * sizeof *x->node - x->text.n;
}

size_t shape_room(const struct shape *s, size_t text_n)
{
	return sizeof *s->x + s->x->count * sizeof *s->x->node + text_n + behind(s->x);
}

/* Where a place of the shape's text is in another one. */
static size_t moved(const struct shape *s, const struct cut *c, size_t at)
{
	size_t to = at;
	for (unsigned i = 0; i < s->n && at >= s->lit[i].at + s->lit[i].n && at > s->lit[i].at; i++)
		to = to + c->lit[i].n - s->lit[i].n;
	return to;
}

struct rf_expr *shape_fill(const struct shape *s, struct rf_str text, const struct cut *c, void *to)
{
	const struct rf_expr *of = s->x;
	struct rf_expr *x = to;
	memcpy((char *)x, (const char *)of, sizeof *x + of->count * sizeof *x->node);
	atomic_init(&x->refs, 1);
	x->lent = true;
	x->bytes = shape_room(s, text.n);
	char *at = (char *)(x->node + x->count);
	memcpy(at, text.p, text.n);
	memcpy(at + text.n, of->text.p + of->text.n, behind(of));
	x->text = (struct rf_str){ at, text.n };
	for (uint32_t i = 0; i < x->count; i++) {
		struct pnode *n = &x->node[i];
		n->at = (uint32_t)moved(s, c, n->at);
		if (n->op == N_CALL || n->lit.tag != RF_V_STR)
			continue;
		size_t was = (size_t)(n->lit.s.p - of->text.p);
		n->lit.s.p = at + (was < of->text.n ? moved(s, c, was) : text.n + was - of->text.n);
	}
	for (unsigned i = 0; i < s->n; i++)
		if (s->node[i] != UINT32_MAX)
			x->node[s->node[i]].lit.s = (struct rf_str){ at + c->lit[i].at, c->lit[i].n };
	return x;
}

/* --- learning --- */

/* The node whose literal this one is, where another could stand in its place. */
static uint32_t free_node(const struct rf_expr *x, struct cut_literal l)
{
	for (uint32_t i = 0; i < x->count; i++) {
		const struct pnode *n = &x->node[i];
		if ((n->op == N_CMP || n->op == N_CONTAINS) && n->lit.tag == RF_V_STR && n->lit.s.p == x->text.p + l.at && n->lit.s.n == l.n)
			return i;
	}
	return UINT32_MAX;
}

static bool can_be_copied(const struct rf_expr *x)
{
	for (uint32_t i = 0; i < x->count; i++)
		if (x->node[i].op == N_IN || x->node[i].op == N_MATCHES || (x->node[i].op == N_CALL && x->node[i].sub == FN_RE_REPLACE))
			return false;
	return true;
}

static void init(struct shape *s, enum rf_phase phase, const struct cut *c, struct rf_expr *x)
{
	*s = (struct shape){ .hash = c->hash, .phase = phase, .x = x, .n = c->n };
	atomic_fetch_add_explicit(&x->refs, 1, memory_order_relaxed);
	for (unsigned i = 0; i < c->n; i++) {
		s->lit[i] = c->lit[i];
		s->node[i] = free_node(x, c->lit[i]);
	}
}

struct shape *shape_new(enum rf_phase phase, struct rf_expr *x)
{
	struct cut c;
	shape_cut(x->text, &c);
	struct shape *s = c.n <= SHAPE_LITERALS && can_be_copied(x) ? malloc(sizeof *s) : NULL;
	if (s)
		init(s, phase, &c, x);
	return s;
}

bool shape_is_free(const struct shape *s, size_t at, size_t n)
{
	unsigned i = 0;
	while (i < s->n && s->lit[i].at != at)
		i++;
	return i < s->n && s->lit[i].n == n && s->node[i] != UINT32_MAX;
}

void shape_free(struct shape *s)
{
	if (s)
		rf_expr_put(s->x);
	free(s);
}

void shape_learn(struct rf_shapes *v, enum rf_phase phase, const struct cut *c, struct rf_expr *x)
{
	if (!v || c->n > SHAPE_LITERALS || !can_be_copied(x))
		return;
	uint64_t *seen = &v->seen[c->hash % SEEN];
	if (*seen != c->hash) {
		*seen = c->hash;
		return;
	}
	struct shape *s = &v->v[v->next];
	if (v->n < SHAPES)
		v->n++;
	else
		rf_expr_put(s->x);
	v->next = (v->next + 1) % SHAPES;
	init(s, phase, c, x);
}
