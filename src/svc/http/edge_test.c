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


static void test_post_length(void **state)
{
	(void)state;
	world_start();
	struct rf_peer *c = client();
	say(c, "POST /up HTTP/1.1\r\nHost: app.test\r\nContent-Length: 10\r\n\r\n01234");
	struct rf_peer *o = origin();
	const char *q = heard(o);
	assert_true(has(q, "\r\nContent-Length: 10\r\n"));
	assert_true(has(q, "\r\n\r\n01234"));
	say(c, "56789GET /next HTTP/1.1\r\nHost: app.test\r\n\r\n"); /* the next one is there already */
	assert_string_equal(heard(o), "56789");
	answer(o, "one");
	assert_true(has(heard(c), "one"));
	assert_true(has(heard(o), "GET /next HTTP/1.1\r\n"));
	answer(o, "two");
	assert_true(has(heard(c), "two"));
}

static void test_post_chunked(void **state)
{
	(void)state;
	world_start();
	struct rf_peer *c = client();
	say(c, "POST /up HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\nConnection: TE\r\n\r\n"
	       "3;ext=1\r\nabc\r\n4\r\ndefg\r\n");
	struct rf_peer *o = origin();
	const char *q = heard(o);
	assert_true(has(q, "\r\nTransfer-Encoding: chunked\r\n"));
	assert_true(has(q, "\r\n\r\n7\r\nabcdefg\r\n")); /* chunk boundaries are ours */
	say(c, "1\r\nh\r\n0\r\nX-Sum: 42\r\n\r\n");
	assert_string_equal(heard(o), "1\r\nh\r\n0\r\nX-Sum: 42\r\n\r\n");
	say(o, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-T: 1\r\n\r\n");
	const char *a = heard(c);
	assert_true(has(a, "Transfer-Encoding: chunked\r\n"));
	assert_true(has(a, "\r\n\r\n2\r\nhi\r\n0\r\nX-T: 1\r\n\r\n"));
	say(c, GET("/again"));
	assert_true(has(heard(o), "GET /again"));
}

/* Everything that two readers could understand differently is refused, and no origin hears of it. */
static void test_smuggling(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
		"POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
		"GET / HTTP/1.1\nHost: app.test\n\n",
		"GET / HTTP/1.1\r\nHost: app.test\r\n folded: x\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: app.test\r\nHost: other.test\r\n\r\n",
		"GET http://other.test/ HTTP/1.1\r\nHost: app.test\r\n\r\n",
		"GET / HTTP/1.1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: app.test\r\nX: a\001b\r\n\r\n",
		"GET / HTTP/3.0\r\nHost: app.test\r\n\r\n",
		"CONNECT app.test:443 HTTP/1.1\r\nHost: app.test:443\r\n\r\n",
		"TRACE / HTTP/1.1\r\nHost: app.test\r\n\r\n",
	};
	world_start();
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct rf_peer *c = client();
		say(c, bad[i]);
		const char *a = heard(c);
		unsigned status = 0;
		assert_int_equal(sscanf(a, "HTTP/1.1 %u", &status), 1);
		assert_in_range(status, 400, 505);
		assert_true(has(a, "\"success\":false"));
		assert_null(rf_replay_accept(w.r, NULL, RF_REPLAY_ACCEPT));
		assert_string_equal(last_request()->action, "block");
		rf_replay_close(c);
		pass(3 * RF_NS_S);
		assert_true(rf_replay_closed(c));
	}
}

/* A chunk that breaks its framing after the head was forwarded: the origin sees an unfinished body, never two requests. */
static void test_bad_chunk(void **state)
{
	(void)state;
	world_start();
	struct rf_peer *c = client();
	say(c, "POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n");
	struct rf_peer *o = origin();
	assert_true(has(heard(o), "2\r\nab\r\n"));
	say(c, "0x1\r\nGET /evil HTTP/1.1\r\n\r\n");
	assert_true(has(heard(c), "HTTP/1.1 400 "));
	assert_string_equal(heard(o), "");
	assert_true(rf_replay_closed(o));
	assert_string_equal(last_request()->layer, "http");
}

static void test_hosts(void **state)
{
	(void)state;
	world_start();
	struct rf_peer *c = client();
	say(c, "GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\n");
	assert_true(has(heard(c), "HTTP/1.1 404 "));
	say(c, "GET / HTTP/1.1\r\nHost: APP.test:443\r\nAccept: text/html\r\n\r\n"); /* the connection goes on */
	struct rf_peer *o = origin();
	assert_true(has(heard(o), "\r\nHost: APP.test:443\r\n"));
	answer(o, "x");
	assert_true(has(heard(c), "200 OK"));
}

static void test_old_client(void **state)
{
	(void)state;
	world_start();
	struct rf_peer *c = client();
	say(c, "GET / HTTP/1.0\r\nHost: app.test\r\n\r\n");
	struct rf_peer *o = origin();
	assert_true(has(heard(o), "GET / HTTP/1.1\r\n"));
	say(o, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n");
	say(o, "1\r\n!\r\n0\r\n\r\n");
	const char *a = heard(c);
	assert_true(has(a, "\r\nConnection: close\r\n"));
	assert_false(has(a, "chunked"));
	assert_true(has(a, "\r\n\r\nhi!"));
	assert_true(rf_replay_ended(c));
}

static void test_head_and_empty(void **state)
{
	(void)state;
	world_start();
	struct rf_peer *c = client();
	say(c, "HEAD / HTTP/1.1\r\nHost: app.test\r\n\r\n");
	struct rf_peer *o = origin();
	heard(o);
	say(o, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
	assert_true(has(heard(c), "Content-Length: 1000\r\n"));
	say(c, GET("/"));
	heard(o);
	say(o, "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n");
	assert_true(has(heard(c), "HTTP/1.1 304 Not Modified\r\n"));
	say(c, GET("/"));
	heard(o);
	say(o, "HTTP/1.1 204 No Content\r\n\r\n");
	assert_true(has(heard(c), "204 No Content"));
}

/* A body that ends with the connection, as old origins send. */
static void test_close_delimited(void **state)
{
	(void)state;
	world_start();
	struct rf_peer *c = client();
	say(c, GET("/"));
	struct rf_peer *o = origin();
	heard(o);
	say(o, "HTTP/1.0 200 OK\r\n\r\nsome");
	say(o, "more");
	rf_replay_close(o);
	run();
	const char *a = heard(c);
	assert_true(has(a, "4\r\nsome\r\n4\r\nmore\r\n0\r\n\r\n"));
	say(c, GET("/2"));
	o = origin(); /* a new connection */
	assert_non_null(o);
	assert_true(has(heard(o), "GET /2"));
}

static void test_continue(void **state)
{
	(void)state;
	world_start();
	struct rf_peer *c = client();
	say(c, "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
	struct rf_peer *o = origin();
	assert_true(has(heard(o), "\r\nExpect: 100-continue\r\n"));
	say(o, "HTTP/1.1 100 Continue\r\n\r\n");
	assert_string_equal(heard(c), "HTTP/1.1 100 Continue\r\n\r\n");
	say(c, "abc");
	assert_string_equal(heard(o), "abc");
	say(o, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	const char *a = heard(c);
	assert_true(has(a, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n"));
	assert_true(has(a, "\r\n\r\nok"));
}

/* The origin refuses early; the client never sends the body: both connections end. */
static void test_early_refusal(void **state)
{
	(void)state;
	world_start();
	struct rf_peer *c = client();
	say(c, "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 3000000\r\n\r\nabc");
	struct rf_peer *o = origin();
	heard(o);
	say(o, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
	const char *a = heard(c);
	assert_true(has(a, "HTTP/1.1 413 "));
	assert_true(has(a, "Connection: close\r\n"));
	assert_true(rf_replay_ended(c));
	assert_true(rf_replay_closed(o));
}

/* A slow reader holds back its sender, and neither direction keeps more than its buffers. */
static void test_back_pressure(void **state)
{
	(void)state;
	static char much[1 << 20];
	memset(much, 'x', sizeof much);
	world_start();
	struct rf_peer *c = client();
	rf_replay_window(c, 1000);
	say(c, GET("/big"));
	struct rf_peer *o = origin();
	heard(o);
	say(o, "HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n");
	rf_replay_send(o, (struct rf_str){ much, sizeof much });
	run();
	assert_true(w.bufs.out <= 3);
	size_t got = 0;
	for (size_t n; (n = rf_replay_take(c, NULL, 1000)) > 0; run())
		got += n;
	assert_true(got > sizeof much);
	assert_int_equal(last_request()->status, 200);

	c = client(); /* and the other way */
	say(c, "PUT /big HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1048576\r\n\r\n");
	rf_replay_window(o, 1000);
	rf_replay_send(c, (struct rf_str){ much, sizeof much });
	run();
	assert_true(w.bufs.out <= 3);
	got = 0;
	for (size_t n; (n = rf_replay_take(o, NULL, 1000)) > 0; run())
		got += n;
	assert_true(got > sizeof much);
	answer(o, "stored");
	assert_true(has(heard(c), "stored"));
}

static void test_upgrade(void **state)
{
	(void)state;
	world_start();
	struct rf_peer *c = client();
	say(c, "GET /ws HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
	       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
	struct rf_peer *o = origin();
	assert_true(has(heard(o), "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"));
	say(o, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
	       "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nfirst");
	const char *a = heard(c);
	assert_true(has(a, "HTTP/1.1 101 "));
	assert_true(has(a, "\r\n\r\nfirst"));
	say(c, "ping");
	assert_string_equal(heard(o), "ping");
	say(o, "pong");
	assert_string_equal(heard(c), "pong");
	assert_int_equal(w.bufs.out, 0); /* a silent tunnel holds no buffer */
	rf_replay_fin(c);
	run();
	assert_true(rf_replay_ended(o));
	say(o, "bye");
	assert_string_equal(heard(c), "bye");
	rf_replay_close(o);
	run();
	assert_true(rf_replay_ended(c));
	assert_int_equal(last_request()->status, 101);
	assert_string_equal(last_request()->path, "/ws");
}

static void test_unasked_switch(void **state)
{
	(void)state;
	world_start();
	struct rf_peer *c = client();
	say(c, GET("/"));
	struct rf_peer *o = origin();
	heard(o);
	say(o, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
	assert_true(has(heard(c), "HTTP/1.1 502 "));
	assert_true(rf_replay_closed(o));
}

static void test_spoofed_headers(void **state)
{
	(void)state;
	world_start();
	struct rf_peer *c = client();
	say(c, "GET / HTTP/1.1\r\nHost: app.test\r\nX-Forwarded-For: 1.2.3.4\r\nForwarded: for=evil\r\nRINGFENCE-Device-Id: me\r\n"
	       "Cf-Client-Cert-Ski: aa\r\ncf-client-cert-future: aa\r\nX-Request-Id: spoof\r\nConnection: X-Secret\r\n"
	       "X-Secret: 1\r\nEarly-Data: 1\r\nX-Fine: yes\r\n\r\n");
	struct rf_peer *o = origin();
	const char *q = heard(o);
	static const char *const gone[] = { "1.2.3.4", "evil", "RINGFENCE-Device", "Ski: aa", "future", "spoof", "X-Secret",
					    "Early-Data" };
	for (size_t i = 0; i < sizeof gone / sizeof *gone; i++)
		assert_false(has(q, gone[i]));
	assert_true(has(q, "\r\nX-Fine: yes\r\n"));
	assert_true(has(q, "\r\nForwarded: for="));
}

static void test_trusted_proxy(void **state)
{
	(void)state;
	assert_true(rf_prefix_parse(RF_STR("192.0.2.0/24"), true, &w.trusted));
	w.at.trusted = &w.trusted;
	w.at.trusted_count = 1;
	w.at.proxy = true;
	world_start();
	struct rf_peer *c = client();
	say(c, "PROXY TCP4 192.0.2.99 10.9.9.9 4711 443\r\nGET / HTTP/1.1\r\nHost: app.test\r\nX-Forwarded-For: 198.51.100.7\r\n\r\n");
	struct rf_peer *o = origin();
	assert_true(has(heard(o), "\r\nX-Forwarded-For: 198.51.100.7, 192.0.2.99\r\n"));
	c = client();
	say(c, "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n");
	assert_true(rf_replay_closed(c));
	struct rf_addr far;
	assert_true(rf_addr_parse(RF_STR("203.0.113.5:99"), &far));
	c = rf_replay_connect(w.r, w.fd, &far); /* a peer that is not trusted cannot say who it is */
	say(c, "PROXY TCP4 192.0.2.99 10.9.9.9 4711 443\r\n" GET("/"));
	assert_true(rf_replay_closed(c));
}

static void test_large_head(void **state)
{
	(void)state;
	static char big[60000];
	world_start();
	struct rf_peer *c = client();
	size_t n = (size_t)snprintf(big, sizeof big, "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 4\r\n");
	while (n < 40000)
		n += (size_t)snprintf(big + n, sizeof big - n, "X-%zu: %0*d\r\n", n, 900, 1);
	snprintf(big + n, sizeof big - n, "\r\nbody");
	say(c, big);
	struct rf_peer *o = origin();
	assert_true(has(heard(o), "\r\n\r\nbody"));
	answer(o, "got it");
	assert_true(has(heard(c), "got it"));
	c = client();
	say(c, "GET / HTTP/1.1\r\nHost: app.test\r\n");
	for (int i = 0; i < 80; i++) {
		snprintf(big, sizeof big, "X-%d: %0*d\r\n", i, 1000, 1);
		say(c, big);
	}
	assert_true(has(heard(c), "HTTP/1.1 431 "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(test_get), T(test_post_length), T(test_post_chunked), T(test_smuggling), T(test_bad_chunk), T(test_hosts),
		T(test_old_client), T(test_head_and_empty), T(test_close_delimited), T(test_continue), T(test_early_refusal),
		T(test_back_pressure), T(test_upgrade), T(test_unasked_switch), T(test_spoofed_headers),
		T(test_trusted_proxy), T(test_large_head),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
