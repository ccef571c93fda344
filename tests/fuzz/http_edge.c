/* The edge between a client and an origin that both say whatever the input says.
 *
 * Input: pieces apart by 0xff, each with a first byte that says who: 'c' the client sends the rest,
 * 'd' a second client, which makes them share connections to the origin, 'o' the origin does, 't' a second passes, 'x' the client ends, 'y' the origin ends. Checked: nothing
 * is left behind, and every request that reaches the origin is one that the edge's own strict parser
 * accepts, one after the other.
 */
#include <stdlib.h>
#include "loop/replay.h"
#include "net/listener.h"
#include "svc/http/edge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct rf_snap *snap;
static struct rf_front *front;
static struct rf_front_listener at = { .service = &rf_http_service, .port = 80 };

static const struct rf_snap *now(void) { return snap; }

static void on_accept(struct rf_listener *l, int fd, const struct rf_addr *peer)
{
	(void)l;
	rf_front_accept(front, &at, fd, peer);
}

static void need(bool ok)
{
	if (!ok)
		abort();
}

static struct rf_site *site(bool shared)
{
	struct rf_origin_spec o = { .host = { "10.0.0.1", 8 }, .port = 80, .weight = 1, .pipeline = shared ? 4 : 0 };
	struct rf_origin_group_spec g = { .origins = &o, .count = 1, .connect_timeout_ns = RF_NS_S, .max_idle = 4,
					  .idle_timeout_ns = RF_NS_S, .max_queue = 4 };
	struct rf_err e;
	struct rf_site *s = rf_site_new();
	struct rf_zone *z = RF_ARENA_NEW(&s->arena, struct rf_zone);
	struct rf_app *a = RF_ARENA_NEW(&s->arena, struct rf_app);
	s->zones = rf_arena_array(&s->arena, 1, sizeof *s->zones);
	s->apps = rf_arena_array(&s->arena, 1, sizeof *s->apps);
	s->zones[0] = z;
	s->apps[0] = a;
	s->zone_count = s->app_count = 1;
	*a = (struct rf_app){ .zone = z, .retries = 1, .websocket = true, .compress = true, .decompress_requests = true };
	need(rf_origin_group_new(&g, NULL, &a->origins, &e) == RF_OK);
	need(rf_site_host(s, RF_STR("a"), a) == RF_OK);
	return s;
}

/* What the origin has heard so far starts with a head that is beyond doubt. */
static void look(struct rf_peer *origin, bool *looked)
{
	struct rf_str got = rf_replay_sent(origin);
	struct rf_http_scan scan = { 0 };
	struct rf_http_head head;
	struct rf_arena a;
	if (*looked || !got.n)
		return;
	*looked = true;
	rf_arena_init(&a, 1 << 20);
	need(rf_http_parse_request(&scan, got, &rf_http_limits_default, &a, &head) == RF_OK);
	rf_arena_fini(&a);
}

static void play(struct rf_replay *r, int fd, struct rf_str in, bool shared)
{
	struct rf_peer *c = rf_replay_connect(r, fd, NULL), *o = NULL, *second = shared ? rf_replay_connect(r, fd, NULL) : NULL;
	struct rf_str piece;
	bool looked = false, client_over = false, origin_over = false;
	while (rf_str_split(&in, (char)0xff, &piece)) {
		char who = piece.n ? piece.p[0] : 't';
		piece = rf_str_skip(piece, 1);
		if (who == 'c' && !client_over && !rf_replay_closed(c))
			rf_replay_send(c, piece);
		else if (who == 'd' && !rf_replay_closed(second))
			rf_replay_send(second, piece);
		else if (who == 'o' && o && !origin_over && !rf_replay_closed(o))
			rf_replay_send(o, piece);
		else if (who == 'x' && !client_over)
			rf_replay_close(c);
		else if (who == 'y' && o && !origin_over)
			rf_replay_close(o);
		client_over |= who == 'x';
		origin_over |= who == 'y';
		need(rf_replay_run(r, who == 't' ? RF_NS_S : 0) == RF_OK);
		struct rf_peer *fresh = rf_replay_accept(r, NULL, RF_REPLAY_ACCEPT);
		if (fresh) {
			o = fresh;
			looked = origin_over = false;
		}
		need(rf_replay_run(r, 0) == RF_OK);
		if (o)
			look(o, &looked);
	}
	if (!client_over)
		rf_replay_close(c);
	if (second)
		rf_replay_close(second);
	if (o && !origin_over)
		rf_replay_close(o);
	need(rf_replay_run(r, 4000 * RF_NS_S) == RF_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rf_replay *r = rf_replay_new();
	struct rf_loop *loop = rf_replay_loop(r);
	struct rf_bufpool bufs;
	struct rf_listener l;
	static bool started;
	if (!started)
		rf_registry_thread_start();
	started = true;
	rf_bufpool_init(&bufs, 100, 4);
	struct rf_str in = { (const char *)data, size };
	bool shared = rf_str_starts(in, RF_STR("d")) || rf_str_search(in, RF_STR("\xff" "d")) < size;
	struct rf_site *s = site(shared);
	snap = rf_snap_new(s);
	struct rf_pool *pool = rf_pool_new(loop, NULL, NULL);
	front = rf_front_new(&(struct rf_front_spec){ .loop = loop, .bufs = &bufs, .snap = now });
	need(front);
	struct rf_http_edge *edge = rf_http_edge_new(&(struct rf_http_edge_spec){ .front = front, .pool = pool });
	at.service_arg = edge;
	int fd = rf_replay_listener(r);
	need(edge && rf_listener_adopt(&l, loop, fd, on_accept) == RF_OK);
	play(r, fd, in, shared);
	need(front->stats.connections == 0 && rf_http_requests(edge) == 0 && bufs.out == 0);
	rf_listener_close(&l);
	rf_front_free(front);
	rf_http_edge_free(edge);
	rf_pool_free(pool);
	rf_bufpool_fini(&bufs);
	rf_snap_unpin(snap);
	rf_site_put(s);
	rf_replay_free(r);
	return 0;
}
