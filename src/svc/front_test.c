/* A service of raw bytes over a front on the replay loop: all that a service can be told, without one of the real ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <urcu-qsbr.h>
#include "loop/replay.h"
#include "net/addr.h"
#include "net/listener.h"
#include "svc/front.h"

enum { RECORDS = 32 };

struct raw { /* a connection of the service */
	struct rf_client client;
	char got[64];
	unsigned got_n;
	bool judged;
};

struct seen { char action[8], layer[16], reason[80], rule[40], logged[40]; struct rf_ip src; uint16_t src_port; uint64_t requests; };

static struct {
	struct rf_replay *r;
	struct rf_loop *loop;
	struct rf_bufpool bufs;
	struct rf_registry *registry;
	struct rf_front *front;
	struct rf_front_conf conf;
	struct rf_front_listener at;
	struct rf_listener listener;
	struct rf_prefix trusted;
	int fd;
	struct rf_site *site;
	struct rf_snap *snap;
	struct seen seen[RECORDS];
	unsigned seen_n, welcomed, released, drains, late, done;
	struct raw *last;
	bool closed_port, greedy;
	struct rf_ip barred;
} w;

static const struct rf_snap *snap(void) { return w.snap; }
static bool barred(void *arg, const struct rf_ip *src) { (void)arg; return w.barred.family && rf_ip_eq(src, &w.barred); }
static void on_done(void *arg) { (void)arg; w.done++; }

static void text(char *to, size_t size, struct rf_str s) { snprintf(to, size, "%.*s", RF_ARG(s)); }

static void emit(void *arg, const struct rf_record *r)
{
	(void)arg;
	struct seen *s = &w.seen[w.seen_n++ % RECORDS];
	text(s->action, sizeof s->action, r->action);
	text(s->layer, sizeof s->layer, r->layer);
	text(s->reason, sizeof s->reason, r->reason);
	text(s->rule, sizeof s->rule, r->rule_id);
	text(s->logged, sizeof s->logged, r->logged_rules);
	s->src = r->src;
	s->src_port = (uint16_t)r->src_port;
	s->requests = r->requests;
}

static const struct seen *newest(void)
{
	assert_true(w.seen_n > 0);
	return &w.seen[(w.seen_n - 1) % RECORDS];
}

/* --- the service: keeps what it reads, ends at "bye", after a look at the rules where they want to see the first bytes --- */

static bool arrive(struct rf_client *c)
{
	if (w.closed_port)
		c->end = "nothing is offered on this port";
	return !w.closed_port;
}

static bool pass_rules(struct raw *x)
{
	struct rf_client *c = &x->client;
	if (x->judged || (!x->got_n && rf_client_wants_first(c)))
		return true;
	x->judged = true;
	if (rf_client_judge(c, (struct rf_str){ x->got, x->got_n }) == RF_OK)
		return true;
	rf_client_end(c, NULL);
	return false;
}

static void on_event(struct rf_stream *s)
{
	struct rf_client *c = RF_CONTAINER(s, struct rf_client, stream);
	struct raw *x = RF_CONTAINER(c, struct raw, client);
	c->running = true;
	for (ssize_t r; (r = rf_stream_read(s, x->got + x->got_n, sizeof x->got - 1 - x->got_n)) != RF_E_AGAIN;) {
		if (r <= 0) {
			rf_client_end(c, "closed by the client");
			break;
		}
		x->got_n += (unsigned)r;
	}
	if (!c->dead && pass_rules(x) && !strcmp(x->got, "bye")) {
		rf_client_end(c, "asked for");
		assert_true(c->dead); /* not before we have done */
	}
	rf_client_ran(c);
}

static void on_time(struct rf_timer *t)
{
	rf_client_refuse(RF_CONTAINER(t, struct rf_client, timer), RF_REASON_SLOW, "silent");
}

static void welcome(struct rf_client *c)
{
	w.welcomed++;
	w.last = RF_CONTAINER(c, struct raw, client);
	assert_null(c->in.p);
	c->stream.on_event = on_event;
	c->timer.fire = on_time;
	rf_timer_set(w.loop, &c->timer, rf_client_now(c) + 5 * RF_NS_S);
	on_event(&c->stream);
}

static void drain(struct rf_client *c, bool late)
{
	w.drains++;
	w.late += late;
	if (!w.greedy)
		rf_client_end(c, "the edge is shutting down");
}

static void report(struct rf_client *c, struct rf_record *r) { r->requests = RF_CONTAINER(c, struct raw, client)->got_n; }
static void release(struct rf_client *c) { (void)c; w.released++; }

static const struct rf_service service = { .size = sizeof(struct raw), .arrive = arrive, .welcome = welcome, .drain = drain,
	.report = report, .release = release, .judges = true };

/* --- the world --- */

static void on_accept(struct rf_listener *l, int fd, const struct rf_addr *peer)
{
	(void)l;
	rf_front_accept(w.front, &w.at, fd, peer);
}

static int open_world(void **state)
{
	(void)state;
	memset(&w, 0, sizeof w);
	rf_registry_thread_start();
	w.r = rf_replay_new();
	w.loop = rf_replay_loop(w.r);
	rf_bufpool_init(&w.bufs, 100, 4);
	w.registry = rf_registry_new(10);
	w.site = rf_site_new();
	w.snap = rf_snap_new(w.site);
	w.at = (struct rf_front_listener){ .service = &service, .trusted = &w.trusted, .trusted_count = 1, .port = 22 };
	assert_true(rf_prefix_parse(RF_STR("192.0.2.0/24"), true, &w.trusted));
	struct rf_front_spec spec = { .loop = w.loop, .bufs = &w.bufs, .identity = { .registry = w.registry }, .snap = snap,
		.emit = emit, .barred = barred, .seed = 7 };
	w.front = rf_front_new(&spec);
	w.conf = rf_front_conf_default;
	w.fd = rf_replay_listener(w.r);
	assert_int_equal(rf_listener_adopt(&w.listener, w.loop, w.fd, on_accept), RF_OK);
	return 0;
}

static int close_world(void **state)
{
	(void)state;
	rf_listener_close(&w.listener);
	uint64_t accepted = w.front->stats.accepted;
	rf_front_free(w.front);
	assert_int_equal(w.released, accepted); /* each of them, welcome or not */
	assert_int_equal(w.seen_n, accepted);
	assert_int_equal(w.bufs.out, 0);
	assert_int_equal(rf_replay_open(w.r), 0);
	rf_bufpool_fini(&w.bufs);
	rf_snap_unpin(w.snap);
	rf_site_put(w.site);
	rf_replay_free(w.r);
	rf_registry_free(w.registry);
	rcu_barrier();
	rf_registry_thread_stop();
	return 0;
}

static void pass(uint64_t ns) { assert_int_equal(rf_replay_run(w.r, ns), RF_OK); }

static struct rf_peer *client(const char *says)
{
	struct rf_peer *p = rf_replay_connect(w.r, w.fd, NULL);
	rf_replay_send(p, rf_str_z(says));
	pass(0);
	return p;
}

static void rule(const char *expression, const char *action)
{
	struct rf_err e = { 0 };
	struct rf_rule_env env = { 0 };
	struct rf_ruleset *set = NULL;
	json_t *rules = json_pack("[{s:s,s:s,s:s}]", "id", "rule-1", "expression", expression, "action", action);
	if (rf_ruleset_make(&env, RF_PHASE_CONNECTION, RF_STR("set-1"), RF_STR("test"), rules, NULL, &set, &e))
		fail_msg("%s", e.text);
	assert_int_equal(rf_phase_set_make(RF_PHASE_CONNECTION, &set, 1, &w.snap->policy.phase[RF_PHASE_CONNECTION]), RF_OK);
	rf_ruleset_put(set);
	json_decref(rules);
}

static void test_life(void **state)
{
	(void)state;
	struct rf_peer *p = client("hel");
	assert_int_equal(w.welcomed, 1);
	assert_string_equal(w.last->got, "hel");
	assert_int_equal(w.front->stats.connections, 1);
	rf_replay_close(p);
	pass(0);
	assert_string_equal(newest()->reason, "closed by the client");
	assert_string_equal(newest()->action, "allow");
	assert_int_equal(newest()->requests, 3);
	assert_true(rf_replay_closed(client("bye")));
	assert_string_equal(newest()->reason, "asked for");
	client("");
	pass(6 * RF_NS_S);
	assert_string_equal(newest()->reason, "silent");
	assert_string_equal(newest()->action, "block");
	assert_int_equal(w.front->stats.connections, 0);
}

static void test_nothing_there(void **state)
{
	(void)state;
	w.closed_port = true;
	assert_true(rf_replay_closed(client("hello")));
	assert_int_equal(w.welcomed, 0);
	assert_string_equal(newest()->reason, "nothing is offered on this port");
}

static void test_first_bytes(void **state)
{
	(void)state;
	rule("tcp.dstport eq 22 and not starts_with(tcp.payload.first, \"SSH-2.0-\")", "block");
	struct rf_peer *good = client("SSH-2.0-x"), *silent = client("");
	assert_false(rf_replay_closed(good));
	assert_false(rf_replay_closed(silent)); /* nothing to judge yet */
	rf_replay_send(silent, RF_STR("GET / HTTP/1.1"));
	pass(0);
	assert_true(rf_replay_closed(silent));
	assert_string_equal(newest()->layer, "rule");
	assert_string_equal(newest()->rule, "rule-1");
	assert_string_equal(newest()->action, "block");
}

static void test_rules_of_addresses_need_no_bytes(void **state)
{
	(void)state;
	rule("ip.src in {192.0.2.0/24}", "block");
	assert_true(rf_replay_closed(client("")));
	assert_string_equal(newest()->rule, "rule-1");
}

static void test_rule_that_logs(void **state)
{
	(void)state;
	rule("ip.src in {192.0.2.0/24}", "log");
	assert_true(rf_replay_closed(client("bye")));
	assert_string_equal(newest()->action, "log");
	assert_string_equal(newest()->layer, "rule");
	assert_string_equal(newest()->logged, "rule-1");
	assert_string_equal(newest()->reason, "asked for");
}

static void test_proxy(void **state)
{
	(void)state;
	w.at.proxy = true;
	struct rf_peer *p = client("PROXY TCP4 198.51.100.7 203.0.113.1 4711 2222\r\nfirst");
	assert_string_equal(w.last->got, "first");
	assert_int_equal(w.last->client.src_port, 4711);
	assert_int_equal(w.last->client.dst_port, 2222);
	rf_replay_close(p);
	pass(0);
	struct rf_ip real;
	assert_true(rf_ip_parse(RF_STR("198.51.100.7"), &real));
	assert_true(rf_ip_eq(&newest()->src, &real));
	assert_true(rf_replay_closed(client("SSH-2.0-without a header")));
	assert_string_equal(newest()->reason, "the PROXY header is missing or broken");
	p = client("PROXY TCP4 198.51.100.7 203.0.113.1 4711");
	assert_int_equal(w.front->stats.connections, 1);
	pass(11 * RF_NS_S);
	assert_true(rf_replay_closed(p));
	assert_string_equal(newest()->reason, "the PROXY header took too long");
	assert_true(rf_prefix_parse(RF_STR("203.0.113.0/24"), true, &w.trusted));
	assert_true(rf_replay_closed(client("PROXY TCP4 198.51.100.7 203.0.113.1 4711 2222\r\nfirst")));
	assert_int_equal(w.welcomed, 1);
}

static void test_bars(void **state)
{
	(void)state;
	struct rf_peer *p = client("on");
	assert_true(rf_ip_parse(RF_STR("192.0.2.1"), &w.barred));
	assert_true(rf_replay_closed(client("on")));
	assert_string_equal(newest()->reason, rf_reason_words(RF_REASON_BARRED));
	assert_int_equal(rf_front_recheck(w.front), 1); /* the one that stood */
	pass(0);
	assert_true(rf_replay_closed(p));
	assert_int_equal(w.front->stats.severed, 1);
	w.barred = (struct rf_ip){ 0 };
	p = client("on");
	w.last->client.unbarred = true;
	assert_true(rf_ip_parse(RF_STR("192.0.2.1"), &w.barred));
	assert_int_equal(rf_front_recheck(w.front), 0);
	assert_false(rf_replay_closed(p));
}

static void test_bounds(void **state)
{
	(void)state;
	w.conf.connections = 3;
	w.conf.connections_per_address = 2;
	rf_front_conf(w.front, &w.conf);
	struct rf_peer *p[3];
	for (unsigned i = 0; i < 3; i++)
		p[i] = client("on");
	assert_false(rf_replay_closed(p[1]));
	assert_true(rf_replay_closed(p[2])); /* of one address */
	assert_string_equal(newest()->reason, "too many connections or handshakes of one address");
	rf_replay_close(p[0]);
	pass(0);
	assert_false(rf_replay_closed(client("on"))); /* there is room again */
}

static void test_drain(void **state)
{
	(void)state;
	struct rf_peer *p = client("on");
	w.greedy = true;
	rf_front_hold(w.front);
	rf_front_drain(w.front, 60 * RF_NS_S, on_done, NULL);
	pass(RF_NS_S);
	assert_int_equal(w.drains, 1);
	assert_int_equal(w.late, 0);
	assert_int_equal(w.done, 0);
	assert_true(rf_replay_closed(client("too late")));
	pass(RF_NS_S);
	assert_int_equal(w.late, 1);
	rf_replay_send(p, RF_STR("x"));
	rf_replay_close(p);
	pass(RF_NS_S);
	assert_int_equal(w.front->stats.connections, 0);
	assert_int_equal(w.done, 0); /* something is held */
	rf_front_let_go(w.front);
	pass(0);
	assert_int_equal(w.done, 1);
}

static void test_who_has_just_come_may_begin_in_a_drain(void **state)
{
	(void)state;
	w.at.proxy = true;
	struct rf_peer *begins = client("PROXY TCP4 198.51.100.7 "), *silent = client("PROXY TCP4 ");
	rf_front_drain(w.front, 60 * RF_NS_S, on_done, NULL);
	pass(RF_NS_S);
	rf_replay_send(begins, RF_STR("203.0.113.1 4711 2222\r\nbye"));
	pass(0);
	assert_int_equal(w.welcomed, 1);
	assert_string_equal(newest()->reason, "asked for");
	assert_false(rf_replay_closed(silent));
	pass(RF_NS_S);
	assert_true(rf_replay_closed(silent));
	assert_string_equal(newest()->reason, "the edge is shutting down");
	assert_int_equal(w.done, 1);
}

static void test_a_drain_ends_in_time(void **state)
{
	(void)state;
	struct rf_peer *p = client("on");
	w.greedy = true;
	rf_timer_stop(w.loop, &w.last->client.timer);
	rf_front_drain(w.front, 3 * RF_NS_S, on_done, NULL);
	pass(2 * RF_NS_S);
	assert_false(rf_replay_closed(p));
	pass(2 * RF_NS_S);
	assert_true(rf_replay_closed(p));
	assert_int_equal(w.done, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_life), TEST(test_nothing_there), TEST(test_first_bytes), TEST(test_rules_of_addresses_need_no_bytes), TEST(test_rule_that_logs),
		TEST(test_proxy), TEST(test_bars), TEST(test_bounds), TEST(test_drain),
		TEST(test_who_has_just_come_may_begin_in_a_drain), TEST(test_a_drain_ends_in_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
