/* svc/test_world: what the worlds of services have in common: a front on the replay loop, with scripted clients and origins.
 * Included by the test.h of a service, after its world `w`.
 */
#pragma once
#include <urcu-qsbr.h>
#include "net/addr.h"

#define TEST_UNUSED __attribute__((unused))

static const struct rf_snap *test_snap(void) { return w.snap; }

TEST_UNUSED static void keep_z(char *to, size_t size, struct rf_str s)
{
	snprintf(to, size, "%.*s", RF_ARG(s));
}

static void test_accept(struct rf_listener *l, int fd, const struct rf_addr *peer)
{
	(void)l;
	rf_front_accept(w.front, &w.at, fd, peer);
}

/* The replay loop and what is there before any front. */
static void world_begin(void)
{
	rf_registry_thread_start();
	w.r = rf_replay_new();
	w.loop = rf_replay_loop(w.r);
	rf_bufpool_init(&w.bufs, 10000, 16);
	w.registry = rf_registry_new(1000);
}

/* The site's first snapshot, and the pool of origins. */
static void world_publish(void)
{
	w.snap = rf_snap_new(w.site);
	w.snap->generation = 1;
	w.pool = rf_pool_new(w.loop, w.tls, NULL);
}

/* The front takes connections for this service. */
static void world_listen(void *service)
{
	w.at.service_arg = service;
	w.fd = rf_replay_listener(w.r);
	assert_int_equal(rf_listener_adopt(&w.listener, w.loop, w.fd, test_accept), RF_OK);
}

/* After front and service are gone: all else goes, and nothing is left behind. */
static void world_end(void)
{
	rf_pool_free(w.pool);
	assert_int_equal(rf_replay_open(w.r), 0);
	assert_int_equal(w.bufs.out, 0);
	rf_bufpool_fini(&w.bufs);
	rf_snap_unpin(w.snap);
	rf_site_put(w.site);
	rf_tls_free(w.tls);
	rf_replay_free(w.r);
	rf_registry_free(w.registry);
	rcu_barrier();
	rf_registry_thread_stop();
}

TEST_UNUSED static void run(void) { assert_int_equal(rf_replay_run(w.r, 0), RF_OK); }
TEST_UNUSED static void pass(uint64_t ns) { assert_int_equal(rf_replay_run(w.r, ns), RF_OK); }

TEST_UNUSED static struct rf_peer *client(void)
{
	struct rf_peer *p = rf_replay_connect(w.r, w.fd, NULL);
	run();
	return p;
}

/* The connection that the edge has begun to an origin; NULL: none. */
TEST_UNUSED static struct rf_peer *origin(void)
{
	struct rf_peer *p = rf_replay_accept(w.r, NULL, RF_REPLAY_ACCEPT);
	run();
	return p;
}
