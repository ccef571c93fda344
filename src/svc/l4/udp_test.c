#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>
#include "base/enc.h"
#include "loop/replay.h"
#include "net/addr.h"
#include "net/datagram.h"
#include "records/counters.h"
#include "svc/l4/udp.h"
#include "wire/spp.h"

enum { RECORDS = 512, ASKED = 64 };

struct seen { char action[16], layer[16], event[16], app[40], reason[128], host[64], origin[64], session[20], rule[40]; unsigned status; uint64_t in, out; };

static struct {
	struct rf_replay *r;
	struct rf_loop *loop;
	struct rf_l4_udp *u;
	struct rf_l4_udp_socket *socket;
	struct rf_l4_udp_conf conf;
	struct rf_peer *edge;          /* where clients' datagrams arrive */
	struct rf_site *site;
	struct rf_snap *snap;
	struct rf_zone *zone;
	struct rf_port port;           /* udp/5000-5010, origins at 6000 on: as the next snapshot has it */
	struct rf_port_use *use;       /* a reference */
	struct rf_origin_group *origins; /* of the last snapshot, a reference */
	struct rf_origin_spec origin[2];
	struct rf_origin_group_spec group;
	struct rf_ip barred;
	struct seen seen[RECORDS];
	unsigned seen_count;
	struct { struct rf_ip ip; uint16_t port; } asked[ASKED];
	unsigned asked_count;
} w;

static const struct rf_snap *snap_now(void) { return w.snap; }

static void keep(char *to, size_t size, struct rf_str s)
{
	snprintf(to, size, "%.*s", RF_ARG(s));
}

static void emit(void *arg, const struct rf_record *r)
{
	(void)arg;
	if (w.seen_count == RECORDS)
		return;
	struct seen *s = &w.seen[w.seen_count++];
	keep(s->action, sizeof s->action, r->action);
	keep(s->layer, sizeof s->layer, r->layer);
	keep(s->event, sizeof s->event, r->event);
	keep(s->app, sizeof s->app, r->app);
	keep(s->reason, sizeof s->reason, r->reason);
	keep(s->host, sizeof s->host, r->host);
	keep(s->origin, sizeof s->origin, r->origin);
	keep(s->session, sizeof s->session, r->session);
	keep(s->rule, sizeof s->rule, r->rule_id);
	s->status = (unsigned)r->status;
	s->in = r->bytes_in;
	s->out = r->bytes_out;
}

static bool barred(void *arg, const struct rf_ip *src)
{
	(void)arg;
	return rf_ip_eq(src, &w.barred);
}

static void reply_socket(void *arg, const struct rf_ip *at, uint16_t port)
{
	(void)arg;
	assert_true(w.asked_count < ASKED);
	w.asked[w.asked_count].ip = *at;
	w.asked[w.asked_count++].port = port;
}

static struct rf_addr addr(const char *text)
{
	struct rf_addr a;
	assert_true(rf_addr_parse(rf_str_z(text), &a));
	return a;
}

/* A snapshot of one port, as w.port and w.group say, or of none. */
static void publish(bool with_port)
{
	struct rf_snap *old = w.snap;
	struct rf_err e;
	w.site = rf_site_new();
	w.zone = RF_ARENA_NEW(&w.site->arena, struct rf_zone);
	w.site->zones = rf_arena_array(&w.site->arena, 1, sizeof *w.site->zones);
	w.site->zones[0] = w.zone;
	w.site->zone_count = 1;
	if (with_port) {
		struct rf_port *p = RF_ARENA_NEW(&w.site->arena, struct rf_port);
		*p = w.port;
		p->zone = w.zone;
		p->use = rf_port_use_get(w.use);
		assert_int_equal(rf_origin_group_new(&w.group, w.origins, &p->origins, &e), RF_OK);
		rf_origin_group_put(w.origins);
		w.origins = rf_origin_group_get(p->origins);
		w.site->port = rf_arena_array(&w.site->arena, 1, sizeof *w.site->port);
		w.site->port[0] = p;
		w.site->port_count = 1;
		assert_int_equal(rf_ports_new(&w.site->arena, w.site->port, 1, &w.site->ports, &e), RF_OK);
	}
	w.snap = rf_snap_new(w.site);
	rf_site_put(w.site);
	w.snap->generation = old ? old->generation + 1 : 7;
	if (old)
		rf_snap_unpin(old);
}

static int setup(void **state)
{
	(void)state;
	memset(&w, 0, sizeof w);
	w.port = (struct rf_port){ .id = "0123456789abcdef0123456789abcdef", .name = RF_STR("coap.app.test"),
				  .transport = RF_TRANSPORT_UDP, .low = 5000, .high = 5010, .origin_low = 6000, .ip_firewall = true, .idle_ns = 60 * RF_NS_S };
	w.use = rf_port_use_get(NULL);
	w.origin[0] = (struct rf_origin_spec){ .host = RF_STR("10.0.0.1"), .port = 6000, .weight = 1 };
	w.origin[1] = (struct rf_origin_spec){ .host = RF_STR("10.0.0.2"), .port = 6000, .weight = 1 };
	w.group = (struct rf_origin_group_spec){ .origins = w.origin, .count = 1, .passive_fails = 1, .passive_hold_ns = 10 * RF_NS_S };
	w.conf = rf_l4_udp_conf_default;
	w.r = rf_replay_new();
	w.loop = rf_replay_loop(w.r);
	return 0;
}

static void listen_at(uint16_t port)
{
	int fd = rf_replay_udp(w.r);
	w.edge = rf_replay_udp_peer(w.r, fd);
	assert_int_equal(rf_l4_udp_listen(w.u, fd, port, &w.socket), RF_OK);
}

/* The service, with a socket bound to 5000; port 0: one that all ports are steered to. */
static void start(uint16_t port)
{
	publish(true);
	struct rf_l4_udp_spec spec = { .loop = w.loop, .conf = &w.conf, .snap = snap_now, .emit = emit, .barred = barred,
				       .reply_socket = reply_socket, .seed = 1 };
	w.u = rf_l4_udp_new(&spec);
	assert_non_null(w.u);
	listen_at(port);
}

static int teardown(void **state)
{
	(void)state;
	rf_l4_udp_free(w.u);
	assert_int_equal(rf_replay_open(w.r), 0);
	assert_int_equal(atomic_load(&w.use->live), 0);
	rf_snap_unpin(w.snap);
	rf_origin_group_put(w.origins);
	rf_port_use_put(w.use);
	rf_replay_free(w.r);
	return 0;
}

static void run(uint64_t ns)
{
	assert_int_equal(rf_replay_run(w.r, ns), RF_OK);
}

static void say_segments(const char *from, const char *to, const char *text, uint16_t segment)
{
	struct rf_dgram m = { .peer = addr(from), .local = addr(to), .p = (char *)(uintptr_t)text, .n = strlen(text), .segment = segment };
	rf_replay_arrive(w.edge, &m);
	run(0);
}

#define EDGE "198.51.100.1:5000"
#define ALICE "192.0.2.1:4000"
#define BOB "192.0.2.2:4000"

static void say(const char *from, const char *to, const char *text)
{
	say_segments(from, to, text, 0);
}

static void source(char to[32], unsigned i)
{
	snprintf(to, 32, "203.0.%u.%u:%u", i / 250 % 250, 1 + i % 250, 1024 + i / 62500);
}

/* The next socket that was connected to an origin. */
static struct rf_peer *origin(void)
{
	return rf_replay_udp_dialled(w.r, NULL);
}

static void expect_at(struct rf_peer *p, const char *text)
{
	struct rf_dgram m;
	if (!rf_replay_leave(p, &m))
		fail_msg("\"%s\" was not sent", text);
	if (m.n != strlen(text) || memcmp(m.p, text, m.n) != 0)
		fail_msg("\"%.*s\" instead of \"%s\"", (int)m.n, m.p, text);
}

static void answer(struct rf_peer *p, const char *text)
{
	rf_replay_arrive(p, &(struct rf_dgram){ .p = (char *)(uintptr_t)text, .n = strlen(text) });
	run(0);
}

static bool same_place(const struct rf_peer *a, const struct rf_peer *b)
{
	struct rf_addr x = rf_replay_addr(a), y = rf_replay_addr(b);
	return rf_addr_eq(&x, &y);
}

/* The client gets this, from where it had sent. */
static void expect_client(struct rf_peer *by, const char *client, const char *edge, const char *text)
{
	struct rf_dgram m;
	struct rf_addr to = addr(client), from = addr(edge);
	if (!rf_replay_leave(by, &m))
		fail_msg("\"%s\" did not come back", text);
	assert_true(rf_addr_eq(&m.peer, &to) && rf_addr_eq(&m.local, &from));
	assert_true(m.n == strlen(text) && memcmp(m.p, text, m.n) == 0);
}

static void expect_nothing(struct rf_peer *p)
{
	struct rf_dgram m;
	assert_false(rf_replay_leave(p, &m));
}

static struct rf_l4_udp_stats stats(void)
{
	struct rf_l4_udp_stats s;
	rf_l4_udp_stats(w.u, &s);
	return s;
}

/* A client that has answered an answer. */
static struct rf_peer *settle(const char *client)
{
	say(client, EDGE, "one");
	struct rf_peer *o = origin();
	assert_non_null(o);
	expect_at(o, "one");
	answer(o, "two");
	expect_client(w.edge, client, EDGE, "two");
	say(client, EDGE, "three");
	expect_at(o, "three");
	return o;
}

static struct seen *last(void)
{
	assert_true(w.seen_count > 0);
	return &w.seen[w.seen_count - 1];
}

/* --- */

static void there_and_back(void **state)
{
	(void)state;
	start(5000);
	say(ALICE, EDGE, "hello");
	struct rf_peer *o = origin();
	assert_non_null(o);
	struct rf_addr to = rf_replay_addr(o), want = addr("10.0.0.1:6000");
	assert_true(rf_addr_eq(&to, &want));
	expect_at(o, "hello");
	answer(o, "world!");
	expect_client(w.edge, ALICE, EDGE, "world!");
	say(ALICE, EDGE, "");
	expect_at(o, ""); /* an empty datagram is one */
	say(BOB, EDGE, "hi");
	struct rf_peer *b = origin();
	assert_non_null(b);
	expect_at(b, "hi");
	expect_nothing(o);
	assert_int_equal(stats().sessions, 2);
	assert_int_equal(stats().established, 1);
	assert_true(w.seen_count == 2 && w.seen[0].status == 0 && !strcmp(w.seen[0].origin, "udp://10.0.0.1:6000"));
	assert_string_equal(w.seen[0].host, "coap.app.test");
	assert_string_equal(w.seen[0].app, w.port.id);
	assert_string_equal(w.seen[0].event, "connect");
	run(59 * RF_NS_S);
	answer(b, "still there");
	expect_client(w.edge, BOB, EDGE, "still there");
	run(RF_NS_S);
	assert_true(rf_replay_closed(o) && !rf_replay_closed(b));
	assert_true(last()->status == 200 && last()->in == 5 && last()->out == 6);
	assert_string_equal(last()->session, w.seen[0].session);
	assert_string_equal(last()->event, "disconnect");
	run(59 * RF_NS_S);
	assert_true(rf_replay_closed(b));
	assert_int_equal(stats().sessions, 0);
}

static void a_range_keeps_its_offset(void **state)
{
	(void)state;
	start(0);
	say(ALICE, "198.51.100.1:5003", "x");
	rf_l4_udp_reply(w.u, &w.asked[0].ip, w.asked[0].port, rf_replay_udp(w.r));
	run(0);
	struct rf_addr to = rf_replay_addr(origin()), want = addr("10.0.0.1:6003");
	assert_true(rf_addr_eq(&to, &want));
	say(ALICE, "198.51.100.1:5011", "x");
	say(ALICE, "198.51.100.1:4999", "x");
	say("192.0.2.1:0", EDGE, "x");
	assert_null(origin());
	assert_int_equal(stats().sessions, 1);
}

static void answers_leave_from_where_the_client_sent(void **state)
{
	(void)state;
	w.conf.reply_sockets = 2;
	start(0);
	say(ALICE, "[2001:db8::1]:5004", "x"); /* both families at one socket */
	say(ALICE, "[2001:db8::1]:5004", "too early");
	assert_null(origin());
	assert_int_equal(w.asked_count, 1);
	assert_int_equal(stats().waiting, 1);
	int fd = rf_replay_udp(w.r);
	struct rf_peer *from = rf_replay_udp_peer(w.r, fd);
	rf_l4_udp_reply(w.u, &w.asked[0].ip, 5004, fd);
	run(0);
	struct rf_peer *o = origin();
	expect_at(o, "x"); /* held meanwhile, the first of them */
	answer(o, "y");
	expect_client(from, ALICE, "[2001:db8::1]:5004", "y");
	expect_nothing(w.edge);
	say(BOB, "[2001:db8::1]:5004", "x");
	assert_int_equal(w.asked_count, 1); /* kept */
	answer(origin(), "z");
	expect_client(from, BOB, "[2001:db8::1]:5004", "z");
	say(ALICE, "198.51.100.1:5005", "x");
	rf_l4_udp_reply(w.u, &w.asked[1].ip, 5005, -1);
	run(0);
	assert_null(origin());
	assert_int_equal(last()->status, 500);
	say(ALICE, "198.51.100.1:5005", "again at once");
	assert_int_equal(w.asked_count, 2);
	run(2 * RF_NS_S);
	say(ALICE, "198.51.100.1:5006", "x"); /* the one that failed makes room */
	assert_int_equal(w.asked_count, 3);
	say(ALICE, "198.51.100.1:5007", "x"); /* nobody else does: they are in use */
	assert_int_equal(w.asked_count, 3);
	assert_int_equal(stats().reply_sockets, 2);
	rf_l4_udp_reply(w.u, &w.asked[0].ip, 5009, rf_replay_udp(w.r)); /* that nobody asked for: closed */
}

static void simple_header(void **state)
{
	(void)state;
	w.port.header = RF_PORT_HEADER_SIMPLE;
	start(5000);
	say_segments(ALICE, EDGE, "aabb", 2);
	struct rf_peer *o = origin();
	struct rf_dgram m;
	struct rf_spp p;
	char with[RF_SPP_SIZE + 3];
	for (int i = 0; i < 2; i++) { /* before each datagram, segments too */
		assert_true(rf_replay_leave(o, &m) && m.n == RF_SPP_SIZE + 2);
		assert_int_equal(rf_spp_parse((struct rf_str){ m.p, m.n }, &p), RF_OK);
		assert_true(p.client_port == 4000 && p.proxy_port == 5000 && p.client.b[3] == 1 && p.proxy.b[0] == 198);
	}
	rf_spp_build(&p, with);
	memcpy(with + RF_SPP_SIZE, "re", 2);
	rf_replay_arrive(o, &(struct rf_dgram){ .p = with, .n = RF_SPP_SIZE + 2 });
	run(0);
	expect_client(w.edge, ALICE, EDGE, "re");
	answer(o, "bare");
	expect_client(w.edge, ALICE, EDGE, "bare");
}

static void a_flood_of_false_sources_pushes_nobody_out(void **state)
{
	(void)state;
	char from[32];
	w.conf.sessions = 300;
	w.conf.session_rate = 0;
	start(5000);
	struct rf_peer *alice = settle(ALICE), *bob = settle(BOB);
	for (unsigned i = 0; i < 3000; i++) {
		source(from, i);
		say(from, EDGE, "spoofed");
		if (i % 100 == 0)
			run(RF_NS_S);
	}
	assert_int_equal(stats().sessions, 300);
	assert_int_equal(stats().established, 2);
	assert_int_equal(stats().made_room, 3002 - 300);
	answer(alice, "here");
	expect_client(w.edge, ALICE, EDGE, "here");
	say(BOB, EDGE, "me too");
	expect_at(bob, "me too");
	say("192.0.2.3:4000", EDGE, "a newcomer");
	assert_int_equal(stats().sessions, 300);
}

static void the_established_make_room_only_when_quiet(void **state)
{
	(void)state;
	w.conf.sessions = 2;
	start(5000);
	struct rf_peer *alice = settle(ALICE);
	settle(BOB);
	uint64_t full = rf_counter_sum(RF_C_LIMIT_UDP_SESSIONS);
	say("192.0.2.3:4000", EDGE, "x");
	assert_null(origin());
	assert_int_equal(rf_counter_sum(RF_C_LIMIT_UDP_SESSIONS), full + 1);
	run(9 * RF_NS_S);
	say(BOB, EDGE, "busy");
	run(RF_NS_S);
	say("192.0.2.3:4000", EDGE, "x");
	assert_non_null(origin());
	assert_true(rf_replay_closed(alice));
	assert_int_equal(stats().established, 1);
}

static void bounds(void **state)
{
	(void)state;
	char from[32];
	w.conf.sessions_per_address = 2;
	w.conf.session_rate = 1000;
	w.port.max_connections = 5;
	start(5000);
	say("192.0.2.1:1", EDGE, "x");
	say("192.0.2.1:2", EDGE, "x");
	say("192.0.2.1:3", EDGE, "x");
	assert_int_equal(stats().sessions, 2);
	say("[2001:db8::1]:1", EDGE, "x");
	say("[2001:db8::2]:1", EDGE, "x");
	say("[2001:db8::3]:1", EDGE, "x"); /* a host has a /64 */
	assert_int_equal(stats().sessions, 4);
	uint64_t full = rf_counter_sum(RF_C_UDP_DROP_APP_FULL);
	say(BOB, EDGE, "x");
	say("192.0.2.9:1", EDGE, "x");
	assert_int_equal(stats().sessions, 5);
	assert_int_equal(rf_counter_sum(RF_C_UDP_DROP_APP_FULL), full + 1);
	uint64_t fast = rf_counter_sum(RF_C_LIMIT_UDP_SESSION_RATE);
	for (unsigned i = 0; i < 400; i++) {
		source(from, i);
		say(from, EDGE, "x");
	}
	assert_true(rf_counter_sum(RF_C_LIMIT_UDP_SESSION_RATE) - fast > 100);
	run(61 * RF_NS_S);
	assert_int_equal(stats().sessions, 0);
	assert_int_equal(atomic_load(&w.use->live), 0);
}

static void bars_hold_at_once(void **state)
{
	(void)state;
	start(5000);
	struct rf_peer *alice = settle(ALICE), *bob = settle(BOB);
	assert_true(rf_ip_parse(RF_STR("192.0.2.1"), &w.barred));
	say(ALICE, EDGE, "more");
	expect_nothing(alice);
	assert_true(rf_replay_closed(alice));
	assert_int_equal(last()->status, 403);
	say(ALICE, EDGE, "anew");
	assert_null(origin());
	assert_true(rf_ip_parse(RF_STR("192.0.2.2"), &w.barred));
	rf_l4_udp_recheck(w.u);
	run(0);
	assert_true(rf_replay_closed(bob)); /* without a datagram of its own */
	w.port.ip_firewall = false;
	publish(true);
	say(BOB, EDGE, "not here");
	assert_non_null(origin());
}

static struct rf_phase_set *rules(const char *expression)
{
	struct rf_err e = { 0 };
	struct rf_rule_env env = { 0 };
	struct rf_ruleset *set = NULL;
	struct rf_phase_set *all = NULL;
	json_t *v = json_pack("[{s:s,s:s,s:s,s:s}]", "id", "rule-1", "expression", expression, "action", "block", "description", "no");
	if (rf_ruleset_make(&env, RF_PHASE_CONNECTION, RF_STR("set-1"), RF_STR("test"), v, NULL, &set, &e))
		fail_msg("%s", e.text);
	assert_int_equal(rf_phase_set_make(RF_PHASE_CONNECTION, &set, 1, &all), RF_OK);
	rf_ruleset_put(set);
	json_decref(v);
	return all;
}

static void rules_let_in_and_end(void **state)
{
	(void)state;
	start(5000);
	struct rf_peer *alice = settle(ALICE), *bob = settle(BOB);
	publish(true);
	w.snap->zone_policy[0].phase[RF_PHASE_CONNECTION] = rules(
		"ip.src eq 192.0.2.2 and udp.srcport eq 4000 and udp.dstport in {5000..5010} and not device.known");
	say(ALICE, EDGE, "goes on"); /* a change that does not touch it */
	expect_at(alice, "goes on");
	answer(bob, "no more");
	expect_nothing(w.edge);
	assert_true(rf_replay_closed(bob) && last()->status == 403);
	assert_string_equal(last()->layer, "rule");
	assert_string_equal(last()->rule, "rule-1");
	assert_string_equal(last()->event, "clientFiltered");
	say(BOB, EDGE, "anew");
	assert_null(origin());
	assert_string_equal(last()->rule, "rule-1");
	say("192.0.2.2:4001", EDGE, "another port");
	assert_non_null(origin());
	publish(true);
	w.snap->zone_policy[0].phase[RF_PHASE_CONNECTION] = rules("ip.src eq 192.0.2.1");
	rf_l4_udp_recheck(w.u);
	run(0);
	assert_true(rf_replay_closed(alice));
	assert_int_equal(stats().sessions, 1);
}

static void they_go_with_their_app(void **state)
{
	(void)state;
	start(5000);
	struct rf_peer *alice = settle(ALICE);
	publish(true);
	rf_l4_udp_recheck(w.u);
	run(0);
	say(ALICE, EDGE, "four");
	expect_at(alice, "four");
	strcpy(w.port.id, "another app at the same port....");
	rf_l4_udp_recheck(w.u);
	publish(true);
	run(0);
	assert_true(rf_replay_closed(alice));
	settle(BOB);
	publish(false);
	rf_l4_udp_recheck(w.u);
	run(0);
	assert_int_equal(stats().sessions, 0);
	say(ALICE, EDGE, "five");
	assert_null(origin());
	assert_int_equal(atomic_load(&w.use->live), 0);
}

static void an_origin_that_refuses_is_left(void **state)
{
	(void)state;
	w.group.count = 2;
	start(5000);
	say(ALICE, EDGE, "one");
	struct rf_peer *first = origin();
	rf_replay_reset(first);
	run(0);
	assert_true(rf_replay_closed(first));
	assert_int_equal(stats().sessions, 1);
	say(ALICE, EDGE, "two");
	struct rf_peer *second = origin();
	assert_non_null(second);
	assert_false(same_place(first, second));
	expect_at(second, "two");
	say(BOB, EDGE, "held for failing"); /* so all go to the other */
	struct rf_peer *bob = origin();
	assert_true(same_place(bob, second));
	answer(bob, "yes");
	expect_client(w.edge, BOB, EDGE, "yes");
	rf_replay_reset(bob);
	rf_replay_reset(second);
	run(0);
	assert_int_equal(stats().sessions, 1); /* nobody is left for Alice, who was never answered */
	assert_true(last()->status == 521);
	assert_string_equal(last()->action, "error");
	assert_string_equal(last()->event, "originError");
	say(BOB, EDGE, "comes back");
	assert_non_null(origin()); /* who was answered before stays, and tries again */
}

static void drained_ones_get_nobody(void **state)
{
	(void)state;
	w.origin[0].weight = 0;
	start(5000);
	uint64_t before = rf_counter_sum(RF_C_UDP_DROP_ORIGIN);
	say(ALICE, EDGE, "x");
	assert_null(origin());
	assert_int_equal(stats().sessions, 0);
	assert_int_equal(last()->status, 523);
	assert_int_equal(rf_counter_sum(RF_C_UDP_DROP_ORIGIN), before + 1);
}

static void guards(void **state)
{
	(void)state;
	static const char ping[] = "\x40\x01\x00\x01", broken[] = "\x40\x01\x00\x01\xff";
	struct rf_dgram m = { .peer = addr(ALICE), .local = addr(EDGE), .p = (char[]){ "GET / HTTP/1.1" }, .n = 14 };
	w.port.guard = RF_PORT_GUARD_COAP;
	start(5000);
	rf_replay_arrive(w.edge, &m);
	run(0);
	assert_int_equal(stats().sessions, 0);
	m.p = (char[]){ "\x40\x01\x00\x01\x40\x01\x00\x02\x99\x01\x00\x03" "\x40\x01\x00\x04" };
	m.n = 16;
	m.segment = 4;
	rf_replay_arrive(w.edge, &m);
	run(0);
	struct rf_peer *o = origin();
	struct rf_dgram got;
	for (int i = 0; i < 4; i++) /* all but the third */
		assert_int_equal(rf_replay_leave(o, &got), i < 3);
	rf_replay_arrive(o, &(struct rf_dgram){ .p = (char *)(uintptr_t)broken, .n = 5 });
	rf_replay_arrive(o, &(struct rf_dgram){ .p = (char *)(uintptr_t)ping, .n = 4 });
	run(0);
	assert_true(rf_replay_leave(w.edge, &got) && got.n == 4);
	expect_nothing(w.edge);
}

static void answers_are_bounded_until_the_client_is_real(void **state)
{
	(void)state;
	w.port.amplification = 3;
	start(5000);
	say(ALICE, EDGE, "12345");
	struct rf_peer *o = origin();
	answer(o, "1234567890");
	expect_client(w.edge, ALICE, EDGE, "1234567890");
	answer(o, "123456");
	expect_nothing(w.edge);
	answer(o, "12345");
	expect_client(w.edge, ALICE, EDGE, "12345");
	say(ALICE, EDGE, "6"); /* it has answered an answer */
	answer(o, "as long as the origin likes to be");
	expect_client(w.edge, ALICE, EDGE, "as long as the origin likes to be");
}

static void segments_pass_as_datagrams(void **state)
{
	(void)state;
	start(5000);
	uint64_t in = rf_counter_sum(RF_C_UDP_IN);
	say_segments(ALICE, EDGE, "aabbc", 2);
	struct rf_peer *o = origin();
	expect_at(o, "aa");
	expect_at(o, "bb");
	expect_at(o, "c");
	assert_int_equal(rf_counter_sum(RF_C_UDP_IN), in + 3);
	rf_replay_arrive(o, &(struct rf_dgram){ .p = (char[]){ "xxyy" }, .n = 4, .segment = 2 });
	run(0);
	expect_client(w.edge, ALICE, EDGE, "xx");
	expect_client(w.edge, ALICE, EDGE, "yy");
}

static void sockets_change_under_sessions(void **state)
{
	(void)state;
	start(5000);
	struct rf_peer *o = settle(ALICE), *old = w.edge;
	rf_l4_udp_unlisten(w.socket);
	uint64_t lost = rf_counter_sum(RF_C_UDP_DROP_SEND);
	answer(o, "nowhere");
	assert_int_equal(rf_counter_sum(RF_C_UDP_DROP_SEND), lost + 1);
	listen_at(5000);
	say(ALICE, EDGE, "by the new one");
	expect_at(o, "by the new one");
	answer(o, "good");
	expect_client(w.edge, ALICE, EDGE, "good");
	expect_nothing(old);
}

static void from_a_bound_socket_to_a_steered_one(void **state)
{
	(void)state;
	start(5000);
	struct rf_peer *o = settle(ALICE);
	rf_l4_udp_unlisten(w.socket);
	listen_at(0);
	say(ALICE, EDGE, "steered now");
	expect_at(o, "steered now");
	assert_int_equal(w.asked_count, 1);
	int fd = rf_replay_udp(w.r);
	struct rf_peer *from = rf_replay_udp_peer(w.r, fd);
	rf_l4_udp_reply(w.u, &w.asked[0].ip, 5000, fd);
	answer(o, "good");
	expect_client(from, ALICE, EDGE, "good");
}

static void a_shorter_life_holds_for_those_that_stand(void **state)
{
	(void)state;
	start(5000);
	struct rf_peer *o = settle(ALICE);
	w.port.idle_ns = 5 * RF_NS_S;
	publish(true);
	rf_l4_udp_recheck(w.u);
	run(4 * RF_NS_S);
	assert_false(rf_replay_closed(o));
	run(2 * RF_NS_S);
	assert_true(rf_replay_closed(o));
}

static void done(void *arg)
{
	++*(int *)arg;
}

static void drain(void **state)
{
	(void)state;
	int over = 0;
	start(5000);
	struct rf_peer *quiet = settle(ALICE);
	run(2 * RF_NS_S);
	struct rf_peer *busy = settle(BOB);
	rf_l4_udp_drain(w.u, 5 * RF_NS_S, done, &over);
	run(0);
	assert_true(rf_replay_closed(quiet) && !rf_replay_closed(busy));
	say(BOB, EDGE, "for the engine that comes after");
	expect_nothing(busy);
	for (int i = 0; i < 6; i++) {
		answer(busy, "still");
		if (i < 5)
			expect_client(w.edge, BOB, EDGE, "still");
		run(900 * RF_NS_MS);
	}
	assert_true(over == 1 && rf_replay_closed(busy));
}

static void held_datagrams_have_a_bound(void **state)
{
	(void)state;
	w.conf.held_bytes = 2 * sizeof(struct rf_dgram) + 2;
	start(0);
	uint64_t lost = rf_counter_sum(RF_C_UDP_DROP_HELD);
	say(ALICE, EDGE, "1");
	say(BOB, EDGE, "2");
	say("192.0.2.3:4000", EDGE, "3");
	assert_int_equal(rf_counter_sum(RF_C_UDP_DROP_HELD), lost + 1);
	rf_l4_udp_reply(w.u, &w.asked[0].ip, 5000, rf_replay_udp(w.r));
	run(0);
	expect_at(origin(), "1");
	expect_at(origin(), "2");
	assert_null(origin());
	say("192.0.2.3:4000", EDGE, "3 again");
	expect_at(origin(), "3 again");
}

static void records_have_a_bound(void **state)
{
	(void)state;
	char from[32];
	w.conf.records_rate = 100;
	w.conf.session_rate = 0;
	start(5000);
	for (unsigned i = 0; i < 200; i++) {
		source(from, i);
		say(from, EDGE, "x");
	}
	assert_int_equal(w.seen_count, 26);
	run(61 * RF_NS_S);
	assert_int_equal(w.seen_count, 52); /* each that began is ended */
}

/* Whatever call fails, nothing is leaked and the next datagram finds its way. */
static void every_call_may_fail(void **state)
{
	static const int codes[] = { RF_E_AGAIN, RF_E_RESET, RF_E_IO };
	start(5000);
	for (uint64_t n = 1; n < 12; n++) {
		for (size_t k = 0; k < 3; k++) {
			rf_replay_fail_at(w.r, n, codes[k]);
			say(ALICE, EDGE, "a");
			struct rf_peer *o = origin();
			if (o)
				answer(o, "b");
			say(ALICE, EDGE, "c");
			run(0);
			rf_replay_fail_at(w.r, 0, 0);
			run(61 * RF_NS_S);
			while (origin()) {
			}
			struct rf_dgram m;
			while (rf_replay_leave(w.edge, &m)) {
			}
			settle(BOB);
			run(61 * RF_NS_S);
			assert_int_equal(stats().sessions, 0);
		}
	}
	(void)state;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(there_and_back), TEST(a_range_keeps_its_offset), TEST(answers_leave_from_where_the_client_sent), TEST(simple_header),
		TEST(a_flood_of_false_sources_pushes_nobody_out), TEST(the_established_make_room_only_when_quiet), TEST(bounds),
		TEST(bars_hold_at_once), TEST(rules_let_in_and_end), TEST(they_go_with_their_app), TEST(an_origin_that_refuses_is_left),
		TEST(drained_ones_get_nobody), TEST(guards), TEST(answers_are_bounded_until_the_client_is_real),
		TEST(segments_pass_as_datagrams), TEST(sockets_change_under_sessions),
		TEST(from_a_bound_socket_to_a_steered_one), TEST(a_shorter_life_holds_for_those_that_stand), TEST(drain),
		TEST(held_datagrams_have_a_bound), TEST(records_have_a_bound), TEST(every_call_may_fail),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
