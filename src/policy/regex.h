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

enum { REGEX_IDLE_MAX = 4 << 20 }; /* bytes of patterns that are kept for who may want them again */

/* How a text must begin for a pattern to match it: most texts are told by this without a scan. */
struct regex_front {
	size_t least;      /* bytes */
	uint64_t first[4]; /* bits of the bytes it can begin with, where it is not empty */
};

static inline bool regex_front_has(const struct regex_front *f, struct rf_str s)
{
	uint8_t c = s.n ? (uint8_t)s.p[0] : 0;
	return s.n >= f->least && (!s.n || f->first[c / 64] >> c % 64 & 1);
}

struct regex;    /* yes or no */
struct rereplace;

/* The byte after the class that begins at `at`. */
size_t regex_class_end(struct rf_str pattern, size_t at);
/* *ret_at: byte of the pattern at which the error lies. */
/* Of any thread: who makes the same pattern shares it. */
int regex_make(struct rf_str pattern, struct regex **ret, size_t *ret_at, struct rf_err *e);
void regex_free(struct regex *r); /* by each who made it */
/* Bytes of patterns that nobody has. */
size_t regex_idle(void);
struct rf_str regex_pattern(const struct regex *r); /* a NUL follows */
const struct regex_front *regex_front(const struct regex *r);
/* Anywhere in s. RF_E_NOMEM when this thread cannot get its scratch space. */
int regex_test(const struct regex *r, struct rf_str s, bool *ret);

/* Scan with a database that is not one pattern's. RF_OK also where a callback ended it; RF_E_NOMEM as above. */
struct hs_database;
int regex_scan(const struct hs_database *db, struct rf_str s,
	int (*found)(unsigned id, unsigned long long from, unsigned long long to, unsigned flags, void *ctx), void *ctx);
size_t regex_bytes(const struct regex *r);

int rereplace_make(struct rf_str pattern, struct rereplace **ret, size_t *ret_at, struct rf_err *e);
void rereplace_free(struct rereplace *r);
size_t rereplace_bytes(const struct rereplace *r);
/* The first match replaced. RF_E_TOO_LARGE when a limit was reached, RF_E_NOMEM. */
int rereplace_run(const struct rereplace *r, struct rf_arena *arena, struct rf_str s, struct rf_str with,
	struct rf_str *ret);
