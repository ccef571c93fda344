#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/clock.h"
#include "loop/impl.h"
#include "loop/replay.h"

const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1"; /* for timers_without_memory_fire_at_once */
}

static int setup(void **state)
{
	struct rf_err e;
	*state = rf_loop_epoll(&e);
	return *state ? 0 : -1;
}

static int setup_replay(void **state)
{
	*state = rf_replay_loop(rf_replay_new());
	return 0;
}

static int teardown(void **state)
{
	rf_loop_free(*state);
	return 0;
}

struct shot {
	struct rf_timer t;
	struct rf_loop *loop;
	int fired, again;
	struct shot *stops;
	uint64_t *last;
	uint64_t at;
};

static void fire(struct rf_timer *t)
{
	struct shot *s = RF_CONTAINER(t, struct shot, t);
	s->fired++;
	if (s->last) {
		assert_true(*s->last <= s->at);
		*s->last = s->at;
	}
	if (s->stops)
		rf_timer_stop(s->loop, &s->stops->t);
	if (s->again && s->again--)
		rf_timer_set(s->loop, t, rf_loop_now(s->loop));
}

static void timers_fire_in_order_once_due(void **state)
{
	struct rf_loop *loop = *state;
	enum { N = 100000 };
	struct shot *s = calloc(N, sizeof *s);
	uint64_t now = rf_loop_now(loop), last = 0;
	for (int i = 0; i < N; i++) {
		s[i] = (struct shot){ .t.fire = fire, .loop = loop, .last = &last,
				      .at = now - 1000000 + (uint64_t)i * 7919 % 1000000 };
		rf_timer_set(loop, &s[i].t, s[i].at);
	}
	for (int i = 0; i < N; i += 10)
		rf_timer_stop(loop, &s[i].t);
	for (int i = 1; i < N; i += 10)
		rf_timer_set(loop, &s[i].t, UINT64_MAX);
	rf_loop_turn(loop, 0);
	for (int i = 0; i < N; i++)
		assert_int_equal(s[i].fired, i % 10 > 1);
	for (int i = 1; i < N; i += 10)
		rf_timer_stop(loop, &s[i].t);
	free(s);
}

static void timer_set_while_firing_waits_for_the_next_turn(void **state)
{
	struct rf_loop *loop = *state;
	struct shot s = { .t.fire = fire, .loop = loop, .again = 2 };
	rf_timer_set(loop, &s.t, 0);
	for (int i = 1; i <= 3; i++) {
		rf_loop_turn(loop, UINT64_MAX);
		assert_int_equal(s.fired, i);
	}
}

static void timer_stopped_by_another_of_its_turn_does_not_fire(void **state)
{
	struct rf_loop *loop = *state;
	struct shot b = { .t.fire = fire, .loop = loop }, a = { .t.fire = fire, .loop = loop, .stops = &b };
	rf_timer_set(loop, &a.t, 1);
	rf_timer_set(loop, &b.t, 2);
	rf_loop_turn(loop, UINT64_MAX);
	assert_int_equal(a.fired, 1);
	assert_int_equal(b.fired, 0);
}

static void timers_without_memory_fire_at_once(void **state)
{
	struct rf_loop *loop = *state;
	struct shot s[4];
	for (int i = 0; i < 4; i++)
		s[i] = (struct shot){ .t.fire = fire, .loop = loop };
	struct rf_heap room = loop->timers;
	loop->timers.n = loop->timers.cap = (size_t)1 << 57; /* the next one would need more than there is */
	for (int i = 0; i < 4; i++)
		rf_timer_set(loop, &s[i].t, UINT64_MAX);
	rf_timer_stop(loop, &s[3].t); /* the first, one in the middle and none */
	rf_timer_stop(loop, &s[1].t);
	rf_timer_stop(loop, &s[1].t);
	loop->timers = room;
	rf_loop_turn(loop, UINT64_MAX); /* does not wait */
	assert_int_equal(s[0].fired, 1);
	assert_int_equal(s[1].fired, 0);
	assert_int_equal(s[2].fired, 1);
	assert_int_equal(s[3].fired, 0);
}

struct chore {
	struct rf_task t;
	struct rf_loop *loop;
	int ran;
	struct chore *cancels;
};

static void chore_run(struct rf_task *t)
{
	struct chore *c = RF_CONTAINER(t, struct chore, t);
	c->ran++;
	rf_loop_defer(c->loop, t);
	if (c->cancels)
		rf_task_cancel(&c->cancels->t);
}

static void task_runs_once_a_turn_and_can_be_cancelled(void **state)
{
	struct rf_loop *loop = *state;
	struct chore b = { .t.run = chore_run, .loop = loop }, a = { .t.run = chore_run, .loop = loop, .cancels = &b };
	rf_loop_defer(loop, &a.t);
	rf_loop_defer(loop, &a.t);
	rf_loop_defer(loop, &b.t);
	rf_loop_turn(loop, UINT64_MAX);
	rf_loop_turn(loop, UINT64_MAX); /* does not wait: a is deferred again */
	assert_int_equal(a.ran, 2);
	assert_int_equal(b.ran, 0);
	rf_task_cancel(&a.t);
}

static void replay_notices_work_without_end(void **state)
{
	(void)state;
	struct rf_replay *r = rf_replay_new();
	struct chore c = { .t.run = chore_run, .loop = rf_replay_loop(r) };
	rf_loop_defer(c.loop, &c.t);
	assert_int_equal(rf_replay_run(r, RF_NS_S), RF_E_FULL);
	rf_task_cancel(&c.t);
	assert_int_equal(rf_replay_run(r, RF_NS_S), RF_OK);
	rf_replay_free(r);
}

enum { THREADS = 4, POSTS = 5000 };

struct letter {
	struct rf_msg m;
	int thread, number;
};

struct sender {
	pthread_t id;
	struct rf_loop *loop;
	struct letter letters[POSTS];
};

static int received[THREADS];

static void letter_run(struct rf_loop *loop, struct rf_msg *m)
{
	struct letter *l = RF_CONTAINER(m, struct letter, m);
	assert_int_equal(l->number, received[l->thread]);
	received[l->thread]++;
	int all = 0;
	for (int i = 0; i < THREADS; i++)
		all += received[i];
	if (all == THREADS * POSTS)
		rf_loop_stop(loop);
}

static void *send_letters(void *arg)
{
	struct sender *s = arg;
	for (int i = 0; i < POSTS; i++)
		rf_loop_post(s->loop, &s->letters[i].m);
	return NULL;
}

static void posts_of_many_threads_arrive_in_order(void **state)
{
	struct sender *s = calloc(THREADS, sizeof *s);
	for (int i = 0; i < THREADS; i++) {
		s[i].loop = *state;
		for (int k = 0; k < POSTS; k++)
			s[i].letters[k] = (struct letter){ .m.run = letter_run, .thread = i, .number = k };
		assert_int_equal(pthread_create(&s[i].id, NULL, send_letters, &s[i]), 0);
	}
	rf_loop_run(*state);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(s[i].id, NULL);
		assert_int_equal(received[i], POSTS);
	}
	free(s);
}

static int hooks[2];

static void count_hook(void *arg, bool online)
{
	(void)arg;
	hooks[online]++;
}

static void hook_surrounds_only_waits_that_block(void **state)
{
	rf_loop_hook(*state, count_hook, NULL);
	hooks[0] = hooks[1] = 0;
	rf_loop_turn(*state, 0);
	assert_int_equal(hooks[0], 0);
	assert_int_equal(hooks[1], 1);
	rf_loop_turn(*state, 1);
	assert_int_equal(hooks[0], 1);
	assert_int_equal(hooks[1], 3);
	rf_loop_stop(*state);
	rf_loop_run(*state);
	assert_int_equal(hooks[0], 1);
}

/* Two ios that are ready in one turn; the first to run closes and frees the other. */
struct pair {
	struct rf_io *io[2];
	struct rf_loop *loop;
	int ran;
};

static struct pair pair;

static void close_other(struct rf_io *io, unsigned events)
{
	(void)events;
	int other = io == pair.io[0];
	pair.ran++;
	assert_non_null(pair.io[other]);
	rf_loop_close(pair.loop, pair.io[other]);
	free(pair.io[other]);
	pair.io[other] = NULL;
}

static void closed_io_gets_no_late_event(void **state)
{
	int far[2];
	pair = (struct pair){ .loop = *state };
	for (int i = 0; i < 2; i++) {
		int fd[2];
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
		far[i] = fd[1];
		pair.io[i] = calloc(1, sizeof **pair.io);
		*pair.io[i] = (struct rf_io){ .fd = fd[0], .ready = close_other };
		assert_int_equal(rf_loop_add(*state, pair.io[i]), RF_OK);
	}
	rf_loop_turn(*state, RF_NS_S);
	assert_int_equal(pair.ran, 1);
	for (int i = 0; i < 2; i++) {
		close(far[i]);
		if (pair.io[i])
			rf_loop_close(*state, pair.io[i]);
		free(pair.io[i]);
	}
}

static void only_seen(struct rf_io *io, unsigned events)
{
	(void)io;
	(void)events;
	pair.ran++;
}

static void shared_descriptor_is_silent_after_close(void **state)
{
	int fd[2];
	pair = (struct pair){ 0 };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	int kept = dup(fd[0]);
	struct rf_io io = { .fd = fd[0], .ready = only_seen, .shared = true };
	assert_int_equal(rf_loop_add(*state, &io), RF_OK);
	rf_loop_close(*state, &io);
	assert_int_equal(io.fd, -1);
	assert_int_equal(write(fd[1], "x", 1), 1);
	rf_loop_turn(*state, 0);
	assert_int_equal(pair.ran, 0);
	close(kept);
	close(fd[1]);
}

static struct rf_loop *signalled;

static void on_signal(int number)
{
	(void)number;
	rf_loop_stop(signalled);
}

static void stop_from_a_signal_handler(void **state)
{
	signalled = *state;
	signal(SIGUSR1, on_signal);
	raise(SIGUSR1);
	rf_loop_run(*state);
	signal(SIGUSR1, SIG_DFL);
}

enum { TURNS = 200000, GATHERED = 100000, IN_A_ROW = 5 };

/* Turns of one event each follow each other by microseconds; once that is seen, the next ones are apart. */
static void turns_are_gathered_under_load(void **state)
{
	struct rf_loop *loop = *state;
	int row = 0;
	rf_loop_gather(loop, GATHERED);
	for (int i = 0; i < TURNS && row < IN_A_ROW; i++) {
		uint64_t began = rf_loop_mono(loop);
		loop->ops->wake(loop);
		rf_loop_turn(loop, RF_NS_S);
		row = rf_loop_mono(loop) - began >= GATHERED ? row + 1 : 0;
	}
	assert_int_equal(row, IN_A_ROW);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define BOTH(name) T(name), { #name " (replay)", name, setup_replay, teardown, NULL }
	const struct CMUnitTest tests[] = {
		BOTH(timers_fire_in_order_once_due),
		BOTH(timer_set_while_firing_waits_for_the_next_turn),
		BOTH(timer_stopped_by_another_of_its_turn_does_not_fire),
		BOTH(timers_without_memory_fire_at_once),
		BOTH(task_runs_once_a_turn_and_can_be_cancelled),
		cmocka_unit_test(replay_notices_work_without_end),
		T(posts_of_many_threads_arrive_in_order),
		BOTH(hook_surrounds_only_waits_that_block),
		T(closed_io_gets_no_late_event),
		T(shared_descriptor_is_silent_after_close),
		T(stop_from_a_signal_handler),
		T(turns_are_gathered_under_load),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
