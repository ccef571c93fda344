/* Tests of ctl/patch_watch: hours of traffic of a small fleet in virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/clock.h"
#include "ctl/patch_watch.h"

#define P "00000000000000000000000000000001"
#define Q "00000000000000000000000000000002"

static struct rf_watch *w;
static int64_t now_ns;
static char halted[64], why[512];
static unsigned halts, second;

static void on_halt(void *arg, const char *id, const char *words)
{
	(void)arg;
	halts++;
	snprintf(halted, sizeof halted, "%s", id);
	snprintf(why, sizeof why, "%s", words);
}

static void follow(enum rf_patch_state state, uint32_t devices, uint32_t percent, uint32_t window_s)
{
	struct rf_watch_spec v[1] = { { .id = P, .state = state, .since_s = now_ns / (int64_t)RF_NS_S,
					.halt = { true, devices, percent, window_s } } };
	assert_int_equal(rf_watch_follow(w, v, 1), RF_OK);
}

static int up(void **state)
{
	(void)state;
	now_ns = 1790000000 * (int64_t)RF_NS_S;
	halts = 0;
	halted[0] = why[0] = '\0';
	w = rf_watch_new(10000, now_ns);
	return w ? 0 : -1;
}

static int down(void **state)
{
	(void)state;
	rf_watch_free(w);
	return 0;
}

static void send(unsigned device, const char *path, bool stopped)
{
	char id[33];
	snprintf(id, sizeof id, "%032x", device);
	struct rf_record r = { .kind = RF_REC_REQUEST, .at = now_ns, .action = stopped ? RF_STR("block") : RF_STR("allow"),
			       .device = rf_str_z(id), .class_name = RF_STR("camera"), .method = RF_STR("POST"), .host = RF_STR("h"),
			       .path = rf_str_z(path), .status = stopped ? 403 : 200, .rule_id = stopped ? RF_STR(P) : RF_STR("") };
	rf_watch_record(w, &r);
}

/* `n` devices report every ten seconds for so long; the judge looks every second. Devices below `bad` are stopped. */
static void live(unsigned n, unsigned bad, unsigned seconds)
{
	for (unsigned s = 0; s < seconds; s++, second++, now_ns += (int64_t)RF_NS_S) {
		for (unsigned d = 0; d < n; d++)
			if ((second + d) % 10 == 0)
				send(d, "/readings", d < bad);
		rf_watch_judge(w, now_ns, on_halt, NULL);
	}
}

static json_int_t told(const char *member)
{
	json_t *o = json_object();
	rf_watch_json(w, P, now_ns, o);
	json_int_t n = json_integer_value(json_object_get(o, member));
	json_decref(o);
	return n;
}

static void a_patch_that_stops_what_used_to_work_falls_back(void **state)
{
	(void)state;
	live(20, 0, 600);
	follow(RF_PATCH_CANARY, 2, 5, 60);
	live(20, 3, 50);
	assert_int_equal(halts, 0); /* the window is not over */
	live(20, 3, 60);
	assert_int_equal(halts, 1);
	assert_string_equal(halted, P);
	assert_non_null(strstr(why, " of 3 healthy devices"));
	live(20, 3, 60);
	assert_int_equal(halts, 1); /* said once */
}

static void one_device_is_not_enough_where_two_are_asked_for(void **state)
{
	(void)state;
	live(20, 0, 600);
	follow(RF_PATCH_ENFORCE, 2, 5, 60);
	live(20, 1, 3600);
	assert_int_equal(halts, 0);
}

static void a_share_is_asked_for_too(void **state)
{
	(void)state;
	live(100, 0, 600);
	follow(RF_PATCH_ENFORCE, 2, 50, 60);
	for (unsigned d = 0; d < 100; d++)
		send(d, "/attack", true); /* all are stopped once, and go on as before */
	live(100, 3, 300);
	assert_int_equal(halts, 0);
	live(100, 80, 120);
	assert_int_equal(halts, 0); /* those that were looked at long ago are at peace; new windows begin with the next stop */
}

static void an_attack_beside_good_traffic_is_no_suffering(void **state)
{
	(void)state;
	live(20, 0, 600);
	follow(RF_PATCH_ENFORCE, 1, 0, 60);
	for (unsigned i = 0; i < 200; i++) {
		send(3, "/cgi-bin/x", true);
		send(4, "/cgi-bin/x", true);
		live(20, 0, 5);
	}
	assert_int_equal(halts, 0);
	assert_int_equal(told("stopped"), 400);
	assert_int_equal(told("devices"), 2);
	assert_int_equal(told("healthy"), 2);
}

static void a_device_that_goes_silent_suffers(void **state)
{
	(void)state;
	live(20, 0, 600);
	follow(RF_PATCH_ENFORCE, 1, 0, 60);
	send(7, "/attack", true);
	for (unsigned s = 0; s < 300 && !halts; s++, now_ns += (int64_t)RF_NS_S)
		rf_watch_judge(w, now_ns, on_halt, NULL);
	assert_int_equal(halts, 1);
	assert_non_null(strstr(why, "silent"));
}

static void who_was_not_healthy_before_is_no_reason(void **state)
{
	(void)state;
	follow(RF_PATCH_ENFORCE, 1, 0, 60);
	live(5, 5, 3600); /* stopped from its first request on: nobody knows it */
	assert_int_equal(halts, 0);
	assert_int_equal(told("healthy"), 0);
}

static void a_device_is_left_in_peace_after_a_time(void **state)
{
	(void)state;
	live(20, 0, 600);
	follow(RF_PATCH_ENFORCE, 1, 0, 60);
	send(7, "/attack", true);
	live(20, 0, 1200);
	for (unsigned s = 0; s < 3600; s++, now_ns += (int64_t)RF_NS_S) /* all are switched off, a day later */
		rf_watch_judge(w, now_ns, on_halt, NULL);
	assert_int_equal(halts, 0);
}

static void switched_off_means_off(void **state)
{
	(void)state;
	live(20, 0, 600);
	follow(RF_PATCH_ENFORCE, 1, 0, 60);
	struct rf_watch_spec v[1] = { { .id = P, .state = RF_PATCH_ENFORCE, .since_s = now_ns / (int64_t)RF_NS_S,
					.halt = { false, 1, 0, 60 } } };
	assert_int_equal(rf_watch_follow(w, v, 1), RF_OK);
	live(20, 20, 600);
	assert_int_equal(halts, 0);
}

static void a_move_begins_anew_and_what_is_gone_is_forgotten(void **state)
{
	(void)state;
	live(20, 0, 100);
	follow(RF_PATCH_CANARY, 1, 0, 60);
	live(20, 5, 20);
	assert_int_equal(told("stopped"), 10);
	follow(RF_PATCH_ENFORCE, 1, 0, 60);
	assert_int_equal(told("stopped"), 0);
	live(20, 5, 20);
	assert_int_equal(rf_watch_follow(w, NULL, 0), RF_OK);
	json_t *o = json_object();
	rf_watch_json(w, P, now_ns, o);
	assert_int_equal(json_object_size(o), 0);
	json_decref(o);
}

static void report_counts_what_it_would_stop(void **state)
{
	(void)state;
	live(4, 0, 300);
	follow(RF_PATCH_REPORT, 1, 0, 60);
	struct rf_record r = { .kind = RF_REC_REQUEST, .at = now_ns, .action = RF_STR("log"), .status = 200, .logged_rules = RF_STR(Q "," P),
			       .device = RF_STR("00000000000000000000000000000002"), .class_name = RF_STR("camera") };
	for (int i = 0; i < 7; i++)
		rf_watch_record(w, &r);
	r.device = r.class_name = RF_STR("");
	rf_watch_record(w, &r);
	assert_int_equal(told("matched"), 8);
	assert_int_equal(told("stopped"), 0);
	assert_int_equal(told("devices"), 1);
	assert_int_equal(told("healthy"), 1);
	rf_watch_judge(w, now_ns + 3600 * (int64_t)RF_NS_S, on_halt, NULL);
	assert_int_equal(halts, 0);
}

/* Another process: what was saved is loaded `pause` seconds later. */
static void restart(unsigned pause)
{
	RF_BUF_AUTO kept = { 0 };
	rf_watch_save(w, now_ns, &kept);
	rf_watch_free(w);
	now_ns += pause * (int64_t)RF_NS_S;
	w = rf_watch_new(10000, now_ns);
	assert_int_equal(rf_watch_load(w, rf_buf_str(&kept), now_ns), RF_OK);
}

static void baselines_outlive_a_restart(void **state)
{
	(void)state;
	live(20, 0, 600);
	restart(3600);
	follow(RF_PATCH_CANARY, 2, 5, 60);
	live(20, 3, 50);
	assert_int_equal(halts, 0);
	live(20, 3, 60);
	assert_int_equal(halts, 1);
	assert_non_null(strstr(why, " of 3 healthy devices"));
}

static void what_a_patch_counted_outlives_a_restart(void **state)
{
	(void)state;
	live(20, 0, 600);
	struct rf_watch_spec v[1] = { { .id = P, .state = RF_PATCH_ENFORCE, .since_s = now_ns / (int64_t)RF_NS_S, .halt = { true, 1, 0, 60 } } };
	assert_int_equal(rf_watch_follow(w, v, 1), RF_OK);
	for (unsigned d = 0; d < 5; d++)
		send(d, "/attack", true);
	live(20, 0, 30);
	restart(86400);
	assert_int_equal(rf_watch_follow(w, v, 1), RF_OK);
	assert_int_equal(told("stopped"), 5);
	assert_int_equal(told("healthy"), 5);
	live(20, 0, 300); /* a day without an edge is no silence of theirs */
	assert_int_equal(halts, 0);
	restart(60);
	v->since_s++; /* moved meanwhile */
	assert_int_equal(rf_watch_follow(w, v, 1), RF_OK);
	assert_int_equal(told("stopped"), 0);
}

/* Hundreds of days in one life of the watch: its times are set back, and what nobody heard of is left out. */
static void a_long_life_fits(void **state)
{
	(void)state;
	live(20, 0, 600);
	for (unsigned i = 0; i < 20; i++) {
		now_ns += 86400 * 40 * (int64_t)RF_NS_S;
		live(10, 0, 600);
		restart(5);
	}
	RF_BUF_AUTO kept = { 0 };
	rf_watch_save(w, now_ns, &kept);
	assert_true(kept.n > 10 * 32 && kept.n < 20 * 32);
	follow(RF_PATCH_CANARY, 2, 5, 60);
	live(10, 3, 110);
	assert_int_equal(halts, 1);
}

static void a_damaged_file_changes_nothing(void **state)
{
	(void)state;
	RF_BUF_AUTO kept = { 0 };
	rf_watch_save(w, now_ns, &kept);
	assert_int_equal(kept.n, 0); /* nothing is known */
	live(20, 0, 600);
	follow(RF_PATCH_REPORT, 1, 0, 60);
	send(1, "/x", true);
	rf_watch_save(w, now_ns, &kept);
	struct rf_watch *other = rf_watch_new(10000, now_ns);
	for (size_t n = 0; n < kept.n; n += n < 64 ? 1 : 97)
		assert_int_equal(rf_watch_load(other, (struct rf_str){ kept.p, n }, now_ns), RF_E_SYNTAX);
	for (size_t at = 0; at < kept.n; at += 31) {
		kept.p[at] ^= 4;
		assert_int_equal(rf_watch_load(other, rf_buf_str(&kept), now_ns), RF_E_SYNTAX);
		kept.p[at] ^= 4;
	}
	assert_int_equal(rf_watch_load(w, rf_buf_str(&kept), now_ns), RF_E_CONFLICT);
	assert_int_equal(told("stopped"), 1);
	assert_int_equal(rf_watch_load(other, rf_buf_str(&kept), now_ns), RF_OK);
	RF_BUF_AUTO again = { 0 };
	rf_watch_save(other, now_ns, &again);
	assert_int_equal(again.n, kept.n);
	rf_watch_free(other);
}

static void tables_are_bounded(void **state)
{
	(void)state;
	follow(RF_PATCH_ENFORCE, 1, 0, 60);
	for (unsigned d = 0; d < 20000; d++) /* more than both tables take */
		send(d, "/x", true);
	assert_int_equal(told("stopped"), 20000);
	assert_int_equal(told("devices"), RF_WATCH_STOPPED);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
	const struct CMUnitTest tests[] = {
		T(a_patch_that_stops_what_used_to_work_falls_back), T(one_device_is_not_enough_where_two_are_asked_for),
		T(a_share_is_asked_for_too), T(an_attack_beside_good_traffic_is_no_suffering), T(a_device_that_goes_silent_suffers),
		T(who_was_not_healthy_before_is_no_reason), T(a_device_is_left_in_peace_after_a_time), T(switched_off_means_off),
		T(a_move_begins_anew_and_what_is_gone_is_forgotten), T(report_counts_what_it_would_stop), T(tables_are_bounded),
		T(baselines_outlive_a_restart), T(what_a_patch_counted_outlives_a_restart), T(a_long_life_fits), T(a_damaged_file_changes_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
