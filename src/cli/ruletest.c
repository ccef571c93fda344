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

/* Tests whose hosts are in one zone. */
struct group { char zone[33]; json_t *tests; };
enum { GROUPS_MAX = 256 };

static bool in_zone(const char *host, const char *zone)
{
	size_t n = strlen(zone), m = strlen(host);
	return m >= n && n && rf_str_ieq(rf_str_z(host + m - n), rf_str_z(zone)) && (m == n || host[m - n - 1] == '.');
}

/* The id of the longest zone that the test's host is in; "" where there is none. */
static const char *zone_of(const json_t *zones, const json_t *test)
{
	const char *host = json_string_value(json_object_get(json_object_get(test, "request"), "host")), *best = "";
	size_t i, longest = 0;
	json_t *zone;
	json_array_foreach(zones, i, zone) {
		const char *name = json_string_value(json_object_get(zone, "name")), *id = json_string_value(json_object_get(zone, "id"));
		if (host && name && id && strlen(id) == 32 && strlen(name) > longest && in_zone(host, name)) {
			longest = strlen(name);
			best = id;
		}
	}
	return best;
}

static int put(struct cli *c, struct group *v, size_t *n, const char *zone, json_t *test)
{
	size_t i = 0;
	while (i < *n && strcmp(v[i].zone, zone) != 0)
		i++;
	if (i == GROUPS_MAX)
		return rf_fail(&c->e, RF_E_TOO_LARGE, "the tests are of more than %d zones", GROUPS_MAX);
	if (i == *n) {
		snprintf(v[i].zone, sizeof v[i].zone, "%s", zone);
		v[i].tests = json_array();
		(*n)++;
	}
	return json_array_append(v[i].tests, test) == 0 ? RF_OK : rf_fail(&c->e, RF_E_NOMEM, "memory is exhausted");
}

/* One request for the tests of a zone; its numbers are added up. */
static int ask(struct cli *c, const char *path, const struct group *g, json_t *sum)
{
	json_t *body = json_pack("{s:O}", "tests", g->tests), *result = NULL, *one;
	size_t i;
	if (g->zone[0])
		json_object_set_new(body, "zone_id", json_string(g->zone));
	int rc = cli_result(c, "POST", path, body, &result);
	json_decref(body);
	if (rc != RF_OK)
		return rc;
	json_array_foreach(json_object_get(result, "tests"), i, one)
		if (!json_is_true(json_object_get(one, "passed")))
			cli_note(c, "FAILED %s: %s", json_string_value(json_object_get(one, "name")), json_string_value(json_object_get(one, "why")));
	static const char *const counts[] = { "passed", "failed" };
	for (i = 0; i < 2; i++)
		json_object_set_new(sum, counts[i], json_integer(json_integer_value(json_object_get(sum, counts[i])) +
								 json_integer_value(json_object_get(result, counts[i]))));
	json_array_extend(json_object_get(sum, "tests"), json_object_get(result, "tests"));
	json_decref(result);
	return RF_OK;
}

static int ask_all(struct cli *c, const json_t *tests, json_t *sum)
{
	static struct group groups[GROUPS_MAX];
	RF_BUF_AUTO path = { 0 };
	json_t *zones = NULL, *test;
	size_t i, n = 0;
	int rc = cli_path(c, c->command->path, NULL, NULL, &path);
	if (rc == RF_OK)
		rc = cli_has(c, "zone") ? cli_zone(c) : cli_all(c, "/zones", &zones);
	json_array_foreach(tests, i, test)
		if (rc == RF_OK)
			rc = put(c, groups, &n, cli_has(c, "zone") ? c->zone_id : zone_of(zones, test), test);
	for (i = 0; i < n; i++) {
		if (rc == RF_OK)
			rc = ask(c, rf_buf_z(&path), &groups[i], sum);
		json_decref(groups[i].tests);
	}
	json_decref(zones);
	return rc;
}

/* Over the rules in force: the tests of each zone with the rules of that zone. */
static int run_there(struct cli *c, const json_t *tests)
{
	json_t *sum = json_pack("{s:i, s:i, s:[]}", "passed", 0, "failed", 0, "tests");
	int rc = sum ? ask_all(c, tests, sum) : rf_fail(&c->e, RF_E_NOMEM, "memory is exhausted");
	size_t passed = (size_t)json_integer_value(json_object_get(sum, "passed"));
	size_t failed = (size_t)json_integer_value(json_object_get(sum, "failed"));
	if (rc == RF_OK && c->format == CLI_TABLE)
		rc = cli_try_verdict(c, passed, failed);
	else if (rc == RF_OK && (rc = cli_print(c, sum)) == RF_OK && failed)
		rc = rf_fail(&c->e, RF_E_CONFLICT, "%zu tests of rules failed", failed);
	json_decref(sum);
	return rc;
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
	struct rf_rule_env env = { .have = ~0u, .any_list = true };
	struct rf_expr *x = NULL;
	enum rf_phase phase = RF_PHASE_HTTP_REQUEST;
	RF_BUF_AUTO file = { 0 };
	RF_BUF_AUTO canonical = { 0 };
	RF_BUF_AUTO how = { 0 };
	if (!text)
		return cli_run_generic(c);
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
	bool indexed = rf_expr_reached(x, &how);
	cli_note(c, indexed ? "reached by %s" : "no index leads to this, it is asked of every request: %s", rf_buf_z(&how));
	rf_expr_put(x);
	return RF_OK;
}
