/* policy/text: which of many literals and patterns a text has. Private to policy.
 *
 * Two forms answer the same. The quick one is made in a moment: it knows for each literal three or four bytes in a row
 * that are rare among the others, and looks at a literal as a whole where a text has them. The frozen one is a vectorscan
 * database, which also takes whole patterns; making it takes milliseconds for each thousand literals. Literals are found
 * without regard to case: who asks tests what was found.
 */
#pragma once
#include "base/arena.h"

struct regex;

struct text_item {
	struct rf_str lit;           /* at least ACCESS_LITERAL bytes; of a pattern: its text */
	bool pattern;
	uint32_t key;
};

enum {
	TEXT_PATTERNS = 256, /* whole patterns of a database */
	TEXT_FEW = 6,        /* literals that are looked for one by one */
};

struct text;

/* NULL without memory. Quick: no patterns. */
struct text *text_quick(const struct text_item *items, size_t count);
/* NULL also where vectorscan does not take them together. */
struct text *text_frozen(const struct text_item *items, size_t count);
void text_free(struct text *t);
size_t text_bytes(const struct text *t);

/* Call `found` with the key of each item that s has, perhaps several times. RF_E_NOMEM. */
typedef void text_found(void *ctx, uint32_t key);
int text_scan(const struct text *t, struct rf_str s, struct rf_arena *arena, text_found *found, void *ctx);
