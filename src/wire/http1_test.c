/* Heads of requests and responses: what is understood, what is refused, and in pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/err.h"
#include "wire/http1.h"

static struct rf_arena arena;
static struct rf_http_head head;
static struct rf_http_scan scan;

static int setup(void **state)
{
	(void)state;
	rf_arena_init(&arena, 1 << 20);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rf_arena_fini(&arena);
	return 0;
}

static int request_n(struct rf_str in)
{
	scan = (struct rf_http_scan){ 0 };
	return rf_http_parse_request(&scan, in, &rf_http_limits_default, &arena, &head);
}

static int response(enum rf_http_method method, const char *z)
{
	scan = (struct rf_http_scan){ 0 };
	return rf_http_parse_response(&scan, rf_str_z(z), &rf_http_limits_default, &arena, method, &head);
}

static void is(struct rf_str s, const char *z)
{
	if (!rf_str_eq(s, rf_str_z(z)))
		fail_msg("\"%.*s\" is not \"%s\"", RF_ARG(s), z);
}

static void accepts(const char *z)
{
	if (request_n(rf_str_z(z)) != RF_OK)
		fail_msg("refused for %s: %s", rf_http_reject_name(scan.reject), z);
}

static void refuses_n(struct rf_str in, enum rf_http_reject why)
{
	int r = request_n(in);
	if (r == RF_OK || r == RF_E_AGAIN || scan.reject != why)
		fail_msg("%s (%d) instead of %s: %.*s", rf_http_reject_name(scan.reject), r, rf_http_reject_name(why),
			RF_ARG(in));
}

#define REFUSES(lit, why) refuses_n(RF_STR(lit), RF_REJECT_##why)
#define GET "GET / HTTP/1.1\r\n"
#define HOST "Host: a.example\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a.example\r\n"

static void parts_of_a_request(void **state)
{
	(void)state;
	accepts("POST /a/b?x=1&y HTTP/1.1\r\nHost: Dev.Example.:8443\r\nUser-Agent: t/1 \r\nX-A:\r\n"
		"Content-Length: 5\r\nExpect: 100-Continue\r\nTE: trailers\r\nConnection: TE, X-A\r\n\r\nhello");
	assert_int_equal(head.method, RF_HTTP_POST);
	is(head.method_s, "POST");
	is(head.path, "/a/b");
	is(head.query, "x=1&y");
	assert_true(head.has_query && head.keep_alive && head.expect_continue && head.te_trailers);
	is(head.host, "Dev.Example");
	assert_int_equal(head.port, 8443);
	assert_int_equal(head.count, 7);
	is(rf_http_value(&head, RF_HDR_USER_AGENT), "t/1");
	assert_int_equal(head.body, RF_BODY_LENGTH);
	assert_int_equal(head.content_length, 5);
	assert_true(head.headers[2].hop);
	assert_false(head.headers[1].hop);
	assert_null(rf_http_header(&head, RF_HDR_COOKIE));
}

static void forms_of_targets(void **state)
{
	(void)state;
	accepts("GET http://a.example:80 HTTP/1.1\r\nHost: A.example\r\n\r\n");
	assert_int_equal(head.form, RF_FORM_ABSOLUTE);
	is(head.path, "/");
	accepts("OPTIONS http://a.example HTTP/1.1\r\n" HOST "\r\n");
	is(head.path, "*");
	accepts("OPTIONS * HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(head.form, RF_FORM_ASTERISK);
	accepts("CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\r\n");
	assert_int_equal(head.form, RF_FORM_AUTHORITY);
	assert_true(head.host_v6);
	is(head.host, "2001:db8::1");
	accepts("GET http://[::1]/x?y HTTP/1.1\r\nHost: [::1]\r\n\r\n");
	is(head.query, "y");
	REFUSES("GET * HTTP/1.1\r\n" HOST "\r\n", TARGET_FORM);
	REFUSES("GET a.example:80 HTTP/1.1\r\n" HOST "\r\n", TARGET_FORM);
	REFUSES("CONNECT / HTTP/1.1\r\n" HOST "\r\n", TARGET_FORM);
	REFUSES("CONNECT a.example HTTP/1.1\r\n" HOST "\r\n", HOST);
	REFUSES("GET http://u@a.example/ HTTP/1.1\r\n" HOST "\r\n", TARGET_USERINFO);
	REFUSES("GET ftp://a.example/ HTTP/1.1\r\n" HOST "\r\n", TARGET_SCHEME);
	REFUSES("GET http://b.example/ HTTP/1.1\r\n" HOST "\r\n", HOST_DISAGREES);
	REFUSES("GET https://a.example/ HTTP/1.1\r\nHost: a.example:80\r\n\r\n", HOST_DISAGREES);
	REFUSES("GET /[x] HTTP/1.1\r\n" HOST "\r\n", TARGET);
	REFUSES("GET http://a.example/[x] HTTP/1.1\r\n" HOST "\r\n", TARGET);
}

static void bad_request_lines(void **state)
{
	(void)state;
	REFUSES("GET  / HTTP/1.1\r\n" HOST "\r\n", REQUEST_LINE);
	REFUSES("GET /  HTTP/1.1\r\n" HOST "\r\n", REQUEST_LINE);
	REFUSES("GET / HTTP/1.1 \r\n" HOST "\r\n", REQUEST_LINE);
	REFUSES(" GET / HTTP/1.1\r\n" HOST "\r\n", REQUEST_LINE);
	REFUSES("GET / http/1.1\r\n" HOST "\r\n", REQUEST_LINE);
	REFUSES("GET\t/ HTTP/1.1\r\n" HOST "\r\n", METHOD);
	REFUSES("G@T / HTTP/1.1\r\n" HOST "\r\n", METHOD);
	REFUSES("GET /\r\n\r\n", VERSION_MISSING);
	REFUSES("GET\r\n\r\n", REQUEST_LINE);
	REFUSES("GET / HTTP/1.2\r\n" HOST "\r\n", VERSION);
	REFUSES("GET / HTTP/2.0\r\n" HOST "\r\n", VERSION);
	REFUSES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HTTP2_PREFACE);
	REFUSES("GET /#a HTTP/1.1\r\n" HOST "\r\n", TARGET_FRAGMENT);
	REFUSES("GET /%4 HTTP/1.1\r\n" HOST "\r\n", TARGET_ESCAPE);
	REFUSES("GET /a\x00" "b HTTP/1.1\r\n" HOST "\r\n", TARGET);
	REFUSES("GET /a\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n", TARGET);
	REFUSES("GET /a\rb HTTP/1.1\r\n" HOST "\r\n", BARE_CR);
	REFUSES("GET / HTTP/1.1\n" HOST "\r\n", BARE_LF);
	REFUSES("\x16\x03\x01", REQUEST_LINE);
	REFUSES("\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", EMPTY_LINES);
	accepts("\r\nGET / HTTP/1.1\r\n" HOST "\r\n");
	accepts("BREW /pot?a=%41 HTTP/1.0\r\n\r\n");
	assert_int_equal(head.method, RF_HTTP_OTHER);
	assert_false(head.keep_alive);
}

static void bad_headers(void **state)
{
	(void)state;
	REFUSES(GET HOST "A : b\r\n\r\n", NAME_SPACE);
	REFUSES(GET HOST " A: b\r\n\r\n", FOLDED);
	REFUSES(GET HOST "A: b\r\n\tc\r\n\r\n", FOLDED);
	REFUSES(GET HOST ": b\r\n\r\n", NAME_EMPTY);
	REFUSES(GET HOST "A\r\n\r\n", NAME_NO_COLON);
	REFUSES(GET HOST "A\x0b: b\r\n\r\n", NAME);
	REFUSES(GET HOST "A\xc3\xa9: b\r\n\r\n", NAME);
	REFUSES(GET HOST "A: b\x00\r\n\r\n", VALUE);
	REFUSES(GET HOST "A: b\x7f\r\n\r\n", VALUE);
	REFUSES(GET HOST "A: long enough for words \x01\r\n\r\n", VALUE);
	REFUSES(GET HOST "A: b\xc2\x85\r\n\r\n", VALUE_UTF8);
	REFUSES(GET HOST "A: b\xff\r\n\r\n", VALUE_UTF8);
	REFUSES(GET HOST "A: b\rc\r\n\r\n", BARE_CR);
	REFUSES(GET HOST "A\r: c\r\n\r\n", BARE_CR);
	REFUSES(GET HOST "A: b\nC: d\r\n\r\n", BARE_LF);
	REFUSES(GET HOST "A: b\r\n\n", BARE_LF);
	REFUSES(GET HOST "Cf_Client-Cert_Status: valid\r\n\r\n", NAME_LOOKALIKE);
	REFUSES(GET HOST "Content-Type: a/b\r\nContent-Type: a/c\r\n\r\n", REPEATED);
	REFUSES(GET HOST "Connection: a b\r\n\r\n", CONNECTION);
	REFUSES(GET HOST "Connection: close, Content-Length\r\n\r\n", CONNECTION_NAMES);
	REFUSES(GET HOST "Connection: cf-client-cert-status\r\n\r\n", CONNECTION_NAMES);
	REFUSES(GET HOST "Expect: 200-ok\r\n\r\n", EXPECT);
	accepts(GET HOST "my_name: caf\xc3\xa9\tx\r\n\r\n");
	is(head.headers[1].value, "caf\xc3\xa9\tx");
}

static void hosts(void **state)
{
	(void)state;
	static const char *good[] = { "a", "a.b.", "a:1", "1.2.3.4", "1.2.3.4:65535", "[::1]", "[::1]:80", "a_b.c", "xn--a" };
	static const char *bad[] = { "a:", "a:0", "a:01", "a:65536", "a:1x", "a@b", "a/b", "a b", "a,b", ".", "a..b", ".a", "[::1",
		"::1", "[::1%25eth0]", "[v1.x]", "[1.2.3.4]", "[]", "[::1]x", "a%41", "a\\b", "1.2.3", "1.2.3.04", "0x7f", "a:1:2", "a..",
		"127.0x1", "-_\"", "http://a" };
	char z[256];
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		snprintf(z, sizeof z, GET "Host: %s\r\n\r\n", good[i]);
		accepts(z);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		snprintf(z, sizeof z, GET "Host: %s\r\n\r\n", bad[i]);
		refuses_n(rf_str_z(z), RF_REJECT_HOST);
	}
	REFUSES(GET "\r\n", HOST_MISSING);
	REFUSES(GET "Host:\r\n\r\n", HOST_EMPTY);
	REFUSES(GET HOST HOST "\r\n", HOST_REPEATED);
}

static void framing_of_requests(void **state)
{
	(void)state;
	REFUSES(POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", LENGTH_AND_CODING);
	REFUSES(POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", LENGTH_REPEATED);
	REFUSES(POST "Content-Length: 5, 5\r\n\r\n", LENGTH_REPEATED);
	static const char *bad[] = { "", "+5", "-5", "5 5", "0x5", "05", "5.0", "5;", "\t5", "5\t", "\"5\"", "five" };
	char z[256];
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		snprintf(z, sizeof z, POST "Content-Length: %s\r\n\r\n", bad[i]);
		refuses_n(rf_str_z(z), RF_REJECT_LENGTH);
	}
	REFUSES(POST "Content-Length: 18446744073709551621\r\n\r\n", LENGTH_OVERFLOW);
	REFUSES(POST "Content-Length: 9223372036854775808\r\n\r\n", LENGTH_OVERFLOW);
	static const char *codings[] = { "", "xchunked", "chunked,", "chunked, chunked", "gzip, chunked", "chunked, identity",
		"identity", "\tchunked", "chunked\t", "\"chunked\"", "chunked;q=1", "chunked x" };
	for (size_t i = 0; i < sizeof codings / sizeof *codings; i++) {
		snprintf(z, sizeof z, POST "Transfer-Encoding: %s\r\n\r\n", codings[i]);
		refuses_n(rf_str_z(z), RF_REJECT_CODING);
	}
	REFUSES(POST "Transfer-Encoding: chunked\r\nTransfer-encoding: x\r\n\r\n", CODING_REPEATED);
	REFUSES(POST "Transfer-Encoding: \x0b" "chunked\r\n\r\n", VALUE);
	REFUSES(POST "Transfer_Encoding: chunked\r\n\r\n", NAME_LOOKALIKE);
	REFUSES("POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", CODING_VERSION);
	REFUSES("TRACE / HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\n", BODY_FORBIDDEN);
	accepts(POST "Transfer-Encoding: Chunked\r\n\r\n");
	assert_int_equal(head.body, RF_BODY_CHUNKED);
	accepts(POST "\r\n");
	assert_int_equal(head.body, RF_BODY_NONE);
}

static void upgrades(void **state)
{
	(void)state;
	#define WS GET HOST "Upgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
	#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	accepts(WS KEY "Sec-WebSocket-Version: 13\r\n\r\n");
	assert_int_equal(head.upgrade, RF_UPGRADE_WEBSOCKET);
	REFUSES(WS KEY "Sec-WebSocket-Version: 8\r\n\r\n", WEBSOCKET);
	REFUSES(WS "Sec-WebSocket-Version: 13\r\n\r\n", WEBSOCKET);
	REFUSES(WS KEY "Sec-WebSocket-Version: 13\r\nContent-Length: 3\r\n\r\n", UPGRADE_BODY);
	REFUSES(GET HOST "Upgrade: a b\r\n\r\n", UPGRADE);
	accepts(GET HOST "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AA\r\n\r\n");
	assert_int_equal(head.upgrade, RF_UPGRADE_OTHER);
	assert_true(head.headers[1].hop && head.headers[2].hop && head.headers[3].hop);
	accepts(GET HOST "Upgrade: websocket\r\n\r\n");
	assert_int_equal(head.upgrade, RF_UPGRADE_NONE);
}

static void bounds(void **state)
{
	(void)state;
	struct rf_http_limits lim = { .line = 30, .head = 90, .method = 4, .name = 8, .headers = 3, .connection = 1 };
	static const struct {
		const char *z;
		enum rf_http_reject why;
	} cases[] = {
		{ "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\n\r\n", RF_HTTP_ACCEPTED },
		{ "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n", RF_REJECT_HEADER_COUNT },
		{ "GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa HTTP/1.1\r\nHost: a\r\n\r\n", RF_REJECT_TARGET_LENGTH },
		{ "PATCH / HTTP/1.1\r\nHost: a\r\n\r\n", RF_REJECT_METHOD_LENGTH },
		{ "GET / HTTP/1.1\r\nHost: a\r\nABCDEFGHI: 1\r\n\r\n", RF_REJECT_NAME_LENGTH },
		{ "GET / HTTP/1.1\r\nHost: a\r\nA: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n",
		  RF_REJECT_HEAD_LENGTH },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct rf_http_scan s = { 0 };
		int r = rf_http_parse_request(&s, rf_str_z(cases[i].z), &lim, &arena, &head);
		assert_int_equal(s.reject, cases[i].why);
		assert_int_equal(r, cases[i].why ? RF_E_INVALID : RF_OK);
	}
	struct rf_arena tiny;
	struct rf_http_scan s = { 0 };
	rf_arena_init(&tiny, 16);
	assert_int_equal(rf_http_parse_request(&s, RF_STR(GET HOST "\r\n"), &lim, &tiny, &head), RF_E_NOMEM);
	rf_arena_fini(&tiny);
}

static void piece_by_piece(void **state)
{
	(void)state;
	static const char z[] = "\r\nPUT /x HTTP/1.1\r\n" HOST "Content-Length: 3\r\nCookie: a=b\r\n\r\nabc";
	struct rf_http_scan s = { 0 };
	size_t size = sizeof z - 1 - 3;
	for (size_t n = 0; n <= size; n++) {
		char *moved = malloc(n ? n : 1); /* another place each time, and exactly as long */
		memcpy(moved, z, n);
		int r = rf_http_parse_request(&s, (struct rf_str){ moved, n }, &rf_http_limits_default, &arena, &head);
		if (n < size) {
			assert_int_equal(r, RF_E_AGAIN);
		} else {
			assert_int_equal(r, RF_OK);
			assert_int_equal(head.size, size);
			is(head.path, "/x");
			is(rf_http_value(&head, RF_HDR_COOKIE), "a=b");
		}
		free(moved);
	}
}

static void responses(void **state)
{
	(void)state;
	static const struct {
		enum rf_http_method method;
		const char *z;
		enum rf_http_body body;
		enum rf_http_reject why;
	} cases[] = {
		{ RF_HTTP_GET, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", RF_BODY_LENGTH, 0 },
		{ RF_HTTP_GET, "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n", RF_BODY_CHUNKED, 0 },
		{ RF_HTTP_GET, "HTTP/1.1 200 \r\n\r\n", RF_BODY_CLOSE, 0 },
		{ RF_HTTP_HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", RF_BODY_NONE, 0 },
		{ RF_HTTP_GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", RF_BODY_NONE, 0 },
		{ RF_HTTP_GET, "HTTP/1.1 100 Continue\r\n\r\n", RF_BODY_NONE, 0 },
		{ RF_HTTP_GET, "HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n", RF_BODY_NONE, 0 },
		{ RF_HTTP_GET, "HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", RF_BODY_TUNNEL, 0 },
		{ RF_HTTP_CONNECT, "HTTP/1.1 200 OK\r\n\r\n", RF_BODY_TUNNEL, 0 },
		{ RF_HTTP_CONNECT, "HTTP/1.1 403 No\r\nContent-Length: 1\r\n\r\n", RF_BODY_LENGTH, 0 },
		{ RF_HTTP_GET, "HTTP/1.1 204 No\r\nContent-Length: 1\r\n\r\n", 0, RF_REJECT_LENGTH_FORBIDDEN },
		{ RF_HTTP_GET, "HTTP/1.1 100 C\r\nContent-Length: 0\r\n\r\n", 0, RF_REJECT_LENGTH_FORBIDDEN },
		{ RF_HTTP_GET, "HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n", 0, RF_REJECT_CODING_FORBIDDEN },
		{ RF_HTTP_CONNECT, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", 0, RF_REJECT_LENGTH_FORBIDDEN },
		{ RF_HTTP_GET, "HTTP/1.1 101 S\r\n\r\n", 0, RF_REJECT_UPGRADE },
		{ RF_HTTP_GET, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", 0, RF_REJECT_LENGTH_REPEATED },
		{ RF_HTTP_GET, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 0,
		  RF_REJECT_LENGTH_AND_CODING },
		{ RF_HTTP_GET, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 0, RF_REJECT_CODING_VERSION },
		{ RF_HTTP_GET, "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", 0, RF_REJECT_FOLDED },
		{ RF_HTTP_GET, "HTTP/1.1 2000 OK\r\n\r\n", 0, RF_REJECT_STATUS_LINE },
		{ RF_HTTP_GET, "HTTP/1.1 099 OK\r\n\r\n", 0, RF_REJECT_STATUS_LINE },
		{ RF_HTTP_GET, "HTTP/1.1 600 OK\r\n\r\n", 0, RF_REJECT_STATUS_LINE },
		{ RF_HTTP_GET, "HTTP/1.1  200 OK\r\n\r\n", 0, RF_REJECT_STATUS_LINE },
		{ RF_HTTP_GET, "HTTP/2.0 200 OK\r\n\r\n", 0, RF_REJECT_VERSION },
		{ RF_HTTP_GET, "ICY 200 OK\r\n\r\n", 0, RF_REJECT_STATUS_LINE },
		{ RF_HTTP_GET, "\r\nHTTP/1.1 200 OK\r\n\r\n", 0, RF_REJECT_STATUS_LINE },
		{ RF_HTTP_GET, "<html>", 0, RF_REJECT_STATUS_LINE },
		{ RF_HTTP_GET, "HTTP/1.1 200 O\x01K\r\n\r\n", 0, RF_REJECT_STATUS_LINE },
		{ RF_HTTP_GET, "HTTP/1.1 200 OK\n\n", 0, RF_REJECT_BARE_LF },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int r = response(cases[i].method, cases[i].z);
		if (scan.reject != cases[i].why || r != (cases[i].why ? RF_E_INVALID : RF_OK))
			fail_msg("%s: %s", rf_http_reject_name(scan.reject), cases[i].z);
		if (r == RF_OK)
			assert_int_equal(head.body, cases[i].body);
	}
	assert_int_equal(response(RF_HTTP_GET, "HTTP/1.1 200 OK\r\n\r\n"), RF_OK);
	is(head.reason, "OK");
	assert_false(head.keep_alive);
	assert_int_equal(response(RF_HTTP_GET, "HTTP/1.1 200 O"), RF_E_AGAIN);
}

static void names(void **state)
{
	(void)state;
	for (unsigned id = 1; id < RF_HDR_COUNT; id++) {
		char upper[64];
		struct rf_str name = rf_http_header_name((enum rf_http_header_id)id);
		for (size_t i = 0; i < name.n; i++)
			upper[i] = (char)(name.p[i] >= 'a' && name.p[i] <= 'z' ? name.p[i] - 32 : name.p[i]);
		assert_int_equal(rf_http_header_of(name), id);
		assert_int_equal(rf_http_header_of((struct rf_str){ upper, name.n }), id);
		upper[0] = '!';
		assert_int_equal(rf_http_header_of((struct rf_str){ upper, name.n }), RF_HDR_OTHER);
	}
	assert_int_equal(rf_http_header_of(RF_STR("x-unknown")), RF_HDR_OTHER);
	assert_int_equal(rf_http_method_of(RF_STR("get")), RF_HTTP_OTHER);
	assert_string_equal(rf_http_method_name(RF_HTTP_PATCH), "PATCH");
	assert_true(rf_http_method_flags(RF_HTTP_PUT) == RF_METHOD_IDEM);
	assert_true(rf_http_name_alike(RF_STR("A_b"), RF_STR("a-B")));
	assert_false(rf_http_name_alike(RF_STR("ab"), RF_STR("a-b")));
	assert_true(rf_http_name_reserved(RF_STR("Transfer_Encoding")));
	assert_true(rf_http_name_reserved(RF_STR("RINGFENCE-Device-Id")));
	assert_false(rf_http_name_reserved(RF_STR("Cf-Client-Cert-Serial")));
	assert_false(rf_http_name_reserved(RF_STR("Hosts")));
}

static void lists(void **state)
{
	(void)state;
	struct rf_str rest = RF_STR(" , a, \"b,\\\"c\" ,,d,\"e"), item;
	static const char *want[] = { "a", "\"b,\\\"c\"", "d", "\"e" };
	for (size_t i = 0; i < 4; i++) {
		assert_true(rf_http_list_next(&rest, &item));
		is(item, want[i]);
	}
	assert_false(rf_http_list_next(&rest, &item));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(parts_of_a_request, setup, teardown),
		cmocka_unit_test_setup_teardown(forms_of_targets, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_request_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_headers, setup, teardown),
		cmocka_unit_test_setup_teardown(hosts, setup, teardown),
		cmocka_unit_test_setup_teardown(framing_of_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(upgrades, setup, teardown),
		cmocka_unit_test_setup_teardown(bounds, setup, teardown),
		cmocka_unit_test_setup_teardown(piece_by_piece, setup, teardown),
		cmocka_unit_test_setup_teardown(responses, setup, teardown),
		cmocka_unit_test(names),
		cmocka_unit_test(lists),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
