/* policy/index: the segments of a ruleset. Private to policy.
 *
 * A ruleset's index is a few segments: a large frozen one, perhaps some that were merged since, and a fresh one that is
 * made anew with each rule that comes. A rule that goes is marked dead in its segment. Segments are merged by a thread of
 * its own (rf_index_merge), and the result is adopted by whatever the ruleset has become in the meantime.
 *
 * Immutable, shared by reference count. Invariant: each enabled rule of the ruleset is alive in exactly one segment.
 */
#pragma once
#include "policy/segment.h"

enum {
	INDEX_SEGMENTS = 8,
	INDEX_FRESH = 64,   /* rules of the segment that is made anew with each rule */
};

struct dead {           /* ranks that are gone */
	_Atomic unsigned refs;
	uint32_t count;
	uint64_t bits[];
};

struct rf_index {
	_Atomic unsigned refs;
	unsigned n;
	struct { struct segment *s; struct dead *dead; } v[INDEX_SEGMENTS]; /* dead NULL: none */
};

/* Of all rules, by rank. RF_E_NOMEM. */
int index_make(const struct rf_rule_link *rules, uint32_t count, bool frozen, struct rf_index **ret);
/* Of all rules, each at a place of its own and in order, using the segments of `old` again where most of their rules are still there. */
int index_remake(const struct rf_index *old, const struct rf_rule_link *rules, uint32_t count, struct rf_index **ret);
/* Without a rule (zeroed: none) and with another (zeroed: none). */
int index_with(const struct rf_index *old, struct rf_rule_link out, struct rf_rule_link in, struct rf_index **ret);
/* With the merged segment in the place of those it is made of. RF_E_STALE where one of them is no longer there. */
int index_adopt(const struct rf_index *now, const struct rf_index_job *j, struct rf_index **ret);
struct rf_index *index_get(struct rf_index *x);
void index_put(struct rf_index *x);
size_t index_bytes(const struct rf_index *x);

static inline bool index_dead(const struct rf_index *x, unsigned i, uint32_t rank)
{
	return x->v[i].dead && x->v[i].dead->bits[rank / 64] >> rank % 64 & 1;
}
