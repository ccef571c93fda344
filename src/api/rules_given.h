/* api/rules_given: the rules of a request that replaces all of a ruleset.
 *
 * They are most of what can be a body of many megabytes, and most of them are often there already: so they are found in the text of
 * the body, and only what is new and not plain (policy/rule_text.h) becomes a tree. A part of a batch has them as trees. What is noted
 * of each is little, as there can be hundreds of thousands.
 */
#pragma once
#include "api/schema.h"
#include "base/buf.h"
#include "policy/rule_text.h"

struct rf_api_call;

struct rf_rule_given {
	const char *text;          /* from brace to brace, in the body; NULL: it came as a tree */
	uint64_t content;          /* see struct rf_rule_text; 0 where it cannot be said */
	uint64_t id;               /* digest of the id that it has in the end; 0 before */
	uint32_t n;                /* bytes of the text */
	uint32_t like;             /* the rule whose text this is but for one stretch, plus 1; 0: none is known */
	uint32_t at, differs;      /* that stretch, in this text */
	uint32_t more : 31, plain : 1; /* more: its row of what few have, plus 1; 0: none */
};

struct rf_rule_more {
	struct rf_str own_id, own_ref; /* as the request says; "" : not */
	json_t *doc;                   /* checked against its shape; NULL: not parsed */
};

struct rf_rules_given {
	struct rf_rule_given *v;
	size_t n, cap;
	struct rf_rule_more *more;
	size_t more_n, more_cap;
};

/* Find the rules in a body; *rest is given what else it says, a JSON object. RF_E_SYNTAX: the body is not JSON, or such that it must
 * be parsed in full; RF_E_NOMEM. */
int rf_rules_split(struct rf_str body, struct rf_rules_given **ret, struct rf_buf *rest);
/* Rules of an array that has been checked. NULL without memory. */
struct rf_rules_given *rf_rules_of(const json_t *array);
void rf_rules_given_free(struct rf_rules_given *g);

/* What few rules have: all zero where this one has not. */
static inline struct rf_rule_more rf_rule_more(const struct rf_rules_given *g, size_t i)
{
	return g->v[i].more ? g->more[g->v[i].more - 1] : (struct rf_rule_more){ 0 };
}
/* The tree of the rule at an index, made and checked where it is not there yet; borrowed. Findings are the call's. */
int rf_rule_tree(struct rf_api_call *c, struct rf_rules_given *g, size_t i, json_t **ret);
/* Note the id that the rule at an index has in the end; and find the rule by it: g->n where there is none. */
void rf_rule_named(struct rf_rules_given *g, size_t i, const char *id);
size_t rf_rule_by_id(const struct rf_rules_given *g, const char *id);
