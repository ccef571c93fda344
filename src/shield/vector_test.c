/* shield/vector_test: glimpsed frames to kinds of floods, their tallies, what stops them, and who was here before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <cmocka.h>
#include "base/clock.h"
#include "shield/frame_stops.h"
#include "shield/regulars.h"

/* --- what a frame is of --- */

static struct rf_glimpse udp(uint16_t sport, uint16_t dport)
{
	return (struct rf_glimpse){ .weight = 1, .size = 100, .src = { htonl(0xc6120001) }, .dst = { htonl(0xc0000201) }, .sport = sport, .dport = dport,
				    .family = 4, .proto = RF_PROTO_UDP };
}

static struct rf_glimpse tcp(uint8_t flags)
{
	struct rf_glimpse g = udp(40000, 443);
	g.proto = RF_PROTO_TCP;
	g.tcp_flags = flags;
	return g;
}

static void frames_have_their_kind(void **state)
{
	struct rf_glimpse fragment = udp(0, 0), gre = udp(0, 0), icmp = udp(8, 0), icmp6 = udp(128, 0), neighbour = udp(135, 0), broken = { .weight = 1 };
	struct rf_glimpse ports = udp(40000, 5683), chosen = udp(9999, 5683);
	fragment.part = 1;
	gre.proto = 47;
	icmp.proto = RF_PROTO_ICMP;
	icmp6.proto = neighbour.proto = RF_PROTO_ICMP6;
	icmp6.family = neighbour.family = 6;
	broken.why = RF_DROP_IP4_HEADER;
	chosen.why = RF_DROP_REFLECTION;
	const struct { struct rf_glimpse g; enum rf_vector v; } cases[] = {
		{ tcp(RF_TCP_SYN), RF_VECTOR_SYN }, { tcp(RF_TCP_SYN | 0xc0), RF_VECTOR_SYN }, { tcp(RF_TCP_SYN | RF_TCP_ACK), RF_VECTOR_SYN_ACK },
		{ tcp(RF_TCP_ACK), RF_VECTOR_ACK }, { tcp(RF_TCP_ACK | RF_TCP_PSH), RF_VECTOR_ACK }, { tcp(RF_TCP_ACK | RF_TCP_FIN), RF_VECTOR_ACK },
		{ tcp(RF_TCP_RST), RF_VECTOR_RST }, { tcp(RF_TCP_RST | RF_TCP_ACK), RF_VECTOR_RST }, { ports, RF_VECTOR_UDP },
		{ udp(53, 40000), RF_VECTOR_DNS }, { udp(123, 80), RF_VECTOR_NTP }, { udp(1900, 80), RF_VECTOR_SSDP }, { udp(11211, 80), RF_VECTOR_MEMCACHED },
		{ udp(389, 80), RF_VECTOR_CLDAP }, { udp(19, 80), RF_VECTOR_CHARGEN }, { udp(161, 80), RF_VECTOR_SNMP }, { udp(1024, 53), RF_VECTOR_UDP },
		{ chosen, RF_VECTOR_REFLECTION }, { icmp, RF_VECTOR_ICMP }, { icmp6, RF_VECTOR_ICMP }, { neighbour, RF_VECTORS },
		{ fragment, RF_VECTOR_FRAGMENT }, { gre, RF_VECTOR_OTHER }, { broken, RF_VECTOR_MALFORMED } };
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		if (rf_vector_of(&cases[i].g) != cases[i].v)
			fail_msg("case %zu is %u, not %u", i, rf_vector_of(&cases[i].g), cases[i].v);
	(void)state;
}

static void what_is_allowed_or_of_a_connection_is_of_none(void **state)
{
	struct rf_glimpse g = tcp(RF_TCP_ACK);
	g.socket = RF_SOCKET_CONNECTED;
	assert_int_equal(rf_vector_of(&g), RF_VECTORS);
	g.why = RF_DROP_RATE_SOURCE; /* stopped all the same: then it is told */
	assert_int_equal(rf_vector_of(&g), RF_VECTOR_ACK);
	assert_false(rf_vector_passed(&g));
	g = udp(53, 40000);
	g.socket = RF_SOCKET_CONNECTED; /* an answer that was asked for */
	assert_int_equal(rf_vector_of(&g), RF_VECTORS);
	g.socket = RF_SOCKET_ELSEWHERE; /* it is only routed */
	assert_int_equal(rf_vector_of(&g), RF_VECTORS);
	g.socket = RF_SOCKET_OPEN;
	assert_int_equal(rf_vector_of(&g), RF_VECTOR_DNS);
	g.why = RF_DROP_FLEET; /* from a device of ours to elsewhere */
	assert_int_equal(rf_vector_of(&g), RF_VECTORS);
	g.why = RF_DROP_ALLOWED;
	assert_int_equal(rf_vector_of(&g), RF_VECTORS);
	g = tcp(RF_TCP_ACK);
	g.why = RF_DROP_COOKIE_GOOD;
	assert_int_equal(rf_vector_of(&g), RF_VECTORS);
	g = tcp(RF_TCP_SYN);
	g.why = RF_DROP_COOKIE; /* answered, and so stopped */
	assert_true(rf_vector_of(&g) == RF_VECTOR_SYN && !rf_vector_passed(&g));
	(void)state;
}

/* The API's description names every word. */
static void words_are_described(void **state)
{
	const char *described =
#define RF_RESOURCE(...)
#define RF_FIELD(r, name, type, ref, mode, least, most, words, ...) (strcmp(#r name, "ATTACKvector") == 0) ? words :
#include "tbl/resources.def"
#undef RF_RESOURCE
#undef RF_FIELD
		"";
	for (unsigned v = 0; v < RF_VECTORS; v++) {
		struct rf_str word = rf_str_z(rf_vector_info((enum rf_vector)v)->word), rest = rf_str_z(described), one;
		bool found = false;
		while (rf_str_split(&rest, '|', &one))
			found |= rf_str_eq(one, word);
		assert_true(found);
		assert_int_equal(rf_vector_find(word), v);
	}
	assert_int_equal(rf_vector_find(RF_STR("http_flood")), RF_VECTORS);
	(void)state;
}

/* --- who sends --- */

static struct rf_frame_tally tally;

static void sent(struct rf_glimpse g, uint32_t source, uint32_t weight, uint8_t why)
{
	g.src[0] = htonl(source);
	g.weight = weight;
	g.why = why;
	rf_frame_tally_add(&tally, &g, 64500 + source % 2, source % 2 ? 'D' * 256 + 'E' : 0);
}

static int clean(void **state)
{
	(void)state;
	tally = (struct rf_frame_tally){ 0 };
	return 0;
}

static void a_tally_counts_all_frames_by_their_glimpses(void **state)
{
	bool least;
	uint64_t n;
	for (uint32_t i = 0; i < 1000; i++)
		sent(udp(53, 5683), 0xc6120000 + i % 10, 4, i % 4 ? RF_DROP_RATE_TARGET : RF_DROP_PASS);
	assert_true(tally.passed == 1000 && tally.stopped == 3000 && tally.bytes == 400000 && tally.reason[RF_DROP_RATE_TARGET] == 3000);
	assert_int_equal(rf_frame_addresses(&tally.all, &least), 10);
	assert_false(least);
	unsigned at = rf_frame_heaviest(tally.all.target, RF_TALLY_TOP, &n);
	assert_true(n == 4000 && tally.all.end[at].port == 5683 && tally.all.end[at].proto == RF_PROTO_UDP);
	at = rf_frame_heaviest(tally.all.network, RF_TALLY_TOP, &n);
	assert_true(n == 4000 && tally.all.net[at].b[0] == 0xc6 && tally.all.net[at].b[3] == 0);
	rf_frame_heaviest(tally.all.asn, RF_TALLY_TOP, &n);
	assert_int_equal(n, 2000);
	assert_true(tally.kept == RF_TALLY_KEPT && tally.through.frames == 1000);
	uint64_t stopped, passed, bytes;
	rf_frame_tally_second(&tally, &stopped, &passed, &bytes);
	assert_true(stopped == 3000 && passed == 1000 && bytes == 400000);
	rf_frame_tally_next(&tally, true);
	assert_true(!tally.passed && !tally.through.frames && tally.all.frames == 4000);
	rf_frame_tally_next(&tally, false);
	assert_true(!tally.all.frames && !tally.kept && !tally.reason[RF_DROP_RATE_TARGET]);
	(void)state;
}

static void addresses_are_estimated_from_a_part_of_the_frames(void **state)
{
	bool least;
	uint32_t seed = 1;
	for (unsigned i = 0; i < 50000; i++) { /* of 50,000 addresses, of which each sends twenty frames: every twentieth is seen */
		seed = seed * 1664525 + 1013904223;
		sent(udp(53, 5683), 0x0a000000 + (seed >> 8) % 50000, 20, RF_DROP_PASS);
	}
	assert_in_range(rf_frame_addresses(&tally.all, &least), 38000, 62000);
	assert_false(least);
	clean(state);
	for (uint32_t i = 0; i < 20000; i++) /* each another one: nobody can say how many there are */
		sent(udp(53, 5683), 0x0a000000 + i, 20, RF_DROP_PASS);
	assert_in_range(rf_frame_addresses(&tally.all, &least), 18000, 22000);
	assert_true(least);
}

static void spoofed_sources_are_not_told_as_heavy(void **state)
{
	uint64_t n;
	for (uint32_t i = 0; i < 20000; i++)
		sent(udp(4000, 5683), 0x0a000000 + i, 1, RF_DROP_PASS);
	rf_frame_heaviest(tally.all.source, RF_TALLY_SOURCES, &n);
	assert_true(n < 10);
	for (unsigned i = 0; i < 20000; i++)
		sent(udp(4000, 5683), 0xc6120007, 1, RF_DROP_PASS);
	unsigned at = rf_frame_heaviest(tally.all.source, RF_TALLY_SOURCES, &n);
	assert_true(n >= 19000 && tally.all.ip[at].b[3] == 7);
	(void)state;
}

/* --- what stops them --- */

enum { LIMIT = 5000 };

static bool knows_1(void *arg, const struct rf_ip *ip)
{
	(void)arg;
	return ip->b[3] == 1;
}

static unsigned stops(enum rf_vector v, uint64_t usual, struct rf_stop *to, unsigned room)
{
	struct rf_frame_flow f = { v, usual, LIMIT, &tally.through, knows_1, NULL };
	return rf_frame_stops(&f, to, room);
}

static void spread(struct rf_glimpse g, unsigned n)
{
	for (uint32_t i = 0; i < n; i++)
		sent(g, 0x0a000000 + i, 1, RF_DROP_PASS);
}

static void expressed(const struct rf_stop *s, const char *want)
{
	RF_BUF_AUTO text = { 0 };
	rf_frame_stop_expression(s, &text);
	assert_string_equal(rf_buf_z(&text), want);
}

static void one_source_is_stopped_by_its_address(void **state)
{
	struct rf_stop s[RF_STOPS];
	for (int i = 0; i < 20000; i++)
		sent(udp(4000, 5683), 0xc6120007, 1, RF_DROP_PASS);
	spread(udp(4000, 5683), 400);
	assert_int_equal(stops(RF_VECTOR_UDP, 0, s, RF_STOPS), 1);
	assert_true(s[0].of_src && !s[0].of_dst && s[0].rate.cost_ns == LIMIT / 10 && s[0].vector == RF_VECTOR_UDP);
	expressed(&s[0], "ip.proto.num eq 17 and ip.src eq 198.18.0.7");
	assert_int_equal(stops(RF_VECTOR_UDP, 0, s, 0), 0);
	(void)state;
}

static void many_sources_are_stopped_by_their_target(void **state)
{
	struct rf_stop s[RF_STOPS];
	spread(udp(53, 40000), 20000);
	assert_int_equal(stops(RF_VECTOR_DNS, 0, s, RF_STOPS), 1);
	assert_true(!s[0].of_src && s[0].of_dst && s[0].rate.cost_ns == LIMIT / 2);
	expressed(&s[0], "ip.proto.num eq 17 and udp.srcport eq 53 and udp.dstport eq 40000 and ip.dst eq 192.0.2.1");
	assert_int_equal(stops(RF_VECTOR_DNS, 4000, s, RF_STOPS), 1);
	assert_int_equal(s[0].rate.cost_ns, 6000); /* more than is usual goes on passing */
	clean(state);
	for (uint32_t i = 0; i < 20000; i++)
		sent(udp(4000, (uint16_t)(1 + i)), 0x0a000000 + i, 1, RF_DROP_PASS);
	assert_int_equal(stops(RF_VECTOR_UDP, 0, s, RF_STOPS), 1);
	expressed(&s[0], "ip.proto.num eq 17 and ip.dst eq 192.0.2.1"); /* all its ports */
	clean(state);
	for (uint32_t i = 0; i < 20000; i++) {
		struct rf_glimpse g = tcp(RF_TCP_ACK);
		g.dst[0] = htonl(0xc0000200 + i % 200);
		sent(g, 0x0a000000 + i, 1, RF_DROP_PASS);
	}
	assert_int_equal(stops(RF_VECTOR_ACK, 0, s, RF_STOPS), 1);
	expressed(&s[0], "ip.proto.num eq 6 and not tcp.flags.syn and not tcp.flags.reset"); /* all of a network's addresses */
}

static void some_of_both_are_stopped_by_both(void **state)
{
	struct rf_stop s[RF_STOPS];
	spread(udp(4000, 5683), 20000);
	for (int i = 0; i < 9000; i++)
		sent(udp(4000, 5683), 0xc6120007, 1, RF_DROP_PASS);
	assert_int_equal(stops(RF_VECTOR_UDP, 0, s, RF_STOPS), 2);
	assert_true(s[0].of_src && s[1].of_dst);
	(void)state;
}

static void ordinary_traffic_is_not_stopped(void **state)
{
	struct rf_stop s[RF_STOPS];
	spread(udp(4000, 5683), LIMIT - 1);
	assert_int_equal(stops(RF_VECTOR_UDP, 0, s, RF_STOPS), 0); /* what passes is no flood */
	clean(state);
	spread(udp(4000, 5683), 20000);
	for (int i = 0; i < 6000; i++)
		sent(udp(4000, 5683), 0xc6120001, 1, RF_DROP_PASS); /* one that is known */
	assert_int_equal(stops(RF_VECTOR_UDP, 0, s, RF_STOPS), 1);
	assert_true(s[0].of_dst && !s[0].of_src);
	clean(state);
	for (int i = 0; i < 20000; i++)
		sent(udp(4000, 5683), 0xc6120001, 1, RF_DROP_PASS); /* it is the flood */
	assert_int_equal(stops(RF_VECTOR_UDP, 0, s, RF_STOPS), 1);
	assert_true(s[0].of_src);
	clean(state);
	spread(tcp(RF_TCP_SYN), 20000); /* cookies meet these */
	assert_int_equal(stops(RF_VECTOR_SYN, 0, s, RF_STOPS), 0);
	(void)state;
}

static void a_signature_tells_what_they_share(void **state)
{
	struct rf_stop s;
	assert_false(rf_frame_signature(RF_VECTOR_ICMP, &tally.all, &s));
	struct rf_glimpse g = udp(8, 0);
	g.proto = RF_PROTO_ICMP;
	spread(g, 1000);
	assert_true(rf_frame_signature(RF_VECTOR_ICMP, &tally.all, &s));
	expressed(&s, "ip.proto.num eq 1 and icmp.type eq 8 and ip.dst eq 192.0.2.1");
	clean(state);
	for (int i = 0; i < 1000; i++)
		sent(tcp(RF_TCP_SYN), 0xc6120007, 1, RF_DROP_COOKIE);
	assert_true(rf_frame_signature(RF_VECTOR_SYN, &tally.all, &s));
	expressed(&s, "ip.proto.num eq 6 and tcp.dstport eq 443 and tcp.flags.syn and not tcp.flags.ack and ip.src eq 198.18.0.7 and ip.dst eq 192.0.2.1");
}

/* --- who was here before --- */

static struct rf_regulars regulars;

static uint64_t key(uint64_t n) { return n << 32 | 1; }

static unsigned now_known;
static bool flood_on;

static bool in_flood(void *arg, unsigned kind)
{
	(void)arg;
	return flood_on && kind == RF_VECTOR_UDP;
}

static void know(void *arg, uint64_t one)
{
	(void)arg, (void)one;
	now_known++;
}

/* All that came has been learned. */
static void seconds(uint32_t now_s)
{
	const struct rf_regulars_ops ops = { in_flood, know, NULL };
	rf_regulars_second(&regulars, now_s - 1, &ops);
	rf_regulars_second(&regulars, now_s, &ops);
}

static bool came(uint64_t one, uint32_t now_s)
{
	now_known = 0;
	rf_regulars_came(&regulars, one, RF_VECTOR_UDP);
	seconds(now_s);
	return now_known;
}

static int nobody(void **state)
{
	(void)state;
	regulars = (struct rf_regulars){ 0 };
	flood_on = false;
	return 0;
}

static void sources_become_known_by_coming_again(void **state)
{
	assert_false(came(key(7), 100));
	assert_false(came(key(7), 100 + RF_REGULARS_AFTER_S - 1));
	assert_false(rf_regulars_has(&regulars, key(7)));
	assert_true(came(key(7), 100 + RF_REGULARS_AFTER_S));
	assert_true(rf_regulars_has(&regulars, key(7)) && !rf_regulars_has(&regulars, key(8)));
	uint64_t other = key(7 + RF_REGULARS_PLACES); /* in the same place: it waits until the first is forgotten */
	assert_false(came(other, 120));
	assert_true(rf_regulars_has(&regulars, key(7)));
	assert_false(came(other, 110 + RF_REGULARS_FORGET_S));
	assert_false(rf_regulars_has(&regulars, key(7)));
	assert_true(came(other, 120 + RF_REGULARS_FORGET_S));
	(void)state;
}

static void spoofed_sources_drive_nobody_out(void **state)
{
	for (uint32_t at = 100; at <= 120; at += 20)
		for (uint64_t n = 1; n <= 100; n++)
			assert_true(came(key(n), at) == (at == 120));
	for (uint64_t n = 0; n < 200000; n++)
		assert_false(came(key(1000 + n), 121 + (uint32_t)(n / 1000)));
	for (uint64_t n = 1; n <= 100; n++)
		assert_true(rf_regulars_has(&regulars, key(n)));
	(void)state;
}

/* Floods of a second, over and over, from the same sources. */
static void the_first_moments_of_a_flood_make_nobody_known(void **state)
{
	const struct rf_regulars_ops ops = { in_flood, know, NULL };
	now_known = 0;
	for (uint32_t at = 100; at < 1000; at += 20) {
		flood_on = false;
		for (uint64_t n = 1; n <= 100; n++)
			rf_regulars_came(&regulars, key(n), RF_VECTOR_UDP);
		rf_regulars_second(&regulars, at, &ops); /* it was below the threshold yet */
		flood_on = true;
		rf_regulars_second(&regulars, at + 1, &ops);
	}
	assert_int_equal(now_known, 0);
	rf_regulars_came(&regulars, key(1), RF_VECTORS); /* by a connection it becomes known all the same */
	seconds(1000);
	rf_regulars_came(&regulars, key(1), RF_VECTORS);
	seconds(1020);
	assert_int_equal(now_known, 1);
	for (unsigned i = 0; i <= RF_REGULARS_WAIT; i++) /* more than there is room for */
		rf_regulars_came(&regulars, key(1), RF_VECTORS);
	(void)state;
}

#define T(f) cmocka_unit_test_setup(f, clean)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(frames_have_their_kind), T(what_is_allowed_or_of_a_connection_is_of_none), T(words_are_described),
		T(a_tally_counts_all_frames_by_their_glimpses), T(addresses_are_estimated_from_a_part_of_the_frames), T(spoofed_sources_are_not_told_as_heavy),
		T(one_source_is_stopped_by_its_address), T(many_sources_are_stopped_by_their_target), T(some_of_both_are_stopped_by_both),
		T(ordinary_traffic_is_not_stopped), T(a_signature_tells_what_they_share),
		cmocka_unit_test_setup(sources_become_known_by_coming_again, nobody), cmocka_unit_test_setup(spoofed_sources_drive_nobody_out, nobody),
		cmocka_unit_test_setup(the_first_moments_of_a_flood_make_nobody_known, nobody),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
