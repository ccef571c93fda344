/* net/rate: token buckets, and a set-associative table of them.
 *
 * rf_rate_take: key -> set of WAYS places by keyed hash -> the place that holds it, or a free one,
 * or the one with most credit -> rf_bucket_take.
 *
 * Invariants: 0 <= credit <= cap. A place with key_n == 0 is free. Credit only comes from time
 * or, for a place never used before, from being full.
 *
 * Not here: limits of things held at the same time (net/tally).
 */
#include "net/rate.h"
#include <stdlib.h>
#include "base/err.h"
#include "base/hash.h"

enum { WAYS = 8, KEY_MAX = 23 };

struct rf_rate_entry {
	uint8_t key_n;
	uint8_t key[KEY_MAX];
	struct rf_bucket bucket;
};

int rf_rate_make(uint64_t count, uint64_t period_ns, uint64_t burst, struct rf_rate *ret)
{
	if (!count || !period_ns || !burst || burst > INT64_MAX / period_ns)
		return RF_E_RANGE;
	*ret = (struct rf_rate){ count, period_ns, burst * period_ns };
	return RF_OK;
}

void rf_bucket_fill(struct rf_bucket *b, const struct rf_rate *rate, uint64_t now)
{
	*b = (struct rf_bucket){ now, rate->cap };
}

static void earn(struct rf_bucket *b, const struct rf_rate *rate, uint64_t now)
{
	if (now <= b->at)
		return;
	uint64_t elapsed = now - b->at, missing = rate->cap - b->credit;
	b->credit = elapsed > missing / rate->count ? rate->cap : b->credit + elapsed * rate->count;
	b->at = now;
}

int rf_bucket_take(struct rf_bucket *b, const struct rf_rate *rate, uint64_t now, uint64_t tokens,
		   uint64_t *ret_wait)
{
	earn(b, rate, now);
	if (tokens <= b->credit / rate->period_ns) {
		b->credit -= tokens * rate->period_ns;
		return RF_OK;
	}
	if (ret_wait && tokens > rate->cap / rate->period_ns)
		*ret_wait = UINT64_MAX;
	else if (ret_wait)
		*ret_wait = (tokens * rate->period_ns - b->credit + rate->count - 1) / rate->count;
	return RF_E_RATE;
}

int rf_rate_table_init(struct rf_rate_table *t, const struct rf_rate *rate, uint32_t capacity)
{
	uint64_t sets = 1;
	while (sets * WAYS < capacity)
		sets *= 2;
	struct rf_rate_entry *entries = calloc(sets * WAYS, sizeof *entries);
	if (!entries)
		return RF_E_NOMEM;
	*t = (struct rf_rate_table){ .rate = *rate, .entries = entries, .mask = sets - 1 };
	return RF_OK;
}

void rf_rate_table_fini(struct rf_rate_table *t)
{
	free(t->entries);
	*t = (struct rf_rate_table){ 0 };
}

/* The place of `key`: its own, a free one, or the one with most credit, which keeps its credit. */
static struct rf_rate_entry *place(struct rf_rate_table *t, struct rf_str key, uint64_t now)
{
	struct rf_rate_entry *set = t->entries + (rf_hash(key) & t->mask) * WAYS, *best = NULL;
	for (int i = 0; i < WAYS; i++)
		if (set[i].key_n == key.n && memcmp(set[i].key, key.p, key.n) == 0)
			return &set[i];
	for (int i = 0; i < WAYS; i++) {
		if (!set[i].key_n)
			rf_bucket_fill(&set[i].bucket, &t->rate, now);
		else
			earn(&set[i].bucket, &t->rate, now);
		if (!best || set[i].bucket.credit > best->bucket.credit)
			best = &set[i];
	}
	if (best->bucket.credit < t->rate.cap)
		t->crowded++;
	best->key_n = (uint8_t)key.n;
	memcpy(best->key, key.p, key.n);
	return best;
}

int rf_rate_take(struct rf_rate_table *t, struct rf_str key, uint64_t now, uint64_t tokens, uint64_t *ret_wait)
{
	uint64_t hash;
	if (key.n > KEY_MAX || !key.n) {
		hash = rf_hash(key);
		key = (struct rf_str){ (const char *)&hash, sizeof hash };
	}
	int r = rf_bucket_take(&place(t, key, now)->bucket, &t->rate, now, tokens, ret_wait);
	t->refused += r != RF_OK;
	return r;
}
