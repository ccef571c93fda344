/* policy/wild: wildcard patterns over whole values: `*` stands for any bytes. Private to policy.
 *
 * Without backtracking: the part before the first star is a prefix, each part between two stars is
 * taken where it is found first, the last one is a suffix. That is the match in which every star is
 * as short as it can be, and if it does not exist no other does. `\*` is a star, `\\` a backslash.
 */
#pragma once
#include "base/arena.h"
#include "base/err.h"

enum { WILD_STARS = 64 };

/* A pattern is stored in its text form; this says whether it is one. *ret_at: the byte in error. */
int wild_check(struct rf_str pattern, size_t *ret_at, struct rf_err *e);

/* RF_E_NOMEM for the copies in lower case. `star` (NULL: not wanted) gets what each star stands for. */
int wild_match(struct rf_str pattern, bool fold, struct rf_str s, struct rf_arena *arena, bool *ret,
	struct rf_str star[WILD_STARS], unsigned *ret_stars);
