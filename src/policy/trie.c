/* policy/trie: see trie.h.
 *
 *	sorted prefixes -> each with the one around it -> nodes of 64 slots, from the root down
 *
 * A node has a bit for each slot that goes on to a child, and one for each slot where the leaf differs from the slot
 * before; children and leaves of a node lie side by side, so a count of bits finds them.
 *
 * Invariant: of the prefixes that a node is built from, none is as short as the node's depth.
 */
#include "policy/trie.h"
#include <stdlib.h>
#include "base/room.h"
#include "base/way.h"

enum { STEP = 6, SLOTS = 1 << STEP };

struct node {
	uint64_t kids, leaves;
	uint32_t first_kid, first_leaf;
};

struct entry {
	uint32_t key, wider;
};

struct trie {
	struct node *node;
	uint32_t *leaf;
	size_t nodes, leaves, node_cap, leaf_cap, count;
	struct entry entry[];
};

static int by_prefix(const void *a, const void *b)
{
	const struct trie_item *x = a, *y = b;
	rf_way_give();
	int c = rf_ip_cmp(&x->prefix.ip, &y->prefix.ip);
	return c ? c : (int)x->prefix.bits - (int)y->prefix.bits;
}

/* Six bits of the address from bit `depth` on, zeros behind its end. */
static unsigned slot_of(const uint8_t b[16], unsigned depth)
{
	unsigned byte = depth / 8, two = (unsigned)b[byte] << 8 | (byte < 15 ? b[byte + 1] : 0u);
	return two >> (16 - STEP - depth % 8) & (SLOTS - 1);
}

struct part { /* the items of one node */
	const struct trie_item *items;
	size_t from, to;
	uint32_t outer; /* what holds all of it */
	unsigned depth;
};

/* For each slot its leaf and the run of items that go deeper. */
struct slots {
	uint32_t leaf[SLOTS];
	size_t from[SLOTS], to[SLOTS];
};

static void sort_out(const struct part *p, struct slots *s)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		s->leaf[i] = p->outer;
		s->from[i] = s->to[i] = 0;
	}
	for (size_t i = p->from; i < p->to; i++) { /* a wider prefix comes before those in it */
		const struct rf_prefix *x = &p->items[i].prefix;
		unsigned slot = slot_of(x->ip.b, p->depth);
		rf_way_give();
		if (x->bits > p->depth + STEP) {
			if (s->from[slot] == s->to[slot])
				s->from[slot] = i;
			s->to[slot] = i + 1;
			continue;
		}
		unsigned width = 1u << (p->depth + STEP - x->bits);
		for (unsigned k = 0; k < width && slot + k < SLOTS; k++)
			s->leaf[slot + k] = (uint32_t)i;
	}
}

static bool fill(struct trie *t, size_t at, const struct part *p)
{
	struct slots s;
	struct node n = { .first_kid = (uint32_t)t->nodes, .first_leaf = (uint32_t)t->leaves };
	sort_out(p, &s);
	uint32_t last = 0;
	for (unsigned i = 0; i < SLOTS; i++) {
		if (s.from[i] < s.to[i]) {
			n.kids |= 1ull << i;
			continue;
		}
		if (n.leaves && last == s.leaf[i])
			continue;
		if (!rf_room(&t->leaf, &t->leaf_cap, t->leaves + 1, sizeof *t->leaf))
			return false;
		n.leaves |= 1ull << i;
		t->leaf[t->leaves++] = last = s.leaf[i];
	}
	size_t kids = (size_t)__builtin_popcountll(n.kids);
	if (!rf_room(&t->node, &t->node_cap, t->nodes + kids, sizeof *t->node))
		return false;
	t->nodes += kids;
	t->node[at] = n;
	size_t kid = n.first_kid;
	for (unsigned i = 0; i < SLOTS; i++)
		if (s.from[i] < s.to[i] &&
			!fill(t, kid++, &(struct part){ p->items, s.from[i], s.to[i], s.leaf[i], p->depth + STEP }))
			return false;
	return true;
}

static void link_wider(struct trie *t, const struct trie_item *items)
{
	uint32_t outer = TRIE_NONE;
	for (uint32_t i = 0; i < t->count; i++) {
		rf_way_give();
		while (outer != TRIE_NONE && !rf_prefix_has(&items[outer].prefix, &items[i].prefix.ip))
			outer = t->entry[outer].wider;
		t->entry[i] = (struct entry){ items[i].key, outer };
		outer = i;
	}
}

struct trie *trie_make(struct trie_item *items, size_t count)
{
	if (count)
		qsort(items, count, sizeof *items, by_prefix);
	struct trie *t = calloc(1, sizeof *t + count * sizeof *t->entry);
	if (!t)
		return NULL;
	t->count = count;
	link_wider(t, items);
	struct part all = { items, 0, count, TRIE_NONE, 0 };
	while (all.from < count && items[all.from].prefix.bits == 0)
		all.outer = (uint32_t)all.from++;
	if (rf_room(&t->node, &t->node_cap, 1, sizeof *t->node)) {
		t->nodes = 1;
		if (fill(t, 0, &all))
			return t;
	}
	trie_free(t);
	return NULL;
}

void trie_free(struct trie *t)
{
	if (!t)
		return;
	free(t->node);
	free(t->leaf);
	free(t);
}

size_t trie_bytes(const struct trie *t)
{
	return sizeof *t + t->count * sizeof *t->entry + t->node_cap * sizeof *t->node + t->leaf_cap * sizeof *t->leaf;
}

/* In few steps where the processor's instruction may not be used. */
static inline unsigned ones(uint64_t v)
{
	v -= v >> 1 & 0x5555555555555555u;
	v = (v & 0x3333333333333333u) + (v >> 2 & 0x3333333333333333u);
	return (unsigned)(((v + (v >> 4)) & 0x0f0f0f0f0f0f0f0fu) * 0x0101010101010101u >> 56);
}

static inline bool alone(uint64_t bits)
{
	return !(bits & (bits - 1));
}

static inline uint32_t leaf_of(const struct trie *t, const struct node *n, uint64_t bit)
{
	return t->leaf[n->first_leaf + (alone(n->leaves) ? 0 : ones(n->leaves & (bit | (bit - 1))) - 1)];
}

/* Below the root, which has a child for the address. */
static __attribute__((noinline)) uint32_t find_below(const struct trie *t, const uint8_t b[16])
{
	const struct node *n = &t->node[0];
	uint64_t bit = 1ull << (b[0] >> (8 - STEP));
	for (unsigned depth = STEP;; depth += STEP) {
		n = &t->node[n->first_kid + ones(n->kids & (bit - 1))];
		bit = 1ull << slot_of(b, depth);
		if (!(n->kids & bit))
			return leaf_of(t, n, bit);
	}
}

uint32_t trie_find(const struct trie *t, const struct rf_ip *ip)
{
	const struct node *root = &t->node[0];
	uint64_t bit = 1ull << (ip->b[0] >> (8 - STEP));
	return root->kids & bit ? find_below(t, ip->b) : leaf_of(t, root, bit);
}

uint32_t trie_key(const struct trie *t, uint32_t at)
{
	return t->entry[at].key;
}

uint32_t trie_wider(const struct trie *t, uint32_t at)
{
	return t->entry[at].wider;
}
