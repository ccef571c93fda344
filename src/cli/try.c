/* cli/try: rules of a file compiled and tested here, without a daemon.
 *
 * Lists first, since rules name them; then the account's rules by phase; then for each zone the account's and its own. The
 * compiler and evaluator are those of the edge. What depends on files of the edge (countries, for one) compiles here
 * always: a test says such a field itself.
 */
#include <stdlib.h>
#include "cli/list.h"
#include "cli/try.h"
#include "cli/try_patch.h"
#include "policy/lists.h"
#include "policy/ruletest.h"

struct zone_rules {
	const char *name;           /* borrowed from the file; NULL: no zone */
	struct rf_policy policy;
};

struct rules_try {
	struct cli *c;
	json_t *doc;
	struct rf_lists *lists;
	struct rf_ruleset *account[RF_PHASE_COUNT];
	struct rf_ruleset *patched[RF_PHASE_COUNT];
	struct zone_rules *zones;   /* the last is that without a zone */
	size_t zone_count;
};

static int make_list(struct rules_try *t, const json_t *list, size_t at)
{
	struct cli *c = t->c;
	const json_t *items = json_object_get(list, "items");
	const char *kind = json_string_value(json_object_get(list, "kind")), *name = json_string_value(json_object_get(list, "name"));
	size_t n = json_array_size(items), i;
	enum rf_list_kind k;
	struct rf_list *made = NULL;
	struct rf_lists *more = NULL;
	json_t *item;
	if (!kind || !name || !rf_list_kind_find(rf_str_z(kind), &k))
		return RF_OK; /* redirects are no values for rules; the API checks the rest */
	struct rf_buf *texts = calloc(n + 1, sizeof *texts);
	struct rf_str *values = calloc(n + 1, sizeof *values);
	int rc = texts && values ? RF_OK : rf_fail(&c->e, RF_E_NOMEM, "memory is exhausted");
	json_array_foreach(items, i, item) {
		if (rc != RF_OK)
			break;
		if (json_is_object(item))
			cli_item_text(&texts[i], item);
		else
			cli_cell(&texts[i], item);
		values[i] = rf_buf_str(&texts[i]);
	}
	if (rc == RF_OK)
		rc = rf_list_make(k, values, n, &made, &c->e);
	if (rc != RF_OK) {
		char inner[128];
		snprintf(inner, sizeof inner, "/lists/%zu/items%.80s", at, c->e.pointer);
		snprintf(c->e.pointer, sizeof c->e.pointer, "%s", inner);
	}
	if (rc == RF_OK && (rc = rf_lists_with(t->lists, rf_str_z(name), made, &more)) == RF_OK) {
		rf_lists_put(t->lists);
		t->lists = more;
	}
	rf_list_put(made);
	for (i = 0; texts && i < n; i++)
		rf_buf_fini(&texts[i]);
	free(texts);
	free(values);
	return rc;
}

static int compile(struct rules_try *t, const json_t *phases, const char *at, struct rf_ruleset *to[RF_PHASE_COUNT])
{
	struct rf_rule_env env = { .lists = t->lists, .have = ~0u };
	const char *name;
	json_t *rules;
	json_object_foreach((json_t *)phases, name, rules) {
		enum rf_phase phase;
		char inner[128];
		int rc = rf_phase_find(rf_str_z(name), &phase, &t->c->e);
		if (rc == RF_OK && to[phase])
			rc = rf_fail(&t->c->e, RF_E_EXISTS, "the phase is there already by another name");
		if (rc == RF_OK)
			rc = rf_ruleset_make(&env, phase, rf_str_z(at), rf_str_z(name), rules, NULL, &to[phase], &t->c->e);
		if (rc != RF_OK) {
			const char *below = strncmp(t->c->e.pointer, "/rules", 6) == 0 ? t->c->e.pointer + 6 : t->c->e.pointer;
			snprintf(inner, sizeof inner, "%s/%s%.60s", at, name, below);
			snprintf(t->c->e.pointer, sizeof t->c->e.pointer, "%s", inner);
			return rc;
		}
	}
	return RF_OK;
}

/* Patches before the account's rulesets, those before the zone's own. */
static int add_zone(struct rules_try *t, const char *name, const json_t *phases, const char *at)
{
	struct rf_ruleset *own[RF_PHASE_COUNT] = { NULL };
	struct zone_rules *z = &t->zones[t->zone_count];
	z->name = name;
	int rc = compile(t, phases, at, own);
	for (size_t p = 0; p < RF_PHASE_COUNT; p++) {
		struct rf_ruleset *both[3];
		size_t n = 0;
		if (t->patched[p])
			both[n++] = t->patched[p];
		if (t->account[p])
			both[n++] = t->account[p];
		if (own[p])
			both[n++] = own[p];
		if (rc == RF_OK && n)
			rc = rf_phase_set_make((enum rf_phase)p, both, n, &z->policy.phase[p]);
		if (own[p])
			rf_ruleset_put(own[p]);
	}
	t->zone_count++;
	return rc;
}

int cli_try_new(struct cli *c, const json_t *doc, struct rules_try **ret)
{
	const json_t *zones = json_object_get(doc, "zones"), *lists = json_object_get(doc, "lists");
	struct rules_try *t = calloc(1, sizeof *t);
	size_t i;
	json_t *one;
	if (t)
		t->zones = calloc(json_array_size(zones) + 1, sizeof *t->zones);
	if (!t || !t->zones) {
		free(t);
		return rf_fail(&c->e, RF_E_NOMEM, "memory is exhausted");
	}
	t->c = c;
	t->doc = json_incref((json_t *)doc);
	int rc = RF_OK;
	json_array_foreach(lists, i, one)
		if (rc == RF_OK)
			rc = make_list(t, one, i);
	struct rf_rule_env env = { .lists = t->lists, .have = ~0u };
	if (rc == RF_OK)
		rc = cli_try_patches(c, &env, json_object_get(doc, "patches"), t->patched);
	if (rc == RF_OK)
		rc = compile(t, json_object_get(doc, "rules"), "/rules", t->account);
	json_array_foreach(zones, i, one) {
		char at[64];
		snprintf(at, sizeof at, "/zones/%zu/rules", i);
		if (rc == RF_OK)
			rc = add_zone(t, json_string_value(json_object_get(one, "name")), json_object_get(one, "rules"), at);
	}
	if (rc == RF_OK)
		rc = add_zone(t, NULL, NULL, "");
	if (rc != RF_OK) {
		cli_try_free(t);
		return rc;
	}
	*ret = t;
	return RF_OK;
}

void cli_try_free(struct rules_try *t)
{
	if (!t)
		return;
	for (size_t z = 0; z < t->zone_count; z++)
		for (size_t p = 0; p < RF_PHASE_COUNT; p++)
			if (t->zones[z].policy.phase[p])
				rf_phase_set_put(t->zones[z].policy.phase[p]);
	for (size_t p = 0; p < RF_PHASE_COUNT; p++) {
		rf_ruleset_put(t->account[p]);
		rf_ruleset_put(t->patched[p]);
	}
	rf_lists_put(t->lists);
	json_decref(t->doc);
	free(t->zones);
	free(t);
}

/* The zone of a name, or the longest that a host is in; the rules of the account alone where there is none. */
static const struct rf_policy *policy_for(const struct rules_try *t, const char *host, const char *zone)
{
	const struct zone_rules *best = &t->zones[t->zone_count - 1];
	for (size_t i = 0; i + 1 < t->zone_count; i++) {
		const struct zone_rules *z = &t->zones[i];
		size_t n = z->name ? strlen(z->name) : 0, m = host ? strlen(host) : 0;
		if (zone ? n && strcmp(zone, z->name) == 0 :
		    n && m >= n && rf_str_ieq(rf_str_z(host + m - n), rf_str_z(z->name)) && (m == n || host[m - n - 1] == '.') &&
		    (!best->name || strlen(best->name) < n))
			best = z;
	}
	return &best->policy;
}

static void tell(void *ctx, const char *name, bool passed, const char *why)
{
	if (!passed)
		cli_note(ctx, "FAILED %s: %s", name, why);
}

int cli_try_run(struct rules_try *t, const json_t *tests, const char *zone, size_t *ret_passed, size_t *ret_failed)
{
	size_t passed = 0, failed = 0, i;
	json_t *test;
	struct cli *c = t->c;
	int rc = json_is_array(tests) ? RF_OK : rf_fail_ptr(&c->e, RF_E_TYPE, "/tests", "must be a sequence of tests");
	if (rc == RF_OK && json_array_size(tests) > RF_RULE_TESTS)
		rc = rf_fail_ptr(&c->e, RF_E_TOO_LARGE, "/tests", "there can be at most %d tests", RF_RULE_TESTS);
	json_array_foreach(tests, i, test) {
		struct rf_rule_test_report report = { .each = tell, .ctx = c };
		const char *host = json_string_value(json_object_get(json_object_get(test, "request"), "host"));
		if (rc != RF_OK)
			break;
		json_t *one = json_pack("[O]", test);
		rc = one ? rf_rule_tests_run(policy_for(t, host, zone), t->lists, one, c->clock.wall(c->clock.ctx), &report, &c->e) :
			   rf_fail(&c->e, RF_E_NOMEM, "memory is exhausted");
		json_decref(one);
		passed += report.passed;
		failed += report.failed;
		if (rc != RF_OK && strncmp(c->e.pointer, "/tests/0", 8) == 0) {
			char inner[128];
			snprintf(inner, sizeof inner, "/tests/%zu%.100s", i, c->e.pointer + 8);
			snprintf(c->e.pointer, sizeof c->e.pointer, "%s", inner);
		}
	}
	if (rc == RF_OK) {
		*ret_passed = passed;
		*ret_failed = failed;
	}
	return rc;
}

int cli_try_verdict(struct cli *c, size_t passed, size_t failed)
{
	if (!c->quiet)
		fprintf(c->out, "%zu of %zu tests of rules passed\n", passed, passed + failed);
	return failed ? rf_fail(&c->e, RF_E_CONFLICT, "%zu test%s of rules failed", failed, failed == 1 ? "" : "s") : RF_OK;
}

int cli_try_own(struct rules_try *t, const json_t *patches, size_t *ret_failed)
{
	struct rf_rule_env env = { .lists = t->lists, .have = ~0u };
	return cli_try_patch_tests(t->c, &env, patches, ret_failed);
}
