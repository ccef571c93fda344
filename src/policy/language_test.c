#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "policy/ruletest.h"

static struct rf_arena arena;
static struct rf_facts facts;
static json_t *doc;

static int start(void **state)
{
	(void)state;
	rf_arena_init(&arena, 1 << 20);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	json_decref(doc);
	doc = NULL;
	rf_arena_fini(&arena);
	return 0;
}

static void given(const char *text)
{
	struct rf_err e;
	json_error_t je;
	json_decref(doc);
	rf_arena_reset(&arena);
	doc = json_loads(text, 0, &je);
	if (!doc || rf_json_facts(doc, "", &arena, NULL, 0, &facts, &e))
		fail_msg("%s: %s", text, doc ? e.text : je.text);
}

static int compile(enum rf_phase phase, const char *text, struct rf_expr **ret, struct rf_err *e)
{
	struct rf_rule_env env = { .have = ~0u };
	return rf_expr_compile(&env, phase, rf_str_z(text), ret, e);
}

/* Also that what it prints is the same expression. */
static bool holds(enum rf_phase phase, const char *text)
{
	struct rf_expr *x = NULL, *again = NULL;
	struct rf_err e;
	bool got = false;
	RF_BUF_AUTO printed = { 0 };
	if (compile(phase, text, &x, &e))
		fail_msg("%s: %u:%u %s", text, e.line, e.column, e.text);
	int r = rf_expr_test(x, &facts, &got);
	if (r)
		fail_msg("%s: %s", text, rf_code_name(r));
	rf_expr_print(x, &printed);
	if (compile(phase, rf_buf_z(&printed), &again, &e))
		fail_msg("%s prints as %s: %u:%u %s", text, rf_buf_z(&printed), e.line, e.column, e.text);
	if (!rf_expr_same(x, again))
		fail_msg("%s prints as %s, which is not the same", text, rf_buf_z(&printed));
	rf_fact_forget(&facts, RF_F_HTTP_HOST); /* what is kept points into the programs */
	rf_expr_put(x);
	rf_expr_put(again);
	return got;
}

static void all_hold(enum rf_phase phase, const char *const *texts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!holds(phase, texts[i]))
			fail_msg("%s should hold", texts[i]);
}

#define HOLD(phase, ...) \
	all_hold(phase, (const char *const[]){ __VA_ARGS__ }, sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))

static void refused(enum rf_phase phase, const char *text, const char *words)
{
	struct rf_expr *x = NULL;
	struct rf_err e;
	if (compile(phase, text, &x, &e) == RF_OK)
		fail_msg("%s should be refused", text);
	if (!strstr(e.text, words))
		fail_msg("%s is refused with `%s`, not `%s`", text, e.text, words);
}

static void responses(void **state)
{
	(void)state;
	given("{\"host\": \"h\", \"path\": \"/p\", \"response\": {\"code\": 503, \"headers\": {\"Server\": \"GoAhead\","
	      " \"Content-Type\": \"Text/HTML; charset=utf-8\", \"Set-Cookie\": [\"a=1\", \"b=2\"]}},"
	      " \"fields\": {\"cf.timings.origin_ttfb_msec\": 2500}}");
	HOLD(RF_PHASE_HTTP_RESPONSE, "http.response.code eq 503", "http.response.code in {500..599}",
		"http.response.content_type.media_type eq \"text/html\"", "any(http.response.headers[\"server\"][*] eq \"GoAhead\")",
		"http.response.headers[\"Set-Cookie\"][1] eq \"b=2\"", "len(http.response.headers.names) eq 4",
		"any(http.response.headers.values[*] contains \"charset\")", "http.request.uri.path eq \"/p\"",
		"cf.timings.origin_ttfb_msec gt 2000", "not any(http.response.headers[\"x\"][*] eq \"\")");
	refused(RF_PHASE_HTTP_REQUEST, "http.response.code eq 200", "not known in the phase `http_request`");
	refused(RF_PHASE_CONNECTION, "any(http.response.headers.names[*] eq \"a\")", "not known in the phase `connection`");
	refused(RF_PHASE_HTTP_RESPONSE, "http.request.body.raw contains \"x\"", "not known in the phase `http_response`");
	given("{}");
	HOLD(RF_PHASE_HTTP_RESPONSE, "not http.response.code ge 0", "http.response.content_type.media_type eq \"\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(responses, start, stop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
