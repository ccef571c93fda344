/* policy/know: evaluate a condition over facts of which some are not known.
 *
 * Three values: what follows from the known facts alone holds or does not; all else cannot be known. `x and y` does not hold
 * where x does not, whatever y is. A test that asks for an unknown fact is itself unknown.
 */
#pragma once
#include "policy/expr.h"

enum rf_known { RF_HOLDS_NOT, RF_HOLDS, RF_HOLDS_UNKNOWN };

struct rf_knowledge {
	/* Is this field known; of a map with a key that the condition names, this entry? `key` is "" for the whole. */
	bool (*knows)(void *ctx, enum rf_field f, struct rf_str key);
	void *ctx;
	uint64_t missed[(RF_FIELD_COUNT + 63) / 64]; /* fields that were asked for and are not known; add-only */
};

/* RF_OK with *ret, or the error of rf_expr_test. */
int rf_expr_know(const struct rf_expr *x, struct rf_facts *f, struct rf_knowledge *k, enum rf_known *ret);
