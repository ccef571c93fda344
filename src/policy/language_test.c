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
	rf_facts_init(&facts, facts.ops, facts.ctx, facts.arena, facts.lists, facts.wall_ns); /* what is kept points into the programs */
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

/* A SYN of 192.0.2.7 to port 6667, and a datagram of IPv6 behind two extension headers. */
#define SYN "4500002c0001000040060000c0000207c63364019c401a0b00000000000000005002ffff00000000deadbeef"
#define DATAGRAM "60000000002000ff20010db800000000000000000000000120010db8000000000000000000000002" \
	"3c00010400000000" "1100010400000000" "13c413c400100000" "0102030405060708"

static void packets(void **state)
{
	(void)state;
	given("{\"packet\": \"" SYN "\"}");
	HOLD(RF_PHASE_PACKET, "ip.dst in {198.51.100.0/24} and tcp.dstport eq 6667", "tcp.flags.syn and not tcp.flags.ack",
		"tcp.flags eq 2", "ip.proto eq \"tcp\" and ip.proto.num eq 6", "ip.len eq 44 and ip.hdr_len eq 20 and ip.ttl eq 64",
		"bit_slice(tcp, 16, 32) eq 6667", "bit_slice(ip, 0, 4) eq 4", "bit_slice(tcp, 160, 192) eq 0xdeadbeef",
		"not bit_slice(tcp, 180, 200) ge 0", "not udp.dstport ge 0", "not icmp.type ge 0", "not ip.opt.type ge 0", "not sip",
		"not bit_slice(udp, 0, 8) ge 0", "ip.src eq 192.0.2.7");
	given("{\"packet\": \"" DATAGRAM "\"}");
	HOLD(RF_PHASE_PACKET, "ip.proto eq \"udp\"", "udp.srcport eq 5060 and udp.dstport in {5060 5061}",
		"bit_slice(udp, 64, 96) eq 0x01020304", "ip.src in {2001:db8::/32}", "not tcp.dstport ge 0", "ip.hdr_len eq 56",
		"ip.ttl eq 255", "not tcp.flags.syn");
	refused(RF_PHASE_PACKET, "http.host eq \"x\"", "not known in the phase `packet`");
	refused(RF_PHASE_PACKET, "bit_slice(ip.proto, 0, 8) eq 1", "ip, tcp, udp or icmp");
	refused(RF_PHASE_PACKET, "bit_slice(\"abc\", 0, 8) eq 1", "ip, tcp, udp or icmp");
	refused(RF_PHASE_PACKET, "bit_slice(tcp, 0, 33) eq 1", "1 to 32 bits");
	refused(RF_PHASE_PACKET, "bit_slice(tcp, 8, 8) eq 1", "1 to 32 bits");
	refused(RF_PHASE_PACKET, "bit_slice(tcp, 2039, 2041) eq 1", "0 to 2040 bits");
	refused(RF_PHASE_HTTP_REQUEST, "bit_slice(tcp, 0, 8) eq 1", "which the phase `http_request` does not have");
}

static void packets_that_are_not(void **state)
{
	(void)state;
	static const char *const bad[] = { "{\"packet\": \"45\"}", "{\"packet\": \"4g\"}", "{\"packet\": 45}", "{\"packet\": \"\"}" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct rf_err e;
		json_t *o = json_loads(bad[i], 0, NULL);
		assert_int_not_equal(rf_json_facts(o, "", &arena, NULL, 0, &facts, &e), RF_OK);
		assert_string_equal(e.pointer, "/packet");
		json_decref(o);
	}
}

static void arrays_of_all_shapes(void **state)
{
	(void)state;
	given("{\"path\": \"/?a=1&b=2&a=3\", \"headers\": {\"X\": [\"p\", \"q\"], \"Y\": \"long value\"}}");
	HOLD(RF_PHASE_HTTP_REQUEST, "any(http.request.uri.args[*][*] eq \"3\")", "any(http.request.uri.args[*][0] eq \"2\")",
		"not any(http.request.uri.args[*][0] eq \"3\")", "len(flatten(values(http.request.headers))) eq 3",
		"len(values(http.request.uri.args)) eq 2", "any(lower(http.request.headers[*][*])[*] eq \"q\")",
		"any(len(http.request.headers.values[*])[*] gt 9)", "all(http.request.uri.args[*][*] ne \"4\")",
		"values(http.request.uri.args)[0][1] eq \"3\"", "join(flatten(values(http.request.uri.args)), \",\") eq \"1,3,2\"",
		"concat(\"a\", http.request.headers[\"none\"][0], \"b\") eq \"ab\"", "any(values(http.request.headers)[1][*] contains \"long\")");
	refused(RF_PHASE_HTTP_REQUEST, "http.request.uri.args[*][*] eq \"3\"", "[*] stands only");
	refused(RF_PHASE_HTTP_REQUEST, "any(http.request.uri.args[*] eq \"3\")", "does not work on a value of type array of strings");
	refused(RF_PHASE_HTTP_REQUEST, "any(http.request.uri.args.names[*][*] eq \"3\")", "[*] works on an array");
	refused(RF_PHASE_HTTP_REQUEST, "len(values(http.host)) eq 1", "a map of strings");
	refused(RF_PHASE_HTTP_REQUEST, "any(split(http.request.headers.names[*], \"-\", 2)[*] eq \"x\")", "cannot be applied to each");
}

static void bodies(void **state)
{
	(void)state;
	given("{\"headers\": {\"Content-Type\": \"application/x-www-form-urlencoded\"}, \"body\": \"user=a%20b&role=1&role=2&flag\"}");
	HOLD(RF_PHASE_HTTP_REQUEST, "any(http.request.body.form[\"role\"][*] eq \"2\")", "http.request.body.form[\"user\"][0] eq \"a%20b\"",
		"url_decode(http.request.body.form[\"user\"][0]) eq \"a b\"", "len(http.request.body.form.names) eq 4",
		"http.request.body.form.values[3] eq \"\"", "http.request.body.size eq 29", "not http.request.body.truncated",
		"http.request.body.mime eq \"application/x-www-form-urlencoded\"", "len(http.request.body.multipart.names) eq 0",
		"not any(http.request.body.form[\"none\"][*] ne \"\")");
	given("{\"headers\": {\"Content-Type\": \"multipart/form-data; boundary=B\"}, \"body\": \"--B\\r\\nContent-Disposition: "
	      "form-data; name=\\\"pic\\\"; filename=\\\"a.php\\\"\\r\\nContent-Type: image/png\\r\\n\\r\\nx\\r\\n--B\\r\\n"
	      "Content-Disposition: form-data; name=role\\r\\nContent-Transfer-Encoding: base64\\r\\n\\r\\nadmin\\r\\n--B--\"}");
	HOLD(RF_PHASE_HTTP_REQUEST, "any(http.request.body.multipart[\"role\"][*] == \"admin\")",
		"any(http.request.body.multipart.names[*][0] == \"pic\")", "any(http.request.body.multipart.filenames[*][*] matches r\"\\.php$\")",
		"any(http.request.body.multipart.content_types[*][0] in {\"image/png\"})", "http.request.body.multipart.values[0] eq \"x\"",
		"any(http.request.body.multipart.content_dispositions[*][0] contains \"pic\")",
		"http.request.body.multipart.content_transfer_encodings[1][0] eq \"base64\"",
		"len(http.request.body.multipart.content_types[1]) eq 0");
	given("{\"body\": \"{\\\"a\\\": {\\\"b\\\": [1, \\\"x\\\"]}}\"}");
	HOLD(RF_PHASE_HTTP_REQUEST, "lookup_json_string(http.request.body.raw, \"a\", \"b\", 1) eq \"x\"",
		"lookup_json_integer(http.request.body.raw, \"a\", \"b\", 0) eq 1",
		"not lookup_json_integer(http.request.body.raw, \"a\", \"c\") ge 0");
}

/* Every documented name of a field, in the phases that have it. */
static const struct { enum rf_phase phase; const char *names; } documented[] = {
	{ RF_PHASE_HTTP_REQUEST,
	  "http.host http.cookie http.referer http.user_agent http.x_forwarded_for http.request.method "
	  "http.request.uri http.request.uri.path http.request.uri.path.extension http.request.uri.query "
	  "http.request.uri.args http.request.uri.args.names http.request.uri.args.values http.request.full_uri "
	  "http.request.version http.request.headers http.request.headers.names http.request.headers.values "
	  "http.request.headers.truncated http.request.cookies http.request.accepted_languages "
	  "http.request.timestamp.sec http.request.timestamp.msec raw.http.request.uri "
	  "raw.http.request.uri.path raw.http.request.uri.query raw.http.request.full_uri "
	  "raw.http.request.uri.args raw.http.request.uri.args.names raw.http.request.uri.args.values "
	  "http.request.body.raw http.request.body.size http.request.body.truncated http.request.body.mime "
	  "http.request.body.form http.request.body.form.names http.request.body.form.values "
	  "http.request.body.multipart http.request.body.multipart.names http.request.body.multipart.values "
	  "http.request.body.multipart.filenames http.request.body.multipart.content_types "
	  "http.request.body.multipart.content_dispositions "
	  "http.request.body.multipart.content_transfer_encodings http.request.jwt.claims "
	  "http.request.jwt.claims.aud http.request.jwt.claims.aud.names http.request.jwt.claims.aud.values "
	  "http.request.jwt.claims.iss http.request.jwt.claims.sub http.request.jwt.claims.jti "
	  "http.request.jwt.claims.iat.sec http.request.jwt.claims.iat.sec.names "
	  "http.request.jwt.claims.iat.sec.values http.request.jwt.claims.nbf.sec "
	  "http.request.jwt.claims.exp.sec ip.src ip.src.asnum ip.src.country ip.src.continent ip.src.city "
	  "ip.src.lat ip.src.lon ip.src.region ip.src.region_code ip.src.postal_code ip.src.metro_code "
	  "ip.src.timezone.name ip.src.subdivision_1_iso_code ip.src.subdivision_2_iso_code "
	  "ip.src.is_in_european_union ip.geoip.asnum ip.geoip.country ip.geoip.continent "
	  "ip.geoip.subdivision_1_iso_code ip.geoip.subdivision_2_iso_code ip.geoip.is_in_european_union ssl "
	  "cf.tls_version cf.tls_cipher cf.tls_ciphers_sha1 cf.tls_client_extensions_sha1 "
	  "cf.tls_client_extensions_sha1_le cf.tls_client_hello_length cf.tls_client_random "
	  "cf.bot_management.ja3_hash cf.bot_management.ja4 cf.edge.server_ip cf.edge.server_port "
	  "cf.edge.client_port cf.edge.client_tcp cf.ray_id cf.random_seed cf.timings.client_tcp_rtt_msec "
	  "cf.edge.l4.delivery_rate cf.tls_client_auth.cert_presented cf.tls_client_auth.cert_verified "
	  "cf.tls_client_auth.cert_revoked cf.tls_client_auth.cert_ski cf.colo.name cf.colo.region " },
	{ RF_PHASE_CONNECTION,
	  "ip.src ip.dst ip.src.country ip.src.asnum ip.dst.country tcp.srcport tcp.dstport ssl cf.tls_version "
	  "cf.tls_cipher tls.sni tls.alpn tls.ja3 tls.ja4 tls.resumed cf.tls_ciphers_sha1 "
	  "cf.tls_client_hello_length cf.tls_client_random cf.tls_client_auth.cert_verified "
	  "tls.client.cert_subject_dn cf.random_seed cf.ray_id cf.timings.client_tcp_rtt_msec cf.edge.server_ip "
	  "device.known device.id device.name device.class device.model device.firmware device.owner "
	  "device.state device.tags device.ski device.created http.request.timestamp.sec cf.colo.name " },
	{ RF_PHASE_PACKET,
	  "ip ip.src ip.dst ip.src.country ip.dst.country ip.src.asnum ip.proto ip.proto.num ip.len ip.hdr_len "
	  "ip.ttl ip.opt.type icmp icmp.type icmp.code tcp tcp.srcport tcp.dstport tcp.flags tcp.flags.syn "
	  "tcp.flags.ack tcp.flags.fin tcp.flags.reset tcp.flags.push tcp.flags.urg tcp.flags.ecn tcp.flags.cwr "
	  "udp udp.srcport udp.dstport sip cf.colo.name cf.colo.region " },
	{ RF_PHASE_HTTP_RESPONSE,
	  "http.response.code http.response.headers http.response.headers.names http.response.headers.values "
	  "http.response.content_type.media_type cf.timings.origin_ttfb_msec http.request.uri.path http.host "
	  "ip.src ip.src.country device.class http.request.headers cf.timings.client_tcp_rtt_msec " },
};

/* A condition over a field of this type. */
static struct rf_str condition(struct rf_str name, enum rf_type t)
{
	static const char *const forms[RF_TYPE_COUNT] = { [RF_T_BOOL] = "%.*s", [RF_T_INT] = "%.*s eq 1", [RF_T_STR] = "%.*s eq \"x\"",
		[RF_T_IP] = "%.*s eq 192.0.2.1", [RF_T_VERSION] = "%.*s lt \"2\"", [RF_T_A_STR] = "any(%.*s[*] eq \"x\")",
		[RF_T_M_STR] = "%.*s[\"k\"] eq \"x\"", [RF_T_M_A_STR] = "any(%.*s[\"k\"][*] eq \"x\")",
		[RF_T_A_INT] = "any(%.*s[*] eq 1)", [RF_T_A_A_STR] = "any(%.*s[*][*] eq \"x\")",
		[RF_T_M_A_INT] = "any(%.*s[\"k\"][*] eq 1)" };
	const char *form = forms[t];
	size_t mark = (size_t)(strstr(form, "%.*s") - form);
	return rf_arena_printf(&arena, "%.*s%.*s%s", (int)mark, form, RF_ARG(name), form + mark + 4);
}

static void every_documented_field(void **state)
{
	(void)state;
	given("{}");
	for (size_t i = 0; i < sizeof documented / sizeof *documented; i++) {
		struct rf_str rest = rf_str_z(documented[i].names), name;
		while (rf_str_split(&rest, ' ', &name)) {
			bool old;
			int f = name.n ? rf_field_find(name, &old) : -1;
			if (name.n && f < 0)
				fail_msg("%.*s is not there", RF_ARG(name));
			if (name.n)
				(void)holds(documented[i].phase, condition(name, rf_fields[f].type).p);
		}
	}
}

/* What needs something of the operator is refused without, and says what. */
static void what_is_not_there_is_refused(void **state)
{
	(void)state;
	struct rf_rule_env env = { 0 };
	struct rf_expr *x = NULL;
	struct rf_err e;
	for (unsigned f = 0; f < RF_FIELD_COUNT; f++) {
		if (rf_fields[f].need == RF_NEED_NONE)
			continue;
		struct rf_str text = condition(rf_str_z(rf_fields[f].name), rf_fields[f].type);
		assert_int_equal(rf_expr_compile(&env, RF_PHASE_HTTP_REQUEST, text, &x, &e), RF_E_UNSUPPORTED);
		assert_non_null(strstr(e.text, "in the boot file"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(responses, start, stop),
		cmocka_unit_test_setup_teardown(packets, start, stop),
		cmocka_unit_test_setup_teardown(packets_that_are_not, start, stop),
		cmocka_unit_test_setup_teardown(arrays_of_all_shapes, start, stop),
		cmocka_unit_test_setup_teardown(bodies, start, stop),
		cmocka_unit_test_setup_teardown(every_documented_field, start, stop),
		cmocka_unit_test_setup_teardown(what_is_not_there_is_refused, start, stop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
