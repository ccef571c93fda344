#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "svc/port.h"

static struct rf_arena arena;
static struct rf_err err;

static int setup(void **state)
{
	(void)state;
	rf_arena_init(&arena, 1 << 20);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rf_arena_fini(&arena);
	return 0;
}

static struct rf_ip ip(const char *text)
{
	struct rf_ip ret;
	assert_true(rf_ip_parse(rf_str_z(text), &ret));
	return ret;
}

static struct rf_port tcp(const char *name, uint16_t low, uint16_t high)
{
	return (struct rf_port){ .name = rf_str_z(name), .low = low, .high = high, .origin_low = low };
}

static struct rf_ports *build(struct rf_port *v, size_t n, int expect)
{
	struct rf_port *p[8];
	struct rf_ports *ret = NULL;
	for (size_t i = 0; i < n; i++)
		p[i] = &v[i];
	assert_int_equal(rf_ports_new(&arena, p, n, &ret, &err), expect);
	return ret;
}

static void test_ranges(void **state)
{
	(void)state;
	struct rf_port v[] = { tcp("high", 65535, 65535), tcp("range", 1000, 2000), tcp("ssh", 22, 22), tcp("dns", 53, 53) };
	v[3].transport = RF_TRANSPORT_UDP;
	const struct rf_ports *p = build(v, 4, RF_OK);
	struct rf_ip at = ip("192.0.2.1");
	assert_ptr_equal(rf_ports_find(p, RF_TRANSPORT_TCP, &at, 22), &v[2]);
	assert_ptr_equal(rf_ports_find(p, RF_TRANSPORT_TCP, &at, 1000), &v[1]);
	assert_ptr_equal(rf_ports_find(p, RF_TRANSPORT_TCP, &at, 1500), &v[1]);
	assert_ptr_equal(rf_ports_find(p, RF_TRANSPORT_TCP, &at, 2000), &v[1]);
	assert_ptr_equal(rf_ports_find(p, RF_TRANSPORT_TCP, &at, 65535), &v[0]);
	assert_ptr_equal(rf_ports_find(p, RF_TRANSPORT_UDP, &at, 53), &v[3]);
	assert_null(rf_ports_find(p, RF_TRANSPORT_TCP, &at, 53));
	assert_null(rf_ports_find(p, RF_TRANSPORT_UDP, &at, 22));
	assert_null(rf_ports_find(p, RF_TRANSPORT_TCP, &at, 0));
	assert_null(rf_ports_find(p, RF_TRANSPORT_TCP, &at, 999));
	assert_null(rf_ports_find(p, RF_TRANSPORT_TCP, &at, 2001));
	assert_null(rf_ports_find(NULL, RF_TRANSPORT_TCP, &at, 22));
}

static void test_addresses(void **state)
{
	(void)state;
	struct rf_ip one[] = { ip("192.0.2.1"), ip("2001:db8::1") }, two = ip("192.0.2.2");
	struct rf_port v[] = { tcp("one", 22, 22), tcp("two", 20, 30), tcp("any", 1, 65535) };
	v[0].addresses = one;
	v[0].address_count = 2;
	v[1].addresses = &two;
	v[1].address_count = 1;
	const struct rf_ports *p = build(v, 3, RF_OK);
	assert_ptr_equal(rf_ports_find(p, RF_TRANSPORT_TCP, &one[0], 22), &v[0]);
	assert_ptr_equal(rf_ports_find(p, RF_TRANSPORT_TCP, &one[1], 22), &v[0]);
	assert_ptr_equal(rf_ports_find(p, RF_TRANSPORT_TCP, &two, 22), &v[1]);
	assert_ptr_equal(rf_ports_find(p, RF_TRANSPORT_TCP, &one[0], 23), &v[2]);
	struct rf_ip other = ip("198.51.100.1");
	assert_ptr_equal(rf_ports_find(p, RF_TRANSPORT_TCP, &other, 22), &v[2]);
}

static void test_families(void **state)
{
	(void)state;
	struct rf_ip all4 = ip("0.0.0.0"), all6 = ip("::"), one = ip("192.0.2.1"), v6 = ip("2001:db8::1");
	struct rf_port v[] = { tcp("v4", 22, 22), tcp("v6", 22, 22), tcp("any", 1, 65535), tcp("one", 22, 22) };
	v[0].addresses = &all4;
	v[1].addresses = &all6;
	v[3].addresses = &one;
	v[0].address_count = v[1].address_count = v[3].address_count = 1;
	struct rf_ip other = ip("192.0.2.2");
	const struct rf_ports *p = build(v, 4, RF_OK);
	assert_ptr_equal(rf_ports_find(p, RF_TRANSPORT_TCP, &one, 22), &v[3]);
	assert_ptr_equal(rf_ports_find(p, RF_TRANSPORT_TCP, &other, 22), &v[0]);
	assert_ptr_equal(rf_ports_find(p, RF_TRANSPORT_TCP, &v6, 22), &v[1]);
	assert_ptr_equal(rf_ports_find(p, RF_TRANSPORT_TCP, &v6, 23), &v[2]);
}

static void test_conflict(void **state)
{
	(void)state;
	struct rf_port v[] = { tcp("cameras", 1000, 2000), tcp("gates", 2000, 2000) };
	build(v, 2, RF_E_CONFLICT);
	assert_string_equal(err.text, "cameras and gates both stand at port 2000");
	v[1].transport = RF_TRANSPORT_UDP;
	build(v, 2, RF_OK);
	assert_null(rf_ports_find(build(v, 0, RF_OK), RF_TRANSPORT_TCP, &(struct rf_ip){ .family = 4 }, 1000));
}

static void test_origin_port(void **state)
{
	(void)state;
	struct rf_port p = tcp("range", 1000, 2000);
	p.origin_low = 64535;
	assert_int_equal(rf_port_origin(&p, 1000), 64535);
	assert_int_equal(rf_port_origin(&p, 2000), 65535);
}

/* The bound holds over snapshots, because they share what is counted. */
static void bound_over_snapshots(void **state)
{
	(void)state;
	struct rf_port now = { .max_connections = 2, .use = rf_port_use_get(NULL) };
	struct rf_port next = { .max_connections = 2, .use = rf_port_use_get(now.use) };
	assert_true(rf_port_enter(&now) && rf_port_enter(&next));
	assert_false(rf_port_enter(&now));
	rf_port_leave(next.use);
	assert_true(rf_port_enter(&now));
	now.max_connections = 0;
	assert_true(rf_port_enter(&now));
	rf_port_use_put(now.use);
	assert_int_equal(atomic_load(&next.use->live), 3);
	rf_port_use_put(next.use);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bound_over_snapshots),
		cmocka_unit_test_setup_teardown(test_ranges, setup, teardown),
		cmocka_unit_test_setup_teardown(test_addresses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_families, setup, teardown),
		cmocka_unit_test_setup_teardown(test_conflict, setup, teardown),
		cmocka_unit_test(test_origin_port),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
