/* policy/segment: rules, and the structures that lead from a request to those of them that can hold. Private to policy.
 *
 *	request -> probes (a field, or what a function makes of it) -> strings and numbers in a hash, addresses in a trie,
 *	literals in a text -> gates -> candidates by rank -> code of each, where what led to it does not decide
 *
 * Immutable once made. A quick segment is made in time that grows with its rules alone, some microseconds each; a frozen
 * one has a vectorscan database a text field, and is made by a thread of its own.
 */
#pragma once
#include "policy/code.h"
#include "policy/rule.h"
#include "policy/text.h"
#include "policy/trie.h"

enum { SEGMENT_NEAR = 64 }; /* candidates before they become a set of bits */

struct exact_slot {
	uint32_t tag;   /* of the hash; the low bit is set */
	uint32_t key;
};

struct exact_key {
	struct rf_str bytes;       /* in the segment's, or a seed's */
	uint32_t probe, post;
};

struct probe {
	const struct rf_expr *x;
	const struct pnode *term;
	const struct pnode *each;  /* the array whose elements the term is made of, or NULL */
	uint64_t lengths;          /* bits of the lengths of strings to find; the last bit: that and longer */
	bool ints;
	struct trie *four, *six;
	struct text *text;
	uint32_t all;              /* posting of the rules behind it that are missed where the term cannot be made, or the text not searched */
	uint32_t field;            /* of a plain field, else RF_FIELD_COUNT */
};

/* A map of which many keys are asked for: the keys of the request lead to probes. */
struct keyed {
	enum rf_field map;
	uint32_t probe;            /* under which its keys stand among the exact ones */
};

struct gate {
	struct code_at code;
	uint32_t post;
};

struct segment {
	_Atomic unsigned refs;
	bool frozen;
	bool settled;              /* as a frozen one of the same rules */
	uint32_t count;
	struct rf_rule_link *rule; /* by rank; a reference each */
	struct code code;
	struct code_at *at;        /* by rank; of seeds it is none */
	struct exact_slot *slot;
	size_t mask;
	uint64_t *filter;          /* bits of the hashes of exact keys: most of what is asked does not pass */
	unsigned filter_shift;
	struct exact_key *key;
	uint32_t keys;
	uint32_t *post;            /* a posting: a count and ranks, rising; or, with POST_ONE, the rank itself */
	struct probe *probe;
	uint32_t probes, direct;   /* the first `direct` are asked of every request, */
	uint32_t plain;            /* and the first of them are fields as they are, */
	uint64_t asks[(RF_FIELD_COUNT + 63) / 64]; /* these */
	struct keyed *keyed;
	uint32_t keyeds;
	struct gate *gate;
	uint32_t gates;
	bool others;               /* there is something to ask besides plain fields */
	uint32_t *text_post;       /* of the literals, by their key */
	char *bytes;               /* of exact keys, but those of seeds */
	size_t size;               /* of all of it, without the rules */
};

#define POST_ONE 0x80000000u
#define POST_NONE UINT32_MAX

/* Rules by rank, that is by priority, then order; those that are zeroed or disabled are left out. References are taken.
 * RF_E_NOMEM. */
int segment_make(const struct rf_rule_link *rules, uint32_t count, bool frozen, struct segment **ret);
struct segment *segment_get(struct segment *s);
void segment_put(struct segment *s);

/* The exact key of these bytes; NULL: there is none. `hash`: hash_bytes(probe, bytes). */
static inline const struct exact_key *exact_find(const struct segment *s, uint64_t hash, uint32_t probe, struct rf_str bytes)
{
	uint32_t tag = (uint32_t)(hash >> 32) | 1;
	for (size_t at = hash & s->mask; s->slot[at].tag; at = (at + 1) & s->mask) {
		if (s->slot[at].tag != tag)
			continue;
		const struct exact_key *k = &s->key[s->slot[at].key];
		if (k->probe == probe && rf_str_eq(k->bytes, bytes))
			return k;
	}
	return NULL;
}

/* The ranks of rules that may hold, rising. */
struct candidates {
	uint32_t near[SEGMENT_NEAR];
	uint32_t n, at;
	uint64_t *bits;   /* where there were more; else NULL */
	uint32_t words;
};

/* RF_E_NOMEM: nothing is known, and the caller must not let pass. */
int segment_find(const struct segment *s, struct rf_facts *f, struct candidates *c);
/* The lowest rank that is left; false where there is none. */
bool candidates_next_bit(struct candidates *c, uint32_t *ret); /* private to the next */
static inline bool candidates_next(struct candidates *c, uint32_t *ret)
{
	if (c->bits)
		return candidates_next_bit(c, ret);
	if (c->at == c->n)
		return false;
	*ret = c->near[c->at++];
	return true;
}
/* The rule of a rank: as rf_expr_test. */
int segment_test(const struct segment *s, uint32_t rank, struct rf_facts *f, bool *ret);
