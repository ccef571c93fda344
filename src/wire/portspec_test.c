/* Ports, ranges and endpoints: what is taken, and what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "wire/portspec.h"

static void ranges(void **state)
{
	(void)state;
	static const struct { const char *text; uint16_t low, high; } good[] = {
		{ "1", 1, 1 }, { "22", 22, 22 }, { "65535", 65535, 65535 }, { "1000-2000", 1000, 2000 }, { "1-65535", 1, 65535 }, { "7-7", 7, 7 },
	};
	static const char *const bad[] = { "", "0", "65536", "99999", "-", "1-", "-1", "2-1", "1-2-3", " 1", "1 ", "a", "0-5", "1-0", "1--2", "100000" };
	struct rf_port_range r;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		assert_true(rf_port_range_parse(rf_str_z(good[i].text), &r));
		assert_int_equal(r.low, good[i].low);
		assert_int_equal(r.high, good[i].high);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct rf_port_range kept = { 3, 4 };
		assert_false(rf_port_range_parse(rf_str_z(bad[i]), &kept));
		assert_int_equal(kept.low, 3);
	}
}

static void protocols(void **state)
{
	(void)state;
	struct rf_port_range r;
	bool udp = true;
	assert_true(rf_protocol_parse(RF_STR("tcp/22"), &udp, &r));
	assert_false(udp);
	assert_int_equal(r.low, 22);
	assert_true(rf_protocol_parse(RF_STR("UDP/5000-5999"), &udp, &r));
	assert_true(udp);
	assert_int_equal(r.high, 5999);
	static const char *const bad[] = { "", "tcp", "tcp/", "tcp22", "tcp:22", "sctp/22", "tc/22", "tcp//22", "tcp/22/", "tcp/ssh", "22" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(rf_protocol_parse(rf_str_z(bad[i]), &udp, &r));
}

static void endpoints(void **state)
{
	(void)state;
	static const struct { const char *text, *host; uint16_t low, high; bool udp; } good[] = {
		{ "tcp://192.0.2.1:22", "192.0.2.1", 22, 22, false }, { "udp://192.0.2.1:22", "192.0.2.1", 22, 22, true },
		{ "tcp://[2001:db8::1]:22", "2001:db8::1", 22, 22, false }, { "tcp://[2001:db8::1]", "2001:db8::1", 0, 0, false },
		{ "tcp://origin.example.com", "origin.example.com", 0, 0, false }, { "tcp://a:3000-4000", "a", 3000, 4000, false },
	};
	static const char *const bad[] = {
		"", "tcp://", "tcp://:22", "tcp:/a:1", "http://a:1", "tcp://a:", "tcp://a:0", "tcp://a:1:2", "tcp://[::1", "tcp://[::1]22", "tcp://[]:22",
		"tcp://a/b:22", "tcp://a b:22", "tcp://2001:db8::1", "tcp://[a]b]:1", "tcp://a:2-1",
	};
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		struct rf_endpoint e;
		assert_true(rf_endpoint_parse(rf_str_z(good[i].text), &e));
		assert_true(rf_str_eq(e.host, rf_str_z(good[i].host)));
		assert_int_equal(e.ports.low, good[i].low);
		assert_int_equal(e.ports.high, good[i].high);
		assert_int_equal(e.udp, good[i].udp);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct rf_endpoint e;
		if (rf_endpoint_parse(rf_str_z(bad[i]), &e))
			fail_msg("%s was taken", bad[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(ranges), cmocka_unit_test(protocols), cmocka_unit_test(endpoints) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
