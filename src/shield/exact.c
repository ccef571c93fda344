/* shield/exact: exact prefixes in a hash table of two choices (cuckoo hashing, buckets of RF_EXACT_WAYS).
 *
 * Where both buckets of a prefix are full, one of their entries moves to its other bucket, a chain of at most MOVES. An entry is
 * copied to its new place before it goes from the old one, and becomes visible by its tag, which is stored last: a
 * look-up that runs meanwhile finds it in either, or, where it reads the new place before and the old one after the move, in
 * neither for that one frame.
 */
#include "shield/tables.h"

enum { MOVES = 64 };

static struct rf_exact_bucket *bucket(const struct rf_tables *t, struct rf_key k, int second)
{
	return &t->buckets[rf_bucket_of(k, t->conf->secret, second)];
}

static struct rf_exact *find(const struct rf_tables *t, struct rf_key k)
{
	for (int second = 0; second < 2; second++) {
		struct rf_exact_bucket *b = bucket(t, k, second);
		for (int i = 0; i < RF_EXACT_WAYS; i++)
			if (b->e[i].tag && b->e[i].hi == k.hi && b->e[i].lo == k.lo && b->e[i].bits == k.bits)
				return &b->e[i];
	}
	return NULL;
}

static struct rf_exact *vacancy(struct rf_exact_bucket *b)
{
	for (int i = 0; i < RF_EXACT_WAYS; i++)
		if (!b->e[i].tag)
			return &b->e[i];
	return NULL;
}

static void show(struct rf_exact *e, uint16_t tag)
{
	__atomic_store_n(&e->tag, tag, __ATOMIC_RELEASE);
}

static void fill(struct rf_exact *e, struct rf_key k, uint16_t tag)
{
	e->hi = k.hi;
	e->lo = k.lo;
	e->bits = k.bits;
	show(e, tag);
}

static struct rf_key key_of(const struct rf_exact *e)
{
	return (struct rf_key){ e->hi, e->lo, e->bits };
}

static struct rf_exact_bucket *other(const struct rf_tables *t, const struct rf_exact *e, const struct rf_exact_bucket *b)
{
	struct rf_exact_bucket *first = bucket(t, key_of(e), 0);
	return first == b ? bucket(t, key_of(e), 1) : first;
}

/* A free place in bucket b, which is full: move one of its entries away, before that one of where it goes, and so on. */
static struct rf_exact *make_room(const struct rf_tables *t, struct rf_exact_bucket *b)
{
	struct rf_exact *path[MOVES], *room = NULL;
	int n = 0;
	while (n < MOVES && !room) {
		path[n] = &b->e[n % RF_EXACT_WAYS];
		b = other(t, path[n++], b);
		room = vacancy(b);
	}
	while (room && n--) {
		fill(room, key_of(path[n]), path[n]->tag);
		show(path[n], 0);
		room = path[n];
	}
	return room;
}

int exact_put(const struct rf_tables *t, struct rf_key k, uint16_t tag)
{
	struct rf_exact *e = find(t, k);
	if (e) {
		show(e, tag);
		return RF_OK;
	}
	struct rf_exact_bucket *one = bucket(t, k, 0), *two = bucket(t, k, 1);
	if (!(e = vacancy(one)) && !(e = vacancy(two)) && !(e = make_room(t, one)) && !(e = make_room(t, two)))
		return RF_E_FULL;
	fill(e, k, tag);
	return RF_OK;
}

void exact_drop(const struct rf_tables *t, struct rf_key k)
{
	struct rf_exact *e = find(t, k);
	if (e)
		show(e, 0);
}
