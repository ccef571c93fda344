/* api/rule_match: which stored rule each rule of a request is, where all rules of a ruleset are replaced.
 *
 * By its id, or by its ref; one that has no ref, by its content.
 */
#pragma once
#include "api/rules_given.h"
#include "ctl/store.h"

struct rf_rule_stored {
	const char *id, *ref, *text; /* the store's */
	uint64_t content;            /* see struct rf_rule_text */
	int64_t place;
	uint32_t n;                  /* bytes of the text */
	uint32_t same;               /* the next of the same content, plus 1 */
	bool taken;                  /* a rule of the request is this one */
};

/* Numbers under hashes, several perhaps under one; those that came first are found first. */
struct rf_rule_lookup {
	struct rf_rule_slot { uint32_t number, tag; } *slot; /* number: plus 1 */
	size_t mask;
};

struct rf_rule_match {
	struct rf_api_call *c;
	const struct rf_rules_given *given;
	uint32_t *is;                /* of each of those, its stored one, plus 1; 0: it is new */
	struct rf_rule_stored *v;    /* by place */
	size_t n, cap;
	size_t taken;                /* how many of them are rules of the request */
	struct rf_rule_lookup ids, refs, contents;
	struct rf_rule_like like;    /* of the store */
};

/* The rules of a ruleset ("" : of none) held against those of the call's request. RF_E_INVALID where two of those are one stored rule.
 * rf_rule_match_fini in any case. */
int rf_rule_match(struct rf_api_call *c, const char *ruleset, struct rf_rule_match *ret);
void rf_rule_match_fini(struct rf_rule_match *m);
static inline struct rf_rule_stored *rf_rule_old(const struct rf_rule_match *m, size_t i) { return m->is[i] ? &m->v[m->is[i] - 1] : NULL; }

bool rf_rule_lookup_init(struct rf_rule_lookup *l, size_t n);
void rf_rule_lookup_add(struct rf_rule_lookup *l, uint64_t hash, size_t number);
void rf_rule_lookup_fini(struct rf_rule_lookup *l);
/* `is` is each in turn that may be under a hash. */
#define RF_RULE_EACH_FOUND(is, l, hash) \
	for (size_t at_ = (hash) & (l)->mask, is; (is = (l)->slot[at_].number - 1u, (l)->slot[at_].number); at_ = (at_ + 1) & (l)->mask) \
		if ((l)->slot[at_].tag == (uint32_t)((hash) >> 32))
