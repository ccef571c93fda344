/* cli/ruletest: an operator's table of requests against rules in force or in a file; expressions looked at alone. */
#include <stdlib.h>
#include "cli/try.h"
#include "policy/expr.h"

/* A file of tests is {tests: [...]} or the sequence itself. */
static const json_t *tests_of(const json_t *doc)
{
	return json_is_array(doc) ? doc : json_object_get(doc, "tests");
}

static int run_here(struct cli *c, const json_t *tests)
{
	json_t *rules = NULL;
	struct rules_try *t = NULL;
	size_t passed = 0, failed = 0;
	int rc = cli_file_json(c, cli_get(c, "rules"), &rules);
	if (rc == RF_OK)
		rc = cli_try_new(c, rules, &t);
	if (rc != RF_OK && rules)
		snprintf(c->e.file, sizeof c->e.file, "%s", cli_get(c, "rules"));
	if (rc == RF_OK)
		rc = cli_try_run(t, tests, cli_get(c, "zone"), &passed, &failed);
	if (rc == RF_OK)
		rc = cli_try_verdict(c, passed, failed);
	cli_try_free(t);
	json_decref(rules);
	return rc;
}

static int run_there(struct cli *c, const json_t *tests)
{
	RF_BUF_AUTO path = { 0 };
	json_t *body = json_pack("{s:O}", "tests", tests), *result = NULL, *one;
	size_t i;
	int rc = cli_path(c, c->command->path, NULL, NULL, &path);
	if (rc == RF_OK && cli_has(c, "zone") && (rc = cli_zone(c)) == RF_OK)
		json_object_set_new(body, "zone_id", json_string(c->zone_id));
	if (rc == RF_OK)
		rc = cli_result(c, "POST", rf_buf_z(&path), body, &result);
	json_decref(body);
	if (rc != RF_OK)
		return rc;
	json_array_foreach(json_object_get(result, "tests"), i, one)
		if (!json_is_true(json_object_get(one, "passed")))
			cli_note(c, "FAILED %s: %s", json_string_value(json_object_get(one, "name")), json_string_value(json_object_get(one, "why")));
	size_t passed = (size_t)json_integer_value(json_object_get(result, "passed"));
	size_t failed = (size_t)json_integer_value(json_object_get(result, "failed"));
	if (c->format != CLI_TABLE)
		rc = cli_print(c, result);
	json_decref(result);
	if (c->format != CLI_TABLE)
		return failed ? rf_fail(&c->e, RF_E_CONFLICT, "%zu tests of rules failed", failed) : rc;
	return cli_try_verdict(c, passed, failed);
}

int cli_run_rule_test(struct cli *c)
{
	json_t *doc = NULL;
	int rc = cli_file_json(c, cli_get(c, "FILE"), &doc);
	if (rc == RF_OK && !json_is_array(tests_of(doc)))
		rc = rf_fail_ptr(&c->e, RF_E_MISSING, "/tests", "%s has no sequence of tests", cli_get(c, "FILE"));
	if (rc == RF_OK)
		rc = cli_has(c, "rules") ? run_here(c, tests_of(doc)) : run_there(c, tests_of(doc));
	json_decref(doc);
	return rc;
}

int cli_run_rule_lint(struct cli *c)
{
	const char *text = cli_get(c, "EXPRESSION"), *phase_name = cli_get(c, "phase");
	struct rf_rule_env env = { .have = ~0u };
	struct rf_expr *x = NULL;
	enum rf_phase phase = RF_PHASE_HTTP_REQUEST;
	RF_BUF_AUTO file = { 0 };
	RF_BUF_AUTO canonical = { 0 };
	int rc = text[0] == '@' ? cli_file(c, text + 1, &file) : RF_OK;
	if (rc == RF_OK && phase_name)
		rc = rf_phase_find(rf_str_z(phase_name), &phase, &c->e);
	if (rc == RF_OK)
		rc = rf_expr_compile(&env, phase, text[0] == '@' ? rf_str_trim(rf_buf_str(&file)) : rf_str_z(text), &x, &c->e);
	if (rc != RF_OK)
		return rc;
	if (rf_expr_deprecated(x))
		cli_note(c, "%s is an old name", rf_expr_deprecated(x));
	rf_expr_print(x, &canonical);
	fprintf(c->out, "%s\n", rf_buf_z(&canonical));
	rf_expr_put(x);
	return RF_OK;
}
