/* policy/lex: the lexical level of expressions. Private to policy.
 *
 * There is no token type for literals: what `10.0.0.0/8` or `fe80::1` is depends on the field it is
 * compared with, so the parser asks for what the grammar wants next. Each function skips white space
 * first and moves only when it finds it. The first error sticks in *e.
 */
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "base/ip.h"

struct lexer {
	struct rf_str text;
	size_t at;
	struct rf_arena *arena; /* for strings with escapes */
	struct rf_err *e;
};

/* Record an error at byte `at`; returns code. */
int lex_fail(struct lexer *l, size_t at, int code, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

size_t lex_here(struct lexer *l); /* offset of the next token */
bool lex_end(struct lexer *l);
bool lex_mark(struct lexer *l, const char *mark);   /* punctuation */
bool lex_peek_mark(struct lexer *l, const char *mark);
bool lex_word(struct lexer *l, const char *word);   /* a whole word */
bool lex_name(struct lexer *l, struct rf_str *ret); /* letter, then letters, digits, '_' and '.' */
bool lex_at_string(struct lexer *l);                /* a quoted or raw string is next */

/* A string. `regex`: in quotes, a backslash stays unless it stands before a quote. */
int lex_string(struct lexer *l, bool regex, struct rf_str *ret);
/* An integer: decimal, 0x.. or 0.. octal, with a sign. */
int lex_int(struct lexer *l, int64_t *ret);
/* An address, or a prefix (ret->bits less than the width, host bits zero). */
int lex_prefix(struct lexer *l, struct rf_prefix *ret, bool *ret_slash);
