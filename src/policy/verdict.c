/* policy/verdict: rules in order over facts, until one decides.
 *
 *	ruleset -> rule -> enabled? -> not skipped? -> condition -> outcome_act (outcome.c)
 *
 * Invariant: an outcome of RF_BLOCK or RF_ALLOW has the rule that made it. An error blocks.
 */
#include "policy/verdict.h"
#include "policy/outcome.h"

void rf_verdict_init(struct rf_verdict *v)
{
	v->outcome = RF_PASS;
	v->why = RF_WHY_NONE;
	v->error = RF_OK;
	v->rule = NULL;
	v->response = NULL;
	v->nhits = v->hits_lost = v->nedits = v->nskippers = 0;
	v->set_path = v->set_query = false;
	v->skipped_phases = 0;
}

const char *rf_why_str(enum rf_why why)
{
	switch (why) {
	case RF_WHY_NONE:
		return "";
	case RF_WHY_RULE:
		return "a rule";
	case RF_WHY_CHALLENGE:
		return "a challenge is meaningless to a device";
	default:
		return "a rule could not be evaluated";
	}
}

static bool set_skipped(const struct rf_verdict *v, const struct rf_ruleset *set)
{
	for (unsigned i = 0; i < v->nskippers; i++)
		for (size_t k = 0; k < v->skippers[i]->nrulesets; k++)
			if (rf_str_eq(v->skippers[i]->rulesets[k], rf_str_z(set->id)))
				return true;
	return false;
}

static bool rule_skipped(const struct rf_verdict *v, const struct rf_ruleset *set, const struct rf_rule *rule)
{
	for (unsigned i = 0; i < v->nskippers; i++)
		for (size_t k = 0; k < v->skippers[i]->nrules; k++)
			if (rf_str_eq(v->skippers[i]->rules[k].rule, rule->id) &&
				rf_str_eq(v->skippers[i]->rules[k].ruleset, rf_str_z(set->id)))
				return true;
	return false;
}

static enum rf_step step(struct run *r, const struct rf_rule *rule)
{
	bool matched;
	if (r->done)
		return RF_STEP_NOT_REACHED;
	if (r->set_done)
		return RF_STEP_SKIPPED;
	if (!rule->enabled)
		return RF_STEP_DISABLED;
	if (r->v->nskippers && rule_skipped(r->v, r->set, rule))
		return RF_STEP_SKIPPED;
	int c = rf_expr_test(rule->cond, r->f, &matched);
	if (c) {
		outcome_broke(r, rule, c);
		return RF_STEP_ERROR;
	}
	if (!matched)
		return RF_STEP_NOT_MATCHED;
	outcome_act(r, rule);
	return r->v->why == RF_WHY_ERROR ? RF_STEP_ERROR : RF_STEP_MATCHED;
}

static void run_block(struct run *r, const struct rf_rule_block *b)
{
	for (unsigned i = 0; i < b->count && (!r->done || r->trace); i++) {
		enum rf_step s = step(r, b->rules[i]);
		if (r->trace)
			r->trace->rule(r->trace->ctx, r->set, b->rules[i], s, r->f);
	}
}

static void run_set(struct run *r)
{
	r->set_done = set_skipped(r->v, r->set) || (r->v->skipped_phases >> r->set->phase & 1);
	for (size_t b = 0; b < r->set->nblocks && (!r->done || r->trace); b++)
		run_block(r, r->set->blocks[b]);
}

void rf_phase_eval(const struct rf_phase_set *set, struct rf_facts *f, struct rf_verdict *v,
	const struct rf_trace *trace)
{
	struct run r = { .f = f, .v = v, .trace = trace };
	for (size_t i = 0; set && i < set->count && (!r.done || trace); i++) {
		r.set = set->sets[i];
		run_set(&r);
	}
}

void rf_http_eval(const struct rf_policy *p, struct rf_facts *f, struct rf_verdict *v, const struct rf_trace *trace)
{
	static const enum rf_phase order[] = { RF_PHASE_HTTP_REQUEST, RF_PHASE_HTTP_TRANSFORM, RF_PHASE_HTTP_LATE };
	for (size_t i = 0; i < sizeof order / sizeof *order && v->outcome != RF_BLOCK; i++)
		rf_phase_eval(p->phase[order[i]], f, v, trace);
}

void rf_policy_eval(const struct rf_policy *p, struct rf_facts *f, struct rf_verdict *v, const struct rf_trace *trace)
{
	if (rf_fact(f, RF_F_PACKET)->s.n) {
		rf_phase_eval(p->phase[RF_PHASE_PACKET], f, v, trace);
		return;
	}
	rf_phase_eval(p->phase[RF_PHASE_CONNECTION], f, v, trace);
	if (v->outcome != RF_BLOCK)
		rf_http_eval(p, f, v, trace);
}
