/* Choice among origins, what is inherited from one group to the next, active checks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "egress/health.h"
#include "loop/replay.h"
#include "net/addr.h"

static struct rf_origin_spec three[3] = {
	{ .host = { "10.0.0.1", 8 }, .port = 80, .weight = 2 },
	{ .host = { "10.0.0.2", 8 }, .port = 8080, .weight = 1 },
	{ .host = { "10.0.0.3", 8 }, .port = 443, .tls = RF_ORIGIN_TLS, .weight = 1, .backup = true },
};

static struct rf_origin_group *group(enum rf_balance balance, const struct rf_origin_group *inherit)
{
	struct rf_origin_group_spec s = { .origins = three, .count = 3, .balance = balance, .passive_fails = 2,
		.passive_hold_ns = 10, .connect_timeout_ns = RF_NS_S, .idle_timeout_ns = RF_NS_S, .max_idle = 4,
		.health = { .interval_ns = 5 * RF_NS_S, .timeout_ns = RF_NS_S, .path = RF_STR("/health"), .expect_low = 200,
			    .expect_high = 299, .rise = 2, .fall = 2 } };
	struct rf_origin_group *g = NULL;
	struct rf_err e;
	assert_int_equal(rf_origin_group_new(&s, inherit, &g, &e), RF_OK);
	return g;
}

static void count(struct rf_origin_group *g, unsigned got[3], uint64_t now)
{
	got[0] = got[1] = got[2] = 0;
	for (uint64_t i = 0; i < 300; i++)
		got[rf_origin_choose(g, i, now, 0)->index]++;
}

static void test_texts(void **state)
{
	(void)state;
	struct rf_origin_group *g = group(RF_BALANCE_ROUND_ROBIN, NULL);
	assert_true(rf_str_eq(g->origins[0].authority, RF_STR("10.0.0.1")));
	assert_true(rf_str_eq(g->origins[1].authority, RF_STR("10.0.0.2:8080")));
	assert_true(rf_str_eq(g->origins[2].url, RF_STR("https://10.0.0.3")));
	assert_true(rf_str_eq(g->origins[2].spec.tls_name, RF_STR("10.0.0.3")));
	rf_origin_group_put(g);
	struct rf_origin_group_spec none = { .count = 0 };
	struct rf_err e;
	assert_int_equal(rf_origin_group_new(&none, NULL, &g, &e), RF_E_RANGE);
	assert_string_equal(e.pointer, "/origins");
}

static void test_weights(void **state)
{
	(void)state;
	unsigned got[3];
	struct rf_origin_group *g = group(RF_BALANCE_ROUND_ROBIN, NULL);
	count(g, got, 0);
	assert_int_equal(got[0], 200);
	assert_int_equal(got[1], 100);
	assert_int_equal(got[2], 0); /* a backup */
	rf_origin_group_put(g);
	g = group(RF_BALANCE_LEAST_CONN, NULL);
	atomic_store(&g->origins[0].live->load, 9);
	assert_int_equal(rf_origin_choose(g, 0, 0, 0)->index, 1);
	rf_origin_group_put(g);
}

static void test_backups_in_order(void **state)
{
	(void)state;
	struct rf_origin_spec v[] = {
		{ .host = RF_STR("10.0.0.3"), .port = 1, .weight = 1, .backup = 2 }, { .host = RF_STR("10.0.0.1"), .port = 1, .weight = 1 },
		{ .host = RF_STR("10.0.0.2"), .port = 1, .weight = 1, .backup = 1 },
	};
	struct rf_origin_group_spec spec = { .origins = v, .count = 3, .passive_fails = 1, .passive_hold_ns = 10, .health = { .fall = 1 } };
	struct rf_origin_group *g = NULL;
	struct rf_err e;
	assert_int_equal(rf_origin_group_new(&spec, NULL, &g, &e), RF_OK);
	assert_int_equal(rf_origin_choose(g, 0, 0, 0)->index, 1);
	assert_int_equal(rf_origin_choose(g, 0, 0, 1u << 1)->index, 2);
	atomic_store(&g->origins[1].live->down, true);
	assert_int_equal(rf_origin_choose(g, 0, 0, 0)->index, 2);
	assert_true(rf_origin_report(&g->origins[2], false, 0));
	assert_int_equal(rf_origin_choose(g, 0, 5, 0)->index, 0);
	assert_int_equal(rf_origin_choose(g, 0, 5, 1u << 0)->index, 2); /* held, and the last */
	rf_origin_group_put(g);
}

static void test_by_device(void **state)
{
	(void)state;
	unsigned got[3], at[300], moved = 0;
	struct rf_origin_group *g = group(RF_BALANCE_DEVICE, NULL);
	count(g, got, 0);
	assert_in_range(got[0], 150, 250);
	for (uint64_t i = 0; i < 300; i++)
		at[i] = rf_origin_choose(g, i, 0, 0)->index;
	atomic_store(&g->origins[1].live->down, true);
	for (uint64_t i = 0; i < 300; i++)
		moved += at[i] == 0 && rf_origin_choose(g, i, 0, 0)->index != 0;
	assert_int_equal(moved, 0); /* only the devices of the one that went have moved */
	rf_origin_group_put(g);
}

static void test_passive(void **state)
{
	(void)state;
	unsigned got[3];
	struct rf_origin_group *g = group(RF_BALANCE_ROUND_ROBIN, NULL);
	const struct rf_origin *o = g->origins;
	assert_false(rf_origin_report(&o[0], false, 100));
	assert_true(rf_origin_report(&o[0], false, 100));
	count(g, got, 105);
	assert_int_equal(got[0], 0);
	rf_origin_report(&o[1], false, 100);
	rf_origin_report(&o[1], false, 100);
	count(g, got, 105);
	assert_int_equal(got[2], 300); /* the backup's hour */
	rf_origin_report(&o[2], false, 105);
	rf_origin_report(&o[2], false, 105);
	count(g, got, 106); /* all are held: then any may be tried */
	assert_true(got[0] && got[1]);
	count(g, got, 111);
	assert_int_equal(got[2], 0);
	struct rf_origin_group *next = group(RF_BALANCE_ROUND_ROBIN, g);
	assert_ptr_equal(next->origins[0].live, g->origins[0].live);
	rf_origin_group_put(g);
	rf_origin_report(&next->origins[0], true, 112);
	assert_int_equal(atomic_load(&next->origins[0].live->fails), 0);
	assert_null(rf_origin_choose(next, 0, 112, 7));
	rf_origin_group_put(next);
}

static unsigned changes;
static void on_change(void *arg, const struct rf_origin *o, bool up) { (void)arg; (void)o; (void)up; changes++; }

/* Let one round of checks happen; the first endpoint answers so, the second always well. */
static void round_of_checks(struct rf_replay *r, const char *first)
{
	for (struct rf_peer *p; (p = rf_replay_accept(r, NULL, RF_REPLAY_ACCEPT));) {
		struct rf_addr a = rf_replay_addr(p);
		bool one = a.v4.sin_addr.s_addr == htonl(0x0a000001);
		rf_replay_run(r, 0);
		if (!one || first)
			rf_replay_send(p, rf_str_z(one ? first : "HTTP/1.1 204 No Content\r\n\r\n"));
		rf_replay_run(r, 0);
	}
	rf_replay_run(r, 5 * RF_NS_S);
}

static void test_checks(void **state)
{
	(void)state;
	changes = 0;
	struct rf_replay *r = rf_replay_new();
	struct rf_health *h = rf_health_new(rf_replay_loop(r), NULL, NULL);
	struct rf_origin_group *g;
	three[2].tls = RF_ORIGIN_PLAIN;
	g = group(RF_BALANCE_ROUND_ROBIN, NULL);
	rf_health_tell(h, on_change, NULL);
	assert_int_equal(rf_health_watch(h, &g, 1), RF_OK);
	rf_replay_run(r, RF_NS_S / 2);
	round_of_checks(r, "HTTP/1.1 200 OK\r\n\r\n");
	assert_false(atomic_load(&g->origins[0].live->down));
	round_of_checks(r, "HTTP/1.1 500 Oh\r\n\r\n");
	assert_false(atomic_load(&g->origins[0].live->down)); /* once is not enough */
	round_of_checks(r, NULL); /* silence is a failure too */
	assert_true(atomic_load(&g->origins[0].live->down));
	assert_false(atomic_load(&g->origins[1].live->down));
	assert_int_equal(changes, 1);
	round_of_checks(r, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n");
	round_of_checks(r, "HTTP/1.1 200 OK\r\n\r\n");
	assert_false(atomic_load(&g->origins[0].live->down));
	assert_int_equal(changes, 2);
	rf_health_watch(h, NULL, 0);
	rf_replay_run(r, 20 * RF_NS_S);
	assert_null(rf_replay_accept(r, NULL, RF_REPLAY_ACCEPT));
	rf_health_free(h);
	rf_origin_group_put(g);
	assert_int_equal(rf_replay_open(r), 0);
	rf_replay_free(r);
	three[2].tls = RF_ORIGIN_TLS;
}

static void ready_now(struct rf_upstream *u) { *(int *)u->arg = rf_upstream_ready(u); }

/* A connection of one's own: at another port, with something to say first, and never kept. */
static void test_open(void **state)
{
	(void)state;
	struct rf_replay *r = rf_replay_new();
	struct rf_pool *pool = rf_pool_new(rf_replay_loop(r), NULL, NULL);
	struct rf_origin_group *g = group(RF_BALANCE_ROUND_ROBIN, NULL);
	struct rf_upstream *u;
	struct rf_addr to;
	int ready = RF_E_AGAIN;
	assert_int_equal(rf_pool_open(pool, &g->origins[0], 1022, RF_STR("who is it\r\n"), ready_now, &ready, &u), RF_OK);
	assert_true(rf_addr_parse(RF_STR("10.0.0.1:1022"), &to));
	struct rf_peer *p = rf_replay_accept(r, &to, RF_REPLAY_ACCEPT);
	assert_non_null(p);
	rf_replay_window(p, 4); /* it takes only a part at once */
	rf_replay_run(r, 0);
	assert_int_equal(ready, RF_E_AGAIN);
	assert_true(rf_replay_expect(p, RF_STR("who ")));
	rf_replay_window(p, 100);
	rf_replay_run(r, 0);
	assert_int_equal(ready, RF_OK);
	assert_true(rf_replay_expect(p, RF_STR("is it\r\n")));
	rf_pool_give(u, true);
	assert_true(rf_replay_closed(p));
	assert_int_equal(rf_pool_open(pool, &g->origins[0], 0, RF_STR(""), ready_now, &ready, &u), RF_OK);
	assert_true(rf_addr_parse(RF_STR("10.0.0.1:80"), &to));
	assert_non_null(rf_replay_accept(r, &to, RF_REPLAY_REFUSE));
	rf_replay_run(r, 0);
	assert_int_equal(ready, RF_E_REFUSED);
	rf_pool_give(u, false);
	rf_pool_free(pool);
	rf_origin_group_put(g);
	rf_replay_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts), cmocka_unit_test(test_weights), cmocka_unit_test(test_backups_in_order), cmocka_unit_test(test_by_device),
		cmocka_unit_test(test_passive), cmocka_unit_test(test_checks),
		cmocka_unit_test(test_open),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
