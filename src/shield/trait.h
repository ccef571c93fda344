/* shield/trait: what requests are compared by, and the expression that tells those which share it.
 *
 * Traits are rows of tbl/traits.def. Of a sample each becomes a keyed hash of its value; the text is made anew from the sample
 * where a signature needs it.
 */
#pragma once
#include "base/buf.h"
#include "shield/feed.h"

enum rf_trait {
#define RF_TRAIT(id, name, piece, weight, expression, doc) RF_TRAIT_##id,
#include "tbl/traits.def"
#undef RF_TRAIT
	RF_TRAITS
};

enum {
	RF_TRAIT_STRONG = 65,     /* weight; see tbl/traits.def */
	RF_TRAIT_VALUE = 512,     /* bytes of a value */
	RF_SIGNATURE_TERMS = 4,
	RF_SIGNATURE_SOURCES = 4, /* addresses that a signature names, at most */
};

struct rf_traits {
	uint32_t hash[RF_TRAITS]; /* 0: it has none that can be compared */
	uint32_t late;            /* bits of those that a rule may still find */
};

struct rf_term {
	enum rf_trait trait;
	uint32_t hash;            /* not of SOURCE */
	char value[RF_TRAIT_VALUE];
};

struct rf_signature {
	unsigned n;
	struct rf_term term[RF_SIGNATURE_TERMS];
	unsigned nsources;
	uint32_t source[RF_SIGNATURE_SOURCES]; /* their hashes */
};

/* The key of all hashes of traits and sources, to be set before the first one; all 0 where it never is. One thread. */
void rf_trait_seed(const uint8_t key[16]);
void rf_trait_key(uint8_t ret[16]);
/* Differs where traits are other ones than in another version: their hashes mean something else. */
uint64_t rf_trait_edition(void);

const char *rf_trait_name(enum rf_trait t);
/* RF_TRAITS: there is none. */
enum rf_trait rf_trait_find(struct rf_str name);
/* Hundredths. A value that says only that something is not there tells little. */
unsigned rf_trait_weight(enum rf_trait t, bool empty);
uint32_t rf_trait_hash(enum rf_trait t, struct rf_str value);
uint32_t rf_source_hash(const struct rf_ip *ip);

/* All of a sample. `room` is scratch. */
void rf_traits_of(const struct rf_sample *s, struct rf_buf *room, struct rf_traits *ret);
/* The value of one, into an empty `to`; false where it has none that can be compared. */
bool rf_trait_value(const struct rf_sample *s, enum rf_trait t, struct rf_buf *to);

bool rf_signature_match(const struct rf_signature *g, const struct rf_traits *t, uint32_t source);
/* May a rule of it match this request, once all of it has come? */
bool rf_signature_may(const struct rf_signature *g, const struct rf_traits *t, uint32_t source);
/* Does every request that `narrow` means also match `wide`? */
bool rf_signature_within(const struct rf_signature *narrow, const struct rf_signature *wide);
/* In the rules language, with the host, which may begin with "*.". */
void rf_signature_expression(const struct rf_signature *g, struct rf_str host, struct rf_buf *to);
