/* Making way: who gives is not late, who does not is told; memory that is freed in pieces. Times are processor time, with a wide margin. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/way.h"

enum { LONG_NS = 20000000, MUCH = 8 << 20 };

static uint64_t used(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * RF_NS_S + (uint64_t)t.tv_nsec;
}

static void work(int give)
{
	for (uint64_t end = used() + LONG_NS; used() < end;)
		if (give)
			rf_way_give();
}

static void told(void *arg) { ++*(unsigned *)arg; }

static bool zeroed(size_t n, size_t size)
{
	char *dirty = malloc(n * size), *p;
	if (dirty)
		memset(dirty, 1, n * size); /* what comes next may be the same memory */
	rf_way_free(dirty);
	p = rf_way_calloc(n, size);
	bool all = p;
	for (size_t i = 0; p && i < n * size; i++)
		all &= !p[i];
	rf_way_free(p);
	return all;
}

static void *in_thread(void *arg)
{
	uint64_t *late = arg;
	unsigned told_of = 0;
	rf_way_gives();
	rf_way_tell(told, &told_of, LONG_NS / 4);
	work(1);
	late[3] = told_of;
	rf_way_tell(NULL, NULL, 0);
	rf_way_latest();
	work(1);
	late[0] = rf_way_latest();
	work(0);
	late[1] = rf_way_latest();
	late[2] = rf_way_latest();
	char *much = malloc(MUCH);
	if (much)
		memset(much, 1, MUCH);
	rf_way_free(much);
	rf_way_free(NULL);
	late[4] = zeroed(MUCH / 8, 8) && zeroed(1, 1);
	return NULL;
}

static void who_does_not_give_is_late(void **state)
{
	(void)state;
	pthread_t t;
	uint64_t late[5];
	assert_int_equal(pthread_create(&t, NULL, in_thread, late), 0);
	pthread_join(t, NULL);
	assert_true(late[0] < LONG_NS / 2);
	assert_true(late[1] > LONG_NS / 2);
	assert_true(late[2] < LONG_NS / 2);
	assert_true(late[4]);
	assert_true(late[3] >= 3); /* it gets on, and says so */
}

static void other_threads_do_not_give(void **state)
{
	(void)state;
	assert_int_equal(rf_way_left, 0);
	work(1);
	rf_way_look();
	assert_int_equal(rf_way_left, 0);
	assert_int_equal(rf_way_latest(), 0);
	rf_way_free(malloc(MUCH));
}

static void *last(void *arg)
{
	rf_way_first();
	rf_way_last();
	*(int *)arg = getpriority(PRIO_PROCESS, (id_t)gettid());
	return NULL;
}

/* As realloc, of memory of its own and of the heap, by a thread that gives and by one that does not. */
static bool grows(void)
{
	enum { STEPS = 12 };
	unsigned char *v = rf_way_grow(NULL, 1000), *other = malloc(MUCH);
	size_t n = 1000;
	bool good = v && other;
	free(other); /* room in the heap, where that is not mapped */
	for (size_t i = 0; good && i < n; i++)
		v[i] = (unsigned char)(i * 7);
	for (int step = 0; good && step < STEPS; step++) {
		unsigned char *w = rf_way_grow(v, n * 2);
		for (size_t i = 0; w && i < n * 2; i++)
			if (i >= n)
				w[i] = (unsigned char)(i * 7);
			else
				good &= w[i] == (unsigned char)(i * 7);
		good &= w != NULL;
		v = w ? w : v;
		n *= w ? 2 : 1;
	}
	rf_way_free(v);
	return good;
}

static void *grows_in_thread(void *arg)
{
	rf_way_gives();
	*(bool *)arg = grows();
	return NULL;
}

static void what_grows_keeps_what_it_has(void **state)
{
	(void)state;
	pthread_t t;
	bool good = false;
	mallopt(M_MMAP_THRESHOLD, 2 * MUCH); /* all from the heap */
	assert_true(grows());
	assert_int_equal(pthread_create(&t, NULL, grows_in_thread, &good), 0);
	pthread_join(t, NULL);
	assert_true(good);
	mallopt(M_MMAP_THRESHOLD, MUCH / 32);
	assert_int_equal(pthread_create(&t, NULL, grows_in_thread, &good), 0);
	pthread_join(t, NULL);
	assert_true(good);
}

static void priorities_are_of_one_thread(void **state)
{
	(void)state;
	pthread_t t;
	int nice_before = getpriority(PRIO_PROCESS, (id_t)getpid()), nice_there = 0;
	assert_int_equal(pthread_create(&t, NULL, last, &nice_there), 0);
	pthread_join(t, NULL);
	assert_int_equal(nice_there, 19);
	assert_int_equal(getpriority(PRIO_PROCESS, (id_t)getpid()), nice_before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_does_not_give_is_late),
		cmocka_unit_test(other_threads_do_not_give),
		cmocka_unit_test(what_grows_keeps_what_it_has),
		cmocka_unit_test(priorities_are_of_one_thread),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
