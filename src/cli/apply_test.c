/* apply and export against an API of canned answers: what is asked for, what is not, and in which order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>
#include "cli/double.h"

#define A "0123456789abcdef0123456789abcdef"
#define C1 "11111111111111111111111111111111"
#define D1 "22222222222222222222222222222222"
#define Z1 "33333333333333333333333333333333"
#define L1 "44444444444444444444444444444444"
#define P2 "88888888888888888888888888888888"
#define P1 "55555555555555555555555555555555"
#define S1 "66666666666666666666666666666666"
#define I1 "77777777777777777777777777777777"
#define V4 "/client/v4"
#define AC V4 "/accounts/" A
#define OK(result) "{\"success\":true,\"errors\":[],\"messages\":[],\"result\":" result "}"
#define MANY(result) "{\"success\":true,\"errors\":[],\"messages\":[],\"result\":" result ",\"result_info\":{\"page\":1,\"per_page\":1000,\"total_pages\":1}}"
#define CLASS "{\"id\":\"" C1 "\",\"name\":\"lamps\",\"description\":\"\",\"bind\":\"ski\",\"roots\":[],\"max_connections\":4,\"created_on\":\"2026-01-01T00:00:00Z\"}"
#define RULE "{\"id\":\"r1\",\"ref\":\"stop\",\"version\":\"1\",\"last_updated\":\"2026-01-01T00:00:00Z\",\"enabled\":true,\"description\":\"\"," \
	"\"action\":\"block\",\"expression\":\"http.request.uri.path contains \\\"/x\\\"\"}"

static const struct canned state[] = {
	{ "GET", V4 "/accounts?*", 200, MANY("[{\"id\":\"" A "\",\"name\":\"home\"}]") },
	{ "GET", AC "/rules/lists?*", 200, MANY("[{\"id\":\"" L1 "\",\"name\":\"office\",\"kind\":\"ip\",\"num_items\":1}]") },
	{ "GET", AC "/rules/lists/" L1 "/items?*", 200, MANY("[{\"id\":\"" I1 "\",\"ip\":\"192.0.2.1\",\"created_on\":\"2026-01-01T00:00:00Z\"}]") },
	{ "GET", AC "/mtls_certificates?*", 200, MANY("[]") },
	{ "GET", AC "/classes?*", 200, MANY("[" CLASS "]") },
	{ "GET", AC "/devices?*", 200, MANY("[{\"id\":\"" D1 "\",\"name\":\"lamp-1\",\"class\":\"lamps\",\"class_id\":\"" C1 "\",\"state\":\"active\"}]") },
	{ "GET", AC "/devices/" D1 "/credentials?*", 200, MANY("[{\"id\":\"" I1 "\",\"kind\":\"ski\",\"value\":\"AB\",\"root_id\":\"\"}]") },
	{ "GET", AC "/patches?*", 200, MANY("[]") },
	{ "GET", V4 "/zones?*", 200, MANY("[{\"id\":\"" Z1 "\",\"name\":\"example.com\",\"account\":{\"id\":\"" A "\"},\"type\":\"full\",\"paused\":false}]") },
	{ "GET", V4 "/zones/" Z1 "/apps?*", 200,
	  MANY("[{\"id\":\"" P1 "\",\"zone_id\":\"" Z1 "\",\"name\":\"api\",\"hosts\":[\"api.example.com\"],"
	       "\"origins\":[{\"url\":\"http://127.0.0.1:9000\",\"verify\":true,\"weight\":1}],\"client_auth\":\"enforce\"}]") },
	{ "GET", V4 "/zones/" Z1 "/spectrum/apps?*", 200,
	  MANY("[{\"id\":\"" P2 "\",\"name\":\"ssh.example.com/tcp/22\",\"protocol\":\"tcp/22\",\"dns\":{\"type\":\"ADDRESS\",\"name\":\"ssh.example.com\"},"
	       "\"origin_direct\":[\"tcp://192.0.2.1:22\"],\"tls\":\"off\",\"guard\":\"ssh\",\"edge_ips\":{\"type\":\"dynamic\",\"connectivity\":\"all\"}}]") },
	{ "GET", AC "/firewall/access_rules/rules?*", 200,
	  MANY("[{\"id\":\"" I1 "\",\"mode\":\"block\",\"configuration\":{\"target\":\"ip\",\"value\":\"192.0.2.9\"},\"notes\":\"\"}]") },
	{ "GET", V4 "/zones/" Z1 "/firewall/access_rules/rules?*", 200, MANY("[]") },
	{ "GET", V4 "/zones/" Z1 "/rulesets?*", 200, MANY("[]") },
	{ "GET", AC "/rulesets?*", 200, MANY("[{\"id\":\"" S1 "\",\"phase\":\"http_request\",\"kind\":\"root\"}]") },
	{ "GET", AC "/rulesets/" S1, 200, OK("{\"id\":\"" S1 "\",\"phase\":\"http_request\",\"rules\":[" RULE "]}") },
	{ "GET", AC "/batch", 200, OK("{\"revision\":5}") },
	{ "POST", "*", 200, OK("{\"id\":\"99999999999999999999999999999999\"}") },
	{ "PUT", "*", 200, OK("{\"id\":\"" S1 "\"}") },
	{ "PATCH", "*", 200, OK("{\"id\":\"" C1 "\"}") },
	{ "DELETE", "*", 200, OK("null") },
	{ NULL, NULL, 0, NULL },
};

static const char *file_of(const char *text)
{
	static char path[64];
	snprintf(path, sizeof path, "/tmp/rf-apply-XXXXXX");
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	return path;
}

static size_t writes(const struct api_double *d)
{
	size_t n = 0;
	for (size_t i = 0; i < d->count; i++)
		n += strcmp(d->asked[i].method, "GET") != 0;
	return n;
}

static const struct asked *asked(const struct api_double *d, const char *method, const char *target)
{
	for (size_t i = 0; i < d->count; i++)
		if (strcmp(d->asked[i].method, method) == 0 && strcmp(d->asked[i].target, target) == 0)
			return &d->asked[i];
	fail_msg("%s %s was not asked", method, target);
	return &d->asked[0];
}

static void has(const char *text, const char *part)
{
	if (!text || !strstr(text, part))
		fail_msg("this should hold \"%s\":\n%s", part, text ? text : "(nothing)");
}

static void export_changes_nothing(void **s)
{
	(void)s;
	struct api_double d;
	double_start(&d, state);
	struct ran r = RUN(&d, "export");
	assert_int_equal(r.status, 0);
	has(r.out, "- name: lamps\n  max_connections: 4\n");
	has(r.out, "    - url: http://127.0.0.1:9000\n");
	has(r.out, "  - ref: stop\n");
	has(r.out, "  - '192.0.2.1'\n");
	has(r.out, "value: '192.0.2.9'\n");
	assert_null(strstr(r.out, A));
	const char *path = file_of(r.out);
	ran_free(&r);
	double_stop(&d);
	double_start(&d, state);
	r = RUN(&d, "apply", path, "--prune");
	assert_string_equal(r.err, "");
	assert_string_equal(r.out, "0 changes made\n");
	assert_int_equal(r.status, 0);
	assert_int_equal(writes(&d), 0);
	ran_free(&r);
	double_stop(&d);
	unlink(path);
}

static const char fleet[] =
	"lists:\n- name: office\n  kind: ip\n  items: [192.0.2.1, 198.51.100.0/24]\n"
	"classes:\n- name: lamps\n  max_connections: 8\n- name: pumps\n"
	"devices:\n- name: pump-1\n  class: pumps\n  credentials:\n  - {kind: ski, value: CD}\n"
	"zones:\n- name: example.com\n  apps:\n  - name: api\n    hosts: [api.example.com]\n    origins: [{url: 'http://127.0.0.1:9001'}]\n"
	"  ports:\n  - {name: ssh.example.com/tcp/22, guard: none}\n  - name: coap\n    protocol: udp/5683\n    dns: {name: coap.example.com}\n"
	"    origin_direct: ['udp://192.0.2.1:5683']\n"
	"rules:\n  http_request:\n  - {ref: stop, expression: 'http.request.uri.path contains \"/x\"', action: block}\n"
	"  - {ref: office, expression: 'not ip.src in $office', action: log}\n"
	"tests:\n- {name: x is stopped, request: {host: api.example.com, path: /x}, expect: {action: block, rule: stop}}\n";

static void applies_what_differs(void **s)
{
	(void)s;
	struct api_double d;
	const char *path = file_of(fleet);
	double_start(&d, state);
	struct ran r = RUN(&d, "apply", "-f", path);
	assert_string_equal(r.err, "");
	assert_int_equal(r.status, 0);
	assert_string_equal(r.out,
		"~ list office: 1 entries more, 0 fewer\n~ class lamps: max_connections\n+ class pumps\n+ device pump-1\n"
		"~ app api: origins\n~ port ssh.example.com/tcp/22: guard\n+ port coap\n+ rule of account, http_request, office\n8 changes made\n");
	assert_int_equal(writes(&d), 1); /* all in one */
	const char *batch = asked(&d, "POST", AC "/batch")->body;
	has(batch, "\"revision\":5");
	has(batch, "{\"method\":\"PATCH\",\"path\":\"" AC "/classes/" C1 "\",\"body\":{\"name\":\"lamps\",\"max_connections\":8}}");
	has(batch, "\"credentials\":[{\"kind\":\"ski\",\"value\":\"CD\"}]");
	has(batch, "\"path\":\"" AC "/rules/lists/" L1 "/items\",\"body\":[{\"ip\":\"198.51.100.0/24\"}]}");
	has(batch, "\"path\":\"" AC "/rulesets/phases/http_request/entrypoint\"");
	has(batch, "\"id\":\"r1\"");
	ran_free(&r);
	double_stop(&d);
	double_start(&d, state);
	r = RUN(&d, "apply", "-f", path, "--dry-run", "--prune");
	has(r.out, "- device lamp-1\n");
	has(r.out, "9 changes would be made\n");
	assert_int_equal(writes(&d), 1);
	asked(&d, "POST", AC "/batch?dry_run=true");
	ran_free(&r);
	double_stop(&d);
	unlink(path);
}

static void refuses_a_file_that_breaks_a_test(void **s)
{
	(void)s;
	struct api_double d;
	const char *path = file_of("rules:\n  http_request:\n  - {ref: stop, expression: 'http.request.uri.path contains \"/y\"', action: block}\n"
		"tests:\n- {name: x is stopped, request: {host: h, path: /x}, expect: {action: block}}\n"
		"- {name: z passes, request: {host: h, path: /z}, expect: {action: pass}}\n");
	double_start(&d, state);
	struct ran r = RUN(&d, "apply", "-f", path);
	assert_int_equal(r.status, 1);
	has(r.err, "FAILED x is stopped: it should be blocked, but no rule stopped it");
	has(r.err, "1 of 2 tests of rules fail with this file; nothing was changed");
	assert_int_equal(writes(&d), 0);
	ran_free(&r);
	double_stop(&d);
	unlink(path);
}

static void refuses_wrong_files_and_says_where(void **s)
{
	(void)s;
	static const struct { const char *file, *says; } table[] = {
		{ "clases: []\n", "unknown section \"clases\"; did you mean \"classes\"?" },
		{ "classes:\n- nmae: x\n", "/classes/0/nmae: unknown member \"nmae\"; did you mean \"name\"?" },
		{ "classes:\n- name: x\n  id: y\n", "/classes/0/id: is computed" },
		{ "classes: {name: x}\n", "/classes: must be a sequence" },
		{ "classes: [{name: x}, {name: x}]\n", "/classes/1: the class x is there already" },
		{ "devices: [{class: x}]\n", "/devices/0: a device of a file needs a name" },
		{ "rules: {http_request: [{expression: 'http.hots eq \"a\"', action: block}]}\n", "did you mean" },
		{ "rules: {htp_request: [{expression: 'true', action: block}]}\n", "/rules/htp_request" },
		{ "a: [\n", ":2:1: " },
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct api_double d;
		const char *path = file_of(table[i].file);
		double_start(&d, state);
		struct ran r = RUN(&d, "apply", "-f", path);
		assert_int_equal(r.status, 1);
		has(r.err, table[i].says);
		assert_int_equal(writes(&d), 0);
		ran_free(&r);
		double_stop(&d);
		unlink(path);
	}
}

static void tests_rules_without_a_daemon(void **s)
{
	(void)s;
	struct api_double d;
	char rules[64];
	snprintf(rules, sizeof rules, "%s", file_of(fleet));
	double_start(&d, state);
	struct ran r = RUN(&d, "rule", "test", rules, "--rules", rules);
	assert_string_equal(r.out, "1 of 1 tests of rules passed\n");
	assert_int_equal(r.status, 0);
	ran_free(&r);
	const char *tests = file_of("- {name: y, request: {path: /y}, expect: {action: block}}\n");
	r = RUN(&d, "rule", "test", tests, "--rules", rules);
	assert_int_equal(r.status, 1);
	has(r.err, "FAILED y: it should be blocked");
	ran_free(&r);
	unlink(tests);
	r = RUN(&d, "rule", "lint", "http.host eq \"a\" and http.hots eq \"b\"");
	assert_int_equal(r.status, 1);
	has(r.err, "1:22: ");
	ran_free(&r);
	r = RUN(&d, "rule", "lint", "ip.src in $office and ssl"); /* which lists there are, only the daemon knows */
	assert_int_equal(r.status, 0);
	ran_free(&r);
	r = RUN(&d, "rule", "lint", "http.host eq \"a\"");
	assert_int_equal(r.status, 0);
	ran_free(&r);
	assert_int_equal(d.count, 0);
	double_stop(&d);
	unlink(rules);
}

/* Over the rules in force the tests go to the zones of their hosts. */
static void tests_rules_in_force_by_zone(void **s)
{
	(void)s;
	static const struct canned answers[] = {
		{ "GET", V4 "/accounts?*", 200, MANY("[{\"id\":\"" A "\",\"name\":\"home\"}]") },
		{ "GET", V4 "/zones?*", 200, MANY("[{\"id\":\"" S1 "\",\"name\":\"com\"},{\"id\":\"" Z1 "\",\"name\":\"example.com\"}]") },
		{ "POST", AC "/rules/test", 200,
		  OK("{\"passed\":1,\"failed\":1,\"tests\":[{\"name\":\"a\",\"passed\":true,\"why\":\"\"},{\"name\":\"b\",\"passed\":false,\"why\":\"no\"}]}") },
		{ NULL, NULL, 0, NULL },
	};
	struct api_double d;
	const char *path = file_of("tests:\n- {name: a, request: {host: api.example.com}, expect: {action: pass}}\n"
		"- {name: b, request: {host: elsewhere.org}, expect: {action: pass}}\n");
	double_start(&d, answers);
	struct ran r = RUN(&d, "rule", "test", path);
	assert_int_equal(r.status, 1);
	assert_string_equal(r.out, "2 of 4 tests of rules passed\n");
	has(r.err, "FAILED b: no");
	has(d.asked[2].body, "\"zone_id\":\"" Z1 "\"");
	assert_null(strstr(d.asked[3].body, "zone_id"));
	ran_free(&r);
	double_stop(&d);
	unlink(path);
}

#define E1 "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"
#define WAITS(left) OK("{\"results\":[],\"revision\":9,\"apply\":{\"id\":\"" E1 "\",\"state\":\"pending\",\"seconds_left\":" left "}}")

/* What is typed, and what follows from it. */
static void asks_whether_to_keep_the_changes(void **s)
{
	(void)s;
	static const struct { const char *typed, *left, *asked, *out, *err; int status; } table[] = {
		{ NULL, WAITS("60"), NULL, "1 change made\n", "taken back in 60 s, unless you confirm it: ringfence apply confirm " E1, 0 },
		{ "y\n", WAITS("60"), AC "/applies/" E1 "/confirm", "is kept", NULL, 0 },
		{ "n\n", WAITS("60"), AC "/applies/" E1 "/rollback", "is taken back", NULL, 0 },
		{ "\n", WAITS("60"), AC "/applies/" E1 "/rollback", "is taken back", NULL, 0 },
		{ "", WAITS("60"), AC "/applies/" E1 "/rollback", "is taken back", NULL, 0 },
		{ "", WAITS("0"), NULL, "", "nobody confirmed apply " E1 ": the edge takes it back", 1 },
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct canned answers[sizeof state / sizeof *state + 1] = { { "POST", AC "/batch", 200, table[i].left } };
		memcpy(answers + 1, state, sizeof state);
		struct api_double d;
		const char *path = file_of("classes: [{name: pumps}]\n");
		double_start(&d, answers);
		d.typed = table[i].typed;
		struct ran r = RUN(&d, "apply", "-f", path, "--confirm", "60");
		assert_int_equal(r.status, table[i].status);
		has(r.out, table[i].out);
		if (table[i].err)
			has(r.err, table[i].err);
		if (table[i].typed && strcmp(table[i].left, table[1].left) == 0)
			has(r.out, "Keep these changes? [y/N] (60 s left) ");
		has(asked(&d, "POST", AC "/batch")->body, "\"confirm\":60");
		assert_int_equal(writes(&d), table[i].asked ? 2 : 1);
		if (table[i].asked)
			asked(&d, "POST", table[i].asked);
		ran_free(&r);
		double_stop(&d);
		unlink(path);
	}
}

static void says_what_could_not_be_confirmed(void **s)
{
	(void)s;
	struct canned answers[sizeof state / sizeof *state + 2] = {
		{ "POST", AC "/batch", 200, WAITS("60") },
		{ "POST", AC "/applies/*", 409, "{\"success\":false,\"errors\":[{\"code\":1,\"message\":\"it is over\"}],\"messages\":[],\"result\":null}" } };
	memcpy(answers + 2, state, sizeof state);
	struct api_double d;
	const char *path = file_of("classes: [{name: pumps}]\n");
	double_start(&d, answers);
	d.typed = "y\n";
	struct ran r = RUN(&d, "apply", path, "--confirm", "60");
	assert_int_equal(r.status, 1);
	has(r.err, "could not be confirmed; without a confirmation the edge takes it back by itself");
	has(r.err, "it is over");
	ran_free(&r);
	double_stop(&d);
	unlink(path);
}

static void ends_what_waits(void **s)
{
	(void)s;
	static const struct canned one[] = {
		{ "GET", V4 "/accounts?*", 200, MANY("[{\"id\":\"" A "\",\"name\":\"home\"}]") },
		{ "GET", AC "/applies?state=pending", 200, MANY("[{\"id\":\"" E1 "\",\"state\":\"pending\",\"seconds_left\":7}]") },
		{ "POST", AC "/applies/" E1 "/*", 200, OK("{\"id\":\"" E1 "\",\"state\":\"rolled_back\",\"left\":[{\"kind\":\"devices\",\"id\":\"" D1
		  "\",\"name\":\"lamp-1\",\"what\":\"changed in between\"}]}") }, { NULL, NULL, 0, NULL } };
	static const struct canned none[] = {
		{ "GET", V4 "/accounts?*", 200, MANY("[{\"id\":\"" A "\",\"name\":\"home\"}]") }, { "GET", AC "/applies?state=pending", 200, MANY("[]") }, { NULL, NULL, 0, NULL } };
	struct api_double d;
	double_start(&d, one);
	struct ran r = RUN(&d, "apply", "rollback");
	assert_int_equal(r.status, 0);
	has(r.out, "is taken back");
	has(r.err, "devices lamp-1 (" D1 ") was changed in between");
	ran_free(&r);
	r = RUN(&d, "apply", "pending");
	has(r.out, E1);
	has(r.out, "7");
	ran_free(&r);
	r = RUN(&d, "apply", "confirm", D1);
	assert_int_equal(r.status, 1); /* the double knows no such */
	ran_free(&r);
	double_stop(&d);
	double_start(&d, none);
	r = RUN(&d, "apply", "confirm");
	assert_int_equal(r.status, 3);
	has(r.err, "nothing waits to be confirmed");
	ran_free(&r);
	r = RUN(&d, "apply", "pending");
	has(r.out, "nothing waits");
	ran_free(&r);
	double_stop(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(export_changes_nothing), cmocka_unit_test(applies_what_differs),
		cmocka_unit_test(refuses_a_file_that_breaks_a_test), cmocka_unit_test(refuses_wrong_files_and_says_where),
		cmocka_unit_test(tests_rules_without_a_daemon), cmocka_unit_test(tests_rules_in_force_by_zone),
		cmocka_unit_test(asks_whether_to_keep_the_changes), cmocka_unit_test(says_what_could_not_be_confirmed),
		cmocka_unit_test(ends_what_waits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
