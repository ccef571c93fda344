/* What one address sends, tick by tick, in virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "base/clock.h"
#include "shield/traffic.h"

static const struct rf_traffic_conf conf = { { 100, 2000, 10000 }, 50 };
static const struct rf_detect_conf detect = { .sense = RF_FLOOD_HIGH, .floor = 100, .learn_ns = 10 * RF_NS_S };

struct sender {
	struct rf_traffic t;
	struct rf_traffic_seen seen;
	struct rf_fleet_deed deed;
};

static uint64_t mixed(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	return z ^ z >> 31;
}

/* One frame to a destination of this number. */
static void asks(struct sender *s, unsigned which, uint64_t number, bool banned)
{
	uint64_t h = mixed(number + 77) * 0x9e3779b97f4a7c15ull;
	s->seen.counts[which]++;
	s->seen.targets[h >> 6 & (RF_TRAFFIC_WORDS - 1)] |= 1ull << (h & 63);
	s->seen.scanned |= banned ? 1ull << (h >> 32 & 63) : 0;
	s->seen.scans += banned;
}

static bool tick(struct sender *s)
{
	bool is = rf_traffic_tick(&s->t, &conf, &detect, true, &s->seen, &s->deed);
	s->seen.scanned = s->seen.scans = s->seen.bots = 0;
	memset(s->seen.targets, 0, sizeof s->seen.targets);
	return is;
}

static void what_asks_the_same_again_is_no_scan(void **state)
{
	struct sender s = { 0 };
	(void)state;
	for (unsigned t = 0; t < 400; t++) {
		for (unsigned i = 0; i < 8; i++)
			asks(&s, 0, i, false);
		assert_false(tick(&s));
	}
}

static void telnet_to_some_addresses_is_a_scan_at_once(void **state)
{
	struct sender s = { 0 };
	(void)state;
	for (unsigned i = 0; i < 2; i++)
		asks(&s, 0, i, true);
	assert_false(tick(&s));
	assert_false(tick(&s));
	for (unsigned i = 2; i < 5; i++)
		asks(&s, 0, i, true);
	assert_true(tick(&s));
	assert_int_equal(s.deed.what, RF_DEED_TELNET);
	assert_int_equal(s.deed.rate, 5);
	assert_false(tick(&s)); /* it has stopped */
	asks(&s, 0, 0, true);
	assert_true(tick(&s)); /* and goes on, with one of before */
}

static void one_frame_of_a_bot_tells(void **state)
{
	struct sender s = { .seen.bots = 1 };
	(void)state;
	assert_true(tick(&s));
	assert_int_equal(s.deed.what, RF_DEED_BOT_FRAMES);
	assert_string_equal(s.deed.bot, "mirai");
	assert_false(tick(&s));
}

static void many_destinations_are_a_scan_few_a_second_are_not(void **state)
{
	struct sender fast = { 0 }, slow = { 0 };
	(void)state;
	for (unsigned i = 0; i < 60; i++)
		asks(&fast, 1, i, false);
	assert_true(tick(&fast));
	assert_int_equal(fast.deed.what, RF_DEED_SCAN);
	assert_in_range(fast.deed.rate, 54, 66);
	asks(&fast, 1, 7, false);
	assert_false(tick(&fast)); /* nothing new */
	for (unsigned i = 0; i < 5; i++)
		asks(&fast, 1, 1000 + i, false);
	assert_true(tick(&fast));
	for (unsigned t = 0; t < 2000; t++) { /* four new ones a second: at most 40 in a window */
		asks(&slow, 1, t, false);
		assert_false(tick(&slow));
	}
}

static void a_scan_of_thousands_goes_on_where_no_bit_is_left(void **state)
{
	struct sender s = { 0 };
	(void)state;
	for (unsigned t = 0; t < 40; t++) {
		for (unsigned i = 0; i < 3000; i++)
			asks(&s, 0, t * 3000 + i, false);
		assert_true(tick(&s));
	}
}

static void a_flood_is_far_above_its_floor_and_what_is_usual(void **state)
{
	struct sender s = { 0 };
	unsigned above = 0;
	(void)state;
	for (unsigned t = 0; t < 200; t++) { /* 1600 datagrams a second, as it always does */
		s.seen.counts[1] += 400;
		assert_false(tick(&s));
	}
	for (unsigned t = 0; t < 8; t++) { /* 8000: five times that */
		s.seen.counts[1] += 2000;
		assert_false(tick(&s));
	}
	for (unsigned t = 0; t < 8; t++) {
		s.seen.counts[1] += 10000;
		above += tick(&s);
	}
	assert_in_range(above, 4, 7);
	assert_int_equal(s.deed.what, RF_DEED_DATAGRAMS);
	assert_true(s.deed.rate > s.deed.threshold && s.deed.threshold > 10 * 1500);
	for (unsigned t = 0; t < 8; t++)
		tick(&s);
	s.seen.counts[0] += 400; /* one burst alone is none */
	assert_false(tick(&s));
	assert_false(tick(&s));
	for (unsigned t = 0; t < 3; t++) {
		s.seen.counts[0] += 100;
		above = tick(&s);
	}
	assert_true(above && s.deed.what == RF_DEED_SYNS);
}

static void nothing_is_a_flood_before_it_was_learned_or_where_it_is_not_looked_for(void **state)
{
	static const struct rf_traffic_conf none = { { 0, 0, 0 }, 0 };
	struct sender s = { 0 };
	(void)state;
	for (unsigned t = 0; t < 40; t++) {
		s.seen.counts[0] += 100000;
		assert_false(rf_traffic_tick(&s.t, &conf, &detect, false, &s.seen, &s.deed));
	}
	s = (struct sender){ 0 };
	for (unsigned t = 0; t < 40; t++) {
		for (unsigned i = 0; i < 200; i++)
			asks(&s, 0, t * 200 + i, false);
		assert_false(rf_traffic_tick(&s.t, &none, &detect, true, &s.seen, &s.deed));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_asks_the_same_again_is_no_scan),
		cmocka_unit_test(telnet_to_some_addresses_is_a_scan_at_once),
		cmocka_unit_test(one_frame_of_a_bot_tells),
		cmocka_unit_test(many_destinations_are_a_scan_few_a_second_are_not),
		cmocka_unit_test(a_scan_of_thousands_goes_on_where_no_bit_is_left),
		cmocka_unit_test(a_flood_is_far_above_its_floor_and_what_is_usual),
		cmocka_unit_test(nothing_is_a_flood_before_it_was_learned_or_where_it_is_not_looked_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
