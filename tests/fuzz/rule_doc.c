/* Any JSON {rules, tests} as a ruleset of every phase that takes it, and the requests that are held against it: as tests, and as
 * the edge would, with counters and answers. */
#include "policy/ruletest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct rf_str no_score(void *ctx, struct rf_str header)
{
	(void)ctx, (void)header;
	return RF_STR("3");
}

static void serve(const struct rf_policy *p, struct rf_limits *limits, const json_t *request, uint64_t now)
{
	static struct rf_verdict v;
	static struct rf_facts f;
	struct rf_arena a;
	struct rf_err e;
	unsigned evicted;
	rf_arena_init(&a, 1 << 20);
	rf_verdict_init(&v);
	v.counting = (struct rf_counting){ limits, now, false };
	if (rf_json_facts(request, "", &a, NULL, 0, &f, &e) == RF_OK) {
		rf_policy_eval(p, &f, &v, NULL);
		rf_late_counts(v.late, v.nlate, &v.counting, &f, true, no_score, NULL, &evicted);
		for (size_t i = 0; i < v.location.n; i++)
			if ((unsigned char)v.location.p[i] <= ' ' || v.location.p[i] == 0x7f)
				__builtin_trap(); /* it would end a header line */
	}
	rf_arena_fini(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct rf_rule_env env = { .have = ~0u };
	json_t *doc = json_loadb((const char *)data, size, 0, NULL), *tests = json_object_get(doc, "tests"), *test;
	struct rf_policy p = { 0 };
	struct rf_rule_test_report report = { 0 };
	struct rf_limits *limits = rf_limits_new(RF_LIMIT_COUNTERS_LEAST);
	struct rf_err e;
	size_t n;
	for (int i = 0; doc && i < RF_PHASE_COUNT; i++) {
		struct rf_ruleset *s = NULL;
		enum rf_phase phase = (enum rf_phase)i;
		if (rf_ruleset_make(&env, phase, RF_STR("z"), RF_STR("n"), json_object_get(doc, "rules"), NULL, &s, &e) == RF_OK)
			(void)rf_phase_set_make(phase, &s, 1, &p.phase[i]);
		rf_ruleset_put(s);
	}
	if (doc)
		(void)rf_rule_tests_run(&p, NULL, doc, 0, &report, &e);
	json_array_foreach(tests, n, test)
		if (limits && n < 16)
			for (uint64_t i = 0; i < 4; i++)
				serve(&p, limits, json_object_get(test, "request"), (n * 4 + i) * 3000000000u);
	rf_limits_free(limits);
	for (int i = 0; i < RF_PHASE_COUNT; i++)
		rf_phase_set_put(p.phase[i]);
	json_decref(doc);
	return 0;
}
