/* policy/literal: the literal that a wildcard or a regular expression cannot match without.
 *
 * The walk over a regular expression is careful, not clever: what it does not know ends the literal, and what could make
 * a piece optional (alternatives, a quantifier, a group) takes the piece away. A literal that is missed costs time; one
 * that were wrong would let a request pass.
 */
#include "policy/access.h"

struct best {
	char *now, *best; /* as long as the pattern */
	size_t n, best_n;
};

static void keep(struct best *b)
{
	if (b->n > b->best_n) {
		memcpy(b->best, b->now, b->n);
		b->best_n = b->n;
	}
	b->n = 0;
}

static bool start(struct best *b, size_t n, struct rf_arena *arena)
{
	*b = (struct best){ .now = rf_arena_alloc(arena, n + 1), .best = rf_arena_alloc(arena, n + 1) };
	return b->now && b->best;
}

struct rf_str wild_literal(struct rf_str pattern, struct rf_arena *arena, bool *ret_whole)
{
	struct best b;
	if (!start(&b, pattern.n, arena))
		return (struct rf_str){ 0 };
	*ret_whole = true;
	for (size_t i = 0; i < pattern.n; i++) {
		if (pattern.p[i] == '*') {
			*ret_whole = false;
			keep(&b);
			continue;
		}
		i += pattern.p[i] == '\\';
		b.now[b.n++] = pattern.p[i];
	}
	keep(&b);
	return (struct rf_str){ b.best, b.best_n };
}

/* Past the group that begins at `at`; the end of the pattern where it does not end. */
static size_t group_end(struct rf_str p, size_t at)
{
	size_t depth = 0;
	for (; at < p.n; at++) {
		if (p.p[at] == '\\') {
			at++;
		} else if (p.p[at] == '[') {
			at = regex_class_end(p, at) - 1;
		} else if (p.p[at] == '(') {
			depth++;
		} else if (p.p[at] == ')' && --depth == 0) {
			return at + 1;
		}
	}
	return p.n;
}

/* The byte that an escape at `at` (its backslash) stands for, -1 where it is a class, an assertion or unknown. */
static int escaped(struct rf_str p, size_t at)
{
	unsigned char c = at + 1 < p.n ? (unsigned char)p.p[at + 1] : 0;
	bool word = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
	if (c && c < 0x80 && !word)
		return c;
	return c == 'n' ? '\n' : c == 'r' ? '\r' : c == 't' ? '\t' : -1;
}

/* An escape whose length is more than a letter ends the walk: what follows would be read wrongly. */
static bool long_escape(struct rf_str p, size_t at)
{
	static const char letters[] = "wWdDsSbBAzZhHvVRN";
	return at + 1 >= p.n || !p.p[at + 1] || (escaped(p, at) < 0 && !strchr(letters, p.p[at + 1]));
}

/* Past a quantifier at `at`, *ret_least: how often the piece before it is there at least. */
static size_t quantifier(struct rf_str p, size_t at, size_t *ret_least)
{
	char c = at < p.n ? p.p[at] : '\0';
	*ret_least = 1;
	if (c == '*' || c == '?' || c == '+') {
		*ret_least = c == '+';
		at++;
	} else if (c == '{' && at + 1 < p.n && p.p[at + 1] >= '0' && p.p[at + 1] <= '9') {
		*ret_least = p.p[at + 1] != '0';
		at += rf_str_find(rf_str_skip(p, at), '}') + 1;
	} else {
		return at;
	}
	return at < p.n && (p.p[at] == '?' || p.p[at] == '+') ? at + 1 : at;
}

/* One byte for certain, then what follows it. */
static size_t byte(struct rf_str p, size_t after, int c, struct best *b)
{
	size_t least, next = quantifier(p, after, &least);
	if (least)
		b->now[b->n++] = (char)c;
	if (next != after) { /* repeated: what follows is no longer beside it for certain */
		keep(b);
		if (next > p.n)
			next = p.n;
	}
	return next;
}

struct rf_str regex_literal(struct rf_str p, struct rf_arena *arena)
{
	struct best b;
	if (!start(&b, p.n, arena))
		return (struct rf_str){ 0 };
	size_t at = rf_str_starts(p, RF_STR("(?i)")) ? 4 : 0, least;
	while (at < p.n) {
		char c = p.p[at];
		size_t after = at + 1;
		if (c == '|')
			return (struct rf_str){ b.best, 0 }; /* each of the alternatives may match alone */
		if (c == '(' && after < p.n && p.p[after] == '?' && !rf_str_starts(rf_str_skip(p, at), RF_STR("(?:")))
			return (struct rf_str){ b.best, 0 };
		if (c == '\\' && long_escape(p, at))
			return (struct rf_str){ b.best, 0 };
		if (c == '\\' && escaped(p, at) >= 0) {
			at = byte(p, at + 2, escaped(p, at), &b);
			continue;
		}
		if (c == '\\' || c == '.' || c == '^' || c == '$' || c == '(' || c == '[') {
			keep(&b);
			after = c == '\\' ? at + 2 : c == '(' ? group_end(p, at) : c == '[' ? regex_class_end(p, at) : after;
			at = quantifier(p, after, &least);
			continue;
		}
		if (c == ')' || (unsigned char)c >= 0x80)
			return (struct rf_str){ b.best, 0 };
		at = byte(p, after, c, &b);
	}
	keep(&b);
	return (struct rf_str){ b.best, b.best_n };
}
