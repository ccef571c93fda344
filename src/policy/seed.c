/* policy/seed: see seed.h.
 *
 *	document -> that of a form, but for its blanks (policy/rule_text) -> seed, in a bed
 *	else     -> compiled by the caller -> held against those before it: where they differ are blanks -> of strings of the condition, one of
 *	            which leads to the rule, and of texts: a form
 *
 * Seeds stand in beds, which go with the last link to one of theirs; a form goes with the last bed that has seeds of it.
 */
#include "policy/seed.h"
#include <stdlib.h>
#include "policy/access.h"
#include "policy/rule_int.h"
#include "policy/shape.h"

enum {
	FORMS = 8,                 /* that are tried, the last one first */
	BED_SEEDS = 256,
	LONGER = 8,                /* bytes by which texts are longer than the first of a bed, as room is taken for them */
	STRING_MOST = 512,
	REF_MOST = 64,
	EXPRESSION = 1024,         /* bytes of the longest that has a form; and more for its strings */
	ROOM = EXPRESSION + SEED_STRINGS * STRING_MOST,
	PLAN_MEMORY = 1 << 20,
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
	struct rf_rule_like like;  /* documents that were compiled */
	unsigned kept, holes;      /* of those, when a form was made last, or could not be */
};

/* --- forms --- */

static struct seed_form *form_get(struct seed_form *f)
{
	atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
	return f;
}

static void form_put(struct seed_form *f)
{
	if (atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1)
		return;
	shape_free(f->shape); /* before the rule, in whose memory its program may be */
	rf_rule_put(f->model);
	free(f);
}

/* The one comparison that leads to a rule, if it is with a string of the text. */
static bool plan(const struct rf_expr *x, struct access *ret)
{
	struct rf_arena arena;
	struct access_plan p = { .arena = &arena };
	rf_arena_init(&arena, PLAN_MEMORY);
	bool one = access_plan(x, &p) == RF_OK && p.n == 1 && !p.always && p.v->kind == ACCESS_STRING && access_sure(p.v) &&
		p.v->test->op == N_CMP;
	if (one)
		*ret = *p.v; /* what is kept of it is the expression's */
	rf_arena_fini(&arena);
	return one;
}

/* How many bytes a text says up to a place of it as it is written. */
static size_t said(const struct rf_js_text *t, const char *to)
{
	char room[RF_RULE_LIKE];
	const struct rf_js_text front = { .raw = { t->raw.p, (size_t)(to - t->raw.p) }, .escaped = true };
	return rf_js_decode(&front, room);
}

static bool stands_in(const struct rf_js_text *t, const char *p)
{
	return t->raw.p && p >= t->raw.p && p <= t->raw.p + t->raw.n;
}

/* The blank that a hole of the model's document is. False where rules that differ there have no form. */
static bool blank_of(const struct rf_rule_text *t, struct rf_str in, struct seed_blank *ret)
{
	const struct rf_js_text *texts[] = { [SEED_EXPRESSION] = &t->expression, [SEED_DESCRIPTION] = &t->description,
		[SEED_VERSION] = &t->version, [SEED_NOWHERE] = &t->updated };
	unsigned i = 0;
	while (i <= SEED_NOWHERE && !stands_in(texts[i], in.p))
		i++;
	if (i > SEED_NOWHERE)
		return false;
	*ret = (struct seed_blank){ .in = i, .at = said(texts[i], in.p), .n = in.n };
	return true;
}

/* Number the strings: the one that leads to the rule is the first. False where none of them does, or they are too many. */
static bool number(struct seed_form *f, const struct access *a)
{
	size_t leads = (size_t)(a->test->lit.s.p - f->model->cond->text.p);
	bool found = false;
	f->strings = 1;
	for (unsigned i = 0; i < f->blanks; i++) {
		struct seed_blank *b = &f->blank[i];
		bool first = b->in == SEED_EXPRESSION && b->at == leads && b->n == a->test->lit.s.n;
		if (b->in == SEED_EXPRESSION && !shape_is_free(f->shape, b->at, b->n))
			return false;
		found |= first;
		b->string = first || b->in == SEED_NOWHERE ? 0 : f->strings++;
	}
	return found && f->strings <= SEED_STRINGS;
}

static bool form_fill(struct seed_form *f, struct rf_str doc, struct rf_rule *model)
{
	struct rf_js j = rf_js_over(doc);
	struct rf_rule_near near;
	struct rf_rule_text t;
	struct access a;
	if (!rf_rule_text_near(&j, false, &f->like, &near) || !plan(model->cond, &a) || !(f->shape = shape_new(model->phase, model->cond)))
		return false;
	rf_rule_text_of(&f->like, &near, &t);
	f->model = rf_rule_get(model);
	f->term = a.term;
	f->decides = access_decides(model->cond, &a);
	for (; f->blanks < f->like.holes; f->blanks++)
		if (!blank_of(&t, near.in[f->blanks], &f->blank[f->blanks]))
			return false;
	return number(f, &a);
}

/* NULL where there is none, or without memory. */
static struct seed_form *form_new(const struct rf_rule_like *like, struct rf_str doc, struct rf_rule *model)
{
	struct seed_form *f = calloc(1, sizeof *f);
	if (!f)
		return NULL;
	atomic_init(&f->refs, 1);
	rf_rule_like_copy(&f->like, like);
	if (form_fill(f, doc, model))
		return f;
	form_put(f);
	return NULL;
}

/* All that it does is what its action is. */
static bool bare(const struct rf_rule *r)
{
	return !r->response && !r->skip && !r->redirect && !r->config && !r->algorithms && !r->limit && !r->nedits && !r->path && !r->query;
}

static void keep_form(struct rf_seeds *v, struct seed_form *f)
{
	if (v->forms == FORMS)
		form_put(v->form[v->next]);
	else
		v->forms++;
	v->form[v->next] = f;
	v->last = v->next;
	v->next = (v->next + 1) % FORMS;
}

/* Hold a document against those before it; false where it is none that rules with a form have. */
static bool hold(struct rf_seeds *v, struct rf_str doc)
{
	struct rf_js j = rf_js_over(doc);
	struct rf_rule_text t;
	return rf_rule_text_read(&j, false, &v->like, &t) && t.plain && !t.id.raw.p && !t.ref.raw.p && rf_js_end(&j);
}

void rf_seeds_learn(struct rf_seeds *v, struct rf_str doc, struct rf_rule *r)
{
	if (r->phase == RF_PHASE_PACKET || !bare(r) || r->expression.n > EXPRESSION || !hold(v, doc))
		return;
	if (!v->like.holes || (v->like.kept == v->kept && v->like.holes == v->holes))
		return;
	v->kept = v->like.kept;
	v->holes = v->like.holes;
	struct seed_form *f = form_new(&v->like, doc, r);
	if (f)
		keep_form(v, f);
}

static bool fit(const struct seed_form *f, const struct rf_rule_near *near)
{
	bool good = true;
	for (unsigned i = 0; i < f->blanks; i++)
		good &= near->in[i].n <= STRING_MOST;
	return good;
}

static struct seed_form *form_of(struct rf_seeds *v, struct rf_str doc, struct rf_rule_near *ret)
{
	for (unsigned i = 0; i < v->forms; i++) {
		unsigned at = (v->last + i) % v->forms;
		struct rf_js j = rf_js_over(doc);
		if (!rf_rule_text_near(&j, false, &v->form[at]->like, ret) || !rf_js_end(&j) || !fit(v->form[at], ret))
			continue;
		v->last = at;
		return v->form[at];
	}
	return NULL;
}

/* --- beds --- */

static void bed_put(struct bed *b)
{
	if (!b || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
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
	bed_put(v->bed);
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

static size_t text_room(const struct seed_form *f, const struct rf_rule_near *near, size_t ref)
{
	size_t n = SEED_ID + ref;
	for (unsigned i = 0; i < f->blanks; i++)
		n += f->blank[i].in == SEED_NOWHERE ? 0 : near->in[i].n;
	return n;
}

static void write_text(struct rf_rule_seed *s, struct rf_str id, struct rf_str ref, const struct rf_rule_near *near, char *to)
{
	const struct seed_form *f = s->form;
	s->text = to;
	to = mempcpy(to, id.p, SEED_ID);
	for (unsigned string = 0; string < f->strings; string++)
		for (unsigned i = 0; i < f->blanks; i++)
			if (f->blank[i].in != SEED_NOWHERE && f->blank[i].string == string) {
				s->n[string] = (uint16_t)near->in[i].n;
				to = mempcpy(to, near->in[i].p, near->in[i].n);
			}
	memcpy(to, ref.p, s->ref_n = (uint8_t)ref.n);
}

bool rf_seeds_take(struct rf_seeds *v, struct rf_str doc, struct rf_str id, struct rf_str ref, int64_t order, uint64_t revision,
	struct rf_rule_link *ret)
{
	struct rf_rule_near near;
	struct seed_form *f = id.n == SEED_ID && ref.n <= REF_MOST ? form_of(v, doc, &near) : NULL;
	if (!f)
		return false;
	if (rf_str_eq(id, ref))
		ref = RF_STR("");
	size_t n = text_room(f, &near, ref.n);
	if ((!v->bed || !has_room(v->bed, f, n)) && !new_bed(v, n))
		return false;
	struct bed *b = v->bed;
	struct rf_rule_seed *s = &b->seed[b->n];
	take_form(b, f);
	*s = (struct rf_rule_seed){ .form = f, .number = (uint8_t)b->n++, .order = order, .revision = revision };
	write_text(s, id, ref, &near, b->text + b->used);
	b->used += n;
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
	bed_put(v->bed);
	for (unsigned i = 0; i < v->forms; i++)
		form_put(v->form[i]);
	free(v);
}

/* --- rules --- */

/* A text of the model with the seed's strings in its blanks; returns how much. */
static size_t say(const struct rf_rule_seed *s, unsigned in, struct rf_str like, char *room)
{
	const struct seed_form *f = s->form;
	const char *string[SEED_STRINGS] = { s->text + SEED_ID }, *from = like.p = like.n ? like.p : "";
	char *to = room;
	for (unsigned i = 1; i < SEED_STRINGS; i++)
		string[i] = string[i - 1] + s->n[i - 1];
	for (unsigned i = 0; i < f->blanks; i++) {
		const struct seed_blank *b = &f->blank[i];
		if (b->in != in)
			continue;
		to = mempcpy(to, from, (size_t)(like.p + b->at - from));
		to = mempcpy(to, string[b->string], s->n[b->string]);
		from = like.p + b->at + b->n;
	}
	to = mempcpy(to, from, (size_t)(like.p + like.n - from));
	return (size_t)(to - room);
}

static struct rf_rule *make(const struct rf_rule_seed *s)
{
	const struct rf_rule *like = s->form->model;
	char expression[ROOM], description[RF_RULE_TEXT + ROOM], version[ROOM];
	struct rf_str text = { expression, say(s, SEED_EXPRESSION, like->cond->text, expression) };
	struct rf_rule_text t = { .id.raw = { s->text, SEED_ID }, .ref.raw = { s->text + seed_texts(s) - s->ref_n, s->ref_n },
		.description.raw = { description, say(s, SEED_DESCRIPTION, like->description, description) },
		.version.raw = { version, say(s, SEED_VERSION, like->version, version) } };
	struct cut cut;
	shape_cut(text, &cut);
	if (!s->ref_n)
		t.ref = t.id;
	struct rf_rule *r = rule_in_one(like->phase, s->form->shape, text, &cut, &t);
	if (!r)
		return NULL;
	r->action = like->action;
	r->enabled = like->enabled;
	r->logging = like->logging;
	r->priority = like->priority;
	r->nwarnings = like->nwarnings;
	memcpy(r->warnings, like->warnings, sizeof r->warnings);
	r->order = s->order;
	r->revision = s->revision;
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
		bed_put(bed_of(s));
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
