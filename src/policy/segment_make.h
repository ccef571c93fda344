/* policy/segment_make: a segment while it is made. Private to segment_make and segment_keys. */
#pragma once
#include "policy/access.h"
#include "policy/code.h"
#include "policy/seed.h"
#include "policy/segment.h"

enum {
	KEY_ALL = ACCESS_GATE + 1, KEY_NAME, /* kinds of keys beside those of accesses */
};

struct key {
	uint64_t hash;
	struct rf_str bytes;       /* of a string or number, literal or pattern; else empty */
	struct rf_prefix prefix;
	const struct regex *pattern; /* whose text is in `bytes` */
	const struct rf_expr *x;
	const struct pnode *test;
	uint32_t probe;
	uint32_t count, post;      /* ranks; then where they stand */
	uint8_t kind;              /* enum access_kind, KEY_ALL: of a probe, KEY_NAME: a map's key that leads to probes */
};

struct pair {
	uint32_t key, rank;
};

/* By what a rule is reached; `a.test` and `a.term` NULL where nothing leads to it. */
struct way {
	struct access a;
	uint32_t rank, probe;
};

/* Seeds of one field, that follow each other: from this rank on. */
struct sown {
	uint32_t rank, probe;
};

/* A segment that is being made, and what is made of its rules on the way. */
struct making {
	struct segment *s;
	bool frozen;
	bool poorer;               /* a frozen one would have another form */
	struct code_maker code;
	struct rf_arena arena;     /* of plans */
	struct way *way;           /* of all rules, in turn */
	size_t ways, way_cap;
	bool *decided;             /* by rank: what leads to a rule says that it holds */
	struct sown *sown;         /* of all seeds, in turn */
	size_t sowns, sown_cap;
	uint32_t seeds;
	struct key *key;
	size_t keys, key_cap;
	uint32_t *slot;
	size_t mask;
	struct pair *pair;
	size_t pairs, pair_cap;
	size_t posts;              /* of postings, in numbers */
	struct pair *more;         /* seeds of an exact key that was there: its number in the segment */
	size_t mores, more_cap;
	size_t probe_cap;
	uint32_t *probe_slot;
	size_t probe_mask;
	size_t gate_cap;
	bool failed;
};

/* The condition of a rule that is no seed. */
static inline const struct rf_expr *cond_at(const struct making *m, uint32_t rank)
{
	return ((const struct rf_rule *)m->s->rule[rank].to)->cond;
}

/* Room for one more in an array of `count`; false, and `failed`, without memory. */
bool making_grow(struct making *m, void *array, size_t *cap, size_t count, size_t size);
/* Of the rules that it has: their ways, the segment's probes, keys and pairs; of seeds, only the probes. RF_E_NOMEM. */
int segment_keys(struct making *m);
