/* policy/outcome: what a rule that matches does to the verdict.
 *
 * Invariant: an outcome of RF_BLOCK or RF_ALLOW has the rule that made it. An error blocks.
 */
#include "policy/outcome.h"
#include "policy/rule_int.h"

static void end(struct run *r, const struct rf_rule *rule, enum rf_outcome outcome, enum rf_why why)
{
	r->v->outcome = outcome;
	r->v->why = why;
	r->v->rule = rule;
	r->v->response = outcome == RF_BLOCK ? rule->response : NULL;
	r->done = true;
}

void outcome_broke(struct run *r, const struct rf_rule *rule, int error)
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

void outcome_act(struct run *r, const struct rf_rule *rule)
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
		outcome_broke(r, rule, c);
}
