/* A wildcard pattern, and behind the first line end what it is held against. Belief: it matches where a matcher that tries
 * everything does, and the stars together with what stands between them are the text. */
#include <stdlib.h>
#include "policy/wild.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define CHECK(belief) do { if (!(belief)) abort(); } while (0)

static bool tries(struct rf_str pattern, struct rf_str s)
{
	while (pattern.n && pattern.p[0] != '*') {
		size_t skip = pattern.p[0] == '\\' ? 1 : 0;
		if (!s.n || pattern.p[skip] != s.p[0])
			return false;
		pattern = rf_str_skip(pattern, skip + 1);
		s = rf_str_skip(s, 1);
	}
	if (!pattern.n)
		return !s.n;
	for (size_t i = 0; i <= s.n; i++)
		if (tries(rf_str_skip(pattern, 1), rf_str_skip(s, i)))
			return true;
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct rf_str all = { (const char *)p, n }, star[WILD_STARS], pattern = { all.p, rf_str_find(all, '\n') };
	struct rf_str s = rf_str_skip(all, pattern.n < n ? pattern.n + 1 : n);
	struct rf_arena arena;
	struct rf_err e;
	size_t at, in_stars = 0;
	unsigned stars;
	bool matches;
	if (s.n > 32 || pattern.n > 16 || wild_check(pattern, &at, &e) != RF_OK) /* the other one takes exponential time */
		return 0;
	rf_arena_init(&arena, 1 << 16);
	CHECK(wild_match(pattern, false, s, &arena, &matches, star, &stars) == RF_OK);
	CHECK(matches == tries(pattern, s));
	for (unsigned i = 0; matches && i < stars; i++)
		in_stars += star[i].n;
	CHECK(!matches || in_stars <= s.n);
	CHECK(wild_match(pattern, true, s, &arena, &matches, NULL, NULL) == RF_OK);
	rf_arena_fini(&arena);
	return 0;
}
