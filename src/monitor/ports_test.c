/* Ports: what the engine may have, sockets that are bound, and the kernel steering to them, in a network namespace of the test's own (root). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>
#include "monitor/ports.h"
#include "monitor/request.h"
#include "monitor/steer.h"
#include "monitor/taken.h"

enum { WORKERS = 2 };

static struct rf_plan plan;
static struct rf_port_sockets sockets;
static struct rf_err err;
static char dir[64];

static struct rf_ip ip(const char *text)
{
	struct rf_ip ret;
	assert_true(rf_ip_parse(rf_str_z(text), &ret));
	return ret;
}

static void listener(const char *at, uint16_t port, bool ports, bool transparent)
{
	plan.listeners[plan.listener_count++] = (struct rf_plan_listener){
		.name = "x", .ip = ip(at), .port = port, .sockets = WORKERS, .backlog = 8, .ports = ports, .transparent = transparent };
}

static void allow(unsigned low, unsigned high)
{
	for (unsigned i = low; i <= high; i++)
		plan.ports_allowed[i / 64] |= 1ull << i % 64;
}

/* 0: https at all addresses, 1: ports at one, 2: what is routed through. */
static int setup(void **state)
{
	(void)state;
	if (geteuid() == 0 && unshare(CLONE_NEWNET) == 0) {
		struct ifreq r = { .ifr_name = "lo", .ifr_flags = IFF_UP };
		int fd = socket(AF_INET, SOCK_DGRAM, 0);
		assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &r), 0);
		close(fd);
	}
	memset(&plan, 0, sizeof plan);
	memset(&sockets, 0, sizeof sockets);
	listener("0.0.0.0", 20443, false, false);
	listener("127.0.0.5", 0, true, false);
	listener("0.0.0.0", 20900, true, true);
	allow(20000, 30000);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rf_port_sockets_close(&sockets);
	return 0;
}

static struct rf_port_name tcp(unsigned listener_at, uint16_t port) { return (struct rf_port_name){ listener_at, false, port }; }
static struct rf_port_name udp(unsigned listener_at, uint16_t port) { return (struct rf_port_name){ listener_at, true, port }; }

static bool asked(enum rf_request_kind kind, struct rf_port_name n)
{
	struct rf_request q = { .magic = RF_REQUEST_MAGIC, .kind = kind, .arg = rf_port_arg(n) }, ret;
	return rf_request_check(&q, sizeof q, &plan, &ret) == RF_OK;
}

static void only_what_the_boot_file_allows_can_be_asked_for(void **state)
{
	(void)state;
	assert_true(asked(RF_REQUEST_BIND, tcp(1, 20000)));
	assert_true(asked(RF_REQUEST_BIND, udp(1, 30000)));
	assert_false(asked(RF_REQUEST_BIND, tcp(1, 19999)));
	assert_false(asked(RF_REQUEST_BIND, tcp(1, 0)));
	assert_false(asked(RF_REQUEST_BIND, tcp(0, 20000))); /* not for ports */
	assert_false(asked(RF_REQUEST_BIND, tcp(3, 20000))); /* no such listener */
	assert_false(asked(RF_REQUEST_BIND, tcp(32767, 20000)));
	assert_false(asked(RF_REQUEST_BIND, tcp(1, 20443))); /* the edge's own listener has it */
	assert_true(asked(RF_REQUEST_BIND, udp(1, 20443)));
	assert_true(asked(RF_REQUEST_BIND, tcp(2, 20900)));
	assert_false(asked(RF_REQUEST_BIND, tcp(2, 20901))); /* what is routed comes by one port */
	assert_true(asked(RF_REQUEST_REPLY, udp(1, 20000)));
	assert_true(asked(RF_REQUEST_REPLY, udp(2, 53)));
	assert_false(asked(RF_REQUEST_REPLY, udp(1, 53)));
	assert_false(asked(RF_REQUEST_REPLY, tcp(1, 20000)));
	assert_false(asked(RF_REQUEST_REPLY, udp(0, 20000)));
	assert_false(asked(RF_REQUEST_STEERED, udp(0, RF_PORT_GROUPS)));
	uint64_t words[2 * 1024];
	rf_port_allowed_all(&plan, 1, words);
	for (unsigned port = 1; port < 65536; port++) {
		assert_int_equal(words[port / 64] >> port % 64 & 1, rf_port_allowed(&plan, tcp(1, (uint16_t)port)));
		assert_int_equal(words[1024 + port / 64] >> port % 64 & 1, rf_port_allowed(&plan, udp(1, (uint16_t)port)));
	}
	rf_port_allowed_all(&plan, 0, words);
	for (size_t i = 0; i < 2 * 1024; i++)
		assert_int_equal(words[i], 0);
}

/* A connected socket, or -1. */
static int reach(const char *at, uint16_t port, int type)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, type, 0);
	inet_pton(AF_INET, at, &a.sin_addr);
	struct timeval limit = { .tv_sec = 2 };
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
		return fd;
	close(fd);
	return -1;
}

static bool reaches(const char *at, uint16_t port)
{
	int fd = reach(at, port, SOCK_STREAM);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void single_ports_are_bound_and_let_go(void **state)
{
	(void)state;
	int fds[RF_PLAN_SOCKETS_MAX];
	assert_int_equal(rf_port_sockets_bind(&sockets, &plan, tcp(1, 20022), &err), RF_OK);
	assert_int_equal(rf_port_sockets_bind(&sockets, &plan, tcp(1, 20022), &err), RF_OK);
	assert_int_equal(rf_port_sockets_of(&sockets, &plan, tcp(1, 20022), fds), WORKERS);
	assert_int_equal(rf_port_sockets_bind(&sockets, &plan, udp(1, 20022), &err), RF_OK);
	assert_int_equal(sockets.count, 2 * WORKERS);
	assert_true(reaches("127.0.0.5", 20022));
	assert_false(reaches("127.0.0.6", 20022));
	struct rf_port_sockets next = { .count = 0 }; /* over to the monitor after an upgrade */
	for (size_t i = 0; i < sockets.count; i++)
		assert_true(rf_port_sockets_adopt(&next, RF_PORT_BOUND, dup(sockets.v[i].fd)));
	assert_int_equal(rf_port_sockets_of(&next, &plan, udp(1, 20022), fds), WORKERS);
	rf_port_sockets_unbind(&sockets, &plan, tcp(1, 20022));
	assert_true(reaches("127.0.0.5", 20022));
	memset(plan.ports_allowed, 0, sizeof plan.ports_allowed);
	rf_port_sockets_trim(&next, &plan);
	assert_int_equal(next.count, 0);
	assert_false(reaches("127.0.0.5", 20022));
	assert_int_equal(rf_port_sockets_bind(&sockets, &plan, tcp(1, 20022), &err), RF_E_DENIED);
}

static void another_program_keeps_its_port(void **state)
{
	(void)state;
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(20022) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(rf_port_sockets_bind(&sockets, &plan, tcp(1, 20022), &err), RF_E_EXISTS);
	assert_non_null(strstr(err.text, "another program"));
	assert_int_equal(sockets.count, 0);
	close(fd);
}

static void ports_have_a_bound(void **state)
{
	(void)state;
	for (unsigned i = 0; i < RF_PORT_BOUND_MAX; i++)
		assert_int_equal(rf_port_sockets_bind(&sockets, &plan, udp(1, (uint16_t)(20000 + i)), &err), RF_OK);
	assert_int_equal(rf_port_sockets_bind(&sockets, &plan, udp(1, 25000), &err), RF_E_FULL);
	rf_port_sockets_unbind(&sockets, &plan, udp(1, 20007));
	assert_int_equal(rf_port_sockets_bind(&sockets, &plan, udp(1, 25000), &err), RF_OK);
}

static void answers_come_from_where_was_asked(void **state)
{
	(void)state;
	struct sockaddr_in from;
	socklen_t n = sizeof from;
	int fd;
	char text[8];
	struct rf_ip at = ip("127.0.0.5"), other = ip("127.0.0.6"), six = ip("::1");
	assert_int_equal(rf_port_reply(&sockets, &plan, udp(1, 20053), &other, &fd, &err), RF_E_DENIED);
	assert_int_equal(rf_port_reply(&sockets, &plan, udp(1, 20053), &six, &fd, &err), RF_E_DENIED);
	assert_int_equal(rf_port_reply(&sockets, &plan, udp(1, 53), &at, &fd, &err), RF_E_DENIED);
	assert_int_equal(rf_port_reply(&sockets, &plan, tcp(1, 20053), &at, &fd, &err), RF_E_DENIED);
	assert_int_equal(rf_port_reply(&sockets, &plan, udp(1, 20053), &at, &fd, &err), RF_OK);
	int client = reach("127.0.0.5", 20053, SOCK_DGRAM);
	assert_int_equal(getsockname(client, (struct sockaddr *)&from, &n), 0);
	assert_int_equal(send(client, "q", 1, 0), 1);
	assert_int_equal(sendto(fd, "a", 1, 0, (struct sockaddr *)&from, n), 1);
	assert_int_equal(recv(client, text, sizeof text, 0), 1);
	assert_int_equal(recv(fd, text, sizeof text, MSG_DONTWAIT), -1); /* it hears nothing */
	close(fd);
	close(client);
}

/* --- steering --- */

struct steered {
	struct rf_steer *s;
	struct rf_ip at[RF_STEER_PLACES];
	uint64_t *ports;
};

static struct steered steered;

static void map_open(void)
{
	if (rf_steer_open(dir, &steered.s, steered.at, &err) != RF_OK)
		fail_msg("%s", err.text);
	steered.ports = mmap(NULL, RF_STEER_PLACES * RF_STEER_PLACE_WORDS * 8, PROT_READ | PROT_WRITE, MAP_SHARED, rf_steer_ports(steered.s), 0);
	assert_true(steered.ports != MAP_FAILED);
}

static void map_close(void)
{
	munmap(steered.ports, RF_STEER_PLACES * RF_STEER_PLACE_WORDS * 8);
	rf_steer_close(steered.s);
}

static int steer_setup(void **state)
{
	setup(state);
	if (geteuid() != 0)
		skip();
	snprintf(dir, sizeof dir, "/sys/fs/bpf/rfports-%d", (int)getpid());
	map_open();
	return 0;
}

static int steer_teardown(void **state)
{
	rf_steer_detach(steered.s);
	map_close();
	rmdir(dir);
	return teardown(state);
}

static void want(size_t place, bool is_udp, uint16_t port, bool on)
{
	uint64_t *w = &steered.ports[place * RF_STEER_PLACE_WORDS + (is_udp ? RF_STEER_PORT_WORDS : 0) + port / 64], bit = 1ull << port % 64;
	*w = on ? *w | bit : *w & ~bit;
}

static void permit(size_t place, unsigned listener_at)
{
	uint64_t words[RF_STEER_PLACE_WORDS];
	rf_port_allowed_all(&plan, listener_at, words);
	assert_int_equal(rf_steer_allow(steered.s, place, words, &err), RF_OK);
}

static void give_sockets(void)
{
	assert_int_equal(rf_port_sockets_steered(&sockets, WORKERS, false, &err), RF_OK);
	for (unsigned group = 0; group < RF_PORT_GROUPS; group++) {
		int fds[RF_PLAN_SOCKETS_MAX];
		size_t n = rf_port_sockets_group(&sockets, group, fds);
		assert_true(n == WORKERS || group >= 2);
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(rf_steer_socket(steered.s, group, i, fds[i], &err), RF_OK);
	}
}

static void stand(void)
{
	struct rf_ip at[RF_STEER_PLACES] = { { 0 }, ip("127.0.0.5") };
	give_sockets();
	permit(1, 1);
	assert_int_equal(rf_steer_places(steered.s, WORKERS, at, &err), RF_OK);
	assert_int_equal(rf_steer_attach(steered.s, &err), RF_OK);
}

static void the_kernel_steers_what_is_wanted_and_allowed(void **state)
{
	(void)state;
	stand();
	assert_false(reaches("127.0.0.5", 20022));
	want(1, false, 20022, true);
	want(1, false, 22, true);    /* not allowed */
	want(1, false, 20443, true); /* the edge's own */
	want(0, false, 20023, true); /* no place */
	assert_true(reaches("127.0.0.5", 20022));
	assert_false(reaches("127.0.0.6", 20022));
	assert_false(reaches("127.0.0.5", 20023));
	assert_false(reaches("127.0.0.5", 22));
	assert_false(reaches("127.0.0.5", 20443));
	for (unsigned port = 20500; port < 20600; port++)
		want(1, false, (uint16_t)port, true);
	for (unsigned port = 20500; port < 20600; port++)
		assert_true(reaches("127.0.0.5", (uint16_t)port));
	want(1, false, 20022, false);
	assert_false(reaches("127.0.0.5", 20022));
}

static void an_accepted_socket_knows_where_it_was_reached(void **state)
{
	(void)state;
	int fds[RF_PLAN_SOCKETS_MAX], got = -1;
	struct sockaddr_in at;
	socklen_t n = sizeof at;
	stand();
	want(1, false, 20777, true);
	int client = reach("127.0.0.5", 20777, SOCK_STREAM);
	assert_true(client >= 0);
	assert_int_equal(rf_port_sockets_group(&sockets, 0, fds), WORKERS);
	for (int i = 0; i < WORKERS && got < 0; i++)
		got = accept(fds[i], NULL, NULL);
	assert_true(got >= 0);
	assert_int_equal(getsockname(got, (struct sockaddr *)&at, &n), 0);
	assert_int_equal(ntohs(at.sin_port), 20777);
	assert_int_equal(ntohl(at.sin_addr.s_addr), 0x7f000005);
	close(got);
	close(client);
}

static void datagrams_are_steered_too(void **state)
{
	(void)state;
	int fds[RF_PLAN_SOCKETS_MAX];
	char text[8];
	ssize_t got = -1;
	stand();
	want(1, true, 20053, true);
	int client = reach("127.0.0.5", 20053, SOCK_DGRAM);
	assert_int_equal(send(client, "hello", 5, 0), 5);
	assert_int_equal(rf_port_sockets_group(&sockets, 1, fds), WORKERS);
	for (int i = 0; i < WORKERS && got < 0; i++)
		got = recv(fds[i], text, sizeof text, MSG_DONTWAIT);
	assert_int_equal(got, 5);
	close(client);
}

static void a_new_monitor_takes_over(void **state)
{
	(void)state;
	stand();
	want(1, false, 20022, true);
	map_close(); /* it is gone, its sockets are not */
	assert_true(reaches("127.0.0.5", 20022));
	map_open();
	struct rf_ip five = ip("127.0.0.5");
	assert_true(rf_ip_eq(&steered.at[1], &five));
	assert_true(reaches("127.0.0.5", 20022)); /* by the program before */
	stand();
	assert_true(reaches("127.0.0.5", 20022)); /* by the new one, with the ports of before */
	assert_int_equal(rf_port_sockets_bind(&sockets, &plan, udp(1, 25000), &err), RF_OK);
	rf_port_sockets_unsteer(&sockets);
	assert_int_equal(sockets.count, WORKERS);
	assert_false(reaches("127.0.0.5", 20022));
	rf_steer_detach(steered.s);
	assert_true(access(dir, F_OK) == 0);
}

static void all_of_a_family_and_ipv6(void **state)
{
	(void)state;
	struct rf_ip at[RF_STEER_PLACES] = { ip("0.0.0.0"), ip("::1") };
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_port = htons(20022), .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	plan.listeners[1].ip = ip("::1");
	listener("0.0.0.0", 0, true, false);
	give_sockets();
	permit(0, 3);
	permit(1, 1);
	assert_int_equal(rf_steer_places(steered.s, WORKERS, at, &err), RF_OK);
	assert_int_equal(rf_steer_attach(steered.s, &err), RF_OK);
	want(0, false, 20022, true);
	assert_true(reaches("127.0.0.5", 20022));
	assert_true(reaches("127.9.9.9", 20022));
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	if (fd < 0)
		return;
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), -1);
	close(fd);
	want(1, false, 20022, true);
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	close(fd);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define STEER(name) cmocka_unit_test_setup_teardown(name, steer_setup, steer_teardown)

static void table(const char *name, const char *text)
{
	char path[128];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n", f);
	fputs(text, f);
	fclose(f);
}

static bool taken(const uint64_t *words, bool udp, unsigned port)
{
	return words[udp * 1024 + port / 64] >> port % 64 & 1;
}

#define REST " 00000000:00000000 00:00000000 00000000     0        0 "

/* Tables as the kernel prints them; lines that are none do no harm. */
static void ports_of_other_programs_are_seen(void **state)
{
	(void)state;
	static uint64_t words[2 * 1024];
	static const char *const tables[] = { "tcp", "udp", "tcp6" };
	struct rf_ip one = ip("192.0.2.1"), other = ip("192.0.2.2"), all = ip("0.0.0.0"), six = ip("2001:db8::1");
	strcpy(dir, "/tmp/rf-taken-XXXXXX");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(rf_ports_taken(dir, &one, &sockets, words), RF_E_IO);
	table("tcp", "   0: 010200C0:0016 00000000:0000 0A" REST "100 1 0 100 0 0 10 0\n"   /* 192.0.2.1:22 listens */
		     "   1: 00000000:0050 00000000:0000 0A" REST "101 1 0 100 0 0 10 0\n"   /* 0.0.0.0:80 */
		     "   2: 010200C0:01BB 090200C0:1234 01" REST "102 1 0 100 0 0 10 0\n"   /* a connection */
		     "   3: 0100007F:1F90 00000000:0000 0A" REST "103 1 0 100 0 0 10 0\n"   /* our own, below */
		     "nonsense\n   5: 01:zz\n   6: 0102:0016 0:0 0A\n");
	table("udp", "  10: 010200C0:0035 00000000:0000 07" REST "110 2 0 0\n"
		     "  11: 010200C0:14E9 090200C0:1234 07" REST "111 2 0 0\n"             /* connected to somebody */
		     "  12: 010200C0:03ED 00000000:0000 07" REST "112 2 0 0\n");           /* our own, to answer from */
	table("tcp6", "   0: 00000000000000000000000000000000:0BB8 00000000000000000000000000000000:0000 0A" REST "120 1 0 100 0 0 10 0\n"
		      "   1: B80D0120000000000000000001000000:0FA0 00000000000000000000000000000000:0000 0A" REST "121 1 0 100 0 0 10 0\n");
	sockets.v[sockets.count++] = (struct rf_port_socket){ .fd = -1, .ip = ip("127.0.0.1"), .port = 8080 };
	sockets.replies[5] = 112;
	assert_int_equal(rf_ports_taken(dir, &one, &sockets, words), RF_OK);
	assert_true(taken(words, false, 22) && taken(words, false, 80) && taken(words, false, 3000) && taken(words, true, 53));
	assert_false(taken(words, false, 443) || taken(words, true, 5353) || taken(words, true, 1005) || taken(words, true, 22) ||
		     taken(words, false, 4000));
	assert_int_equal(rf_ports_taken(dir, &other, &sockets, words), RF_OK);
	assert_true(taken(words, false, 80) && !taken(words, false, 22) && !taken(words, true, 53));
	assert_int_equal(rf_ports_taken(dir, &all, &sockets, words), RF_OK);
	assert_true(taken(words, false, 22) && taken(words, true, 53) && !taken(words, false, 8080));
	assert_int_equal(rf_ports_taken(dir, &six, &sockets, words), RF_OK);
	assert_true(taken(words, false, 4000) && taken(words, false, 3000) && !taken(words, false, 80));
	sockets.count = 0;
	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
		char path[128];
		snprintf(path, sizeof path, "%s/%s", dir, tables[i]);
		unlink(path);
	}
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(only_what_the_boot_file_allows_can_be_asked_for), T(single_ports_are_bound_and_let_go), T(another_program_keeps_its_port),
		T(ports_have_a_bound), T(answers_come_from_where_was_asked), T(ports_of_other_programs_are_seen), STEER(the_kernel_steers_what_is_wanted_and_allowed),
		STEER(an_accepted_socket_knows_where_it_was_reached), STEER(datagrams_are_steered_too), STEER(a_new_monitor_takes_over),
		STEER(all_of_a_family_and_ipv6),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
