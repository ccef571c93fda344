/* policy/trie: which of many prefixes hold an address. Private to policy.
 *
 * A trie of six bits a step whose nodes keep only what they have, counted by bits (a poptrie): an address of version 4
 * takes six steps at most, one of version 6 twenty-two. The most specific prefix names the next wider one, so that all
 * that hold an address are a chain. Immutable, one family.
 */
#pragma once
#include "base/ip.h"

struct trie_item {
	struct rf_prefix prefix;
	uint32_t key;
};

struct trie;

#define TRIE_NONE UINT32_MAX

/* The items are sorted in place; each prefix once. NULL without memory. */
struct trie *trie_make(struct trie_item *items, size_t count);
void trie_free(struct trie *t);
size_t trie_bytes(const struct trie *t);
/* The most specific prefix that holds the address; TRIE_NONE where there is none. */
uint32_t trie_find(const struct trie *t, const struct rf_ip *ip);
/* The key of a prefix that was found. */
uint32_t trie_key(const struct trie *t, uint32_t at);
/* The next wider one, or TRIE_NONE. */
uint32_t trie_wider(const struct trie *t, uint32_t at);
