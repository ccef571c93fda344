/* policy/segment: find candidates and test them. segment_make.c makes what is read here.
 *
 * A term that cannot be made (no memory, a result over its bound) leads to every rule behind it: the rule itself then
 * says what is wrong, as it would without an index.
 */
#include "policy/segment.h"
#include <stdatomic.h>
#include "policy/hash64.h"
#include "policy/seed.h"

struct finding {
	const struct segment *s;
	struct candidates *c;
	struct rf_facts *f;
	struct text_found text;
	int err;
};

struct segment *segment_get(struct segment *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

static bool to_bits(struct finding *g)
{
	struct candidates *c = g->c;
	c->words = g->s->count / 64 + 1;
	c->bits = rf_arena_array(g->f->arena, c->words, sizeof *c->bits);
	if (!c->bits) {
		g->err = RF_E_NOMEM;
		return false;
	}
	for (uint32_t i = 0; i < c->n; i++)
		c->bits[c->near[i] / 64] |= 1ull << c->near[i] % 64;
	return true;
}

/* Ranks in `near` stay sorted. */
static void found(struct finding *g, uint32_t rank)
{
	struct candidates *c = g->c;
	if (c->bits || (c->n == SEGMENT_NEAR && to_bits(g))) {
		c->bits[rank / 64] |= 1ull << rank % 64;
		return;
	}
	if (g->err)
		return;
	uint32_t at = c->n;
	while (at > 0 && c->near[at - 1] > rank)
		at--;
	if (at > 0 && c->near[at - 1] == rank)
		return;
	memmove(&c->near[at + 1], &c->near[at], (c->n - at) * sizeof *c->near);
	c->near[at] = rank;
	c->n++;
}

static void found_all(struct finding *g, uint32_t post)
{
	if (post == POST_NONE)
		return;
	if (post & POST_ONE) {
		found(g, post & ~POST_ONE);
		return;
	}
	const uint32_t *p = &g->s->post[post];
	for (uint32_t i = 1; i <= p[0]; i++)
		found(g, p[i]);
}

static uint32_t exact(const struct segment *s, uint32_t probe, struct rf_str bytes)
{
	uint64_t h = hash_bytes(probe, bytes), bit = h >> s->filter_shift;
	if (!(s->filter[bit / 64] >> bit % 64 & 1))
		return POST_NONE;
	const struct exact_key *k = exact_find(s, h, probe, bytes);
	return k ? k->post : POST_NONE;
}

static void on_text(void *ctx, uint32_t key)
{
	struct finding *g = ctx;
	found_all(g, g->s->text_post[key]);
}

/* What a probe says among the exact keys. */
static __attribute__((noinline)) void look_up_exact(struct finding *g, const struct probe *p, struct rf_str bytes)
{
	found_all(g, exact(g->s, (uint32_t)(p - g->s->probe), bytes));
}

static inline void look_up_string(struct finding *g, const struct probe *p, struct rf_str s)
{
	if (p->lengths >> (s.n < 63 ? s.n : 63) & 1)
		look_up_exact(g, p, s);
	if (p->text && text_scan(p->text, s, &g->text) != RF_OK)
		found_all(g, p->all);
}

static inline void look_up_address(struct finding *g, const struct probe *p, const struct rf_ip *ip)
{
	const struct trie *t = ip->family == 4 ? p->four : p->six;
	for (uint32_t at = t ? trie_find(t, ip) : TRIE_NONE; at != TRIE_NONE; at = trie_wider(t, at))
		found_all(g, trie_key(t, at));
}

static inline void look_up(struct finding *g, const struct probe *p, const struct rf_val *v)
{
	if (v->tag == RF_V_STR)
		look_up_string(g, p, v->s);
	else if (v->tag == RF_V_IP)
		look_up_address(g, p, &v->ip);
	else if (v->tag == RF_V_INT && p->ints)
		look_up_exact(g, p, (struct rf_str){ (const char *)&v->i, sizeof v->i });
}

static void ask_each(struct finding *g, const struct probe *p, struct eval *e)
{
	struct rf_val room, element;
	const struct rf_val *a = eval_value(e, p->each, &room);
	for (uint32_t i = 0; a->tag == RF_V_ARRAY && i < a->n && !e->err; i++) {
		e->element = &a->a[i];
		const struct rf_val *v = eval_value(e, p->term, &element);
		if (!e->err)
			look_up(g, p, v);
	}
}

static void ask(struct finding *g, uint32_t number)
{
	const struct probe *p = &g->s->probe[number];
	struct eval e = { .x = p->x, .f = g->f };
	struct rf_val room;
	if (p->field < RF_FIELD_COUNT) {
		look_up(g, p, rf_fact(g->f, (enum rf_field)p->field));
		return;
	}
	if (p->each) {
		ask_each(g, p, &e);
	} else {
		const struct rf_val *v = eval_value(&e, p->term, &room);
		if (!e.err)
			look_up(g, p, v);
	}
	if (e.err)
		found_all(g, p->all);
}

/* The keys that the request has. */
static void ask_keyed(struct finding *g, const struct keyed *k)
{
	const struct rf_val *map = rf_fact(g->f, k->map);
	for (uint32_t i = 0; map->tag == RF_V_MAP && i < map->n; i++) {
		uint32_t post = exact(g->s, k->probe, map->m[i].key);
		const uint32_t *p = post == POST_NONE || post & POST_ONE ? NULL : &g->s->post[post];
		if (post != POST_NONE && post & POST_ONE)
			ask(g, post & ~POST_ONE);
		for (uint32_t n = 1; p && n <= p[0]; n++)
			ask(g, p[n]);
	}
}

/* What cannot be tested leads to the rules behind it. */
static void pass_gate(struct finding *g, const struct gate *gate)
{
	struct eval e = { .f = g->f };
	bool open = code_run(&g->s->code, gate->code, &e);
	if (open || e.err)
		found_all(g, gate->post);
}

/* What most segments have not. */
static __attribute__((noinline)) void ask_others(struct finding *g, const struct segment *s)
{
	for (uint32_t i = s->plain; i < s->direct; i++)
		ask(g, i);
	for (uint32_t i = 0; i < s->keyeds; i++)
		ask_keyed(g, &s->keyed[i]);
	for (uint32_t i = 0; i < s->gates; i++)
		pass_gate(g, &s->gate[i]);
}

int segment_find(const struct segment *s, struct rf_facts *f, struct candidates *c)
{
	struct finding g = { .s = s, .c = c, .f = f, .text = { on_text, &g } };
	c->n = c->at = 0;
	c->bits = NULL;
	rf_facts_ask(f, s->asks); /* all of them before the first is looked up: what is far is fetched meanwhile */
	const struct probe *p = s->probe;
	for (uint32_t left = s->plain; left; left--, p++)
		look_up(&g, p, &f->val[p->field]);
	if (s->others)
		ask_others(&g, s);
	return !g.err && f->arena->full ? RF_E_NOMEM : g.err; /* a fact that has no room is not an absent one */
}

bool candidates_next_bit(struct candidates *c, uint32_t *ret)
{
	for (; c->at < c->words; c->at++)
		if (c->bits[c->at]) {
			*ret = c->at * 64 + (uint32_t)__builtin_ctzll(c->bits[c->at]);
			c->bits[c->at] &= c->bits[c->at] - 1;
			return true;
		}
	return false;
}

/* A rule that has no code but is more than the string that led to it. */
static __attribute__((noinline)) int test_seed(struct rf_rule_seed *seed, struct rf_facts *f, bool *ret)
{
	const struct rf_rule *r = seed_rule(seed);
	return r ? rf_expr_test(r->cond, f, ret) : RF_E_NOMEM;
}

int segment_test(const struct segment *s, uint32_t rank, struct rf_facts *f, bool *ret)
{
	struct rf_rule_seed *seed = link_seed(s->rule[rank]);
	if (seed && !seed->form->decides)
		return test_seed(seed, f, ret);
	const struct rf_arena mark = *f->arena;
	unsigned asked = f->asked, kept = f->kept_count;
	struct eval e = { .f = f };
	bool holds = code_run(&s->code, s->at[rank], &e);
	if (!e.err && f->arena->full)
		e.err = RF_E_NOMEM;
	if (f->arena->at != mark.at && f->asked == asked && f->kept_count == kept)
		rf_arena_release(f->arena, &mark); /* as rf_expr_test does */
	if (e.err == RF_OK)
		*ret = holds;
	return e.err;
}
