/* policy/func_array: arrays out of maps and of arrays. */
#include "policy/func.h"

int fn_values(struct rf_facts *f, const struct rf_val *a, unsigned n, struct rf_val *ret)
{
	(void)n;
	struct rf_val *to = rf_arena_array(f->arena, a[0].n ? a[0].n : 1, sizeof *to);
	if (!to)
		return RF_E_NOMEM;
	for (uint32_t i = 0; i < a[0].n; i++)
		to[i] = a[0].m[i].val;
	*ret = rf_val_array(to, a[0].n);
	return RF_OK;
}

int fn_flatten(struct rf_facts *f, const struct rf_val *a, unsigned n, struct rf_val *ret)
{
	(void)n;
	uint32_t total = 0, at = 0;
	for (uint32_t i = 0; i < a[0].n; i++)
		total += a[0].a[i].tag == RF_V_ARRAY ? a[0].a[i].n : 0;
	struct rf_val *to = rf_arena_array(f->arena, total ? total : 1, sizeof *to);
	if (!to)
		return RF_E_NOMEM;
	for (uint32_t i = 0; i < a[0].n; i++)
		for (uint32_t k = 0; a[0].a[i].tag == RF_V_ARRAY && k < a[0].a[i].n; k++)
			to[at++] = a[0].a[i].a[k];
	*ret = rf_val_array(to, total);
	return RF_OK;
}
