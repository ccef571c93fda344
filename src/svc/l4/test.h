/* svc/l4/test: a worker's front and its ports on the replay loop, with scripted clients and origins, for the tests of this folder. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "loop/replay.h"
#include "net/listener.h"
#include "svc/l4/l4.h"

enum { TEST_RECORDS = 64 };

struct seen { /* what a test wants to know of a record */
	char action[16], layer[16], reason[160], event[20], app[40], origin[64], device[RF_ID_LEN + 1];
	unsigned status;
	uint64_t in, out, origin_in, origin_out;
};

struct world {
	struct rf_replay *r;
	struct rf_loop *loop;
	struct rf_bufpool bufs;
	struct rf_pool *pool;
	struct rf_tls *tls;
	struct rf_registry *registry;
	struct rf_front *front;
	struct rf_l4 *l4;
	struct rf_l4_conf conf;
	struct rf_feed *feed;            /* NULL: nobody looks for floods */
	struct rf_front_listener at;
	struct rf_listener listener;
	int fd;
	struct rf_site *site;
	struct rf_snap *snap;
	struct rf_zone *zone;
	struct rf_port *port;            /* tcp/2000-2999 of any address, to origin 10.0.0.1:5000-5999 */
	struct rf_origin_spec origin[2];
	struct rf_origin_group_spec group;
	struct rf_ip barred;
	struct seen seen[TEST_RECORDS];
	unsigned seen_count;
};

static struct world w;

#include "svc/test_world.h"

static void test_emit(void *arg, const struct rf_record *rec)
{
	(void)arg;
	if (w.seen_count == TEST_RECORDS)
		return;
	struct seen *s = &w.seen[w.seen_count++];
	keep_z(s->action, sizeof s->action, rec->action);
	keep_z(s->layer, sizeof s->layer, rec->layer);
	keep_z(s->reason, sizeof s->reason, rec->reason);
	keep_z(s->event, sizeof s->event, rec->event);
	keep_z(s->app, sizeof s->app, rec->app);
	keep_z(s->origin, sizeof s->origin, rec->origin);
	keep_z(s->device, sizeof s->device, rec->device);
	s->status = (unsigned)rec->status;
	s->in = rec->bytes_in;
	s->out = rec->bytes_out;
	s->origin_in = rec->origin_in;
	s->origin_out = rec->origin_out;
}

static bool test_barred(void *arg, const struct rf_ip *src)
{
	(void)arg;
	return rf_ip_eq(src, &w.barred);
}

/* A site with the port as it stands. */
TEST_UNUSED static struct rf_site *test_site(const struct rf_port *like)
{
	struct rf_site *site = rf_site_new();
	struct rf_err e;
	site->zones = rf_arena_array(&site->arena, 1, sizeof *site->zones);
	site->zones[0] = RF_ARENA_NEW(&site->arena, struct rf_zone);
	strcpy(site->zones[0]->id, "zone");
	site->zone_count = 1;
	if (!like)
		return site;
	struct rf_port *p = RF_ARENA_NEW(&site->arena, struct rf_port);
	*p = *like;
	p->zone = site->zones[0];
	p->use = rf_port_use_get(like->use);
	for (int i = 0; i < 2; i++)
		p->keypair[i] = like->keypair[i] ? rf_keypair_get(like->keypair[i]) : NULL;
	if (like->origins)
		p->origins = rf_origin_group_get(like->origins);
	else
		assert_int_equal(rf_origin_group_new(&w.group, NULL, &p->origins, &e), RF_OK);
	site->port = rf_arena_array(&site->arena, 1, sizeof *site->port);
	site->port[0] = p;
	site->port_count = 1;
	assert_int_equal(rf_ports_new(&site->arena, site->port, 1, &site->ports, &e), RF_OK);
	return site;
}

/* Everything but the front: tests change conf, port and origins before world_start. */
TEST_UNUSED static void world_open(void)
{
	static struct rf_port plan;
	w = (struct world){ .conf = rf_l4_conf_default };
	world_begin();
	plan = (struct rf_port){ .id = "app0", .name = RF_STR("ssh.example.com"), .low = 2000, .high = 2999, .origin_low = 5000,
				 .idle_ns = 300 * RF_NS_S, .roots = 1 };
	w.port = &plan;
	w.origin[0] = (struct rf_origin_spec){ .host = RF_STR("10.0.0.1"), .port = 5000, .weight = 1 };
	w.origin[1] = (struct rf_origin_spec){ .host = RF_STR("10.0.0.2"), .port = 5000, .weight = 1 };
	w.group = (struct rf_origin_group_spec){ .origins = w.origin, .count = 1, .connect_timeout_ns = 5 * RF_NS_S,
		.idle_timeout_ns = 60 * RF_NS_S, .max_queue = 4, .passive_fails = 3, .passive_hold_ns = 10 * RF_NS_S };
	w.at = (struct rf_front_listener){ .service = &rf_l4_service, .port = 2022 };
	assert_true(rf_ip_parse(RF_STR("198.51.100.1"), &w.at.ip));
}

TEST_UNUSED static void world_start(void)
{
	w.site = test_site(w.port);
	w.port = w.site->port[0];
	world_publish();
	struct rf_front_spec spec = { .loop = w.loop, .tls = w.tls, .bufs = &w.bufs, .identity = { .registry = w.registry },
		.snap = test_snap, .emit = test_emit, .barred = test_barred, .feed = w.feed, .seed = 7 };
	w.front = rf_front_new(&spec);
	w.l4 = rf_l4_new(w.front, w.pool, &w.conf);
	assert_true(w.front && w.l4);
	world_listen(w.l4);
}

/* Ends it, and checks that nothing is left behind. */
TEST_UNUSED static void world_close(void)
{
	rf_listener_close(&w.listener);
	rf_front_free(w.front);
	rf_l4_free(w.l4);
	assert_int_equal(atomic_load(&w.port->use->live), 0);
	world_end();
}

TEST_UNUSED static void say(struct rf_peer *p, struct rf_str bytes)
{
	rf_replay_send(p, bytes);
	run();
}

/* Exactly this has come. */
TEST_UNUSED static bool heard(struct rf_peer *p, struct rf_str what)
{
	struct rf_str got = rf_replay_sent(p);
	bool same = rf_str_eq(got, what);
	rf_replay_take(p, NULL, got.n);
	run();
	return same;
}

/* The newest record; fails when there is none. */
TEST_UNUSED static const struct seen *last(void)
{
	assert_true(w.seen_count > 0);
	return &w.seen[w.seen_count - 1];
}

TEST_UNUSED static void expect_end(unsigned status, const char *event)
{
	assert_int_equal(last()->status, status);
	assert_string_equal(last()->event, event);
}
