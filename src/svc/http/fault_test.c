/* Bad days: origins that fail in every way, clients that are slow or go away, limits, draining, every system call failing. */
#include <zlib.h>
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

/* An origin that answers like this, once, gets the client this status, and is not used again. */
static void one_fault(const char *origin_says, bool ends, unsigned status)
{
	char want[32];
	struct rf_peer *c = client();
	say(c, "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 2\r\n\r\nhi");
	struct rf_peer *o = origin();
	assert_non_null(o);
	heard(o);
	say(o, origin_says);
	if (ends)
		rf_replay_close(o);
	run();
	snprintf(want, sizeof want, "HTTP/1.1 %u ", status);
	assert_true(has(heard(c), want));
	assert_true(rf_replay_closed(o));
	assert_string_equal(last_request()->action, "error");
	assert_string_equal(last_request()->layer, "origin");
	rf_replay_close(c);
	run();
}

static void test_nonsense(void **state)
{
	(void)state;
	w.group.passive_fails = 0;
	world_start();
	one_fault("", true, 502);
	one_fault("SSH-2.0-OpenSSH_9.2\r\n", false, 502);
	one_fault("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", false, 502);
	one_fault("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", false, 502);
	one_fault("HTTP/1.1 2000 OK\r\n\r\n", false, 502);
	one_fault("HTTP/1.1 200 OK\r\nX-Half", true, 502);
}

/* It dies within a body: the client's connection ends without the body's end. */
static void test_dies_in_body(void **state)
{
	(void)state;
	world_start();
	struct rf_peer *c = client();
	say(c, GET("/"));
	struct rf_peer *o = origin();
	heard(o);
	say(o, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
	rf_replay_close(o);
	run();
	const char *a = heard(c);
	assert_true(has(a, "3\r\nabc\r\n"));
	assert_false(has(a, "\r\n0\r\n"));
	assert_true(rf_replay_closed(c));
	assert_string_equal(last_request()->action, "error");
}

static void test_excess(void **state)
{
	(void)state;
	world_start();
	struct rf_peer *c = client();
	say(c, GET("/"));
	struct rf_peer *o = origin();
	heard(o);
	say(o, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
	const char *a = heard(c);
	assert_true(has(a, "\r\n\r\nok"));
	assert_false(has(a, "evil"));
	assert_true(rf_replay_closed(o));
	say(c, GET("/2"));
	o = origin();
	heard(o);
	answer(o, "x");
	heard(c);
	say(o, "HTTP/1.1 200 OK\r\n\r\n"); /* unasked, while idle */
	assert_true(rf_replay_closed(o));
}

static void test_refuses(void **state)
{
	(void)state;
	w.group.count = 2;
	world_start();
	struct rf_peer *c = client();
	say(c, "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 2\r\n\r\nhi");
	assert_non_null(rf_replay_accept(w.r, NULL, RF_REPLAY_REFUSE));
	run();
	struct rf_peer *o = origin(); /* nothing was sent: the other endpoint may have it, whatever the method */
	assert_non_null(o);
	assert_true(has(heard(o), "\r\n\r\nhi"));
	answer(o, "served");
	assert_true(has(heard(c), "served"));
}

static void test_all_refuse(void **state)
{
	(void)state;
	world_start();
	struct rf_peer *c = client();
	say(c, GET("/"));
	for (int i = 0; i < 2; i++) {
		rf_replay_accept(w.r, NULL, RF_REPLAY_REFUSE);
		run();
	}
	assert_null(rf_replay_accept(w.r, NULL, RF_REPLAY_REFUSE));
	assert_true(has(heard(c), "HTTP/1.1 502 "));
}

/* A kept-alive connection dies as the next request is sent on it: repeated for an idempotent method only. */
static void stale(const char *request, bool repeated)
{
	struct rf_peer *c = client();
	say(c, GET("/"));
	struct rf_peer *o = origin();
	heard(o);
	answer(o, "x");
	heard(c);
	rf_replay_send(c, rf_str_z(request));
	rf_replay_run(w.r, 0);
	assert_true(has(heard(o), "HTTP/1.1\r\n"));
	rf_replay_close(o);
	run();
	struct rf_peer *again = origin();
	if (!repeated) {
		assert_null(again);
		assert_true(has(heard(c), "HTTP/1.1 502 "));
	} else {
		assert_non_null(again);
		heard(again);
		say(again, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
		assert_true(has(heard(c), "\r\n\r\nok"));
	}
	rf_replay_close(c);
	run();
}

static void test_stale(void **state)
{
	(void)state;
	world_start();
	stale(GET("/idem"), true);
	stale("PUT / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 0\r\n\r\n", true);
	stale("PUT / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1\r\n\r\nx", false);
	stale("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 0\r\n\r\n", false);
}

static void test_hangs(void **state)
{
	(void)state;
	w.app->response_timeout_ns = 3 * RF_NS_S;
	w.app->retries = 0;
	world_start();
	struct rf_peer *c = client();
	say(c, GET("/"));
	struct rf_peer *o = origin();
	heard(o);
	pass(2 * RF_NS_S);
	assert_string_equal(heard(c), "");
	pass(2 * RF_NS_S);
	assert_true(has(heard(c), "HTTP/1.1 504 "));
	assert_true(rf_replay_closed(o));
	say(c, GET("/")); /* the client's connection has not suffered */
	rf_replay_accept(w.r, NULL, RF_REPLAY_HANG);
	pass(6 * RF_NS_S); /* connecting hangs */
	assert_true(has(heard(c), "HTTP/1.1 504 "));
	say(c, GET("/"));
	o = origin();
	heard(o);
	say(o, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
	pass(4 * RF_NS_S); /* a pause within the answer */
	assert_true(has(heard(c), "half"));
	assert_true(rf_replay_closed(c));
}

/* Is this one of the two of equal weight that are chosen in turn? */
static bool in_turn(const struct rf_origin *o)
{
	struct rf_origin_group *g = w.app->origins;
	const struct rf_origin *one = rf_origin_choose(g, 0, rf_loop_now(w.loop), 0);
	const struct rf_origin *next = rf_origin_choose(g, 0, rf_loop_now(w.loop), 0);
	return one == o || next == o;
}

static void test_passive_health(void **state)
{
	(void)state;
	w.group.count = 2;
	w.app->retries = 0;
	world_start();
	unsigned first = 0;
	for (int i = 0; i < 12; i++) {
		struct rf_peer *c = client();
		say(c, GET("/"));
		struct rf_addr a, one;
		rf_addr_parse(RF_STR("10.0.0.1:80"), &one);
		struct rf_peer *o = rf_replay_accept(w.r, &one, RF_REPLAY_ACCEPT);
		run();
		if (o) { /* this one always breaks off */
			first++;
			a = rf_replay_addr(o);
			assert_true(rf_addr_eq(&a, &one));
			rf_replay_close(o);
		} else {
			o = origin();
			assert_non_null(o);
			say(o, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
		}
		run();
		rf_replay_close(c);
		run();
	}
	assert_int_equal(first, 3); /* then it is left out */
	assert_false(in_turn(&w.app->origins->origins[0]));
	pass(11 * RF_NS_S);
	assert_true(in_turn(&w.app->origins->origins[0]));
}

static void test_queue(void **state)
{
	(void)state;
	w.group.max_connections = 1;
	w.group.max_queue = 1;
	world_start();
	struct rf_peer *a = client(), *b = client(), *c = client();
	say(a, GET("/a"));
	struct rf_peer *o = origin();
	assert_true(has(heard(o), "GET /a"));
	say(b, GET("/b")); /* waits */
	say(c, GET("/c")); /* one too many */
	assert_null(rf_replay_accept(w.r, NULL, RF_REPLAY_ACCEPT));
	assert_true(has(heard(c), "HTTP/1.1 503 "));
	answer(o, "for a");
	assert_true(has(heard(a), "for a"));
	assert_true(has(heard(o), "GET /b"));
	answer(o, "for b");
	assert_true(has(heard(b), "for b"));
}

static void test_slow_clients(void **state)
{
	(void)state;
	world_start();
	struct rf_peer *c = client();
	for (int i = 0; i < 12; i++) { /* a byte a second does not stretch the time of a head */
		rf_replay_send(c, RF_STR("G"));
		pass(RF_NS_S);
	}
	assert_true(has(heard(c), "HTTP/1.1 408 "));
	c = client();
	say(c, "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 9\r\n\r\nabc");
	struct rf_peer *o = origin();
	heard(o);
	pass(31 * RF_NS_S);
	assert_true(has(heard(c), "HTTP/1.1 408 "));
	assert_true(rf_replay_closed(o));
	c = client(); /* silent from the start */
	pass(76 * RF_NS_S);
	assert_true(rf_replay_closed(c));
}

static void test_min_rate(void **state)
{
	(void)state;
	w.conf.min_body_rate = 100;
	world_start();
	struct rf_peer *c = client();
	say(c, "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 900000\r\n\r\n");
	struct rf_peer *o = origin();
	for (int i = 0; i < 10; i++) {
		rf_replay_send(c, RF_STR("0123456789"));
		pass(RF_NS_S);
	}
	assert_true(has(heard(c), "HTTP/1.1 408 "));
	assert_true(rf_replay_closed(o));
}

static void test_stuck_reader(void **state)
{
	(void)state;
	static char much[400000];
	memset(much, 'x', sizeof much);
	world_start();
	struct rf_peer *c = client();
	rf_replay_window(c, 100);
	say(c, GET("/"));
	struct rf_peer *o = origin();
	heard(o);
	say(o, "HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n\r\n");
	rf_replay_send(o, (struct rf_str){ much, sizeof much });
	pass(31 * RF_NS_S);
	assert_true(rf_replay_closed(c));
	assert_true(rf_replay_closed(o));
}

static void test_client_goes(void **state)
{
	(void)state;
	world_start();
	struct rf_peer *c = client();
	say(c, GET("/"));
	struct rf_peer *o = origin();
	heard(o);
	rf_replay_reset(c);
	run();
	assert_true(rf_replay_closed(o));
	c = client();
	say(c, "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 9\r\n\r\nabc");
	o = origin();
	rf_replay_close(c);
	run();
	assert_true(rf_replay_closed(o));
}

static bool drained;
static void on_drained(void *arg) { (void)arg; drained = true; }

static void test_drain(void **state)
{
	(void)state;
	drained = false;
	world_start();
	struct rf_peer *idle = client(), *busy = client(), *new = client(), *silent = client();
	say(idle, GET("/"));
	struct rf_peer *o = origin();
	heard(o);
	answer(o, "done");
	assert_true(has(heard(idle), "done"));
	say(busy, GET("/"));
	heard(o);
	rf_front_drain(w.front, 10 * RF_NS_S, on_drained, NULL);
	run();
	assert_true(rf_replay_closed(idle));
	assert_false(drained);
	answer(o, "last words");
	const char *a = heard(busy);
	assert_true(has(a, "Connection: close\r\n"));
	assert_true(has(a, "last words"));
	rf_replay_close(busy);
	assert_false(rf_replay_closed(new)); /* it was accepted, and may ask once */
	say(new, GET("/"));
	heard(o);
	answer(o, "first words");
	assert_true(has(heard(new), "Connection: close\r\n"));
	rf_replay_close(new);
	pass(RF_NS_S);
	assert_false(drained);
	pass(2 * RF_NS_S);
	assert_true(rf_replay_closed(silent));
	assert_true(drained);
	struct rf_peer *late = client();
	assert_true(rf_replay_closed(late));
}

static void test_drain_bound(void **state)
{
	(void)state;
	drained = false;
	world_start();
	struct rf_peer *c = client();
	say(c, GET("/"));
	origin();
	rf_front_drain(w.front, 10 * RF_NS_S, on_drained, NULL);
	pass(11 * RF_NS_S);
	assert_true(drained);
	assert_true(rf_replay_closed(c));
}

static void test_limits(void **state)
{
	(void)state;
	w.front_conf.connections = 3;
	w.front_conf.connections_per_address = 2;
	w.app->max_body = 10;
	world_start();
	struct rf_peer *a = client(), *b = client(), *c = client();
	assert_false(rf_replay_closed(b));
	assert_true(rf_replay_closed(c));
	say(a, "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 11\r\n\r\n01234567890");
	assert_true(has(heard(a), "HTTP/1.1 413 "));
	say(a, "POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n012345\r\n6\r\n012345\r\n0\r\n\r\n");
	struct rf_peer *o = origin();
	run();
	assert_true(has(heard(a), "HTTP/1.1 413 "));
	if (o)
		assert_true(rf_replay_closed(o));
}

static void test_local_service(void **state)
{
	(void)state;
	world_start();
	struct rf_peer *c = client();
	say(c, "POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: any.test\r\nContent-Type: application/pkcs10\r\n"
	       "Content-Length: 6\r\n\r\nabc");
	assert_null(w.local);
	say(c, "def");
	assert_non_null(w.local);
	assert_true(rf_str_eq(w.local->body, RF_STR("abcdef")));
	assert_true(rf_str_eq(w.local->path, RF_STR("/.well-known/est/simpleenroll")));
	w.local->status = 200;
	w.local->answer_type = RF_STR("application/pkcs7-mime");
	rf_buf_add(&w.local->answer, RF_STR("certificate"));
	rf_http_local_answer(w.local);
	run();
	const char *a = heard(c);
	assert_true(has(a, "HTTP/1.1 200 OK\r\n"));
	assert_true(has(a, "Content-Type: application/pkcs7-mime\r\n"));
	assert_true(has(a, "\r\n\r\ncertificate"));
	w.local = NULL;
	say(c, "GET /healthz HTTP/1.1\r\nHost: x.test\r\n\r\n");
	assert_non_null(w.local);
	rf_replay_reset(c); /* the client goes before the answer */
	run();
	rf_buf_add(&w.local->answer, RF_STR("ok"));
	rf_http_local_answer(w.local);
	run();
	c = client();
	say(c, "POST /.well-known/est/x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 70000\r\n\r\n");
	assert_true(has(heard(c), "HTTP/1.1 413 "));
}

static size_t squeeze(const char *text, void *to, size_t room)
{
	z_stream z = { 0 };
	assert_int_equal(deflateInit2(&z, 5, Z_DEFLATED, 31, 8, 0), Z_OK);
	z.next_in = (Bytef *)(uintptr_t)text;
	z.avail_in = (uInt)strlen(text);
	z.next_out = to;
	z.avail_out = (uInt)room;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return z.total_out;
}

static void test_decompress(void **state)
{
	(void)state;
	w.app->decompress_requests = true;
	w.conf.decompressed_body = 100000;
	world_start();
	char zipped[4096], head[256];
	size_t n = squeeze("{\"temperature\": 21}", zipped, sizeof zipped);
	struct rf_peer *c = client();
	snprintf(head, sizeof head, "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n", n);
	say(c, head);
	rf_replay_send(c, (struct rf_str){ zipped, n });
	run();
	struct rf_peer *o = origin();
	const char *q = heard(o);
	assert_false(has(q, "Content-Encoding"));
	assert_true(has(q, "13\r\n{\"temperature\": 21}\r\n0\r\n\r\n"));
	answer(o, "ok");
	assert_true(has(heard(c), "200 OK"));

	static char zeros[1000001]; /* a bomb */
	memset(zeros, '0', sizeof zeros - 1);
	n = squeeze(zeros, zipped, sizeof zipped);
	snprintf(head, sizeof head, "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n", n);
	say(c, head);
	rf_replay_window(o, 1 << 20);
	rf_replay_send(c, (struct rf_str){ zipped, n });
	run();
	assert_true(has(heard(c), "HTTP/1.1 413 "));
	assert_true(rf_replay_closed(o));
}

static void test_compress(void **state)
{
	(void)state;
	static char json[9000], out[20000], plain[10000];
	w.app->compress = true;
	for (size_t n = 0; n < sizeof json - 100;)
		n += (size_t)snprintf(json + n, sizeof json - n, "{\"n\":%zu},", n);
	world_start();
	struct rf_peer *c = client();
	say(c, "GET / HTTP/1.1\r\nHost: app.test\r\nAccept-Encoding: gzip;q=1, br;q=0\r\n\r\n");
	struct rf_peer *o = origin();
	heard(o);
	snprintf(out, sizeof out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nETag: \"a\"\r\nContent-Length: %zu\r\n\r\n%s",
		 strlen(json), json);
	say(o, out);
	size_t n = rf_replay_take(c, out, sizeof out);
	char *body = memmem(out, n, "\r\n\r\n", 4);
	assert_non_null(body);
	assert_non_null(memmem(out, n, "Content-Encoding: gzip\r\n", 24));
	assert_non_null(memmem(out, n, "ETag: W/\"a\"\r\n", 13));
	assert_null(memmem(out, (size_t)(body - out), "Content-Length", 14));
	assert_true(n < strlen(json) / 2);
	unsigned size;
	assert_int_equal(sscanf(body + 4, "%x", &size), 1);
	body = (char *)memchr(body + 4, '\n', 20) + 1;
	z_stream z = { .next_in = (Bytef *)body, .avail_in = size, .next_out = (Bytef *)plain, .avail_out = sizeof plain };
	assert_int_equal(inflateInit2(&z, 31), Z_OK);
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	inflateEnd(&z);
	assert_int_equal(z.total_out, strlen(json));
	assert_memory_equal(plain, json, strlen(json));
}

/* Fail each system call of a conversation in turn, in each way: no crash, no leak, no request on the origin twice. */
static void conversation(void)
{
	struct rf_peer *c = client();
	if (!c)
		return;
	say(c, "POST /x HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
	struct rf_peer *o = origin();
	if (o)
		heard(o);
	say(c, "2\r\nde\r\n0\r\n\r\n" GET("/y"));
	if (o && !rf_replay_closed(o))
		say(o, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
	if (o && !rf_replay_closed(o))
		say(o, "0\r\n\r\n");
	heard(c);
	struct rf_peer *p = origin();
	if (p && !rf_replay_closed(p)) {
		heard(p);
		answer(p, "y");
	}
	heard(c);
	rf_replay_close(c);
	pass(200 * RF_NS_S);
}

static void test_each_call_fails(void **state)
{
	(void)state;
	world_start();
	w.conf.linger_ns = RF_NS_S;
	fail_each_call(conversation);
}

static void test_pipeline(void **state)
{
	(void)state;
	static char many[40000];
	size_t n = 0;
	for (int i = 0; i < 200; i++)
		n += (size_t)snprintf(many + n, sizeof many - n, "GET /%d HTTP/1.1\r\nHost: nobody.test\r\n\r\n", i);
	world_start();
	struct rf_peer *c = client();
	rf_replay_window(c, 1 << 20);
	say(c, many);
	static char out[1 << 18];
	size_t got = rf_replay_take(c, out, sizeof out - 1);
	unsigned answers = 0;
	for (char *p = out; (p = memmem(p, (size_t)(out + got - p), "HTTP/1.1 404", 12)); p++)
		answers++;
	assert_int_equal(answers, 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(test_nonsense), T(test_dies_in_body), T(test_excess), T(test_refuses), T(test_all_refuse), T(test_stale),
		T(test_hangs), T(test_passive_health), T(test_queue), T(test_slow_clients), T(test_min_rate),
		T(test_stuck_reader), T(test_client_goes), T(test_drain), T(test_drain_bound), T(test_limits), T(test_local_service),
		T(test_decompress), T(test_compress), T(test_each_call_fails), T(test_pipeline),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
