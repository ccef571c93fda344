/* shield/sketch: see sketch.h. */
#include "shield/sketch.h"
#include <math.h>
#include <stdlib.h>

void rf_hll_add(uint8_t *registers, unsigned n, uint64_t hash)
{
	uint8_t rank = (uint8_t)(__builtin_ctzll(hash / n | 1ull << 53) + 1);
	if (registers[hash % n] < rank)
		registers[hash % n] = rank;
}

uint64_t rf_hll_count(const uint8_t *registers, unsigned n)
{
	double sum = 0, alpha = 0.7213 / (1 + 1.079 / n);
	unsigned zero = 0;
	for (unsigned i = 0; i < n; i++) {
		sum += ldexp(1, -registers[i]);
		zero += !registers[i];
	}
	double e = alpha * n * n / sum;
	if (e <= 2.5 * n && zero) /* few: count the registers that are still empty */
		e = n * log((double)n / zero);
	return (uint64_t)(e + 0.5);
}

uint64_t rf_distinct(uint64_t seen, uint64_t sampled, uint64_t all, bool *ret_least)
{
	double least = (double)seen, most = (double)all;
	*ret_least = sampled < all && seen > sampled - sampled / 10;
	if (sampled >= all || *ret_least || seen >= all)
		return seen;
	for (int i = 0; i < 60; i++) { /* seen = n (1 - exp(-sampled / n)), which grows with n */
		double n = (least + most) / 2;
		if (n * (1 - exp(-(double)sampled / n)) < (double)seen)
			least = n;
		else
			most = n;
	}
	return (uint64_t)(least + 0.5);
}

unsigned rf_top_add(struct rf_top *v, unsigned n, uint64_t key, uint64_t weight)
{
	unsigned least = 0;
	for (unsigned i = 0; i < n; i++) {
		if (v[i].key == key) {
			v[i].weight += weight;
			return i;
		}
		if (v[i].weight < v[least].weight)
			least = i;
	}
	v[least] = (struct rf_top){ key, v[least].weight + weight, v[least].weight };
	return least;
}

static int heavier(const void *a, const void *b)
{
	const struct rf_top *x = a, *y = b;
	return x->weight < y->weight ? 1 : x->weight > y->weight ? -1 : 0;
}

void rf_top_sort(struct rf_top *v, unsigned n)
{
	qsort(v, n, sizeof *v, heavier);
}
