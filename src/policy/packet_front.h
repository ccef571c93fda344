/* policy/packet_front: what the two compilers of packet rules share: what a leaf of a condition asks, as ranges, and what is refused.
 * Private to policy. */
#pragma once
#include "policy/program.h"
#include "policy/rule.h"

struct packet_range { uint64_t from_hi, from, to_hi, to; }; /* ends included */

struct packet_front {
	const struct rf_lists *lists;
	bool any_list;              /* one that is not there is taken for empty */
	const struct rf_expr *x;    /* the condition */
	struct packet_range *range; /* of the leaf: sorted, apart */
	size_t ranges, range_cap;
	struct rf_facts *facts;     /* for questions about ip.proto */
	struct rf_err *e;
};

struct packet_leaf {
	enum packet_leaf_kind {
		LEAF_PROTOCOL,  /* whatever is asked of ip.proto: numbers of protocols */
		LEAF_FLAG,      /* a flag of TCP: `bit`, set or not */
		LEAF_ADDRESS,   /* the first bits4, or bits6, of `field` */
		LEAF_NUMBER,    /* `field` */
		LEAF_BITS,      /* bits [from, to) of what begins at `field` */
	} kind;
	enum rf_field field;
	unsigned from, to, bits4, bits6;
	uint8_t bit;
	bool set;
	bool turned;            /* `ne`: not in the ranges, but there */
	const struct pnode *n;
	struct set *list;       /* of a named list */
};

void packet_front_fini(struct packet_front *f);
/* What a node that is no connective asks. RF_E_UNSUPPORTED, RF_E_TOO_LARGE, RF_E_NOT_FOUND (a list is gone), RF_E_NOMEM. */
int packet_leaf_read(struct packet_front *f, const struct pnode *n, struct packet_leaf *ret);
void packet_leaf_fini(struct packet_leaf *l);
/* Its ranges into f->range: of numbers of 32 bits (family 0), or of addresses of a family, as they are behind the mask. */
int packet_leaf_ranges(struct packet_front *f, const struct packet_leaf *l, uint8_t family);
int packet_add_range(struct packet_front *f, const struct packet_range *r);
/* "it cannot answer this", with why (NULL: found out). */
int packet_refuse(struct packet_front *f, const struct pnode *n, const char *who, const char *why);

/* What the rule does must make sense in this phase. */
int packet_refuse_action(const struct rf_rule *r, struct rf_err *e);
bool packet_ends_phase(const struct rf_rule *r); /* of one that skips */
/* The error is about this rule: "/rules/ID" before its pointer. */
void packet_point(const struct rf_rule *r, struct rf_err *e);
