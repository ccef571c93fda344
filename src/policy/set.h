/* policy/set: immutable sorted sets of integers, addresses, strings or versions.
 *
 * Behind inline lists and named lists. Ranges are merged, so a look-up is one binary search. Built in
 * a builder, then frozen into one block of memory. Private to policy.
 */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "policy/value.h"

enum set_kind { SET_INT, SET_IP, SET_STR, SET_VERSION };

struct set_item { /* one item before it is frozen */
	union {
		struct { int64_t lo, hi; };
		struct { struct rf_ip from, to; };
		struct rf_str s;
	};
};

struct set;

/* Sorts and merges items in place. NULL without memory. Strings are copied. */
struct set *set_make(enum set_kind kind, struct set_item *items, size_t count);
void set_free(struct set *s);
size_t set_count(const struct set *s);
size_t set_bytes(const struct set *s);

/* Go through the items, ranges of addresses as prefixes; false as soon as a visitor gives false, or where the kind has
 * none (versions). */
struct set_visit {
	void *ctx;
	bool (*string)(void *ctx, struct rf_str s);
	bool (*range)(void *ctx, int64_t lo, int64_t hi);
	bool (*prefix)(void *ctx, const struct rf_prefix *p);
};
bool set_each(const struct set *s, const struct set_visit *v);

/* Sorted and apart; of SET_INT and SET_IP. */
const struct set_item *set_items(const struct set *s, size_t *ret_count);

bool set_has_int(const struct set *s, int64_t v);
bool set_has_ip(const struct set *s, const struct rf_ip *ip);
bool set_has_str(const struct set *s, struct rf_str v); /* also versions */

void set_print(const struct set *s, struct rf_buf *to); /* items as literals, spaces between */
bool set_same(const struct set *a, const struct set *b);

/* A string as a literal that the lexer reads back. */
void literal_print(struct rf_str s, struct rf_buf *to);
/* First and last address of a prefix. */
void prefix_range(const struct rf_prefix *p, struct rf_ip *ret_from, struct rf_ip *ret_to);
