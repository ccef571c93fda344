/* The boot file: values, places of errors, files beside it, and a dump that reads back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/stat.h>
#include <cmocka.h>
#include "base/clock.h"
#include "ctl/boot.h"

static struct rf_boot *parse(const char *text)
{
	struct rf_boot *b = NULL;
	struct rf_err e = { 0 };
	char line[900];
	if (rf_boot_parse(rf_str_z(text), "boot.yaml", &b, &e) != RF_OK)
		fail_msg("%s", rf_err_str(&e, line, sizeof line));
	return b;
}

static void values(void **state)
{
	(void)state;
	struct rf_boot *b = parse(
		"workers: 3\n"
		"shutdown: {drain: 1m30s}\n"
		"records: {file: log/records.jsonl, stdout: json}\n"
		"limits:\n  body_bytes: 2GB\n  connections: 500\n"
		"ca: {base_url: \"http://ca.example/\"}\n"
		"listeners:\n"
		"- address: 0.0.0.0:443\n"
		"- name: plain\n  address: '[::1]:80'\n  protocol: http\n  proxy_protocol: yes\n"
		"  trusted_proxies: [10.0.0.0/8, 2001:db8::/32]\n"
		"- address: 127.0.0.1:9443\n  tls:\n    min_version: 1.1\n  trusted_proxies: 192.0.2.1\n");
	assert_int_equal(b->workers, 3);
	assert_int_equal(b->drain_timeout, 90 * RF_NS_S);
	assert_string_equal(b->records_file, "./log/records.jsonl");
	assert_int_equal(b->records_stdout, RF_STDOUT_JSON);
	assert_int_equal(b->limits_body_bytes, 2ull << 30);
	assert_int_equal(b->timeout_idle, 75 * RF_NS_S);
	assert_string_equal(b->store_file, "/var/lib/ringfence/state.db");
	assert_string_equal(b->api_socket, "/run/ringfence/api.sock");
	assert_int_equal(b->listener_count, 3);
	assert_string_equal(b->listeners[0].name, "0.0.0.0:443");
	assert_int_equal(b->listeners[0].min_version, RF_BOOT_TLS_1_2);
	assert_int_equal(b->listeners[0].backlog, 4096);
	assert_int_equal(b->listeners[1].protocol, RF_PROTO_HTTP);
	assert_int_equal(b->listeners[1].address.ip.family, 6);
	assert_true(b->listeners[1].proxy_protocol);
	assert_int_equal(b->listeners[1].trusted.n, 2);
	assert_int_equal(b->listeners[1].trusted.v[1].bits, 32);
	assert_int_equal(b->listeners[2].trusted.n, 1);
	assert_int_equal(b->warning_count, 1); /* the TLS version */
	assert_non_null(strstr(b->warnings[0], "127.0.0.1:9443 accepts TLS below 1.2"));
	rf_boot_free(b);
}

#define ONE "listeners: [{address: '127.0.0.1:1'}]\n"

static const struct {
	const char *text;
	int code;
	unsigned line, column;
	const char *says;
} wrong[] = {
	{ "", RF_E_MISSING, 1, 1, "no listeners" },
	{ "workrs: 2\n", RF_E_UNKNOWN, 1, 1, "unknown setting \"workrs\", did you mean \"workers\"?" },
	{ "workers: 1\nlistners: []\n", RF_E_UNKNOWN, 2, 1, "did you mean \"listeners\"?" },
	{ ONE "limits:\n  conections: 2\n", RF_E_UNKNOWN, 3, 3, "\"conections\" in limits, did you mean \"connections\"?" },
	{ "listeners:\n- adress: 1.2.3.4:5\n", RF_E_UNKNOWN, 2, 3, "did you mean \"address\"?" },
	{ "listeners:\n- address: 1.2.3.4:5\n  tls: {min_versoin: 1.2}\n", RF_E_UNKNOWN, 3, 9, "in tls, did you mean \"min_version\"?" },
	{ "tls.key: x\n", RF_E_UNKNOWN, 1, 1, "unknown setting" },
	{ "workers: many\n", RF_E_TYPE, 1, 10, "workers must be a number such as 100, not \"many\"" },
	{ "workers: -1\n", RF_E_TYPE, 1, 10, "must be a number" },
	{ "workers: 129\n", RF_E_RANGE, 1, 10, "between 0 and 128, not 129" },
	{ "workers: 99999999999999999999\n", RF_E_TYPE, 1, 10, "number" },
	{ "workers: [1]\n", RF_E_TYPE, 1, 10, "workers takes one value, not a list" },
	{ "workers: {a: 1}\n", RF_E_TYPE, 1, 10, "not a group of settings" },
	{ "limits: 5\n", RF_E_TYPE, 1, 9, "limits is a group of settings, not a value" },
	{ "timeouts:\n  header: 10\n", RF_E_TYPE, 2, 11, "a duration such as 10s" },
	{ "timeouts:\n  header: 10 s\n", RF_E_TYPE, 2, 11, "a duration" },
	{ "timeouts:\n  header: 1ms\n", RF_E_RANGE, 2, 11, "between 100ms and 10m" },
	{ "limits: {body_bytes: 5XB}\n", RF_E_TYPE, 1, 22, "a size such as 256MB" },
	{ "limits: {body_bytes: 99999999999999TB}\n", RF_E_TYPE, 1, 22, "a size" },
	{ "records: {stdout: loud}\n", RF_E_TYPE, 1, 19, "one of auto|off|json|human, not \"loud\"" },
	{ "workers: 1\nuser: a\nworkers: 2\n", RF_E_EXISTS, 3, 1, "\"workers\" is set already, in line 1" },
	{ "limits: {body_bytes: 1GB}\nlimits: {headers: 9}\n", RF_E_EXISTS, 2, 1, "\"limits\" is set already" },
	{ "listeners:\n- address: 0.0.0.0\n", RF_E_TYPE, 2, 12, "an address and a port" },
	{ "listeners:\n- address: 0.0.0.0:70000\n", RF_E_RANGE, 2, 12, "a port between 1 and 65535" },
	{ "listeners:\n- address: ::1:443\n", RF_E_TYPE, 2, 12, "\"[::]:443\"" },
	{ "listeners:\n- address: '[1.2.3.4]:443'\n", RF_E_TYPE, 2, 12, "an address and a port" },
	{ "listeners:\n- name: x\n", RF_E_MISSING, 2, 3, "has no address" },
	{ "listeners:\n- 443\n", RF_E_TYPE, 2, 3, "an entry of listeners" },
	{ "listeners: 443\n", RF_E_TYPE, 1, 12, "listeners must be a list" },
	{ ONE "listeners: []\n", RF_E_EXISTS, 2, 1, "\"listeners\" is set already" },
	{ "listeners:\n- address: 1.2.3.4:5\n- address: 1.2.3.4:5\n", RF_E_EXISTS, 3, 12, "has this address already (line 2)" },
	{ "listeners:\n- {name: a, address: 1.2.3.4:5}\n- {name: a, address: 1.2.3.4:6}\n", RF_E_EXISTS, 3, 3, "called a already" },
	{ "listeners:\n- address: 127.0.0.1:8443\n", RF_E_EXISTS, 2, 12, "api.listen has this address" },
	{ "listeners:\n- address: 1.2.3.4:5\n  proxy_protocol: true\n", RF_E_MISSING, 3, 19, "needs trusted_proxies" },
	{ "listeners:\n- address: 1.2.3.4:5\n  proxy_protocol: maybe\n", RF_E_TYPE, 3, 19, "true or false" },
	{ "listeners:\n- address: 1.2.3.4:5\n  trusted_proxies: [10.0.0.1/8]\n", RF_E_TYPE, 3, 21, "zero host bits" },
	{ "listeners:\n- address: 1.2.3.4:5\n  trusted_proxies: [[]]\n", RF_E_TYPE, 3, 21, "a list of networks" },
	{ "listeners:\n- address: 1.2.3.4:5\n  tls: {key: k}\n", RF_E_MISSING, 2, 3, "belong together" },
	{ "listeners:\n- address: 1.2.3.4:5\n  protocol: http\n  tls: {key: k, certificate: c}\n", RF_E_INVALID, 4, 30, "no use" },
	{ ONE "api:\n  certificate: a\n", RF_E_MISSING, 3, 16, "api.certificate and api.key belong together" },
	{ ONE "records: {syslog: tcp}\n", RF_E_TYPE, 2, 19, "unix:/dev/log" },
	{ ONE "ca: {intermediate_key: /k.pem}\n", RF_E_TYPE, 2, 24, "pkcs11:" },
	{ ONE "shield: {reflection_ports: \"19:1900:70000\"}\n", RF_E_RANGE, 2, 28, "\"70000\", which is no port" },
	{ ONE "fleet: {ports: \"23:telnet\"}\n", RF_E_RANGE, 2, 16, "\"telnet\", which is no port" },
	{ ONE "fleet: {networks: \"10.0.0.0/8 10.0.0.1/8\"}\n", RF_E_RANGE, 2, 19, "\"10.0.0.1/8\", which is no network" },
	{ ONE "shield: {reflection_ports: dns}\n", RF_E_RANGE, 2, 28, "\"dns\", which is no port" },
	{ ONE "shield: {without: \"btf:ringbuffer\"}\n", RF_E_RANGE, 2, 19, "\"ringbuffer\", which is nothing that is used of a kernel" },
	{ ONE "shield: {source_rate: 100000001}\n", RF_E_RANGE, 2, 23, "100000000" },
	{ "user: ${RF_TEST_ABSENT}\n", RF_E_MISSING, 1, 7, "the environment has no RF_TEST_ABSENT" },
	{ "user: ${RF_TEST\n", RF_E_SYNTAX, 1, 7, "closing brace" },
	{ "user: ${}\n", RF_E_SYNTAX, 1, 7, "names no variable" },
	{ "user: *x\n", RF_E_UNSUPPORTED, 1, 7, "aliases" },
	{ "a: &a [x]\nb: [*a, *a]\n", RF_E_UNKNOWN, 1, 1, "unknown setting \"a\"" },
	{ "user: \"a\\0b\"\n", RF_E_TYPE, 1, 7, "NUL" },
	{ "user: \"x\n", RF_E_SYNTAX, 2, 1, "not YAML" },
	{ "user: a\n\tb: c\n", RF_E_SYNTAX, 2, 1, "not YAML" },
	{ "user: a\nrun_dir: \xff\n", RF_E_SYNTAX, 2, 10, "not YAML" },
	{ "--- \nuser: a\n--- \nuser: b\n", RF_E_SYNTAX, 3, 1, "one YAML document" },
	{ "- a\n", RF_E_TYPE, 1, 1, "consists of settings" },
	{ "hello\n", RF_E_TYPE, 1, 1, "consists of settings" },
	{ "{[a]: b}\n", RF_E_TYPE, 1, 2, "name must be a word" },
};

static void errors_name_their_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct rf_boot *b = (void *)&wrong;
		struct rf_err e = { 0 };
		int r = rf_boot_parse(rf_str_z(wrong[i].text), "boot.yaml", &b, &e);
		if (r != wrong[i].code || e.line != wrong[i].line || e.column != wrong[i].column || !strstr(e.text, wrong[i].says) ||
		    strcmp(e.file, "boot.yaml") != 0)
			fail_msg("%s\n-> %s at %s:%u:%u: %s", wrong[i].text, rf_code_name(r), e.file, e.line, e.column, e.text);
		assert_ptr_equal(b, &wrong); /* untouched */
	}
}

static void environment(void **state)
{
	(void)state;
	setenv("RF_TEST_USER", "alice", 1);
	struct rf_boot *b = parse(ONE "user: x-${RF_TEST_USER}-${RF_TEST_ABSENT:-none}-$${y}\nworkers: ${RF_TEST_ABSENT:-2}\n");
	assert_string_equal(b->user, "x-alice-none-${y}");
	assert_int_equal(b->workers, 2);
	rf_boot_free(b);
}

static void dump_reads_back(void **state)
{
	(void)state;
	struct rf_boot *b = parse("user: 'a\"b$${c}'\ntimeouts: {header: 1500ms, min_rate: 1KB}\nlimits: {body_bytes: 1536MB}\n"
				  "listeners:\n- {address: '[::]:1', trusted_proxies: [10.0.0.0/8], tls: {min_version: 1.3}}\n"
				  "- {address: '1.2.3.4:5', protocol: http}\n");
	RF_BUF_AUTO first = { 0 };
	RF_BUF_AUTO second = { 0 };
	rf_boot_dump(b, &first);
	assert_non_null(strstr(rf_buf_z(&first), "timeouts:\n  handshake: 10s  # default\n  header: 1500ms  # boot.yaml:2\n"));
	assert_non_null(strstr(rf_buf_z(&first), "    tls:\n      min_version: \"1.3\"  # boot.yaml:5\n"));
	struct rf_boot *again = parse(rf_buf_z(&first));
	assert_string_equal(again->user, b->user);
	assert_int_equal(again->limits_body_bytes, b->limits_body_bytes);
	rf_boot_dump(again, &second);
	RF_BUF_AUTO changed = { 0 };
	rf_boot_restart_needed(b, again, &changed);
	assert_int_equal(changed.n, 0);
	again->workers++;
	again->timeout_idle++; /* live: not named */
	rf_boot_restart_needed(b, again, &changed);
	assert_string_equal(rf_buf_z(&changed), "workers");
	rf_boot_free(again);
	rf_boot_free(b);
}

static void manual_has_every_setting(void **state)
{
	(void)state;
	RF_BUF_AUTO out = { 0 };
	rf_boot_manual(&out);
	assert_non_null(strstr(rf_buf_z(&out), "- `workers`: worker threads (0: one a processor). From 0 to 128. Default `0`."));
	assert_non_null(strstr(rf_buf_z(&out), "- `listeners[].protocol`: "));
}

/* A directory of its own for files. */
static char dir[64];

static void put(const char *name, const char *text)
{
	char path[256];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int make_dir(void **state)
{
	(void)state;
	char path[256];
	strcpy(dir, "/tmp/rf-boot-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof path, "%s/conf.d", dir);
	return mkdir(path, 0700);
}

static int drop_dir(void **state)
{
	(void)state;
	char command[256];
	snprintf(command, sizeof command, "rm -r '%s'", dir);
	return system(command);
}

static int load(const char *name, struct rf_boot **ret, struct rf_err *e)
{
	char path[256];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	return rf_boot_load(path, ret, e);
}

static void files_in_order(void **state)
{
	(void)state;
	struct rf_boot *b;
	struct rf_err e = { 0 };
	char want[256];
	put("rf.yaml", ONE "workers: 1\nuser: main\norigin_ca: roots.pem\ninclude: [extra.inc, none-*.inc]\n");
	put("roots.pem", "x");
	put("extra.inc", "user: extra\nlisteners: [{address: '127.0.0.1:2'}]\n");
	put("conf.d/20-b.yaml", "workers: 20\n");
	put("conf.d/10-a.conf", "workers: 10\nstore: {file: s.db}\n");
	put("conf.d/30-c.yaml.bak", "nonsense: 1\n");
	assert_int_equal(load("rf.yaml", &b, &e), RF_OK);
	assert_int_equal(b->workers, 20);
	assert_string_equal(b->user, "extra");
	assert_int_equal(b->listener_count, 2);
	snprintf(want, sizeof want, "%s/conf.d/s.db", dir);
	assert_string_equal(b->store_file, want);
	snprintf(want, sizeof want, "%s/roots.pem", dir);
	assert_string_equal(b->system_ca, want);
	rf_boot_free(b);
}

static void files_that_are_wrong(void **state)
{
	(void)state;
	struct rf_boot *b = NULL;
	struct rf_err e = { 0 };
	assert_int_equal(load("absent.yaml", &b, &e), RF_E_NOT_FOUND);
	put("rf.yaml", ONE "api:\n  key: gone.pem\n");
	assert_int_equal(load("rf.yaml", &b, &e), RF_E_NOT_FOUND);
	assert_true(e.line == 3 && e.column == 8 && strstr(e.text, "gone.pem cannot be read"));
	put("rf.yaml", ONE "include: gone.inc\n");
	assert_int_equal(load("rf.yaml", &b, &e), RF_E_NOT_FOUND);
	assert_true(e.line == 2 && e.column == 10);
	put("rf.yaml", ONE "include: rf.yaml\n");
	assert_int_equal(load("rf.yaml", &b, &e), RF_E_TOO_LARGE);
	put("rf.yaml", ONE);
	put("conf.d/x.yaml", "\nworkers: no\n");
	assert_int_equal(load("rf.yaml", &b, &e), RF_E_TYPE);
	assert_true(e.line == 2 && strstr(e.file, "/conf.d/x.yaml"));
	put("conf.d/x.yaml", "\n");
	assert_int_equal(load("conf.d", &b, &e), RF_E_TYPE); /* a directory */
	char *large = malloc(2 << 20);
	memset(large, '#', (2 << 20) - 1);
	large[(2 << 20) - 1] = 0;
	put("rf.yaml", large);
	free(large);
	assert_int_equal(load("rf.yaml", &b, &e), RF_E_TOO_LARGE);
	assert_null(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values),
		cmocka_unit_test(errors_name_their_place),
		cmocka_unit_test(environment),
		cmocka_unit_test(dump_reads_back),
		cmocka_unit_test(manual_has_every_setting),
		cmocka_unit_test_setup_teardown(files_in_order, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(files_that_are_wrong, make_dir, drop_dir),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
