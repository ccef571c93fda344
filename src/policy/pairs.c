/* policy/pairs: arrays that grow in an arena, and grouping by key through a table of hashes. */
#include "policy/pairs.h"
#include "base/hash.h"

bool rf_pair_add(struct rf_arena *a, struct rf_pairs *p, struct rf_str key, struct rf_str value)
{
	if (p->n == p->cap) {
		uint32_t cap = p->cap ? p->cap * 2 : 16;
		struct rf_str *both = rf_arena_array(a, (size_t)cap * 2, sizeof *both);
		if (!both)
			return false;
		for (uint32_t i = 0; i < p->n; i++) {
			both[i] = p->key[i];
			both[cap + i] = p->value[i];
		}
		*p = (struct rf_pairs){ both, both + cap, p->n, cap };
	}
	p->key[p->n] = key;
	p->value[p->n++] = value;
	return true;
}

bool rf_array_of(struct rf_arena *a, const struct rf_str *v, uint32_t n, struct rf_val *ret)
{
	struct rf_val *out = rf_arena_array(a, n ? n : 1, sizeof *out);
	for (uint32_t i = 0; out && i < n; i++)
		out[i] = rf_val_str(v[i]);
	*ret = rf_val_array(out, n);
	return out;
}

bool rf_pairs_values(struct rf_arena *a, const struct rf_pairs *p, struct rf_str key, struct rf_val *ret)
{
	struct rf_val *out = rf_arena_array(a, p->n ? p->n : 1, sizeof *out);
	uint32_t n = 0;
	for (uint32_t i = 0; out && i < p->n; i++)
		if (rf_str_eq(p->key[i], key))
			out[n++] = rf_val_str(p->value[i]);
	*ret = rf_val_array(out, n);
	return out;
}

/* The place of a key among the entries; a new one where it was not seen before. */
static uint32_t place(struct rf_str key, uint32_t *table, uint32_t mask, struct rf_entry *m, uint32_t *keys)
{
	uint32_t at = (uint32_t)rf_hash(key) & mask;
	while (table[at] && !rf_str_eq(m[table[at] - 1].key, key))
		at = (at + 1) & mask;
	if (!table[at]) {
		m[*keys].key = key;
		table[at] = ++*keys;
	}
	return table[at] - 1;
}

bool rf_pairs_map(struct rf_arena *a, const struct rf_pairs *p, struct rf_val *ret)
{
	uint32_t size = 16, keys = 0;
	while (size < 2 * p->n)
		size *= 2;
	uint32_t *table = rf_arena_array(a, size, sizeof *table), *of = rf_arena_array(a, p->n + 1, sizeof *of);
	struct rf_entry *m = rf_arena_array(a, p->n + 1, sizeof *m);
	struct rf_val *all = rf_arena_array(a, p->n + 1, sizeof *all);
	if (!table || !of || !m || !all)
		return false;
	for (uint32_t i = 0; i < p->n; i++) {
		of[i] = place(p->key[i], table, size - 1, m, &keys);
		m[of[i]].val.n++;
	}
	struct rf_val *next = all;
	for (uint32_t k = 0; k < keys; k++) {
		uint32_t n = m[k].val.n;
		m[k].val = rf_val_array(next, 0);
		next += n;
	}
	for (uint32_t i = 0; i < p->n; i++) {
		struct rf_val *v = &m[of[i]].val;
		((struct rf_val *)(uintptr_t)v->a)[v->n++] = rf_val_str(p->value[i]);
	}
	*ret = rf_val_map(m, keys);
	return true;
}
