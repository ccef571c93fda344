/* Tests of policy/patch: states, composition, canaries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "policy/know.h"
#include "policy/patch.h"
#include "policy/ruletest.h"
#include "policy/verdict.h"

static const char ID[] = "0123456789abcdef0123456789abcdef";

static json_t *patch(const char *state, const char *more)
{
	char text[1024];
	snprintf(text, sizeof text, "{\"name\":\"shell\",\"title\":\"Shellshock\",\"expression\":\"http.user_agent contains \\\"() {\\\"\","
		 "\"state\":\"%s\"%s}", state, more);
	json_t *j = json_loads(text, 0, NULL);
	assert_non_null(j);
	return j;
}

/* What the rules of a patch do with a request: "pass", "log", "block", "both" (which must not be). */
static const char *does(const char *state, const char *more, const char *request)
{
	struct rf_rule_env env = { 0 };
	struct rf_rule *rules[RF_PATCH_RULES];
	struct rf_arena arena;
	struct rf_facts f;
	struct rf_err e;
	size_t n = 0;
	unsigned logged = 0, acted = 0;
	json_t *doc = patch(state, more), *req = json_loads(request, 0, NULL);
	assert_non_null(req);
	assert_int_equal(rf_patch_rules(&env, doc, ID, rules, &n, &e), RF_OK);
	rf_arena_init(&arena, 1 << 20);
	assert_int_equal(rf_json_facts(req, "", &arena, NULL, 0, &f, &e), RF_OK);
	for (size_t i = 0; i < n; i++) {
		bool yes = false;
		assert_int_equal(rf_expr_test(rules[i]->cond, &f, &yes), RF_OK);
		logged += yes && rules[i]->action == RF_ACT_LOG;
		acted += yes && rules[i]->action != RF_ACT_LOG;
		assert_true(rf_str_eq(rules[i]->id, rf_str_z(ID)));
		rf_rule_put(rules[i]);
	}
	rf_arena_fini(&arena);
	json_decref(doc);
	json_decref(req);
	return logged && acted ? "both" : acted ? "block" : logged ? "log" : "pass";
}

#define ATTACK "\"headers\":{\"User-Agent\":\"() { :;};\"}"

static void only_live_states_have_rules(void **state)
{
	(void)state;
	static const struct { const char *state, *does; } cases[] = {
		{ "draft", "pass" }, { "replay", "pass" }, { "report", "log" }, { "enforce", "block" }, { "retired", "pass" } };
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_string_equal(does(cases[i].state, "", "{" ATTACK "}"), cases[i].does);
		assert_string_equal(does(cases[i].state, "", "{}"), "pass");
	}
}

static void classes_and_until_leave_out(void **state)
{
	(void)state;
	const char *more = ",\"classes\":[\"camera\",\"dvr \\\"x\\\"\"],\"until\":\"device.firmware ge \\\"2.4.1\\\"\"";
	static const struct { const char *device, *does; } cases[] = {
		{ "\"class\":\"camera\",\"firmware\":\"2.4.0\"", "block" },
		{ "\"class\":\"dvr \\\"x\\\"\",\"firmware\":\"2.3.10\"", "block" },
		{ "\"class\":\"camera\",\"firmware\":\"2.4.1\"", "pass" },
		{ "\"class\":\"camera\",\"firmware\":\"2.10\"", "pass" },
		{ "\"class\":\"camera\"", "block" }, /* nobody knows its firmware: it stays protected */
		{ "\"class\":\"lock\",\"firmware\":\"1.0\"", "pass" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char request[256];
		snprintf(request, sizeof request, "{" ATTACK ",\"device\":{%s}}", cases[i].device);
		assert_string_equal(does("enforce", more, request), cases[i].does);
	}
	assert_string_equal(does("enforce", more, "{" ATTACK "}"), "pass");
}

static void canary_of_a_group_leaves_the_rest_in_report(void **state)
{
	(void)state;
	const char *more = ",\"canary\":{\"group\":\"any(device.tags[*] eq \\\"lab\\\")\"}";
	assert_string_equal(does("canary", more, "{" ATTACK ",\"device\":{\"tags\":[\"x\",\"lab\"]}}"), "block");
	assert_string_equal(does("canary", more, "{" ATTACK ",\"device\":{\"tags\":[\"x\"]}}"), "log");
	assert_string_equal(does("canary", more, "{" ATTACK "}"), "log");
}

static void a_share_keeps_who_is_in_as_it_grows(void **state)
{
	(void)state;
	unsigned in[3] = { 0 };
	static const char *const percent[] = { "0.5", "10", "60" };
	for (unsigned i = 0; i < 400; i++) {
		bool was = false;
		for (size_t p = 0; p < 3; p++) {
			char more[64], request[256];
			snprintf(more, sizeof more, ",\"canary\":{\"percent\":%s}", percent[p]);
			snprintf(request, sizeof request, "{" ATTACK ",\"device\":{\"id\":\"%032x\"}}", i);
			bool is = strcmp(does("canary", more, request), "block") == 0;
			assert_false(was && !is);
			was = is;
			in[p] += is;
		}
	}
	assert_in_range(in[0], 0, 8);
	assert_in_range(in[1], 20, 60);
	assert_in_range(in[2], 200, 280);
}

static void shares_never_change(void **state)
{
	(void)state;
	assert_int_equal(rf_stable_share(RF_STR("a"), RF_STR("b")), rf_stable_share(RF_STR("a"), RF_STR("b")));
	assert_int_not_equal(rf_stable_share(RF_STR("ab"), RF_STR("c")), rf_stable_share(RF_STR("b"), RF_STR("ca")));
	assert_int_equal(rf_stable_share(RF_STR("00000000000000000000000000000001"), rf_str_z(ID)), 7108);
}

static void moves_are_those_of_the_table(void **state)
{
	(void)state;
	char words[96];
	assert_true(rf_patch_may(RF_PATCH_DRAFT, RF_PATCH_REPORT));
	assert_false(rf_patch_may(RF_PATCH_DRAFT, RF_PATCH_ENFORCE));
	assert_false(rf_patch_may(RF_PATCH_REPORT, RF_PATCH_ENFORCE));
	assert_true(rf_patch_may(RF_PATCH_CANARY, RF_PATCH_ENFORCE));
	assert_true(rf_patch_may(RF_PATCH_ENFORCE, RF_PATCH_REPORT));
	assert_string_equal(rf_patch_ways(RF_PATCH_DRAFT, words), "retired, report or replay");
	for (int s = 0; s < RF_PATCH_STATES; s++)
		assert_true(strlen(rf_patch_ways((enum rf_patch_state)s, words)) > 3);
}

static void bad_parts_are_pointed_to(void **state)
{
	(void)state;
	static const struct { const char *member, *value, *pointer, *says; } cases[] = {
		{ "expression", "http.hots eq \"x\"", "/expression", "http.host" },
		{ "expression", "true) or (true", "/expression", "" },
		{ "until", "http.host eq \"x\"", "/until", "" },
		{ "until", "ssl", "/until", "device.*" },
		{ "phase", "packet", "/phase", "" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct rf_rule_env env = { 0 };
		struct rf_err e = { 0 };
		json_t *doc = patch("report", "");
		json_object_set_new(doc, cases[i].member, json_string(cases[i].value));
		assert_int_not_equal(rf_patch_check(&env, doc, &e), RF_OK);
		assert_string_equal(e.pointer, cases[i].pointer);
		assert_non_null(strstr(e.text, cases[i].says));
		json_decref(doc);
	}
}

/* Everything but the host is unknown. */
static bool only_host(void *ctx, enum rf_field f, struct rf_str key)
{
	(void)ctx;
	return f == RF_F_HTTP_HOST || (f == RF_F_HTTP_HEADERS && rf_str_eq(key, RF_STR("user-agent")));
}

static void what_is_not_known_is_not_guessed(void **state)
{
	(void)state;
	static const struct { const char *text; enum rf_known is; } cases[] = {
		{ "http.host eq \"h\"", RF_HOLDS }, { "http.host eq \"x\"", RF_HOLDS_NOT },
		{ "http.request.uri.query eq \"\"", RF_HOLDS_UNKNOWN },
		{ "http.host eq \"x\" and http.request.uri.query eq \"\"", RF_HOLDS_NOT },
		{ "http.request.uri.query eq \"\" and http.host eq \"x\"", RF_HOLDS_NOT },
		{ "http.request.uri.query eq \"\" and http.host eq \"h\"", RF_HOLDS_UNKNOWN },
		{ "http.request.uri.query eq \"q\" or http.host eq \"h\"", RF_HOLDS },
		{ "http.request.uri.query eq \"q\" or http.host eq \"x\"", RF_HOLDS_UNKNOWN },
		{ "not http.request.uri.query eq \"q\"", RF_HOLDS_UNKNOWN },
		{ "http.host eq \"h\" xor ssl", RF_HOLDS_UNKNOWN }, { "http.host eq \"h\" xor http.host eq \"x\"", RF_HOLDS },
		{ "lower(http.host) eq \"h\"", RF_HOLDS }, { "concat(http.host, http.cookie) eq \"h\"", RF_HOLDS_UNKNOWN },
		{ "any(http.request.headers[\"user-agent\"][*] eq \"u\")", RF_HOLDS },
		{ "any(http.request.headers[\"cookie\"][*] eq \"u\")", RF_HOLDS_UNKNOWN },
		{ "any(http.request.headers.values[*] eq \"u\")", RF_HOLDS_UNKNOWN },
	};
	struct rf_rule_env env = { 0 };
	struct rf_err e;
	json_t *req = json_loads("{\"host\":\"h\",\"headers\":{\"User-Agent\":\"u\"}}", 0, NULL);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct rf_knowledge k = { .knows = only_host };
		struct rf_arena arena;
		struct rf_facts f;
		struct rf_expr *x = NULL;
		enum rf_known is;
		rf_arena_init(&arena, 1 << 20);
		assert_int_equal(rf_expr_compile(&env, RF_PHASE_HTTP_REQUEST, rf_str_z(cases[i].text), &x, &e), RF_OK);
		assert_int_equal(rf_json_facts(req, "", &arena, NULL, 0, &f, &e), RF_OK);
		assert_int_equal(rf_expr_know(x, &f, &k, &is), RF_OK);
		if (is != cases[i].is)
			fail_msg("%s gives %d", cases[i].text, is);
		rf_expr_put(x);
		rf_arena_fini(&arena);
	}
	json_decref(req);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_live_states_have_rules), cmocka_unit_test(classes_and_until_leave_out),
		cmocka_unit_test(canary_of_a_group_leaves_the_rest_in_report), cmocka_unit_test(a_share_keeps_who_is_in_as_it_grows),
		cmocka_unit_test(shares_never_change), cmocka_unit_test(moves_are_those_of_the_table),
		cmocka_unit_test(bad_parts_are_pointed_to), cmocka_unit_test(what_is_not_known_is_not_guessed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
