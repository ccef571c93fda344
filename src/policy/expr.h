/* policy/expr: an expression of the rule language, compiled once to an immutable program.
 *
 * Text goes through the lexer (lex), the parser that also checks types (parse), and is flattened
 * into one block of memory (program). A program is shared by reference count and needs nothing of
 * what made it. Evaluation takes memory only from the request's arena.
 */
#pragma once
#include "base/buf.h"
#include "base/clock.h"
#include "policy/facts.h"

struct rf_lists;
struct rf_expr;
struct rf_shapes;

enum {
	RF_EXPR_SIZE = 65536,     /* bytes of an expression's text */
	RF_EXPR_DEPTH = 64,       /* nested parentheses, nots and calls */
	RF_EXPR_NODES = 8192,
	RF_EXPR_LIST = 16384,     /* values of an inline list */
	RF_FUNC_ARGS = 32,
	RF_REGEX_SIZE = 2048,     /* bytes of a pattern */
	RF_REGEX_PARTS = 2048,    /* characters and classes of a pattern once its {n,m} are written out */
	RF_EXPR_RESULT = 16 << 20, /* bytes of a string that a function makes: the largest limits.rule_body */
};

/* What an expression may refer to while it is compiled. */
struct rf_rule_env {
	const struct rf_lists *lists; /* NULL: none */
	unsigned have;                /* 1u << RF_NEED_* that this process can answer */
	const struct rf_clock *clock; /* to measure what rules cost to compile; NULL: it is not measured */
	bool any_list;                /* a name that is not in `lists` passes; only to check, never to evaluate */
	struct rf_shapes *shapes;     /* NULL: every expression is parsed by itself */
};

/* What expressions of plain rules that were compiled have in common (policy/shape): those that differ in a string alone are parsed
 * once. Of one environment, for one thread. NULL without memory. */
struct rf_shapes *rf_shapes_new(void);
void rf_shapes_free(struct rf_shapes *v);

/* Compile a condition (of type boolean) for a phase. Errors have line, column and, where a name is
 * unknown, the nearest one. The program has one reference, the caller's. */
int rf_expr_compile(const struct rf_rule_env *env, enum rf_phase phase, struct rf_str text,
	struct rf_expr **ret, struct rf_err *e);
/* The same for an expression that makes a string (rewrites): to_string() is applied where needed. */
int rf_expr_compile_value(const struct rf_rule_env *env, enum rf_phase phase, struct rf_str text,
	struct rf_expr **ret, struct rf_err *e);
void rf_expr_put(struct rf_expr *x);

/* Evaluate. RF_OK with *ret set; RF_E_NOMEM (arena full), RF_E_TOO_LARGE (a result over its bound, a
 * pattern over its limit), RF_E_NOT_FOUND (a named list is gone): the caller must not let pass. */
int rf_expr_test(const struct rf_expr *x, struct rf_facts *f, bool *ret);
int rf_expr_value(const struct rf_expr *x, struct rf_facts *f, struct rf_val *ret);

struct rf_str rf_expr_text(const struct rf_expr *x); /* as it was given */
/* The canonical text, which compiles to the same program. */
void rf_expr_print(const struct rf_expr *x, struct rf_buf *to);
bool rf_expr_same(const struct rf_expr *a, const struct rf_expr *b);
/* Whether the condition can only hold where boolean field f is `value`: it is a term of the outermost and. */
bool rf_expr_requires(const struct rf_expr *x, enum rf_field f, bool value);
/* How a rule with this condition is reached, for people: "equal values: http.host eq ...". False, with the reason, where
 * no index leads to it and it is asked of every request. */
bool rf_expr_reached(const struct rf_expr *x, struct rf_buf *to);
/* Bytes that it takes, with its lists and patterns. */
size_t rf_expr_bytes(const struct rf_expr *x);
bool rf_expr_uses(const struct rf_expr *x, enum rf_field f);
/* Add the fields that it asks for to a set of bits. */
void rf_expr_add_uses(const struct rf_expr *x, uint64_t uses[(RF_FIELD_COUNT + 63) / 64]);
/* Name of the first deprecated name that the text used, or NULL. */
const char *rf_expr_deprecated(const struct rf_expr *x);
