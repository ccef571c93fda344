/* TCP connections to ports, in virtual time: both ways, half-closed, reset, slow, silent, guarded, judged, moved to another origin. */
#include "svc/l4/test.h"
#include "policy/rule.h"
#include "wire/proxy.h"

static int setup(void **state)
{
	(void)state;
	world_open();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_close();
	return 0;
}

/* --- bytes and ends --- */

static void test_both_ways(void **state)
{
	(void)state;
	world_start();
	struct rf_peer *c = client();
	say(c, RF_STR("hello")); /* before there is an origin */
	assert_int_equal(w.seen_count, 0);
	struct rf_addr to;
	assert_true(rf_addr_parse(RF_STR("10.0.0.1:5022"), &to)); /* port 2022 is the 22nd of its range */
	struct rf_peer *o = rf_replay_accept(w.r, &to, RF_REPLAY_ACCEPT);
	assert_non_null(o);
	run();
	assert_true(heard(o, RF_STR("hello")));
	assert_string_equal(last()->event, "connect");
	assert_int_equal(last()->status, 0);
	assert_string_equal(last()->app, "app0");
	assert_string_equal(last()->origin, "tcp://10.0.0.1:5022");
	say(o, RF_STR("world!"));
	assert_true(heard(c, RF_STR("world!")));
	assert_int_equal(w.bufs.out, 0); /* nothing is held while nothing is under way */
	rf_replay_fin(c);
	run();
	rf_replay_fin(o);
	run();
	assert_true(rf_replay_closed(c) && rf_replay_closed(o) && !rf_replay_was_reset(c) && !rf_replay_was_reset(o));
	expect_end(200, "disconnect");
	assert_string_equal(last()->action, "allow");
	assert_true(last()->in == 5 && last()->out == 6 && last()->origin_in == 6 && last()->origin_out == 5);
	assert_int_equal(w.seen_count, 2);
}

static void test_half_close(void **state)
{
	(void)state;
	world_start();
	struct rf_peer *c = client();
	rf_replay_send(c, RF_STR("question"));
	rf_replay_fin(c); /* all before there is an origin */
	run();
	struct rf_peer *o = origin();
	assert_true(heard(o, RF_STR("question")));
	assert_true(rf_replay_ended(o) && !rf_replay_closed(o));
	for (int i = 0; i < 3; i++) {
		pass(100 * RF_NS_S);
		say(o, RF_STR("answer"));
		assert_true(heard(c, RF_STR("answer")));
	}
	assert_false(rf_replay_ended(c));
	rf_replay_fin(o);
	run();
	assert_true(rf_replay_closed(c) && rf_replay_closed(o));
	expect_end(200, "disconnect");
}

static void test_half_close_of_the_origin(void **state)
{
	(void)state;
	world_start();
	struct rf_peer *c = client(), *o = origin();
	rf_replay_send(o, RF_STR("bye"));
	rf_replay_fin(o);
	run();
	assert_true(heard(c, RF_STR("bye")));
	assert_true(rf_replay_ended(c) && !rf_replay_closed(c));
	say(c, RF_STR("late"));
	assert_true(heard(o, RF_STR("late")));
	rf_replay_fin(c);
	run();
	assert_true(rf_replay_closed(o));
	expect_end(200, "disconnect");
}

static void test_resets_pass(void **state)
{
	(void)state;
	world_start();
	struct rf_peer *c = client(), *o = origin();
	rf_replay_send(o, RF_STR("before"));
	run();
	rf_replay_reset(o);
	run();
	assert_true(rf_replay_was_reset(c));
	expect_end(444, "originError");
	assert_string_equal(last()->layer, "origin");
	c = client();
	o = origin();
	rf_replay_reset(c);
	run();
	assert_true(rf_replay_was_reset(o));
	expect_end(499, "disconnect");
	c = client(); /* while the origin is being connected */
	rf_replay_reset(c);
	run();
	expect_end(499, "disconnect");
	assert_int_equal(rf_replay_open(w.r), 1);
	rf_replay_accept(w.r, NULL, RF_REPLAY_HANG);
}

/* A side that is gone is noticed although nobody reads from it, because the other takes nothing. */
static void test_reset_of_one_that_is_held_back(void **state)
{
	(void)state;
	static char block[300000];
	world_start();
	struct rf_peer *c = client(), *o = origin();
	rf_replay_window(o, 1000);
	say(c, (struct rf_str){ block, sizeof block });
	assert_int_equal(rf_replay_sent(o).n, 1000);
	rf_replay_reset(c);
	run();
	assert_true(rf_replay_was_reset(o));
	expect_end(499, "disconnect");
}

static void test_slow_reader(void **state)
{
	(void)state;
	static char block[1 << 20];
	world_start();
	for (size_t i = 0; i < sizeof block; i++)
		block[i] = (char)(i * 31 >> 3);
	struct rf_peer *c = client(), *o = origin();
	rf_replay_window(c, 3000);
	say(o, (struct rf_str){ block, sizeof block });
	assert_true(w.bufs.out <= 1); /* it holds back its sender */
	size_t at = 0;
	static char got[4000];
	while (at < sizeof block) {
		size_t n = rf_replay_take(c, got, sizeof got);
		assert_true(n > 0);
		assert_memory_equal(got, block + at, n);
		at += n;
		run();
	}
	assert_int_equal(rf_replay_sent(c).n, 0);
	assert_int_equal(w.bufs.out, 0);
	say(c, RF_STR("ok"));
	assert_true(heard(o, RF_STR("ok")));
}

/* What is large goes through the kernel; the bytes stay the same, and what is small is copied again. */
static void test_bulk_is_spliced(void **state)
{
	(void)state;
	static char block[1 << 20], got[1 << 20];
	uint64_t spliced = rf_counter_sum(RF_C_L4_SPLICED);
	world_start();
	for (size_t i = 0; i < sizeof block; i++)
		block[i] = (char)(i * 31 >> 3);
	struct rf_peer *c = client(), *o = origin();
	rf_replay_window(c, sizeof block);
	say(o, (struct rf_str){ block, sizeof block });
	assert_int_equal(rf_replay_take(c, got, sizeof got), sizeof block);
	assert_memory_equal(got, block, sizeof block);
	assert_true(rf_replay_spliced(o) > sizeof block / 2);
	size_t before = rf_replay_spliced(o);
	say(o, RF_STR("small"));
	say(o, RF_STR("small"));
	assert_true(heard(c, RF_STR("smallsmall")));
	assert_true(rf_replay_spliced(o) - before <= 5);
	rf_replay_fin(o);
	rf_replay_fin(c);
	run();
	expect_end(200, "disconnect");
	assert_int_equal(last()->out, sizeof block + 10);
	assert_int_equal(rf_counter_sum(RF_C_L4_SPLICED), spliced + before + 5);
}

/* --- times --- */

static void test_idle(void **state)
{
	(void)state;
	world_start();
	struct rf_peer *c = client(), *o = origin();
	pass(299 * RF_NS_S);
	say(c, RF_STR("still here"));
	pass(299 * RF_NS_S);
	assert_false(rf_replay_closed(c));
	assert_string_equal(last()->event, "progress");
	assert_int_equal(last()->in, 10);
	pass(2 * RF_NS_S);
	assert_true(rf_replay_closed(c) && rf_replay_closed(o));
	expect_end(445, "originError"); /* it owed an answer */
	c = client();
	o = origin();
	say(o, RF_STR("prompt"));
	pass(301 * RF_NS_S);
	expect_end(497, "disconnect");
}

static void test_first_byte(void **state)
{
	(void)state;
	w.port->first_byte_ns = 10 * RF_NS_S;
	world_start();
	struct rf_peer *c = client(), *o = origin();
	pass(11 * RF_NS_S);
	assert_true(rf_replay_closed(c) && rf_replay_closed(o));
	expect_end(497, "disconnect");
	assert_string_equal(last()->action, "block");
	c = client();
	o = origin();
	say(c, RF_STR("x"));
	pass(20 * RF_NS_S);
	assert_false(rf_replay_closed(c));
}

/* --- origins --- */

static void test_the_next_origin(void **state)
{
	(void)state;
	w.group.count = 2;
	world_start();
	struct rf_peer *c = client();
	say(c, RF_STR("hello"));
	struct rf_peer *o = rf_replay_accept(w.r, NULL, RF_REPLAY_REFUSE);
	run();
	struct rf_addr first = rf_replay_addr(o);
	o = origin();
	struct rf_addr second = rf_replay_addr(o);
	assert_false(rf_addr_eq(&first, &second));
	assert_true(heard(o, RF_STR("hello"))); /* nothing was lost on the way */
	rf_replay_reset(c);
	run();
	c = client();
	for (int i = 0; i < 2; i++) {
		assert_non_null(rf_replay_accept(w.r, NULL, RF_REPLAY_REFUSE));
		run();
	}
	assert_true(rf_replay_closed(c));
	expect_end(521, "originError");
	c = client();
	rf_replay_accept(w.r, NULL, RF_REPLAY_HANG);
	pass(6 * RF_NS_S);
	rf_replay_accept(w.r, NULL, RF_REPLAY_HANG);
	pass(6 * RF_NS_S);
	expect_end(522, "originError");
}

static void test_drained_and_full_origins(void **state)
{
	(void)state;
	w.group.max_connections = 1;
	world_start();
	struct rf_peer *one = client(), *o = origin(), *two = client();
	assert_null(origin());
	rf_replay_reset(one);
	run();
	assert_true(rf_replay_was_reset(o));
	o = origin();
	assert_non_null(o); /* the one that waited */
	say(two, RF_STR("mine"));
	assert_true(heard(o, RF_STR("mine")));
	struct rf_peer *three = client();
	pass(6 * RF_NS_S);
	assert_true(rf_replay_closed(three));
	expect_end(524, "originError");
	atomic_store(&w.port->origins->origins[0].live->down, true);
	three = client();
	assert_true(rf_replay_closed(three) && !rf_replay_closed(two));
	expect_end(523, "originError");
}

/* A name without a resolver, and addresses that are no host's. */
static void test_origins_that_are_not_connected_to(void **state)
{
	(void)state;
	static const struct { const char *host; unsigned status; } rows[] = {
		{ "origin.example", 530 }, { "0.0.0.0", 532 }, { "255.255.255.255", 532 }, { "224.0.0.1", 532 }, { "ff02::1", 532 }, { "::", 532 },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		if (i) {
			world_close();
			world_open();
		}
		w.origin[0].host = rf_str_z(rows[i].host);
		world_start();
		struct rf_peer *c = client();
		assert_true(rf_replay_closed(c));
		expect_end(rows[i].status, "originError");
		assert_null(origin());
	}
}

/* --- what the origin is told --- */

static void test_header_of_version_1(void **state)
{
	(void)state;
	w.port->header = RF_PORT_HEADER_V1;
	world_start();
	struct rf_addr from;
	assert_true(rf_addr_parse(RF_STR("192.0.2.7:40000"), &from));
	struct rf_peer *c = rf_replay_connect(w.r, w.fd, &from);
	say(c, RF_STR("hello"));
	struct rf_peer *o = origin();
	assert_true(heard(o, RF_STR("PROXY TCP4 192.0.2.7 198.51.100.1 40000 2022\r\nhello")));
}

static void test_header_of_version_2(void **state)
{
	(void)state;
	w.port->header = RF_PORT_HEADER_V2;
	w.group.count = 2;
	world_start();
	struct rf_peer *c = client();
	rf_replay_accept(w.r, NULL, RF_REPLAY_REFUSE);
	run();
	struct rf_peer *o = origin();
	say(c, RF_STR("hello"));
	struct rf_proxy p;
	struct rf_str got = rf_replay_sent(o);
	assert_int_equal(rf_proxy_parse(got, &p), RF_OK);
	assert_true(p.checked && p.src.family == 4 && p.dst_port == 2022 && !p.has_ssl && p.unique_id.n == 16);
	assert_true(rf_str_eq(rf_str_skip(got, p.size), RF_STR("hello")));
}

/* --- who may --- */

static void test_guard(void **state)
{
	(void)state;
	w.port->guard = RF_PORT_GUARD_SSH;
	world_start();
	struct rf_peer *c = client(), *o = origin();
	say(o, RF_STR("SSH-2.0-server\r\n"));
	assert_true(heard(c, RF_STR("SSH-2.0-server\r\n")));
	say(c, RF_STR("SSH-2.0-cl"));
	assert_true(heard(o, RF_STR(""))); /* held until it is whole */
	say(c, RF_STR("ient\r\n"));
	assert_true(heard(o, RF_STR("SSH-2.0-client\r\n")));
	say(c, RF_STR("GET / HTTP/1.1\r\n"));
	assert_true(heard(o, RF_STR("")));
	assert_true(rf_replay_closed(c) && rf_replay_closed(o));
	expect_end(403, "clientFiltered");
	assert_string_equal(last()->layer, "guard");
	assert_string_equal(last()->action, "block");
	c = client();
	say(c, RF_STR("GET / HTTP/1.1\r\n")); /* before there is an origin */
	assert_true(rf_replay_closed(c));
	expect_end(403, "clientFiltered");
	rf_replay_accept(w.r, NULL, RF_REPLAY_HANG);
}

static void rules(const char *text)
{
	static const struct rf_rule_env env;
	struct rf_ruleset *set = NULL;
	struct rf_err e;
	json_t *doc = json_loads(text, 0, NULL);
	assert_non_null(doc);
	if (rf_ruleset_make(&env, RF_PHASE_CONNECTION, RF_STR("s"), RF_STR("s"), doc, NULL, &set, &e))
		fail_msg("%s: %s", e.pointer, e.text);
	json_decref(doc);
	assert_int_equal(rf_phase_set_make(RF_PHASE_CONNECTION, &set, 1, &w.snap->zone_policy[0].phase[RF_PHASE_CONNECTION]), RF_OK);
	rf_ruleset_put(set);
}

static void test_rules(void **state)
{
	(void)state;
	world_start();
	rules("[{\"id\": \"r\", \"action\": \"block\", \"expression\": \"ip.src eq 192.0.2.9 and tcp.dstport eq 2022\"}]");
	struct rf_addr from;
	assert_true(rf_addr_parse(RF_STR("192.0.2.9:1"), &from));
	struct rf_peer *c = rf_replay_connect(w.r, w.fd, &from);
	run();
	assert_true(rf_replay_closed(c));
	assert_null(origin());
	expect_end(403, "clientFiltered");
	assert_string_equal(last()->layer, "rule");
	c = client();
	assert_non_null(origin());
}

#define NO_HTTP "[{\"id\": \"r\", \"action\": \"block\", \"expression\": \"starts_with(tcp.payload.first, \\\"GET \\\")\"}]"

/* The client speaks first here: no origin before it has. */
static void test_rules_on_first_bytes(void **state)
{
	(void)state;
	w.port->first_byte_ns = 5 * RF_NS_S;
	world_start();
	rules(NO_HTTP);
	struct rf_peer *c = client();
	assert_null(origin());
	say(c, RF_STR("GET "));
	assert_false(rf_replay_closed(c));
	say(c, RF_STR("/ HTTP/1.1\r\n"));
	assert_true(rf_replay_closed(c));
	assert_null(origin());
	expect_end(403, "clientFiltered");
	c = client();
	say(c, RF_STR("hi"));
	assert_null(origin());
	pass(300 * RF_NS_MS); /* no more comes */
	struct rf_peer *o = origin();
	assert_true(heard(o, RF_STR("hi")));
	c = client();
	pass(6 * RF_NS_S);
	assert_true(rf_replay_closed(c));
	expect_end(497, "disconnect");
}

/* The origin may speak first here; what the client says is judged before it reaches it. */
static void test_rules_on_first_bytes_of_the_second(void **state)
{
	(void)state;
	world_start();
	rules(NO_HTTP);
	struct rf_peer *c = client(), *o = origin();
	say(o, RF_STR("220 ready\r\n"));
	assert_true(heard(c, RF_STR("220 ready\r\n")));
	pass(10 * RF_NS_S);
	say(c, RF_STR("GET / HTTP/1.1\r\n"));
	assert_true(heard(o, RF_STR("")));
	assert_true(rf_replay_closed(o));
	expect_end(403, "clientFiltered");
	c = client();
	o = origin();
	say(c, RF_STR("EHLO here\r\n"));
	assert_true(heard(o, RF_STR("EHLO here\r\n")));
	say(c, RF_STR("GET is fine now"));
	assert_true(heard(o, RF_STR("GET is fine now")));
}

static void test_access_rules(void **state)
{
	(void)state;
	w.port->ip_firewall = true;
	world_start();
	assert_true(rf_ip_parse(RF_STR("192.0.2.1"), &w.barred));
	struct rf_peer *c = client();
	assert_true(rf_replay_closed(c));
	expect_end(403, "clientFiltered");
	assert_true(rf_ip_parse(RF_STR("192.0.2.77"), &w.barred));
	c = client();
	struct rf_peer *o = origin();
	assert_false(rf_replay_closed(c));
	assert_true(rf_ip_parse(RF_STR("192.0.2.1"), &w.barred));
	rf_front_recheck(w.front);
	assert_true(rf_replay_closed(c) && rf_replay_closed(o));
	expect_end(403, "clientFiltered");
	w.port->ip_firewall = false;
	c = client();
	assert_false(rf_replay_closed(c));
	rf_replay_accept(w.r, NULL, RF_REPLAY_HANG);
}

/* --- which port --- */

static void test_no_such_port(void **state)
{
	(void)state;
	world_start();
	w.at.port = 3000;
	struct rf_peer *c = client();
	assert_true(rf_replay_was_reset(c));
	expect_end(403, "clientFiltered");
	assert_string_equal(last()->layer, "net");
}

static void test_as_many_as_the_port_may(void **state)
{
	(void)state;
	w.port->max_connections = 2;
	world_start();
	struct rf_peer *c[3] = { client(), client(), client() };
	assert_true(!rf_replay_closed(c[0]) && !rf_replay_closed(c[1]) && rf_replay_closed(c[2]));
	expect_end(403, "clientFiltered");
	assert_string_equal(last()->layer, "limit");
	rf_replay_reset(c[0]);
	run();
	assert_false(rf_replay_closed(client()));
	while (rf_replay_accept(w.r, NULL, RF_REPLAY_HANG))
		;
}

/* A change of the ports: what is the same goes on under its new settings, what is gone ends. */
static void test_ports_change(void **state)
{
	(void)state;
	world_start();
	struct rf_peer *c = client(), *o = origin();
	struct rf_site *first = w.site, *second, *none;
	struct rf_snap *old = w.snap;
	second = test_site(w.port);
	second->port[0]->idle_ns = 5 * RF_NS_S;
	w.snap = rf_snap_new(second);
	assert_int_equal(rf_l4_recheck(w.l4), 0);
	rf_snap_unpin(old);
	rf_site_put(first); /* nobody needs it any more */
	w.port = second->port[0];
	say(c, RF_STR("on"));
	assert_true(heard(o, RF_STR("on")));
	none = test_site(NULL);
	old = w.snap;
	w.snap = rf_snap_new(none);
	struct rf_port_use *use = rf_port_use_get(w.port->use);
	assert_int_equal(rf_l4_recheck(w.l4), 1);
	run();
	assert_true(rf_replay_closed(c) && rf_replay_closed(o));
	expect_end(403, "clientFiltered");
	assert_int_equal(atomic_load(&use->live), 0);
	rf_port_use_put(use);
	rf_snap_unpin(w.snap);
	rf_site_put(none);
	w.snap = old;
	w.site = second;
}

static bool over;
static void drained(void *arg) { (void)arg; over = true; }

static void test_drain(void **state)
{
	(void)state;
	world_start();
	struct rf_peer *c = client(), *o = origin(), *early = client();
	over = false;
	rf_front_drain(w.front, 30 * RF_NS_S, drained, NULL);
	run();
	struct rf_peer *to = origin();
	say(early, RF_STR("late"));
	assert_true(heard(to, RF_STR("late"))); /* it was on its way */
	say(c, RF_STR("more"));
	assert_true(heard(o, RF_STR("more")) && !over);
	pass(31 * RF_NS_S);
	assert_true(over && rf_replay_closed(c) && rf_replay_closed(o) && rf_replay_closed(early));
	expect_end(500, "disconnect");
}

/* Each call to the kernel fails once, in each way: nothing hangs, nothing leaks, each connection has its end. */
static void test_every_call_fails_once(void **state)
{
	(void)state;
	static const int codes[] = { RF_E_RESET, RF_E_IO, RF_E_AGAIN, RF_E_FULL };
	w.group.passive_fails = 0;
	world_start();
	for (size_t k = 0; k < sizeof codes / sizeof *codes; k++) {
		uint64_t calls = 1;
		for (uint64_t n = 1; n <= calls; n++) {
			uint64_t before = rf_replay_calls(w.r);
			rf_replay_fail_at(w.r, n, codes[k]);
			struct rf_peer *c = client();
			say(c, RF_STR("hello"));
			struct rf_peer *o = origin();
			if (o)
				say(o, RF_STR("world"));
			if (!rf_replay_closed(c))
				rf_replay_fin(c);
			run();
			if (o && !rf_replay_closed(o))
				rf_replay_fin(o);
			pass(6 * RF_NS_S);
			calls = rf_replay_calls(w.r) - before;
			rf_replay_fail_at(w.r, 0, 0);
			rf_replay_accept(w.r, NULL, RF_REPLAY_REFUSE);
			pass(6 * RF_NS_S);
			assert_int_equal(rf_replay_open(w.r), 1); /* the listener */
			assert_int_equal(w.bufs.out, 0);
			w.seen_count = 0;
		}
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_both_ways),
		T(test_half_close),
		T(test_half_close_of_the_origin),
		T(test_resets_pass),
		T(test_reset_of_one_that_is_held_back),
		T(test_slow_reader),
		T(test_bulk_is_spliced),
		T(test_idle),
		T(test_first_byte),
		T(test_the_next_origin),
		T(test_drained_and_full_origins),
		T(test_origins_that_are_not_connected_to),
		T(test_header_of_version_1),
		T(test_header_of_version_2),
		T(test_guard),
		T(test_rules),
		T(test_rules_on_first_bytes),
		T(test_rules_on_first_bytes_of_the_second),
		T(test_access_rules),
		T(test_no_such_port),
		T(test_as_many_as_the_port_may),
		T(test_ports_change),
		T(test_drain),
		T(test_every_call_fails_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
