#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "base/clock.h"
#include "base/err.h"
#include "net/rate.h"
#include "net/tally.h"

static void rate_refuses_what_it_cannot_count(void **state)
{
	(void)state;
	struct rf_rate r;
	assert_int_equal(rf_rate_make(0, 1, 1, &r), RF_E_RANGE);
	assert_int_equal(rf_rate_make(1, 0, 1, &r), RF_E_RANGE);
	assert_int_equal(rf_rate_make(1, 1, 0, &r), RF_E_RANGE);
	assert_int_equal(rf_rate_make(1, 3600 * RF_NS_S, UINT64_MAX / 2, &r), RF_E_RANGE);
	assert_int_equal(rf_rate_make(UINT64_MAX, UINT64_MAX / 4, 1, &r), RF_OK);
}

/* 7 tokens in 3 s, asked every nanosecond that matters, over an hour: never one more or less. */
static void bucket_is_exact(void **state)
{
	(void)state;
	struct rf_rate r;
	struct rf_bucket b;
	uint64_t now = 5, start = now, taken = 0, wait = 0;
	assert_int_equal(rf_rate_make(7, 3 * RF_NS_S, 2, &r), RF_OK);
	rf_bucket_fill(&b, &r, now);
	while (now - start <= 3600 * RF_NS_S) {
		int got = rf_bucket_take(&b, &r, now, 1, &wait);
		if (got == RF_OK) {
			taken++;
			continue;
		}
		assert_int_equal(got, RF_E_RATE);
		assert_true(wait > 0 && wait <= 3 * RF_NS_S / 7 + 1);
		assert_int_equal(rf_bucket_take(&b, &r, now + wait - 1, 1, NULL), RF_E_RATE);
		now += wait;
	}
	assert_int_equal(taken, 2 + 7 * 1200);
	assert_int_equal(rf_bucket_take(&b, &r, now, 3, &wait), RF_E_RATE);
	assert_true(wait == UINT64_MAX);
}

static void bucket_saves_no_more_than_its_burst(void **state)
{
	(void)state;
	struct rf_rate r;
	struct rf_bucket b;
	assert_int_equal(rf_rate_make(1000000000, RF_NS_S, 3, &r), RF_OK);
	rf_bucket_fill(&b, &r, 0);
	assert_int_equal(rf_bucket_take(&b, &r, UINT64_MAX, 3, NULL), RF_OK);
	assert_int_equal(rf_bucket_take(&b, &r, UINT64_MAX, 1, NULL), RF_E_RATE);
	assert_int_equal(rf_bucket_take(&b, &r, 7, 1, NULL), RF_E_RATE); /* a clock that steps back earns nothing */
}

static void table_keeps_limits_at_its_bound(void **state)
{
	(void)state;
	struct rf_rate r;
	struct rf_rate_table t;
	char key[32];
	assert_int_equal(rf_rate_make(1, RF_NS_S, 4, &r), RF_OK);
	assert_int_equal(rf_rate_table_init(&t, &r, 64), RF_OK);
	uint64_t through = 0;
	for (int i = 0; i < 100000; i++) { /* a flood of new keys in one instant */
		int n = snprintf(key, sizeof key, "k%d", i);
		through += rf_rate_take(&t, (struct rf_str){ key, (size_t)n }, 1000, 1, NULL) == RF_OK;
	}
	assert_int_equal(through, 64 * 4);
	assert_int_equal(t.refused, 100000 - through);
	assert_true(t.crowded > 0);
	/* A second later everybody may act again, and a full minute later old keys cost nothing. */
	assert_int_equal(rf_rate_take(&t, RF_STR("device"), 1000 + RF_NS_S, 1, NULL), RF_OK);
	uint64_t crowded = t.crowded;
	for (int i = 0; i < 4; i++)
		assert_int_equal(rf_rate_take(&t, RF_STR("other"), 1000 + 60 * RF_NS_S, 1, NULL), RF_OK);
	assert_int_equal(rf_rate_take(&t, RF_STR("other"), 1000 + 60 * RF_NS_S, 1, NULL), RF_E_RATE);
	assert_int_equal(t.crowded, crowded);
	rf_rate_table_fini(&t);
}

static void table_keys_by_prefix_and_by_long_names(void **state)
{
	(void)state;
	struct rf_rate r;
	struct rf_rate_table t;
	char name[200];
	memset(name, 'x', sizeof name);
	assert_int_equal(rf_rate_make(1, RF_NS_S, 1, &r), RF_OK);
	assert_int_equal(rf_rate_table_init(&t, &r, 1000), RF_OK);
	assert_int_equal(rf_rate_take(&t, (struct rf_str){ name, 200 }, 1, 1, NULL), RF_OK);
	assert_int_equal(rf_rate_take(&t, (struct rf_str){ name, 199 }, 1, 1, NULL), RF_OK);
	assert_int_equal(rf_rate_take(&t, (struct rf_str){ name, 200 }, 1, 1, NULL), RF_E_RATE);
	assert_int_equal(rf_rate_take(&t, RF_STR(""), 1, 1, NULL), RF_OK);
	assert_int_equal(rf_rate_take(&t, RF_STR(""), 1, 1, NULL), RF_E_RATE);
	rf_rate_table_fini(&t);
}

static void tally_limits_each_key_and_all_keys(void **state)
{
	(void)state;
	struct rf_tally t;
	struct rf_tally_entry *a, *b, *c, *d = NULL;
	char name[100] = "a long name";
	assert_int_equal(rf_tally_init(&t, 2), RF_OK);
	assert_int_equal(rf_tally_get(&t, RF_STR("one"), 2, &a), RF_OK);
	assert_int_equal(rf_tally_get(&t, RF_STR("one"), 2, &b), RF_OK);
	assert_ptr_equal(a, b);
	assert_int_equal(rf_tally_get(&t, RF_STR("one"), 2, &d), RF_E_RATE);
	assert_int_equal(rf_tally_get(&t, (struct rf_str){ name, sizeof name }, 1, &c), RF_OK);
	assert_int_equal(rf_tally_get(&t, RF_STR("three"), 1, &d), RF_E_FULL);
	assert_null(d);
	assert_int_equal(t.refused, 1);
	assert_int_equal(t.full, 1);
	rf_tally_put(&t, c);
	assert_int_equal(rf_tally_get(&t, RF_STR("three"), 1, &d), RF_OK);
	rf_tally_put(&t, a);
	assert_int_equal(t.map.count, 2);
	rf_tally_put(&t, b);
	rf_tally_put(&t, d);
	rf_tally_put(&t, NULL);
	assert_int_equal(t.map.count, 0);
	rf_tally_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rate_refuses_what_it_cannot_count),
		cmocka_unit_test(bucket_is_exact),
		cmocka_unit_test(bucket_saves_no_more_than_its_burst),
		cmocka_unit_test(table_keeps_limits_at_its_bound),
		cmocka_unit_test(table_keys_by_prefix_and_by_long_names),
		cmocka_unit_test(tally_limits_each_key_and_all_keys),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
