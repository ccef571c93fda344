/* egress/group: groups of endpoints and the choice between them.
 *
 * Choice: of the endpoints with a weight that checks do not hold for down and that were not tried yet,
 * take those that are not held by passive health; primaries before backups, and backups in their order. Where that leaves nobody,
 * those that are held (a request is then the probe). Among what is left, by the way of the group:
 * weighted round robin, least load for its weight, or rendezvous hashing of the device, which moves
 * only the devices of an endpoint that goes.
 *
 * Invariants: a group never changes but for its turn and the live parts. A live part is shared by
 * groups that name the same endpoint in the same way.
 */
#include "egress/origin.h"
#include <math.h>
#include <stdlib.h>
#include "base/buf.h"
#include "base/hash.h"

struct rf_origin_live *rf_origin_live_get(struct rf_origin_live *l)
{
	atomic_fetch_add(&l->refs, 1);
	return l;
}

void rf_origin_live_put(struct rf_origin_live *l)
{
	if (l && atomic_fetch_sub(&l->refs, 1) == 1)
		free(l);
}

/* Is it the same endpoint, reached in the same way, with the same keys? */
static bool same(const struct rf_origin *a, const struct rf_origin_group_spec *g, const struct rf_origin_spec *s)
{
	const struct rf_origin_group_spec *old = &a->group->spec;
	uint64_t trust[2] = { old->trust ? rf_trust_generation(old->trust) : 0,
			      g->trust ? rf_trust_generation(g->trust) : 0 };
	return rf_str_ieq(a->spec.host, s->host) && a->spec.port == s->port && a->spec.tls == s->tls &&
	       rf_str_eq(a->spec.tls_name, s->tls_name) && old->keypair == g->keypair && trust[0] == trust[1];
}

static struct rf_origin_live *live_of(const struct rf_origin_group *inherit, const struct rf_origin_group_spec *g,
				      const struct rf_origin_spec *s)
{
	for (size_t i = 0; inherit && i < inherit->spec.count; i++)
		if (same(&inherit->origins[i], g, s))
			return rf_origin_live_get(inherit->origins[i].live);
	struct rf_origin_live *l = calloc(1, sizeof *l);
	if (l)
		atomic_init(&l->refs, 1);
	return l;
}

/* Append s to the text buffer; its place is fixed up when the buffer has stopped moving. */
static struct rf_str keep(struct rf_buf *b, struct rf_str s)
{
	size_t at = b->n;
	rf_buf_add(b, s);
	return (struct rf_str){ (const char *)(uintptr_t)at, s.n };
}

static void place(const char *text, struct rf_str *s)
{
	s->p = s->n ? text + (uintptr_t)s->p : "";
}

static void texts(struct rf_buf *b, struct rf_origin *o)
{
	const char *scheme = o->group->spec.scheme;
	bool tls = o->spec.tls != RF_ORIGIN_PLAIN, v6 = rf_str_find(o->spec.host, ':') < o->spec.host.n;
	size_t url = b->n;
	rf_buf_printf(b, "%s://", scheme ? scheme : tls ? "https" : "http");
	size_t authority = b->n;
	rf_buf_printf(b, v6 ? "[%.*s]" : "%.*s", RF_ARG(o->spec.host));
	if (scheme || o->spec.port != (tls ? 443 : 80)) /* [RFC 9110 4.2] */
		rf_buf_printf(b, ":%u", o->spec.port);
	o->url = (struct rf_str){ (const char *)(uintptr_t)url, b->n - url };
	o->authority = (struct rf_str){ (const char *)(uintptr_t)authority, b->n - authority };
	o->spec.host = keep(b, o->spec.host);
	o->spec.tls_name = o->spec.tls_name.n ? keep(b, o->spec.tls_name) : o->spec.host;
}

static int fill(struct rf_origin_group *g, const struct rf_origin_group *inherit)
{
	struct rf_buf text = { 0 };
	for (size_t i = 0; i < g->spec.count; i++) {
		struct rf_origin *o = &g->origins[i];
		*o = (struct rf_origin){ .spec = g->spec.origins[i], .group = g, .index = (unsigned)i };
		if (!o->spec.tls_name.n)
			o->spec.tls_name = o->spec.host;
		o->live = live_of(inherit, &g->spec, &o->spec);
		if (!o->live)
			text.bad = true;
		texts(&text, o);
	}
	g->spec.health.path = keep(&text, g->spec.health.path);
	g->spec.health.host = keep(&text, g->spec.health.host);
	g->text = text.p;
	if (text.bad)
		return RF_E_NOMEM;
	for (size_t i = 0; i < g->spec.count; i++) {
		struct rf_origin *o = &g->origins[i];
		struct rf_str *all[] = { &o->url, &o->authority, &o->spec.host, &o->spec.tls_name };
		for (size_t k = 0; k < sizeof all / sizeof *all; k++)
			place(g->text, all[k]);
	}
	place(g->text, &g->spec.health.path);
	place(g->text, &g->spec.health.host);
	g->spec.origins = NULL;
	return RF_OK;
}

int rf_origin_group_new(const struct rf_origin_group_spec *spec, const struct rf_origin_group *inherit,
			struct rf_origin_group **ret, struct rf_err *e)
{
	if (spec->count < 1 || spec->count > RF_ORIGINS_MAX)
		return rf_fail_ptr(e, RF_E_RANGE, "/origins", "an app has 1 to %d origins, not %zu", RF_ORIGINS_MAX,
				   spec->count);
	struct rf_origin_group *g = calloc(1, sizeof *g);
	if (g)
		g->origins = calloc(spec->count, sizeof *g->origins);
	if (!g || !g->origins) {
		free(g);
		return rf_fail(e, RF_E_NOMEM, "no memory for the origins of an app");
	}
	g->spec = *spec;
	atomic_init(&g->refs, 1);
	g->trust = spec->trust ? rf_trust_get(spec->trust) : NULL;
	g->keypair = spec->keypair ? rf_keypair_get(spec->keypair) : NULL;
	if (fill(g, inherit)) {
		rf_origin_group_put(g);
		return rf_fail(e, RF_E_NOMEM, "no memory for the origins of an app");
	}
	*ret = g;
	return RF_OK;
}

struct rf_origin_group *rf_origin_group_get(const struct rf_origin_group *cg)
{
	struct rf_origin_group *g = (struct rf_origin_group *)cg;
	atomic_fetch_add(&g->refs, 1);
	return g;
}

void rf_origin_group_put(struct rf_origin_group *g)
{
	if (!g || atomic_fetch_sub(&g->refs, 1) != 1)
		return;
	for (size_t i = 0; i < g->spec.count; i++)
		rf_origin_live_put(g->origins[i].live);
	if (g->trust)
		rf_trust_put(g->trust);
	if (g->keypair)
		rf_keypair_put(g->keypair);
	free(g->origins);
	free(g->text);
	free(g);
}

static bool held(const struct rf_origin *o, uint64_t now)
{
	return atomic_load_explicit(&o->live->held_until, memory_order_relaxed) > now;
}

/* The endpoints that are candidates: the good ones of the lowest backup number, or those that are held. */
static uint64_t candidates(const struct rf_origin_group *g, uint64_t now, uint64_t tried, bool of_held)
{
	uint64_t set = 0;
	unsigned least = 0;
	for (size_t i = 0; i < g->spec.count; i++) {
		const struct rf_origin *o = &g->origins[i];
		unsigned tier = of_held ? 0 : o->spec.backup;
		if (!o->spec.weight || tried >> i & 1 || atomic_load_explicit(&o->live->down, memory_order_relaxed) || held(o, now) != of_held)
			continue;
		if (!set || tier < least) {
			least = tier;
			set = 0;
		}
		if (tier == least)
			set |= 1ull << i;
	}
	return set;
}

static size_t by_turn(struct rf_origin_group *g, uint64_t set)
{
	unsigned total = 0;
	for (size_t i = 0; i < g->spec.count; i++)
		total += set >> i & 1 ? g->origins[i].spec.weight : 0;
	unsigned at = atomic_fetch_add_explicit(&g->turn, 1, memory_order_relaxed) % total;
	for (size_t i = 0;; i++) {
		unsigned w = set >> i & 1 ? g->origins[i].spec.weight : 0;
		if (at < w)
			return i;
		at -= w;
	}
}

static size_t by_load(struct rf_origin_group *g, uint64_t set)
{
	size_t best = 0;
	double least = INFINITY;
	unsigned start = atomic_fetch_add_explicit(&g->turn, 1, memory_order_relaxed);
	for (size_t k = 0; k < g->spec.count; k++) {
		size_t i = (start + k) % g->spec.count; /* equals take turns */
		if (!(set >> i & 1))
			continue;
		uint32_t load = atomic_load_explicit(&g->origins[i].live->load, memory_order_relaxed);
		double cost = (load + 1.0) / g->origins[i].spec.weight;
		if (cost < least) {
			least = cost;
			best = i;
		}
	}
	return best;
}

static size_t by_key(const struct rf_origin_group *g, uint64_t set, uint64_t key)
{
	size_t best = 0;
	double most = -1;
	for (size_t i = 0; i < g->spec.count; i++) {
		if (!(set >> i & 1))
			continue;
		uint64_t in[2] = { key, i };
		double u = ((double)(rf_hash((struct rf_str){ (const char *)in, sizeof in }) >> 11) + 1) / 0x1p53;
		double score = g->origins[i].spec.weight / -log(u < 1 ? u : 0x1.fffffep-1);
		if (score > most) {
			most = score;
			best = i;
		}
	}
	return best;
}

const struct rf_origin *rf_origin_choose(struct rf_origin_group *g, uint64_t key, uint64_t now, uint64_t tried)
{
	uint64_t set = candidates(g, now, tried, false);
	if (!set)
		set = candidates(g, now, tried, true);
	if (!set)
		return NULL;
	if (!(set & (set - 1)))
		return &g->origins[__builtin_ctzll(set)];
	switch (g->spec.balance) {
	case RF_BALANCE_LEAST_CONN:
		return &g->origins[by_load(g, set)];
	case RF_BALANCE_DEVICE:
		return &g->origins[by_key(g, set, key)];
	default:
		return &g->origins[by_turn(g, set)];
	}
}

bool rf_origin_report(const struct rf_origin *o, bool ok, uint64_t now)
{
	struct rf_origin_live *l = o->live;
	atomic_fetch_add_explicit(&l->requests_total, 1, memory_order_relaxed);
	if (ok) {
		if (atomic_load_explicit(&l->fails, memory_order_relaxed)) {
			atomic_store(&l->fails, 0);
			atomic_store(&l->held_until, 0);
		}
		return false;
	}
	atomic_fetch_add_explicit(&l->failures_total, 1, memory_order_relaxed);
	unsigned bound = o->group->spec.passive_fails;
	if (!bound || atomic_fetch_add(&l->fails, 1) + 1 < bound)
		return false;
	bool fresh = !held(o, now);
	atomic_store(&l->held_until, now + o->group->spec.passive_hold_ns);
	return fresh;
}

bool rf_origin_checked(const struct rf_origin *o, bool ok)
{
	struct rf_origin_live *l = o->live;
	if (ok != atomic_load(&l->down)) { /* it agrees with what is known */
		atomic_store(&l->streak, 0);
		return false;
	}
	unsigned need = ok ? o->group->spec.health.rise : o->group->spec.health.fall;
	if (atomic_fetch_add(&l->streak, 1) + 1 < need)
		return false;
	atomic_store(&l->streak, 0);
	atomic_store(&l->down, !ok);
	return true;
}
