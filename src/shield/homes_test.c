/* Where devices are, and what comes from there, with frames counted as the kernel filter counts them, in virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "base/clock.h"
#include "bpf/homes.h"
#include "shield/feed.h"
#include "shield/homes.h"

static const struct rf_traffic_conf traffic = { { 100, 2000, 10000 }, 50 };
static const struct rf_detect_conf detect = { .sense = RF_FLOOD_HIGH, .floor = 100, .learn_ns = RF_NS_S };

struct world {
	struct rf_filter_conf conf;
	struct rf_home_bucket *rows;
	struct rf_homes *h;
	uint64_t now;
	uint32_t state[8];         /* of devices by number */
	unsigned told;
	char last[RF_HOMES_NAME];
	struct rf_fleet_deed deed;
};

static char *device(unsigned i)
{
	static char ids[8][33];
	snprintf(ids[i], sizeof ids[i], "%032x", i + 0xabc0);
	return ids[i];
}

static struct rf_ip ip(const char *text)
{
	struct rf_ip v;
	assert_true(rf_ip_parse(rf_str_z(text), &v));
	return v;
}

static uint32_t state_of(void *arg, const char *id)
{
	struct world *w = arg;
	for (unsigned i = 0; i < 8; i++)
		if (strcmp(id, device(i)) == 0)
			return w->state[i];
	fail_msg("asked for %s", id);
	return 0;
}

static void offends(void *arg, const char *subject, const struct rf_fleet_deed *deed)
{
	struct world *w = arg;
	w->told++;
	w->deed = *deed;
	snprintf(w->last, sizeof w->last, "%s", subject);
}

static unsigned tick(struct world *w)
{
	struct rf_homes_ops ops = { state_of, offends, w };
	w->now += RF_FLOOD_TICK_NS;
	w->told = 0;
	rf_homes_tick(w->h, &traffic, &detect, w->now, &ops);
	return w->told;
}

static struct rf_home *row_of(struct world *w, const char *text)
{
	struct rf_ip at = ip(text);
	__u32 a[4];
	memcpy(a, at.b, sizeof a);
	struct rf_key k = at.family == 4 ? rf_key4(rf_host32(a[0]), 32) : rf_key6(a);
	for (int second = 0; second < 2; second++) {
		struct rf_home_bucket *b = &w->rows[rf_home_bucket_of((struct rf_home_key){ k.hi, k.lo }, w->conf.secret, second)];
		for (int i = 0; i < RF_HOME_WAYS; i++)
			if (b->key[i].hi == k.hi && b->key[i].lo == k.lo)
				return &b->home[i];
	}
	return NULL;
}

/* SYNs from an address to so many others, at this port, as the filter counts them. */
static void scans(struct world *w, const char *from, unsigned n, uint16_t port)
{
	struct rf_home *row = row_of(w, from);
	for (unsigned i = 0; i < n; i++) {
		struct rf_frame f = { .family = 4, .proto = RF_PROTO_TCP, .tcp_flags = RF_TCP_SYN, .dport = port, .dst = { 1000 + i } };
		rf_home_count(row, &w->conf, &f, 1);
		row->banned += rf_is_banned(&w->conf, &f) && !(row->state & RF_HOME_EXEMPT);
	}
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	w->conf.secret = 5;
	w->conf.ban[0] = 1ull << 23;
	w->rows = calloc(RF_HOME_BUCKETS, sizeof *w->rows);
	w->h = rf_homes_new(&w->conf);
	w->now = 1000 * RF_NS_S;
	*state = w;
	return w->h && w->rows ? rf_homes_enter(w->h, &w->conf, w->rows, w->now) : -1;
}

static int teardown(void **state)
{
	struct world *w = *state;
	rf_homes_free(w->h);
	free(w->rows);
	free(w);
	return 0;
}

static void come(struct world *w, const char *at, unsigned who)
{
	struct rf_ip a = ip(at);
	rf_homes_come(w->h, &a, device(who), w->state[who], w->now);
}

static void go(struct world *w, const char *at, unsigned who)
{
	struct rf_ip a = ip(at);
	rf_homes_go(w->h, &a, device(who), w->now);
}

static void a_device_is_told_for_what_its_address_does(void **state)
{
	struct world *w = *state;
	assert_false(w->conf.fleet);
	come(w, "10.1.0.7", 1);
	come(w, "fd00::9", 2);
	assert_true(w->conf.fleet);
	assert_int_equal(tick(w), 0);
	scans(w, "10.1.0.7", 20, 23);
	assert_int_equal(tick(w), 1);
	assert_string_equal(w->last, device(1));
	assert_int_equal(w->deed.what, RF_DEED_TELNET);
	scans(w, "fd00::9", 80, 443);
	assert_int_equal(tick(w), 1);
	assert_string_equal(w->last, device(2));
	assert_int_equal(w->deed.what, RF_DEED_SCAN);
	struct rf_homes_at at[RF_HOMES_SHOWN];
	come(w, "10.1.0.7", 1);
	assert_int_equal(rf_homes_of(w->h, device(1), at), 1);
	assert_true(at[0].live == 2 && at[0].own && !at[0].bound && at[0].ip.b[3] == 7);
	assert_int_equal(rf_homes_of(w->h, device(3), at), 0);
	uint64_t frames, stopped;
	assert_true(rf_homes_count(w->h, device(1), &frames, &stopped));
	assert_true(frames == 20 && stopped == 20);
	assert_false(rf_homes_count(w->h, device(3), &frames, &stopped));
}

static void the_state_of_a_device_is_that_of_its_row(void **state)
{
	struct world *w = *state;
	w->state[1] = RF_HOME_EXEMPT;
	come(w, "10.1.0.7", 1);
	assert_int_equal(row_of(w, "10.1.0.7")->state, RF_HOME_EXEMPT); /* before any tick */
	scans(w, "10.1.0.7", 100, 23);
	assert_int_equal(tick(w), 0);
	w->state[1] = RF_HOME_SLOW;
	scans(w, "10.1.0.7", 1, 80);
	tick(w);
	assert_int_equal(row_of(w, "10.1.0.7")->state, RF_HOME_SLOW);
	w->state[1] = RF_HOME_HELD;
	tick(w); /* without a frame */
	assert_int_equal(row_of(w, "10.1.0.7")->state, RF_HOME_HELD);
	go(w, "10.1.0.7", 1);
	w->now += 10 * RF_HOMES_KEPT_NS;
	tick(w);
	assert_int_equal(row_of(w, "10.1.0.7")->state, RF_HOME_HELD); /* as long as it is in quarantine */
	w->state[1] = 0;
	tick(w);
	assert_null(row_of(w, "10.1.0.7")); /* it is let go, and was not seen since */
}

static void nobody_pays_for_neighbours(void **state)
{
	struct world *w = *state;
	come(w, "10.1.0.7", 1);
	come(w, "10.1.0.7", 2);
	scans(w, "10.1.0.7", 100, 23);
	assert_int_equal(tick(w), 1);
	assert_string_equal(w->last, "address:10.1.0.7");
	w->state[1] = RF_HOME_HELD;
	tick(w);
	assert_int_equal(row_of(w, "10.1.0.7")->state, RF_HOME_SHARED);
	rf_homes_slow(w->h, "address:10.1.0.7", true);
	assert_int_equal(row_of(w, "10.1.0.7")->state, RF_HOME_SHARED | RF_HOME_SLOW);
	assert_int_equal(row_of(w, "10.1.0.7")->share, 2);
	tick(w);
	assert_int_equal(row_of(w, "10.1.0.7")->state, RF_HOME_SHARED | RF_HOME_SLOW);
	rf_homes_slow(w->h, "address:10.1.0.7", false);
	tick(w);
	assert_int_equal(row_of(w, "10.1.0.7")->state, RF_HOME_SHARED);
	go(w, "10.1.0.7", 2);
	tick(w);
	assert_int_equal(row_of(w, "10.1.0.7")->state, RF_HOME_SHARED); /* it was there a moment ago */
	w->now += RF_HOMES_KEPT_NS;
	for (int i = 0; i < 40; i++)
		tick(w);
	assert_int_equal(row_of(w, "10.1.0.7")->state, RF_HOME_HELD);
	for (unsigned i = 0; i < 8; i++)
		come(w, "10.9.0.1", i);
	scans(w, "10.9.0.1", 100, 23);
	assert_int_equal(tick(w), 1);
	assert_string_equal(w->last, "address:10.9.0.1");
}

static void a_public_address_is_nobodys_alone_unless_it_is_said(void **state)
{
	struct world *w = *state;
	struct rf_prefix net;
	struct rf_ip bound = ip("203.0.113.9");
	come(w, "198.51.100.7", 1);
	come(w, "192.0.2.7", 2);
	assert_true(rf_prefix_parse(RF_STR("192.0.2.0/24"), true, &net));
	rf_homes_networks(w->h, &net, 1);
	rf_homes_bind(w->h, &bound, device(3), true, w->now);
	const char *const from[] = { "198.51.100.7", "192.0.2.7", "203.0.113.9" };
	const char *const who[] = { "address:198.51.100.7", device(2), device(3) };
	for (int i = 0; i < 3; i++) {
		scans(w, from[i], 100, 23);
		assert_int_equal(tick(w), 1);
		assert_string_equal(w->last, who[i]);
	}
	w->state[1] = RF_HOME_HELD;
	scans(w, "198.51.100.7", 1, 80);
	tick(w);
	assert_int_equal(row_of(w, "198.51.100.7")->state, 0);
	rf_homes_bind(w->h, &bound, device(3), false, w->now);
	w->now += RF_HOMES_KEPT_NS + RF_NS_S;
	for (int i = 0; i < 20; i++)
		tick(w);
	assert_null(row_of(w, "203.0.113.9"));
}

static void an_address_of_the_fleet_that_nobody_is_known_at_is_watched(void **state)
{
	struct world *w = *state;
	struct rf_homes_stats n;
	struct rf_prefix net;
	struct rf_ip in = ip("192.0.2.8"), out = ip("10.0.0.1");
	assert_true(rf_prefix_parse(RF_STR("192.0.2.0/24"), true, &net));
	rf_homes_networks(w->h, &net, 1);
	rf_homes_watch(w->h, &in, w->now);
	rf_homes_watch(w->h, &out, w->now);
	assert_non_null(row_of(w, "192.0.2.8"));
	assert_null(row_of(w, "10.0.0.1"));
	scans(w, "192.0.2.8", 100, 23);
	assert_int_equal(tick(w), 1);
	assert_string_equal(w->last, "address:192.0.2.8");
	rf_homes_stats(w->h, &n);
	assert_true(n.homes == 1 && n.watched == 1 && n.shared == 0);
	come(w, "192.0.2.8", 4);
	scans(w, "192.0.2.8", 100, 23);
	assert_int_equal(tick(w), 1);
	assert_string_equal(w->last, device(4));
}

static void rows_outlive_the_process(void **state)
{
	struct world *w = *state;
	w->state[1] = RF_HOME_HELD;
	come(w, "10.1.0.7", 1);
	come(w, "10.1.0.8", 2);
	come(w, "10.1.0.8", 3);
	tick(w);
	rf_homes_free(w->h);
	w->h = rf_homes_new(&w->conf);
	assert_non_null(w->h);
	struct rf_ip bound = ip("10.1.0.9");
	rf_homes_bind(w->h, &bound, device(5), true, w->now);
	assert_int_equal(rf_homes_enter(w->h, &w->conf, w->rows, w->now), 0);
	assert_int_equal(row_of(w, "10.1.0.7")->state, RF_HOME_HELD);
	assert_non_null(row_of(w, "10.1.0.9"));
	tick(w);
	assert_int_equal(row_of(w, "10.1.0.7")->state, RF_HOME_HELD);
	assert_true(row_of(w, "10.1.0.8")->state & RF_HOME_SHARED);
	w->state[1] = 0;
	tick(w);
	assert_int_equal(row_of(w, "10.1.0.7")->state, 0);
	w->now += RF_HOMES_KEPT_NS;
	for (int i = 0; i < 20; i++)
		tick(w);
	assert_null(row_of(w, "10.1.0.7"));
	assert_null(row_of(w, "10.1.0.8"));
	assert_non_null(row_of(w, "10.1.0.9"));
}

static void who_retires_writes_no_more(void **state)
{
	struct world *w = *state;
	struct rf_homes *old = w->h;
	come(w, "10.1.0.7", 1);
	w->h = rf_homes_new(&w->conf);
	assert_non_null(w->h);
	assert_int_equal(rf_homes_enter(w->h, &w->conf, w->rows, w->now), 0);
	come(w, "10.1.0.8", 2);
	struct rf_home_key *key = NULL;
	for (int i = 0; i < RF_HOME_BUCKETS * RF_HOME_WAYS; i++)
		if ((w->rows[i / RF_HOME_WAYS].key[i % RF_HOME_WAYS].lo & 0xffffffff) == 0x0a010008)
			key = &w->rows[i / RF_HOME_WAYS].key[i % RF_HOME_WAYS];
	assert_non_null(key);
	key->lo = 0xffff0a010009; /* the old one has put another there in that moment */
	rf_homes_retire(old);
	w->state[2] = RF_HOME_HELD;
	for (int i = 0; i < 16; i++)
		tick(w);
	assert_non_null(row_of(w, "10.1.0.8"));
	assert_int_equal(row_of(w, "10.1.0.8")->state, RF_HOME_HELD);
	struct rf_homes *now = w->h;
	w->h = old;
	come(w, "10.1.0.10", 3);
	go(w, "10.1.0.7", 1);
	w->now += 2 * RF_HOMES_KEPT_NS;
	tick(w);
	assert_null(row_of(w, "10.1.0.10"));
	assert_non_null(row_of(w, "10.1.0.7"));
	w->h = now;
	rf_homes_free(old);
}

static void who_is_there_pushes_out_who_was_and_never_each_other(void **state)
{
	struct world *w = *state;
	struct rf_homes_stats n;
	char text[RF_IP_TEXT];
	for (unsigned i = 0; i < 2 * RF_HOMES_MAX; i++) {
		snprintf(text, sizeof text, "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
		come(w, text, 1);
		if (i % 2)
			go(w, text, 1);
	}
	rf_homes_stats(w->h, &n);
	assert_in_range(n.homes, RF_HOMES_MAX * 95 / 100, RF_HOMES_MAX);
	assert_true(n.lost > 0 && n.lost < RF_HOMES_MAX);
	assert_non_null(row_of(w, "10.0.0.0"));
	assert_null(row_of(w, "10.0.0.1"));
	scans(w, "10.0.0.0", 100, 23);
	for (unsigned i = 0; i < 4; i++)
		tick(w); /* none is lost while it is walked */
	rf_homes_stats(w->h, &n);
	assert_in_range(n.homes, RF_HOMES_MAX * 95 / 100, RF_HOMES_MAX);
}

static int asks(struct world *w, const char *from, uint16_t port, bool tcp, unsigned n)
{
	struct rf_ip src = ip(from), dst = ip("192.0.2.1");
	return rf_homes_ask(w->h, &src, &dst, port, tcp, n, w->now);
}

static void services_ask_who_may_pass(void **state)
{
	struct world *w = *state;
	unsigned passed = 0;
	assert_int_equal(asks(w, "10.1.0.7", 5683, false, 1), RF_OK); /* nobody's */
	come(w, "10.1.0.7", 1);
	assert_int_equal(asks(w, "10.1.0.7", 5683, false, 1000), RF_OK);
	assert_int_equal(row_of(w, "10.1.0.7")->datagrams, 0); /* the kernel counts these rows */
	row_of(w, "10.1.0.7")->state = RF_HOME_SLOW;
	for (unsigned i = 0; i < 1000; i++) { /* in ten seconds */
		w->now += 10 * RF_NS_MS;
		passed += asks(w, "10.1.0.7", 5683, i % 2, 1) == RF_OK;
	}
	assert_in_range(passed, 50, 56);
	assert_int_equal(asks(w, "10.1.0.7", 5683, true, 1), RF_E_RATE);
	row_of(w, "10.1.0.7")->state = RF_HOME_HELD;
	w->now += RF_NS_S;
	assert_int_equal(asks(w, "10.1.0.7", 5683, true, 1), RF_E_DENIED);
	assert_int_equal(asks(w, "10.1.0.8", 5683, true, 1), RF_OK);
	row_of(w, "10.1.0.7")->state = RF_HOME_HELD | RF_HOME_EXEMPT;
	assert_int_equal(asks(w, "10.1.0.7", 5683, true, 1), RF_OK);
}

static void what_services_see_counts_where_no_kernel_does(void **state)
{
	struct world *w = *state;
	struct rf_homes *own = rf_homes_new(&w->conf);
	struct rf_homes *kernel = w->h;
	assert_non_null(own);
	w->h = own;
	come(w, "10.1.0.7", 1);
	for (unsigned t = 0; t < 8; t++) {
		assert_int_equal(asks(w, "10.1.0.7", 5683, false, 1), RF_OK);
		assert_int_equal(tick(w), 0);
	}
	for (unsigned t = 0; t < 4; t++) {
		assert_int_equal(asks(w, "10.1.0.7", 5683, false, 5000), RF_OK);
		tick(w);
	}
	assert_int_equal(w->deed.what, RF_DEED_DATAGRAMS);
	assert_string_equal(w->last, device(1));
	for (unsigned i = 0; i < 100; i++)
		asks(w, "10.1.0.7", (uint16_t)(1000 + i), true, 1);
	assert_int_equal(tick(w), 1);
	assert_int_equal(w->deed.what, RF_DEED_SCAN);
	w->h = kernel;
	rf_homes_free(own);
}

static bool done_is(struct rf_homes *h, size_t i, const char *address, uint32_t state, uint32_t share)
{
	struct rf_homes_done v[8];
	struct rf_ip want = ip(address);
	return rf_homes_done(h, v, 8) > i && rf_ip_eq(&v[i].ip, &want) && v[i].state == state && v[i].share == share;
}

static void what_is_done_is_listed_the_held_first(void **state)
{
	struct world *w = *state;
	struct rf_homes_done one;
	w->state[1] = RF_HOME_EXEMPT;
	w->state[2] = RF_HOME_SLOW;
	come(w, "10.0.0.1", 0);
	come(w, "10.0.0.2", 1);
	come(w, "10.0.0.3", 2);
	come(w, "10.0.0.4", 3);
	uint64_t before = rf_homes_changes(w->h);
	w->state[3] = RF_HOME_HELD | RF_HOME_SLOW;
	for (int i = 0; i < 20; i++) /* one without traffic is looked at now and then */
		tick(w);
	assert_true(rf_homes_changes(w->h) > before);
	assert_true(done_is(w->h, 0, "10.0.0.4", RF_HOME_HELD, 1) && done_is(w->h, 1, "10.0.0.3", RF_HOME_SLOW, 1));
	assert_true(done_is(w->h, 2, "10.0.0.2", RF_HOME_EXEMPT, 1) && done_is(w->h, 3, "10.0.0.1", 0, 1));
	assert_int_equal(rf_homes_done(w->h, &one, 1), 1);
	assert_int_equal(one.state, RF_HOME_HELD);
	before = rf_homes_changes(w->h);
	for (int i = 0; i < 20; i++)
		tick(w);
	assert_int_equal(rf_homes_changes(w->h), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(a_device_is_told_for_what_its_address_does), T(the_state_of_a_device_is_that_of_its_row), T(nobody_pays_for_neighbours),
		T(a_public_address_is_nobodys_alone_unless_it_is_said), T(an_address_of_the_fleet_that_nobody_is_known_at_is_watched),
		T(rows_outlive_the_process), T(what_is_done_is_listed_the_held_first),
		T(services_ask_who_may_pass), T(what_services_see_counts_where_no_kernel_does),
		T(who_retires_writes_no_more), T(who_is_there_pushes_out_who_was_and_never_each_other),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
