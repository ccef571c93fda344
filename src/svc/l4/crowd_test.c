/* Floods of connections to a port: who was here before goes on, newcomers get few of one address and few in all, and nobody becomes known by them. */
#include "shield/feed.h"
#include "svc/l4/test.h"

static struct rf_feed feed;

static int setup(void **state)
{
	(void)state;
	assert_true(rf_feed_init(&feed, 5));
	world_open();
	w.feed = &feed;
	w.conf.progress_ns = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_close();
	rf_feed_fini(&feed);
	return 0;
}

/* One connection from there, which ends at once. Was it let in? */
static bool enters(const char *from)
{
	struct rf_addr at;
	assert_true(rf_addr_parse(rf_str_z(from), &at));
	struct rf_peer *c = rf_replay_connect(w.r, w.fd, &at);
	run();
	struct rf_peer *o = origin();
	if (!o) {
		assert_true(rf_replay_closed(c) || rf_replay_was_reset(c));
		return false;
	}
	rf_replay_fin(c);
	run();
	rf_replay_fin(o);
	run();
	return true;
}

static unsigned enter(const char *from, unsigned times)
{
	unsigned n = 0;
	for (unsigned i = 0; i < times; i++)
		n += enters(from);
	return n;
}

/* As the control thread does it. */
static void flood(uint32_t bound, uint32_t strangers)
{
	struct rf_feed_port *p = rf_feed_port(&feed, RF_FEED_CONNECTIONS, 2000);
	p->strangers = strangers;
	p->bound = bound;
}

static void test_counted_by_app(void **state)
{
	(void)state;
	world_start();
	assert_int_equal(enter("192.0.2.1:1000", 50), 50);
	struct rf_feed_port *p = rf_feed_port(&feed, RF_FEED_CONNECTIONS, 2000);
	assert_ptr_equal(p, &feed.ports[0]); /* it came to 2022 of 2000-2999 */
	assert_int_equal(p->begun, 50);
	flood(2, 100);
	w.seen_count = 0;
	assert_int_equal(enter("192.0.2.1:1000", 50), 2);
	assert_int_equal(p->begun, 100); /* what is refused counts, or the flood would seem to be over */
	assert_string_equal(last()->reason, "it is new here, in a flood of connections to this port");
	flood(0, 0);
	assert_int_equal(enter("192.0.2.1:1000", 50), 50);
}

static void test_newcomers_share(void **state)
{
	(void)state;
	world_start();
	flood(2, 5);
	assert_int_equal(enter("192.0.2.1:1000", 4), 2);
	assert_int_equal(enter("[2001:db8:0:1::1]:1000", 1) + enter("[2001:db8:0:1::2]:1000", 1) + enter("[2001:db8:0:1::3]:1000", 1), 2); /* one /64 */
	assert_int_equal(enter("[2001:db8:0:2::1]:1000", 1), 1);
	assert_int_equal(enter("192.0.2.4:1000", 1) + enter("192.0.2.5:1000", 1), 0);
	pass(RF_NS_S);
	assert_int_equal(enter("192.0.2.5:1000", 3), 2);
}

static void test_regulars_go_on(void **state)
{
	(void)state;
	world_start();
	for (unsigned s = 0; s < 14; s++) {
		assert_true(enters("192.0.2.1:1000"));
		pass(RF_NS_S);
	}
	assert_true(enters("192.0.2.2:1000")); /* seen once */
	flood(1, 1);
	assert_int_equal(enter("192.0.2.1:1000", 20), 20);
	assert_int_equal(enter("192.0.2.2:1000", 20), 1);
	for (unsigned s = 0; s < 14; s++) {
		pass(RF_NS_S);
		assert_int_equal(enter("192.0.2.3:1000", 3), 1); /* nobody becomes a regular by a flood */
	}
	assert_int_equal(enter("192.0.2.1:1000", 20), 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_counted_by_app, setup, teardown),
		cmocka_unit_test_setup_teardown(test_newcomers_share, setup, teardown),
		cmocka_unit_test_setup_teardown(test_regulars_go_on, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
