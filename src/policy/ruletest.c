/* policy/ruletest: run an operator's requests over rules and say where a verdict is not the wanted one. */
#include "policy/ruletest.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "policy/explain.h"

enum { TEST_MEMORY = 4 << 20, POINTER = 120, WHY = 512 };

struct test {
	const struct rf_verdict *v;
	const json_t *expect;
	const char *at;
	struct rf_err *e;
	char why[WHY]; /* "" while all is as wanted */
};

static void wrong(struct test *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void wrong(struct test *t, const char *fmt, ...)
{
	va_list ap;
	if (t->why[0])
		return; /* the first difference is the one to tell */
	va_start(ap, fmt);
	vsnprintf(t->why, sizeof t->why, fmt, ap);
	va_end(ap);
}

static const char *rule_name(const struct rf_rule *r, char to[128])
{
	struct rf_str name = r->ref.n ? r->ref : r->id.n ? r->id : r->description;
	snprintf(to, 128, "%.*s", name.n ? (int)name.n : 7, name.n ? name.p : "no name");
	return to;
}

static bool is_rule(const struct rf_rule *r, const char *name)
{
	struct rf_str n = rf_str_z(name);
	return r && (rf_str_eq(r->id, n) || rf_str_eq(r->ref, n) || rf_str_eq(r->description, n));
}

/* "rule `x` blocked it with 403", "no rule stopped it" */
static const char *what_came(const struct rf_verdict *v, char to[256])
{
	char name[128];
	if (!rf_verdict_ends(v))
		snprintf(to, 256, v->rule ? "rule `%s` let it pass" : "no rule stopped it",
			v->rule ? rule_name(v->rule, name) : "");
	else if (v->why == RF_WHY_ERROR)
		snprintf(to, 256, "rule `%s` could not be evaluated (%s), which blocks", rule_name(v->rule, name),
			rf_code_sentence(v->error));
	else
		snprintf(to, 256, "rule `%s` %s it with %d", rule_name(v->rule, name), v->outcome == RF_BLOCK ? "blocked" : "answered",
			rf_verdict_status(v));
	return to;
}

static bool logged(const struct rf_verdict *v, const char *name)
{
	for (unsigned i = 0; i < v->nhits; i++)
		if (name ? is_rule(v->hits[i], name) : v->hits[i]->action == RF_ACT_LOG)
			return true;
	return false;
}

static int expect_fail(struct test *t, int code, const char *below, const char *what)
{
	char pointer[POINTER];
	snprintf(pointer, sizeof pointer, "%s/expect%s", t->at, below);
	return rf_fail_ptr(t->e, code, pointer, "%s", what);
}

/* Did a rule end it with this action? Every block is one, whatever its rule's action is called. */
static bool ended_with(const struct rf_verdict *v, const char *action)
{
	if (!rf_verdict_ends(v) || v->why == RF_WHY_ERROR)
		return false;
	return strcmp(action, "block") == 0 ? v->outcome == RF_BLOCK : strcmp(action, rf_actions[v->rule->action].name) == 0;
}

static int want_action(struct test *t, const json_t *v)
{
	static const char *const ends[] = { "block", "redirect", "serve_error", "quarantine" };
	const char *action = json_is_string(v) ? json_string_value(v) : "";
	char came[256];
	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
		if (strcmp(action, ends[i]) == 0) {
			if (!ended_with(t->v, action))
				wrong(t, i ? "it should meet the action %s, but %s" : "it should be %sed, but %s", action, what_came(t->v, came));
			return RF_OK;
		}
	if (strcmp(action, "allow") == 0 || strcmp(action, "pass") == 0) {
		if (rf_verdict_ends(t->v))
			wrong(t, "it should pass, but %s", what_came(t->v, came));
	} else if (strcmp(action, "log") == 0) {
		if (rf_verdict_ends(t->v) || !logged(t->v, NULL))
			wrong(t, "it should pass and be logged, but %s", rf_verdict_ends(t->v) ? what_came(t->v, came) : "no log rule matched");
	} else {
		return expect_fail(t, RF_E_INVALID, "/action", "this should be block, redirect, serve_error, quarantine, allow (or pass) or log");
	}
	return RF_OK;
}

static int want_location(struct test *t, const json_t *v)
{
	char came[256];
	struct rf_str now = t->v->location;
	if (!json_is_string(v))
		return expect_fail(t, RF_E_TYPE, "/location", "this should be a string");
	if (!rf_str_eq(now, rf_str_z(json_string_value(v))))
		wrong(t, "it should be sent to `%.150s`, but %s%.*s", json_string_value(v), now.n ? "goes to " : what_came(t->v, came),
			now.n < 150 ? (int)now.n : 150, now.n ? now.p : "");
	return RF_OK;
}

static int want_rule(struct test *t, const json_t *v)
{
	char came[256];
	if (!json_is_string(v))
		return expect_fail(t, RF_E_TYPE, "/rule", "this should be an id, a ref or a description of a rule");
	if (!is_rule(t->v->rule, json_string_value(v)) && !logged(t->v, json_string_value(v)))
		wrong(t, "rule `%.80s` should decide it, but %s", json_string_value(v), what_came(t->v, came));
	return RF_OK;
}

static int want_status(struct test *t, const json_t *v)
{
	char came[256];
	int status = rf_verdict_status(t->v);
	if (!json_is_integer(v))
		return expect_fail(t, RF_E_TYPE, "/status", "this should be an integer");
	if (!rf_verdict_ends(t->v) || status != json_integer_value(v))
		wrong(t, "it should be answered with %d, but %s", (int)json_integer_value(v), what_came(t->v, came));
	return RF_OK;
}

/* The last edit of a header as the origin would see it; false where it is not set. */
static bool header_now(const struct rf_verdict *v, const char *name, struct rf_str *ret)
{
	bool set = false;
	for (unsigned i = 0; i < v->nedits; i++)
		if (rf_str_ieq(v->edits[i].name, rf_str_z(name))) {
			set = v->edits[i].op != RF_EDIT_REMOVE;
			*ret = v->edits[i].value;
		}
	return set;
}

static int want_headers(struct test *t, const json_t *o)
{
	const char *name;
	json_t *v;
	struct rf_str now;
	if (!json_is_object(o))
		return expect_fail(t, RF_E_TYPE, "/headers", "this should be an object of header names");
	json_object_foreach((json_t *)o, name, v) {
		bool set = header_now(t->v, name, &now);
		if (!json_is_string(v) && !json_is_null(v))
			return expect_fail(t, RF_E_TYPE, "/headers", "a header is a string, or null where it must not be set");
		if (json_is_null(v) && set)
			wrong(t, "the header %.60s should not be set, but is `%.*s`", name, RF_ARG(now));
		else if (json_is_string(v) && !set)
			wrong(t, "the header %.60s should be `%.100s`, but no rule sets it", name, json_string_value(v));
		else if (json_is_string(v) && !rf_str_eq(now, rf_str_z(json_string_value(v))))
			wrong(t, "the header %.60s should be `%.100s`, but is `%.*s`", name, json_string_value(v),
				now.n < 100 ? (int)now.n : 100, now.p);
	}
	return RF_OK;
}

static int hold(struct test *t)
{
	static const struct { const char *key; int (*check)(struct test *, const json_t *); } keys[] = {
		{ "action", want_action }, { "rule", want_rule }, { "status", want_status }, { "headers", want_headers },
		{ "location", want_location } };
	enum { KEYS = sizeof keys / sizeof *keys };
	const char *key;
	json_t *v;
	if (!json_is_object(t->expect) || !json_object_size(t->expect))
		return expect_fail(t, RF_E_MISSING, "", "a test says what it expects: {action: block}");
	json_object_foreach((json_t *)t->expect, key, v) {
		size_t i = 0;
		while (i < KEYS && strcmp(keys[i].key, key) != 0)
			i++;
		int r = i < KEYS ? keys[i].check(t, v) :
			expect_fail(t, RF_E_UNKNOWN, "", "a test can expect action, rule, status, headers and location");
		if (r)
			return r;
	}
	return RF_OK;
}

static int run_one(const struct rf_policy *p, const struct rf_lists *lists, const json_t *doc, const char *at,
	int64_t wall_ns, struct rf_rule_test_report *report, struct rf_err *e)
{
	struct rf_arena arena;
	char pointer[POINTER], unnamed[64];
	const json_t *flow = json_object_get(doc, "flow");
	snprintf(pointer, sizeof pointer, "%s/%s", at, flow ? "flow" : "request");
	snprintf(unnamed, sizeof unnamed, "test %s", at + strlen("/tests/"));
	const char *name = json_string_value(json_object_get(doc, "name"));
	struct rf_facts *f = malloc(sizeof *f);
	struct rf_verdict v;
	struct test t = { .v = &v, .expect = json_object_get(doc, "expect"), .at = at, .e = e };
	if (!f)
		return rf_fail_ptr(e, RF_E_NOMEM, at, "no memory for this test");
	rf_arena_init(&arena, TEST_MEMORY);
	rf_verdict_init(&v);
	int r = rf_json_facts(flow ? flow : json_object_get(doc, "request"), pointer, &arena, lists, wall_ns, f, e);
	if (!r) {
		if (flow)
			rf_flow_eval(p, f, &v, NULL);
		else
			rf_policy_eval(p, f, &v, NULL);
		r = hold(&t);
	}
	if (!r) {
		report->passed += !t.why[0];
		report->failed += t.why[0] != '\0';
		if (report->each)
			report->each(report->ctx, name ? name : unnamed, !t.why[0], t.why);
	}
	rf_arena_fini(&arena);
	free(f);
	return r;
}

int rf_rule_tests_run(const struct rf_policy *p, const struct rf_lists *lists, const json_t *doc, int64_t wall_ns,
	struct rf_rule_test_report *report, struct rf_err *e)
{
	const json_t *tests = json_is_array(doc) ? doc : json_object_get(doc, "tests");
	if (!json_is_array(tests))
		return rf_fail_ptr(e, RF_E_MISSING, "/tests", "there should be an array of tests");
	if (json_array_size(tests) > RF_RULE_TESTS)
		return rf_fail_ptr(e, RF_E_TOO_LARGE, "/tests", "there can be at most %d tests", RF_RULE_TESTS);
	report->passed = report->failed = 0;
	for (size_t i = 0; i < json_array_size(tests); i++) {
		char at[POINTER / 2];
		snprintf(at, sizeof at, "/tests/%zu", i);
		int r = run_one(p, lists, json_array_get(tests, i), at, wall_ns, report, e);
		if (r)
			return r;
	}
	return RF_OK;
}
