/* policy/verdict: rules in order over facts, until one decides.
 *
 *	ruleset -> rule -> enabled? -> not skipped? -> condition -> action: terminal | log | skip | edits
 *
 * Invariant: an outcome of RF_BLOCK or RF_ALLOW has the rule that made it. An error blocks.
 */
#include "policy/verdict.h"
#include "policy/rule_int.h"

struct run {
	struct rf_facts *f;
	struct rf_verdict *v;
	const struct rf_trace *trace;
	const struct rf_ruleset *set;
	bool done;     /* the phase has ended */
	bool set_done; /* the rest of this ruleset is skipped */
};

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

static void end(struct run *r, const struct rf_rule *rule, enum rf_outcome outcome, enum rf_why why)
{
	r->v->outcome = outcome;
	r->v->why = why;
	r->v->rule = rule;
	r->v->response = outcome == RF_BLOCK ? rule->response : NULL;
	r->done = true;
}

static void broke(struct run *r, const struct rf_rule *rule, int error)
{
	r->v->error = error;
	end(r, rule, RF_BLOCK, RF_WHY_ERROR);
	r->v->response = NULL;
}

static void hit(struct rf_verdict *v, const struct rf_rule *rule)
{
	if (!rule->logging && rule->action != RF_ACT_LOG)
		return;
	if (v->nhits < RF_HITS)
		v->hits[v->nhits++] = rule;
	else
		v->hits_lost++;
}

/* The text of an edit; an empty one where the expression has no value. */
static int edit_text(struct run *r, const struct rf_edit_spec *s, struct rf_str *ret)
{
	struct rf_val v;
	if (!s->expr) {
		*ret = s->value;
		return RF_OK;
	}
	int c = rf_expr_value(s->expr, r->f, &v);
	if (c)
		return c;
	*ret = v.tag == RF_V_STR ? v.s : RF_STR("");
	return RF_OK;
}

static int edit_header(struct run *r, const struct rf_rule *rule, const struct rf_edit_spec *s)
{
	struct rf_edit e = { s->op, s->name, RF_STR(""), rule };
	int c = s->op == RF_EDIT_REMOVE ? RF_OK : edit_text(r, s, &e.value);
	if (c)
		return c;
	if (!edit_value_ok(e.value))
		return RF_E_INVALID; /* bytes of a client that would make a second header */
	if (e.value.n == 0 && s->op == RF_EDIT_ADD)
		return RF_OK;
	if (e.value.n == 0)
		e.op = RF_EDIT_REMOVE; /* set to nothing: the client's own copy must not pass either */
	if (r->v->nedits == RF_EDITS)
		return RF_E_FULL;
	r->v->edits[r->v->nedits++] = e;
	return RF_OK;
}

static int rewrite(struct run *r, const struct rf_rule *rule)
{
	int c = RF_OK;
	for (size_t i = 0; i < rule->nedits && !c; i++)
		c = edit_header(r, rule, &rule->edits[i]);
	if (!c && rule->path) {
		c = edit_text(r, rule->path, &r->v->path);
		r->v->set_path = true;
		if (!c && !edit_uri_ok(r->v->path, true))
			c = RF_E_INVALID;
	}
	if (!c && rule->query) {
		c = edit_text(r, rule->query, &r->v->query);
		r->v->set_query = true;
		if (!c && !edit_uri_ok(r->v->query, false))
			c = RF_E_INVALID;
	}
	return c;
}

static int skip(struct run *r, const struct rf_skip *s)
{
	r->v->skipped_phases |= s->phases;
	r->set_done |= s->current;
	r->done |= s->phases >> r->set->phase & 1;
	if (s->nrulesets == 0 && s->nrules == 0)
		return RF_OK;
	if (r->v->nskippers == RF_SKIPPERS)
		return RF_E_FULL;
	r->v->skippers[r->v->nskippers++] = s;
	return RF_OK;
}

static void act(struct run *r, const struct rf_rule *rule)
{
	int c = RF_OK;
	hit(r->v, rule);
	switch (rule->action) {
	case RF_ACT_BLOCK:
		end(r, rule, RF_BLOCK, RF_WHY_RULE);
		break;
	case RF_ACT_ALLOW:
		end(r, rule, RF_ALLOW, RF_WHY_RULE);
		break;
	case RF_ACT_LOG:
		break;
	case RF_ACT_SKIP:
		c = skip(r, rule->skip);
		break;
	case RF_ACT_REWRITE:
		c = rewrite(r, rule);
		break;
	default:
		end(r, rule, RF_BLOCK, RF_WHY_CHALLENGE);
	}
	if (c)
		broke(r, rule, c);
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
		broke(r, rule, c);
		return RF_STEP_ERROR;
	}
	if (!matched)
		return RF_STEP_NOT_MATCHED;
	act(r, rule);
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
