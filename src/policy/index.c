/* policy/index: see index.h.
 *
 *	a rule comes -> fresh segment made anew with it | the fresh one is full: another | no place: quick ones become one
 *	a rule goes  -> fresh segment made anew without it | its bit in a copy of the dead of its segment
 *	merge        -> segments that are quick, small or half dead -> a frozen one -> adopted, with what died meanwhile
 */
#include "policy/index.h"
#include <stdatomic.h>
#include <stdlib.h>
#include "base/way.h"
#include "policy/seed.h"

enum { MERGE_RATIO = 4 }; /* a frozen segment is merged with others that have a fourth of its rules, or more */

struct rf_index *index_get(struct rf_index *x)
{
	atomic_fetch_add_explicit(&x->refs, 1, memory_order_relaxed);
	return x;
}

static struct dead *dead_get(struct dead *d)
{
	if (d)
		atomic_fetch_add_explicit(&d->refs, 1, memory_order_relaxed);
	return d;
}

static void dead_put(struct dead *d)
{
	if (d && atomic_fetch_sub_explicit(&d->refs, 1, memory_order_acq_rel) == 1)
		free(d);
}

static void drop(struct rf_index *x, unsigned i)
{
	segment_put(x->v[i].s);
	dead_put(x->v[i].dead);
	x->v[i] = x->v[--x->n];
}

void index_put(struct rf_index *x)
{
	if (!x || atomic_fetch_sub_explicit(&x->refs, 1, memory_order_acq_rel) != 1)
		return;
	while (x->n)
		drop(x, x->n - 1);
	free(x);
}

size_t index_bytes(const struct rf_index *x)
{
	size_t n = 0;
	for (unsigned i = 0; i < x->n; i++)
		n += x->v[i].s->size;
	return n;
}

static struct rf_index *copy_of(const struct rf_index *old)
{
	struct rf_index *x = calloc(1, sizeof *x);
	if (!x)
		return NULL;
	atomic_init(&x->refs, 1);
	for (; old && x->n < old->n; x->n++) {
		x->v[x->n].s = segment_get(old->v[x->n].s);
		x->v[x->n].dead = dead_get(old->v[x->n].dead);
	}
	return x;
}

/* A segment that holds all rules, and that merging would not change, need not be merged. */
static void settle(struct rf_index *x)
{
	struct segment *s = x->v[0].s;
	if (x->n == 1 && s->settled && s->count >= INDEX_FRESH)
		s->frozen = true;
}

int index_make(const struct rf_rule_link *rules, uint32_t count, bool frozen, struct rf_index **ret)
{
	struct rf_index *x = copy_of(NULL);
	int rc = x ? segment_make(rules, count, frozen, &x->v[0].s) : RF_E_NOMEM;
	if (rc != RF_OK) {
		free(x);
		return rc;
	}
	x->n = 1;
	settle(x);
	*ret = x;
	return RF_OK;
}

static bool before(struct rf_rule_link a, struct rf_rule_link b)
{
	return link_compare(a, b) < 0;
}

/* Where a rule is, or where it would be. */
static uint32_t rank_of(const struct segment *s, struct rf_rule_link r)
{
	uint32_t lo = 0, hi = s->count;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (before(s->rule[mid], r))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool holds(const struct segment *s, struct rf_rule_link r, uint32_t *ret)
{
	for (uint32_t at = rank_of(s, r); at < s->count && !before(r, s->rule[at]); at++)
		if (link_same(s->rule[at], r)) {
			*ret = at;
			return true;
		}
	return false;
}

static int bury(struct rf_index *x, unsigned i, uint32_t rank)
{
	const struct dead *was = x->v[i].dead;
	size_t words = x->v[i].s->count / 64 + 1;
	struct dead *d = calloc(1, sizeof *d + words * sizeof *d->bits);
	if (!d)
		return RF_E_NOMEM;
	atomic_init(&d->refs, 1);
	if (was) {
		d->count = was->count;
		memcpy(d->bits, was->bits, words * sizeof *d->bits);
	}
	d->bits[rank / 64] |= 1ull << rank % 64;
	d->count++;
	dead_put(x->v[i].dead);
	x->v[i].dead = d;
	return RF_OK;
}

/* The living rules of the segments that `which` names, in order, and perhaps one more; the array is the caller's. */
static struct rf_rule_link *living(const struct rf_index *x, unsigned which, struct rf_rule_link more, uint32_t *ret_count)
{
	size_t total = 1;
	uint32_t at[INDEX_SEGMENTS] = { 0 }, n = 0;
	for (unsigned i = 0; i < x->n; i++)
		total += which >> i & 1 ? x->v[i].s->count : 0;
	struct rf_rule_link *v = malloc(total * sizeof *v);
	while (v) {
		struct rf_rule_link best = more;
		rf_way_give();
		unsigned from = INDEX_SEGMENTS;
		for (unsigned i = 0; i < x->n; i++) {
			const struct segment *s = x->v[i].s;
			while (at[i] < s->count && index_dead(x, i, at[i]))
				at[i]++;
			if (!(which >> i & 1) || at[i] == s->count || (best.to && !before(s->rule[at[i]], best)))
				continue;
			best = s->rule[at[i]];
			from = i;
		}
		if (!best.to)
			break;
		v[n++] = best;
		if (from < INDEX_SEGMENTS)
			at[from]++;
		else
			more.to = 0;
	}
	*ret_count = n;
	return v;
}

/* Put one segment in the place of those that `which` names, with `more`. */
static int gather(struct rf_index *x, unsigned which, struct rf_rule_link more)
{
	uint32_t count;
	struct segment *made = NULL;
	struct rf_rule_link *v = living(x, which, more, &count);
	int rc = v ? segment_make(v, count, false, &made) : RF_E_NOMEM;
	free(v);
	if (rc != RF_OK)
		return rc;
	for (unsigned i = x->n; i-- > 0;)
		if (which >> i & 1)
			drop(x, i);
	x->v[x->n].s = made;
	x->v[x->n++].dead = NULL;
	return RF_OK;
}

static bool fresh(const struct segment *s)
{
	return !s->frozen && s->count < INDEX_FRESH;
}

static unsigned fresh_of(const struct rf_index *x)
{
	for (unsigned i = 0; i < x->n; i++)
		if (fresh(x->v[i].s))
			return i;
	return INDEX_SEGMENTS;
}

static unsigned quick_of(const struct rf_index *x)
{
	unsigned which = 0;
	for (unsigned i = 0; i < x->n; i++)
		which |= (unsigned)!x->v[i].s->frozen << i;
	return which;
}

static int put_in(struct rf_index *x, struct rf_rule_link rule)
{
	unsigned fresh = fresh_of(x), quick = quick_of(x);
	if (fresh < INDEX_SEGMENTS)
		return gather(x, 1u << fresh, rule);
	if (x->n == INDEX_SEGMENTS)
		return gather(x, quick ? quick : (1u << INDEX_SEGMENTS) - 1, rule);
	return gather(x, 0, rule);
}

static int take_out(struct rf_index *x, struct rf_rule_link rule)
{
	uint32_t rank;
	for (unsigned i = 0; i < x->n; i++)
		if (holds(x->v[i].s, rule, &rank) && !index_dead(x, i, rank))
			return bury(x, i, rank);
	return RF_E_INTERNAL;
}

int index_with(const struct rf_index *old, struct rf_rule_link out, struct rf_rule_link in, struct rf_index **ret)
{
	struct rf_index *x = copy_of(old);
	int rc = x ? RF_OK : RF_E_NOMEM;
	if (rc == RF_OK && out.to && link_like(out)->enabled)
		rc = take_out(x, out);
	if (rc == RF_OK && in.to && link_like(in)->enabled)
		rc = put_in(x, in);
	if (rc == RF_OK)
		*ret = x;
	else
		index_put(x);
	return rc;
}

/* --- all rules anew --- */

/* The next rule that is wanted, of those from *at on, and not before this one; both are in order, and each place is there once. */
static bool wanted(struct rf_rule_link r, const struct rf_rule_link *rules, uint32_t count, uint32_t *at)
{
	for (; *at < count && before(rules[*at], r); ++*at)
		rf_way_give_at(*at);
	return *at < count && link_same(rules[*at], r);
}

/* Take the segment over where most of its rules are wanted; they are then no longer to be placed: zeroed in `rest`. */
static int take_over(struct rf_index *x, const struct segment *from, const struct rf_rule_link *rules, uint32_t count, struct rf_rule_link *rest)
{
	size_t words = from->count / 64 + 1;
	struct dead *d = calloc(1, sizeof *d + words * sizeof *d->bits);
	if (!d)
		return RF_E_NOMEM;
	atomic_init(&d->refs, 1);
	for (uint32_t i = 0, at = 0; i < from->count; i++) {
		rf_way_give_at(i);
		bool gone = !wanted(from->rule[i], rules, count, &at) || !rest[at].to;
		d->bits[i / 64] |= (uint64_t)gone << i % 64;
		d->count += gone;
	}
	if (d->count * 2 > from->count) {
		dead_put(d);
		return RF_OK;
	}
	for (uint32_t i = 0, at = 0; i < from->count; i++) {
		rf_way_give_at(i);
		if (wanted(from->rule[i], rules, count, &at))
			rest[at].to = 0;
	}
	x->v[x->n].s = segment_get((struct segment *)(uintptr_t)from);
	x->v[x->n++].dead = d;
	return RF_OK;
}

int index_remake(const struct rf_index *old, const struct rf_rule_link *rules, uint32_t count, struct rf_index **ret)
{
	struct rf_rule_link *rest = malloc((count + 1) * sizeof *rest);
	struct rf_index *x = copy_of(NULL);
	int rc = rest && x ? RF_OK : RF_E_NOMEM;
	for (uint32_t i = 0; rc == RF_OK && i < count; i++) {
		rf_way_give_at(i);
		rest[i] = rules[i];
	}
	for (unsigned i = 0; rc == RF_OK && i < old->n && x->n < INDEX_SEGMENTS - 1; i++)
		rc = take_over(x, old->v[i].s, rules, count, rest);
	uint32_t left = 0;
	for (uint32_t i = 0; rc == RF_OK && i < count; i++) {
		rf_way_give_at(i);
		left += rest[i].to && link_like(rest[i])->enabled;
	}
	if (rc == RF_OK && left)
		rc = segment_make(rest, count, false, &x->v[x->n].s);
	x->n += rc == RF_OK && left;
	if (rc == RF_OK && left)
		settle(x);
	rf_way_free(rest);
	if (rc == RF_OK)
		*ret = x;
	else
		index_put(x);
	return rc;
}

/* --- merging --- */

struct rf_index_job {
	struct rf_index *from;
	unsigned which;        /* segments that become one */
	struct segment *made;
};

/* Quick ones that take no more rules, half-dead ones, and frozen ones that are small beside what is merged anyhow. */
static unsigned to_merge(const struct rf_index *x)
{
	unsigned which = 0, last = 0;
	uint64_t rules = 0;
	for (unsigned i = 0; i < x->n; i++) {
		const struct segment *s = x->v[i].s;
		if (!fresh(s) && (!s->frozen || (x->v[i].dead && x->v[i].dead->count * 2 > s->count)))
			which |= 1u << i;
	}
	while (which && which != last) {
		last = which;
		rules = 0;
		for (unsigned i = 0; i < x->n; i++)
			rules += which >> i & 1 ? x->v[i].s->count : 0;
		for (unsigned i = 0; i < x->n; i++)
			if (!fresh(x->v[i].s) && x->v[i].s->count <= rules * MERGE_RATIO)
				which |= 1u << i;
	}
	return which;
}

bool rf_index_wanted(const struct rf_ruleset *s)
{
	return s->index && to_merge(s->index);
}

int rf_index_begin(const struct rf_ruleset *s, struct rf_index_job **ret)
{
	struct rf_index_job *j = calloc(1, sizeof *j);
	if (!j)
		return RF_E_NOMEM;
	j->from = index_get(s->index);
	j->which = to_merge(s->index);
	*ret = j;
	return RF_OK;
}

int rf_index_merge(struct rf_index_job *j)
{
	uint32_t count;
	struct rf_rule_link *v = living(j->from, j->which, (struct rf_rule_link){ 0 }, &count);
	int rc = v ? segment_make(v, count, true, &j->made) : RF_E_NOMEM;
	free(v);
	return rc;
}

void rf_index_end(struct rf_index_job *j)
{
	if (!j)
		return;
	index_put(j->from);
	segment_put(j->made);
	free(j);
}

static unsigned find_segment(const struct rf_index *x, const struct segment *s)
{
	unsigned i = 0;
	while (i < x->n && x->v[i].s != s)
		i++;
	return i;
}

/* What died in a segment since the merge began dies in the merged one. */
static int bury_late(struct rf_index *x, const struct rf_index *now, unsigned at, const struct rf_index *then, unsigned i)
{
	const struct segment *s = then->v[i].s;
	unsigned merged = x->n - 1;
	uint32_t rank;
	for (uint32_t k = 0; k < s->count; k++) {
		rf_way_give();
		if (!index_dead(now, at, k) || index_dead(then, i, k))
			continue;
		int rc = holds(x->v[merged].s, s->rule[k], &rank) ? bury(x, merged, rank) : RF_E_INTERNAL;
		if (rc != RF_OK)
			return rc;
	}
	return RF_OK;
}

int index_adopt(const struct rf_index *now, const struct rf_index_job *j, struct rf_index **ret)
{
	for (unsigned i = 0; i < j->from->n; i++)
		if (j->which >> i & 1 && find_segment(now, j->from->v[i].s) == now->n)
			return RF_E_STALE;
	struct rf_index *x = copy_of(now);
	if (!x)
		return RF_E_NOMEM;
	for (unsigned i = 0; i < j->from->n; i++)
		if (j->which >> i & 1)
			drop(x, find_segment(x, j->from->v[i].s));
	x->v[x->n].s = segment_get(j->made);
	x->v[x->n++].dead = NULL;
	int rc = RF_OK;
	for (unsigned i = 0; i < j->from->n && rc == RF_OK; i++)
		if (j->which >> i & 1)
			rc = bury_late(x, now, find_segment(now, j->from->v[i].s), j->from, i);
	if (rc == RF_OK)
		*ret = x;
	else
		index_put(x);
	return rc;
}
