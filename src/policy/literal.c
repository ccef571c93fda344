/* policy/literal: the literal that a wildcard or a regular expression cannot match without, and the bytes that it begins with.
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

/* Whether brackets and bars from `at` on mean what they seem to: no quotation, control character, comment or option. */
static bool plain(struct rf_str p, size_t at)
{
	for (; at < p.n; at++) {
		char next = at + 1 < p.n ? p.p[at + 1] : '\0';
		if (p.p[at] == '(' && next == '?' && !rf_str_starts(rf_str_skip(p, at), RF_STR("(?:")))
			return false;
		if (p.p[at] == '\\' && (!next || strchr("QEc", next)))
			return false;
		at += p.p[at] == '\\';
	}
	return true;
}

/* Past the option at the front of a pattern that letters match in either case. */
static size_t past_fold(struct rf_str p)
{
	return rf_str_starts(p, RF_STR("(?i)")) ? 4 : 0;
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
	size_t at = past_fold(p), least;
	if (!plain(p, at))
		return (struct rf_str){ b.best, 0 };
	while (at < p.n) {
		char c = p.p[at];
		size_t after = at + 1;
		if (c == '|')
			return (struct rf_str){ b.best, 0 }; /* each of the alternatives may match alone */
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

/* --- the first byte --- */

struct bytes {
	uint64_t set[4];
	bool fold; /* letters in either case */
};

static void take(struct bytes *b, int from, int to)
{
	for (int c = from; c <= to; c++) {
		b->set[c / 64] |= 1ull << c % 64;
		int other = (c | 0x20) >= 'a' && (c | 0x20) <= 'z' ? c ^ 0x20 : c;
		if (b->fold)
			b->set[other / 64] |= 1ull << other % 64;
	}
}

/* The byte of a class at *at, and past it; -1: it is more than a byte, or not known. */
static int class_byte(struct rf_str p, size_t *at)
{
	int c = (unsigned char)p.p[*at];
	if (c == '\\') {
		c = escaped(p, *at);
		++*at;
	} else if (c >= 0x80 || (c == '[' && strchr(":.=", p.p[*at + 1]))) {
		c = -1;
	}
	++*at;
	return c;
}

/* The class that begins at `at`, its end in *ret_end; false where it is not known. */
static bool take_class(struct rf_str p, size_t at, struct bytes *b, size_t *ret_end)
{
	size_t end = regex_class_end(p, at) - 1;
	bool not = p.p[at + 1] == '^';
	if (end >= p.n)
		return false;
	for (at += not ? 2 : 1; at < end;) {
		int from = class_byte(p, &at), to = from;
		if (at + 1 < end && p.p[at] == '-') {
			at++;
			to = class_byte(p, &at);
		}
		if (from < 0 || to < from)
			return false;
		take(b, from, to);
	}
	for (unsigned i = 0; i < 4; i++)
		b->set[i] ^= not ? UINT64_MAX : 0;
	*ret_end = end + 1;
	return true;
}

/* Whether what stands from `at` on is one sequence, not several of which each may match. */
static bool one_sequence(struct rf_str p, size_t at)
{
	while (at < p.n && p.p[at] != '|') {
		char c = p.p[at];
		at = c == '\\' ? at + 2 : c == '(' ? group_end(p, at) : c == '[' ? regex_class_end(p, at) : at + 1;
	}
	return at >= p.n;
}

/* What comes at `at` for certain, once. */
static bool first_of(struct rf_str p, size_t at, struct bytes *b)
{
	unsigned char c = at < p.n ? (unsigned char)p.p[at] : 0;
	size_t after = at + 1, least;
	if (c == '[') {
		if (!take_class(p, at, b, &after))
			return false;
	} else if (c == '\\') {
		int byte = escaped(p, at);
		if (byte < 0)
			return false;
		take(b, byte, byte);
		after = at + 2;
	} else if (!c || c >= 0x80 || strchr("^$.()|*+?{", c)) {
		return false;
	} else {
		take(b, c, c);
	}
	quantifier(p, after, &least);
	return least;
}

void regex_first(struct rf_str p, uint64_t ret[4])
{
	size_t at = past_fold(p);
	struct bytes b = { .fold = at };
	bool known = at < p.n && p.p[at] == '^' && plain(p, at) && one_sequence(p, at) && first_of(p, at + 1, &b);
	for (unsigned i = 0; i < 4; i++)
		ret[i] = known ? b.set[i] : UINT64_MAX;
}
