/* svc/http/test: a worker's edge on the replay loop, with scripted clients and origins, for the tests of this folder. */
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
#include "svc/http/edge.h"

enum { TEST_RECORDS = 256 };

struct seen { /* what a test wants to know of a record */
	enum rf_record_kind kind;
	char action[16], layer[16], reason[160], host[64], path[64], device[RF_ID_LEN + 1], rule[40], cert[16];
	unsigned status, origin_status;
	uint64_t requests, bytes_in, bytes_out;
};

struct world {
	struct rf_replay *r;
	struct rf_limits *limits; /* NULL: no rate limit is ever reached */
	struct rf_loop *loop;
	struct rf_bufpool bufs;
	struct rf_pool *pool;
	struct rf_tls *tls;
	struct rf_registry *registry;
	struct rf_front *front;
	struct rf_http_edge *edge;
	struct rf_front_conf front_conf;
	struct rf_http_conf conf;
	struct rf_front_listener at;
	struct rf_listener listener;
	int fd;
	struct rf_site *site;
	struct rf_snap *snap;
	struct rf_app *app, *other;      /* "app.test" and "other.test" */
	struct rf_zone *zone;
	struct rf_origin_spec origin[2]; /* of app.test */
	struct rf_origin_group_spec group;
	struct seen seen[TEST_RECORDS];
	unsigned seen_count;
	struct rf_local_request *local;  /* the last that was handed over */
	struct rf_prefix trusted;
};

static struct world w;

#include "svc/test_world.h"

static void test_emit(void *arg, const struct rf_record *rec)
{
	(void)arg;
	if (w.seen_count == TEST_RECORDS)
		return;
	struct seen *s = &w.seen[w.seen_count++];
	s->kind = rec->kind;
	keep_z(s->action, sizeof s->action, rec->action);
	keep_z(s->layer, sizeof s->layer, rec->layer);
	keep_z(s->reason, sizeof s->reason, rec->reason);
	keep_z(s->host, sizeof s->host, rec->host);
	keep_z(s->path, sizeof s->path, rec->path);
	keep_z(s->device, sizeof s->device, rec->device);
	keep_z(s->rule, sizeof s->rule, rec->rule_id);
	keep_z(s->cert, sizeof s->cert, rec->cert_status);
	s->status = (unsigned)rec->status;
	s->origin_status = (unsigned)rec->origin_status;
	s->requests = rec->requests;
	s->bytes_in = rec->bytes_in;
	s->bytes_out = rec->bytes_out;
}

static void test_local(void *arg, struct rf_local_request *q)
{
	(void)arg;
	w.local = q;
}

static struct rf_app *test_app(const char *host)
{
	struct rf_app *a = RF_ARENA_NEW(&w.site->arena, struct rf_app);
	struct rf_app **apps = rf_arena_array(&w.site->arena, w.site->app_count + 1, sizeof *apps);
	for (size_t i = 0; i < w.site->app_count; i++)
		apps[i] = w.site->apps[i];
	apps[w.site->app_count++] = a;
	w.site->apps = apps;
	*a = (struct rf_app){ .zone = w.zone, .deny_status = 403, .roots = 1, .retries = 1, .websocket = true,
			      .preserve_host = true };
	a->name = rf_str_z(host);
	assert_int_equal(rf_site_host(w.site, rf_str_z(host), a), RF_OK);
	return a;
}

/* Everything but the edge: tests change conf, apps and origins before world_start. */
TEST_UNUSED static void world_open(void)
{
	w = (struct world){ .conf = rf_http_conf_default, .front_conf = rf_front_conf_default };
	world_begin();
	w.site = rf_site_new();
	w.zone = RF_ARENA_NEW(&w.site->arena, struct rf_zone);
	w.site->zones = rf_arena_array(&w.site->arena, 1, sizeof *w.site->zones);
	w.site->zones[0] = w.zone;
	w.site->zone_count = 1;
	w.app = test_app("app.test");
	w.other = test_app("other.test");
	w.origin[0] = (struct rf_origin_spec){ .host = RF_STR("10.0.0.1"), .port = 80, .weight = 1 };
	w.origin[1] = (struct rf_origin_spec){ .host = RF_STR("10.0.0.2"), .port = 80, .weight = 1 };
	w.group = (struct rf_origin_group_spec){ .origins = w.origin, .count = 1, .connect_timeout_ns = 5 * RF_NS_S,
		.idle_timeout_ns = 60 * RF_NS_S, .max_idle = 16, .max_queue = 4, .passive_fails = 3,
		.passive_hold_ns = 10 * RF_NS_S };
	w.at = (struct rf_front_listener){ .service = &rf_http_service, .port = 443 };
	w.front_conf.handshakes_per_turn = 100;
}

TEST_UNUSED static void world_start(void)
{
	struct rf_err e;
	assert_int_equal(rf_origin_group_new(&w.group, NULL, &w.app->origins, &e), RF_OK);
	w.other->origins = rf_origin_group_get(w.app->origins);
	world_publish();
	struct rf_front_spec front = { .loop = w.loop, .tls = w.tls, .bufs = &w.bufs, .conf = &w.front_conf,
		.identity = { .registry = w.registry }, .snap = test_snap, .emit = test_emit, .seed = 7 };
	w.front = rf_front_new(&front);
	assert_non_null(w.front);
	struct rf_http_edge_spec spec = { .front = w.front, .pool = w.pool, .conf = &w.conf, .local = test_local,
		.limits = w.limits };
	w.edge = rf_http_edge_new(&spec);
	assert_non_null(w.edge);
	world_listen(w.edge);
}

/* Ends it, and checks that nothing is left behind. */
TEST_UNUSED static void world_close(void)
{
	rf_listener_close(&w.listener);
	rf_front_free(w.front);
	rf_http_edge_free(w.edge);
	world_end();
}

TEST_UNUSED static void say(struct rf_peer *p, const char *text)
{
	rf_replay_send(p, rf_str_z(text));
	run();
}

/* All that came, as text; valid until the next call. */
TEST_UNUSED static const char *heard(struct rf_peer *p)
{
	static char text[4][1 << 16];
	static unsigned turn;
	char *to = text[turn++ % 4];
	size_t n = rf_replay_take(p, to, (1 << 16) - 1);
	to[n] = '\0';
	run();
	return to;
}

TEST_UNUSED static bool has(const char *text, const char *part) { return strstr(text, part) != NULL; }

/* The newest record of a request; fails when there is none. */
TEST_UNUSED static const struct seen *last_request(void)
{
	for (unsigned i = w.seen_count; i; i--)
		if (w.seen[i - 1].kind == RF_REC_REQUEST)
			return &w.seen[i - 1];
	fail_msg("no record of a request");
	return NULL;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: app.test\r\n\r\n"
#define OK(body) "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n" body

TEST_UNUSED static void answer(struct rf_peer *origin_peer, const char *body)
{
	char text[4096];
	snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
	say(origin_peer, text);
}

/* A conversation once for each call of the loop that it makes, which fails: nothing is left of it, whatever becomes of it. */
TEST_UNUSED static void fail_each_call(void (*conversation)(void))
{
	static const int codes[] = { RF_E_RESET, RF_E_IO, RF_E_AGAIN };
	conversation();
	uint64_t from = rf_replay_calls(w.r);
	conversation();
	uint64_t calls = rf_replay_calls(w.r) - from;
	assert_in_range(calls, 10, 200);
	for (size_t k = 0; k < sizeof codes / sizeof *codes; k++) {
		for (uint64_t n = 1; n <= calls + 2; n++) {
			rf_replay_fail_at(w.r, n, codes[k]);
			conversation();
			rf_replay_fail_at(w.r, 0, 0);
			pass(100 * RF_NS_S);
			assert_int_equal(w.front->stats.connections, 0);
			assert_int_equal(rf_http_requests(w.edge), 0);
			assert_int_equal(w.bufs.out, 0);
		}
	}
}
