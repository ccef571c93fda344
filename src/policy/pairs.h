/* policy/pairs: names with values in the order in which they came, and the arrays and maps that fields make of them. */
#pragma once
#include "base/arena.h"
#include "policy/value.h"

struct rf_pairs {
	struct rf_str *key, *value;
	uint32_t n, cap;
};

/* All false without memory. */
bool rf_pair_add(struct rf_arena *a, struct rf_pairs *p, struct rf_str key, struct rf_str value);
bool rf_array_of(struct rf_arena *a, const struct rf_str *v, uint32_t n, struct rf_val *ret);
/* Values of one key together, keys in the order in which they first came; in linear time. */
bool rf_pairs_map(struct rf_arena *a, const struct rf_pairs *p, struct rf_val *ret);
/* The values of one key in order, maybe none. */
bool rf_pairs_values(struct rf_arena *a, const struct rf_pairs *p, struct rf_str key, struct rf_val *ret);
