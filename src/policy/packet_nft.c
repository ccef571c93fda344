/* policy/packet_nft: see packet_nft.h.
 *
 *   ruleset: a chain that calls one of each rule -> what it leaves open goes on
 *   rule: condition -> counted -> answer
 *   condition: a conjunction is  a rule of nft for each term that must not hold -> no
 *                                those that must, in one rule of nft             -> yes
 *              `or` is one turned round; `xor` is written twice, for each parity
 *   leaf: alternatives, each of matches that must all hold (packet_nft_leaf)
 *
 * Control goes from chain to chain and never back within a rule, so that whatever ends a rule returns to its ruleset. Each chain is a level,
 * of which the kernel has few: so as much as can be is said in one chain.
 *
 * Invariants: what is missing makes a comparison false, whatever it is, and `not` of it true, as in policy/eval.
 */
#include "policy/packet_nft.h"
#include <stdio.h>
#include <stdlib.h>
#include "base/room.h"
#include "policy/hash64.h"
#include "policy/packet_nft_leaf.h"

enum { TERMS = 16, PRODUCT = 64, RESTS = 256 };
enum { RETURN, LEAVE, NO_LABEL = -1 }; /* labels that are always there */

struct label {
	uint32_t chain;       /* 0: nothing goes there yet */
	unsigned level;
};

struct chains {
	struct packet_leaves leaves;
	struct rf_nft_op *op;
	size_t n, cap;
	struct label *label;
	size_t labels, label_cap;
	uint32_t made, at;    /* chains; the one that is written */
	unsigned level;
	bool lost;            /* nothing comes here */
	int failed;
};

struct ways { int yes, no, next; };

/* --- chains --- */

static void put(struct chains *c, const struct rf_nft_op *op)
{
	if (c->n >= RF_NFT_OPS_MAX)
		c->failed = RF_E_TOO_LARGE;
	else if (!RF_ROOM(c->op, c->cap, c->n))
		c->failed = RF_E_NOMEM;
	else
		c->op[c->n++] = *op;
}

static int label_new(struct chains *c)
{
	if (!RF_ROOM(c->label, c->label_cap, c->labels)) {
		c->failed = RF_E_NOMEM;
		return NO_LABEL;
	}
	c->label[c->labels] = (struct label){ 0 };
	return (int)c->labels++;
}

/* One level below this chain. */
static void reach(struct chains *c, int label)
{
	struct label *l = &c->label[label];
	if (!l->chain && label != LEAVE) {
		l->chain = ++c->made;
		if (c->made >= RF_NFT_CHAINS_MAX)
			c->failed = RF_E_TOO_LARGE;
	}
	l->level = l->level > c->level + 1 ? l->level : c->level + 1;
	if (l->level > RF_NFT_LAST_LEVEL + (label == LEAVE) && !c->failed)
		c->failed = RF_E_UNSUPPORTED;
}

/* What ends a rule of nft. */
static void verdict(struct chains *c, int label)
{
	if (label == NO_LABEL)
		return;
	if (label != RETURN)
		reach(c, label);
	put(c, &(struct rf_nft_op){ .op = label == RETURN ? RF_NFT_RETURN : label == LEAVE ? RF_NFT_LEAVE : RF_NFT_GO, .to = c->label[label].chain });
}

static void go(struct chains *c, int label)
{
	if (!c->lost)
		verdict(c, label);
	c->lost = true;
}

static void open_chain(struct chains *c, uint32_t chain, unsigned level)
{
	put(c, &(struct rf_nft_op){ .op = RF_NFT_CHAIN, .to = chain });
	c->at = chain;
	c->level = level;
	c->lost = false;
}

/* What goes there comes here. */
static void place(struct chains *c, int label)
{
	if (label == NO_LABEL || !c->label[label].chain)
		return;
	go(c, label);
	open_chain(c, c->label[label].chain, c->label[label].level);
}
/* --- conjunctions --- */

static void put_match(struct chains *c, const struct packet_match *m)
{
	for (size_t i = 0; i < m->ranges; i++) {
		const struct packet_range *r = &c->leaves.said[m->range + i];
		put(c, &(struct rf_nft_op){ .op = i ? RF_NFT_RANGE : RF_NFT_MATCH, .field = m->field, .bytes = m->bytes, .at = m->at, .key = m->bits,
			.from_hi = r->from_hi, .from = r->from, .until = r->to, .to_hi = r->to_hi });
	}
}

struct terms { /* those that must hold; what one asks */
	size_t n;
	struct packet_choice v[TERMS];
};

/* A rule of nft for each way in which the terms from `first` to `end` can hold. */
static void put_product(struct chains *c, const struct terms *t, size_t first, size_t end, int to)
{
	size_t at[TERMS] = { 0 }, i = first;
	while (i + 1 > first) {
		if (at[i] == t->v[i].n) {
			at[i] = 0;
			if (i-- == first)
				return;
			at[i]++;
			continue;
		}
		uint8_t family = t->v[i].v[at[i]].family;
		bool fits = true;
		for (size_t k = first; k < i; k++) {
			uint8_t other = t->v[k].v[at[k]].family;
			fits = fits && (!family || !other || family == other);
		}
		if (fits && i + 1 < end) {
			i++;
			continue;
		}
		for (size_t k = first; fits && k < end; k++)
			for (uint8_t m = 0; m < t->v[k].v[at[k]].n; m++)
				put_match(c, &t->v[k].v[at[k]].m[m]);
		if (fits)
			verdict(c, to);
		at[i]++;
	}
}

static void put_choice(struct chains *c, const struct packet_choice *o, int to)
{
	for (size_t i = 0; i < o->n; i++) {
		for (uint8_t m = 0; m < o->v[i].n; m++)
			put_match(c, &o->v[i].m[m]);
		verdict(c, to);
	}
}

/* All of the terms, in as few chains as can be. */
static void put_terms(struct chains *c, const struct terms *t, bool last, const struct ways *w)
{
	for (size_t first = 0; first < t->n && !c->lost;) {
		size_t end = first, ways = 1;
		while (end < t->n && (end == first || ways * t->v[end].n <= PRODUCT))
			ways *= t->v[end++].n;
		bool ends = last && end == t->n;
		int next = ends ? w->yes : label_new(c);
		put_product(c, t, first, end, next);
		if (!ends || w->next != w->no)
			go(c, w->no);
		if (!ends)
			place(c, next);
		first = end;
	}
}

static int condition(struct chains *c, const struct pnode *n, bool is, const struct ways *w);

static bool connects(const struct pnode *n) { return n->op == N_AND || n->op == N_OR || n->op == N_XOR || n->op == N_CONST || n->op == N_NOT; }

struct conjunction {
	const struct pnode *rest[RESTS]; /* what is no leaf */
	bool rest_is[RESTS];
	size_t rests;
	struct terms terms;
};

/* A leaf: where it must not hold, that is written at once. */
static int take_leaf(struct chains *c, const struct pnode *n, bool is, struct conjunction *k, int no)
{
	bool turned;
	struct packet_choice *o = &k->terms.v[k->terms.n];
	int rc = packet_choose(&c->leaves, n, o, &turned);
	if (rc != RF_OK || c->lost)
		return rc;
	if (is != turned)
		k->terms.n++;
	else
		put_choice(c, o, no);
	return rc;
}

/* Its terms, those of the same kind within it as well. */
static int gather(struct chains *c, const struct pnode *n, bool is, struct conjunction *k, int no)
{
	if (n->op == N_NOT)
		return gather(c, &c->leaves.f.x->node[n->kid], !is, k, no);
	int rc = RF_OK;
	if (n->op == (is ? N_AND : N_OR)) {
		for (unsigned i = 0; i < n->nkids && rc == RF_OK; i++)
			rc = gather(c, &c->leaves.f.x->node[n->kid + i], is, k, no);
		return rc;
	}
	if (connects(n) || k->terms.n == TERMS) {
		if (k->rests == RESTS)
			return rf_fail(c->leaves.f.e, RF_E_UNSUPPORTED, "nft here takes at most %d terms side by side", RESTS);
		k->rest[k->rests] = n;
		k->rest_is[k->rests++] = is;
		return RF_OK;
	}
	return take_leaf(c, n, is, k, no);
}

/* It holds where all of its terms do. */
static int all(struct chains *c, const struct pnode *n, bool is, const struct ways *w)
{
	struct conjunction *k = malloc(sizeof *k);
	size_t said = c->leaves.said_n;
	if (!k)
		return rf_fail(c->leaves.f.e, RF_E_NOMEM, "memory is exhausted");
	k->rests = k->terms.n = 0;
	int rc = gather(c, n, is, k, w->no);
	if (rc == RF_OK)
		put_terms(c, &k->terms, !k->rests, w);
	if (rc == RF_OK && !k->terms.n && !k->rests && w->next != w->yes)
		go(c, w->yes);
	for (size_t i = 0; i < k->rests && rc == RF_OK; i++) {
		bool last = i + 1 == k->rests;
		int next = last ? w->yes : label_new(c);
		rc = condition(c, k->rest[i], k->rest_is[i], last ? w : &(struct ways){ next, w->no, next });
		if (!last)
			place(c, next);
	}
	c->leaves.said_n = said;
	free(k);
	return rc;
}

/* Once for each parity that what comes before may have. */
static int odd(struct chains *c, const struct pnode *n, bool is, const struct ways *w)
{
	int to[2] = { is ? w->no : w->yes, is ? w->yes : w->no }, from[2] = { NO_LABEL, NO_LABEL }, rc = RF_OK;
	for (unsigned i = 0; i < n->nkids && rc == RF_OK; i++) {
		bool last = i + 1 == n->nkids;
		int next[2] = { last ? to[0] : label_new(c), last ? to[1] : label_new(c) };
		for (int parity = 0; parity < (i ? 2 : 1) && rc == RF_OK; parity++) {
			if (i) {
				c->lost = true;
				place(c, from[parity]);
			}
			rc = condition(c, &c->leaves.f.x->node[n->kid + i], true, &(struct ways){ next[!parity], next[parity], NO_LABEL });
		}
		from[0] = next[0];
		from[1] = next[1];
	}
	return rc;
}

static int condition(struct chains *c, const struct pnode *n, bool is, const struct ways *w)
{
	if (c->failed == RF_E_NOMEM || c->failed == RF_E_TOO_LARGE)
		return RF_OK; /* said at the end */
	while (n->op == N_NOT) {
		n = &c->leaves.f.x->node[n->kid];
		is = !is;
	}
	if (n->op == N_CONST) {
		int to = n->lit.b == is ? w->yes : w->no;
		if (to != w->next)
			go(c, to);
		return RF_OK;
	}
	if (n->op == N_XOR)
		return odd(c, n, is, w);
	if (n->op == (is ? N_OR : N_AND))
		return all(c, n, !is, &(struct ways){ w->no, w->yes, w->next });
	return all(c, n, is, w);
}

/* --- rules --- */

uint64_t rf_packet_nft_key(struct rf_str id) { return hash_bytes(0, id); }

static void act(struct chains *c, const struct rf_rule *r, unsigned number, int set_end)
{
	put(c, &(struct rf_nft_op){ .op = RF_NFT_HIT, .to = number, .key = rf_packet_nft_key(r->id),
		.flags = r->logging || r->action == RF_ACT_LOG ? RF_NFT_SHOWN : 0 });
	if (r->action == RF_ACT_BLOCK) {
		reach(c, LEAVE);
		put(c, &(struct rf_nft_op){ .op = RF_NFT_BLOCK });
	} else if (r->action == RF_ACT_ALLOW || (r->action == RF_ACT_SKIP && packet_ends_phase(r)))
		go(c, LEAVE);
	else
		go(c, r->action == RF_ACT_SKIP ? set_end : RETURN);
	c->lost = true;
}

static int failure(const struct chains *c, struct rf_err *e)
{
	switch (c->failed) {
	case RF_OK:
		return RF_OK;
	case RF_E_NOMEM:
		return rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	case RF_E_UNSUPPORTED:
		return rf_fail_ptr(e, RF_E_UNSUPPORTED, "/expression", "nft, which is in the kernel filter's place, would need more levels of chains for "
			"this rule than the kernel has: write it as several rules");
	default:
		return rf_fail_ptr(e, RF_E_TOO_LARGE, "/expression", "the rules of the phase packet make more than nft takes here");
	}
}

static int rule(struct chains *c, const struct rf_rule *r, unsigned number, int set_end)
{
	uint32_t set = c->at;
	unsigned level = c->level;
	int body = label_new(c), hit = label_new(c);
	c->leaves.f.x = r->cond;
	if (body == NO_LABEL || hit == NO_LABEL)
		return failure(c, c->leaves.f.e);
	int rc = packet_refuse_action(r, c->leaves.f.e);
	reach(c, body);
	put(c, &(struct rf_nft_op){ .op = RF_NFT_CALL, .to = c->label[body].chain });
	open_chain(c, c->label[body].chain, c->label[body].level);
	if (rc == RF_OK && (rc = condition(c, &c->leaves.f.x->node[0], true, &(struct ways){ hit, RETURN, hit })) != RF_OK)
		snprintf(c->leaves.f.e->pointer, sizeof c->leaves.f.e->pointer, "/expression");
	place(c, hit);
	if (!c->lost)
		act(c, r, number, set_end);
	if (rc == RF_OK)
		rc = failure(c, c->leaves.f.e);
	open_chain(c, set, level);
	return rc;
}

/* One rule, or nothing of it. */
static int try_rule(struct chains *c, const struct rf_rule *r, unsigned number, int set_end)
{
	const struct label before = c->label[set_end], leave = c->label[LEAVE];
	size_t n = c->n, labels = c->labels;
	uint32_t made = c->made;
	int rc = rule(c, r, number, set_end);
	if (rc == RF_OK)
		return RF_OK;
	packet_point(r, c->leaves.f.e);
	c->n = n;
	c->labels = labels;
	c->made = made;
	c->label[set_end] = before;
	c->label[LEAVE] = leave;
	return rc;
}

static int ruleset(struct chains *c, const struct rf_ruleset *s, const struct rf_packet_numbers *numbers, const struct rf_packet_refusals *refusals,
	struct rf_packet_chains *to)
{
	int set_end = label_new(c), rc = set_end == NO_LABEL ? failure(c, c->leaves.f.e) : RF_OK;
	for (size_t b = 0; b < s->nblocks && rc == RF_OK; b++)
		for (unsigned i = 0; i < s->blocks[b]->count && rc == RF_OK; i++) {
			const struct rf_rule *r = rf_block_rule(s->blocks[b], i);
			if (!r->enabled)
				continue;
			if (to->rules == RF_PACKET_RULES)
				return rf_fail_ptr(c->leaves.f.e, RF_E_TOO_LARGE, "", "at most %d rules of the phase packet can be in force", RF_PACKET_RULES);
			rc = try_rule(c, r, numbers->of(numbers->ctx, r), set_end);
			to->rules += rc == RF_OK;
			if (refusals && (rc == RF_E_UNSUPPORTED || rc == RF_E_TOO_LARGE || rc == RF_E_NOT_FOUND)) {
				refusals->told(refusals->ctx, r, c->leaves.f.e);
				c->failed = rc = RF_OK;
			}
		}
	if (rc == RF_OK)
		place(c, set_end);
	return rc;
}

static void chains_fini(struct chains *c)
{
	packet_leaves_fini(&c->leaves);
	free(c->op);
	free(c->label);
}

int rf_packet_nft(const struct rf_phase_set *set, const struct rf_lists *lists, const struct rf_packet_numbers *numbers,
	const struct rf_packet_refusals *refusals, struct rf_packet_chains *ret, struct rf_err *e)
{
	struct chains c = { .leaves.f = { .lists = lists, .e = e } };
	struct rf_packet_chains made = { 0 };
	bool room = label_new(&c) == RETURN && label_new(&c) == LEAVE;
	int rc = room ? RF_OK : failure(&c, e);
	open_chain(&c, 0, RF_NFT_FIRST_LEVEL);
	for (size_t i = 0; set && i < set->count && rc == RF_OK; i++)
		rc = ruleset(&c, set->sets[i], numbers, refusals, &made);
	if (rc == RF_OK)
		go(&c, LEAVE);
	if (rc == RF_OK)
		rc = failure(&c, e);
	if (rc == RF_OK) {
		made.ops = c.op;
		made.n = c.n;
		c.op = NULL;
		*ret = made;
	}
	chains_fini(&c);
	return rc;
}

void rf_packet_chains_fini(struct rf_packet_chains *c)
{
	free(c->ops);
	*c = (struct rf_packet_chains){ 0 };
}
