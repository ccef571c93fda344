/* api/edge_rules: rules in force, asked about a request that is never sent: POST explain and POST rules/test.
 *
 * The way of an explanation: the request's host names the app and with it the zone -> the device's own facts from the
 * state stand beside those that the request gives -> the checks before the rules, in words -> the rules of all phases
 * in order, with what decided each.
 */
#include <stdio.h>
#include <stdlib.h>
#include "api/edge.h"
#include "ctl/private.h"
#include "policy/explain.h"
#include "policy/ruletest.h"

enum { ARENA = 8 << 20 };

static const char *text(const json_t *j, const char *name)
{
	const char *z = json_string_value(json_object_get(j, name));
	return z ? z : "";
}

static const struct rf_app *app_of(const struct rf_snap *s, const json_t *request)
{
	char host[256];
	size_t n = 0;
	for (const char *z = text(request, "host"); z[n] && z[n] != ':' && n + 1 < sizeof host; n++)
		host[n] = (char)rf_lower((unsigned char)z[n]);
	return n ? rf_snap_app(s, (struct rf_str){ host, n }) : NULL;
}

/* By id, else by name. RF_E_NOT_FOUND. */
static int find_device(struct rf_ctl *c, const char *account, const char *name, struct rf_object *ret, struct rf_err *e)
{
	int rc = rf_store_get(c->store, RF_KIND_DEVICE, name, ret, e);
	if (rc == RF_E_NOT_FOUND)
		rc = rf_store_find(c->store, RF_KIND_DEVICE, account, name, ret, e);
	return rc == RF_E_NOT_FOUND ? rf_fail_ptr(e, rc, "/device", "there is no device \"%s\"", name) : rc;
}

/* The facts of a device as rules see them; what the request says of it wins. */
static void add_device(struct rf_ctl *c, const struct rf_object *d, json_t *request)
{
	RF_OBJECT_AUTO class = { 0 };
	struct rf_err e;
	json_t *facts = json_pack("{s:s, s:s, s:s, s:s, s:s}", "id", d->id, "name", d->name, "firmware",
				  text(d->doc, "firmware"), "model", text(d->doc, "model"), "owner", text(d->doc, "owner"));
	if (rf_store_get(c->store, RF_KIND_CLASS, text(d->doc, "class_id"), &class, &e) == RF_OK)
		json_object_set_new(facts, "class", json_string(class.name));
	if (json_object_get(d->doc, "tags"))
		json_object_set(facts, "tags", json_object_get(d->doc, "tags"));
	json_object_update(facts, json_object_get(request, "device"));
	json_object_set_new(request, "device", facts);
}

static void check(json_t *checks, const char *name, const char *result)
{
	json_array_append_new(checks, json_pack("{s:s, s:s, s:s}", "phase", "connection", "check", name, "result", result));
}

static json_t *checks_of(const struct rf_app *app, const struct rf_object *d)
{
	static const char *const modes[] = { [RF_AUTH_OFF] = "off: no certificate is asked for",
					     [RF_AUTH_REPORT] = "report: everything is forwarded",
					     [RF_AUTH_ENFORCE] = "enforce: only known devices pass" };
	json_t *checks = json_array();
	const char *state = d->id[0] ? text(d->doc, "state") : "";
	check(checks, "host", app ? "an app serves it" : "refused: no app has this host");
	if (app)
		check(checks, "client authentication", modes[app->auth]);
	if (!d->id[0])
		check(checks, "device", app && app->auth == RF_AUTH_ENFORCE ? "refused: no device" : "no device");
	else
		check(checks, "device", strcmp(state, "active") == 0 ? "known and active" : strcmp(state, "revoked") == 0 ?
		      "refused: the device has been revoked" : "refused: the device is in quarantine");
	return checks;
}

static int explain_rules(const struct rf_snap *s, const struct rf_app *app, const json_t *request, int64_t now,
			 json_t **ret, struct rf_err *e)
{
	static struct rf_facts facts;
	static struct rf_verdict verdict; /* both large; of the control thread alone */
	struct rf_arena arena;
	RF_BUF_AUTO out = { 0 };
	rf_arena_init(&arena, ARENA);
	int rc = rf_json_facts(request, "/request", &arena, s->lists, now, &facts, e);
	if (rc == RF_OK) {
		struct rf_jw w = rf_jw_on(&out);
		rf_jw_open(&w, NULL, '{');
		rf_explain(rf_snap_policy(s, app), &facts, &verdict, &w, "rules");
		rf_explain_verdict(&verdict, &w, "verdict");
		rf_jw_close(&w, '}');
		*ret = out.bad ? NULL : json_loadb(out.p, out.n, 0, NULL);
		if (!*ret)
			rc = rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	}
	rf_arena_fini(&arena);
	return rc;
}

int rf_edge_explain(void *ctx, const char *account_id, const json_t *body, json_t **ret, struct rf_err *e)
{
	struct rf_ctl *c = ((struct rf_api_edge *)ctx)->ctl;
	const struct rf_snap *s = rf_snap_now();
	RF_OBJECT_AUTO device = { 0 };
	json_t *request = json_deep_copy(json_object_get(body, "request")), *result = NULL;
	int rc = s && request ? RF_OK : rf_fail(e, RF_E_UNSUPPORTED, "no rules are in force yet");
	if (rc == RF_OK && text(body, "device")[0])
		rc = find_device(c, account_id, text(body, "device"), &device, e);
	if (rc == RF_OK && device.id[0])
		add_device(c, &device, request);
	const struct rf_app *app = rc == RF_OK ? app_of(s, request) : NULL;
	if (rc == RF_OK)
		rc = explain_rules(s, app, request, c->clock.wall(c->clock.ctx), &result, e);
	if (rc == RF_OK) {
		*ret = json_pack("{s:o, s:O, s:O}", "checks", checks_of(app, &device), "rules",
				 json_object_get(result, "rules"), "verdict", json_object_get(result, "verdict"));
		if (!*ret)
			rc = rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	}
	json_decref(result);
	json_decref(request);
	return rc;
}

static void told(void *ctx, const char *name, bool passed, const char *why)
{
	json_array_append_new(ctx, json_pack("{s:s, s:b, s:s}", "name", name, "passed", passed, "why", why));
}

/* The rulesets of the body instead of those in force: each phase one set. */
static int compile(struct rf_ctl *c, const struct rf_snap *s, const json_t *rulesets, struct rf_policy *to, struct rf_err *e)
{
	struct rf_rule_env env = { .lists = s->lists, .have = rf_build_have(c) };
	size_t i;
	json_t *v;
	json_array_foreach((json_t *)rulesets, i, v) {
		enum rf_phase phase;
		struct rf_ruleset *set = NULL;
		int rc = rf_phase_find(rf_str_z(text(v, "phase")), &phase, e);
		if (rc == RF_OK && to->phase[phase])
			rc = rf_fail(e, RF_E_INVALID, "the phase %s is there twice", text(v, "phase"));
		if (rc == RF_OK)
			rc = rf_ruleset_make(&env, phase, RF_STR(""), rf_str_z(text(v, "name")), json_object_get(v, "rules"), NULL,
					     &set, e);
		if (rc == RF_OK)
			rc = rf_phase_set_make(phase, &set, 1, &to->phase[phase]);
		rf_ruleset_put(set);
		if (rc != RF_OK) {
			char inner[sizeof e->pointer];
			snprintf(inner, sizeof inner, "/rulesets/%zu%.90s", i, e->pointer);
			memcpy(e->pointer, inner, sizeof inner);
			return rc;
		}
	}
	return RF_OK;
}

static const struct rf_policy *policy_of_zone(const struct rf_snap *s, const char *zone)
{
	for (size_t i = 0; i < s->site->zone_count; i++)
		if (strcmp(s->site->zones[i]->id, zone) == 0)
			return &s->zone_policy[s->site->zones[i]->index];
	return &s->policy;
}

int rf_edge_rules_test(void *ctx, const char *account_id, const json_t *body, json_t **ret, struct rf_err *e)
{
	(void)account_id;
	struct rf_ctl *c = ((struct rf_api_edge *)ctx)->ctl;
	const struct rf_snap *s = rf_snap_now();
	const json_t *rulesets = json_object_get(body, "rulesets");
	struct rf_policy given = { 0 };
	json_t *tests = json_array();
	struct rf_rule_test_report report = { .each = told, .ctx = tests };
	int rc = s ? RF_OK : rf_fail(e, RF_E_UNSUPPORTED, "no rules are in force yet");
	if (rc == RF_OK)
		rc = compile(c, s, rulesets, &given, e);
	if (rc == RF_OK)
		rc = rf_rule_tests_run(rulesets ? &given : policy_of_zone(s, text(body, "zone_id")), s->lists, body,
				       c->clock.wall(c->clock.ctx), &report, e);
	for (size_t p = 0; p < RF_PHASE_COUNT; p++)
		rf_phase_set_put(given.phase[p]);
	if (rc == RF_OK)
		*ret = json_pack("{s:I, s:I, s:O}", "passed", (json_int_t)report.passed, "failed", (json_int_t)report.failed,
				 "tests", tests);
	json_decref(tests);
	return rc;
}
