/* Requests through the edge in plain HTTP: framing, headers, pools, faults of both sides, time. */
#include "svc/http/test.h"

static int setup(void **state)
{
	(void)state;
	world_open();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_close();
	return 0;
}

static void test_get(void **state)
{
	(void)state;
	world_start();
	struct rf_peer *c = client();
	say(c, GET("/a?b=1"));
	struct rf_peer *o = origin();
	assert_non_null(o);
	const char *q = heard(o);
	assert_true(rf_str_starts(rf_str_z(q), RF_STR("GET /a?b=1 HTTP/1.1\r\nHost: app.test\r\n")));
	assert_true(has(q, "\r\nX-Forwarded-For: 192.0.2.1\r\n"));
	assert_true(has(q, "\r\nCf-Client-Cert-Status: none\r\n"));
	assert_true(has(q, "\r\nVia: 1.1 ringfence\r\n"));
	answer(o, "hello");
	const char *a = heard(c);
	assert_true(has(a, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"));
	assert_true(has(a, "\r\n\r\nhello"));
	assert_string_equal(last_request()->action, "allow");
	assert_string_equal(last_request()->path, "/a");
	assert_int_equal(last_request()->status, 200);
	assert_int_equal(w.bufs.out, 0); /* an idle connection holds no buffer */

	say(c, GET("/second")); /* both connections are used again */
	assert_null(rf_replay_accept(w.r, NULL, RF_REPLAY_ACCEPT));
	assert_true(has(heard(o), "GET /second HTTP/1.1\r\n"));
	answer(o, "again");
	assert_true(has(heard(c), "again"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_get, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
