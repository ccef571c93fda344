#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "net/bufpool.h"

static void pool_holds_its_bounds(void **state)
{
	(void)state;
	struct rf_bufpool pool;
	char *b[5];
	rf_bufpool_init(&pool, 4, 2);
	for (int i = 0; i < 4; i++) {
		b[i] = rf_bufpool_get(&pool);
		assert_non_null(b[i]);
		memset(b[i], i, RF_BUFPOOL_SIZE);
	}
	assert_null(rf_bufpool_get(&pool));
	assert_int_equal(pool.refused, 1);
	for (int i = 0; i < 4; i++)
		rf_bufpool_put(&pool, b[i]);
	rf_bufpool_put(&pool, NULL);
	assert_int_equal(pool.cached, 2);
	assert_int_equal(pool.high, 4);
	assert_ptr_equal(b[4] = rf_bufpool_get(&pool), b[1]); /* the one that is warm */
	memset(b[4], 1, RF_BUFPOOL_SIZE);
	rf_bufpool_put(&pool, b[4]);
	rf_bufpool_fini(&pool);
}

static size_t fill(struct rf_pipe *pipe, struct rf_bufpool *pool, char c)
{
	size_t n;
	char *p = rf_pipe_room(pipe, pool, &n);
	assert_non_null(p);
	memset(p, c, n);
	return n;
}

static void pipe_gives_its_buffer_back_when_empty(void **state)
{
	(void)state;
	struct rf_bufpool pool;
	struct rf_pipe pipe = { 0 };
	size_t n;
	rf_bufpool_init(&pool, 1, 1);
	assert_non_null(rf_pipe_room(&pipe, &pool, &n));
	assert_int_equal(n, RF_BUFPOOL_SIZE);
	rf_pipe_filled(&pipe, &pool, 0); /* nothing came: an idle connection */
	assert_int_equal(pool.out, 0);
	rf_pipe_filled(&pipe, &pool, fill(&pipe, &pool, 'a'));
	assert_true(rf_pipe_full(&pipe));
	assert_null(rf_pipe_room(&pipe, &pool, &n));
	assert_int_equal(n, 0);
	rf_pipe_eat(&pipe, &pool, RF_BUFPOOL_SIZE - 3);
	assert_int_equal(fill(&pipe, &pool, 'b'), RF_BUFPOOL_SIZE - 3);
	rf_pipe_filled(&pipe, &pool, 2);
	assert_true(rf_str_eq(rf_pipe_str(&pipe), RF_STR("aaabb")));
	rf_pipe_eat(&pipe, &pool, 5);
	assert_int_equal(pool.out, 0);
	assert_int_equal(rf_pipe_str(&pipe).n, 0);
	char *other = rf_bufpool_get(&pool);
	assert_null(rf_pipe_room(&pipe, &pool, &n)); /* none left */
	assert_int_equal(pool.refused, 1);
	rf_bufpool_put(&pool, other);
	rf_pipe_fini(&pipe, &pool);
	rf_bufpool_fini(&pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pool_holds_its_bounds),
		cmocka_unit_test(pipe_gives_its_buffer_back_when_empty),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
