#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>
#include "net/addr.h"
#include "net/listener.h"

static void addresses_to_text_and_back(void **state)
{
	(void)state;
	static const char *const same[] = { "127.0.0.1:8443", "[::1]:443", "[2001:db8::7]:0", "unix:/run/x.sock",
					    "0.0.0.0:65535" };
	static const char *const bad[] = { "", ":", ":1", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1",
					   "127.0.0.1: 1", "[127.0.0.1]:1", "::1:443", "[::1]", "[::1:1", "name:1",
					   "unix:", "[]:1", "1.2.3.4:1x" };
	char text[RF_ADDR_TEXT], longest[200] = "unix:/";
	struct rf_addr a, b;
	for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
		assert_true(rf_addr_parse(rf_str_z(same[i]), &a));
		assert_string_equal(rf_addr_str(&a, text), same[i]);
		assert_true(rf_addr_parse(rf_str_z(text), &b) && rf_addr_eq(&a, &b));
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (rf_addr_parse(rf_str_z(bad[i]), &a))
			fail_msg("'%s' was taken", bad[i]);
	memset(longest + 6, 'x', 150);
	assert_false(rf_addr_parse((struct rf_str){ longest, 5 + 108 }, &a));
	assert_true(rf_addr_parse((struct rf_str){ longest, 5 + 107 }, &a));
	assert_int_equal(strlen(rf_addr_str(&a, text)), 5 + 107);
	assert_true(rf_addr_parse(RF_STR("[::ffff:192.0.2.1]:7"), &a));
	assert_string_equal(rf_addr_str(&a, text), "192.0.2.1:7");
	struct rf_ip none = { 0 };
	a = rf_addr_of(&none, 1);
	assert_string_equal(rf_addr_str(&a, text), "none");
	assert_int_equal(rf_addr_ip(&a).family, 0);
	assert_int_equal(rf_addr_port(&a), 0);
}

static int got[8], last_fd;
static uint32_t seen_from[8];

struct member {
	struct rf_listener l;
	int index;
};

static void keep_last(struct rf_listener *l, int fd, const struct rf_addr *peer)
{
	struct member *m = RF_CONTAINER(l, struct member, l);
	got[m->index]++;
	seen_from[m->index] = ntohl(peer->v4.sin_addr.s_addr);
	if (last_fd >= 0)
		close(last_fd);
	last_fd = fd;
}

static int dial(const struct rf_addr *to, const char *from)
{
	int fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct rf_addr a;
	assert_true(fd >= 0);
	if (from) {
		assert_true(rf_addr_parse(rf_str_z(from), &a));
		assert_int_equal(bind(fd, &a.sa, a.len), 0);
	}
	assert_int_equal(connect(fd, &to->sa, to->len), 0);
	return fd;
}

static int setup(void **state)
{
	struct rf_err e;
	memset(got, 0, sizeof got);
	last_fd = -1;
	*state = rf_loop_epoll(&e);
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	if (last_fd >= 0)
		close(last_fd);
	rf_loop_free(*state);
	return 0;
}

static struct rf_addr open_members(struct rf_loop *loop, const char *at, struct member *m, int n)
{
	struct rf_err e;
	struct rf_addr a;
	int fd[8];
	assert_true(rf_addr_parse(rf_str_z(at), &a));
	if (rf_listener_open_group(&a, n, fd, &e))
		fail_msg("%s", e.text);
	for (int i = 0; i < n; i++) {
		m[i].index = i;
		assert_int_equal(rf_listener_adopt(&m[i].l, loop, fd[i], keep_last), RF_OK);
	}
	return rf_listener_addr(fd[0]);
}

static int all(void)
{
	int n = 0;
	for (int i = 0; i < 8; i++)
		n += got[i];
	return n;
}

static void turns_until(struct rf_loop *loop, int want)
{
	for (int i = 0; i < 1000 && all() < want; i++)
		rf_loop_turn(loop, RF_NS_S / 10);
	assert_int_equal(all(), want);
}

static void a_source_always_meets_the_same_worker(void **state)
{
	struct member m[4];
	struct rf_addr at = open_members(*state, "127.0.0.1:0", m, 4);
	int owner[64], used[4] = { 0 }, dialled = 0;
	for (int round = 0; round < 3; round++)
		for (int i = 0; i < 64; i++) {
			char from[32];
			snprintf(from, sizeof from, "127.0.%d.%d:0", i % 8, i + 1);
			int before[4] = { got[0], got[1], got[2], got[3] }, who = -1, fd = dial(&at, from);
			turns_until(*state, ++dialled);
			for (int k = 0; k < 4; k++)
				if (got[k] > before[k])
					who = k;
			assert_int_equal(seen_from[who], 0x7f000000u + (uint32_t)(i % 8) * 256 + (uint32_t)i + 1);
			if (round)
				assert_int_equal(owner[i], who);
			owner[i] = who;
			used[who]++;
			close(fd);
		}
	for (int i = 0; i < 4; i++) {
		assert_true(used[i] >= 3 * 4); /* of 64 sources, 16 expected */
		rf_listener_close(&m[i].l);
	}
}

static void an_ipv6_source_meets_the_same_worker(void **state)
{
	struct member m[4];
	struct rf_addr at = open_members(*state, "[::1]:0", m, 4);
	for (int i = 1; i <= 8; i++) {
		int fd = dial(&at, NULL);
		turns_until(*state, i);
		close(fd);
	}
	assert_true(got[0] == 8 || got[1] == 8 || got[2] == 8 || got[3] == 8);
	for (int i = 0; i < 4; i++)
		rf_listener_close(&m[i].l);
}

static void accepted_connections_do_not_delay(void **state)
{
	struct member m;
	struct rf_addr at = open_members(*state, "127.0.0.1:0", &m, 1);
	int fd = dial(&at, NULL), on = 0;
	turns_until(*state, 1);
	assert_int_equal(getsockopt(last_fd, IPPROTO_TCP, TCP_NODELAY, &on, &(socklen_t){ sizeof on }), 0);
	assert_true(on);
	close(fd);
	rf_listener_close(&m.l);
	rf_listener_close(&m.l);
}

static void many_at_once_are_accepted_in_batches(void **state)
{
	struct member m;
	struct rf_addr at = open_members(*state, "127.0.0.1:0", &m, 1);
	int fd[200];
	for (int i = 0; i < 200; i++) /* more than one batch */
		fd[i] = dial(&at, NULL);
	rf_loop_turn(*state, 0);
	assert_in_range(all(), 1, 199);
	turns_until(*state, 200);
	for (int i = 0; i < 200; i++)
		close(fd[i]);
	rf_listener_close(&m.l);
}

static void unix_socket_replaces_a_stale_one_only(void **state)
{
	char dir[] = "/tmp/rf-listener-XXXXXX", at[64], path[48];
	struct member m;
	struct rf_err e;
	struct rf_addr a;
	int fd;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/s", dir);
	snprintf(at, sizeof at, "unix:%s", path);
	open_members(*state, at, &m, 1);
	assert_true(rf_addr_parse(rf_str_z(at), &a));
	assert_int_equal(rf_listener_open(&a, &fd, &e), RF_E_IO);
	assert_non_null(strstr(e.text, "another program"));
	rf_listener_close(&m.l);
	open_members(*state, at, &m, 1);
	fd = dial(&a, NULL);
	turns_until(*state, 1);
	close(fd);
	rf_listener_close(&m.l);
	unlink(path);
	rmdir(dir);
}

static void refusals_to_listen_say_why(void **state)
{
	struct rf_err e;
	struct rf_addr a;
	int fd[2] = { -7, -7 };
	(void)state;
	assert_true(rf_addr_parse(RF_STR("192.0.2.1:80"), &a));
	assert_int_equal(rf_listener_open(&a, fd, &e), RF_E_IO);
	assert_non_null(strstr(e.text, "192.0.2.1:80"));
	assert_non_null(strstr(e.text, "does not have"));
	assert_true(rf_addr_parse(RF_STR("unix:/nowhere/x"), &a));
	assert_int_equal(rf_listener_open_group(&a, 2, fd, &e), RF_E_INVALID);
}

static void exhausted_descriptors_pause_accepting(void **state)
{
	struct member m;
	struct rlimit before, low;
	struct rf_addr at = open_members(*state, "127.0.0.1:0", &m, 1);
	int fd = dial(&at, NULL), next = dup(fd);
	close(next);
	getrlimit(RLIMIT_NOFILE, &before);
	low = (struct rlimit){ (rlim_t)next, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	for (int i = 0; i < 100 && !m.l.exhausted; i++)
		rf_loop_turn(*state, RF_NS_S / 10);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(m.l.exhausted, 1);
	assert_int_equal(all(), 0);
	turns_until(*state, 1);
	close(fd);
	rf_listener_close(&m.l);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_to_text_and_back),
		T(a_source_always_meets_the_same_worker),
		T(an_ipv6_source_meets_the_same_worker),
		T(accepted_connections_do_not_delay),
		T(many_at_once_are_accepted_in_batches),
		T(unix_socket_replaces_a_stale_one_only),
		T(refusals_to_listen_say_why),
		T(exhausted_descriptors_pause_accepting),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
