/* The tool against an API of canned answers: words, tables, requests, errors, exit statuses, help. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "cli/double.h"
#include "cli/explain.h"
#include "cli/record.h"

#define A "0123456789abcdef0123456789abcdef"
#define D1 "11111111111111111111111111111111"
#define D2 "22222222222222222222222222222222"
#define Z1 "33333333333333333333333333333333"
#define P1 "55555555555555555555555555555555"
#define S1 "66666666666666666666666666666666"
#define V4 "/client/v4"
#define PAGE "per_page=1000&page="
#define OK(result) "{\"success\":true,\"errors\":[],\"messages\":[],\"result\":" result "}"
#define MANY(result, page, pages) \
	"{\"success\":true,\"errors\":[],\"messages\":[],\"result\":" result ",\"result_info\":{\"page\":" page \
	",\"per_page\":1000,\"total_pages\":" pages "}}"
#define ACCOUNTS { "GET", V4 "/accounts?*", 200, MANY("[{\"id\":\"" A "\",\"name\":\"home\"}]", "1", "1") }
#define ZONES { "GET", V4 "/zones?*", 200, MANY("[{\"id\":\"" Z1 "\",\"name\":\"example.com\"}]", "1", "1") }
#define END { NULL, NULL, 0, NULL }

static void has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("this should hold \"%s\":\n%s", part, text);
}

static const struct canned devices[] = {
	ACCOUNTS,
	{ "GET", V4 "/accounts/" A "/devices?" PAGE "1", 200,
	  MANY("[{\"id\":\"" D1 "\",\"name\":\"lamp-1\",\"class\":\"lamps\",\"state\":\"active\",\"live\":{\"connections\":2}}]", "1", "2") },
	{ "GET", V4 "/accounts/" A "/devices?" PAGE "2", 200,
	  MANY("[{\"id\":\"" D2 "\",\"name\":\"evil\\u001b[2J\",\"class\":\"lamps\",\"state\":\"revoked\"}]", "2", "2") },
	{ "GET", V4 "/accounts/" A "/devices?search=lamp-1&*", 200,
	  MANY("[{\"id\":\"" D1 "\",\"name\":\"lamp-1\"},{\"id\":\"" D2 "\",\"name\":\"lamp-10\"}]", "1", "1") },
	{ "GET", V4 "/accounts/" A "/devices?search=twin&*", 200,
	  MANY("[{\"id\":\"" D1 "\",\"name\":\"twin\"},{\"id\":\"" D2 "\",\"name\":\"twin\"}]", "1", "1") },
	{ "GET", V4 "/accounts/" A "/devices?search=*", 200, MANY("[]", "1", "1") },
	{ "POST", V4 "/accounts/" A "/devices/" D1 "/revoke", 200, OK("{\"id\":\"" D1 "\",\"name\":\"lamp-1\",\"state\":\"revoked\"}") },
	{ "GET", V4 "/accounts/" A "/devices/" D2, 404,
	  "{\"success\":false,\"errors\":[{\"code\":7003,\"message\":\"there is no such device\"}],\"messages\":[],\"result\":null}" },
	END,
};

static void lists_all_pages(void **state)
{
	(void)state;
	struct api_double d;
	double_start(&d, devices);
	struct ran r = RUN(&d, "device", "list");
	assert_int_equal(r.status, 0);
	has(r.out, "NAME");
	has(r.out, "lamp-1    lamps  active   2            -          " D1 "\n");
	has(r.out, "evil?[2J");
	assert_null(strchr(r.out, 0x1b));
	ran_free(&r);
	r = RUN(&d, "-q", "device", "list");
	assert_string_equal(r.out, D1 "\n" D2 "\n");
	ran_free(&r);
	r = RUN(&d, "device", "list", "-o", "yaml");
	has(r.out, "- id: '" D1 "'");
	ran_free(&r);
	r = RUN(&d, "device", "list", "--json");
	json_t *v = json_loads(r.out, 0, NULL);
	assert_int_equal(json_array_size(v), 2);
	json_decref(v);
	ran_free(&r);
	double_stop(&d);
}

static void resolves_names_exactly(void **state)
{
	(void)state;
	struct api_double d;
	double_start(&d, devices);
	struct ran r = RUN(&d, "device", "revoke", "lamp-1", "--reason", "stolen");
	assert_int_equal(r.status, 0);
	assert_string_equal(r.out, "device lamp-1 revoked (" D1 ")\n");
	assert_string_equal(d.asked[d.count - 1].body, "{\"reason\":\"stolen\"}");
	ran_free(&r);
	r = RUN(&d, "device", "revoke", "twin");
	assert_int_equal(r.status, 1);
	has(r.err, "2 objects are called \"twin\"");
	has(r.err, D2);
	ran_free(&r);
	r = RUN(&d, "device", "revoke", "nobody");
	assert_int_equal(r.status, 3);
	has(r.err, "there is no device \"nobody\"");
	ran_free(&r);
	double_stop(&d);
}

static void tells_what_the_api_refuses(void **state)
{
	(void)state;
	static const struct canned answers[] = {
		ACCOUNTS,
		{ "GET", V4 "/accounts/" A "/devices/" D2, 404,
		  "{\"success\":false,\"errors\":[{\"code\":7003,\"message\":\"there is no such device\"}],\"messages\":[],\"result\":null}" },
		{ "POST", V4 "/accounts/" A "/classes", 400,
		  "{\"success\":false,\"errors\":[{\"code\":20002,\"message\":\"must be at least 1\",\"source\":{\"pointer\":\"/rate/requests\"}},"
		  "{\"code\":20005,\"message\":\"is no class\"}],\"messages\":[],\"result\":null}" },
		END,
	};
	struct api_double d;
	double_start(&d, answers);
	struct ran r = RUN(&d, "device", "show", D2);
	assert_int_equal(r.status, 3);
	assert_string_equal(r.err, "ringfence: there is no such device\n");
	ran_free(&r);
	r = RUN(&d, "class", "add", "lamps", "--rate", "0");
	assert_int_equal(r.status, 1);
	has(r.err, "ringfence: /rate/requests: must be at least 1\n");
	has(r.err, "ringfence: is no class\n");
	assert_string_equal(d.asked[d.count - 1].body, "{\"name\":\"lamps\",\"rate\":{\"requests\":0}}");
	ran_free(&r);
	double_stop(&d);
	r = RUN(&d, "device", "list"); /* nobody answers any more */
	assert_int_equal(r.status, 1);
	has(r.err, "is ringfenced running");
	ran_free(&r);
}

static void writes_a_bundle(void **state)
{
	(void)state;
	static const struct canned answers[] = {
		ACCOUNTS, ZONES,
		{ "GET", V4 "/accounts/" A "/status", 200, OK("{\"listeners\":[{\"address\":\"0.0.0.0:443\",\"protocol\":\"https\"}]}") },
		{ "GET", V4 "/zones/" Z1 "/apps?*", 200, MANY("[{\"id\":\"" P1 "\",\"name\":\"api\",\"hosts\":[\"api.example.com\"]}]", "1", "1") },
		{ "POST", V4 "/accounts/" A "/devices", 200,
		  OK("{\"id\":\"" D1 "\",\"name\":\"lamp/7\",\"bundle\":{\"private_key\":\"KEY\\n\",\"certificate\":\"CERT\\n\",\"ca\":\"CA\\n\"}}") },
		END,
	};
	struct api_double d;
	struct stat st;
	char path[128], out[96];
	double_start(&d, answers);
	snprintf(out, sizeof out, "%s/bundles", d.dir);
	struct ran r = RUN(&d, "device", "add", "lamp/7", "--class", "lamps", "--out", out);
	assert_int_equal(r.status, 0);
	has(r.out, "curl --cert ");
	has(r.out, " --connect-to ::127.0.0.1:443 https://api.example.com/");
	snprintf(path, sizeof path, "%s/lamp_7.key", out);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	ran_free(&r);
	r = RUN(&d, "device", "add", "lamp/7", "--class", "lamps", "--out", out);
	assert_int_equal(r.status, 1); /* a key is never written over */
	has(r.err, "File exists");
	ran_free(&r);
	r = RUN(&d, "device", "add", "lamp/7", "--class", "lamps");
	assert_string_equal(r.out, "KEY\nCERT\nCA\n");
	has(d.asked[d.count - 1].body, "\"issue\":true");
	ran_free(&r);
	static const char *const files[] = { "lamp_7.key", "lamp_7.crt", "ca.crt" };
	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof path, "%s/%s", out, files[i]);
		unlink(path);
	}
	rmdir(out);
	double_stop(&d);
}

static void makes_the_zone_of_an_app(void **state)
{
	(void)state;
	static const struct canned answers[] = {
		ACCOUNTS,
		{ "GET", V4 "/zones?*", 200, MANY("[]", "1", "1") },
		{ "POST", V4 "/zones", 200, OK("{\"id\":\"" Z1 "\",\"name\":\"example.com\"}") },
		{ "POST", V4 "/zones/" Z1 "/apps", 200, OK("{\"id\":\"" P1 "\",\"name\":\"api\"}") },
		END,
	};
	struct api_double d;
	double_start(&d, answers);
	struct ran r = RUN(&d, "app", "add", "api", "--host", "api.example.com", "--origin", "http://127.0.0.1:9000", "--client-auth", "report");
	assert_int_equal(r.status, 0);
	has(r.err, "zone example.com added");
	assert_string_equal(d.asked[1].body, "{\"name\":\"example.com\"}");
	assert_string_equal(d.asked[2].body, "{\"name\":\"api\",\"hosts\":[\"api.example.com\"],\"client_auth\":\"report\","
						 "\"origins\":[{\"url\":\"http://127.0.0.1:9000\"}]}");
	ran_free(&r);
	double_stop(&d);
}

static void changes_an_origin(void **state)
{
	(void)state;
	static const struct canned answers[] = {
		ACCOUNTS, ZONES,
		{ "GET", V4 "/zones/" Z1 "/apps/" P1, 200, OK("{\"id\":\"" P1 "\",\"name\":\"api\",\"origins\":"
			"[{\"url\":\"http://a:1\",\"weight\":1},{\"url\":\"http://b:1\",\"weight\":1}]}") },
		{ "GET", V4 "/zones/" Z1 "/apps?*", 200, MANY("[{\"id\":\"" P1 "\",\"name\":\"api\"}]", "1", "1") },
		{ "PATCH", V4 "/zones/" Z1 "/apps/" P1, 200, OK("{\"id\":\"" P1 "\",\"name\":\"api\"}") },
		END,
	};
	struct api_double d;
	double_start(&d, answers);
	struct ran r = RUN(&d, "origin", "edit", "api", "http://b:1", "--pipeline", "16");
	assert_int_equal(r.status, 0);
	has(r.out, "origin of app api changed");
	assert_string_equal(d.asked[d.count - 1].body, "{\"origins\":[{\"url\":\"http://a:1\",\"weight\":1},"
							"{\"url\":\"http://b:1\",\"weight\":1,\"pipeline\":16}]}");
	ran_free(&r);
	r = RUN(&d, "origin", "edit", "api", "http://c:1", "--pipeline", "16");
	assert_int_not_equal(r.status, 0);
	has(r.err, "has no origin http://c:1");
	ran_free(&r);
	double_stop(&d);
}

static void opens_and_changes_ports(void **state)
{
	(void)state;
	static const struct canned answers[] = {
		ACCOUNTS, ZONES,
		{ "GET", V4 "/zones/" Z1 "/apps?*", 200, MANY("[]", "0", "0") },
		{ "POST", V4 "/zones/" Z1 "/spectrum/apps", 200, OK("{\"id\":\"" P1 "\",\"name\":\"ssh.example.com/tcp/22\"}") },
		{ "GET", V4 "/zones/" Z1 "/spectrum/apps?*", 200,
		  MANY("[{\"id\":\"" P1 "\",\"name\":\"ssh.example.com/tcp/22\",\"protocol\":\"tcp/22\",\"origin_direct\":[\"tcp://192.0.2.1:22\"]}]", "1", "1") },
		{ "PATCH", V4 "/zones/" Z1 "/spectrum/apps/" P1, 200, OK("{\"id\":\"" P1 "\",\"name\":\"ssh.example.com/tcp/22\"}") },
		{ "DELETE", V4 "/zones/" Z1 "/spectrum/apps/" P1, 200, OK("{\"id\":\"" P1 "\"}") },
		END,
	};
	static const char wanted[] = "{\"dns\":{\"name\":\"ssh.example.com\"},\"origin_direct\":[\"tcp://192.0.2.1:22\"],\"protocol\":\"tcp/22\"}";
	struct api_double d;
	double_start(&d, answers);
	struct ran r = RUN(&d, "port", "add", "ssh.example.com", "--protocol", "tcp/22", "--origin", "tcp://192.0.2.1:22");
	assert_int_equal(r.status, 0);
	has(r.out, "port ssh.example.com/tcp/22 opened");
	assert_string_equal(d.asked[d.count - 1].body, wanted);
	ran_free(&r);
	r = RUN(&d, "app", "add", "ssh.example.com", "--protocol", "tcp/22", "--origin", "tcp://192.0.2.1:22");
	assert_int_equal(r.status, 0);
	assert_string_equal(d.asked[d.count - 1].body, wanted);
	ran_free(&r);
	r = RUN(&d, "app", "add", "ssh", "--origin", "tcp://192.0.2.1:22");
	assert_int_equal(r.status, 2);
	has(r.err, "--protocol");
	ran_free(&r);
	r = RUN(&d, "port", "list");
	assert_int_equal(r.status, 0);
	has(r.out, "tcp://192.0.2.1:22");
	ran_free(&r);
	r = RUN(&d, "port", "edit", "ssh.example.com/tcp/22", "--guard", "ssh", "--origin-name", "o.test", "--address", "192.0.2.9");
	assert_int_equal(r.status, 0);
	assert_string_equal(d.asked[d.count - 1].body, "{\"guard\":\"ssh\",\"origin_dns\":{\"name\":\"o.test\"},"
		"\"edge_ips\":{\"type\":\"static\",\"ips\":[\"192.0.2.9\"]}}");
	ran_free(&r);
	r = RUN(&d, "app", "edit", "ssh.example.com/tcp/22", "--guard", "ssh", "--origin", "tcp://192.0.2.2:22", "--set", "health/interval_ms=500", "--set", "ip_firewall=false",
		"--set", "balance=device");
	assert_int_equal(r.status, 0);
	has(r.out, "port ssh.example.com/tcp/22 changed");
	assert_string_equal(d.asked[d.count - 1].body, "{\"guard\":\"ssh\",\"health\":{\"interval_ms\":500},\"ip_firewall\":false,\"balance\":\"device\","
		"\"origin_direct\":[\"tcp://192.0.2.2:22\"]}");
	ran_free(&r);
	r = RUN(&d, "app", "edit", "ssh.example.com/tcp/22", "--max-body", "5");
	assert_int_equal(r.status, 2);
	has(r.err, "--max-body is of apps of hosts");
	ran_free(&r);
	r = RUN(&d, "app", "list");
	assert_int_equal(r.status, 0);
	has(r.out, "tcp://192.0.2.1:22");
	ran_free(&r);
	r = RUN(&d, "app", "delete", "nobody");
	assert_int_equal(r.status, 3);
	has(r.err, "there is no app \"nobody\"");
	ran_free(&r);
	for (int i = 0; i < 2; i++) {
		r = RUN(&d, i ? "app" : "port", "delete", "ssh.example.com/tcp/22");
		assert_int_equal(r.status, 0);
		has(r.out, "closed");
		ran_free(&r);
	}
	double_stop(&d);
}

static const struct canned rules[] = {
	ACCOUNTS, ZONES,
	{ "GET", V4 "/accounts/" A "/rulesets?*", 200, MANY("[{\"id\":\"" S1 "\",\"phase\":\"http_request\"}]", "1", "1") },
	{ "GET", V4 "/zones/" Z1 "/rulesets?*", 200, MANY("[]", "1", "1") },
	{ "GET", V4 "/accounts/" A "/rulesets/" S1, 200,
	  OK("{\"id\":\"" S1 "\",\"phase\":\"http_request\",\"rules\":[{\"id\":\"r1\",\"ref\":\"stop\",\"action\":\"block\",\"enabled\":true,"
	     "\"expression\":\"true\",\"description\":\"\"}]}") },
	{ "GET", V4 "/accounts/" A "/rulesets/phases/http_request/entrypoint", 200, OK("{\"id\":\"" S1 "\",\"phase\":\"http_request\",\"rules\":[]}") },
	{ "GET", V4 "/zones/" Z1 "/rulesets/phases/connection/entrypoint", 404, "{\"success\":false,\"errors\":[{\"code\":7003,\"message\":\"none\"}]}" },
	{ "PUT", V4 "/zones/" Z1 "/rulesets/phases/connection/entrypoint", 200, OK("{\"id\":\"" S1 "\",\"rules\":[{\"id\":\"r9\",\"ref\":\"x\"}]}") },
	{ "POST", V4 "/accounts/" A "/rulesets/" S1 "/rules", 200, OK("{\"id\":\"" S1 "\",\"rules\":[{\"id\":\"r2\",\"ref\":\"new\"}]}") },
	{ "PATCH", V4 "/accounts/" A "/rulesets/" S1 "/rules/r1", 200, OK("{\"id\":\"" S1 "\",\"rules\":[{\"id\":\"r1\",\"ref\":\"stop\"}]}") },
	{ "GET", V4 "/accounts/" A "/rulesets/phases/http_ratelimit/entrypoint", 200, OK("{\"id\":\"" S1 "\",\"rules\":[]}") },
	{ "GET", V4 "/accounts/" A "/rulesets/phases/http_request_dynamic_redirect/entrypoint", 200, OK("{\"id\":\"" S1 "\",\"rules\":[]}") },
	{ "GET", V4 "/accounts/" A "/rulesets/phases/http_custom_errors/entrypoint", 200, OK("{\"id\":\"" S1 "\",\"rules\":[]}") },
	{ "DELETE", V4 "/accounts/" A "/rulesets/" S1 "/rules/r1", 200, OK("{\"id\":\"" S1 "\",\"rules\":[]}") },
	END,
};

static void changes_rules(void **state)
{
	(void)state;
	struct api_double d;
	double_start(&d, rules);
	struct ran r = RUN(&d, "rule", "list");
	has(r.out, "account  http_request  stop  block   yes      true");
	ran_free(&r);
	r = RUN(&d, "rule", "add", "true", "--action", "block", "--status", "410", "--body", "{}");
	assert_int_equal(r.status, 0);
	assert_string_equal(r.out, "rule new in force (r2)\n");
	assert_string_equal(d.asked[d.count - 1].body,
		"{\"expression\":\"true\",\"action\":\"block\",\"action_parameters\":{\"response\":{\"status_code\":410,"
		"\"content\":\"{}\",\"content_type\":\"application/json\"}}}");
	ran_free(&r);
	r = RUN(&d, "rule", "add", "true", "--action", "log", "--zone", "example.com", "--phase", "connection");
	assert_int_equal(r.status, 0); /* the entry point is made */
	assert_string_equal(d.asked[d.count - 1].body, "{\"rules\":[{\"expression\":\"true\",\"action\":\"log\"}]}");
	ran_free(&r);
	r = RUN(&d, "rule", "limit", "ssl", "100/60", "--by", "http.host", "--by", "ip.src", "--hold", "600", "--status", "420");
	assert_int_equal(r.status, 0);
	assert_string_equal(d.asked[d.count - 1].body,
		"{\"expression\":\"ssl\",\"action_parameters\":{\"response\":{\"status_code\":420,\"content\":\"\",\"content_type\":\"text/plain\"}},"
		"\"ratelimit\":{\"requests_per_period\":100,\"period\":60,\"characteristics\":[\"http.host\",\"ip.src\"],"
		"\"mitigation_timeout\":600},\"action\":\"rate_limit\"}");
	ran_free(&r);
	r = RUN(&d, "rule", "limit", "ssl", "100");
	assert_int_equal(r.status, 2);
	has(r.err, "100/60");
	ran_free(&r);
	r = RUN(&d, "rule", "redirect", "ssl", "/new", "--status", "308", "--keep-query");
	assert_int_equal(r.status, 0);
	assert_string_equal(d.asked[d.count - 1].body,
		"{\"expression\":\"ssl\",\"action\":\"redirect\",\"action_parameters\":{\"from_value\":{\"target_url\":{\"value\":\"/new\"},"
		"\"preserve_query_string\":true,\"status_code\":308}}}");
	ran_free(&r);
	r = RUN(&d, "rule", "add", "http.response.code ge 500", "--action", "serve_error", "--body", "later");
	assert_int_equal(r.status, 0);
	assert_string_equal(d.asked[d.count - 1].body, "{\"expression\":\"http.response.code ge 500\",\"action\":\"serve_error\","
		"\"action_parameters\":{\"content\":\"later\",\"content_type\":\"text/plain\"}}");
	ran_free(&r);
	r = RUN(&d, "rule", "disable", "stop");
	assert_string_equal(d.asked[d.count - 1].body, "{\"enabled\":false}");
	assert_string_equal(r.out, "rule stop disabled (r1)\n");
	ran_free(&r);
	r = RUN(&d, "rule", "delete", "stop");
	assert_string_equal(r.out, "rule stop deleted (r1)\n");
	ran_free(&r);
	r = RUN(&d, "rule", "delete", "stopp");
	assert_int_equal(r.status, 3);
	ran_free(&r);
	double_stop(&d);
}

static void follows_records(void **state)
{
	(void)state;
	static const struct canned answers[] = {
		ACCOUNTS,
		{ "GET", V4 "/accounts/" A "/records?limit=10&action=block", 200,
		  OK("[{\"ID\":8,\"Action\":\"block\",\"Datetime\":\"2026-11-21T12:00:02Z\",\"DeviceName\":\"lamp\\u0007\",\"Method\":\"GET\","
		     "\"Host\":\"h\",\"Path\":\"/x\",\"Status\":403,\"Reason\":\"a rule\",\"PolicyName\":\"stop\"},"
		     "{\"ID\":7,\"Action\":\"allow\",\"Datetime\":\"2026-11-21T12:00:01Z\",\"SourceIP\":\"::1\"}]") },
		{ "GET", V4 "/accounts/" A "/records?limit=1000&action=block&since=8", 200,
		  OK("[{\"ID\":9,\"Action\":\"error\",\"Datetime\":\"2026-11-21T12:00:03Z\"},{\"ID\":8,\"Action\":\"block\"}]") },
		END,
	};
	struct api_double d;
	double_start(&d, answers);
	struct ran r = RUN(&d, "record", "tail", "--action", "block");
	assert_int_equal(r.status, 0);
	assert_string_equal(r.out, "12:00:01 ALLOW ::1\n12:00:02 BLOCK lamp? GET h/x -> 403 a rule | rule stop\n12:00:03 ERROR -\n");
	ran_free(&r);
	double_stop(&d);
}

static void follows_attacks(void **state)
{
	(void)state;
	static const struct canned answers[] = {
		ACCOUNTS,
		{ "GET", V4 "/accounts/" A "/records?limit=10&type=attack", 200,
		  OK("[{\"ID\":8,\"Action\":\"block\",\"Datetime\":\"2026-11-21T12:00:02Z\",\"Host\":\"h\",\"AttackID\":\"a\",\"AttackEvent\":\"signature\","
		     "\"AttackVector\":\"http_flood\",\"AttackRate\":3059,\"Reason\":\"http.cookie eq \\\"c\\\"\"},"
		     "{\"ID\":7,\"Action\":\"log\",\"Datetime\":\"2026-11-21T12:00:01Z\",\"DestinationIP\":\"192.0.2.1\",\"DestinationPort\":53,"
		     "\"AttackEvent\":\"start\",\"AttackVector\":\"udp_flood\",\"DeviceID\":\"d1\"}]") },
		{ "GET", V4 "/accounts/" A "/records?limit=1000&type=attack&since=8", 200, OK("[]") },
		END,
	};
	struct api_double d;
	double_start(&d, answers);
	struct ran r = RUN(&d, "attack", "watch");
	assert_int_equal(r.status, 0);
	assert_string_equal(r.out, "12:00:01 LOG   d1 udp_flood on 192.0.2.1 port 53 start\n"
		"12:00:02 BLOCK http_flood on h signature, 3059 a second: http.cookie eq \"c\"\n");
	ran_free(&r);
	double_stop(&d);
}

static void refuses_wrong_words(void **state)
{
	(void)state;
	struct api_double d;
	double_start(&d, devices);
	static const struct { const char *args[5], *says; } table[] = {
		{ { "devcie", "list" }, "did you mean device?" },
		{ { "device", "lsit" }, "did you mean list?" },
		{ { "device" }, "wants a verb" },
		{ { "device", "list", "--clas", "x" }, "did you mean --class?" },
		{ { "device", "list", "--class" }, "wants a value" },
		{ { "device", "show" }, "DEVICE is missing" },
		{ { "device", "show", "a", "b" }, "one argument too many" },
		{ { "device", "add", "x" }, "--class is missing" },
		{ { "device", "list", "-o", "xml" }, "table, json or yaml" },
		{ { "device", "list", "--quiet=1" }, "takes no value" },
		{ { "device", "list", "--class=a", "--class=b" }, "given twice" },
		{ { "class", "add", "x", "--rate=many" }, "whole number" },
		{ { "--url", "http://x", "device", "list" }, "https://" },
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct ran r = double_run(&d, table[i].args);
		assert_int_equal(r.status, 2);
		has(r.err, table[i].says);
		assert_string_equal(r.out, "");
		ran_free(&r);
	}
	assert_int_equal(d.count, 1); /* only --rate=many came as far as asking for the account */
	double_stop(&d);
}

static void fits(const char *noun, const char *verb)
{
	char *text = NULL;
	size_t n, lines = 0;
	FILE *f = open_memstream(&text, &n);
	cli_help(f, noun, verb);
	fclose(f);
	struct rf_str rest = { text, n }, line;
	while (rf_str_split(&rest, '\n', &line)) {
		lines++;
		if (cli_columns(line) > 80)
			fail_msg("a line of the help of %s %s is wider than 80: %.*s", noun ? noun : "", verb ? verb : "", RF_ARG(line));
	}
	if (lines > 25) /* the last is empty */
		fail_msg("the help of %s %s has %zu lines", noun ? noun : "", verb ? verb : "", lines);
	free(text);
}

static void help_fits_a_screen(void **state)
{
	(void)state;
	fits(NULL, NULL);
	for (size_t i = 0; i < cli_noun_count; i++)
		fits(cli_nouns[i].name, NULL);
	for (size_t i = 0; i < cli_command_count; i++) {
		fits(cli_commands[i].noun, cli_commands[i].verb[0] ? cli_commands[i].verb : NULL);
		assert_non_null(cli_commands[i].example);
		assert_non_null(cli_commands[i].run);
	}
}

/* Every example of the table is a command line that is taken. */
static void examples_are_right(void **state)
{
	(void)state;
	for (size_t i = 0; i < cli_command_count; i++) {
		struct rf_str rest = rf_str_z(cli_commands[i].example), line;
		while (rf_str_split(&rest, '\n', &line)) {
			char text[256], *argv[32], *p = text;
			int argc = 0;
			snprintf(text, sizeof text, "%.*s", (int)rf_str_find(line, '>'), line.p);
			char *at = strstr(text, "ringfence ");
			assert_non_null(at);
			if (strchr(at, '|'))
				*strchr(at, '|') = '\0';
			for (p = at; *p && argc < 32;) {
				char quote = *p == '\'' ? '\'' : ' ';
				if (quote == '\'')
					p++;
				argv[argc++] = p;
				p += strcspn(p, (char[]){ quote, 0 });
				while (*p && (*p == quote || *p == ' '))
					*p++ = '\0';
			}
			struct cli c = { 0 };
			const char *noun;
			if (cli_args(&c, argc, argv, &noun) != RF_OK)
				fail_msg("the example \"%.*s\" is not taken: %s", RF_ARG(line), c.e.text);
		}
	}
}

static void completes(void **state)
{
	(void)state;
	struct api_double d;
	double_start(&d, devices);
	static const char *const shells[] = { "bash", "zsh", "fish" };
	for (size_t i = 0; i < 3; i++) {
		struct ran r = RUN(&d, "completion", shells[i]);
		assert_int_equal(r.status, 0);
		has(r.out, "quarantine");
		has(r.out, i == 2 ? "-l first-sight" : "--first-sight");
		ran_free(&r);
	}
	struct ran r = RUN(&d, "completion", "tcsh");
	assert_int_equal(r.status, 2);
	ran_free(&r);
	double_stop(&d);
}

static void reads_requests_and_times(void **state)
{
	(void)state;
	struct rf_err e;
	int64_t s;
	json_t *q = json_object();
	assert_int_equal(cli_request_parse("POST https://h.example/a?b=1", q, &e), RF_OK);
	assert_string_equal(json_string_value(json_object_get(q, "method")), "POST");
	assert_string_equal(json_string_value(json_object_get(q, "host")), "h.example");
	assert_string_equal(json_string_value(json_object_get(q, "path")), "/a?b=1");
	assert_int_equal(cli_request_parse("http://h", q, &e), RF_OK);
	assert_string_equal(json_string_value(json_object_get(q, "path")), "/");
	assert_int_equal(cli_request_parse("GET /a", q, &e), RF_E_SYNTAX);
	assert_int_equal(cli_request_parse("GET https:///a", q, &e), RF_E_SYNTAX);
	json_decref(q);
	assert_int_equal(cli_since("15m", 1000000, &s), RF_OK);
	assert_int_equal(s, 1000000 - 900);
	assert_int_equal(cli_since("1970-01-01T00:01:00Z", 0, &s), RF_OK);
	assert_int_equal(s, 60);
	assert_int_equal(cli_since("soon", 0, &s), RF_E_SYNTAX);
}

#define LIST "44444444444444444444444444444444"

/* Lines of both forms as one body; what the operation says in the end is the end of the command. */
static void pushes_a_file_as_one_change(void **s)
{
	(void)s;
	static const struct canned good[] = {
		ACCOUNTS,
		{ "GET", V4 "/accounts/" A "/rules/lists?*", 200, MANY("[{\"id\":\"" LIST "\",\"name\":\"hosts\",\"kind\":\"hostname\"}]", "1", "1") },
		{ "GET", V4 "/accounts/" A "/rules/lists/" LIST, 200, OK("{\"id\":\"" LIST "\",\"name\":\"hosts\",\"kind\":\"hostname\"}") },
		{ "PUT", V4 "/accounts/" A "/rules/lists/" LIST "/items", 200, OK("{\"operation_id\":\"" LIST "\"}") },
		{ "POST", V4 "/accounts/" A "/rules/lists/" LIST "/items", 200, OK("{\"operation_id\":\"" A "\"}") },
		{ "GET", V4 "/accounts/" A "/rules/lists/bulk_operations/" LIST, 200, OK("{\"id\":\"" LIST "\",\"status\":\"completed\"}") },
		{ "GET", V4 "/accounts/" A "/rules/lists/bulk_operations/" A, 200, OK("{\"status\":\"failed\",\"error\":\"/7: the disk is full\"}") },
		{ NULL, NULL, 0, NULL },
	};
	struct api_double d;
	char path[] = "/tmp/rf-push-XXXXXX";
	int fd = mkstemp(path);
	static const char lines[] = "# hosts\nexample.com,\"one, two\"\r\n\n+.both.example\n{\"hostname\":{\"url_hostname\":\"*.x\"},\"comment\":\"c\"}\n";
	assert_int_equal(write(fd, lines, sizeof lines - 1), sizeof lines - 1);
	double_start(&d, good);
	struct ran r = RUN(&d, "list", "push", "hosts", path, "--replace");
	assert_string_equal(r.err, "");
	assert_string_equal(r.out, "3 entries are in force in list hosts\n");
	assert_string_equal(d.asked[d.count - 2].body, "[{\"hostname\":{\"url_hostname\":\"example.com\"},\"comment\":\"one, two\"},"
			    "{\"hostname\":{\"url_hostname\":\"*.both.example\",\"exclude_exact_hostname\":false}},"
			    "{\"hostname\":{\"url_hostname\":\"*.x\"},\"comment\":\"c\"}]");
	ran_free(&r);
	r = RUN(&d, "list", "push", "hosts", path);
	assert_int_not_equal(r.status, 0);
	has(r.err, "/7: the disk is full");
	ran_free(&r);
	assert_int_equal(write(fd, "a..b\n", 5), 5);
	size_t before = d.count;
	r = RUN(&d, "list", "push", "hosts", path);
	has(r.err, ":6:1: `a..b` is not a host name");
	assert_int_equal(r.status, 1);
	for (size_t i = before; i < d.count; i++)
		assert_string_equal(d.asked[i].method, "GET");
	ran_free(&r);
	double_stop(&d);
	close(fd);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_all_pages), cmocka_unit_test(resolves_names_exactly), cmocka_unit_test(tells_what_the_api_refuses),
		cmocka_unit_test(writes_a_bundle), cmocka_unit_test(makes_the_zone_of_an_app), cmocka_unit_test(opens_and_changes_ports), cmocka_unit_test(changes_an_origin), cmocka_unit_test(changes_rules),
		cmocka_unit_test(follows_records), cmocka_unit_test(follows_attacks), cmocka_unit_test(refuses_wrong_words), cmocka_unit_test(help_fits_a_screen),
		cmocka_unit_test(examples_are_right), cmocka_unit_test(completes), cmocka_unit_test(pushes_a_file_as_one_change), cmocka_unit_test(reads_requests_and_times),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
