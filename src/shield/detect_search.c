/* shield/detect_search: see detect_search.h.
 *
 *   candidates: the most frequent values of each trait ─► the one with the most information: share · log2(share / usual share)
 *     ─► while too many usual requests match: the value that leaves the fewest of them and loses the least of the flood
 *     ─► terms that are not needed are taken out again
 *
 * The share of usual requests is the larger of the two reservoirs', so that rare requests of known devices count as much as frequent
 * ones of others; one of which something has not come yet when it was looked at counts as if that matched. Addresses are a candidate only where RF_SIGNATURE_SOURCES of them make nearly all of the flood.
 */
#include "shield/detect_search.h"
#include <math.h>

enum { FREQUENT = 8, CANDIDATES = RF_TRAITS * FREQUENT, SOURCES = 16 };

#define NEARLY_ALL 0.9  /* of the excess, by a handful of sources */
#define COVER_LEAST 0.25 /* of the excess, by a signature */
#define KEEP_LEAST 0.8  /* of what the terms before mean */

struct candidate {
	enum rf_trait trait;
	uint32_t hash;
};

struct share {
	double now, usual;
};

static struct share share_of(const struct rf_search *s, const struct rf_signature *g)
{
	uint64_t all = 0, hit = 0;
	struct share r = { 0, 0 };
	for (size_t i = 0; i < s->n; i++) {
		all += s->now[i].weight;
		hit += rf_signature_match(g, s->now[i].traits, s->now[i].source) ? s->now[i].weight : 0;
	}
	r.now = all ? (double)hit / (double)all : 0;
	for (int k = 0; k < 2; k++) {
		size_t match = 0;
		for (size_t i = 0; i < s->usual_n[k]; i++)
			match += rf_signature_may(g, s->usual[k][i].traits, s->usual[k][i].source);
		double of = s->usual_n[k] ? (double)match / (double)s->usual_n[k] : 0;
		r.usual = of > r.usual ? of : r.usual;
	}
	return r;
}

static unsigned weight_of(const struct candidate *c)
{
	return rf_trait_weight(c->trait, c->hash == rf_trait_hash(c->trait, RF_STR("")));
}

static void add_term(struct rf_signature *g, const struct candidate *c)
{
	g->term[g->n++] = (struct rf_term){ .trait = c->trait, .hash = c->hash };
}

static bool has(const struct rf_signature *g, enum rf_trait t)
{
	for (unsigned i = 0; i < g->n; i++)
		if (g->term[i].trait == t)
			return true;
	return false;
}

/* A path and its shape, a length and its size say the same twice. */
static bool akin(const struct rf_signature *g, enum rf_trait t)
{
	return (t == RF_TRAIT_SHAPE && has(g, RF_TRAIT_PATH)) || (t == RF_TRAIT_SIZE && has(g, RF_TRAIT_LENGTH));
}

static size_t candidates(const struct rf_search *s, struct candidate *to)
{
	size_t n = 0;
	for (unsigned t = 0; t < RF_TRAITS; t++) {
		struct rf_top top[FREQUENT] = { { 0 } };
		for (size_t i = 0; t != RF_TRAIT_SOURCE && i < s->n; i++)
			if (s->now[i].traits->hash[t])
				rf_top_add(top, FREQUENT, s->now[i].traits->hash[t], s->now[i].weight);
		for (unsigned k = 0; k < FREQUENT; k++)
			if (top[k].key)
				to[n++] = (struct candidate){ (enum rf_trait)t, (uint32_t)top[k].key };
	}
	return n;
}

/* The fewest addresses that make nearly all of the excess; none where that takes more than a handful. */
static void find_sources(const struct rf_search *s, struct rf_signature *g)
{
	struct rf_top top[SOURCES] = { { 0 } };
	for (size_t i = 0; i < s->n; i++)
		rf_top_add(top, SOURCES, s->now[i].source, s->now[i].weight);
	rf_top_sort(top, SOURCES);
	struct rf_signature only = { .n = 1, .term = { { .trait = RF_TRAIT_SOURCE } } };
	for (unsigned k = 0; k < RF_SIGNATURE_SOURCES && top[k].key; k++) {
		only.source[only.nsources++] = (uint32_t)top[k].key;
		if (share_of(s, &only).now >= NEARLY_ALL * s->excess) { /* counted anew: the table tells too much */
			g->nsources = only.nsources;
			memcpy(g->source, only.source, sizeof g->source);
			return;
		}
	}
}

static bool first_term(const struct rf_search *s, const struct candidate *c, size_t n, struct rf_signature *g)
{
	double best = 0, floor = 1.0 / (double)(s->usual_n[0] + s->usual_n[1] + 1);
	const struct candidate *with = NULL;
	for (size_t i = 0; i < n; i++) {
		struct rf_signature one = *g;
		add_term(&one, &c[i]);
		struct share p = share_of(s, &one);
		if (p.now - p.usual * (1 - s->excess) < COVER_LEAST * s->excess)
			continue;
		double gain = p.now * log2(p.now / (p.usual + floor)) * weight_of(&c[i]);
		if (gain > best) {
			best = gain;
			with = &c[i];
		}
	}
	if (with)
		add_term(g, with);
	return with != NULL;
}

static bool strong(const struct rf_signature *g)
{
	for (unsigned i = 0; i < g->n; i++) {
		struct candidate c = { g->term[i].trait, g->term[i].hash };
		if (weight_of(&c) >= RF_TRAIT_STRONG)
			return true;
	}
	return false;
}

static bool good(const struct rf_search *s, const struct rf_signature *g)
{
	return g->n && strong(g) && share_of(s, g).usual * 1000 <= RF_DETECT_SHARE;
}

static bool next_term(const struct rf_search *s, const struct candidate *c, size_t n, struct rf_signature *g)
{
	struct share have = share_of(s, g);
	double best = -1;
	const struct candidate *with = NULL;
	for (size_t i = 0; i < n; i++) {
		struct rf_signature more = *g;
		if (has(g, c[i].trait) || akin(g, c[i].trait))
			continue;
		add_term(&more, &c[i]);
		struct share p = share_of(s, &more);
		if (p.now < KEEP_LEAST * have.now)
			continue;
		double worth = (have.usual - p.usual) * 1000 + weight_of(&c[i]) * 0.001 + p.now * 0.01;
		if (worth > best) {
			best = worth;
			with = &c[i];
		}
	}
	if (with)
		add_term(g, with);
	return with != NULL;
}

static void prune(const struct rf_search *s, struct rf_signature *g)
{
	for (unsigned i = 0; g->n > 1 && i < g->n;) {
		struct rf_signature less = *g;
		memmove(&less.term[i], &less.term[i + 1], (--less.n - i) * sizeof *less.term);
		if (good(s, &less))
			*g = less;
		else
			i++;
	}
}

bool rf_search_run(const struct rf_search *s, struct rf_signature *ret, unsigned *ret_share, unsigned *ret_usual)
{
	struct candidate c[CANDIDATES];
	struct rf_signature g = { 0 };
	size_t n = candidates(s, c);
	find_sources(s, &g);
	if (g.nsources)
		c[n++] = (struct candidate){ RF_TRAIT_SOURCE, 1 };
	if (!first_term(s, c, n, &g))
		return false;
	while (!good(s, &g))
		if (g.n == RF_SIGNATURE_TERMS || !next_term(s, c, n, &g))
			return false;
	prune(s, &g);
	struct share p = share_of(s, &g);
	if (p.now < COVER_LEAST * s->excess)
		return false;
	if (!has(&g, RF_TRAIT_SOURCE))
		g.nsources = 0;
	*ret_share = (unsigned)(p.now * 100 + 0.5);
	*ret_usual = (unsigned)ceil(p.usual * 1000);
	*ret = g;
	return true;
}
