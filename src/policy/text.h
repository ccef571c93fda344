/* policy/text: which of many literals and patterns a text has. Private to policy.
 *
 * Two forms answer the same. The quick one is made in a moment: it knows for each literal three or four bytes in a row
 * that are rare among the others, and looks at a literal as a whole where a text has them. The frozen one has a vectorscan
 * database beside it for long texts, which also takes whole patterns; making it takes milliseconds for each thousand
 * literals. Literals are found without regard to case: who asks tests what was found.
 */
#pragma once
#include "policy/regex.h"

struct text_item {
	struct rf_str lit;           /* at least ACCESS_LITERAL bytes */
	const struct regex *pattern; /* instead; NULL: a literal */
	uint32_t key;
};

enum {
	TEXT_PATTERNS = 256, /* whole patterns of a database */
	TEXT_FEW = 6,        /* literals for which no database is made */
};

struct text;

/* NULL without memory. Quick: no patterns. */
struct text *text_quick(const struct text_item *items, size_t count);
/* NULL also where vectorscan does not take them together. */
struct text *text_frozen(const struct text_item *items, size_t count);
void text_free(struct text *t);
size_t text_bytes(const struct text *t);

/* Called with the key of each item that a text has, perhaps several times, and of some that it has not. */
struct text_found {
	void (*found)(void *ctx, uint32_t key);
	void *ctx;
};
/* RF_E_NOMEM, RF_E_TOO_LARGE: not all may have been found. */
int text_scan(const struct text *t, struct rf_str s, const struct text_found *f);
