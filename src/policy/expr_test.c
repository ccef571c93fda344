#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "policy/lists.h"
#include "policy/ruletest.h"

static const char request[] =
	"{\"method\": \"POST\", \"host\": \"api.example.com\", \"path\": \"/a/b.cgi?x=1&y=%2Fetc&x=2\", \"src\": \"192.0.2.7\","
	" \"sport\": 4711, \"port\": 443, \"body\": \"{\\\"id\\\": 7, \\\"n\\\": {\\\"s\\\": [\\\"a\\\", \\\"b\\\\u00e9\\\"]}}\","
	" \"time\": 1700000000,"
	" \"headers\": {\"User-Agent\": \"() { :;}; ping\", \"Accept\": [\"text/html\", \"a/b\"], \"Cookie\": \"s=1; t=2\"},"
	" \"tls\": {\"version\": \"TLSv1.3\", \"cert_verified\": true, \"ski\": \"AB01\"},"
	" \"device\": {\"class\": \"camera\", \"firmware\": \"2.4.1\", \"tags\": [\"eu\", \"lab\"]},"
	" \"fields\": {\"cf.random_seed\": \"0123456789abcdef\"}}";

static struct rf_lists *lists;
static struct rf_arena arena;
static struct rf_facts facts;
static json_t *doc;

static void add_list(const char *name, enum rf_list_kind kind, const char *const *items, size_t n)
{
	struct rf_str s[8];
	struct rf_list *l = NULL;
	struct rf_lists *t = NULL;
	struct rf_err e;
	for (size_t i = 0; i < n; i++)
		s[i] = rf_str_z(items[i]);
	assert_int_equal(rf_list_make(kind, s, n, &l, &e), RF_OK);
	assert_int_equal(rf_lists_with(lists, rf_str_z(name), l, &t), RF_OK);
	rf_list_put(l);
	rf_lists_put(lists);
	lists = t;
}

static int start(void **state)
{
	(void)state;
	static const char *const nets[] = { "192.0.2.0/28", "2001:db8::1", "198.51.100.4/30" };
	static const char *const hosts[] = { "*.example.com", "Other.Example" };
	static const char *const words[] = { "camera", "lock" };
	struct rf_err e;
	json_error_t je;
	add_list("office", RF_LIST_IP, nets, 3);
	add_list("hosts", RF_LIST_HOSTNAME, hosts, 2);
	add_list("kinds", RF_LIST_STRING, words, 2);
	rf_arena_init(&arena, 1 << 20);
	doc = json_loads(request, 0, &je);
	if (!doc || rf_json_facts(doc, "", &arena, lists, 0, &facts, &e)) {
		print_error("%s\n", doc ? e.text : je.text);
		return -1;
	}
	return 0;
}

static int stop(void **state)
{
	(void)state;
	json_decref(doc);
	rf_lists_put(lists);
	rf_arena_fini(&arena);
	return 0;
}

static struct rf_rule_env env(void)
{
	return (struct rf_rule_env){ .lists = lists };
}

static bool truth(const char *text)
{
	struct rf_rule_env at = env();
	struct rf_expr *x = NULL, *again = NULL;
	struct rf_err e;
	bool got = false, second = false;
	if (rf_expr_compile(&at, RF_PHASE_HTTP_REQUEST, rf_str_z(text), &x, &e))
		fail_msg("%s: %u:%u %s", text, e.line, e.column, e.text);
	int r = rf_expr_test(x, &facts, &got);
	if (r)
		fail_msg("%s: %s", text, rf_code_name(r));
	RF_BUF_AUTO printed = { 0 };
	rf_expr_print(x, &printed);
	if (rf_expr_compile(&at, RF_PHASE_HTTP_REQUEST, rf_buf_str(&printed), &again, &e))
		fail_msg("%s prints as %s: %u:%u %s", text, rf_buf_z(&printed), e.line, e.column, e.text);
	if (!rf_expr_same(x, again))
		fail_msg("%s prints as %s, which is not the same", text, rf_buf_z(&printed));
	assert_int_equal(rf_expr_test(again, &facts, &second), RF_OK);
	assert_int_equal(got, second);
	rf_facts_init(&facts, facts.ops, facts.ctx, facts.arena, facts.lists, facts.wall_ns); /* what is kept points into the programs */
	rf_expr_put(x);
	rf_expr_put(again);
	return got;
}

struct row {
	const char *text;
	bool want;
};

static void check(const struct row *row, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (truth(row[i].text) != row[i].want)
			fail_msg("%s should be %s", row[i].text, row[i].want ? "true" : "false");
}

#define CHECK(...) \
	check((const struct row[]){ __VA_ARGS__ }, sizeof((const struct row[]){ __VA_ARGS__ }) / sizeof(struct row))

static void comparisons(void **state)
{
	(void)state;
	CHECK({ "http.host eq \"api.example.com\"", true }, { "http.host == \"API.example.com\"", false },
		{ "http.host ne \"x\"", true }, { "http.host != \"api.example.com\"", false },
		{ "http.host lt \"b\" and http.host > \"a\"", true }, { "http.host le \"api.example.com\"", true },
		{ "tcp.dstport eq 443", true }, { "tcp.dstport eq 0x1BB", true }, { "tcp.dstport eq 0673", true },
		{ "tcp.dstport in {80 440..450}", true }, { "tcp.dstport in {-5..-1 444..9000}", false },
		{ "tcp.dstport lt 444 and tcp.dstport <= 443 and tcp.dstport ge 443 and tcp.dstport > 442", true },
		{ "ip.src eq 192.0.2.7", true }, { "ip.src ne 192.0.2.7", false }, { "ip.src in {192.0.2.0/24}", true },
		{ "ip.src in {192.0.2.8..192.0.2.9 10.0.0.1}", false }, { "ip.src in {192.0.2.3..192.0.2.7}", true },
		{ "ip.src in {::ffff:192.0.2.7}", true }, { "ip.src in {2001:db8::/32 fe80::1..fe80::9}", false },
		{ "http.user_agent contains \"() {\"", true }, { "http.host in {\"a\" \"api.example.com\"}", true },
		{ "http.host wildcard \"*.EXAMPLE.com\"", true }, { "http.host strict wildcard \"*.EXAMPLE.com\"", false },
		{ "http.host wildcard \"example\"", false }, { "http.request.uri.path wildcard \"/*/*.cgi\"", true },
		{ "http.request.uri.path matches \"^/a/.*\\.cgi$\"", true }, { "http.host ~ \"^example\"", false },
		{ "http.host matches r\"(?i)EXAMPLE\\.(com|org)\"", true }, { "http.host matches \"\"", true },
		{ "ssl", true }, { "not ssl", false }, { "ssl eq true", true }, { "ssl ne true", false },
		{ "device.known and device.class eq \"camera\"", true }, { "tls.client.ski eq \"AB01\"", true },
		{ "ip.src in $office", true }, { "http.host in $hosts", true }, { "device.class in $kinds", true },
		{ "http.request.method in $kinds", false });
}

static void versions(void **state)
{
	(void)state;
	CHECK({ "device.firmware lt \"2.4.10\"", true }, { "device.firmware lt \"2.4.1\"", false },
		{ "device.firmware ge \"2.4\"", true }, { "device.firmware eq \"v2.4.1.0\"", true },
		{ "device.firmware in {\"2.3\" \"2.4.1.0\"}", true }, { "device.firmware gt \"2.4.1-rc1\"", true },
		{ "device.firmware contains \"4.1\"", true });
}

static void precedence(void **state)
{
	(void)state;
	/* not > and > xor > or; with T = ssl and F = not ssl */
	CHECK({ "ssl or ssl xor ssl", true },               /* T or (T xor T) */
		{ "(ssl or ssl) xor ssl", false },
		{ "ssl xor ssl and not ssl", true },        /* T xor (T and F) */
		{ "(ssl xor ssl) and not ssl", false },
		{ "not ssl or ssl", true },                 /* (not T) or T */
		{ "not (ssl or ssl)", false },
		{ "not ssl and not ssl or ssl", true },
		{ "ssl ^^ ssl ^^ ssl", true }, { "ssl xor ssl xor not ssl", false },
		{ "ssl || ssl && !ssl", true }, { "!ssl && ssl || ssl ^^ !ssl", true },
		{ "not http.host eq \"x\" and ssl", true },
		{ "!!ssl", true }, { "true", true }, { "not true or false", false }, { "(true) and ssl", true }, { "not not not ssl", false });
}

static void missing_values(void **state)
{
	(void)state;
	CHECK({ "device.model eq \"x\"", false }, { "not device.model eq \"x\"", true }, { "device.model ne \"x\"", false },
		{ "not device.model ne \"x\"", true }, { "device.model in {\"x\"}", false }, { "ip.dst eq 192.0.2.1", false },
		{ "http.request.headers[\"none\"][0] eq \"\"", false }, { "http.request.headers[\"accept\"][2] ne \"z\"", false },
		{ "http.request.headers[\"accept\"][1] eq \"a/b\"", true }, { "http.request.headers[\"Accept\"][0] contains \"html\"", true },
		{ "lower(device.model) ne \"x\"", false }, { "len(http.request.headers[\"none\"]) eq 0", false },
		{ "any(http.request.headers[\"none\"][*] ne \"x\")", false }, { "all(http.request.headers[\"none\"][*] ne \"x\")", false },
		{ "starts_with(device.model, \"\")", false }, { "http.referer eq \"\"", true }, { "tls.client.cert_revoked", false });
}

static void elements(void **state)
{
	(void)state;
	CHECK({ "any(http.request.headers[\"accept\"][*] contains \"html\")", true },
		{ "all(http.request.headers[\"accept\"][*] contains \"html\")", false },
		{ "all(http.request.headers[\"accept\"][*] contains \"/\")", true },
		{ "any(lower(http.request.headers.names[*])[*] eq \"cookie\")", true },
		{ "any(upper(lower(http.request.headers.names[*]))[*] eq \"COOKIE\")", true },
		{ "any(not http.request.headers.names[*] eq \"cookie\")", true },
		{ "any(starts_with(http.request.uri.args.values[*], \"%2F\"))", true },
		{ "any(len(http.request.headers.names[*])[*] gt 50)", false },
		{ "all(http.request.headers.names[*] in {\"accept\" \"cookie\" \"user-agent\"})", true },
		{ "any(device.tags[*] eq \"lab\") and not any(device.tags[*] eq \"us\")", true },
		{ "http.request.uri.args[\"x\"][1] eq \"2\"", true }, { "http.request.cookies[\"t\"][0] eq \"2\"", true },
		{ "upper(device.tags[*])[1] eq \"LAB\"", true }, { "join(upper(device.tags[*]), \"+\") eq \"EU+LAB\"", true },
		{ "any(url_decode(http.request.uri.args[\"y\"][*])[*] eq \"/etc\")", true },
		{ "any(split(http.host, \".\", 8)[*] eq \"example\")", true });
}

static void functions(void **state)
{
	(void)state;
	CHECK({ "cidr(ip.src, 24, 64) eq 192.0.2.0", true }, { "cidr6(ip.src, 24) eq 192.0.2.7", true },
		{ "concat(\"a\", 7, true, ip.src) eq \"a7true192.0.2.7\"", true },
		{ "decode_base64(\"aGk=\") eq \"hi\"", true }, { "decode_base64(\"!\") ne \"hi\"", false },
		{ "encode_base64(\"hi?>\") eq \"aGk/Pg==\"", true }, { "encode_base64(\"hi?>\", \"u\") eq \"aGk_Pg\"", true },
		{ "encode_base64(\"hi?>\", \"up\") eq \"aGk_Pg==\"", true }, { "encode_base64(\"\") eq \"\"", true },
		{ "ends_with(http.host, \".com\")", true }, { "starts_with(http.host, \"web\")", false },
		{ "join(device.tags, \",\") eq \"eu,lab\"", true }, { "len(http.request.method) eq 4", true },
		{ "len(device.tags) eq 2", true }, { "lower(\"AbC\") eq \"abc\"", true }, { "upper(\"abC\") eq \"ABC\"", true },
		{ "lookup_json_integer(http.request.body.raw, \"id\") eq 7", true },
		{ "lookup_json_string(http.request.body.raw, \"n\", \"s\", 1) eq \"b\\xc3\\xa9\"", true },
		{ "lookup_json_string(http.request.body.raw, \"n\", \"s\", 2) ne \"\"", false },
		{ "lookup_json_string(\"{\\\"a\\\":\\\"1\\\"} x\", \"a\") eq \"1\"", false },
		{ "lookup_json_integer(\"[-3, 4]\", 0) eq -3", true },
		{ "lookup_json_integer(\"[1,01]\", 0) eq 1", false },
		{ "lookup_json_integer(\"[1,1.]\", 0) eq 1", false },
		{ "lookup_json_integer(\"[1,.5]\", 0) eq 1", false },
		{ "lookup_json_integer(\"[1,1-2]\", 0) eq 1", false },
		{ "lookup_json_integer(\"[1,-]\", 0) eq 1", false },
		{ "lookup_json_integer(\"[1,1e]\", 0) eq 1", false },
		{ "lookup_json_integer(\"[1,0]\", 0) eq 1", true },
		{ "lookup_json_integer(\"[1,-0.5e-3]\", 0) eq 1", true },
		{ "lookup_json_integer(\"[1,1E+9]\", 0) eq 1", true },
		{ "lookup_json_string(\"[\\\"a\\\\ud800;b\\\"]\", 0) contains \";b\"", true },
		{ "lookup_json_string(\"[\\\"a\\\\udc00;b\\\"]\", 0) contains \";b\"", true },
		{ "lookup_json_string(\"[\\\"a\\\\ud800\\\\u0041;b\\\"]\", 0) contains \";b\"", true },
		{ "lookup_json_string(\"[\\\"a\\\\ud8;b\\\"]\", 0) contains \";b\"", false },
		{ "lookup_json_string(\"[\\\"\\\\ud83d\\\\ude00\\\"]\", 0) eq \"\xf0\x9f\x98\x80\"", true },
		{ "lookup_json_string(\"{\\\"a\\\":\\\"1\\\",\\\"\\\\u0061\\\":\\\"2\\\"}\", \"a\") eq \"2\"", true },
		{ "regex_replace(\"/foo/bar\", \"/bar$\", \"/baz\") eq \"/foo/baz\"", true },
		{ "regex_replace(\"/foo/a/p\", \"^/foo/([^/]*)/(.*)$\", \"/bar/${2}/${1}\") eq \"/bar/p/a\"", true },
		{ "regex_replace(\"aa\", \"b\", \"c\") eq \"aa\"", true }, { "regex_replace(\"\", \"^\", \"c\") eq \"c\"", true },
		{ "remove_bytes(\"a.b-c\", \".-\") eq \"abc\"", true },
		{ "remove_query_args(http.request.uri.query, \"x\") eq \"y=%2Fetc\"", true },
		{ "remove_query_args(\"a=1&&b\", \"b\", \"z\") eq \"a=1&\"", true },
		{ "split(\"a,b,c\", \",\", 2)[1] eq \"b,c\"", true }, { "split(\"\", \",\", 2)[0] eq \"\"", true },
		{ "substring(\"hello\", 1, 3) eq \"el\"", true }, { "substring(\"hello\", -3) eq \"llo\"", true },
		{ "substring(\"hello\", 9) eq \"\"", true }, { "substring(\"hello\", 0, -9) eq \"\"", true },
		{ "to_string(tcp.dstport) eq \"443\"", true }, { "to_string(ssl) eq \"true\"", true },
		{ "url_decode(\"a%2Fb+c%zz\") eq \"a/b c%zz\"", true }, { "url_decode(\"%252e\") eq \"%2e\"", true },
		{ "url_decode(\"%25252e\", \"r\") eq \".\"", true }, { "url_decode(\"%u00e9%u20AC\", \"u\") eq \"\\xc3\\xa9\\xe2\\x82\\xac\"", true },
		{ "uuidv4(cf.random_seed) eq \"30313233-3435-4637-b839-616263646566\"", true },
		{ "uuidv4(\"short\") ne \"\"", false },
		{ "wildcard_replace(\"/a/b/c\", \"/*/B/*\", \"/${2}/${1}\") eq \"/c/a\"", true },
		{ "wildcard_replace(\"/a/b/c\", \"/*/B/*\", \"x\", \"s\") eq \"/a/b/c\"", true },
		{ "wildcard_replace(\"a*b\", \"a\\\\*b\", \"x\") eq \"x\"", true },
		{ "encode_base64(sha256(\"abc\")) eq \"ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=\"", true });
}

static void hmac_with_time(void **state)
{
	(void)state;
	/* openssl dgst -sha256 -hmac mysecretkey over "/download/cat.jpg1484063137" */
	static const char good[] = "/download/cat.jpg?verify=1484063137-XpPTCAAYa6vmuHQBSQt6vs8R4RMU%2FIMfhY75ghvvA0U%3D";
	static const struct { const char *key; const char *ttl, *now; bool want; } table[] = {
		{ "mysecretkey", "100", "1484063200", true }, { "mysecretkey", "10", "1484063200", false },
		{ "other", "100", "1484063200", false }, { "mysecretkey", "100", "1484063136", false } };
	for (size_t i = 0; i < 4; i++) {
		char text[512];
		snprintf(text, sizeof text, "is_timed_hmac_valid_v0(\"%s\", \"%s\", %s, %s, 8)", table[i].key, good, table[i].ttl,
			table[i].now);
		assert_int_equal(truth(text), table[i].want);
	}
	CHECK({ "is_timed_hmac_valid_v0(\"k\", \"\", 1, 1)", false }, { "is_timed_hmac_valid_v0(\"k\", \"-\", 1, 1)", false },
		{ "is_timed_hmac_valid_v0(\"k\", \"1484063137-\", 1, 1, 0, \"s\")", false });
}

static void strings(void **state)
{
	(void)state;
	CHECK({ "http.host ne \"a\\\"b\\\\c\\x41\\101\"", true }, { "\n http.host\tne\r\nr\"a\\b\" ", true },
		{ "len(r#\"a\"b\"#) eq 3", true }, { "len(r##\"a\"#b\"##) eq 4", true }, { "len(r\"\\\\\") eq 2", true },
		{ "len(\"\\\\\") eq 1", true }, { "http.host matches \"a\\.b|\\\"|api\"", true });
	char text[700] = "http.host ne r";
	for (int i = 0; i < 255; i++)
		strcat(text, "#");
	strcat(text, "\"x\"");
	for (int i = 0; i < 255; i++)
		strcat(text, "#");
	assert_true(truth(text));
}

struct bad {
	const char *text;
	unsigned line, column;
	const char *word;
};

static void errors_have_places(void **state)
{
	(void)state;
	static const struct bad table[] = {
		{ "http.hots eq \"a\"", 1, 1, "did you mean `http.host`" }, { "", 1, 1, "ends where" },
		{ "http.host eq", 1, 13, "string" }, { "http.host eq 5", 1, 14, "string" }, { "ssl and\n  (tcp.dstport eq \"a\")", 2, 19, "integer" },
		{ "http.host = \"a\"", 1, 11, "`eq` or `==`" }, { "http.host equals \"a\"", 1, 11, "unknown operator" },
		{ "http.host and ssl", 1, 1, "compare it with something" }, { "http.host AND ssl", 1, 11, "did you mean `and`" },
		{ "http.host contain \"a\"", 1, 11, "did you mean `contains`" }, { "http.host starts_with \"a\"", 1, 11, "is a function" },
		{ "http.host", 1, 1, "compare it" }, { "(ssl", 1, 1, "not closed" }, { "ssl)", 1, 4, "not opened" }, { "ssl ssl", 1, 5, "operator" },
		{ "ip.src eq 10.0.0.0/8", 1, 11, "in {10.0.0.0/8}" }, { "ip.src in {10.0.0.1/8}", 1, 12, "did you mean `10.0.0.0/8`" },
		{ "ip.src in {10.0.0.1 ", 1, 11, "does not end" }, { "ip.src in {}", 1, 12, "at least one" },
		{ "ip.src in {10.0.0.1, 10.0.0.2}", 1, 20, "spaces" }, { "tcp.dstport in {9..1}", 1, 17, "smaller" },
		{ "ip.src contains \"1\"", 1, 8, "does not work" }, { "ip.src lt 10.0.0.1", 1, 8, "does not work" },
		{ "http.host matches \"a(\"", 1, 21, "pattern" }, { "http.host matches r#\"(a)\\1\"#", 1, 22, "pattern" },
		{ "http.host wildcard \"a**\"", 1, 22, "`**`" }, { "http.host wildcard r\"a\\b\"", 1, 23, "backslash" },
		{ "http.host eq \"a\\q\"", 1, 16, "escape" }, { "http.host eq \"abc", 1, 14, "does not end" }, { "http.host eq r#\"abc\"", 1, 14, "does not end" },
		{ "lowr(http.host) eq \"a\"", 1, 1, "did you mean `lower`" }, { "lower(5) eq \"a\"", 1, 7, "a string" },
		{ "lower(http.host, \"a\") eq \"a\"", 1, 16, "at most 1" }, { "starts_with(http.host)", 1, 22, "next argument" },
		{ "any(ssl)", 1, 5, "each element" }, { "http.request.headers.names[*] eq \"a\"", 1, 28, "first argument" },
		{ "concat(\"a\", device.tags[*]) eq \"a\"", 1, 25, "first argument" }, { "any(lower(device.tags[*]) eq \"a\")", 1, 5, "write [*]" },
		{ "lower(device.tags[*]) eq \"a\"", 1, 1, "array" }, { "starts_with(device.tags[*], \"a\")", 1, 1, "any()" },
		{ "any(device.tags[*] eq \"a\" and device.tags[*] eq \"b\")", 1, 27, "stands alone" },
		{ "http.host[0] eq \"a\"", 1, 11, "works on an array" }, { "device.tags[\"a\"] eq \"a\"", 1, 13, "works on a map" },
		{ "http.request.headers[\"a\"] eq \"b\"", 1, 27, "does not work" }, { "device.tags[-1] eq \"a\"", 1, 13, "0 or more" },
		{ "ip.src in $offic", 1, 12, "did you mean `office`" }, { "http.host in $office", 1, 15, "kind ip" }, { "ip.src in $Office", 1, 12, "lower-case" },
		{ "ip.src.country eq \"DE\"", 1, 1, "database of countries" }, { "ip.geoip.country eq \"DE\"", 1, 1, "database of countries" }, { "ip.src.asnum eq 1", 1, 1, "autonomous systems" },
		{ "bit_slice(http.host, 0, 1) eq 1", 1, 1, "packet" }, { "http.host eq http.referer", 1, 14, "not with another field" },
		{ "tcp.dstport eq 99999999999999999999", 1, 16, "64 bits" }, { "tcp.dstport eq 12ab", 1, 18, "does not belong" },
		{ "split(http.host, \"\", 2)[0] eq \"a\"", 1, 18, "not empty" }, { "split(http.host, \",\", 200)[0] eq \"a\"", 1, 23, "1 to 128" },
		{ "url_decode(http.host, \"x\") eq \"a\"", 1, 24, "letters" }, { "cidr(ip.src, 33, 64) eq 10.0.0.0", 1, 14, "0 to 32" },
		{ "regex_replace(http.host, \"(\", \"\") eq \"a\"", 1, 28, "pattern" }, { "\"a\" eq http.host", 1, 1, "begins with" },
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct rf_rule_env at = env();
		struct rf_expr *x = NULL;
		struct rf_err e = { 0 };
		if (rf_expr_compile(&at, RF_PHASE_HTTP_REQUEST, rf_str_z(table[i].text), &x, &e) == RF_OK)
			fail_msg("%s was accepted", table[i].text);
		if (e.line != table[i].line || e.column != table[i].column || !strstr(e.text, table[i].word))
			fail_msg("%s: %u:%u %s, wanted %u:%u %s", table[i].text, e.line, e.column, e.text, table[i].line,
				table[i].column, table[i].word);
		assert_null(x);
	}
}

static void bounds_hold(void **state)
{
	(void)state;
	struct rf_rule_env at = env();
	struct rf_expr *x = NULL;
	struct rf_err e;
	RF_BUF_AUTO b = { 0 };
	for (int i = 0; i < 5000; i++)
		rf_buf_addc(&b, '(');
	assert_int_equal(rf_expr_compile(&at, RF_PHASE_HTTP_REQUEST, rf_buf_str(&b), &x, &e), RF_E_TOO_LARGE);
	rf_buf_clear(&b);
	for (int i = 0; i < 9000; i++)
		rf_buf_add(&b, i ? RF_STR("or ssl ") : RF_STR("ssl "));
	assert_int_equal(rf_expr_compile(&at, RF_PHASE_HTTP_REQUEST, rf_buf_str(&b), &x, &e), RF_E_TOO_LARGE);
	rf_buf_clear(&b);
	rf_buf_add(&b, RF_STR("tcp.dstport in {"));
	for (int i = 0; i < 17000; i++)
		rf_buf_add(&b, RF_STR("1 "));
	assert_int_equal(rf_expr_compile(&at, RF_PHASE_HTTP_REQUEST, rf_buf_str(&b), &x, &e), RF_E_TOO_LARGE);
	rf_buf_clear(&b);
	for (int i = 0; i < 70000; i++)
		rf_buf_addc(&b, ' ');
	assert_int_equal(rf_expr_compile(&at, RF_PHASE_HTTP_REQUEST, rf_buf_str(&b), &x, &e), RF_E_TOO_LARGE);
	assert_null(x);
}

static void costly_patterns_are_refused(void **state)
{
	(void)state;
	static const struct { const char *pattern; bool ok; } table[] = { { "a{1,30000}", false }, { "(a{1,200}b{1,200}){50}", false },
		{ "((((a*b?){2,30}c){2,30}d){2,20}e){2,9}", false }, { "(.{60}){60}", false }, { "[^/]{1024,}", true }, { "a{,9999}", true },
		{ "[{9999}]{2}", true }, { "\\{9999}", true }, { "(a|b){20}(c{9}){9}", true }, { "[]{]{3000}", false }, { "[[:alpha:]{]{3000}", false } };
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct rf_rule_env at = env();
		struct rf_expr *x = NULL;
		struct rf_err e;
		char text[128];
		snprintf(text, sizeof text, "http.host matches r\"%s\"", table[i].pattern);
		int r = rf_expr_compile(&at, RF_PHASE_HTTP_REQUEST, rf_str_z(text), &x, &e);
		if (r != (table[i].ok ? RF_OK : RF_E_TOO_LARGE))
			fail_msg("%s: %s", table[i].pattern, r ? e.text : "was accepted");
		rf_expr_put(x);
	}
}

static bool nothing(void *ctx, struct rf_arena *a, enum rf_field f, struct rf_val *ret)
{
	(void)ctx, (void)a;
	*ret = rf_val_str((struct rf_str){ NULL, 0 });
	return rf_fields[f].type == RF_T_STR;
}

/* (NULL, 0) is an empty string everywhere. */
static void null_strings(void **state)
{
	(void)state;
	static const struct rf_facts_ops ops = { .get = nothing };
	static const char *const texts[] = { "http.host eq \"\"", "http.host contains \"\"", "http.host matches \"^$\"",
		"http.host wildcard \"*\"", "http.host strict wildcard \"*\"", "http.host in {\"\"}", "lower(http.host) eq \"\"",
		"concat(http.host, http.host) eq \"\"", "url_decode(http.host, \"ru\") eq \"\"", "substring(http.host, 0, 1) eq \"\"",
		"len(split(http.host, \",\", 3)) eq 1", "starts_with(http.host, http.host)", "ends_with(http.host, \"\")",
		"regex_replace(http.host, \"x\", \"y\") eq \"\"", "remove_bytes(http.host, \"x\") eq \"\"", "len(sha256(http.host)) eq 32",
		"remove_query_args(http.host, \"x\") eq \"\"", "encode_base64(http.host) eq \"\"", "decode_base64(http.host) eq \"\"",
		"wildcard_replace(http.host, \"*\", \"${1}\") eq \"\"", "not is_timed_hmac_valid_v0(\"\", http.host, 1, 1)",
		"not lookup_json_string(http.host, \"a\") eq \"\"", "http.host le \"\"" };
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct rf_rule_env at = env();
		struct rf_expr *x = NULL;
		struct rf_err e;
		struct rf_facts f;
		bool got = false;
		rf_facts_init(&f, &ops, NULL, &arena, NULL, 0);
		if (rf_expr_compile(&at, RF_PHASE_HTTP_REQUEST, rf_str_z(texts[i]), &x, &e) || rf_expr_test(x, &f, &got) || !got)
			fail_msg("%s does not hold", texts[i]);
		rf_expr_put(x);
	}
}

static void a_connection_has_no_request(void **state)
{
	(void)state;
	struct rf_rule_env at = env();
	struct rf_expr *x = NULL;
	struct rf_err e;
	assert_int_equal(rf_expr_compile(&at, RF_PHASE_CONNECTION, RF_STR("http.host eq \"a\""), &x, &e), RF_E_INVALID);
	assert_non_null(strstr(e.text, "not known in the phase `connection`"));
	assert_int_equal(rf_expr_compile(&at, RF_PHASE_CONNECTION, RF_STR("tls.sni eq \"a\" and ip.src in {10.0.0.0/8}"), &x, &e), RF_OK);
	assert_true(rf_expr_uses(x, RF_F_TLS_SNI));
	assert_false(rf_expr_uses(x, RF_F_IP_DST));
	rf_expr_put(x);
}

static void a_full_arena_is_an_error(void **state)
{
	(void)state;
	struct rf_rule_env at = env();
	struct rf_expr *x = NULL;
	struct rf_err e;
	struct rf_arena small;
	struct rf_facts f = facts;
	bool got = true;
	static const char text[] = "not lower(http.host) eq \"a\"";
	assert_int_equal(rf_expr_compile(&at, RF_PHASE_HTTP_REQUEST, rf_str_z(text), &x, &e), RF_OK);
	rf_arena_init(&small, 0);
	f.arena = &small;
	f.kept_count = 0;
	assert_int_equal(rf_expr_test(x, &f, &got), RF_E_NOMEM);
	assert_true(got);
	rf_expr_put(x);
	rf_arena_fini(&small);
}

static void a_replaced_list_needs_no_compiling(void **state)
{
	(void)state;
	struct rf_rule_env at = env();
	struct rf_expr *x = NULL;
	struct rf_err e;
	struct rf_str item = RF_STR("203.0.113.0/24");
	struct rf_list *l = NULL;
	struct rf_lists *replaced = NULL, *gone = NULL;
	bool got = false;
	struct rf_facts f = facts;
	assert_int_equal(rf_expr_compile(&at, RF_PHASE_HTTP_REQUEST, RF_STR("ip.src in $office"), &x, &e), RF_OK);
	assert_int_equal(rf_expr_test(x, &f, &got), RF_OK);
	assert_true(got);
	assert_int_equal(rf_list_make(RF_LIST_IP, &item, 1, &l, &e), RF_OK);
	assert_int_equal(rf_lists_with(lists, RF_STR("office"), l, &replaced), RF_OK);
	f.lists = replaced;
	assert_int_equal(rf_expr_test(x, &f, &got), RF_OK);
	assert_false(got);
	assert_int_equal(rf_lists_with(replaced, RF_STR("office"), NULL, &gone), RF_OK);
	f.lists = gone;
	assert_int_equal(rf_expr_test(x, &f, &got), RF_E_NOT_FOUND);
	assert_int_equal(rf_lists_find(gone, RF_STR("office")), -1);
	rf_expr_put(x);
	rf_list_put(l);
	rf_lists_put(replaced);
	rf_lists_put(gone);
}

static void replacing_by_pattern_is_bounded(void **state)
{
	(void)state;
	struct rf_rule_env at = env();
	struct rf_expr *x = NULL;
	struct rf_err e;
	bool got;
	static const char text[] = "regex_replace(\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\", \"^(a+)+$\", \"\") eq \"\"";
	assert_int_equal(rf_expr_compile(&at, RF_PHASE_HTTP_REQUEST, rf_str_z(text), &x, &e), RF_OK);
	assert_int_equal(rf_expr_test(x, &facts, &got), RF_E_TOO_LARGE);
	rf_expr_put(x);
}

static void bad_list_items(void **state)
{
	(void)state;
	static const struct { enum rf_list_kind kind; const char *item; } table[] = {
		{ RF_LIST_IP, "x" }, { RF_LIST_IP, "10.0.0.2..10.0.0.1" }, { RF_LIST_IP, "10.0.0.2..::1" },
		{ RF_LIST_HOSTNAME, "a..b" }, { RF_LIST_HOSTNAME, "*" }, { RF_LIST_HOSTNAME, "*." }, { RF_LIST_HOSTNAME, "a b" },
		{ RF_LIST_HOSTNAME, "" }, { RF_LIST_HOSTNAME, "a.*.b" }, { RF_LIST_HOSTNAME, ".a" }, { RF_LIST_ASN, "AS1" }, { RF_LIST_ASN, "-1" } };
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct rf_str two[2] = { table[i].kind == RF_LIST_IP ? RF_STR("10.0.0.1") : RF_STR("10"), rf_str_z(table[i].item) };
		struct rf_list *l = NULL;
		struct rf_err e;
		if (rf_list_make(table[i].kind, two, 2, &l, &e) != RF_E_SYNTAX)
			fail_msg("%s was accepted", table[i].item);
		assert_string_equal(e.pointer, "/1");
	}
}

static void large_lists(void **state)
{
	(void)state;
	enum { N = 100000 };
	struct rf_str *items = calloc(N, sizeof *items);
	char *text = malloc(N * 16);
	struct rf_list *l = NULL;
	struct rf_err e;
	for (uint32_t i = 0; i < N; i++) {
		int n = snprintf(text + i * 16, 16, "10.%u.%u.%u", i >> 15 & 255, i >> 7 & 255, (i & 127) * 2);
		items[i] = (struct rf_str){ text + i * 16, (size_t)n };
	}
	assert_int_equal(rf_list_make(RF_LIST_IP, items, N, &l, &e), RF_OK);
	for (uint32_t i = 0; i < N; i += 77) {
		struct rf_ip ip;
		assert_true(rf_ip_parse(items[i], &ip));
		assert_true(rf_list_has_ip(l, &ip));
		ip.b[3] |= 1;
		assert_false(rf_list_has_ip(l, &ip));
	}
	rf_list_put(l);
	assert_int_equal(rf_list_make(RF_LIST_STRING, items, N, &l, &e), RF_OK);
	assert_true(rf_list_has_str(l, items[N - 1]));
	assert_false(rf_list_has_str(l, RF_STR("10.0.0.1")));
	rf_list_put(l);
	free(items);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comparisons), cmocka_unit_test(versions), cmocka_unit_test(precedence),
		cmocka_unit_test(missing_values), cmocka_unit_test(elements), cmocka_unit_test(functions),
		cmocka_unit_test(hmac_with_time), cmocka_unit_test(strings), cmocka_unit_test(errors_have_places),
		cmocka_unit_test(bounds_hold), cmocka_unit_test(costly_patterns_are_refused),
		cmocka_unit_test(null_strings), cmocka_unit_test(a_connection_has_no_request), cmocka_unit_test(a_full_arena_is_an_error),
		cmocka_unit_test(a_replaced_list_needs_no_compiling), cmocka_unit_test(replacing_by_pattern_is_bounded),
		cmocka_unit_test(bad_list_items), cmocka_unit_test(large_lists),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
