/* policy/seed: rules that differ in a few strings, each made when it is first asked for. Private to policy, but for rf_seeds_* (rule.h).
 *
 * A large ruleset says one thing of a hundred thousand paths. The first of its rules are compiled, and one is the model of a form; each
 * other one is a seed: its strings, its id, and where it stands. An index needs no more of it, since that string in a field is what leads
 * to it. What asks for the rule itself (a request that meets it, an edit beside it, explain) finds it made.
 *
 * Invariant: a rule that came from a seed is the one that rf_rule_make_text makes of its document.
 */
#pragma once
#include "policy/rule_text.h"

enum { SEED_ID = 32, SEED_STRINGS = 3 };

/* Where rules of a form differ. */
struct seed_blank {
	enum { SEED_EXPRESSION, SEED_DESCRIPTION, SEED_VERSION, SEED_NOWHERE } in; /* nowhere: no rule keeps it */
	unsigned string;           /* of the seed's */
	size_t at, n;              /* in that text of the model, as it says */
};

struct seed_form {
	_Atomic unsigned refs;
	struct rf_rule *model;     /* to which one `field eq "string"` in its condition leads */
	struct shape *shape;       /* of its condition */
	const struct pnode *term;  /* the field, in it */
	bool decides;              /* that is the whole condition */
	unsigned blanks, strings;
	struct seed_blank blank[RF_RULE_HOLES]; /* of the holes of `like`, as they stand */
	struct rf_rule_like like;  /* its documents */
};

/* A seed's text: its id, of SEED_ID bytes, then the strings, the first of which leads to it, then its ref. */
struct rf_rule_seed {
	const struct seed_form *form;
	const char *text;
	uint16_t n[SEED_STRINGS];  /* bytes of each */
	uint8_t ref_n;             /* 0: its ref is its id */
	uint8_t number;            /* in its bed */
	int64_t order;
	uint64_t revision;
	_Atomic(struct rf_rule *) made; /* NULL: not yet; a reference */
};

static inline struct rf_rule_seed *link_seed(struct rf_rule_link l)
{
	return l.to & 1 ? (struct rf_rule_seed *)(l.to - 1) : NULL;
}

/* What leads to it. */
static inline struct rf_str seed_string(const struct rf_rule_seed *s)
{
	return (struct rf_str){ s->text + SEED_ID, s->n[0] };
}

/* The rule, borrowed. NULL without memory. */
struct rf_rule *seed_rule(struct rf_rule_seed *s);

/* The rule, or one that is like it. */
static inline const struct rf_rule *link_like(struct rf_rule_link l)
{
	const struct rf_rule_seed *s = link_seed(l);
	return s ? s->form->model : (const struct rf_rule *)l.to;
}

static inline bool link_same(struct rf_rule_link a, struct rf_rule_link b)
{
	return a.to == b.to;
}

static inline int64_t link_order(struct rf_rule_link l)
{
	const struct rf_rule_seed *s = link_seed(l);
	return s ? s->order : ((const struct rf_rule *)l.to)->order;
}

/* By priority, then order. */
static inline int link_compare(struct rf_rule_link a, struct rf_rule_link b)
{
	int64_t x = link_like(a)->priority, y = link_like(b)->priority;
	if (x == y) {
		x = link_order(a);
		y = link_order(b);
	}
	return x < y ? -1 : x > y;
}

static inline size_t seed_texts(const struct rf_rule_seed *s)
{
	size_t n = SEED_ID + s->ref_n;
	for (unsigned i = 0; i < SEED_STRINGS; i++)
		n += s->n[i];
	return n;
}

static inline size_t link_bytes(struct rf_rule_link l)
{
	const struct rf_rule_seed *s = link_seed(l);
	return link_like(l)->bytes + (s ? sizeof *s + seed_texts(s) : 0); /* as if it were made */
}
