/* Any JSON {rules, tests} as a ruleset and the requests that are held against it. */
#include "policy/ruletest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct rf_rule_env env = { .have = ~0u };
	json_t *doc = json_loadb((const char *)data, size, 0, NULL);
	struct rf_policy p = { 0 };
	struct rf_rule_test_report report = { 0 };
	struct rf_err e;
	static const enum rf_phase phases[] = { RF_PHASE_CONNECTION, RF_PHASE_HTTP_REQUEST, RF_PHASE_HTTP_LATE };
	for (size_t i = 0; doc && i < sizeof phases / sizeof *phases; i++) {
		struct rf_ruleset *s = NULL;
		if (rf_ruleset_make(&env, phases[i], RF_STR("z"), RF_STR("n"), json_object_get(doc, "rules"), NULL, &s, &e) == RF_OK)
			(void)rf_phase_set_make(phases[i], &s, 1, &p.phase[phases[i]]);
		rf_ruleset_put(s);
	}
	if (doc)
		(void)rf_rule_tests_run(&p, NULL, doc, 0, &report, &e);
	for (int i = 0; i < RF_PHASE_COUNT; i++)
		rf_phase_set_put(p.phase[i]);
	json_decref(doc);
	return 0;
}
