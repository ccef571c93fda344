/* policy/facts: the memo between the rules and whoever knows the request.
 *
 * Invariant: val[f] is valid exactly where bit f of `known` is set.
 */
#include "policy/facts.h"

void rf_facts_init(struct rf_facts *f, const struct rf_facts_ops *ops, void *ctx, struct rf_arena *arena,
	const struct rf_lists *lists, int64_t wall_ns)
{
	f->ops = ops;
	f->ctx = ctx;
	f->arena = arena;
	f->lists = lists;
	f->wall_ns = wall_ns;
	memset(f->known, 0, sizeof f->known);
	f->kept_count = f->asked = 0;
	f->memo.slot = NULL;
}

void rf_fact_own(struct rf_facts *f, enum rf_field field)
{
	f->val[field] = field == RF_F_HTTP_SEC ? rf_val_int(f->wall_ns / 1000000000) :
		field == RF_F_HTTP_MSEC ? rf_val_int(f->wall_ns / 1000000 % 1000) :
		rf_fields[field].zero ? rf_type_zero(rf_fields[field].type) : (struct rf_val){ 0 };
}

static struct rf_val look_up(struct rf_facts *f, enum rf_field field, struct rf_str key)
{
	struct rf_val v = { 0 };
	if (f->ops->get_key && rf_fields[field].planes != RF_ON_B) { /* a body is parsed once, whole */
		f->asked++;
		return f->ops->get_key(f->ctx, f->arena, field, key, &v) ? v : (struct rf_val){ 0 };
	}
	rf_val_at(rf_fact(f, field), key, &v);
	return v;
}

struct rf_val rf_fact_key(struct rf_facts *f, enum rf_field field, struct rf_str key)
{
	for (unsigned i = 0; i < f->kept_count; i++)
		if (f->kept[i].tag == (uint32_t)field && rf_str_eq(f->kept[i].key, key))
			return f->kept[i].val;
	struct rf_val v = look_up(f, field, key);
	if (f->kept_count < RF_FACTS_KEPT)
		f->kept[f->kept_count++] = (struct rf_kept){ .tag = (uint32_t)field, .key = key, .val = v };
	return v;
}
