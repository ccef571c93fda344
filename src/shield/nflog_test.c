/* Frames of the kernel's log: read as they came, and nothing but them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>
#include "shield/nflog.h"

struct message { _Alignas(struct nlmsghdr) uint8_t b[8192]; size_t n; };

static const uint8_t link_header[14] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0 };
static const uint8_t packet[] = { 0x45, 0, 0, 200, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, 1, 2, 3, 4 };

static void put(struct message *m, uint16_t type, const void *p, size_t n)
{
	struct nlattr a = { .nla_len = (uint16_t)(NLA_HDRLEN + n), .nla_type = type };
	memcpy(m->b + m->n, &a, sizeof a);
	memcpy(m->b + m->n + NLA_HDRLEN, p, n);
	m->n += NLA_ALIGN(a.nla_len);
	((struct nlmsghdr *)(void *)m->b)->nlmsg_len = (uint32_t)m->n;
}

static void begin(struct message *m, const char *prefix)
{
	const struct nfulnl_msg_packet_hdr what = { .hw_protocol = htons(0x0800) };
	memset(m, 0, sizeof *m);
	((struct nlmsghdr *)(void *)m->b)->nlmsg_type = NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET;
	m->n = NLMSG_SPACE(sizeof(struct nfgenmsg));
	put(m, NFULA_PACKET_HDR, &what, sizeof what);
	if (prefix)
		put(m, NFULA_PREFIX, prefix, strlen(prefix) + 1);
	put(m, NFULA_HWHEADER, link_header, sizeof link_header);
}

static void a_frame_is_as_it_came(void **state)
{
	static struct message m;
	static struct rf_shown s;
	struct { struct nlattr a; uint8_t proto[4]; struct nlattr b; uint8_t tci[4]; } vlan = {
		{ NLA_HDRLEN + 2, NFULA_VLAN_PROTO }, { 0x81, 0 }, { NLA_HDRLEN + 2, NFULA_VLAN_TCI }, { 0x20, 7 } };
	(void)state;
	begin(&m, "6 12 2");
	put(&m, NFULA_PAYLOAD, packet, sizeof packet);
	assert_true(rf_nflog_read(m.b, m.n, &s));
	assert_true(s.why == 6 && s.rule == 12 && s.kind == 2 && s.n == 14 + sizeof packet && s.size == 14 + 200);
	assert_memory_equal(s.bytes, link_header, 14);
	assert_memory_equal(s.bytes + 14, packet, sizeof packet);
	put(&m, NFULA_VLAN, &vlan, sizeof vlan);
	assert_true(rf_nflog_read(m.b, m.n, &s));
	assert_true(s.n == 18 + sizeof packet && s.size == 18 + 200);
	assert_memory_equal(s.bytes + 12, "\x81\0\x20\x07\x08\0\x45", 7);
}

static void what_is_no_frame_of_ours_is_left(void **state)
{
	static const char *const prefixes[] = { NULL, "", "x", "6 12", "6 12 2 ", "6 12 2 x", "999 1 1", "6 70000 1", "6 1 256" };
	static struct message m;
	static struct rf_shown s;
	(void)state;
	for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
		begin(&m, prefixes[i]);
		put(&m, NFULA_PAYLOAD, packet, sizeof packet);
		if (rf_nflog_read(m.b, m.n, &s))
			fail_msg("\"%s\" is read", prefixes[i] ? prefixes[i] : "nothing");
	}
	begin(&m, "6 12 2");
	assert_false(rf_nflog_read(m.b, m.n, &s)); /* no packet */
	((struct nlmsghdr *)(void *)m.b)->nlmsg_type = NLMSG_ERROR;
	put(&m, NFULA_PAYLOAD, packet, sizeof packet);
	assert_false(rf_nflog_read(m.b, m.n, &s));
}

static void any_bytes_are_read_within_their_bounds(void **state)
{
	enum { TRIES = 20000 };
	static struct message m;
	static struct rf_shown s;
	uint32_t seed = 1;
	(void)state;
	for (unsigned i = 0; i < TRIES; i++) {
		begin(&m, "6 12 2");
		static uint8_t large[4000];
		memcpy(large, packet, sizeof packet);
		put(&m, NFULA_PAYLOAD, large, i & 1 ? sizeof large : sizeof packet);
		for (unsigned k = 0; k < 3; k++) {
			seed = seed * 1664525 + 1013904223;
			m.b[16 + (seed >> 16) % 100] = (uint8_t)(seed >> 8);
		}
		seed = seed * 1664525 + 1013904223;
		size_t n = i % 3 ? m.n : (seed >> 16) % m.n;
		uint8_t *exact = malloc(n + 1);
		memcpy(exact, m.b, n);
		if (rf_nflog_read(exact, n, &s))
			assert_true(s.n <= RF_SAMPLE_BYTES && s.why < RF_DROP_COUNT);
		free(exact);
	}
}

static void count(void *ctx, const void *shown)
{
	(void)shown;
	++*(unsigned *)ctx;
}

static void what_waits_is_taken(void **state)
{
	static struct message m;
	unsigned n = 0;
	bool missed;
	int pair[2];
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
	begin(&m, "6 0 1");
	put(&m, NFULA_PAYLOAD, packet, sizeof packet);
	memcpy(m.b + NLMSG_ALIGN(m.n), m.b, m.n); /* two in one */
	for (int i = 0; i < 3; i++)
		assert_true(send(pair[0], m.b, NLMSG_ALIGN(m.n) + m.n, 0) > 0);
	assert_int_equal(rf_nflog_take(pair[1], 3, 5, count, &n, &missed), 4);
	assert_int_equal(rf_nflog_take(pair[1], 3, 5, count, &n, &missed), 2);
	assert_int_equal(rf_nflog_take(pair[1], 3, 5, count, &n, &missed), 0);
	assert_true(n == 6 && !missed);
	close(pair[0]);
	close(pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_is_as_it_came),
		cmocka_unit_test(what_is_no_frame_of_ours_is_left),
		cmocka_unit_test(any_bytes_are_read_within_their_bounds),
		cmocka_unit_test(what_waits_is_taken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
