#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include "policy/limit.h"

enum { S = 1000000000 };

static struct rf_limits *table;
static struct rf_limit_state state;

static int up(void **unused)
{
	(void)unused;
	table = rf_limits_new(RF_LIMIT_COUNTERS_LEAST);
	return table ? 0 : -1;
}

static int down(void **unused)
{
	(void)unused;
	rf_limits_free(table);
	return 0;
}

static struct rf_limit_key key(uint64_t n)
{
	return (struct rf_limit_key){ n * 0x9e3779b97f4a7c15u, (n + 7) * 0xbf58476d1ce4e5b9u };
}

static bool passes(const struct rf_limit_key *k, const struct rf_limit_rate *r, uint64_t now)
{
	rf_limit_take(table, k, r, now, 1, &state);
	return !state.over;
}

static void what_is_over_waits_until_there_is_room(void **unused)
{
	(void)unused;
	struct rf_limit_rate r = { 8ull * S, 3, 0 };
	struct rf_limit_key k = key(1);
	assert_true(passes(&k, &r, 100ull * S));
	assert_true(passes(&k, &r, 102ull * S));
	assert_true(passes(&k, &r, 103ull * S));
	assert_int_equal(state.count, 3);
	assert_false(passes(&k, &r, 104ull * S));
	/* The first was in the step of second 100; it stays for the period and the step. */
	assert_int_equal(state.wait_ns, 5ull * S);
	assert_false(passes(&k, &r, 109ull * S - 1));
	assert_int_equal(state.wait_ns, 1);
	assert_true(passes(&k, &r, 109ull * S));
	assert_false(passes(&k, &r, 110ull * S));
}

/* In no stretch of a period do more pass than are allowed. */
static void no_period_has_more(void **unused)
{
	(void)unused;
	struct rf_limit_rate r = { 10ull * S, 5, 0 };
	struct rf_limit_key k = key(2);
	uint64_t passed[400], now = 50ull * S;
	unsigned n = 0, seed = 1;
	for (int i = 0; i < 4000 && n < 400; i++) {
		seed = seed * 1103515245u + 12345u;
		now += seed % 700000000u;
		if (passes(&k, &r, now))
			passed[n++] = now;
	}
	assert_true(n > 100);
	for (unsigned i = 5; i < n; i++)
		assert_true(passed[i] - passed[i - 5] > r.period_ns);
}

static void who_is_over_is_held(void **unused)
{
	(void)unused;
	struct rf_limit_rate r = { 10ull * S, 2, 60ull * S };
	struct rf_limit_key k = key(3);
	assert_true(passes(&k, &r, 1000ull * S));
	assert_true(passes(&k, &r, 1000ull * S));
	assert_false(passes(&k, &r, 1001ull * S));
	assert_int_equal(state.wait_ns, 60ull * S);
	assert_false(passes(&k, &r, 1030ull * S));
	assert_int_equal(state.wait_ns, 31ull * S);
	assert_false(passes(&k, &r, 1061ull * S - 1));
	assert_true(passes(&k, &r, 1061ull * S));
	assert_int_equal(state.count, 1); /* anew */
}

static void what_passed_is_counted_later(void **unused)
{
	(void)unused;
	struct rf_limit_rate r = { 10ull * S, 10, 20ull * S };
	struct rf_limit_key k = key(4);
	rf_limit_take(table, &k, &r, S, 0, &state);
	assert_false(state.over);
	rf_limit_add(table, &k, &r, S, 9, &state);
	rf_limit_take(table, &k, &r, S, 0, &state);
	assert_false(state.over);
	assert_int_equal(state.count, 9);
	rf_limit_add(table, &k, &r, S, 4, &state);
	assert_int_equal(state.count, 13);
	rf_limit_look(table, &k, &r, 2ull * S, &state);
	assert_true(state.over);
	rf_limit_take(table, &k, &r, 2ull * S, 0, &state);
	assert_true(state.over);
	rf_limit_add(table, &k, &r, 3ull * S, 4, &state);
	assert_int_equal(state.count, 13); /* held: not counted */
	rf_limit_look(table, &k, &r, 22ull * S, &state);
	assert_false(state.over);
	assert_int_equal(state.count, 0);
	rf_limit_add(table, &k, &r, 22ull * S, UINT32_MAX, &state);
	rf_limit_add(table, &k, &r, 22ull * S, UINT32_MAX, &state);
	assert_true(state.over); /* and not from the beginning again */
}

static void looking_changes_nothing(void **unused)
{
	(void)unused;
	struct rf_limit_rate r = { 10ull * S, 2, 0 };
	struct rf_limit_key k = key(5);
	for (int i = 0; i < 5; i++) {
		rf_limit_look(table, &k, &r, S, &state);
		assert_false(state.over);
		assert_int_equal(state.count, 0);
	}
	passes(&k, &r, S);
	for (int i = 0; i < 5; i++) {
		rf_limit_look(table, &k, &r, S, &state);
		assert_int_equal(state.count, 1);
	}
}

/* A million keys, each once: none of those who are near their limit or held is forgotten. */
static void a_flood_pushes_out_itself(void **unused)
{
	(void)unused;
	struct rf_limit_rate r = { 60ull * S, 10, 600ull * S };
	unsigned evicted = 0;
	for (uint64_t n = 0; n < 50; n++) {
		struct rf_limit_key k = key(n);
		for (unsigned i = 0; i < (n % 2 ? 11 : 9); i++)
			passes(&k, &r, S);
	}
	for (uint64_t n = 1000; n < 1001000; n++) {
		struct rf_limit_key k = key(n);
		assert_true(passes(&k, &r, 2ull * S));
		evicted += state.evicted;
	}
	assert_true(evicted > 990000);
	for (uint64_t n = 0; n < 50; n++) {
		struct rf_limit_key k = key(n);
		rf_limit_look(table, &k, &r, 3ull * S, &state);
		assert_int_equal(state.over, n % 2);
		assert_true(state.over || state.count == 9);
	}
}

static void what_counts_nothing_makes_room_unseen(void **unused)
{
	(void)unused;
	struct rf_limit_rate r = { 10ull * S, 10, 0 };
	for (int round = 0; round < 4; round++)
		for (uint64_t n = 0; n < 256; n++) {
			struct rf_limit_key k = key(n + (uint64_t)round * 1000);
			passes(&k, &r, (uint64_t)(round * 20 + 1) * S);
			assert_false(state.evicted);
		}
}

enum { THREADS = 8, TRIES = 20000, KEYS = 16, MOST = 5000 };
static atomic_uint passed[KEYS];

static void *worker(void *arg)
{
	struct rf_limit_rate r = { 3600ull * S, MOST, 0 };
	unsigned seed = (unsigned)(uintptr_t)arg;
	for (int i = 0; i < TRIES; i++) {
		struct rf_limit_state s;
		unsigned n = (seed + (unsigned)i) % KEYS;
		struct rf_limit_key k = key(n);
		rf_limit_take(table, &k, &r, S, 1, &s);
		if (!s.over)
			atomic_fetch_add(&passed[n], 1);
	}
	return NULL;
}

static void exact_over_threads(void **unused)
{
	(void)unused;
	pthread_t t[THREADS];
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, worker, (void *)(i * 3)), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	for (int i = 0; i < KEYS; i++) /* each key was tried 10,000 times */
		assert_int_equal(atomic_load(&passed[i]), MOST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_over_waits_until_there_is_room, up, down),
		cmocka_unit_test_setup_teardown(no_period_has_more, up, down),
		cmocka_unit_test_setup_teardown(who_is_over_is_held, up, down),
		cmocka_unit_test_setup_teardown(what_passed_is_counted_later, up, down),
		cmocka_unit_test_setup_teardown(looking_changes_nothing, up, down),
		cmocka_unit_test_setup_teardown(a_flood_pushes_out_itself, up, down),
		cmocka_unit_test_setup_teardown(what_counts_nothing_makes_room_unseen, up, down),
		cmocka_unit_test_setup_teardown(exact_over_threads, up, down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
