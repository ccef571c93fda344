#include <zlib.h>
#include "svc/http/test.h"

static int start(void **state)
{
	(void)state;
	world_open();
	return 0;
}

static int stop(void **state)
{
	(void)state;
	world_close();
	return 0;
}

static void block(const char *expression)
{
	struct rf_err e = { 0 };
	struct rf_rule_env env = { 0 };
	struct rf_ruleset *set = NULL;
	json_t *rules = json_pack("[{s:s,s:s,s:s}]", "id", "r", "expression", expression, "action", "block");
	world_start();
	if (rf_ruleset_make(&env, RF_PHASE_HTTP_REQUEST, RF_STR("s"), RF_STR("s"), rules, NULL, &set, &e))
		fail_msg("%s", e.text);
	assert_int_equal(rf_phase_set_make(RF_PHASE_HTTP_REQUEST, &set, 1, &w.snap->zone_policy[0].phase[RF_PHASE_HTTP_REQUEST]),
		RF_OK);
	rf_ruleset_put(set);
	json_decref(rules);
}

static struct rf_peer *post(const char *headers, const char *body)
{
	static char text[300000];
	struct rf_peer *c = client();
	snprintf(text, sizeof text, "POST / HTTP/1.1\r\nHost: app.test\r\n%s\r\n%s", headers, body);
	say(c, text);
	return c;
}

static struct rf_peer *post_type(const char *type, const char *body)
{
	char head[256];
	snprintf(head, sizeof head, "Content-Type: %s\r\nContent-Length: %zu\r\n", type, strlen(body));
	return post(head, body);
}

static void assert_blocked(struct rf_peer *c)
{
	const char *said = heard(c);
	if (!has(said, "HTTP/1.1 403 "))
		fail_msg("`%s` should be a refusal", said);
	assert_null(origin());
}

static void small_pieces_do_not_hide(void **state)
{
	(void)state;
	block("http.request.body.raw contains \"jndi:\"");
	struct rf_peer *c = post("Transfer-Encoding: chunked\r\n", "");
	for (int i = 0; i < 100; i++)
		say(c, "1\r\nx\r\n");
	static const char evil[] = "jndi:";
	for (size_t i = 0; i < sizeof evil - 1; i++) {
		char chunk[] = "1\r\n?\r\n";
		chunk[3] = evil[i];
		say(c, chunk);
	}
	assert_null(origin());
	say(c, "0\r\n\r\n");
	assert_blocked(c);
}

static void what_passes_is_whole(void **state)
{
	(void)state;
	static char body[200001], got[400000];
	w.conf.rule_body = 20000;
	block("http.request.body.raw contains \"jndi:\" or not http.request.body.truncated");
	for (size_t i = 0; i < sizeof body - 1; i++)
		body[i] = (char)('a' + i % 23);
	struct rf_peer *c = post("Content-Length: 200000\r\n", ""), *o = NULL;
	size_t n = 0;
	for (size_t at = 0; at < 200000; at += 5000) {
		rf_replay_send(c, (struct rf_str){ body + at, 5000 });
		run();
		if (!o && (o = origin()))
			assert_true(at > 15000 && at < 30000); /* as soon as the bound is reached */
		if (o) {
			rf_replay_window(o, 1 << 20);
			n += rf_replay_take(o, got + n, sizeof got - n);
		}
	}
	assert_non_null(o);
	n += rf_replay_take(o, got + n, sizeof got - n);
	char *at = memmem(got, n, "\r\n\r\n", 4);
	assert_non_null(at);
	assert_int_equal(got + n - at - 4, 200000);
	assert_memory_equal(at + 4, body, 200000);
	answer(o, "ok");
	assert_true(has(heard(c), "200 OK"));
}

static void only_the_front_is_seen(void **state)
{
	(void)state;
	w.conf.rule_body = 16;
	block("http.request.body.raw contains \"evil\" or (http.request.body.truncated and http.request.body.size lt 21) or "
	      "(len(http.request.body.raw) eq 16 and not http.request.body.truncated and http.request.body.size ne 16)");
	struct rf_peer *c = post("Content-Length: 25\r\n", "0123456789abcdef 2345evil");
	struct rf_peer *o = origin();
	assert_non_null(o);
	assert_true(has(heard(o), "\r\n\r\n0123456789abcdef 2345evil"));
	answer(o, "ok");
	heard(c);
	c = post("Content-Length: 16\r\n", "0123456789abcdef");
	assert_true(has(heard(o), "0123456789abcdef"));
	answer(o, "ok");
	heard(c);
	c = post("Content-Length: 16\r\n", "0123456789abevil");
	assert_true(has(heard(c), "HTTP/1.1 403 "));
}

static void a_slow_body_ends(void **state)
{
	(void)state;
	block("http.request.body.raw contains \"x\"");
	struct rf_peer *c = post("Content-Length: 10\r\n", "abc");
	pass(w.conf.body_ns + RF_NS_S);
	assert_true(has(heard(c), "HTTP/1.1 408 "));
	assert_null(origin());
}

static void too_slow_a_body_ends(void **state)
{
	(void)state;
	w.conf.min_body_rate = 100;
	block("http.request.body.raw contains \"x\"");
	struct rf_peer *c = post("Content-Length: 1000\r\n", "abc");
	const char *said = "";
	for (int i = 0; i < 20 && !*said; i++) {
		say(c, "d");
		pass(RF_NS_S);
		said = heard(c);
	}
	assert_true(has(said, "HTTP/1.1 408 "));
}

static void continue_is_said(void **state)
{
	(void)state;
	block("http.request.body.form[\"user\"][0] eq \"root\"");
	struct rf_peer *c = post("Content-Length: 9\r\nExpect: 100-continue\r\nContent-Type: application/x-www-form-urlencoded\r\n", "");
	assert_true(has(heard(c), "HTTP/1.1 100 Continue\r\n\r\n"));
	say(c, "user=root");
	assert_true(has(heard(c), "HTTP/1.1 403 "));
	assert_null(origin());
}

static void forms(void **state)
{
	(void)state;
	block("any(http.request.body.form[\"cmd\"][*] contains \"%3B\") or "
	      "any(http.request.body.multipart.filenames[*][*] contains \"..\") or http.request.body.mime eq \"application/x-executable\"");
	struct rf_peer *c = post_type("application/x-www-form-urlencoded; charset=x", "a=1&cmd=a%3Bb");
	assert_blocked(c);
	c = post_type("multipart/form-data; boundary=\"B B\"",
		"--B B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"../../etc/passwd\"\r\n\r\nx\r\n--B B--\r\n");
	assert_blocked(c);
	c = post_type("text/plain", "\x7f" "ELF1234");
	assert_blocked(c);
	c = post_type("text/plain", "a=1&cmd=a%3Bb");
	assert_non_null(origin());
}

static size_t squeeze(const char *text, size_t size, void *to, size_t room)
{
	z_stream z = { 0 };
	assert_int_equal(deflateInit2(&z, 5, Z_DEFLATED, 31, 8, 0), Z_OK);
	z.next_in = (Bytef *)(uintptr_t)text;
	z.avail_in = (uInt)size;
	z.next_out = to;
	z.avail_out = (uInt)room;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return z.total_out;
}

static struct rf_peer *post_gzip(const char *text, size_t size)
{
	static char zipped[100000];
	char head[128];
	size_t n = squeeze(text, size, zipped, sizeof zipped);
	snprintf(head, sizeof head, "Content-Encoding: gzip\r\nContent-Length: %zu\r\n", n);
	struct rf_peer *c = post(head, "");
	rf_replay_send(c, (struct rf_str){ zipped, n });
	run();
	return c;
}

static void a_coding_hides_nothing(void **state)
{
	(void)state;
	static char zeros[1000000];
	block("http.request.body.raw contains \"jndi:\"");
	assert_blocked(post_gzip("${jndi:ldap}", 12));
	struct rf_peer *c = post_gzip("harmless", 8), *o = origin();
	assert_non_null(o);
	const char *said = heard(o);
	assert_true(has(said, "Content-Encoding: gzip\r\n") && has(said, "\r\n\r\n\x1f\x8b")); /* it goes on as it came */
	answer(o, "ok");
	assert_true(has(heard(c), "200 OK"));
	post_gzip(zeros, sizeof zeros); /* a bomb is seen up to the bound, and is the origin's */
	assert_true(has(heard(o), "Content-Encoding: gzip"));
}

static void decoded_for_the_origin_and_the_rules(void **state)
{
	(void)state;
	static char zeros[1000000];
	w.app->decompress_requests = true;
	w.conf.decompressed_body = 100000;
	block("http.request.body.raw contains \"jndi:\"");
	assert_blocked(post_gzip("${jndi:ldap}", 12));
	struct rf_peer *c = post_gzip("harmless", 8), *o = origin();
	assert_true(has(heard(o), "8\r\nharmless\r\n0\r\n\r\n"));
	answer(o, "ok");
	assert_true(has(heard(c), "200 OK"));
	c = post_gzip(zeros, sizeof zeros);
	rf_replay_window(o, 1 << 20);
	run();
	assert_true(has(heard(c), "HTTP/1.1 413 "));
}

static void no_room_blocks(void **state)
{
	(void)state;
	static char form[60001];
	w.conf.request_memory = 32768;
	block("any(http.request.body.form.names[*] eq \"evil\")");
	for (size_t i = 0; i < sizeof form - 1; i++)
		form[i] = i % 2 ? '&' : 'a';
	struct rf_peer *c = post_type("application/x-www-form-urlencoded", form);
	assert_true(has(heard(c), "403 Forbidden"));
	assert_null(origin());
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = {
		TEST(small_pieces_do_not_hide), TEST(what_passes_is_whole), TEST(only_the_front_is_seen), TEST(a_slow_body_ends),
		TEST(too_slow_a_body_ends), TEST(continue_is_said), TEST(forms), TEST(a_coding_hides_nothing),
		TEST(decoded_for_the_origin_and_the_rules), TEST(no_room_blocks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
