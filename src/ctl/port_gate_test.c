/* Which ports are wanted where: the bits that the kernel steers by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "ctl/port_gate.h"

static struct rf_ip ip(const char *text)
{
	struct rf_ip ret;
	assert_true(rf_ip_parse(rf_str_z(text), &ret));
	return ret;
}

static uint64_t words[2 * 1024];

static bool bit(bool udp, unsigned port)
{
	return words[udp * 1024 + port / 64] >> port % 64 & 1;
}

static unsigned count(void)
{
	unsigned n = 0;
	for (size_t i = 0; i < 2 * 1024; i++)
		n += (unsigned)__builtin_popcountll(words[i]);
	return n;
}

static void bits_are_exact(void **state)
{
	(void)state;
	struct rf_ip one = ip("192.0.2.1"), all6 = ip("::"), two = ip("192.0.2.2"), any = ip("0.0.0.0"), six = ip("2001:db8::1");
	struct rf_port v[] = {
		{ .low = 1000, .high = 2000 }, { .transport = RF_TRANSPORT_UDP, .low = 65535, .high = 65535 },
		{ .low = 22, .high = 22, .addresses = &one, .address_count = 1 }, { .low = 1, .high = 1, .addresses = &all6, .address_count = 1 },
	};
	struct rf_port *p[] = { &v[0], &v[1], &v[2], &v[3] };
	struct rf_site site = { .port = p, .port_count = 4 };
	rf_port_gate_bits(&site, &one, words);
	assert_true(bit(false, 1000) && bit(false, 1023) && bit(false, 1024) && bit(false, 2000) && bit(true, 65535) && bit(false, 22));
	assert_false(bit(false, 999) || bit(false, 2001) || bit(true, 1000) || bit(false, 1));
	assert_int_equal(count(), 1001 + 1 + 1);
	rf_port_gate_bits(&site, &two, words);
	assert_int_equal(count(), 1001 + 1);
	rf_port_gate_bits(&site, &any, words);
	assert_int_equal(count(), 1001 + 1 + 1);
	rf_port_gate_bits(&site, &six, words);
	assert_true(bit(false, 1));
	assert_false(bit(false, 22));
	v[0].low = 1;
	v[0].high = 65535;
	rf_port_gate_bits(&site, &two, words);
	assert_int_equal(count(), 65535 + 1);
	assert_false(bit(false, 0));
	site.port_count = 0;
	rf_port_gate_bits(&site, &two, words);
	assert_int_equal(count(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(bits_are_exact) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
