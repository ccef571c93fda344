/* policy/rule_int: between rule, rule_params and ruleset. Private to policy. */
#pragma once
#include <stdarg.h>
#include "policy/rule.h"

struct rule_read {
	const struct rf_rule_env *env;
	enum rf_phase phase;
	struct rf_rule *rule; /* being made */
	const char *at;       /* its JSON pointer */
	struct rf_err *e;
};

/* A plain rule of a known shape in one piece of memory: its condition, and the texts of `t`, of which those that are its id and ref are
 * there. The rest is zero. NULL without memory. */
struct shape;
struct cut;
struct rf_rule_text;
struct rf_rule *rule_in_one(enum rf_phase phase, const struct shape *shape, struct rf_str expression, const struct cut *cut,
	const struct rf_rule_text *t);
void *rule_alloc(struct rf_rule *r, size_t n); /* zeroed, freed with the rule */
int rule_dup(struct rule_read *in, struct rf_str s, struct rf_str *ret);
int rule_fail(struct rule_read *in, int code, const char *below, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
int rule_expr(struct rule_read *in, const json_t *text, const char *below, bool condition, struct rf_expr **ret);
void rule_warn(struct rf_rule *r, const char *sentence);
int rule_parameters(struct rule_read *in, const json_t *params); /* NULL or null: none */
int rule_redirect(struct rule_read *in, const json_t *params);
int rule_set_config(struct rule_read *in, const json_t *params);
int rule_compress(struct rule_read *in, const json_t *params);
int rule_serve_error(struct rule_read *in, const json_t *params);
/* The member `ratelimit`, NULL where there is none: only the phase http_ratelimit has it, and needs it. */
int rule_limit(struct rule_read *in, const json_t *doc);
void rule_limit_put(struct rf_rule_limit *l);
void rule_limit_add_uses(const struct rf_rule_limit *l, uint64_t uses[(RF_FIELD_COUNT + 63) / 64]);
/* The key of one request. RF_E_NOMEM, or as rf_expr_value. */
int rule_limit_key(const struct rf_rule_limit *l, struct rf_facts *f, struct rf_limit_key *ret);

/* Refuse a member that is not among the names: a misspelt one must not be ignored. */
int rule_only(struct rule_read *in, const json_t *o, const char *below, const char *const *names, size_t count);
#define RULE_ONLY(in, o, below, ...) \
	rule_only(in, o, below, (const char *const[]){ __VA_ARGS__ }, \
		sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))
int rule_response(struct rule_read *in, const json_t *o, const char *at, struct rf_response *ret);
int rule_edit_value(struct rule_read *in, const json_t *o, const char *below, struct rf_edit_spec *s);
int rule_no_memory(struct rule_read *in);
/* The digest of a rule's document without its time of change. */
uint64_t rule_digest(const json_t *doc);

/* Whether bytes may stand in a header's value; in a path or query. */
bool edit_value_ok(struct rf_str s);
bool edit_uri_ok(struct rf_str s, bool path);
bool redirect_target_ok(struct rf_str s); /* a URL, or a path of the same host */
bool header_name_ok(const char *name);
