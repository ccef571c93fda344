/* api/rules_given: the rules of a request that replaces all of a ruleset.
 *
 * They are most of what can be a body of many megabytes, and most of them are often there already: so they are found in the text of
 * the body, and only what is new and not plain (policy/rule_text.h) becomes a tree. A part of a batch has them as trees.
 */
#pragma once
#include "api/schema.h"
#include "base/buf.h"
#include "policy/rule_text.h"

struct rf_api_call;

struct rf_rule_given {
	struct rf_rule_text text; /* of a tree: only `content`, 0 where that cannot be said */
	json_t *doc;              /* checked against its shape; NULL: not parsed */
	struct rf_str own_id, own_ref; /* as the request says; "" : not */
	char id[33];              /* what it has in the end */
};

struct rf_rules_given {
	struct rf_rule_given *v;
	size_t n, cap;
};

/* Find the rules in a body; *rest is given what else it says, a JSON object. RF_E_SYNTAX: the body is not JSON, or such that it must
 * be parsed in full; RF_E_NOMEM. */
int rf_rules_split(struct rf_str body, struct rf_rules_given **ret, struct rf_buf *rest);
/* Rules of an array that has been checked. NULL without memory. */
struct rf_rules_given *rf_rules_of(const json_t *array);
void rf_rules_given_free(struct rf_rules_given *g);

/* The tree of the rule at an index, made and checked where it is not there yet. Findings are the call's. */
int rf_rule_tree(struct rf_api_call *c, struct rf_rules_given *g, size_t i);
