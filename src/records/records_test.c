/* Records: through a ring, past a full one, to sinks that work and that fail; exact lines; filters; operational lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "records/counters.h"
#include "records/format.h"
#include "records/writer.h"

static struct rf_record sample(void)
{
	struct rf_record r = { .kind = RF_REC_REQUEST };
	r.at = 1795294201ll * (int64_t)RF_NS_S + 123456000;
	r.action = RF_STR("block");
	r.layer = RF_STR("tls");
	r.reason = RF_STR("the client certificate is revoked");
	r.device = RF_STR("d1");
	r.device_name = RF_STR("lamp-7");
	r.src = (struct rf_ip){ 4, { 192, 0, 2, 1 } };
	r.src_port = 5555;
	r.host = RF_STR("shop.example");
	r.method = RF_STR("POST");
	r.path = RF_STR("/login");
	r.status = 403;
	return r;
}

static const char json[] = "{\"Type\":\"request\",\"Datetime\":\"2026-11-21T20:50:01.123456Z\",\"Action\":\"block\",\"Layer\":\"tls\","
	"\"Reason\":\"the client certificate is revoked\",\"DeviceID\":\"d1\",\"DeviceName\":\"lamp-7\",\"SourceIP\":\"192.0.2.1\","
	"\"SourcePort\":5555,\"Host\":\"shop.example\",\"Method\":\"POST\",\"Path\":\"/login\",\"Status\":403}";

static void exact_lines(void **state)
{
	(void)state;
	struct rf_record r = sample();
	RF_BUF_AUTO out = { 0 };
	rf_record_json(&out, &r, 0);
	assert_string_equal(rf_buf_z(&out), json);
	rf_buf_clear(&out);
	rf_record_human(&out, &r, false);
	assert_string_equal(rf_buf_z(&out), "20:50:01 BLOCK lamp-7 POST shop.example/login -> 403: the client certificate is revoked");
	r = (struct rf_record){ .kind = RF_REC_CONNECTION, .at = r.at, .action = RF_STR("allow"), .src = r.src, .sni = RF_STR("a.b") };
	rf_buf_clear(&out);
	rf_record_human(&out, &r, true);
	assert_string_equal(rf_buf_z(&out), "20:50:01 \033[32mallow\033[0m 192.0.2.1 (no device) connection to a.b");
	r = (struct rf_record){ .kind = RF_REC_CONNECTION, .event = RF_STR("connect") };
	rf_buf_clear(&out);
	rf_record_json(&out, &r, 9);
	assert_non_null(strstr(rf_buf_z(&out), "\"Status\":0"));
	r = (struct rf_record){ .kind = RF_REC_EVENT };
	rf_buf_clear(&out);
	rf_record_json(&out, &r, 9);
	assert_string_equal(rf_buf_z(&out), "{\"ID\":9,\"Type\":\"event\",\"Action\":\"\"}");
}

static void hostile_bytes_do_not_reach_a_terminal(void **state)
{
	(void)state;
	struct rf_record r = sample();
	r.path = RF_STR("/\033[2J\r\n\x7f\xc2\x9b" "31m\xc3\xa9");
	RF_BUF_AUTO out = { 0 };
	rf_record_human(&out, &r, false);
	assert_non_null(strstr(rf_buf_z(&out), "/?[2J????\x9b" "31m\xc3\xa9")); /* 0x9b alone is not UTF-8, and no control */
	assert_null(strpbrk(rf_buf_z(&out), "\033\r\n\x7f"));
	rf_buf_clear(&out);
	rf_record_json(&out, &r, 0);
	assert_null(strpbrk(rf_buf_z(&out), "\033\r\n"));
}

static void ring_keeps_order_and_every_field(void **state)
{
	(void)state;
	struct rf_ring *ring = rf_ring_new(1, NULL);
	struct rf_record r = sample(), got;
	char path[64];
	uint64_t next = 0;
	for (uint64_t i = 0; i < 20000; i++) { /* many times around */
		snprintf(path, sizeof path, "/%0*llu", (int)(i % 40), (unsigned long long)i);
		r.path = rf_str_z(path);
		r.bytes_in = i + 1;
		assert_true(rf_record_emit(ring, &r));
		if (i % 3 == 0)
			continue;
		for (; rf_ring_peek(ring, &got); next++, rf_ring_pop(ring)) {
			assert_int_equal(got.bytes_in, next + 1);
			assert_true(rf_str_eq(got.reason, r.reason) && got.at == r.at && rf_ip_eq(&got.src, &r.src) && got.kind == r.kind);
		}
	}
	while (rf_ring_peek(ring, &got))
		rf_ring_pop(ring), next++;
	assert_int_equal(next, 20000);
	rf_ring_free(ring);
}

static void full_ring_drops_and_counts(void **state)
{
	(void)state;
	struct rf_ring *ring = rf_ring_new(1, NULL);
	struct rf_record r = sample(), got;
	uint64_t before = rf_counter_sum(RF_C_RECORDS_DROPPED), in = 0, out = 0;
	while (rf_record_emit(ring, &r))
		in++;
	assert_true(in > 100);
	assert_false(rf_record_emit(ring, &r));
	assert_int_equal(rf_counter_sum(RF_C_RECORDS_DROPPED) - before, 2);
	for (; rf_ring_peek(ring, &got); out++)
		rf_ring_pop(ring);
	assert_int_equal(in, out);
	assert_true(rf_record_emit(ring, &r)); /* room again */
	rf_ring_free(ring);
}

static void long_strings_are_cut(void **state)
{
	(void)state;
	struct rf_ring *ring = rf_ring_new(1, NULL);
	struct rf_record r = sample(), got;
	static char path[70000];
	memset(path, 'x', sizeof path);
	r.path = (struct rf_str){ path, sizeof path };
	assert_true(rf_record_emit(ring, &r));
	assert_true(rf_ring_peek(ring, &got));
	assert_int_equal(got.path.n, RF_RECORD_STR_MAX);
	assert_true(rf_str_ends(got.path, RF_STR("x...")));
	rf_ring_free(ring);
}

enum { MANY = 50000 };
static void *produce(void *arg)
{
	struct rf_record r = sample();
	for (uint64_t i = 1; i <= MANY;) {
		r.bytes_in = i;
		i += rf_record_emit(arg, &r);
	}
	return NULL;
}

static void two_threads(void **state)
{
	(void)state;
	struct rf_ring *ring = rf_ring_new(1, NULL);
	struct rf_record got;
	pthread_t t;
	pthread_create(&t, NULL, produce, ring);
	for (uint64_t next = 1; next <= MANY;)
		if (rf_ring_peek(ring, &got)) {
			assert_int_equal(got.bytes_in, next++);
			assert_true(rf_str_eq(got.host, RF_STR("shop.example")));
			rf_ring_pop(ring);
		}
	pthread_join(t, NULL);
	rf_ring_free(ring);
}

static void collect(void *arg, uint64_t id, const struct rf_record *rec)
{
	rf_buf_printf(arg, "%llu%.*s ", (unsigned long long)id, RF_ARG(rec->device));
}

static void recent_filters(void **state)
{
	(void)state;
	struct rf_recent *recent = rf_recent_new(4);
	const char *names[] = { "a", "b", "a", "b", "a", "c" };
	for (size_t i = 0; i < 6; i++) {
		struct rf_record r = { .kind = i < 5 ? RF_REC_REQUEST : RF_REC_EVENT, .device = rf_str_z(names[i]), .host = RF_STR("Big.Example"),
				       .action = i % 2 ? RF_STR("block") : RF_STR("allow") };
		assert_int_equal(rf_recent_add(recent, &r), i + 1);
	}
	const struct { struct rf_recent_filter f; const char *ids; uint64_t last; } rows[] = {
		{ { .kind = -1 }, "3a 4b 5a 6c ", 6 },
		{ { .kind = -1, .since = 4 }, "5a 6c ", 6 },
		{ { .kind = -1, .before = 5 }, "3a 4b ", 4 },
		{ { .kind = -1, .since = 6 }, "", 6 },
		{ { .kind = -1, .since = 900 }, "", 6 },
		{ { .kind = -1, .limit = 2 }, "3a 4b ", 4 },
		{ { .kind = -1, .limit = 2, .newest = true }, "5a 6c ", 6 },
		{ { .kind = -1, .limit = 1, .newest = true, .device = RF_STR("a") }, "5a ", 6 },
		{ { .kind = -1, .device = RF_STR("a") }, "3a 5a ", 6 },
		{ { .kind = -1, .action = RF_STR("block") }, "4b 6c ", 6 },
		{ { .kind = RF_REC_EVENT }, "6c ", 6 },
		{ { .kind = -1, .host = RF_STR("big.example") }, "3a 4b 5a 6c ", 6 },
		{ { .kind = -1, .host = RF_STR("other") }, "", 6 },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		RF_BUF_AUTO ids = { 0 };
		uint64_t last = rf_recent_read(recent, &rows[i].f, collect, &ids);
		assert_string_equal(rf_buf_z(&ids), rows[i].ids);
		if (!rows[i].f.limit || !rows[i].f.newest)
			assert_int_equal(last, rows[i].last);
	}
	rf_recent_free(recent);
}

/* --- the writer --- */

static char dir[64];

static int make_dir(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/rf-records-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int drop_dir(void **state)
{
	(void)state;
	char command[128];
	snprintf(command, sizeof command, "rm -r '%s'", dir);
	return system(command);
}

static const char *path_of(const char *name)
{
	static char path[2][128];
	static int i;
	i = !i;
	snprintf(path[i], sizeof path[i], "%s/%s", dir, name);
	return path[i];
}

static void assert_file(const char *name, const char *want)
{
	static char text[65536];
	FILE *f = fopen(path_of(name), "r");
	assert_non_null(f);
	text[fread(text, 1, sizeof text - 1, f)] = 0;
	fclose(f);
	assert_string_equal(text, want);
}

static uint64_t fake_now;
static uint64_t fake_mono(void *ctx) { (void)ctx; return fake_now; }
static int64_t fake_wall(void *ctx) { (void)ctx; return 0; }

static struct rf_writer *writer(const char *file, const char *syslog, int out, int mode)
{
	struct rf_writer *w = NULL;
	struct rf_err e;
	struct rf_writer_conf c = { .file = file, .stdout_mode = mode, .syslog = syslog, .log_file = "", .recent = 10, .rings = 2,
				    .clock = { fake_mono, fake_wall, NULL }, .stdout_fd = out, .stderr_fd = 2 };
	if (rf_writer_new(&c, &w, &e) != RF_OK)
		fail_msg("%s", e.text);
	return w;
}

static void emit(struct rf_writer *w, size_t ring)
{
	struct rf_record r = sample();
	assert_true(rf_record_emit(rf_writer_ring(w, ring), &r));
}

static void all_sinks(void **state)
{
	(void)state;
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char where[160], got[1024] = "", want[1200];
	snprintf(a.sun_path, sizeof a.sun_path, "%s/log", dir);
	int log = socket(AF_UNIX, SOCK_DGRAM, 0), out = open(path_of("out"), O_WRONLY | O_CREAT, 0600);
	assert_int_equal(bind(log, (struct sockaddr *)&a, sizeof a), 0);
	snprintf(where, sizeof where, "unix:%s", a.sun_path);
	struct rf_writer *w = writer(path_of("r.jsonl"), where, out, RF_WRITER_HUMAN);
	emit(w, 0);
	emit(w, 1);
	assert_int_equal(rf_writer_turn(w), 2);
	assert_int_equal(rf_writer_turn(w), 0);
	snprintf(want, sizeof want, "%s\n%s\n", json, json);
	assert_file("r.jsonl", want);
	const char *human = "20:50:01 BLOCK lamp-7 POST shop.example/login -> 403: the client certificate is revoked\n";
	snprintf(want, sizeof want, "%s%s", human, human);
	assert_file("out", want);
	assert_true(recv(log, got, sizeof got - 1, 0) > 0);
	assert_memory_equal(got, "<28>1 2026-11-21T20:50:01.123456Z ", 34);
	assert_true(rf_str_ends(rf_str_z(got), rf_str_z(json)));
	rename(path_of("r.jsonl"), path_of("r.1")); /* logrotate */
	rf_writer_reopen(w);
	emit(w, 0);
	rf_writer_turn(w);
	snprintf(want, sizeof want, "%s\n", json);
	assert_file("r.jsonl", want);
	struct rf_recent_filter f = { .kind = -1 };
	RF_BUF_AUTO ids = { 0 };
	rf_recent_read(rf_writer_recent(w), &f, collect, &ids);
	assert_string_equal(rf_buf_z(&ids), "1d1 2d1 3d1 ");
	rf_writer_free(w);
	close(log);
	close(out);
}

static void failing_sink_harms_no_other(void **state)
{
	(void)state;
	char want[1200];
	int full = open("/dev/full", O_WRONLY);
	uint64_t before = rf_counter_sum(RF_C_SINK_STDOUT_BAD);
	struct rf_writer *w = writer(path_of("r.jsonl"), "", full, RF_WRITER_JSON);
	emit(w, 0);
	rf_writer_turn(w);
	emit(w, 0);
	emit(w, 1);
	rf_writer_turn(w);
	assert_int_equal(rf_counter_sum(RF_C_SINK_STDOUT_BAD) - before, 3);
	snprintf(want, sizeof want, "%s\n%s\n%s\n", json, json, json);
	assert_file("r.jsonl", want);
	rf_writer_free(w);
	close(full);
}

static void stalled_reader_of_stdout(void **state)
{
	(void)state;
	int p[2];
	uint64_t before = rf_counter_sum(RF_C_SINK_STDOUT_BAD);
	assert_int_equal(pipe(p), 0);
	fcntl(p[1], F_SETPIPE_SZ, 4096);
	struct rf_writer *w = writer(path_of("r.jsonl"), "", p[1], RF_WRITER_JSON);
	for (int i = 0; i < 100; i++) /* far more than the pipe holds; nobody reads */
		emit(w, 0);
	assert_int_equal(rf_writer_turn(w), 100);
	assert_true(rf_counter_sum(RF_C_SINK_STDOUT_BAD) > before);
	rf_writer_free(w);
	close(p[0]);
	close(p[1]);
}

static void absent_directory_is_an_error(void **state)
{
	(void)state;
	struct rf_writer *w = (void *)&w;
	struct rf_err e;
	struct rf_writer_conf c = { .file = "/nonexistent/r.jsonl", .syslog = "", .log_file = "", .rings = 1, .clock = rf_clock_system,
				    .stdout_fd = -1, .stderr_fd = 2 };
	assert_int_equal(rf_writer_new(&c, &w, &e), RF_E_IO);
	assert_ptr_equal(w, &w);
	c.file = "";
	c.syslog = "udp:nowhere";
	assert_int_equal(rf_writer_new(&c, &w, &e), RF_E_IO);
}

static void thread_and_log(void **state)
{
	(void)state;
	struct rf_err e;
	struct rf_writer *w = NULL;
	char text[8192];
	struct rf_writer_conf c = { .file = "", .syslog = "", .log_file = path_of("op.jsonl"), .recent = 10, .rings = 1,
				    .clock = rf_clock_system, .stdout_fd = -1, .stdout_mode = RF_WRITER_OFF, .stderr_fd = 2 };
	assert_int_equal(rf_writer_new(&c, &w, &e), RF_OK);
	assert_int_equal(rf_writer_start(w, &e), RF_OK);
	rf_log(RF_LOG_WARN, "crl", "the list of %s\nis old", "\"x\"");
	rf_log(RF_LOG_DEBUG, "crl", "not shown");
	rf_log_level("crl", RF_LOG_DEBUG);
	rf_log(RF_LOG_DEBUG, "crl", "shown");
	emit(w, 0);
	rf_writer_free(w); /* writes what is left */
	FILE *f = fopen(path_of("op.jsonl"), "r");
	text[fread(text, 1, sizeof text - 1, f)] = 0;
	fclose(f);
	assert_non_null(strstr(text, "\"Level\":\"warn\",\"Subsystem\":\"crl\",\"Message\":\"the list of \\\"x\\\" is old\"}\n"));
	assert_non_null(strstr(text, "\"Message\":\"shown\"}\n"));
	assert_null(strstr(text, "not shown"));
	assert_false(rf_log_on(RF_LOG_DEBUG, "other"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exact_lines),
		cmocka_unit_test(hostile_bytes_do_not_reach_a_terminal),
		cmocka_unit_test(ring_keeps_order_and_every_field),
		cmocka_unit_test(full_ring_drops_and_counts),
		cmocka_unit_test(long_strings_are_cut),
		cmocka_unit_test(two_threads),
		cmocka_unit_test(recent_filters),
		cmocka_unit_test_setup_teardown(all_sinks, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(failing_sink_harms_no_other, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(stalled_reader_of_stdout, make_dir, drop_dir),
		cmocka_unit_test(absent_directory_is_an_error),
		cmocka_unit_test_setup_teardown(thread_and_log, make_dir, drop_dir),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
