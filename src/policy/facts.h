/* policy/facts: what is known about one request or connection, asked for as rules need it.
 *
 * The caller answers `get` (and, where it can do better than building a whole map, `get_key`);
 * each is called at most once a field and request, the answers are kept here. Transformations of
 * whole fields (lower, url_decode) are kept as well. Everything lives in the caller's arena.
 *
 * Lifetime: one request (or connection); values given, and the rules that are evaluated, must stay
 * valid as long as the facts do (a request pins its snapshot).
 */
#pragma once
#include "base/arena.h"
#include "policy/field.h"

struct rf_lists;

struct rf_facts_ops {
	/* Give the value of a field with the type of the table; false where it is absent. */
	bool (*get)(void *ctx, struct rf_arena *arena, enum rf_field f, struct rf_val *ret);
	/* Give the entry of a map field (an array for M_A_STR, a string for M_STR); false where the key
	 * is absent. Header names in `key` are in lower case. NULL: `get` gives the whole map. */
	bool (*get_key)(void *ctx, struct rf_arena *arena, enum rf_field f, struct rf_str key, struct rf_val *ret);
};

enum {
	RF_FACTS_KEPT = 64,  /* keyed entries and transformations kept a request; more are made anew */
	RF_FACTS_MEMO = 32,  /* places for answers of predicates before memory is taken */
};

struct rf_kept {
	const void *what; /* a node of a program, or the bytes of a key */
	uint32_t tag;     /* field, function and options */
	struct rf_str key;
	struct rf_val val;
};

/* Answers of predicates that several rules share. */
struct rf_memo {
	uint64_t *slot; /* NULL: nothing yet; else mask + 1 of them: the predicate's address, bit 0 its answer */
	uint32_t mask, used;
	uint64_t first[RF_FACTS_MEMO];
};

struct rf_facts {
	const struct rf_facts_ops *ops;
	void *ctx;
	struct rf_arena *arena;
	const struct rf_lists *lists;  /* of the snapshot that is evaluated; NULL: none */
	int64_t wall_ns;               /* now, for timestamps */
	/* private to policy */
	uint64_t known[(RF_FIELD_COUNT + 63) / 64];
	unsigned kept_count;
	unsigned asked; /* calls of ops: what they took from the arena stays */
	struct rf_val val[RF_FIELD_COUNT];
	struct rf_kept kept[RF_FACTS_KEPT];
	struct rf_memo memo;
};

/* Ready for one request: does not clear the memo's values, so it costs a few stores. */
void rf_facts_init(struct rf_facts *f, const struct rf_facts_ops *ops, void *ctx, struct rf_arena *arena,
	const struct rf_lists *lists, int64_t wall_ns);

void rf_fact_own(struct rf_facts *f, enum rf_field field); /* private to the next: of the clock, or what absence means */
/* The value of a field: asked once. Fields whose absence means the empty value give that. */
static inline bool rf_fact_of_clock(enum rf_field field) { return field == RF_F_HTTP_SEC || field == RF_F_HTTP_MSEC; }
static inline const struct rf_val *rf_fact(struct rf_facts *f, enum rf_field field)
{
	struct rf_val *v = &f->val[field];
	uint64_t *known = &f->known[field >> 6], bit = 1ull << (field & 63);
	if (*known & bit)
		return v;
	*known |= bit;
	f->asked++;
	v->tag = RF_V_MISSING;
	if (rf_fact_of_clock(field) || !f->ops->get(f->ctx, f->arena, field, v) || v->tag == RF_V_MISSING)
		rf_fact_own(f, field);
	return v;
}
/* Ask for those of a set of fields that are not known yet; none of them is of the clock. */
static inline void rf_facts_ask(struct rf_facts *f, const uint64_t fields[(RF_FIELD_COUNT + 63) / 64])
{
	for (unsigned w = 0; w < (RF_FIELD_COUNT + 63) / 64; w++) {
		uint64_t left = fields[w] & ~f->known[w];
		f->known[w] |= left;
		f->asked += left != 0;
		for (; left; left &= left - 1) {
			enum rf_field field = (enum rf_field)(w * 64 + (unsigned)__builtin_ctzll(left));
			struct rf_val *v = &f->val[field];
			v->tag = RF_V_MISSING;
			if (!f->ops->get(f->ctx, f->arena, field, v) || v->tag == RF_V_MISSING)
				rf_fact_own(f, field);
		}
	}
}
/* The entry of a map field; missing where there is none. */
struct rf_val rf_fact_key(struct rf_facts *f, enum rf_field field, struct rf_str key);
