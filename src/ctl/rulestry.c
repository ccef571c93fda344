/* ctl/rulestry: an operator's table of requests, held against the rules in force or against others that are given.
 *
 * Given rulesets replace all that are in force; they are compiled as a write would compile them, with the lists in force.
 */
#include <stdio.h>
#include "ctl/build.h"
#include "ctl/doc.h"
#include "ctl/explain.h"
#include "policy/ruletest.h"

static const struct rf_policy *in_force(const struct rf_snap *s, struct rf_str zone_id)
{
	for (size_t i = 0; zone_id.n && i < s->site->zone_count; i++)
		if (rf_str_eq(rf_str_z(s->site->zones[i]->id), zone_id))
			return &s->zone_policy[s->site->zones[i]->index];
	return zone_id.n ? NULL : &s->policy;
}

static int below(struct rf_err *e, size_t i)
{
	char pointer[sizeof e->pointer];
	snprintf(pointer, sizeof pointer, "/rulesets/%zu%.90s", i, e->pointer);
	memcpy(e->pointer, pointer, sizeof pointer);
	return e->code;
}

struct given {
	struct rf_ruleset *sets[RF_PHASE_SETS];
	size_t n;
};

static int compile(const struct rf_rule_env *env, const json_t *rulesets, struct given *g, struct rf_err *e)
{
	if (!json_is_array(rulesets) || json_array_size(rulesets) > RF_PHASE_SETS)
		return rf_fail_ptr(e, RF_E_TYPE, "/rulesets", "there should be an array of at most %d rulesets", RF_PHASE_SETS);
	for (size_t i = 0; i < json_array_size(rulesets); i++) {
		const json_t *one = json_array_get(rulesets, i);
		enum rf_phase phase;
		e->pointer[0] = '\0';
		if (rf_phase_find(doc_str(one, "phase"), &phase, e) != RF_OK ||
		    rf_ruleset_make(env, phase, doc_str(one, "id"), doc_str(one, "name"), json_object_get(one, "rules"), NULL,
				    &g->sets[g->n], e) != RF_OK)
			return below(e, i);
		g->n++;
	}
	return RF_OK;
}

static int policy_of(const struct given *g, struct rf_policy *ret, struct rf_err *e)
{
	for (int phase = 0; phase < RF_PHASE_COUNT; phase++) {
		struct rf_ruleset *sets[RF_PHASE_SETS];
		size_t n = 0;
		for (size_t i = 0; i < g->n; i++)
			if ((int)g->sets[i]->phase == phase)
				sets[n++] = g->sets[i];
		if (n && rf_phase_set_make((enum rf_phase)phase, sets, n, &ret->phase[phase]) != RF_OK)
			return rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	}
	return RF_OK;
}

static void told(void *ctx, const char *name, bool passed, const char *why)
{
	json_array_append_new(ctx, json_pack("{s:s, s:b, s:s}", "name", name, "passed", passed, "why", why));
}

static int run(struct rf_ctl *c, const struct rf_policy *p, const struct rf_lists *lists, const json_t *body, json_t **ret,
	       struct rf_err *e)
{
	json_t *tests = json_array();
	struct rf_rule_test_report report = { .each = told, .ctx = tests };
	int rc = rf_rule_tests_run(p, lists, body, c->clock.wall(c->clock.ctx), &report, e);
	if (rc != RF_OK) {
		json_decref(tests);
		return rc;
	}
	*ret = json_pack("{s:I, s:I, s:o}", "passed", (json_int_t)report.passed, "failed", (json_int_t)report.failed, "tests", tests);
	return *ret ? RF_OK : rf_fail(e, RF_E_NOMEM, "memory is exhausted");
}

int rf_ctl_rules_test(struct rf_ctl *c, const json_t *body, json_t **ret, struct rf_err *e)
{
	const struct rf_snap *s = rf_snap_now();
	const json_t *rulesets = json_object_get(body, "rulesets");
	struct rf_rule_env env = { s->lists, rf_build_have(c) };
	struct rf_policy made = { 0 };
	struct given g = { .n = 0 };
	const struct rf_policy *p = in_force(s, doc_str(body, "zone_id"));
	if (!p)
		return rf_fail_ptr(e, RF_E_INVALID, "/zone_id", "there is no zone %s", doc_str(body, "zone_id").p);
	int rc = rulesets ? compile(&env, rulesets, &g, e) : RF_OK;
	if (rc == RF_OK && rulesets)
		rc = policy_of(&g, &made, e);
	if (rc == RF_OK)
		rc = run(c, rulesets ? &made : p, s->lists, body, ret, e);
	for (int phase = 0; phase < RF_PHASE_COUNT; phase++)
		rf_phase_set_put(made.phase[phase]);
	for (size_t i = 0; i < g.n; i++)
		rf_ruleset_put(g.sets[i]);
	return rc;
}
