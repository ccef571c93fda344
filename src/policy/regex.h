/* policy/regex: patterns. Private to policy.
 *
 * `matches` asks vectorscan, whose time is linear in the subject for every pattern that it takes;
 * one that it cannot take is refused when the rule is compiled. regex_replace needs groups and uses
 * PCRE2 without its compiler to machine code, under limits of steps, depth and memory, with all
 * memory out of the request's arena. Both see bytes, not characters; '.' does not match a newline.
 */
#pragma once
#include "base/arena.h"
#include "base/err.h"

struct regex;    /* yes or no */
struct rereplace;

/* *ret_at: byte of the pattern at which the error lies. */
int regex_make(struct rf_str pattern, struct regex **ret, size_t *ret_at, struct rf_err *e);
void regex_free(struct regex *r);
struct rf_str regex_pattern(const struct regex *r);
/* Anywhere in s. RF_E_NOMEM when this thread cannot get its scratch space. */
int regex_test(const struct regex *r, struct rf_str s, bool *ret);

int rereplace_make(struct rf_str pattern, struct rereplace **ret, size_t *ret_at, struct rf_err *e);
void rereplace_free(struct rereplace *r);
/* The first match replaced. RF_E_TOO_LARGE when a limit was reached, RF_E_NOMEM. */
int rereplace_run(const struct rereplace *r, struct rf_arena *arena, struct rf_str s, struct rf_str with,
	struct rf_str *ret);
