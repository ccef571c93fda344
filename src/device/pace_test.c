/* Rates of devices: what may be done at once, what time gives back, another rate, many threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include "base/clock.h"
#include "device/pace.h"

static uint64_t wait_ns;

/* How many are let through at `now`. */
static unsigned taken(_Atomic uint64_t *paid, uint64_t cost, uint32_t burst, uint64_t now)
{
	unsigned n = 0;
	while (n < 1000 && rf_pace_take(paid, cost, burst, now, &wait_ns) == RF_OK)
		n++;
	return n;
}

static void so_many_at_once_and_then_by_time(void **state)
{
	(void)state;
	_Atomic uint64_t paid = 0;
	const uint64_t s = RF_NS_S, start = 1000 * RF_NS_S;
	assert_int_equal(taken(&paid, s, 5, start), 5);
	assert_true(wait_ns == s);
	assert_int_equal(taken(&paid, s, 5, start + s - 1), 0);
	assert_true(wait_ns == 1);
	assert_int_equal(rf_pace_look(&paid, s, 5, start + s - 1, &wait_ns), RF_E_RATE);
	assert_int_equal(rf_pace_look(&paid, s, 5, start + s, &wait_ns), RF_OK);
	assert_int_equal(taken(&paid, s, 5, start + s), 1);
	assert_int_equal(taken(&paid, s, 5, start + 4 * s), 3);
	assert_int_equal(taken(&paid, s, 5, start + 1000 * s), 5); /* no more is saved than may be done at once */
	assert_int_equal(taken(&paid, s, 0, start + 2000 * s), 1);
}

static void what_another_rate_left_is_cut(void **state)
{
	(void)state;
	_Atomic uint64_t paid = 0;
	assert_int_equal(taken(&paid, 3600 * RF_NS_S, 10, RF_NS_S), 10);
	assert_int_equal(taken(&paid, RF_NS_MS, 4, 2 * RF_NS_S), 0);
	assert_true(wait_ns == RF_NS_MS);
	assert_int_equal(taken(&paid, RF_NS_MS, 4, 2 * RF_NS_S + 2 * RF_NS_MS), 2);
}

static void extremes_hold(void **state)
{
	(void)state;
	_Atomic uint64_t paid = 0;
	assert_int_equal(rf_pace_take(&paid, UINT64_MAX / 4, UINT32_MAX, 1, &wait_ns), RF_OK);
	assert_int_equal(rf_pace_take(&paid, UINT64_MAX / 4, UINT32_MAX, 1, &wait_ns), RF_OK);
	assert_int_equal(rf_pace_take(&paid, UINT64_MAX / 4, UINT32_MAX, 1, &wait_ns), RF_E_RATE);
}

static _Atomic uint64_t shared;
static _Atomic unsigned all;

static void *take_many(void *arg)
{
	uint64_t wait;
	(void)arg;
	for (int i = 0; i < 20000; i++)
		if (rf_pace_take(&shared, RF_NS_S, 5000, RF_NS_S, &wait) == RF_OK)
			atomic_fetch_add(&all, 1);
	return NULL;
}

static void exact_over_threads(void **state)
{
	(void)state;
	pthread_t t[4];
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, take_many, NULL), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(all, 5000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(so_many_at_once_and_then_by_time), cmocka_unit_test(what_another_rate_left_is_cut),
		cmocka_unit_test(extremes_hold), cmocka_unit_test(exact_over_threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
