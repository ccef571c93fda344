/* policy/keyset: extendible hashing. A directory of 2^depth pointers, by the first bits of a key's hash, to shards; a shard is
 * an open hash table of at most SHARD_MAX slots.
 *
 * The way of a key: its hash chooses the shard -> the first free slot from its place on takes it, the state word last
 * -> a shard that is three quarters full is made anew, twice as large, or as two -> the directory points to those ->
 * the old one goes after a grace period.
 *
 * Invariants: a slot is written once (free, key, gone) and never taken again, so that a reader who has seen the state word
 * sees the whole key; every shard has a free slot, which ends each search; one thread changes.
 */
#include "policy/keyset.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <urcu-qsbr.h>
#include "base/err.h"
#include "base/list.h"

enum { SHARD_MIN = 16, SHARD_MAX = 1024, DEPTH_MAX = 24 };
enum { FREE = 0, GONE = 1 };

struct shard {
	struct rcu_head rcu;
	uint32_t cap, live, gone; /* slots, a power of two; those with a key; those that had one */
	unsigned depth;           /* bits of the hash that all its keys share */
	_Atomic uint64_t word[];
};

struct dir {
	struct rcu_head rcu;
	unsigned depth;
	_Atomic(struct shard *) at[];
};

struct keyset {
	_Atomic(struct dir *) dir;
	size_t count, bytes;
	unsigned words;
	bool shared;
};

static size_t shard_size(const struct keyset *t, uint32_t cap)
{
	return sizeof(struct shard) + (size_t)cap * t->words * sizeof(uint64_t);
}

static size_t dir_size(unsigned depth)
{
	return sizeof(struct dir) + (sizeof(struct shard *) << depth);
}

static uint64_t mix(uint64_t v)
{
	v = (v ^ v >> 33) * 0xff51afd7ed558ccdu;
	v = (v ^ v >> 29) * 0xc4ceb9fe1a85ec53u;
	return v ^ v >> 32;
}

static inline uint64_t hash(const struct keyset *t, const uint64_t *key)
{
	uint64_t h = mix(key[0]);
	for (unsigned i = 1; i < t->words; i++)
		h = mix(h ^ key[i]);
	return h;
}

static inline struct shard *shard_of(struct dir *d, uint64_t h)
{
	return atomic_load_explicit(&d->at[d->depth ? h >> (64 - d->depth) : 0], memory_order_acquire);
}

/* The slot of the key, or -1. */
static inline long find(const struct keyset *t, struct shard *s, uint64_t h, const uint64_t *key)
{
	unsigned last = t->words - 1;
	for (uint32_t i = (uint32_t)h & (s->cap - 1);; i = (i + 1) & (s->cap - 1)) {
		_Atomic uint64_t *slot = &s->word[(size_t)i * t->words];
		uint64_t state = atomic_load_explicit(&slot[last], memory_order_acquire);
		if (state == FREE)
			return -1;
		unsigned same = state == key[last];
		for (unsigned w = 0; w < last && same; w++)
			same = atomic_load_explicit(&slot[w], memory_order_relaxed) == key[w];
		if (same)
			return (long)i;
	}
}

bool keyset_has(const struct keyset *t, const uint64_t *key)
{
	uint64_t h = hash(t, key);
	struct dir *d = atomic_load_explicit(&t->dir, memory_order_acquire);
	return find(t, shard_of(d, h), h, key) >= 0;
}

size_t keyset_count(const struct keyset *t) { return t->count; }
size_t keyset_bytes(const struct keyset *t) { return sizeof *t + t->bytes; }

/* --- changing --- */

static void free_shard(struct rcu_head *head) { free(RF_CONTAINER(head, struct shard, rcu)); }
static void free_dir(struct rcu_head *head) { free(RF_CONTAINER(head, struct dir, rcu)); }

static void retire_shard(struct keyset *t, struct shard *s)
{
	t->bytes -= shard_size(t, s->cap);
	if (t->shared)
		call_rcu(&s->rcu, free_shard);
	else
		free(s);
}

static struct shard *shard_new(struct keyset *t, uint32_t cap, unsigned depth)
{
	struct shard *s = calloc(1, shard_size(t, cap));
	if (!s)
		return NULL;
	s->cap = cap;
	s->depth = depth;
	t->bytes += shard_size(t, cap);
	return s;
}

static void put(const struct keyset *t, struct shard *s, uint64_t h, const uint64_t *key)
{
	unsigned last = t->words - 1;
	uint32_t i = (uint32_t)h & (s->cap - 1);
	while (atomic_load_explicit(&s->word[(size_t)i * t->words + last], memory_order_relaxed) != FREE)
		i = (i + 1) & (s->cap - 1);
	_Atomic uint64_t *slot = &s->word[(size_t)i * t->words];
	for (unsigned w = 0; w < last; w++)
		atomic_store_explicit(&slot[w], key[w], memory_order_relaxed);
	atomic_store_explicit(&slot[last], key[last], memory_order_release);
	s->live++;
}

/* The key of a slot; false where it has none. */
static bool key_at(const struct keyset *t, const struct shard *s, uint32_t i, uint64_t key[KEYSET_WORDS])
{
	for (unsigned w = 0; w < t->words; w++)
		key[w] = atomic_load_explicit(&s->word[(size_t)i * t->words + w], memory_order_relaxed);
	return key[t->words - 1] >= KEYSET_MIN;
}

/* Let the directory point to `to` wherever the keys of a shard with these first bits would be looked for. */
static void point(struct dir *d, uint64_t h, struct shard *to)
{
	size_t span = (size_t)1 << (d->depth - to->depth);
	size_t from = to->depth ? (size_t)(h >> (64 - to->depth)) * span : 0;
	for (size_t i = 0; i < span; i++)
		atomic_store_explicit(&d->at[from + i], to, memory_order_release);
}

/* The shard anew with `cap` slots. */
static int remake(struct keyset *t, struct dir *d, struct shard *s, uint64_t h, uint32_t cap)
{
	uint64_t key[KEYSET_WORDS];
	struct shard *to = shard_new(t, cap, s->depth);
	if (!to)
		return RF_E_NOMEM;
	for (uint32_t i = 0; i < s->cap; i++)
		if (key_at(t, s, i, key))
			put(t, to, hash(t, key), key);
	point(d, h, to);
	retire_shard(t, s);
	return RF_OK;
}

/* A directory of twice the size with the same shards. */
static struct dir *double_dir(struct keyset *t, struct dir *d)
{
	struct dir *to = d->depth < DEPTH_MAX ? malloc(dir_size(d->depth + 1)) : NULL;
	if (!to)
		return NULL;
	to->depth = d->depth + 1;
	for (size_t i = 0; i < (size_t)1 << to->depth; i++)
		atomic_init(&to->at[i], atomic_load_explicit(&d->at[i >> 1], memory_order_relaxed));
	atomic_store_explicit(&t->dir, to, memory_order_release);
	t->bytes += dir_size(to->depth) - dir_size(d->depth);
	if (t->shared)
		call_rcu(&d->rcu, free_dir);
	else
		free(d);
	return to;
}

/* A full shard of the largest size becomes two, by the next bit of the hash. */
static int split(struct keyset *t, struct dir *d, struct shard *s, uint64_t h)
{
	uint64_t key[KEYSET_WORDS];
	unsigned depth = s->depth + 1;
	if (s->depth == d->depth && !(d = double_dir(t, d)))
		return RF_E_NOMEM;
	struct shard *half[2] = { shard_new(t, SHARD_MAX, depth), shard_new(t, SHARD_MAX, depth) };
	if (!half[0] || !half[1]) {
		for (int i = 0; i < 2; i++)
			if (half[i]) {
				t->bytes -= shard_size(t, SHARD_MAX);
				free(half[i]);
			}
		return RF_E_NOMEM;
	}
	for (uint32_t i = 0; i < s->cap; i++)
		if (key_at(t, s, i, key)) {
			uint64_t of = hash(t, key);
			put(t, half[of >> (64 - depth) & 1], of, key);
		}
	uint64_t bit = (uint64_t)1 << (64 - depth);
	point(d, h & ~bit, half[0]);
	point(d, h | bit, half[1]);
	retire_shard(t, s);
	return RF_OK;
}

static bool full(const struct shard *s)
{
	return (s->live + s->gone + 1) * 4 > s->cap * 3;
}

static int make_room(struct keyset *t, uint64_t h)
{
	struct dir *d = atomic_load_explicit(&t->dir, memory_order_relaxed);
	struct shard *s = shard_of(d, h);
	if (!full(s))
		return RF_OK;
	if (s->live * 2 < s->cap)
		return remake(t, d, s, h, s->cap);
	if (s->cap < SHARD_MAX)
		return remake(t, d, s, h, s->cap * 2);
	return split(t, d, s, h);
}

int keyset_add(struct keyset *t, const uint64_t *key)
{
	uint64_t h = hash(t, key);
	struct dir *d = atomic_load_explicit(&t->dir, memory_order_relaxed);
	if (find(t, shard_of(d, h), h, key) >= 0)
		return RF_E_EXISTS;
	/* A split may leave all keys in one half: each takes one bit more, of which there are DEPTH_MAX. */
	while (full(shard_of(atomic_load_explicit(&t->dir, memory_order_relaxed), h)))
		if (make_room(t, h) != RF_OK)
			return RF_E_NOMEM;
	put(t, shard_of(atomic_load_explicit(&t->dir, memory_order_relaxed), h), h, key);
	t->count++;
	return RF_OK;
}

/* What many deletions have emptied gives its memory back; where there is none for the smaller one, later. */
static void shrink(struct keyset *t, struct dir *d, struct shard *s, uint64_t h)
{
	uint32_t cap = SHARD_MIN;
	while (cap < s->live * 2 + 1)
		cap *= 2;
	if (s->gone > s->cap / 2 || (s->gone > s->cap / 4 && cap < s->cap))
		remake(t, d, s, h, cap);
}

bool keyset_del(struct keyset *t, const uint64_t *key)
{
	uint64_t h = hash(t, key);
	struct dir *d = atomic_load_explicit(&t->dir, memory_order_relaxed);
	struct shard *s = shard_of(d, h);
	long at = find(t, s, h, key);
	if (at < 0)
		return false;
	atomic_store_explicit(&s->word[(size_t)at * t->words + t->words - 1], GONE, memory_order_release);
	s->live--;
	s->gone++;
	t->count--;
	shrink(t, d, s, h);
	return true;
}

void keyset_share(struct keyset *t) { t->shared = true; }

struct keyset *keyset_new(unsigned words)
{
	struct keyset *t = calloc(1, sizeof *t);
	struct dir *d = malloc(dir_size(0));
	struct shard *s = NULL;
	if (t) {
		t->words = words;
		s = shard_new(t, SHARD_MIN, 0);
	}
	if (!t || !d || !s) {
		free(t);
		free(d);
		free(s);
		return NULL;
	}
	d->depth = 0;
	atomic_init(&d->at[0], s);
	atomic_init(&t->dir, d);
	t->bytes += dir_size(0);
	return t;
}

/* Each shard once: the directory has it 2^(depth - its own) times in a row. */
static size_t next_shard(const struct dir *d, size_t i)
{
	return i + ((size_t)1 << (d->depth - atomic_load_explicit(&d->at[i], memory_order_relaxed)->depth));
}

void keyset_each(const struct keyset *t, void (*each)(const uint64_t *key, void *arg), void *arg)
{
	struct dir *d = atomic_load_explicit(&t->dir, memory_order_relaxed);
	uint64_t key[KEYSET_WORDS];
	for (size_t i = 0; i < (size_t)1 << d->depth; i = next_shard(d, i)) {
		struct shard *s = atomic_load_explicit(&d->at[i], memory_order_relaxed);
		for (uint32_t k = 0; k < s->cap; k++)
			if (key_at(t, s, k, key))
				each(key, arg);
	}
}

void keyset_free(struct keyset *t)
{
	if (!t)
		return;
	struct dir *d = atomic_load_explicit(&t->dir, memory_order_relaxed);
	for (size_t i = 0, next; i < (size_t)1 << d->depth; i = next) {
		next = next_shard(d, i);
		free(atomic_load_explicit(&d->at[i], memory_order_relaxed));
	}
	free(d);
	free(t);
}
