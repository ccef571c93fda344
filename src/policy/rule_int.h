/* policy/rule_int: between rule, rule_params and ruleset. Private to policy. */
#pragma once
#include <stdarg.h>
#include "policy/rule.h"

struct rule_read {
	const struct rf_rule_env *env;
	struct rf_rule *rule; /* being made */
	const char *at;       /* its JSON pointer */
	struct rf_err *e;
};

void *rule_alloc(struct rf_rule *r, size_t n); /* zeroed, freed with the rule */
int rule_dup(struct rule_read *in, struct rf_str s, struct rf_str *ret);
int rule_fail(struct rule_read *in, int code, const char *below, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
int rule_expr(struct rule_read *in, const json_t *text, const char *below, bool condition, struct rf_expr **ret);
void rule_warn(struct rf_rule *r, const char *sentence);
int rule_parameters(struct rule_read *in, const json_t *params); /* NULL or null: none */
/* The digest of a rule's document without its time of change. */
uint64_t rule_digest(const json_t *doc);

/* Whether bytes may stand in a header's value; in a path or query. */
bool edit_value_ok(struct rf_str s);
bool edit_uri_ok(struct rf_str s, bool path);
