#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <unistd.h>
#include "loop/replay.h"
#include "net/addr.h"
#include "net/datagram.h"

static struct rf_datagram_use use;
static struct rf_datagram *close_at;    /* closed when a message of `close_when` arrives */
static unsigned messages, datagrams, errors;
static char last[RF_DATAGRAM_MAX + 1];
static struct rf_dgram last_m;

static void message(struct rf_datagram *s, const struct rf_dgram *m)
{
	(void)s;
	messages++;
	datagrams += rf_dgram_count(m);
	last_m = *m;
	memcpy(last, m->p, m->n);
	last[m->n] = 0;
	if (close_at)
		rf_datagram_close(close_at);
}

static void error(struct rf_datagram *s, int code)
{
	(void)s;
	assert_int_equal(code, RF_E_RESET);
	errors++;
}

static void begin(struct rf_loop *loop)
{
	messages = datagrams = errors = 0;
	close_at = NULL;
	assert_int_equal(rf_datagram_use_init(&use, loop, message, error), RF_OK);
}

static struct rf_addr addr(const char *text)
{
	struct rf_addr a;
	assert_true(rf_addr_parse(rf_str_z(text), &a));
	return a;
}

static void arrive(struct rf_peer *p, unsigned count)
{
	struct rf_dgram m = { .peer = addr("192.0.2.1:4000"), .local = addr("198.51.100.1:53"), .p = (char[]){ "x" }, .n = 1 };
	while (count--)
		rf_replay_arrive(p, &m);
}

static void many_arrive_in_turns(void **state)
{
	(void)state;
	struct rf_replay *r = rf_replay_new();
	struct rf_datagram s, other;
	begin(rf_replay_loop(r));
	assert_int_equal(rf_datagram_adopt(&s, &use, rf_replay_udp(r)), RF_OK);
	assert_int_equal(rf_datagram_adopt(&other, &use, rf_replay_udp(r)), RF_OK);
	arrive(rf_replay_udp_peer(r, s.io.fd), 1000);
	arrive(rf_replay_udp_peer(r, other.io.fd), 1);
	rf_loop_turn(rf_replay_loop(r), 0);
	assert_int_equal(messages, 2 * 4 * RF_DGRAMS_MAX + 1); /* a turn by its edge, one by its task; the other has its own between */
	assert_int_equal(rf_replay_run(r, 0), RF_OK);
	assert_int_equal(messages, 1001);
	assert_true(rf_addr_port(&last_m.local) == 53 && rf_addr_port(&last_m.peer) == 4000);
	arrive(rf_replay_udp_peer(r, s.io.fd), 1000);
	close_at = &s;
	rf_replay_run(r, 0);
	assert_int_equal(messages, 1002); /* none after it was closed */
	rf_datagram_close(&other);
	rf_datagram_use_fini(&use);
	rf_replay_free(r);
}

static void a_socket_that_waits_may_be_closed(void **state)
{
	(void)state;
	struct rf_replay *r = rf_replay_new();
	struct rf_datagram s;
	begin(rf_replay_loop(r));
	assert_int_equal(rf_datagram_adopt(&s, &use, rf_replay_udp(r)), RF_OK);
	arrive(rf_replay_udp_peer(r, s.io.fd), 1000);
	rf_loop_turn(rf_replay_loop(r), 0);
	unsigned so_far = messages;
	rf_datagram_close(&s);
	rf_replay_run(r, 0);
	assert_int_equal(messages, so_far);
	rf_datagram_use_fini(&use);
	rf_replay_free(r);
}

static void who_cannot_be_reached_is_told(void **state)
{
	(void)state;
	struct rf_replay *r = rf_replay_new();
	struct rf_datagram s;
	struct rf_addr to = addr("198.51.100.9:5000");
	int why = 0;
	begin(rf_replay_loop(r));
	assert_int_equal(rf_datagram_connect(&s, &use, &to), RF_OK);
	struct rf_peer *p = rf_replay_udp_dialled(r, &to);
	assert_non_null(p);
	assert_int_equal(rf_datagram_send(&s, &(struct rf_dgram){ 0 }, RF_STR(""), RF_STR("one"), &why), 0);
	struct rf_dgram left;
	assert_true(rf_replay_leave(p, &left) && left.n == 3 && !memcmp(left.p, "one", 3));
	arrive(p, 1);
	rf_replay_reset(p);
	rf_replay_run(r, 0);
	assert_int_equal(errors, 1);
	assert_int_equal(messages, 1); /* what came before the error is not lost */
	rf_replay_window(p, 2);
	assert_int_equal(rf_datagram_send(&s, &(struct rf_dgram){ .segment = 2 }, RF_STR("+"), RF_STR("aabbc"), &why), 0);
	assert_true(rf_replay_leave(p, &left) && left.n == 3 && !memcmp(left.p, "+aa", 3));
	assert_int_equal(rf_datagram_send(&s, &(struct rf_dgram){ 0 }, RF_STR(""), RF_STR("lost"), &why), 1);
	assert_int_equal(why, RF_E_AGAIN);
	rf_datagram_close(&s);
	assert_int_equal(rf_datagram_send(&s, &(struct rf_dgram){ 0 }, RF_STR(""), RF_STR("closed"), &why), 1);
	rf_datagram_use_fini(&use);
	rf_replay_free(r);
}

/* --- over the kernel --- */

static int bound(const char *at, struct rf_addr *ret)
{
	struct rf_addr a = addr(at);
	int fd = socket(a.sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, &a.sa, a.len), 0);
	ret->len = sizeof ret->any;
	assert_int_equal(getsockname(fd, &ret->sa, &ret->len), 0);
	return fd;
}

static void wait_for(struct rf_loop *loop, unsigned count)
{
	for (int i = 0; i < 100 && datagrams < count; i++)
		rf_loop_turn(loop, 10 * RF_NS_MS);
	assert_int_equal(datagrams, count);
}

struct way { const char *socket, *client, *to; };

static void answers_come_from_where_the_client_sent(void **state)
{
	static const struct way ways[] = {
		{ "0.0.0.0:0", "127.0.0.1:0", "127.0.0.2" }, { "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1" },
		{ "[::]:0", "[::1]:0", "::1" }, { "[::]:0", "127.0.0.1:0", "127.0.0.3" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
		struct rf_err e;
		struct rf_loop *loop = rf_loop_epoll(&e);
		struct rf_datagram s;
		struct rf_addr at, from, to;
		struct rf_ip ip;
		char buf[16];
		begin(loop);
		assert_int_equal(rf_datagram_adopt(&s, &use, bound(ways[i].socket, &at)), RF_OK);
		int client = bound(ways[i].client, &from);
		assert_true(rf_ip_parse(rf_str_z(ways[i].to), &ip));
		to = rf_addr_of(&ip, rf_addr_port(&at));
		assert_int_equal(connect(client, &to.sa, to.len), 0);
		assert_int_equal(send(client, "hello", 5, 0), 5);
		wait_for(loop, 1);
		assert_string_equal(last, "hello");
		assert_true(rf_addr_eq(&last_m.local, &to) && rf_addr_eq(&last_m.peer, &from));
		struct rf_dgram back = { .peer = last_m.peer, .local = to };
		assert_int_equal(rf_datagram_send(&s, &back, RF_STR("re:"), RF_STR("hello"), NULL), 0);
		assert_int_equal(recv(client, buf, sizeof buf, 0), 8); /* connected: from nowhere else */
		close(client);
		rf_datagram_close(&s);
		rf_datagram_use_fini(&use);
		rf_loop_free(loop);
	}
}

static void segments_stay_together_and_leave_apart(void **state)
{
	(void)state;
	struct rf_err e;
	struct rf_loop *loop = rf_loop_epoll(&e);
	struct rf_datagram s;
	struct rf_addr at, from;
	char big[1000], buf[200];
	begin(loop);
	assert_int_equal(rf_datagram_adopt(&s, &use, bound("127.0.0.1:0", &at)), RF_OK);
	int client = bound("127.0.0.1:0", &from);
	assert_int_equal(connect(client, &at.sa, at.len), 0);
	memset(big, 'a', sizeof big);
	assert_int_equal(setsockopt(client, SOL_UDP, UDP_SEGMENT, &(int){ 110 }, sizeof(int)), 0);
	assert_int_equal(send(client, big, sizeof big, 0), sizeof big);
	wait_for(loop, 10);
	struct rf_dgram back = { .peer = from, .segment = 110 };
	assert_int_equal(rf_datagram_send(&s, &back, RF_STR("12345678"), (struct rf_str){ big, sizeof big }, NULL), 0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(recv(client, buf, sizeof buf, 0), i < 9 ? 118 : 18);
	assert_int_equal(recv(client, buf, sizeof buf, MSG_DONTWAIT), -1);
	assert_int_equal(rf_datagram_send(&s, &(struct rf_dgram){ .peer = from }, RF_STR(""), RF_STR(""), NULL), 0);
	assert_int_equal(recv(client, buf, sizeof buf, 0), 0); /* an empty one is one */
	close(client);
	rf_datagram_close(&s);
	rf_datagram_use_fini(&use);
	rf_loop_free(loop);
}

static void a_closed_port_is_an_error(void **state)
{
	(void)state;
	struct rf_err e;
	struct rf_loop *loop = rf_loop_epoll(&e);
	struct rf_datagram s;
	struct rf_addr at;
	begin(loop);
	close(bound("127.0.0.1:0", &at));
	assert_int_equal(rf_datagram_connect(&s, &use, &at), RF_OK);
	assert_int_equal(rf_datagram_send(&s, &(struct rf_dgram){ 0 }, RF_STR(""), RF_STR("x"), NULL), 0);
	for (int i = 0; i < 100 && !errors; i++)
		rf_loop_turn(loop, 10 * RF_NS_MS);
	assert_int_equal(errors, 1);
	rf_loop_turn(loop, 0);
	assert_int_equal(errors, 1);
	rf_datagram_close(&s);
	rf_datagram_use_fini(&use);
	rf_loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_arrive_in_turns),
		cmocka_unit_test(a_socket_that_waits_may_be_closed),
		cmocka_unit_test(who_cannot_be_reached_is_told),
		cmocka_unit_test(answers_come_from_where_the_client_sent),
		cmocka_unit_test(segments_stay_together_and_leave_apart),
		cmocka_unit_test(a_closed_port_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
