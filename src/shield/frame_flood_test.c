/* shield/frame_flood_test: counters of made-up seconds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "shield/frame_flood.h"

static void run(struct rf_frame_flood *f, unsigned seconds, uint64_t frames, enum rf_frame_event want)
{
	for (unsigned i = 0; i < seconds; i++)
		assert_int_equal(rf_frame_flood_tick(f, frames, frames * 60), want);
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
	assert_int_equal(f.frames, 16000);
	assert_int_equal(f.bytes, 960000);
	run(&f, 20, 0, RF_FRAME_NOTHING);
	run(&f, 1, 2000, RF_FRAME_START);
	assert_true(f.frames == 2000 && f.peak == 2000); /* nothing of the last one */
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
	assert_int_equal(f.threshold, RF_FRAME_FACTOR * f.usual);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flood_begins_at_the_floor_and_ends_after_quiet_seconds),
		cmocka_unit_test(a_pause_shorter_than_the_quiet_is_the_same_flood),
		cmocka_unit_test(what_is_usual_raises_the_threshold_and_is_forgotten),
		cmocka_unit_test(a_flood_teaches_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
