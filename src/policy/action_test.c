#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "policy/explain.h"
#include "policy/ruletest.h"

enum { S = 1000000000 };

static const struct rf_rule_env env;
static struct rf_limits *table;
static struct rf_arena arena;
static struct rf_facts facts;
static struct rf_verdict verdict;
static struct rf_policy policy;
static json_t *request;
static uint64_t now = 1000ull * S;

static json_t *load(const char *text)
{
	json_error_t e;
	json_t *doc = json_loads(text, 0, &e);
	if (!doc)
		fail_msg("%s: %s", text, e.text);
	return doc;
}

static int up(void **state)
{
	(void)state;
	rf_arena_init(&arena, 1 << 20);
	table = rf_limits_new(RF_LIMIT_COUNTERS_LEAST);
	return table ? 0 : -1;
}

static int down(void **state)
{
	(void)state;
	for (int i = 0; i < RF_PHASE_COUNT; i++)
		rf_phase_set_put(policy.phase[i]);
	policy = (struct rf_policy){ 0 };
	rf_limits_free(table);
	rf_arena_fini(&arena);
	json_decref(request);
	request = NULL;
	return 0;
}

/* Rules of a phase, in the place of those that are there. */
static void rules(enum rf_phase phase, const char *text)
{
	struct rf_ruleset *s = NULL;
	struct rf_err e;
	char where[1024];
	json_t *doc = load(text);
	if (rf_ruleset_make(&env, phase, RF_STR("zone"), RF_STR(""), doc, NULL, &s, &e))
		fail_msg("%s", rf_err_str(&e, where, sizeof where));
	json_decref(doc);
	rf_phase_set_put(policy.phase[phase]);
	policy.phase[phase] = NULL;
	assert_int_equal(rf_phase_set_make(phase, &s, 1, &policy.phase[phase]), RF_OK);
	rf_ruleset_put(s);
}

static void ask(const char *text)
{
	struct rf_err e;
	rf_arena_reset(&arena);
	json_decref(request);
	request = load(text);
	if (rf_json_facts(request, "", &arena, NULL, 0, &facts, &e))
		fail_msg("%s: %s", e.pointer, e.text);
	rf_verdict_init(&verdict);
	verdict.counting = (struct rf_counting){ table, now, false };
}

static enum rf_outcome judge(const char *text)
{
	ask(text);
	rf_http_eval(&policy, &facts, &verdict, NULL);
	return verdict.outcome;
}

static enum rf_outcome answer(const char *text)
{
	ask(text);
	rf_response_eval(&policy, &facts, &verdict, NULL);
	return verdict.outcome;
}

static void assert_str(struct rf_str got, const char *want)
{
	if (!rf_str_eq(got, rf_str_z(want)))
		fail_msg("`%.*s` should be `%s`", RF_ARG(got), want);
}

/* How many of `n` such requests pass. */
static int passes(const char *text, int n)
{
	int passed = 0;
	while (n--)
		passed += judge(text) == RF_PASS;
	return passed;
}

#define LIMIT(members) "[{\"id\": \"r\", \"action\": \"rate_limit\", \"expression\": \"ssl\", \"ratelimit\": {" members "}}]"
#define LAMP "{\"device\": {\"id\": \"00000000000000000000000000000001\"}, \"src\": \"192.0.2.1\"}"
#define HORN "{\"device\": {\"id\": \"00000000000000000000000000000002\"}, \"src\": \"192.0.2.1\"}"

static void a_limit_is_of_each_device(void **state)
{
	(void)state;
	rules(RF_PHASE_HTTP_RATELIMIT, LIMIT("\"period\": 60, \"requests_per_period\": 5"));
	assert_int_equal(passes(LAMP, 9), 5);
	assert_int_equal(verdict.outcome, RF_BLOCK);
	assert_int_equal(verdict.why, RF_WHY_LIMIT);
	assert_int_equal(rf_verdict_status(&verdict), 429);
	assert_true(verdict.wait_ns > 59ull * S && verdict.wait_ns <= 68ull * S);
	assert_int_equal(verdict.nhits, 1);
	assert_int_equal(passes(HORN, 5), 5);
	assert_int_equal(verdict.nhits, 0); /* what is within its limit is no match to record */
	assert_int_equal(passes("{\"src\": \"192.0.2.1\"}", 6), 5);
	assert_int_equal(passes("{\"src\": \"192.0.2.2\"}", 6), 5);
	assert_int_equal(passes("{\"src\": \"2001:db8::1\"}", 3), 3);
	assert_int_equal(passes("{\"src\": \"2001:db8::ffff:2\"}", 3), 2); /* one network of 64 bits */
	assert_int_equal(passes("{\"src\": \"2001:db8:0:1::1\"}", 3), 3);
	now += 68ull * S;
	assert_int_equal(passes(LAMP, 9), 5);
}

static void nothing_is_counted_without_counters(void **state)
{
	(void)state;
	rules(RF_PHASE_HTTP_RATELIMIT, LIMIT("\"period\": 60, \"requests_per_period\": 1"));
	for (int i = 0; i < 5; i++) {
		ask(LAMP);
		verdict.counting = (struct rf_counting){ 0 };
		rf_http_eval(&policy, &facts, &verdict, NULL);
		assert_int_equal(verdict.outcome, RF_PASS);
	}
	for (int i = 0; i < 5; i++) {
		ask(LAMP);
		verdict.counting.look = true;
		rf_http_eval(&policy, &facts, &verdict, NULL);
		assert_int_equal(verdict.outcome, RF_PASS);
	}
	assert_int_equal(passes(LAMP, 2), 1);
	ask(LAMP);
	verdict.counting.look = true;
	rf_http_eval(&policy, &facts, &verdict, NULL);
	assert_int_equal(verdict.outcome, RF_BLOCK);
}

static void characteristics_make_the_key(void **state)
{
	(void)state;
	static const char key_a[] = "{\"headers\": {\"X-Key\": \"a\"}}", key_b[] = "{\"headers\": {\"x-key\": \"b\"}}";
	rules(RF_PHASE_HTTP_RATELIMIT, LIMIT("\"period\": 10, \"requests_per_period\": 2, \"characteristics\": "
		"[\"cf.colo.id\", \"http.request.headers[\\\"x-key\\\"]\", \"http.host\"]"));
	assert_int_equal(passes(key_a, 3), 2);
	assert_int_equal(passes(key_b, 3), 2);
	assert_int_equal(passes("{}", 3), 2);
	assert_int_equal(passes("{\"headers\": {\"x-key\": \"\"}}", 3), 2); /* an empty one is not none */
	assert_int_equal(passes("{\"headers\": {\"x-key\": [\"a\", \"b\"]}}", 3), 2);
	assert_int_equal(passes("{\"headers\": {\"x-key\": \"a\"}, \"host\": \"other\"}", 3), 2);
	assert_int_equal(passes("{\"headers\": {\"x-key\": \"aother\"}, \"host\": \"\"}", 3), 2);
	rules(RF_PHASE_HTTP_RATELIMIT, LIMIT("\"period\": 10, \"requests_per_period\": 1, \"characteristics\": "
		"[\"tcp.dstport\", \"device.class\", \"lower(http.request.uri.path)\"]"));
	assert_int_equal(passes("{\"port\": 443, \"path\": \"/A\"}", 2), 1);
	assert_int_equal(passes("{\"port\": 443, \"path\": \"/a\"}", 2), 0);
	assert_int_equal(passes("{\"port\": 444, \"path\": \"/a\"}", 2), 1);
	assert_int_equal(passes("{\"port\": 443, \"path\": \"/a\", \"device\": {\"class\": \"lamps\"}}", 2), 1);
}

/* Expression, action and description may change; another object counts anew; another rule counts apart. */
static void edits_keep_the_counters(void **state)
{
	(void)state;
	rules(RF_PHASE_HTTP_RATELIMIT, LIMIT("\"period\": 60, \"requests_per_period\": 3"));
	assert_int_equal(passes(LAMP, 2), 2);
	rules(RF_PHASE_HTTP_RATELIMIT, "[{\"id\": \"r\", \"action\": \"block\", \"expression\": \"true\", \"description\": \"new\", "
		"\"ratelimit\": {\"requests_per_period\": 3, \"period\": 60}, \"action_parameters\": {\"response\": {\"content\": \"{}\"}}}]");
	assert_int_equal(passes(LAMP, 2), 1);
	assert_int_equal(rf_verdict_status(&verdict), 429);
	assert_str(verdict.response->content, "{}");
	rules(RF_PHASE_HTTP_RATELIMIT, LIMIT("\"period\": 60, \"requests_per_period\": 4"));
	assert_int_equal(passes(LAMP, 5), 4);
	rules(RF_PHASE_HTTP_RATELIMIT, "[{\"id\": \"s\", \"action\": \"rate_limit\", \"expression\": \"ssl\", "
		"\"ratelimit\": {\"period\": 60, \"requests_per_period\": 4}}]");
	assert_int_equal(passes(LAMP, 5), 4);
}

static void what_counts_may_be_another_expression(void **state)
{
	(void)state;
	static const char get[] = "{\"path\": \"/\"}", post[] = "{\"path\": \"/\", \"method\": \"POST\"}",
		elsewhere[] = "{\"path\": \"/other\", \"method\": \"POST\"}";
	rules(RF_PHASE_HTTP_RATELIMIT, "[{\"id\": \"r\", \"action\": \"block\", \"expression\": \"http.request.uri.path eq \\\"/\\\"\", "
		"\"ratelimit\": {\"period\": 60, \"requests_per_period\": 3, \"counting_expression\": \"http.request.method eq \\\"POST\\\"\"}}]");
	assert_int_equal(passes(get, 10), 10);
	assert_int_equal(passes(post, 1), 1);
	assert_int_equal(passes(elsewhere, 2), 2);
	assert_int_equal(passes(get, 1), 0);
	assert_int_equal(passes(elsewhere, 5), 5); /* the rule does not apply to it */
}

static struct rf_str score(void *ctx, struct rf_str header)
{
	assert_str(header, "x-cost");
	return rf_str_z(ctx);
}

static void count_late(bool forwarded, const char *text, const char *cost)
{
	static struct rf_late_count late[RF_LATE_COUNTS];
	unsigned n = verdict.nlate, evicted;
	const struct rf_counting counting = verdict.counting;
	memcpy(late, verdict.late, sizeof late);
	ask(text);
	rf_late_counts(late, n, &counting, &facts, forwarded, score, (void *)(uintptr_t)cost, &evicted);
	assert_int_equal(evicted, 0);
}

static void answers_count_when_they_are_there(void **state)
{
	(void)state;
	static const char login[] = "{\"path\": \"/login\", \"src\": \"192.0.2.9\"}";
	static const char bad[] = "{\"path\": \"/login\", \"src\": \"192.0.2.9\", \"response\": {\"code\": 401}}";
	static const char good[] = "{\"path\": \"/login\", \"src\": \"192.0.2.9\", \"response\": {\"code\": 200}}";
	rules(RF_PHASE_HTTP_RATELIMIT, "[{\"id\": \"r\", \"action\": \"block\", \"expression\": \"http.request.uri.path eq \\\"/login\\\"\", "
		"\"ratelimit\": {\"period\": 60, \"requests_per_period\": 3, \"mitigation_timeout\": 600, \"counting_expression\": "
		"\"http.response.code in {401 403}\", \"characteristics\": [\"ip.src\"]}}]");
	for (int i = 0; i < 10; i++) {
		assert_int_equal(judge(login), RF_PASS);
		assert_int_equal(verdict.nlate, 1);
		count_late(true, good, "");
	}
	for (int i = 0; i < 3; i++) {
		assert_int_equal(judge(login), RF_PASS);
		count_late(true, bad, "");
	}
	assert_int_equal(judge(login), RF_BLOCK);
	assert_int_equal(verdict.wait_ns, 600ull * S);
	assert_int_equal(verdict.nlate, 0);
	assert_int_equal(judge("{\"path\": \"/\", \"src\": \"192.0.2.9\"}"), RF_PASS);
	assert_int_equal(judge("{\"path\": \"/login\", \"src\": \"192.0.2.8\"}"), RF_PASS);
}

static void only_what_went_to_the_origin_counts(void **state)
{
	(void)state;
	rules(RF_PHASE_HTTP_RATELIMIT, LIMIT("\"period\": 60, \"requests_per_period\": 2, \"requests_to_origin\": true"));
	for (int i = 0; i < 5; i++) {
		assert_int_equal(judge(LAMP), RF_PASS);
		count_late(false, LAMP, "");
	}
	for (int i = 0; i < 2; i++) {
		assert_int_equal(judge(LAMP), RF_PASS);
		count_late(true, LAMP, "");
	}
	assert_int_equal(judge(LAMP), RF_BLOCK);
}

static void the_origin_says_what_it_cost(void **state)
{
	(void)state;
	static const char *const costs[] = { "40", " 50 ", "-1", "many", "", "9" };
	rules(RF_PHASE_HTTP_RATELIMIT, LIMIT("\"period\": 60, \"score_per_period\": 100, \"score_response_header_name\": \"x-cost\""));
	for (size_t i = 0; i < sizeof costs / sizeof *costs; i++) {
		assert_int_equal(judge(LAMP), RF_PASS);
		count_late(true, LAMP, costs[i]);
	}
	assert_int_equal(judge(LAMP), RF_PASS);
	assert_int_equal(verdict.limit.count, 99);
	count_late(true, LAMP, "99999999999999999999");
	assert_int_equal(judge(LAMP), RF_PASS);
	count_late(true, LAMP, "4000000000");
	assert_int_equal(judge(LAMP), RF_BLOCK);
}

static void log_and_skip_and_challenge_under_a_limit(void **state)
{
	(void)state;
	rules(RF_PHASE_HTTP_RATELIMIT, "[{\"id\": \"l\", \"action\": \"log\", \"expression\": \"ssl\", "
		"\"ratelimit\": {\"period\": 60, \"requests_per_period\": 1}}]");
	assert_int_equal(passes(LAMP, 1), 1);
	assert_int_equal(verdict.nhits, 0);
	assert_int_equal(passes(LAMP, 1), 1);
	assert_int_equal(verdict.nhits, 1);
	rules(RF_PHASE_HTTP_RATELIMIT, "[{\"action\": \"skip\", \"expression\": \"http.host eq \\\"free\\\"\", \"action_parameters\": "
		"{\"ruleset\": \"current\"}}, {\"id\": \"c\", \"action\": \"managed_challenge\", \"expression\": \"ssl\", "
		"\"ratelimit\": {\"period\": 60, \"requests_per_period\": 1}}]");
	assert_int_equal(passes("{\"host\": \"free\"}", 5), 5);
	assert_int_equal(passes("{}", 5), 1);
	assert_int_equal(rf_verdict_status(&verdict), 429);
	rules(RF_PHASE_HTTP_REQUEST, "[{\"action\": \"skip\", \"expression\": \"ssl\", \"action_parameters\": {\"products\": [\"rateLimit\"]}}]");
	assert_int_equal(passes("{}", 5), 5);
}

#define REDIRECT(from) \
	"[{\"id\": \"d\", \"action\": \"redirect\", \"expression\": \"ssl\", \"action_parameters\": {\"from_value\": {" from "}}}]"

static void redirections(void **state)
{
	(void)state;
	static const struct { const char *from, *request, *location; int status; } cases[] = {
		{ "\"target_url\": {\"value\": \"https://example.com/new\"}", "{}", "https://example.com/new", 301 },
		{ "\"status_code\": 308, \"target_url\": {\"expression\": \"concat(\\\"/v2\\\", http.request.uri.path)\"}",
			"{\"path\": \"/a?x=1\"}", "/v2/a", 308 },
		{ "\"preserve_query_string\": true, \"target_url\": {\"value\": \"/b?y=2#top\"}", "{\"path\": \"/a?x=1\"}", "/b?y=2&x=1#top", 301 },
		{ "\"preserve_query_string\": true, \"target_url\": {\"value\": \"/b\"}", "{\"path\": \"/a?x=1\"}", "/b?x=1", 301 },
		{ "\"preserve_query_string\": true, \"target_url\": {\"value\": \"/b\"}", "{\"path\": \"/a\"}", "/b", 301 },
		{ "\"target_url\": {\"expression\": \"concat(\\\"https://example.com/\\\", http.user_agent)\"}",
			"{\"headers\": {\"user-agent\": \"a\\r\\nSet-Cookie: b=1 \\\"<\\u00e9\"}}",
			"https://example.com/a%0D%0ASet-Cookie:%20b=1%20%22%3C%C3%A9", 301 } };
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char text[1024];
		snprintf(text, sizeof text, REDIRECT("%s"), cases[i].from);
		rules(RF_PHASE_HTTP_REDIRECT, text);
		assert_int_equal(judge(cases[i].request), RF_ANSWER);
		assert_str(verdict.location, cases[i].location);
		assert_int_equal(verdict.status, cases[i].status);
		assert_str(verdict.rule->id, "d");
	}
}

/* A target that bytes of the request turn into another host, or into no URL: refused, not sent. */
static void redirections_go_nowhere_else(void **state)
{
	(void)state;
	static const char *const paths[] = { "//evil.example/", "/\\\\evil.example", "" };
	rules(RF_PHASE_HTTP_REDIRECT, REDIRECT("\"target_url\": {\"expression\": \"http.request.headers[\\\"x-to\\\"][0]\"}"));
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
		char text[128];
		snprintf(text, sizeof text, "{\"headers\": {\"x-to\": \"%s\"}}", paths[i]);
		assert_int_equal(judge(text), RF_BLOCK);
		assert_int_equal(verdict.why, RF_WHY_ERROR);
		assert_int_equal(verdict.location.n, 0);
	}
	assert_int_equal(judge("{\"headers\": {\"x-to\": \"javascript:1\"}}"), RF_BLOCK);
	assert_int_equal(judge("{}"), RF_BLOCK);
}

static void settings_add_up(void **state)
{
	(void)state;
	rules(RF_PHASE_HTTP_CONFIG, "[{\"action\": \"set_config\", \"expression\": \"ssl\", \"action_parameters\": {\"compress\": false, "
		"\"inspect_body_bytes\": 100}}, {\"action\": \"set_config\", \"expression\": \"http.host eq \\\"a\\\"\", \"action_parameters\": "
		"{\"request_body_buffering\": \"none\", \"record_sample\": 50}}]");
	ask("{\"host\": \"b\"}");
	rf_config_eval(&policy, &facts, &verdict, NULL);
	assert_int_equal(verdict.config.compress, 0);
	assert_int_equal(verdict.config.body_bytes, 100);
	assert_int_equal(verdict.config.sample, 0);
	ask("{\"host\": \"a\"}");
	rf_config_eval(&policy, &facts, &verdict, NULL);
	assert_int_equal(verdict.config.compress, 0);
	assert_int_equal(verdict.config.body_bytes, 0);
	assert_int_equal(verdict.config.sample, 50);
	ask("{\"scheme\": \"http\"}");
	rf_config_eval(&policy, &facts, &verdict, NULL);
	assert_int_equal(verdict.config.compress, -1);
	assert_int_equal(verdict.config.body_bytes, -1);
}

static void answers_are_judged(void **state)
{
	(void)state;
	rules(RF_PHASE_HTTP_ERRORS, "[{\"action\": \"serve_error\", \"expression\": \"http.response.code ge 500\", \"action_parameters\": "
		"{\"content\": \"later\", \"content_type\": \"text/plain\"}}]");
	rules(RF_PHASE_HTTP_RESPONSE, "[{\"id\": \"b\", \"action\": \"block\", \"expression\": "
		"\"any(http.response.headers[\\\"x-secret\\\"][*] contains \\\"key\\\")\"}, {\"action\": \"rewrite\", \"expression\": "
		"\"true\", \"action_parameters\": {\"headers\": {\"Server\": {\"operation\": \"remove\"}, \"X-Host\": {\"operation\": \"set\", "
		"\"expression\": \"http.host\"}}}}]");
	rules(RF_PHASE_HTTP_COMPRESSION, "[{\"action\": \"compress_response\", \"expression\": "
		"\"http.response.content_type.media_type eq \\\"text/csv\\\"\", \"action_parameters\": {\"algorithms\": [{\"name\": \"zstd\"}, "
		"{\"name\": \"auto\"}]}}]");
	assert_int_equal(answer("{\"response\": {\"code\": 503}}"), RF_ANSWER);
	assert_str(verdict.response->content, "later");
	assert_int_equal(verdict.response->status, 0);
	assert_int_equal(answer("{\"response\": {\"code\": 200, \"headers\": {\"X-Secret\": \"the key\"}}}"), RF_BLOCK);
	assert_str(verdict.rule->id, "b");
	assert_int_equal(answer("{\"host\": \"h\", \"response\": {\"code\": 200}}"), RF_PASS);
	assert_int_equal(verdict.nedits, 2);
	assert_str(verdict.edits[1].value, "h");
	assert_null(verdict.algorithms);
	assert_int_equal(answer("{\"response\": {\"code\": 200, \"headers\": {\"Content-Type\": \"text/CSV; a=b\"}}}"), RF_PASS);
	assert_non_null(verdict.algorithms);
	assert_int_equal(verdict.algorithms->n, 2);
	assert_int_equal(verdict.algorithms->v[0], RF_ALG_ZSTD);
}

/* What an operator can state about the actions in a test, and what explain says of a limit. */
static void tests_and_explain_know_the_actions(void **state)
{
	(void)state;
	struct rf_rule_test_report report = { 0 };
	struct rf_err e;
	rules(RF_PHASE_HTTP_REQUEST, "[{\"action\": \"quarantine\", \"expression\": \"http.request.uri.path eq \\\"/q\\\"\"}]");
	rules(RF_PHASE_HTTP_RATELIMIT, LIMIT("\"period\": 60, \"requests_per_period\": 1"));
	rules(RF_PHASE_HTTP_REDIRECT, "[{\"action\": \"redirect\", \"expression\": \"http.request.uri.path eq \\\"/r\\\"\", "
		"\"action_parameters\": {\"from_value\": {\"target_url\": {\"value\": \"/n\"}, \"status_code\": 307}}}]");
	rules(RF_PHASE_HTTP_ERRORS, "[{\"action\": \"serve_error\", \"expression\": \"http.response.code eq 503\", "
		"\"action_parameters\": {\"content\": \"later\"}}]");
	rules(RF_PHASE_HTTP_RESPONSE, "[{\"action\": \"rewrite\", \"expression\": \"true\", \"action_parameters\": {\"headers\": "
		"{\"Server\": {\"operation\": \"set\", \"value\": \"edge\"}}}}]");
	json_t *tests = load("[{\"request\": {\"path\": \"/q\"}, \"expect\": {\"action\": \"quarantine\", \"status\": 403}},"
		"{\"request\": {\"path\": \"/q\"}, \"expect\": {\"action\": \"block\"}},"
		"{\"request\": {\"path\": \"/r\"}, \"expect\": {\"action\": \"redirect\", \"status\": 307, \"location\": \"/n\"}},"
		"{\"request\": {\"path\": \"/\", \"response\": {\"code\": 503}}, \"expect\": {\"action\": \"serve_error\", \"status\": 503}},"
		"{\"request\": {\"response\": {\"code\": 200}}, \"expect\": {\"action\": \"pass\", \"headers\": {\"Server\": \"edge\"}}},"
		"{\"request\": {\"path\": \"/r\"}, \"expect\": {\"action\": \"block\"}},"
		"{\"request\": {\"path\": \"/r\"}, \"expect\": {\"location\": \"/m\"}},"
		"{\"request\": {\"path\": \"/\"}, \"expect\": {\"action\": \"redirect\"}},"
		"{\"request\": {\"path\": \"/r\"}, \"expect\": {\"action\": \"pass\"}}]");
	assert_int_equal(rf_rule_tests_run(&policy, NULL, tests, 0, &report, &e), RF_OK);
	json_decref(tests);
	assert_int_equal(report.passed, 5);
	assert_int_equal(report.failed, 4);

	RF_BUF_AUTO b = { 0 };
	struct rf_jw w = rf_jw_on(&b);
	const struct rf_counting counting = { table, now, false };
	assert_int_equal(passes(LAMP, 2), 1);
	ask(LAMP);
	rf_jw_open(&w, NULL, '{');
	rf_explain(&policy, &facts, &counting, NULL, &verdict, &w, "rules");
	rf_explain_verdict(&verdict, &w, "verdict");
	rf_jw_close(&w, '}');
	json_t *told = load(rf_buf_z(&b));
	const json_t *limit = json_object_get(json_array_get(json_object_get(told, "rules"), 1), "limit");
	assert_int_equal(json_integer_value(json_object_get(limit, "count")), 1);
	assert_int_equal(json_integer_value(json_object_get(limit, "most")), 1);
	assert_true(json_is_true(json_object_get(limit, "over")));
	assert_true(json_integer_value(json_object_get(json_object_get(told, "verdict"), "retry_after")) > 50);
	json_decref(told);
}

static void quarantine_is_a_block(void **state)
{
	(void)state;
	rules(RF_PHASE_HTTP_REQUEST, "[{\"id\": \"q\", \"action\": \"quarantine\", \"expression\": \"ssl\", \"action_parameters\": "
		"{\"response\": {\"status_code\": 451}}}]");
	assert_int_equal(judge(LAMP), RF_BLOCK);
	assert_int_equal(verdict.why, RF_WHY_QUARANTINE);
	assert_int_equal(rf_verdict_status(&verdict), 451);
}

#define RATE(members) RF_PHASE_HTTP_RATELIMIT, "\"action\": \"block\", \"ratelimit\": {" members "}"
#define WITH(phase, action, parameters) RF_PHASE_##phase, "\"action\": \"" action "\", \"action_parameters\": {" parameters "}"
#define OK_RATE "\"period\": 60, \"requests_per_period\": 1"
#define P "/rules/0/action_parameters"
#define THREE "\"ip.src\", \"ip.src\", \"ip.src\""
#define NINE_FIELDS "[" THREE ", " THREE ", " THREE "]"

static const struct { enum rf_phase phase; const char *members, *pointer, *words; } bad[] = {
	{ RF_PHASE_HTTP_RATELIMIT, "\"action\": \"block\"", "/rules/0/ratelimit", "says what it counts" },
	{ RF_PHASE_HTTP_RATELIMIT, "\"action\": \"block\", \"ratelimit\": []", "/rules/0/ratelimit", "object" },
	{ RF_PHASE_HTTP_RATELIMIT, "\"action\": \"allow\", \"ratelimit\": {" OK_RATE "}", "/rules/0/action", "does not work" },
	{ RF_PHASE_HTTP_REQUEST, "\"action\": \"block\", \"ratelimit\": {" OK_RATE "}", "/rules/0/ratelimit", "only rules of the phase" },
	{ RF_PHASE_HTTP_REQUEST, "\"action\": \"rate_limit\"", "/rules/0/action", "does not work" },
	{ RATE("\"period\": 60"), "/rules/0/ratelimit", "either" },
	{ RATE("\"requests_per_period\": 1"), "/rules/0/ratelimit/period", "number of seconds" },
	{ RATE("\"period\": 61, \"requests_per_period\": 1"), "/rules/0/ratelimit/period", "60, 90" },
	{ RATE("\"period\": \"60\", \"requests_per_period\": 1"), "/rules/0/ratelimit/period", "number of seconds" },
	{ RATE("\"period\": 60, \"requests_per_period\": 0"), "/rules/0/ratelimit/requests_per_period", "1 to" },
	{ RATE("\"period\": 60, \"requests_per_period\": 1.5"), "/rules/0/ratelimit/requests_per_period", "1 to" },
	{ RATE(OK_RATE ", \"mitigation_timeout\": 5"), "/rules/0/ratelimit/mitigation_timeout", "0, 10" },
	{ RATE(OK_RATE ", \"mitigation\": 60"), "/rules/0/ratelimit/mitigation", "unknown" },
	{ RATE(OK_RATE ", \"score_per_period\": 5"), "/rules/0/ratelimit/score_per_period", "either" },
	{ RATE(OK_RATE ", \"score_response_header_name\": \"x\""), "/rules/0/ratelimit/score_response_header_name", "goes with" },
	{ RATE("\"period\": 60, \"score_per_period\": 5"), "/rules/0/ratelimit/score_response_header_name", "header" },
	{ RATE("\"period\": 60, \"score_per_period\": 5, \"score_response_header_name\": \"a b\""),
		"/rules/0/ratelimit/score_response_header_name", "header" },
	{ RATE(OK_RATE ", \"requests_to_origin\": 1"), "/rules/0/ratelimit/requests_to_origin", "true or false" },
	{ RATE(OK_RATE ", \"characteristics\": \"ip.src\""), "/rules/0/ratelimit/characteristics", "array" },
	{ RATE(OK_RATE ", \"characteristics\": [7]"), "/rules/0/ratelimit/characteristics/0", "field" },
	{ RATE(OK_RATE ", \"characteristics\": [\"ip.src\", \"ip.scr\"]"), "/rules/0/ratelimit/characteristics/1", "ip.src" },
	{ RATE(OK_RATE ", \"characteristics\": [\"http.response.code\"]"), "/rules/0/ratelimit/characteristics/0", "not known in the phase" },
	{ RATE(OK_RATE ", \"characteristics\": [\"http.request.headers\"]"), "/rules/0/ratelimit/characteristics/0", "" },
	{ RATE(OK_RATE ", \"characteristics\": " NINE_FIELDS ""),
		"/rules/0/ratelimit/characteristics", "at most" },
	{ RATE(OK_RATE ", \"counting_expression\": \"http.response.cod eq 1\""), "/rules/0/ratelimit/counting_expression", "http.response.code" },
	{ RATE(OK_RATE ", \"counting_expression\": 7"), "/rules/0/ratelimit/counting_expression", "string" },
	{ RATE(OK_RATE ", \"counting_expression\": \"http.response.code eq 401 and http.request.body.size gt 1\""),
		"/rules/0/ratelimit/counting_expression", "http.request.body.size" },
	{ WITH(HTTP_REDIRECT, "redirect", "\"from_list\": {}"), P "/from_list", "from_value" },
	{ WITH(HTTP_REDIRECT, "redirect", "\"from_value\": {}"), P "/from_value", "says where" },
	{ WITH(HTTP_REDIRECT, "redirect", "\"from_value\": {\"target_url\": {}}"), P "/from_value/target_url", "either" },
	{ WITH(HTTP_REDIRECT, "redirect", "\"from_value\": {\"target_url\": {\"value\": \"example.com\"}}"),
		P "/from_value/target_url/value", "URL" },
	{ WITH(HTTP_REDIRECT, "redirect", "\"from_value\": {\"target_url\": {\"value\": \"//x\"}}"),
		P "/from_value/target_url/value", "URL" },
	{ WITH(HTTP_REDIRECT, "redirect", "\"from_value\": {\"target_url\": {\"value\": \"/\"}, \"status_code\": 200}"),
		P "/from_value/status_code", "301" },
	{ WITH(HTTP_REDIRECT, "redirect", "\"from_value\": {\"target_url\": {\"value\": \"/\"}, \"preserve_query\": true}"),
		P "/from_value/preserve_query", "unknown" },
	{ WITH(HTTP_REDIRECT, "block", ""), "/rules/0/action", "does not work" },
	{ WITH(HTTP_CONFIG, "set_config", ""), P, "says what" },
	{ WITH(HTTP_CONFIG, "set_config", "\"polish\": \"off\""), P "/polish", "not offered" },
	{ WITH(HTTP_CONFIG, "set_config", "\"compres\": true"), P "/compres", "compress" },
	{ WITH(HTTP_CONFIG, "set_config", "\"compress\": 1"), P "/compress", "true or false" },
	{ WITH(HTTP_CONFIG, "set_config", "\"record_sample\": 0"), P "/record_sample", "1 to" },
	{ WITH(HTTP_CONFIG, "set_config", "\"inspect_body_bytes\": -1"), P "/inspect_body_bytes", "0 to" },
	{ WITH(HTTP_CONFIG, "set_config", "\"request_body_buffering\": \"full\""), P "/request_body_buffering", "streams" },
	{ WITH(HTTP_CONFIG, "set_config", "\"request_body_buffering\": \"none\", \"inspect_body_bytes\": 5"), P "/inspect_body_bytes", "nothing" },
	{ WITH(HTTP_COMPRESSION, "compress_response", ""), P "/algorithms", "array" },
	{ WITH(HTTP_COMPRESSION, "compress_response", "\"algorithms\": []"), P "/algorithms", "array" },
	{ WITH(HTTP_COMPRESSION, "compress_response", "\"algorithms\": [{\"name\": \"lzma\"}]"), P "/algorithms/0/name", "gzip" },
	{ WITH(HTTP_COMPRESSION, "compress_response", "\"algorithms\": [\"gzip\"]"), P "/algorithms/0", "object" },
	{ WITH(HTTP_ERRORS, "serve_error", ""), P, "says what" },
	{ WITH(HTTP_ERRORS, "serve_error", "\"asset_name\": \"x\""), P "/asset_name", "content" },
	{ WITH(HTTP_ERRORS, "serve_error", "\"content\": \"x\", \"status_code\": 200"), P "/status_code", "400" },
	{ WITH(HTTP_RESPONSE, "rewrite", "\"uri\": {\"path\": {\"value\": \"/\"}}"), P "/uri", "no URI" },
	{ WITH(HTTP_RESPONSE, "rewrite", "\"headers\": {\"Content-Encoding\": {\"operation\": \"remove\"}}"),
		P "/headers/Content-Encoding", "belongs" },
	{ WITH(HTTP_RESPONSE, "redirect", ""), "/rules/0/action", "does not work" },
	{ WITH(HTTP_REQUEST, "route", ""), "/rules/0/action", "not offered" },
	{ WITH(HTTP_REQUEST, "log_custom_field", ""), "/rules/0/action", "not offered" },
};

static void bad_documents_say_where(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		char text[1024];
		struct rf_ruleset *s = NULL;
		struct rf_err e = { 0 };
		snprintf(text, sizeof text, "[{\"expression\": \"ssl\", %s}]", bad[i].members);
		json_t *doc = load(text);
		if (rf_ruleset_make(&env, bad[i].phase, RF_STR("z"), RF_STR(""), doc, NULL, &s, &e) == RF_OK)
			fail_msg("%s was accepted", text);
		if (strcmp(e.pointer, bad[i].pointer) != 0 || !strstr(e.text, bad[i].words))
			fail_msg("%s: %s: %s", text, e.pointer, e.text);
		json_decref(doc);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, up, down)
	const struct CMUnitTest tests[] = {
		T(a_limit_is_of_each_device), T(nothing_is_counted_without_counters), T(characteristics_make_the_key),
		T(edits_keep_the_counters), T(what_counts_may_be_another_expression), T(answers_count_when_they_are_there),
		T(only_what_went_to_the_origin_counts), T(the_origin_says_what_it_cost), T(log_and_skip_and_challenge_under_a_limit),
		T(redirections), T(redirections_go_nowhere_else), T(settings_add_up), T(answers_are_judged), T(tests_and_explain_know_the_actions),
		T(quarantine_is_a_block),
		T(bad_documents_say_where),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
