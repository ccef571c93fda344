/* Rules over requests and answers at the edge, in virtual time: limits, redirections, answers that are blocked or changed. */
#include "svc/http/test.h"

static int setup(void **state)
{
	(void)state;
	world_open();
	w.limits = rf_limits_new(RF_LIMIT_COUNTERS_LEAST);
	return w.limits ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	world_close();
	rf_limits_free(w.limits);
	return 0;
}

/* The rules of a phase, as JSON without the outer brackets. */
static void rules(enum rf_phase phase, const char *text)
{
	static const struct rf_rule_env env;
	struct rf_ruleset *set = NULL;
	struct rf_err e;
	json_error_t why;
	json_t *doc = json_loads(text, 0, &why);
	if (!doc)
		fail_msg("%s", why.text);
	if (rf_ruleset_make(&env, phase, RF_STR("s"), RF_STR("s"), doc, NULL, &set, &e))
		fail_msg("%s: %s", e.pointer, e.text);
	json_decref(doc);
	assert_int_equal(rf_phase_set_make(phase, &set, 1, &w.snap->zone_policy[0].phase[phase]), RF_OK);
	rf_ruleset_put(set);
}

static unsigned get(struct rf_peer *c, struct rf_peer **o, const char *path)
{
	char text[128];
	unsigned status = 0;
	snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: app.test\r\n\r\n", path);
	say(c, text);
	if (!*o)
		*o = origin();
	if (*o && has(heard(*o), "GET "))
		answer(*o, "ok");
	sscanf(heard(c), "HTTP/1.1 %u ", &status);
	return status;
}

static void test_a_limit_in_time(void **state)
{
	(void)state;
	struct rf_peer *o = NULL;
	world_start();
	rules(RF_PHASE_HTTP_RATELIMIT, "[{\"id\": \"r\", \"action\": \"rate_limit\", \"expression\": \"true\", "
		"\"ratelimit\": {\"period\": 40, \"requests_per_period\": 2}}]");
	struct rf_peer *c = client();
	assert_int_equal(get(c, &o, "/"), 200);
	pass(10 * RF_NS_S);
	assert_int_equal(get(c, &o, "/"), 200);
	say(c, GET("/over"));
	const char *a = heard(c);
	assert_true(has(a, "HTTP/1.1 429 ") && has(a, "\r\nRetry-After: "));
	unsigned wait = 0;
	sscanf(strstr(a, "Retry-After: "), "Retry-After: %u", &wait);
	assert_true(wait > 25 && wait <= 35);
	assert_string_equal(last_request()->rule, "r");
	assert_string_equal(last_request()->action, "block");
	pass((wait - 1) * RF_NS_S);
	assert_int_equal(get(c, &o, "/"), 429);
	pass(RF_NS_S);
	assert_int_equal(get(c, &o, "/"), 200); /* as promised */
	assert_int_equal(get(c, &o, "/"), 429);
}

static void test_redirections_in_a_row(void **state)
{
	(void)state;
	world_start();
	rules(RF_PHASE_HTTP_REDIRECT, "[{\"id\": \"d\", \"action\": \"redirect\", \"expression\": \"http.request.uri.path eq \\\"/a\\\"\", "
		"\"action_parameters\": {\"from_value\": {\"target_url\": {\"expression\": "
		"\"concat(\\\"/b?\\\", http.request.uri.query)\"}, \"status_code\": 302}}}]");
	struct rf_peer *c = client();
	say(c, GET("/a?1") "POST /a?2 HTTP/1.1\r\nHost: app.test\r\nContent-Length: 3\r\n\r\nxyz" GET("/b"));
	struct rf_peer *o = origin();
	assert_true(has(heard(o), "GET /b HTTP/1.1\r\n"));
	answer(o, "end");
	const char *a = heard(c), *second = strstr(a + 1, "HTTP/1.1 302 ");
	assert_true(has(a, "HTTP/1.1 302 ") && has(a, "\r\nLocation: /b?1\r\n"));
	assert_non_null(second);
	assert_true(has(second, "\r\nLocation: /b?2\r\n") && has(second, "HTTP/1.1 200 OK"));
	assert_string_equal(w.seen[0].action, "redirect");
	assert_string_equal(w.seen[0].rule, "d");
}

/* The origin answers before it has read the request: what a rule blocks of that never reaches the client. */
static void test_an_early_answer_is_blocked(void **state)
{
	(void)state;
	world_start();
	rules(RF_PHASE_HTTP_RESPONSE, "[{\"id\": \"b\", \"action\": \"block\", \"expression\": \"http.response.code eq 200\"}]");
	struct rf_peer *c = client();
	say(c, "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 100000\r\n\r\nbegin");
	struct rf_peer *o = origin();
	heard(o);
	say(o, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Inside: 1\r\n\r\nsecret");
	const char *a = heard(c);
	assert_true(has(a, "HTTP/1.1 403 ") && has(a, "Connection: close"));
	assert_false(has(a, "secret") || has(a, "X-Inside"));
	assert_true(rf_replay_closed(o));
	assert_string_equal(last_request()->rule, "b");
	assert_int_equal(last_request()->origin_status, 200);
}

static void test_answers_are_changed(void **state)
{
	(void)state;
	world_start();
	rules(RF_PHASE_HTTP_RESPONSE, "[{\"action\": \"rewrite\", \"expression\": \"true\", \"action_parameters\": {\"headers\": {"
		"\"server\": {\"operation\": \"remove\"}, \"X-A\": {\"operation\": \"set\", \"expression\": \"http.request.headers[\\\"x-in\\\"][0]\"}, "
		"\"Set-Cookie\": {\"operation\": \"add\", \"value\": \"c=3\"}}}}, {\"action\": \"rewrite\", \"expression\": \"true\", "
		"\"action_parameters\": {\"headers\": {\"X-A\": {\"operation\": \"set\", \"value\": \"last\"}}}}]");
	struct rf_peer *c = client();
	say(c, "GET / HTTP/1.1\r\nHost: app.test\r\nX-In: in\r\n\r\n");
	struct rf_peer *o = origin();
	heard(o);
	say(o, "HTTP/1.1 200 OK\r\nServer: a\r\nSERVER: b\r\nX-a: theirs\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nok");
	const char *a = heard(c);
	assert_false(has(a, "erver: a") || has(a, "SERVER") || has(a, "theirs") || has(a, "X-A: in"));
	assert_true(has(a, "\r\nX-A: last\r\n") && has(a, "a=1\r\n") && has(a, "b=2\r\n") && has(a, "Set-Cookie: c=3\r\n"));
	assert_true(has(a, "Content-Length: 2\r\n") && has(a, "\r\n\r\nok"));
}

/* No memory for what a rule wants to know of an answer: it does not pass. */
static void test_no_room_blocks_the_answer(void **state)
{
	(void)state;
	static char big[20000], text[21000];
	w.conf.request_memory = 24576;
	w.conf.heads.line = sizeof text;
	world_start();
	rules(RF_PHASE_HTTP_RESPONSE, "[{\"action\": \"log\", \"expression\": "
		"\"upper(http.response.headers[\\\"x-big\\\"][0]) contains \\\"EVIL\\\"\"}]");
	memset(big, 'a', sizeof big - 1);
	snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Big: %s\r\n\r\nsecret", big);
	struct rf_peer *c = client();
	say(c, GET("/"));
	struct rf_peer *o = origin();
	heard(o);
	say(o, text);
	const char *a = heard(c);
	assert_false(has(a, "secret"));
	assert_false(has(a, "HTTP/1.1 200 "));
}

/* A switch of protocols is an answer too. */
static void test_an_upgrade_is_blocked(void **state)
{
	(void)state;
	world_start();
	rules(RF_PHASE_HTTP_RESPONSE, "[{\"action\": \"block\", \"expression\": \"http.response.code eq 101\"}]");
	struct rf_peer *c = client();
	say(c, "GET /ws HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: "
		"dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n");
	struct rf_peer *o = origin();
	heard(o);
	say(o, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nframe");
	const char *a = heard(c);
	assert_true(has(a, "HTTP/1.1 403 "));
	assert_false(has(a, "101") || has(a, "frame"));
	assert_true(rf_replay_closed(o));
}

/* What the origin never answered is counted by what the client got. */
static void test_no_answer_is_counted_too(void **state)
{
	(void)state;
	world_start();
	rules(RF_PHASE_HTTP_RATELIMIT, "[{\"action\": \"block\", \"expression\": \"true\", \"ratelimit\": {\"period\": 60, "
		"\"requests_per_period\": 2, \"counting_expression\": \"http.response.code ge 500\"}}]");
	w.group.passive_fails = 0;
	for (int i = 0; i < 3; i++) {
		struct rf_peer *c = client();
		say(c, "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 2\r\n\r\nhi");
		struct rf_peer *o = origin();
		if (o) {
			heard(o);
			rf_replay_close(o);
			run();
		}
		assert_true(has(heard(c), i < 2 ? "HTTP/1.1 502 " : "HTTP/1.1 429 "));
		rf_replay_close(c);
		run();
	}
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* An answer that a rule blocks is read away, and those that share the connection get theirs. */
static void test_a_blocked_answer_among_others(void **state)
{
	(void)state;
	w.origin[0].pipeline = 4;
	world_start();
	rules(RF_PHASE_HTTP_RESPONSE, "[{\"id\": \"b\", \"action\": \"block\", \"expression\": \"http.response.code eq 201\"}]");
	struct rf_peer *c[3] = { client(), client(), client() };
	for (unsigned i = 0; i < 3; i++)
		rf_replay_send(c[i], RF_STR(GET("/")));
	run();
	struct rf_peer *o = origin();
	heard(o);
	say(o, "HTTP/1.1 201 Created\r\nContent-Length: 6\r\n\r\nsecret"
	       "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nsecret\r\n0\r\n\r\n");
	answer(o, "mine");
	for (unsigned i = 0; i < 2; i++) {
		const char *a = heard(c[i]);
		assert_true(has(a, "HTTP/1.1 403 ") && !has(a, "secret"));
	}
	assert_true(has(heard(c[2]), "\r\n\r\nmine"));
	assert_false(rf_replay_closed(o));
}

int main(void)
{
	const struct CMUnitTest tests[] = { T(test_a_limit_in_time), T(test_redirections_in_a_row),
		T(test_an_early_answer_is_blocked), T(test_a_blocked_answer_among_others), T(test_answers_are_changed), T(test_no_room_blocks_the_answer),
		T(test_an_upgrade_is_blocked), T(test_no_answer_is_counted_too) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
