#include "base/near.h"

enum { LONGEST = 96 };

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Optimal string alignment distance; both at most LONGEST bytes. */
static size_t distance(struct rf_str a, struct rf_str b)
{
	size_t row[3][LONGEST + 1];
	for (size_t j = 0; j <= b.n; j++)
		row[0][j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		size_t *now = row[i % 3], *one = row[(i + 2) % 3], *two = row[(i + 1) % 3];
		now[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			bool same = a.p[i - 1] == b.p[j - 1];
			now[j] = least(least(one[j], now[j - 1]) + 1, one[j - 1] + !same);
			if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1])
				now[j] = least(now[j], two[j - 2] + 1);
		}
	}
	return row[a.n % 3][b.n];
}

const char *rf_near(struct rf_str name, const char *const *names, size_t count)
{
	const char *best = NULL;
	size_t bound = name.n / 3 + 1;
	if (name.n > LONGEST)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		struct rf_str other = rf_str_z(names[i]);
		if (other.n > LONGEST)
			continue;
		size_t d = distance(name, other);
		if (d < bound) {
			bound = d;
			best = names[i];
		}
	}
	return best;
}
