/* shield/sketch: counts that take a fixed room: how many different, and which are the most frequent. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* How many different hashes went into registers, each kept as the longest run of zeros that it saw (HyperLogLog, Flajolet and
 * others 2007); with n registers the standard error is 1.04 / sqrt(n). */
void rf_hll_add(uint8_t *registers, unsigned n, uint64_t hash);
uint64_t rf_hll_count(const uint8_t *registers, unsigned n);

/* How many different there are among `all`, where a sample of `sampled` of them had `seen`, as far as all are as frequent. *ret_least: there
 * are at least so many, as hardly any was seen twice. */
uint64_t rf_distinct(uint64_t seen, uint64_t sampled, uint64_t all, bool *ret_least);

/* The most frequent keys of a stream, by Space-Saving (Metwally and others 2005): a key that makes more than 1/n of the weight is
 * among them, and its weight is never told too small; of it, `weight - over` is sure. Keys are not 0. */
struct rf_top {
	uint64_t key, weight, over;
};
/* The place that the key has. */
unsigned rf_top_add(struct rf_top *v, unsigned n, uint64_t key, uint64_t weight);
/* The heaviest first. */
void rf_top_sort(struct rf_top *v, unsigned n);
