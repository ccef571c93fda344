/* policy/regex: patterns are shared by all who have them, on any thread. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "policy/regex.h"

static struct regex *make(const char *pattern)
{
	struct regex *r = NULL;
	struct rf_err e = { 0 };
	size_t at;
	assert_int_equal(regex_make(rf_str_z(pattern), &r, &at, &e), RF_OK);
	return r;
}

static bool matches(const struct regex *r, const char *text)
{
	bool yes = false;
	assert_int_equal(regex_test(r, rf_str_z(text), &yes), RF_OK);
	return yes;
}

static void one_pattern_is_one_database(void **state)
{
	(void)state;
	struct regex *a = make("^/[a-z]+$"), *b = make("^/[a-z]+$"), *other = make("^/[a-z]*$");
	assert_ptr_equal(a, b);
	assert_ptr_not_equal(a, other);
	regex_free(a);
	assert_true(matches(b, "/abc") && !matches(b, "/") && matches(other, "/"));
	regex_free(b);
	struct regex *again = make("^/[a-z]+$"); /* nobody had it: it was kept */
	assert_ptr_equal(again, a);
	assert_true(matches(again, "/abc"));
	regex_free(again);
	regex_free(other);
}

static void what_is_wrong_is_not_kept(void **state)
{
	(void)state;
	struct regex *r = NULL;
	struct rf_err e = { 0 };
	size_t at = 0;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(regex_make(RF_STR("a(?<=b)("), &r, &at, &e), RF_E_SYNTAX);
		assert_null(r);
	}
}

/* More than is kept: those that were unused for longest go, and one that comes back is as good as new. */
static void the_unused_are_bounded(void **state)
{
	(void)state;
	char text[64];
	size_t most = 0, sum = 0;
	for (int i = 0; i < 500; i++) {
		snprintf(text, sizeof text, "(foo%d.*bar.*baz.*|q.*w.*e.*){2}", i);
		struct regex *r = make(text);
		sum += regex_bytes(r);
		regex_free(r);
		most = regex_idle() > most ? regex_idle() : most;
	}
	assert_true(sum > REGEX_IDLE_MAX);
	assert_true(most > REGEX_IDLE_MAX / 2 && most <= REGEX_IDLE_MAX);
	struct regex *r = make("(foo0.*bar.*baz.*|q.*w.*e.*){2}");
	assert_true(matches(r, "foo0 bar baz foo0 bar baz") && !matches(r, "foo0 bar"));
	regex_free(r);
}

enum { THREADS = 4, ROUNDS = 2000, PATTERNS = 5 };

static void *work(void *arg)
{
	char text[32], path[32];
	for (int i = 0; i < ROUNDS; i++) {
		int k = (i + (int)(intptr_t)arg) % PATTERNS;
		snprintf(text, sizeof text, "^/thread-%d$", k);
		snprintf(path, sizeof path, "/thread-%d", k);
		struct regex *r = NULL;
		struct rf_err e = { 0 };
		size_t at;
		bool yes = false;
		if (regex_make(rf_str_z(text), &r, &at, &e) != RF_OK || regex_test(r, rf_str_z(path), &yes) != RF_OK || !yes)
			return (void *)1;
		regex_free(r);
	}
	return NULL;
}

static void threads_share(void **state)
{
	(void)state;
	pthread_t t[THREADS];
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, work, (void *)(intptr_t)i), 0);
	for (int i = 0; i < THREADS; i++) {
		void *wrong = (void *)1;
		pthread_join(t[i], &wrong);
		assert_null(wrong);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_pattern_is_one_database),
		cmocka_unit_test(what_is_wrong_is_not_kept),
		cmocka_unit_test(the_unused_are_bounded),
		cmocka_unit_test(threads_share),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
