/* shield/frame_flood_test: counters of made-up seconds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "shield/frame_flood.h"

enum { FLOOR = 5000, FACTOR = 3 };

static enum rf_frame_event tick(struct rf_frame_flood *f, uint64_t stopped, uint64_t passed)
{
	struct rf_frame_conf conf = { FACTOR, FLOOR };
	struct rf_frame_second s = { stopped, passed, (stopped + passed) * 60 };
	enum rf_frame_event e = rf_frame_flood_tick(f, &conf, &s);
	return e == RF_FRAME_UPDATE ? RF_FRAME_NOTHING : e;
}

static void run(struct rf_frame_flood *f, unsigned seconds, uint64_t frames, enum rf_frame_event want)
{
	for (unsigned i = 0; i < seconds; i++)
		assert_int_equal(tick(f, frames, 0), want);
}

static void a_flood_begins_at_the_floor_and_ends_after_quiet_seconds(void **state)
{
	struct rf_frame_flood f = { 0 };
	run(&f, 1, RF_FRAME_FLOOR - 1, RF_FRAME_NOTHING);
	run(&f, 1, RF_FRAME_FLOOR, RF_FRAME_START);
	assert_int_equal(f.threshold, RF_FRAME_FLOOR);
	run(&f, 3, 5000, RF_FRAME_NOTHING);
	assert_int_equal(f.rate, 5000);
	run(&f, RF_FRAME_QUIET_S - 1, 0, RF_FRAME_NOTHING);
	assert_true(f.on && f.rate == 0 && f.bandwidth == 0);
	run(&f, 1, 0, RF_FRAME_END);
	assert_int_equal(f.peak, 5000);
	assert_int_equal(f.peak_bandwidth, 300000);
	assert_int_equal(f.stopped, 16000);
	assert_int_equal(f.bytes, 960000);
	run(&f, 20, 0, RF_FRAME_NOTHING);
	run(&f, 1, 2000, RF_FRAME_START);
	assert_true(f.stopped == 2000 && f.peak == 2000); /* nothing of the last one */
	(void)state;
}

static void a_pause_shorter_than_the_quiet_is_the_same_flood(void **state)
{
	struct rf_frame_flood f = { 0 };
	run(&f, 1, 3000, RF_FRAME_START);
	for (int i = 0; i < 5; i++) {
		run(&f, RF_FRAME_QUIET_S - 1, 10, RF_FRAME_NOTHING);
		run(&f, 1, 3000, RF_FRAME_NOTHING);
	}
	(void)state;
}

static void what_is_usual_raises_the_threshold_and_is_forgotten(void **state)
{
	struct rf_frame_flood f = { 0 };
	run(&f, 10 * RF_FRAME_MEMORY_S, 900, RF_FRAME_NOTHING);
	run(&f, 60, 2600, RF_FRAME_NOTHING); /* below three times as many */
	run(&f, 1, 9000, RF_FRAME_START);
	assert_in_range(f.usual, 890, 1100);
	assert_int_equal(f.threshold, FACTOR * f.usual);
	run(&f, RF_FRAME_QUIET_S - 1, 2000, RF_FRAME_NOTHING);
	run(&f, 1, 2000, RF_FRAME_END);
	run(&f, 10 * RF_FRAME_MEMORY_S, 0, RF_FRAME_NOTHING);
	run(&f, 1, RF_FRAME_FLOOR, RF_FRAME_START);
	assert_int_equal(f.usual, 0);
	(void)state;
}

static void a_flood_teaches_nothing(void **state)
{
	struct rf_frame_flood f = { 0 };
	run(&f, 1, 100000, RF_FRAME_START);
	run(&f, 10 * RF_FRAME_MEMORY_S, 100000, RF_FRAME_NOTHING);
	run(&f, RF_FRAME_QUIET_S - 1, 0, RF_FRAME_NOTHING);
	run(&f, 1, 0, RF_FRAME_END);
	run(&f, 1, RF_FRAME_FLOOR, RF_FRAME_START);
	(void)state;
}

static void what_passes_has_a_floor_of_its_own(void **state)
{
	struct rf_frame_flood f = { 0 };
	assert_int_equal(tick(&f, 0, FLOOR - 1), RF_FRAME_NOTHING);
	assert_int_equal(tick(&f, RF_FRAME_FLOOR - 1, FLOOR - RF_FRAME_FLOOR), RF_FRAME_NOTHING);
	assert_int_equal(tick(&f, 100, FLOOR - 100), RF_FRAME_START);
	assert_true(f.threshold == FLOOR && f.rate == FLOOR && f.stopped == 100 && f.passed == FLOOR - 100);
	for (unsigned i = 0; i < 30; i++) /* stopped now, and no smaller for that */
		assert_int_equal(tick(&f, 20000, 500), RF_FRAME_NOTHING);
	assert_true(f.peak == 20500 && f.peak_bandwidth == 20500 * 60);
	for (unsigned i = 1; i < RF_FRAME_QUIET_S; i++)
		assert_int_equal(tick(&f, 900, 3000), RF_FRAME_NOTHING);
	assert_int_equal(tick(&f, 900, 3000), RF_FRAME_END);
	(void)state;
}

static void a_long_one_is_told_now_and_then(void **state)
{
	struct rf_frame_flood f = { 0 };
	struct rf_frame_conf conf = { FACTOR, FLOOR };
	struct rf_frame_second s = { 9000, 0, 0 };
	unsigned updates = 0;
	assert_int_equal(rf_frame_flood_tick(&f, &conf, &s), RF_FRAME_START);
	for (unsigned i = 0; i < 3 * RF_FRAME_UPDATE_S; i++)
		updates += rf_frame_flood_tick(&f, &conf, &s) == RF_FRAME_UPDATE;
	assert_int_equal(updates, 3);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flood_begins_at_the_floor_and_ends_after_quiet_seconds),
		cmocka_unit_test(a_pause_shorter_than_the_quiet_is_the_same_flood),
		cmocka_unit_test(what_is_usual_raises_the_threshold_and_is_forgotten),
		cmocka_unit_test(a_flood_teaches_nothing),
		cmocka_unit_test(what_passes_has_a_floor_of_its_own),
		cmocka_unit_test(a_long_one_is_told_now_and_then),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
