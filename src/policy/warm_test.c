/* Tests of policy/warm: a text that has a pattern is never taken for one that has none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "policy/warm.h"

enum { TEXT = 200000 };

static bool worth_with(char *text, size_t n, size_t at, const char *what)
{
	size_t len = strlen(what);
	char was[16];
	memcpy(was, text + at, len);
	memcpy(text + at, what, len);
	bool worth = rf_warm_worth((struct rf_str){ text, n });
	memcpy(text + at, was, len);
	return worth;
}

static void wherever_it_stands(void **state)
{
	(void)state;
	static const size_t sizes[] = { 7, 8, 255, 256, 257, 263, 264, 1000, 65535, 65536, 65537, 65543, 65544, 131072, TEXT };
	char *text = malloc(TEXT);
	memset(text, 'c', TEXT);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		size_t n = sizes[i], step = n < 300 ? 1 : 251;
		assert_false(rf_warm_worth((struct rf_str){ text, n }));
		for (size_t at = 0; at + 7 <= n; at += step)
			assert_true(worth_with(text, n, at, "matches"));
		for (size_t at = 0; at < n; at += step)
			assert_true(worth_with(text, n, at, "~"));
		assert_true(worth_with(text, n, n - 7, "matches") && worth_with(text, n, n - 1, "~"));
		assert_false(worth_with(text, n, n - 7, "mattch ")); /* looked at more closely */
	}
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(wherever_it_stands) };
	return cmocka_run_group_tests_name("policy-warm", tests, NULL, NULL);
}
