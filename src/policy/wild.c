/* policy/wild: see wild.h. A pattern is read part by part while it is matched, which costs less than
 * keeping it taken apart: patterns are short. */
#include "policy/wild.h"

int wild_check(struct rf_str pattern, size_t *ret_at, struct rf_err *e)
{
	unsigned stars = 0;
	for (size_t i = 0; i < pattern.n; i++) {
		*ret_at = i;
		char next = i + 1 < pattern.n ? pattern.p[i + 1] : '\0';
		if (pattern.p[i] == '\\') {
			if (next != '*' && next != '\\')
				return rf_fail(e, RF_E_SYNTAX, "a backslash in a wildcard stands before `*` or another backslash");
			i++;
		} else if (pattern.p[i] == '*') {
			if (next == '*')
				return rf_fail(e, RF_E_SYNTAX, "`**` means no more than `*`: write one");
			if (++stars > WILD_STARS)
				return rf_fail(e, RF_E_TOO_LARGE, "a wildcard takes at most %d stars", WILD_STARS);
		}
	}
	return RF_OK;
}

/* Cut the part up to the next star off the front of *pattern into `to`, without its backslashes.
 * False when a star ended it. */
static bool last_part(struct rf_str *pattern, char *to, bool fold, struct rf_str *ret)
{
	size_t n = 0, i = 0;
	for (; i < pattern->n && pattern->p[i] != '*'; i++) {
		if (pattern->p[i] == '\\')
			i++;
		to[n++] = fold ? (char)rf_lower((unsigned char)pattern->p[i]) : pattern->p[i];
	}
	bool last = i == pattern->n;
	*pattern = rf_str_skip(*pattern, last ? i : i + 1);
	*ret = (struct rf_str){ to, n };
	return last;
}

static size_t find(struct rf_str s, size_t from, struct rf_str part)
{
	if (part.n == 0)
		return from;
	const char *p = from < s.n ? memmem(s.p + from, s.n - from, part.p, part.n) : NULL;
	return p ? (size_t)(p - s.p) : s.n + 1;
}

/* `low` is what is compared, s (of the same length) is what the stars show. */
static bool match(struct rf_str pattern, bool fold, char *room, struct rf_str low, struct rf_str s,
	struct rf_str *star, unsigned *stars)
{
	struct rf_str part;
	size_t at = 0;
	*stars = 0;
	bool last = last_part(&pattern, room, fold, &part);
	if (last)
		return rf_str_eq(low, part);
	if (!rf_str_starts(low, part))
		return false;
	at = part.n;
	while (!last) {
		last = last_part(&pattern, room, fold, &part);
		size_t found = last ? (low.n - at >= part.n ? low.n - part.n : low.n + 1) : find(low, at, part);
		if (found > low.n || (last && !rf_str_ends(low, part)))
			return false;
		if (star)
			star[*stars] = (struct rf_str){ s.p ? s.p + at : NULL, found - at };
		++*stars;
		at = found + part.n;
	}
	return true;
}

int wild_match(struct rf_str pattern, bool fold, struct rf_str s, struct rf_arena *arena, bool *ret,
	struct rf_str star[WILD_STARS], unsigned *ret_stars)
{
	char near_room[512], *room = near_room;
	size_t need = pattern.n + (fold ? s.n : 0);
	if (need > sizeof near_room && !(room = rf_arena_alloc(arena, need)))
		return RF_E_NOMEM;
	struct rf_str low = s;
	if (fold) {
		for (size_t i = 0; i < s.n; i++)
			room[pattern.n + i] = (char)rf_lower((unsigned char)s.p[i]);
		low.p = room + pattern.n;
	}
	unsigned stars;
	*ret = match(pattern, fold, room, low, s, star, &stars);
	if (ret_stars)
		*ret_stars = stars;
	return RF_OK;
}
