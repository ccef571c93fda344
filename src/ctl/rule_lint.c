/* ctl/rule_lint: the rules that no index leads to, and those of packets that no kernel asks, with the reason. */
#include "ctl/explain.h"
#include "ctl/packets.h"
#include "ctl/private.h"

enum { LINT_MAX = 10000 }; /* rules that are listed */

static json_t *entry(const struct rf_ruleset *set, const struct rf_rule *r, struct rf_str why)
{
	return json_pack("{s:s, s:s, s:s%, s:s%, s:s, s:s%, s:s%}", "phase", rf_phases[set->phase].name, "ruleset_id", set->id,
			 "id", r->id.n ? r->id.p : "", r->id.n, "ref", r->ref.n ? r->ref.p : "", r->ref.n,
			 "action", rf_actions[r->action].name, "expression", r->expression.p, r->expression.n, "reason", why.p, why.n);
}

/* Rules of packets have no index: they are listed where they are not in force. */
static bool to_be_listed(const struct rf_ctl *c, const struct rf_rule *r, struct rf_buf *why)
{
	const char *missing = r->phase == RF_PHASE_PACKET ? rf_packets_missing(c) : NULL;
	if (missing)
		rf_buf_printf(why, "%s", missing);
	return r->enabled && (r->phase == RF_PHASE_PACKET ? missing != NULL : !rf_expr_reached(r->cond, why));
}

static int lint_set(const struct rf_ctl *c, const struct rf_ruleset *set, json_t *array, struct rf_err *e)
{
	for (size_t b = 0; b < set->nblocks; b++)
		for (unsigned i = 0; i < set->blocks[b]->count && json_array_size(array) < LINT_MAX; i++) {
			RF_BUF_AUTO why = { 0 };
			if (!to_be_listed(c, rf_link_like(set->blocks[b]->rules[i]), &why))
				continue;
			if (json_array_append_new(array, entry(set, rf_block_rule(set->blocks[b], i), rf_buf_str(&why))) != 0)
				return rf_fail(e, RF_E_NOMEM, "memory is exhausted");
		}
	return RF_OK;
}

int rf_ctl_rules_lint(struct rf_ctl *c, json_t **ret, struct rf_err *e)
{
	const struct rf_parts *p = &c->priv->parts;
	json_t *array = json_array();
	int rc = array ? RF_OK : rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	for (size_t i = 0; rc == RF_OK && i < p->rules_count; i++)
		rc = lint_set(c, p->rules[i].set, array, e);
	for (int phase = 0; rc == RF_OK && phase < RF_PHASE_COUNT; phase++)
		if (p->patched[phase])
			rc = lint_set(c, p->patched[phase], array, e);
	if (rc == RF_OK)
		*ret = array;
	else
		json_decref(array);
	return rc;
}
