/* Dates, negotiation, paths, queries, Forwarded and cookies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/types.h>
#include "base/err.h"
#include "wire/accept.h"
#include "wire/date.h"
#include "wire/fields.h"
#include "wire/uri.h"

static void is(struct rf_str s, const char *z)
{
	if (!rf_str_eq(s, rf_str_z(z)))
		fail_msg("\"%.*s\" is not \"%s\"", RF_ARG(s), z);
}

static void dates(void **state)
{
	(void)state;
	char to[RF_HTTP_DATE_SIZE];
	assert_string_equal(rf_http_date(784111777, to), "Sun, 06 Nov 1994 08:49:37 GMT");
	assert_string_equal(rf_http_date(0, to), "Thu, 01 Jan 1970 00:00:00 GMT");
	assert_string_equal(rf_http_date(951782400, to), "Tue, 29 Feb 2000 00:00:00 GMT");
	assert_string_equal(rf_http_date(INT64_MAX, to), "Fri, 31 Dec 9999 23:59:59 GMT");
	assert_string_equal(rf_http_date(INT64_MIN, to), "Thu, 01 Jan 1970 00:00:00 GMT");
	static const struct {
		int64_t seconds;
		const char *date;
	} rows[] = {
		{ 86399, "Thu, 01 Jan 1970 23:59:59 GMT" },       { 86400, "Fri, 02 Jan 1970 00:00:00 GMT" },
		{ 94607999, "Sat, 30 Dec 1972 23:59:59 GMT" },    { 94694399, "Sun, 31 Dec 1972 23:59:59 GMT" },
		{ 951868799, "Tue, 29 Feb 2000 23:59:59 GMT" },   { 951868800, "Wed, 01 Mar 2000 00:00:00 GMT" },
		{ 1709164800, "Thu, 29 Feb 2024 00:00:00 GMT" },  { 2147483648, "Tue, 19 Jan 2038 03:14:08 GMT" },
		{ 4107542399, "Sun, 28 Feb 2100 23:59:59 GMT" },  { 4107542400, "Mon, 01 Mar 2100 00:00:00 GMT" },
		{ 13574563200, "Tue, 29 Feb 2400 00:00:00 GMT" }, { 253402300799, "Fri, 31 Dec 9999 23:59:59 GMT" },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		assert_string_equal(rf_http_date(rows[i].seconds, to), rows[i].date);
}

static void negotiation(void **state)
{
	(void)state;
	static const char *types[] = { "application/json", "text/html" };
	static const struct {
		const char *accept;
		int want;
	} cases[] = {
		{ "", 0 }, { "*/*", 0 }, { "text/html", 1 }, { "text/*", 1 }, { "TEXT/HTML;level=1", 1 }, { "image/png", -1 },
		{ "text/html,application/xml;q=0.9,*/*;q=0.8", 1 }, { "*/*;q=0.1, text/html;q=0", 0 },
		{ "application/json;q=0.5, text/html;q=0.501", 1 }, { "application/json;q=0", -1 }, { ";;,", 0 },
		{ "text/html;q=2", 0 }, { "text/html;q=0.1234", 0 }, { "a/b;x=\",text/html\"", -1 },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(rf_accept_type(rf_str_z(cases[i].accept), types, 2), cases[i].want);
	static const char *codings[] = { "zstd", "br", "gzip" };
	static const struct {
		const char *accept;
		int want;
	} coded[] = {
		{ "", -1 }, { "gzip", 2 }, { "x-gzip", 2 }, { "gzip, deflate, br", 1 }, { "gzip;q=1, br;q=0.5", 2 }, { "*", 0 },
		{ "*;q=0", -1 }, { "identity", -1 }, { "identity;q=1, gzip;q=0.5", -1 }, { "zstd;q=0, *", 1 }, { "deflate", -1 },
		{ "GZIP", 2 },
	};
	for (size_t i = 0; i < sizeof coded / sizeof *coded; i++)
		if (rf_accept_coding(rf_str_z(coded[i].accept), codings, 3) != coded[i].want)
			fail_msg("%s", coded[i].accept);
}

static void paths(void **state)
{
	(void)state;
	static const struct {
		const char *in, *out; /* NULL: refused */
	} cases[] = {
		{ "/", "/" }, { "/a/b", "/a/b" }, { "/a/./b", "/a/b" }, { "/a/../b", "/b" }, { "/a/..", "/" }, { "/a/.", "/a/" },
		{ "/a/b/../../c/", "/c/" }, { "/%61%2d%7e", "/a-~" }, { "/%c3%a9", "/%C3%A9" }, { "/%2e%2E/a", NULL },
		{ "/a/%2e%2e/b", "/b" }, { "/a//b", "/a/b" }, { "//", "/" }, { "/..", NULL }, { "/a/../..", NULL }, { "a", NULL },
		{ "", NULL }, { "/%00", NULL }, { "/a%2fb", NULL }, { "/a%5cb", NULL },
		{ "/a\\b", NULL }, { "/%4", NULL }, { "/%zz", NULL },
		{ "/...", "/..." }, { "/.a/b.", "/.a/b." }, { "/a\x01", NULL },
	};
	struct rf_arena arena;
	struct rf_str out;
	rf_arena_init(&arena, 65536);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int r = rf_uri_path(rf_str_z(cases[i].in), true, &arena, &out);
		assert_int_equal(r, cases[i].out ? RF_OK : RF_E_INVALID);
		if (r == RF_OK)
			is(out, cases[i].out);
	}
	assert_int_equal(rf_uri_path(RF_STR("/a//../b"), false, &arena, &out), RF_OK);
	is(out, "/a/b");
	rf_arena_fini(&arena);
}

static void queries(void **state)
{
	(void)state;
	struct rf_str rest = RF_STR("a=1&&b&=x&c=d=e"), n, v;
	static const char *names[] = { "a", "b", "", "c" }, *values[] = { "1", NULL, "x", "d=e" };
	for (size_t i = 0; i < 4; i++) {
		assert_true(rf_query_next(&rest, &n, &v));
		is(n, names[i]);
		assert_true(values[i] ? v.p && rf_str_eq(v, rf_str_z(values[i])) : !v.p);
	}
	assert_false(rf_query_next(&rest, &n, &v));
}

static void forwarded(void **state)
{
	(void)state;
	RF_BUF_AUTO b = { 0 };
	struct rf_ip v4, v6;
	assert_true(rf_ip_parse(RF_STR("192.0.2.1"), &v4) && rf_ip_parse(RF_STR("2001:db8::1"), &v6));
	struct rf_forwarded f = { .from = &v4, .proto = RF_STR("https"), .host = RF_STR("a.example") };
	rf_forwarded_add(&b, &f);
	is(rf_buf_str(&b), "for=192.0.2.1;host=a.example;proto=https");
	rf_buf_clear(&b);
	f = (struct rf_forwarded){ .from = &v6, .from_port = 4711, .by = &v4, .host = RF_STR("a:8443\"\r\nX: y") };
	rf_forwarded_add(&b, &f);
	is(rf_buf_str(&b), "for=\"[2001:db8::1]:4711\";by=192.0.2.1;host=\"a:8443\\\"X: y\"");
	rf_buf_clear(&b);
	rf_forwarded_add(&b, &(struct rf_forwarded){ .from = NULL });
	is(rf_buf_str(&b), "for=unknown");
}

static void cookies(void **state)
{
	(void)state;
	struct rf_str rest = RF_STR("a=b; c=\"d e\"; bad; =x;e=; f=g=h"), n, v;
	static const char *names[] = { "a", "c", "e", "f" }, *values[] = { "b", "d e", "", "g=h" };
	for (size_t i = 0; i < 4; i++) {
		assert_true(rf_cookie_next(&rest, &n, &v));
		is(n, names[i]);
		is(v, values[i]);
	}
	assert_false(rf_cookie_next(&rest, &n, &v));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dates),
		cmocka_unit_test(negotiation),
		cmocka_unit_test(paths),
		cmocka_unit_test(queries),
		cmocka_unit_test(forwarded),
		cmocka_unit_test(cookies),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
