/* The same suite runs on epoll with real sockets of 127.0.0.1 and on replay with scripted ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "loop/replay.h"
#include "net/addr.h"
#include "net/listener.h"
#include "net/stream.h"

/* One world for both: `far` is what the other side holds. */
struct far {
	int fd;
	struct rf_peer *p;
};

struct end { /* our side of a connection, as an owner would embed it */
	struct rf_stream s;
	int events;
	ssize_t last; /* what the latest read gave */
	char got[65536];
	size_t n;
	bool hold;    /* leave bytes unread */
	struct end *closes;
};

struct world {
	struct rf_loop *loop;
	struct rf_replay *r; /* NULL: epoll */
	struct rf_listener l;
	struct rf_addr at;
	struct end *ours; /* the accepted one */
	int lfd;
};

static struct world w;

#define UNTIL(condition)                                            \
	do {                                                        \
		int turns_ = 0;                                     \
		while (!(condition)) {                              \
			if (turns_++ == 2000)                       \
				fail_msg("never: %s", #condition);  \
			turn();                                     \
		}                                                   \
	} while (0)

static void turn(void)
{
	if (w.r)
		assert_int_equal(rf_replay_run(w.r, 0), RF_OK);
	else
		rf_loop_turn(w.loop, RF_NS_MS);
}

static void on_event(struct rf_stream *s)
{
	struct end *e = RF_CONTAINER(s, struct end, s);
	e->events++;
	if (e->closes)
		rf_stream_close(&e->closes->s);
	if (rf_stream_connected(s))
		return;
	while (!e->hold && e->n < sizeof e->got) {
		e->last = rf_stream_read(s, e->got + e->n, sizeof e->got - e->n);
		if (e->last <= 0)
			return;
		e->n += (size_t)e->last;
	}
}

static void on_accept(struct rf_listener *l, int fd, const struct rf_addr *peer)
{
	assert_int_equal(peer->sa.sa_family, AF_INET);
	assert_non_null(w.ours);
	if (rf_stream_accept(&w.ours->s, l->loop, fd, on_event))
		assert_int_equal(w.ours->s.io.fd, -1);
}

static int setup(void)
{
	struct rf_err e;
	int fd;
	if (w.r) {
		w.loop = rf_replay_loop(w.r);
		fd = rf_replay_listener(w.r);
	} else {
		w.loop = rf_loop_epoll(&e);
		assert_true(rf_addr_parse(RF_STR("127.0.0.1:0"), &w.at));
		assert_int_equal(rf_listener_open(&w.at, &fd, &e), RF_OK);
		w.at = rf_listener_addr(fd);
	}
	w.lfd = fd;
	return rf_listener_adopt(&w.l, w.loop, fd, on_accept);
}

static int setup_epoll(void **state)
{
	(void)state;
	w = (struct world){ 0 };
	return setup();
}

static int setup_replay(void **state)
{
	(void)state;
	w = (struct world){ .r = rf_replay_new() };
	assert_true(rf_addr_parse(RF_STR("198.51.100.7:443"), &w.at));
	return setup();
}

static int teardown(void **state)
{
	(void)state;
	rf_listener_close(&w.l);
	if (w.r)
		assert_int_equal(rf_replay_open(w.r), 0);
	rf_loop_free(w.loop);
	return 0;
}

static struct end *new_end(void)
{
	struct end *e = calloc(1, sizeof *e);
	assert_non_null(e);
	return e;
}

static void free_end(struct end *e)
{
	rf_stream_close(&e->s);
	free(e);
}

/* A connection to our listener; the accepted end in *ret. */
static struct far dial(struct end **ret)
{
	struct far f = { .fd = -1 };
	*ret = w.ours = new_end();
	if (w.r) {
		f.p = rf_replay_connect(w.r, w.lfd, NULL);
	} else {
		f.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(f.fd, &w.at.sa, w.at.len), 0);
	}
	UNTIL(w.ours->events);
	return f;
}

static void far_send(struct far f, const char *z)
{
	if (w.r)
		rf_replay_send(f.p, rf_str_z(z));
	else
		assert_int_equal(send(f.fd, z, strlen(z), MSG_NOSIGNAL), strlen(z));
}

/* Bytes taken; 0 when there are none now; -1 at the end. */
static ssize_t far_take(struct far f, char *to, size_t n)
{
	if (w.r) {
		n = rf_replay_take(f.p, to, n);
		return n || !rf_replay_ended(f.p) ? (ssize_t)n : -1;
	}
	ssize_t r = recv(f.fd, to, n, MSG_DONTWAIT);
	return r > 0 ? r : r == 0 ? -1 : errno == EAGAIN ? 0 : -1;
}

static void far_fin(struct far f)
{
	if (w.r)
		rf_replay_fin(f.p);
	else
		shutdown(f.fd, SHUT_WR);
}

static void far_close(struct far f)
{
	if (w.r)
		rf_replay_close(f.p);
	else
		close(f.fd);
}

static void far_reset(struct far f)
{
	if (w.r) {
		rf_replay_reset(f.p);
		return;
	}
	struct linger now = { 1, 0 };
	setsockopt(f.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	close(f.fd);
}

static ssize_t write_z(struct end *e, const char *z)
{
	struct iovec v[2] = { { (char *)z, 1 }, { (char *)z + 1, strlen(z) - 1 } };
	return rf_stream_write(&e->s, v, 2);
}

static void bytes_pass_both_ways(void **state)
{
	(void)state;
	struct end *e;
	struct far f = dial(&e);
	char buf[16];
	far_send(f, "hello");
	UNTIL(e->n == 5);
	assert_memory_equal(e->got, "hello", 5);
	far_send(f, "again");
	UNTIL(e->n == 10);
	assert_int_equal(e->s.in, 10);
	assert_int_equal(write_z(e, "world"), 5);
	UNTIL(far_take(f, buf, sizeof buf) == 5);
	assert_memory_equal(buf, "world", 5);
	assert_int_equal(e->s.app_out, 5);
	assert_int_equal(rf_stream_handshake(&e->s), RF_OK);
	assert_int_equal(rf_stream_connected(&e->s), RF_OK);
	far_close(f);
	UNTIL(e->last == RF_E_EOF);
	free_end(e);
}

static void unread_bytes_wait_and_edges_are_not_repeated(void **state)
{
	(void)state;
	struct end *e;
	struct far f = dial(&e);
	e->hold = true;
	int before = e->events;
	far_send(f, "one");
	UNTIL(e->events > before);
	before = e->events;
	turn();
	turn();
	assert_int_equal(e->events, before); /* the bytes are still there, but nothing has changed */
	far_send(f, "two");
	UNTIL(e->events > before);
	assert_int_equal(rf_stream_read(&e->s, e->got, 4), 4);
	assert_int_equal(rf_stream_read(&e->s, e->got + 4, 4), 2);
	assert_memory_equal(e->got, "onetwo", 6);
	assert_int_equal(rf_stream_read(&e->s, e->got, 4), RF_E_AGAIN);
	far_close(f);
	UNTIL(e->s.eof);
	assert_true(e->s.readable);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(rf_stream_read(&e->s, e->got, 4), RF_E_EOF);
		assert_true(e->s.eof && e->s.ended && !e->s.readable);
	}
	free_end(e);
}

static void end_that_comes_with_bytes_is_seen(void **state)
{
	(void)state;
	struct end *e;
	struct far f = dial(&e);
	far_send(f, "last words");
	far_fin(f);
	UNTIL(e->last == RF_E_EOF);
	assert_int_equal(e->n, 10);
	free_end(e);
	far_close(f);
}

static void back_pressure_holds_and_lets_go(void **state)
{
	(void)state;
	static char block[60000], sink[60000];
	struct end *e;
	struct far f = dial(&e);
	uint64_t sent = 0, taken = 0;
	e->hold = true;
	for (int rounds = 0; rounds < 3; rounds++) {
		ssize_t r;
		for (;;) { /* each byte tells its place */
			for (size_t i = 0; i < sizeof block; i++)
				block[i] = (char)((sent + i) * 31 >> 3);
			r = rf_stream_write(&e->s, &(struct iovec){ block, sizeof block }, 1);
			if (r <= 0)
				break;
			sent += (uint64_t)r;
			assert_true(sent < 1u << 28);
		}
		assert_int_equal(r, RF_E_AGAIN);
		assert_false(e->s.writable);
		while (taken < sent) {
			ssize_t n = far_take(f, sink, sizeof sink);
			assert_true(n >= 0);
			for (ssize_t i = 0; i < n; i++)
				assert_int_equal(sink[i], (char)((taken + (uint64_t)i) * 31 >> 3));
			taken += (uint64_t)n;
			turn();
		}
		UNTIL(e->s.writable);
	}
	assert_int_equal(e->s.out, sent);
	free_end(e);
	far_close(f);
}

static void half_closed_peer_still_gets_bytes(void **state)
{
	(void)state;
	struct end *e;
	struct far f = dial(&e);
	char buf[16];
	far_send(f, "question");
	far_fin(f);
	UNTIL(e->last == RF_E_EOF);
	assert_false(e->s.hup);
	assert_int_equal(write_z(e, "answer"), 6);
	assert_int_equal(rf_stream_shutdown(&e->s), RF_OK);
	UNTIL(far_take(f, buf, sizeof buf) == 6);
	UNTIL(far_take(f, buf, sizeof buf) == -1);
	UNTIL(e->s.hup); /* both sides have ended */
	assert_int_equal(write_z(e, "more"), RF_E_PIPE);
	free_end(e);
	far_close(f);
}

static void reset_is_told(void **state)
{
	(void)state;
	struct end *e;
	struct far f = dial(&e);
	far_reset(f);
	UNTIL(e->s.hup);
	assert_int_equal(e->last, RF_E_RESET);
	assert_int_equal(write_z(e, "late"), RF_E_PIPE); /* it is told once */
	free_end(e);
}

static void doomed_close_is_a_reset(void **state)
{
	(void)state;
	struct end *e;
	struct far f = dial(&e);
	char c;
	rf_stream_doom(&e->s);
	free_end(e);
	if (w.r) {
		assert_true(rf_replay_was_reset(f.p));
		return;
	}
	assert_int_equal(recv(f.fd, &c, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	far_close(f);
}

static void bytes_pass_through_a_pipe(void **state)
{
	(void)state;
	static char block[20000], sink[20000];
	struct end *e;
	struct far f = dial(&e);
	int ends[2];
	size_t in = 0, out = 0, taken = 0;
	assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
	e->hold = true;
	for (size_t i = 0; i + 1 < sizeof block; i++)
		block[i] = (char)('a' + i * 31 / 8 % 26);
	far_send(f, block);
	while (taken < sizeof block - 1) {
		ssize_t n = in == out ? rf_stream_splice_in(&e->s, ends[1], 8000) : 0;
		assert_true(n >= 0 || n == RF_E_AGAIN);
		in += n > 0 ? (size_t)n : 0;
		n = in > out ? rf_stream_splice_out(&e->s, ends[0], in - out) : 0;
		assert_true(n >= 0 || n == RF_E_AGAIN);
		out += n > 0 ? (size_t)n : 0;
		n = far_take(f, sink + taken, sizeof sink - taken);
		assert_true(n >= 0);
		taken += (size_t)n;
		turn();
	}
	assert_memory_equal(sink, block, sizeof block - 1);
	assert_int_equal(e->s.app_in, sizeof block - 1);
	assert_int_equal(e->s.app_out, sizeof block - 1);
	assert_int_equal(rf_stream_splice_in(&e->s, ends[1], 8000), RF_E_AGAIN);
	far_fin(f);
	UNTIL(e->s.eof);
	assert_int_equal(rf_stream_splice_in(&e->s, ends[1], 8000), RF_E_EOF);
	assert_int_equal(rf_stream_splice_in(&e->s, ends[1], 8000), RF_E_EOF);
	free_end(e);
	far_close(f);
	close(ends[0]);
	close(ends[1]);
}

static void writing_to_one_that_has_gone_is_a_broken_pipe(void **state)
{
	(void)state;
	struct end *e;
	struct far f = dial(&e);
	far_close(f);
	UNTIL(e->last == RF_E_EOF);
	assert_int_equal(write_z(e, "anybody?"), 8);
	UNTIL(e->s.hup);
	assert_int_equal(write_z(e, "there?"), RF_E_PIPE);
	free_end(e);
}

static void stream_closed_by_another_hears_nothing_more(void **state)
{
	(void)state;
	struct end *a, *b;
	struct far fa = dial(&a), fb = dial(&b);
	a->closes = b;
	b->closes = a;
	int before = a->events + b->events;
	far_send(fa, "x");
	far_send(fb, "x");
	UNTIL(a->events + b->events > before);
	turn();
	assert_int_equal(a->events + b->events, before + 1);
	assert_true(rf_stream_open(&a->s) != rf_stream_open(&b->s));
	a->closes = b->closes = NULL;
	free_end(a);
	free_end(b);
	far_close(fa);
	far_close(fb);
}

static void connect_meets_a_listener(void **state)
{
	(void)state;
	struct end *c = new_end();
	w.ours = new_end();
	assert_int_equal(rf_stream_connect(&c->s, w.loop, &w.at, on_event), RF_OK);
	assert_int_equal(rf_stream_connected(&c->s), RF_E_AGAIN);
	if (w.r) {
		turn();
		assert_int_equal(c->events, 0);
		assert_non_null(rf_replay_accept(w.r, &w.at, RF_REPLAY_ACCEPT));
		assert_null(rf_replay_accept(w.r, NULL, RF_REPLAY_ACCEPT));
	}
	UNTIL(c->events && rf_stream_connected(&c->s) == RF_OK);
	assert_int_equal(write_z(c, "hello"), 5);
	if (!w.r)
		UNTIL(w.ours->n == 5);
	free_end(c);
	free_end(w.ours);
}

static void connect_is_refused(void **state)
{
	(void)state;
	struct end *c = new_end();
	if (!w.r) { /* a port that was open a moment ago */
		rf_listener_close(&w.l);
	}
	int r = rf_stream_connect(&c->s, w.loop, &w.at, on_event);
	if (w.r)
		assert_non_null(rf_replay_accept(w.r, &w.at, RF_REPLAY_REFUSE));
	if (r == RF_OK)
		UNTIL(c->events);
	assert_int_equal(rf_stream_connected(&c->s), RF_E_REFUSED);
	free_end(c);
}

/* A layer that answers its handshake when it has read one byte, and turns every letter into the next. */
static int toy_handshake(struct rf_stream *s)
{
	char c;
	if (s->layer_state)
		return RF_OK;
	ssize_t r = rf_stream_recv(s, &c, 1);
	if (r == 1)
		s->layer_state = s;
	return r == 1 ? RF_OK : (int)r;
}

static ssize_t toy_read(struct rf_stream *s, void *p, size_t n)
{
	ssize_t r = rf_stream_recv(s, p, n);
	for (ssize_t i = 0; i < r; i++)
		((char *)p)[i]++;
	return r;
}

static int toy_shutdown(struct rf_stream *s)
{
	ssize_t r = rf_stream_send(s, &(struct iovec){ (char[]){ '.' }, 1 }, 1);
	return r == 1 ? RF_OK : (int)r;
}

static int toys_freed;

static void toy_free(struct rf_stream *s)
{
	assert_true(rf_stream_open(s));
	toys_freed++;
}

static const struct rf_layer toy = { toy_handshake, toy_read, rf_stream_send, toy_shutdown, toy_free };

static void layer_stands_between(void **state)
{
	(void)state;
	struct end *e;
	struct far f = dial(&e);
	char buf[8];
	toys_freed = 0;
	e->hold = true;
	rf_stream_layer(&e->s, &toy, NULL);
	assert_int_equal(rf_stream_handshake(&e->s), RF_E_AGAIN);
	far_send(f, "!HAL");
	UNTIL(e->s.readable);
	assert_int_equal(rf_stream_handshake(&e->s), RF_OK);
	assert_int_equal(rf_stream_read(&e->s, buf, sizeof buf), 3);
	assert_memory_equal(buf, "IBM", 3);
	assert_int_equal(e->s.in, 4);
	assert_int_equal(e->s.app_in, 3);
	assert_int_equal(rf_stream_shutdown(&e->s), RF_OK);
	UNTIL(far_take(f, buf, 1) == 1);
	UNTIL(far_take(f, buf, 1) == -1);
	assert_int_equal(e->s.out, 1);
	assert_int_equal(e->s.app_out, 0);
	free_end(e);
	assert_int_equal(toys_freed, 1);
	far_close(f);
}

/* From here on only what a script can do. */

struct patience {
	struct rf_timer t;
	struct end *e;
};

static void give_up(struct rf_timer *t)
{
	rf_stream_close(&RF_CONTAINER(t, struct patience, t)->e->s);
}

static void connect_that_hangs_ends_by_a_timer(void **state)
{
	(void)state;
	struct patience p = { .t.fire = give_up, .e = new_end() };
	assert_int_equal(rf_stream_connect(&p.e->s, w.loop, &w.at, on_event), RF_OK);
	struct rf_peer *far = rf_replay_accept(w.r, NULL, RF_REPLAY_HANG);
	rf_timer_set(w.loop, &p.t, rf_loop_now(w.loop) + 10 * RF_NS_S);
	assert_int_equal(rf_replay_run(w.r, 10 * RF_NS_S - 1), RF_OK);
	assert_false(rf_replay_closed(far));
	assert_int_equal(rf_replay_run(w.r, 1), RF_OK);
	assert_true(rf_replay_closed(far));
	assert_int_equal(p.e->events, 0);
	free(p.e);
}

static void window_bounds_what_passes(void **state)
{
	(void)state;
	struct end *e;
	struct far f = dial(&e);
	rf_replay_window(f.p, 3);
	assert_int_equal(write_z(e, "abcdef"), 3);
	assert_int_equal(write_z(e, "def"), RF_E_AGAIN);
	turn();
	assert_false(e->s.writable);
	assert_false(rf_replay_expect(f.p, RF_STR("abx")));
	assert_true(rf_replay_expect(f.p, RF_STR("ab")));
	turn();
	assert_int_equal(write_z(e, "def"), 2);
	rf_replay_window(f.p, 100);
	turn();
	assert_int_equal(write_z(e, "fgh"), 3);
	assert_true(rf_replay_expect(f.p, RF_STR("cdefgh")));
	free_end(e);
	assert_true(rf_replay_ended(f.p));
}

static void one_call_for_each_readiness(void **state)
{
	(void)state;
	struct end *e;
	struct far f = dial(&e);
	for (int i = 0; i < 3; i++) {
		uint64_t before = rf_replay_calls(w.r);
		far_send(f, "request");
		turn();
		assert_int_equal(write_z(e, "answer"), 6);
		turn();
		assert_int_equal(rf_replay_calls(w.r) - before, 2); /* none that only sees EAGAIN */
	}
	assert_int_equal(e->n, 21);
	free_end(e);
}

static void exhausted_accept_rests_and_loses_nobody(void **state)
{
	(void)state;
	w.ours = new_end();
	rf_replay_fail_at(w.r, 1, RF_E_FULL);
	rf_replay_connect(w.r, w.lfd, NULL);
	assert_int_equal(rf_replay_run(w.r, RF_LISTENER_REST_NS - 1), RF_OK);
	assert_int_equal(w.l.accepted, 0);
	assert_int_equal(w.l.exhausted, 1);
	assert_int_equal(rf_replay_run(w.r, 1), RF_OK);
	assert_int_equal(w.l.accepted, 1);
	free_end(w.ours);
}

static int ticks;

static void tick(struct rf_timer *t)
{
	ticks++;
	rf_timer_set(w.loop, t, rf_loop_now(w.loop) + 60 * RF_NS_S);
}

static void a_day_passes_at_once(void **state)
{
	(void)state;
	struct rf_timer t = { .fire = tick };
	int64_t wall = rf_loop_wall(w.loop);
	ticks = 0;
	rf_timer_set(w.loop, &t, rf_loop_now(w.loop) + 60 * RF_NS_S);
	assert_int_equal(rf_replay_run(w.r, 86400 * RF_NS_S), RF_OK);
	assert_int_equal(ticks, 1440);
	rf_replay_wall_step(w.r, -(int64_t)RF_NS_S);
	assert_int_equal(rf_loop_wall(w.loop) - wall, 86399 * (int64_t)RF_NS_S);
	rf_timer_stop(w.loop, &t);
}

/* A whole life of a server's and a client's stream, tolerant of any failure. */
static void one_life(void)
{
	struct end *c = new_end();
	w.ours = new_end();
	struct rf_peer *in = rf_replay_connect(w.r, w.lfd, NULL);
	rf_replay_send(in, RF_STR("question"));
	assert_int_equal(rf_replay_run(w.r, RF_LISTENER_REST_NS), RF_OK);
	if (rf_stream_open(&w.ours->s)) {
		ssize_t r = write_z(w.ours, "answer");
		assert_true(r == 6 || r < 0);
		rf_stream_shutdown(&w.ours->s);
	}
	rf_replay_fin(in);
	if (rf_stream_connect(&c->s, w.loop, &w.at, on_event) == RF_OK) {
		rf_replay_accept(w.r, NULL, RF_REPLAY_ACCEPT);
		assert_int_equal(rf_replay_run(w.r, 0), RF_OK);
		if (rf_stream_connected(&c->s) == RF_OK)
			write_z(c, "call");
	} else {
		assert_int_equal(c->s.io.fd, -1);
	}
	assert_int_equal(rf_replay_run(w.r, 1), RF_OK);
	free_end(c);
	free_end(w.ours);
	assert_int_equal(rf_replay_open(w.r), 1); /* the listener: nothing leaks */
}

static void every_call_fails_once(void **state)
{
	(void)state;
	static const int codes[] = { RF_E_RESET, RF_E_IO, RF_E_AGAIN, RF_E_FULL };
	for (size_t k = 0; k < sizeof codes / sizeof *codes; k++) {
		uint64_t before, calls = 1;
		for (uint64_t n = 1; n <= calls; n++) {
			before = rf_replay_calls(w.r);
			rf_replay_fail_at(w.r, n, codes[k]);
			one_life();
			calls = rf_replay_calls(w.r) - before;
		}
		rf_replay_fail_at(w.r, 0, 0);
		one_life();
		assert_int_equal(w.ours != NULL, 1);
	}
	assert_true(w.l.exhausted > 0);
}

int main(void)
{
#define E(name) { #name " (epoll)", name, setup_epoll, teardown, NULL }
#define R(name) { #name " (replay)", name, setup_replay, teardown, NULL }
#define BOTH(name) E(name), R(name)
	const struct CMUnitTest tests[] = {
		BOTH(bytes_pass_both_ways),
		BOTH(unread_bytes_wait_and_edges_are_not_repeated),
		BOTH(end_that_comes_with_bytes_is_seen),
		BOTH(back_pressure_holds_and_lets_go),
		BOTH(half_closed_peer_still_gets_bytes),
		BOTH(reset_is_told),
		BOTH(doomed_close_is_a_reset),
		BOTH(bytes_pass_through_a_pipe),
		BOTH(writing_to_one_that_has_gone_is_a_broken_pipe),
		BOTH(stream_closed_by_another_hears_nothing_more),
		BOTH(connect_meets_a_listener),
		BOTH(connect_is_refused),
		BOTH(layer_stands_between),
		R(connect_that_hangs_ends_by_a_timer),
		R(window_bounds_what_passes),
		R(one_call_for_each_readiness),
		R(exhausted_accept_rests_and_loses_nobody),
		R(a_day_passes_at_once),
		R(every_call_fails_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
