/* ctl/rule_cost: see rule_cost.h. */
#include "ctl/rule_cost.h"
#include <stdio.h>
#include "base/buf.h"
#include "policy/index.h"
#include "records/counters.h"

enum { LABEL = 50 };

struct rf_str rf_rule_label(const struct rf_rule *r)
{
	return r->description.n ? r->description : r->ref.n && !rf_str_eq(r->ref, r->id) ? r->ref : r->expression;
}

/* Its front, where it is long. */
static struct rf_str shown(struct rf_str label)
{
	return (struct rf_str){ label.p, label.n > LABEL ? LABEL : label.n };
}

static void remember(struct rf_rule_costs *k, const char *id, struct rf_str label, uint64_t took)
{
	unsigned at = RF_COSTLY;
	for (; at > 0 && k->costly[at - 1].took < took; at--)
		if (at < RF_COSTLY)
			k->costly[at] = k->costly[at - 1];
	if (at == RF_COSTLY)
		return;
	k->costly[at].took = took;
	snprintf(k->costly[at].id, sizeof k->costly[at].id, "%s", id);
	snprintf(k->costly[at].label, sizeof k->costly[at].label, "%.*s", RF_ARG(shown(label)));
}

int rf_rule_cost(struct rf_rule_costs *k, const char *id, struct rf_str label, uint64_t took, struct rf_err *e)
{
	char at[64];
	RF_BUF_AUTO who = { 0 };
	k->took += took;
	remember(k, id, label, took);
	if (!k->bound || k->took <= k->bound)
		return RF_OK;
	rf_count(RF_C_LIMIT_RULES_COMPILE);
	for (unsigned i = 0; i < RF_COSTLY && k->costly[i].id[0]; i++)
		rf_buf_printf(&who, "%s%s (\"%s\", %.1f ms)", i ? ", " : "", k->costly[i].id, k->costly[i].label,
			      (double)k->costly[i].took / 1e6);
	snprintf(at, sizeof at, "%s/%s/expression", k->where, k->costly[0].id);
	return rf_fail_ptr(e, RF_E_TOO_LARGE, at, "the rules take longer to compile than limits.rules_compile_time (%.0f ms); "
			   "the costliest are %s", (double)k->bound / 1e6, rf_buf_z(&who));
}

int rf_rule_cost_memory(const struct rf_ruleset *s, size_t texts, const char *where, size_t bound, struct rf_err *e)
{
	size_t bytes = s->bytes + rf_ruleset_index_bytes(s) + texts;
	const struct rf_rule *costly[RF_COSTLY];
	char at[64];
	RF_BUF_AUTO who = { 0 };
	if (!bound || bytes <= bound)
		return RF_OK;
	rf_count(RF_C_LIMIT_RULES_MEMORY);
	unsigned n = rf_ruleset_costly(s, costly);
	for (unsigned i = 0; i < n; i++)
		rf_buf_printf(&who, "%s%.*s (\"%.*s\", %zu KB)", i ? ", " : "", RF_ARG(costly[i]->id),
			      RF_ARG(shown(rf_rule_label(costly[i]))), (costly[i]->bytes + 1023) / 1024);
	snprintf(at, sizeof at, "%s/%.*s/expression", where, n ? (int)costly[0]->id.n : 0, n ? costly[0]->id.p : "");
	return rf_fail_ptr(e, RF_E_TOO_LARGE, at, "the rules take %zu KB, more than limits.rules_memory (%zu KB); the costliest are %s",
			   bytes / 1024, bound / 1024, rf_buf_z(&who));
}
