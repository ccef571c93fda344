/* What a SYN cookie keeps of a SYN: options read from hostile bytes, and a timestamp that holds them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "bpf/syn.h"

static struct rf_tcp walk(const uint8_t *options, size_t n)
{
	struct rf_tcp t = { .n = RF_TCP_LEAST + (__u32)n, .at = RF_TCP_LEAST, .scale = RF_SCALE_NONE };
	for (size_t i = 0; i < n; i++)
		t.h[RF_TCP_LEAST + i] = options[i];
	for (int i = 0; i < RF_TCP_OPTIONS && !rf_tcp_option(&t); i++)
		;
	return t;
}

static void options_are_read(void **state)
{
	static const uint8_t usual[] = { 2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 3, 3, 9 }, none[] = { 1, 1, 0, 3, 3, 9, 0, 0 };
	(void)state;
	struct rf_tcp t = walk(usual, sizeof usual);
	assert_int_equal(t.mss, 1460);
	assert_int_equal(t.scale, 9);
	assert_true(t.sack && t.stamped);
	assert_int_equal(t.value, 0x01020304);
	assert_int_equal(t.echo, 0x05060708);
	t = walk(none, sizeof none);
	assert_int_equal(t.scale, RF_SCALE_NONE);
	assert_false(t.mss || t.sack || t.stamped);
}

static void broken_options_end_the_walk(void **state)
{
	static const struct { uint8_t o[8]; } wrong[] = {
		{ { 3, 0, 3, 9, 4, 2, 0, 0 } }, { { 3, 1, 3, 9, 4, 2, 0, 0 } }, { { 8, 10, 1, 2, 3, 4, 5, 6 } }, { { 2, 255, 5, 5, 4, 2, 0, 0 } },
	};
	(void)state;
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct rf_tcp t = walk(wrong[i].o, sizeof wrong[i].o);
		assert_false(t.mss || t.sack || t.stamped || t.scale != RF_SCALE_NONE);
	}
	static const uint8_t huge[] = { 3, 3, 200, 0 };
	assert_int_equal(walk(huge, sizeof huge).scale, RF_SCALE_MOST);
	uint64_t seed = 7;
	for (int round = 0; round < 20000; round++) { /* whatever stands there, the walk ends within the header */
		uint8_t o[40];
		for (size_t i = 0; i < sizeof o; i++)
			o[i] = (uint8_t)((seed = rf_mix(seed + i)) % 12);
		struct rf_tcp t = walk(o, sizeof o);
		assert_true(t.at <= RF_TCP_MOST);
	}
}

static void a_timestamp_keeps_the_options_of_its_handshake(void **state)
{
	struct rf_frame f = { .family = 4, .sport = 4000, .dport = 443, .src = { 1 }, .dst = { 2 } };
	(void)state;
	for (unsigned mss = 0; mss < 9200; mss += 20)
		for (unsigned scale = 0; scale < 32; scale += 31 - 17 * (scale > 0)) {
			struct rf_tcp t = { .mss = (__u16)mss, .scale = (__u8)scale, .sack = mss & 4 ? 1 : 0 };
			uint32_t stamp = rf_stamp(11, &f, 99, rf_stamp_options(&t));
			assert_int_equal(rf_stamp(11, &f, 99, stamp), stamp);
			assert_int_equal(stamp & 31, scale);
			assert_int_equal(stamp >> 5 & 1, t.sack);
			assert_true(rf_mss_of(stamp >> 6) <= mss || mss < 1220);
			assert_int_not_equal(rf_stamp(11, &f, 98, stamp), stamp);
			assert_int_not_equal(rf_stamp(12, &f, 99, stamp), stamp);
		}
	struct rf_frame other = f;
	other.sport++;
	assert_int_not_equal(rf_stamp(11, &f, 99, 5), rf_stamp(11, &other, 99, 5));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_are_read),
		cmocka_unit_test(broken_options_end_the_walk),
		cmocka_unit_test(a_timestamp_keeps_the_options_of_its_handshake),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
