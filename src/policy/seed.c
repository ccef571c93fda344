/* policy/seed: see seed.h.
 *
 *	document -> front and back of a form, a plain string between -> seed, in a bed
 *	else     -> compiled by the caller -> the second that is alike, and to which one comparison with a string leads: a form
 *
 * Seeds stand in beds, which go with the last link to one of theirs; a form goes with the last bed that has seeds of it.
 */
#include "policy/seed.h"
#include <stdlib.h>
#include "policy/access.h"
#include "policy/rule_text.h"
#include "policy/shape.h"

enum {
	FORMS = 8,                 /* that are tried, the last one first */
	BED_SEEDS = 256,
	LONGER = 8,                /* bytes by which strings are longer than the first of a bed, as room is taken for them */
	STRING_MOST = 512,
	EXPRESSION = 1024,         /* bytes of the longest that has a form */
	PLAN_MEMORY = 1 << 20,
	SEEN = 64,
};

struct bed {
	_Atomic unsigned refs;
	uint32_t n;
	size_t used, room;         /* of text */
	unsigned forms;
	struct seed_form *form[FORMS]; /* a reference each */
	struct rf_rule_seed seed[BED_SEEDS];
	char text[];
};

struct rf_seeds {
	struct bed *bed;           /* that is being filled, a reference; NULL: none */
	struct seed_form *form[FORMS];
	unsigned forms, next, last;
	uint64_t seen[SEEN];       /* hashes of expressions without their strings, by their low bits: a form is made of the second */
};

/* --- forms --- */

static struct seed_form *form_get(struct seed_form *f)
{
	atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
	return f;
}

/* Is the same in JSON, in an expression and as a value: ASCII without quotes, backslashes and controls. */
static bool plain(struct rf_str s)
{
	return s.n && s.n <= STRING_MOST && rf_js_plain(s.p, s.p + s.n) == s.p + s.n;
}

static bool says(struct rf_str raw, struct rf_str want)
{
	char room[2 * EXPRESSION];
	const struct rf_js_text t = { .raw = raw, .escaped = true };
	return raw.n <= sizeof room && rf_str_eq((struct rf_str){ room, rf_js_decode(&t, room) }, want);
}

/* Where the string stands in the expression as written, between quotation marks of both languages. */
static const char *find(struct rf_str raw, const struct rf_expr *x, struct rf_str s)
{
	struct rf_str front = { x->text.p, (size_t)(s.p - x->text.p) }, back = { s.p + s.n, x->text.n - front.n - s.n };
	for (const char *at = raw.p; (at = memmem(at, (size_t)(raw.p + raw.n - at), s.p, s.n)); at++) {
		const char *end = at + s.n;
		if (at == raw.p || at[-1] != '"') /* an escape may not be cut */
			continue;
		if (says((struct rf_str){ raw.p, (size_t)(at - raw.p) }, front) &&
		    says((struct rf_str){ end, (size_t)(raw.p + raw.n - end) }, back))
			return at;
	}
	return NULL;
}

/* The one comparison that leads to a rule, if it is with a string of the text. */
static bool plan(const struct rf_expr *x, struct rf_arena *arena, struct access *ret)
{
	struct access_plan p = { .arena = arena };
	if (access_plan(x, &p) != RF_OK || p.n != 1 || p.always || p.v->kind != ACCESS_STRING || !access_sure(p.v) || p.v->test->op != N_CMP)
		return false;
	*ret = *p.v;
	struct rf_str s = p.v->test->lit.s;
	return s.p > x->text.p && s.p + s.n < x->text.p + x->text.n && plain(s) && x->text.n <= EXPRESSION;
}

static void form_put(struct seed_form *f)
{
	if (atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1)
		return;
	shape_free(f->shape); /* before the rule, in whose memory its program may be */
	rf_rule_put(f->model);
	free(f);
}

/* The string stands at `at` of the document. NULL where it can be no other, or without memory. */
static struct seed_form *form_new(struct rf_str doc, const char *at, const struct access *a, struct rf_rule *model)
{
	struct rf_str s = a->test->lit.s;
	size_t front = (size_t)(at - doc.p), back = doc.n - front - s.n;
	struct shape *shape = shape_new(model->phase, model->cond);
	struct seed_form *f = shape ? malloc(sizeof *f + front + back) : NULL;
	if (!f) {
		shape_free(shape);
		return NULL;
	}
	*f = (struct seed_form){ .model = rf_rule_get(model), .shape = shape, .term = a->term, .at = (size_t)(s.p - model->cond->text.p),
		.after = (size_t)(model->cond->text.p + model->cond->text.n - s.p - s.n), .decides = access_decides(model->cond, a), .front = front, .back = back };
	atomic_init(&f->refs, 1);
	memcpy(f->text, doc.p, front);
	memcpy(f->text + front, at + s.n, back);
	return f;
}

/* All that it does is what its action is. */
static bool bare(const struct rf_rule *r)
{
	return !r->response && !r->skip && !r->redirect && !r->config && !r->algorithms && !r->limit && !r->nedits && !r->path && !r->query;
}

static struct seed_form *form_from(struct rf_str doc, struct rf_rule *r)
{
	struct rf_js j = rf_js_over(doc);
	struct rf_rule_text t;
	struct rf_arena arena;
	struct access a;
	const char *at = NULL;
	if (!bare(r) || !rf_rule_text_read(&j, false, NULL, &t) || !t.plain || t.id.raw.p || t.ref.raw.p || !rf_js_end(&j))
		return NULL;
	rf_arena_init(&arena, PLAN_MEMORY);
	if (plan(r->cond, &arena, &a))
		at = find(t.expression.raw, r->cond, a.test->lit.s);
	struct seed_form *f = at ? form_new(doc, at, &a, r) : NULL;
	rf_arena_fini(&arena);
	return f;
}

void rf_seeds_learn(struct rf_seeds *v, struct rf_str doc, struct rf_rule *r)
{
	struct cut c;
	shape_cut(r->cond->text, &c);
	if (c.n > SHAPE_LITERALS || r->phase == RF_PHASE_PACKET)
		return;
	bool seen = v->seen[c.hash % SEEN] == c.hash;
	v->seen[c.hash % SEEN] = c.hash;
	struct seed_form *f = seen ? form_from(doc, r) : NULL;
	if (!f)
		return;
	if (v->forms == FORMS)
		form_put(v->form[v->next]);
	else
		v->forms++;
	v->form[v->next] = f;
	v->last = v->next;
	v->next = (v->next + 1) % FORMS;
}

static bool has_form(const struct seed_form *f, struct rf_str doc, struct rf_str *ret)
{
	if (doc.n < f->front + f->back || memcmp(doc.p, f->text, f->front) != 0 ||
	    memcmp(doc.p + doc.n - f->back, f->text + f->front, f->back) != 0)
		return false;
	*ret = (struct rf_str){ doc.p + f->front, doc.n - f->front - f->back };
	return plain(*ret);
}

static struct seed_form *form_of(struct rf_seeds *v, struct rf_str doc, struct rf_str *ret)
{
	for (unsigned i = 0; i < v->forms; i++) {
		unsigned at = (v->last + i) % v->forms;
		if (!has_form(v->form[at], doc, ret))
			continue;
		v->last = at;
		return v->form[at];
	}
	return NULL;
}

/* --- beds --- */

static void bed_put(struct bed *b, unsigned refs)
{
	if (!b || atomic_fetch_sub_explicit(&b->refs, refs, memory_order_acq_rel) != refs)
		return;
	for (uint32_t i = 0; i < b->n; i++)
		rf_rule_put(atomic_load_explicit(&b->seed[i].made, memory_order_relaxed));
	for (unsigned i = 0; i < b->forms; i++)
		form_put(b->form[i]);
	free(b);
}

static struct bed *bed_of(struct rf_rule_seed *s)
{
	return (struct bed *)((char *)(s - s->number) - offsetof(struct bed, seed));
}

static bool has_room(const struct bed *b, const struct seed_form *f, size_t n)
{
	unsigned i = 0;
	while (i < b->forms && b->form[i] != f)
		i++;
	return b->n < BED_SEEDS && b->used + n <= b->room && i < FORMS;
}

/* For seeds of which the first has `n` bytes of text. */
static bool new_bed(struct rf_seeds *v, size_t n)
{
	size_t room = BED_SEEDS * (n + LONGER);
	struct bed *b = malloc(sizeof *b + room);
	if (!b)
		return false;
	b->room = room;
	atomic_init(&b->refs, 1);
	b->n = b->forms = 0;
	b->used = 0;
	bed_put(v->bed, 1);
	v->bed = b;
	return true;
}

static void take_form(struct bed *b, struct seed_form *f)
{
	for (unsigned i = b->forms; i > 0; i--)
		if (b->form[i - 1] == f)
			return;
	b->form[b->forms++] = form_get(f);
}

bool rf_seeds_take(struct rf_seeds *v, struct rf_str doc, struct rf_str id, int64_t order, uint64_t revision, struct rf_rule_link *ret)
{
	struct rf_str string;
	struct seed_form *f = id.n == SEED_ID ? form_of(v, doc, &string) : NULL;
	if (!f || ((!v->bed || !has_room(v->bed, f, SEED_ID + string.n)) && !new_bed(v, SEED_ID + string.n)))
		return false;
	struct bed *b = v->bed;
	struct rf_rule_seed *s = &b->seed[b->n];
	take_form(b, f);
	*s = (struct rf_rule_seed){ .form = f, .text = b->text + b->used, .n = (uint32_t)string.n, .number = b->n++, .order = order,
		.revision = revision };
	memcpy(b->text + b->used, id.p, SEED_ID);
	memcpy(b->text + b->used + SEED_ID, string.p, string.n);
	b->used += SEED_ID + string.n;
	atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
	*ret = (struct rf_rule_link){ (uintptr_t)s | 1 };
	return true;
}

struct rf_seeds *rf_seeds_new(void)
{
	return calloc(1, sizeof(struct rf_seeds));
}

void rf_seeds_free(struct rf_seeds *v)
{
	if (!v)
		return;
	bed_put(v->bed, 1);
	for (unsigned i = 0; i < v->forms; i++)
		form_put(v->form[i]);
	free(v);
}

/* --- rules --- */

static struct rf_str put_text(char **at, struct rf_str s)
{
	struct rf_str kept = { *at, s.n };
	if (s.n)
		memcpy(*at, s.p, s.n);
	(*at)[s.n] = '\0';
	*at += s.n + 1;
	return kept;
}

/* Its expression, in `room`. */
static struct rf_str expression(const struct rf_rule_seed *s, char room[EXPRESSION + STRING_MOST])
{
	struct rf_str was = s->form->model->cond->text;
	size_t front = s->form->at, back = s->form->after;
	memcpy(room, was.p, front);
	memcpy(room + front, s->text + SEED_ID, s->n);
	memcpy(room + front + s->n, was.p + was.n - back, back);
	return (struct rf_str){ room, front + s->n + back };
}

static struct rf_rule *make(const struct rf_rule_seed *s)
{
	enum { ALIGN = _Alignof(max_align_t) };
	const struct rf_rule *like = s->form->model;
	char room[EXPRESSION + STRING_MOST];
	struct cut cut;
	struct rf_str text = expression(s, room);
	shape_cut(text, &cut);
	size_t program = shape_room(s->form->shape, text.n), head = (sizeof *like + ALIGN - 1) / ALIGN * ALIGN;
	size_t texts = SEED_ID + like->version.n + like->description.n + 3;
	char *block = malloc(head + program + texts), *at = block ? block + head + program : NULL;
	if (!block)
		return NULL;
	struct rf_rule *r = (struct rf_rule *)block;
	*r = (struct rf_rule){ .phase = like->phase, .action = like->action, .enabled = like->enabled, .logging = like->logging,
		.priority = like->priority, .cond = shape_fill(s->form->shape, text, &cut, block + head), .nwarnings = like->nwarnings,
		.order = s->order, .revision = s->revision, .bytes = head + program + texts };
	atomic_init(&r->refs, 1);
	memcpy(r->warnings, like->warnings, sizeof r->warnings);
	r->expression = rf_expr_text(r->cond);
	r->id = r->ref = put_text(&at, (struct rf_str){ s->text, SEED_ID });
	r->version = put_text(&at, like->version);
	r->description = put_text(&at, like->description);
	return r;
}

struct rf_rule *seed_rule(struct rf_rule_seed *s)
{
	struct rf_rule *there = atomic_load_explicit(&s->made, memory_order_acquire), *r;
	if (there || !(r = make(s)))
		return there;
	if (atomic_compare_exchange_strong_explicit(&s->made, &there, r, memory_order_acq_rel, memory_order_acquire))
		return r;
	rf_rule_put(r); /* another thread was first */
	return there;
}

struct rf_rule *rf_link_rule(struct rf_rule_link l)
{
	struct rf_rule_seed *s = link_seed(l);
	struct rf_rule *r = s ? seed_rule(s) : (struct rf_rule *)l.to;
	return r ? r : s->form->model;
}

const struct rf_rule *rf_link_like(struct rf_rule_link l)
{
	return link_like(l);
}

struct rf_rule_link rf_link_get(struct rf_rule_link l)
{
	struct rf_rule_seed *s = link_seed(l);
	if (s)
		atomic_fetch_add_explicit(&bed_of(s)->refs, 1, memory_order_relaxed);
	else
		rf_rule_get((struct rf_rule *)l.to);
	return l;
}

void rf_link_put(struct rf_rule_link l)
{
	struct rf_rule_seed *s = link_seed(l);
	if (s)
		bed_put(bed_of(s), 1);
	else
		rf_rule_put((struct rf_rule *)l.to);
}

struct rf_str rf_link_id(struct rf_rule_link l)
{
	const struct rf_rule_seed *s = link_seed(l);
	return s ? (struct rf_str){ s->text, SEED_ID } : ((const struct rf_rule *)l.to)->id;
}

uint64_t rf_link_revision(struct rf_rule_link l)
{
	const struct rf_rule_seed *s = link_seed(l);
	return s ? s->revision : ((const struct rf_rule *)l.to)->revision;
}
