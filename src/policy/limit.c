/* policy/limit: counters by key in a set-associative table, each set under the lock of its shard.
 *
 * rf_limit_take: key -> shard -> lock -> set of WAYS places -> its own place, or one that makes room -> old steps
 * forgotten -> held, over or counted.
 *
 * What makes room is a place that counts nothing any more; else the one that is farthest from its limit; a key
 * that is held goes last. A flood of new keys therefore pushes out one another, and a key that is near its limit
 * only after as many hits as it has.
 *
 * Invariants: a place with `ends` 0 is free. step[] holds the counts of the STEPS steps that end with number `newest`.
 */
#include "policy/limit.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { WAYS = 8, SHARDS = 64, PARTS = 8, STEPS = PARTS + 1 };

struct place {
	struct rf_limit_key key;
	uint64_t newest;      /* number of the newest step */
	uint64_t held;        /* until then all are refused; 0: not held */
	uint64_t ends;        /* from then on it counts nothing */
	uint32_t step[STEPS]; /* [number % STEPS] */
	uint32_t most;
};

struct shard {
	_Alignas(64) pthread_mutex_t lock; /* guards its sets */
	struct place *places;
};

struct rf_limits {
	size_t sets; /* of a shard, a power of two */
	struct place *all;
	struct shard shards[SHARDS];
};

struct rf_limits *rf_limits_new(size_t counters)
{
	struct rf_limits *t = aligned_alloc(64, (sizeof *t + 63) / 64 * 64);
	if (!t)
		return NULL;
	for (t->sets = 1; t->sets * 2 * WAYS * SHARDS <= counters;)
		t->sets *= 2;
	t->all = calloc(t->sets * SHARDS * WAYS, sizeof *t->all);
	if (!t->all) {
		free(t);
		return NULL;
	}
	for (size_t i = 0; i < SHARDS; i++) {
		pthread_mutex_init(&t->shards[i].lock, NULL);
		t->shards[i].places = t->all + i * t->sets * WAYS;
	}
	return t;
}

void rf_limits_free(struct rf_limits *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < SHARDS; i++)
		pthread_mutex_destroy(&t->shards[i].lock);
	free(t->all);
	free(t);
}

static uint64_t step_ns(const struct rf_limit_rate *r)
{
	return r->period_ns / PARTS;
}

static uint64_t sum(const struct place *p)
{
	uint64_t n = 0;
	for (int i = 0; i < STEPS; i++)
		n += p->step[i];
	return n;
}

/* How hard it is to do without: held ones most, else by the share of their limit. */
static uint64_t heat(const struct place *p, uint64_t now)
{
	if (p->ends <= now)
		return 0;
	return p->held > now ? UINT64_MAX / 2 + (p->held - now) / 2 : (sum(p) << 20) / (p->most ? p->most : 1) + 1;
}

static struct shard *shard_of(struct rf_limits *t, const struct rf_limit_key *k)
{
	return &t->shards[k->b % SHARDS];
}

static struct place *set_of(struct rf_limits *t, const struct rf_limit_key *k)
{
	return shard_of(t, k)->places + (k->a & (t->sets - 1)) * WAYS;
}

static struct place *find(struct rf_limits *t, const struct rf_limit_key *k)
{
	struct place *set = set_of(t, k);
	for (int i = 0; i < WAYS; i++)
		if (set[i].ends && set[i].key.a == k->a && set[i].key.b == k->b)
			return &set[i];
	return NULL;
}

static struct place *make(struct rf_limits *t, const struct rf_limit_key *k, uint64_t now, bool *ret_evicted)
{
	struct place *set = set_of(t, k), *best = NULL;
	uint64_t least = UINT64_MAX;
	for (int i = 0; i < WAYS; i++) {
		uint64_t h = heat(&set[i], now);
		if (h < least) {
			least = h;
			best = &set[i];
		}
	}
	*ret_evicted = least > 0;
	*best = (struct place){ .key = *k };
	return best;
}

/* Forget steps that are over; after having been held, all. */
static void roll(struct place *p, const struct rf_limit_rate *r, uint64_t now)
{
	uint64_t at = now / step_ns(r);
	if (p->held && p->held <= now) {
		memset(p->step, 0, sizeof p->step);
		p->held = 0;
	}
	if (at > p->newest && at - p->newest >= STEPS)
		memset(p->step, 0, sizeof p->step);
	else
		while (p->newest < at)
			p->step[++p->newest % STEPS] = 0;
	if (at > p->newest)
		p->newest = at;
}

static void count(struct place *p, const struct rf_limit_rate *r, uint64_t now, uint32_t cost)
{
	uint32_t *n = &p->step[p->newest % STEPS];
	*n = cost > UINT32_MAX - *n ? UINT32_MAX : *n + cost;
	p->most = r->most;
	if (p->ends < now + r->period_ns + step_ns(r))
		p->ends = now + r->period_ns + step_ns(r);
}

/* Until enough steps are over that one more fits. */
static uint64_t until_room(const struct place *p, const struct rf_limit_rate *r, uint64_t now)
{
	uint64_t n = sum(p), k = 0;
	while (k < STEPS && n >= r->most)
		n -= p->step[(p->newest + 1 + k++) % STEPS];
	uint64_t at = (p->newest + k) * step_ns(r);
	return at > now ? at - now : 1;
}

static void tell(const struct place *p, const struct rf_limit_rate *r, uint64_t now, struct rf_limit_state *ret)
{
	ret->count = sum(p);
	ret->over = p->held > now || ret->count >= r->most;
	ret->wait_ns = !ret->over ? 0 : p->held > now ? p->held - now : r->hold_ns ? r->hold_ns : until_room(p, r, now);
}

void rf_limit_take(struct rf_limits *t, const struct rf_limit_key *k, const struct rf_limit_rate *r, uint64_t now, uint32_t cost,
	struct rf_limit_state *ret)
{
	struct shard *s = shard_of(t, k);
	*ret = (struct rf_limit_state){ 0 };
	pthread_mutex_lock(&s->lock);
	struct place *p = find(t, k);
	if (!p && cost)
		p = make(t, k, now, &ret->evicted);
	if (p) {
		roll(p, r, now);
		tell(p, r, now, ret);
		if (!ret->over && cost) {
			count(p, r, now, cost);
			ret->count += cost;
		} else if (ret->over && !p->held && r->hold_ns) {
			p->held = now + r->hold_ns;
			p->ends = p->held > p->ends ? p->held : p->ends;
		}
	}
	pthread_mutex_unlock(&s->lock);
}

void rf_limit_add(struct rf_limits *t, const struct rf_limit_key *k, const struct rf_limit_rate *r, uint64_t now, uint32_t cost,
	struct rf_limit_state *ret)
{
	struct shard *s = shard_of(t, k);
	*ret = (struct rf_limit_state){ 0 };
	pthread_mutex_lock(&s->lock);
	struct place *p = find(t, k);
	if (!p && cost)
		p = make(t, k, now, &ret->evicted);
	if (p) {
		roll(p, r, now);
		if (!p->held)
			count(p, r, now, cost);
		tell(p, r, now, ret);
	}
	pthread_mutex_unlock(&s->lock);
}

void rf_limit_look(struct rf_limits *t, const struct rf_limit_key *k, const struct rf_limit_rate *r, uint64_t now,
	struct rf_limit_state *ret)
{
	struct shard *s = shard_of(t, k);
	*ret = (struct rf_limit_state){ 0 };
	pthread_mutex_lock(&s->lock);
	const struct place *there = find(t, k);
	if (there) {
		struct place p = *there;
		roll(&p, r, now);
		tell(&p, r, now, ret);
	}
	pthread_mutex_unlock(&s->lock);
}
