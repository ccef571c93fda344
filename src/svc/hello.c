/* svc/hello: the beginning of a connection: PROXY header, limits, TLS handshake, who it is.
 *
 *   hello_begin -> arrive -> PROXY header -> admit -> handshake (by turns) -> welcome
 *
 * Handshakes are the dearest thing that a stranger can ask for. So: their number is bounded on the
 * worker (the oldest makes room for the newest) and for an address; and their steps run from a queue
 * at the end of a turn, a few of them (two, by default) and no further one once they have taken half a millisecond, so
 * that what goes on on connections that stand already waits for no more than that.
 *
 * Invariants: a connection is in front->handshaking exactly while it is `greeting`, and counted by stats.handshakes. What a
 * PROXY header says is believed only from trusted prefixes; from others the connection is refused. Each function here
 * that ends a connection is the last to touch it.
 */
#include "net/addr.h"
#include "shield/feed.h"
#include "svc/front_own.h"
#include "wire/proxy.h"

enum { PROXY_V1_LEAST = 15, PROXY_V2_HEAD = 16, PROXY_V1_TCP = 24 };
enum { TALLY_KEYS = 65536 }; /* addresses with connections at a time, where they are bounded */

static void hello_late(struct rf_timer *t)
{
	struct rf_client *c = RF_CONTAINER(t, struct rf_client, timer);
	if (c->greeting)
		rf_count(RF_C_HS_TIMEOUT);
	rf_client_refuse(c, RF_REASON_SLOW, c->greeting ? "the TLS handshake took too long" : "the PROXY header took too long");
}

static void bound_time(struct rf_client *c)
{
	rf_timer_set(c->front->loop, &c->timer, rf_client_now(c) + c->front->conf.handshake_ns);
}

/* The service has it from here. */
static void welcome(struct rf_client *c)
{
	const struct rf_service *s = c->listener->service;
	const struct rf_tls_info *info = rf_client_tls(c);
	rf_timer_stop(c->front->loop, &c->timer);
	if (info && info->peer)
		who_identify(c, c->front->snap());
	if (!s->judges && rf_client_judge(c, (struct rf_str){ 0 })) {
		rf_client_end(c, NULL);
		return;
	}
	c->welcomed = true;
	s->welcome(c);
}

/* --- TLS --- */

/* Where its handshake is counted: at the port it came to, of all that one socket stands for. */
static struct rf_feed_port *fed_port(const struct rf_client *c)
{
	return rf_feed_port(c->front->feed, RF_FEED_HANDSHAKES, c->listener->any ? c->dst_port : c->listener->port);
}

static void handshake(struct rf_client *c)
{
	int r = rf_stream_handshake(&c->stream);
	if (r == RF_E_AGAIN)
		return;
	hello_leave(c);
	if (r) {
		rf_count(RF_C_HS_FAILED);
		rf_client_refuse(c, RF_REASON_HANDSHAKE, rf_tls_error(&c->stream));
		return;
	}
	const struct rf_tls_info *info = rf_tls_info(&c->stream);
	rf_count(info->resumed ? RF_C_HS_RESUMED : RF_C_HS_FULL);
	rf_observe(RF_H_HANDSHAKE, info->handshake_ns);
	struct rf_feed_port *p = fed_port(c);
	if (p)
		rf_feed_add(&p->done, 1);
	c->handshaken = true;
	welcome(c);
}

/* Has this turn spent its time on handshakes? */
static bool spent(struct rf_front *f, uint64_t from)
{
	return rf_loop_mono(f->loop) - from >= f->conf.handshake_turn_ns;
}

static struct rf_client *take_first(struct rf_node *list)
{
	struct rf_node *n = rf_list_first(list);
	rf_list_del(n);
	return RF_CONTAINER(n, struct rf_client, turn);
}

/* Run those that waited for the end of the turn: all that are past their handshake, and as many handshakes as it has room for. The
 * others stay where they are: in a flood they are thousands, and must not be touched each turn. */
void hello_turn(struct rf_task *t)
{
	struct rf_front *f = RF_CONTAINER(t, struct rf_front, turn_task);
	uint64_t from = rf_loop_mono(f->loop);
	struct rf_node now;
	rf_list_init(&now);
	rf_list_move(&now, &f->turns);
	while (!rf_list_empty(&now)) {
		struct rf_client *c = take_first(&now);
		c->stream.on_event(&c->stream);
	}
	for (unsigned i = 0; i < f->conf.handshakes_per_turn && !rf_list_empty(&f->hellos) && (!i || !spent(f, from)); i++)
		handshake(take_first(&f->hellos));
	if (!rf_list_empty(&f->turns) || !rf_list_empty(&f->hellos))
		rf_loop_defer(f->loop, t);
}

void rf_client_later(struct rf_client *c)
{
	struct rf_front *f = c->front;
	if (!rf_node_linked(&c->turn))
		rf_list_push(c->greeting ? &f->hellos : &f->turns, &c->turn);
	rf_loop_defer(f->loop, &f->turn_task);
}

void hello_leave(struct rf_client *c)
{
	if (c->greeting) {
		rf_list_del(&c->place);
		c->front->stats.handshakes--;
	}
	c->greeting = false;
	rf_tally_put(&c->front->hs_by_address, c->tally_hs);
	c->tally_hs = NULL;
}

/* The oldest handshake makes room where there are too many. */
static void make_room(struct rf_front *f)
{
	if (f->stats.handshakes < f->conf.handshakes || rf_list_empty(&f->handshaking))
		return;
	rf_count(RF_C_LIMIT_HANDSHAKES);
	f->stats.evicted++;
	rf_client_refuse(RF_CONTAINER(rf_list_first(&f->handshaking), struct rf_client, place), RF_REASON_OVERLOAD,
			 "its TLS handshake made room for a newer one");
}

static void greet(struct rf_client *c)
{
	struct rf_front *f = c->front;
	make_room(f);
	bound_time(c);
	rf_list_push(&f->handshaking, &c->place);
	f->stats.handshakes++;
	c->greeting = true;
	rf_client_later(c);
}

/* --- limits --- */

/* One more of this address. The table is made at first use: most edges have no such bound. */
static int tally(struct rf_client *c, struct rf_tally *t, uint32_t most, struct rf_tally_entry **ret)
{
	if (!most)
		return RF_OK;
	if (!t->entries && rf_tally_init(t, TALLY_KEYS))
		return RF_E_NOMEM;
	return rf_tally_get(t, (struct rf_str){ (const char *)c->src.b, sizeof c->src.b }, most, ret);
}

/* Handshakes of one address at once: as configured, or fewer while there is a flood of them. */
static uint32_t most_hellos(const struct rf_client *c)
{
	struct rf_feed_port *p = fed_port(c);
	rf_feed_begun(p, &c->src);
	uint32_t most = c->front->conf.handshakes_per_address, fewer = rf_feed_bound(p);
	return fewer && (!most || fewer < most) ? fewer : most;
}

static int tally_both(struct rf_client *c)
{
	struct rf_front *f = c->front;
	int r = tally(c, &f->by_address, f->conf.connections_per_address, &c->tally_conn);
	if (r) {
		rf_count(RF_C_LIMIT_CONN_ADDRESS);
		return r;
	}
	if (c->tls && (r = tally(c, &f->hs_by_address, most_hellos(c), &c->tally_hs)))
		rf_count(RF_C_LIMIT_HANDSHAKES_ADDRESS);
	return r;
}

/* Count it for its address; then TLS, or the service. */
static void admit(struct rf_client *c)
{
	if (rf_client_barred(c)) {
		rf_client_refuse(c, RF_REASON_BARRED, NULL);
		return;
	}
	int r = tally_both(c);
	if (!r && c->tls)
		r = rf_tls_accept(c->front->tls, &c->stream, c->min_version);
	if (r)
		rf_client_refuse(c, r == RF_E_NOMEM ? RF_REASON_MEMORY : RF_REASON_CONNECTIONS,
				 "too many connections or handshakes of one address");
	else if (c->tls)
		greet(c);
	else
		welcome(c);
}

/* --- the PROXY header --- */

/* How many bytes may be read without taking any of what follows the header. */
static size_t proxy_needs(struct rf_str got)
{
	if (got.n < PROXY_V1_LEAST)
		return PROXY_V1_LEAST - got.n;
	if (got.p[0] == '\r' && got.n < PROXY_V2_HEAD)
		return PROXY_V2_HEAD - got.n;
	if (got.p[0] == '\r') {
		size_t all = PROXY_V2_HEAD + ((size_t)(uint8_t)got.p[14] << 8 | (uint8_t)got.p[15]);
		return all > got.n ? all - got.n : 1;
	}
	if (got.n < PROXY_V1_TCP && rf_str_starts(got, RF_STR("PROXY TCP")))
		return PROXY_V1_TCP - got.n;
	return got.p[got.n - 1] == '\r' ? 1 : 2;
}

static bool trusted(const struct rf_client *c)
{
	for (size_t i = 0; i < c->listener->trusted_count; i++)
		if (rf_prefix_has(&c->listener->trusted[i], &c->src))
			return true;
	return false;
}

/* Read exactly the header; what follows stays in the socket, since it may be TLS. */
static int proxy_read(struct rf_client *c, struct rf_proxy *ret)
{
	for (;;) {
		struct rf_str got = rf_inbuf_str(&c->in);
		int r = got.n ? rf_proxy_parse(got, ret) : RF_E_AGAIN;
		if (r != RF_E_AGAIN)
			return r;
		size_t n = proxy_needs(got);
		if (n > RF_BUFPOOL_SIZE - got.n)
			return RF_E_TOO_LARGE;
		ssize_t g = rf_inbuf_read_most(&c->in, &c->stream, c->front->bufs, n);
		if (g < 0)
			return (int)g;
	}
}

static void proxy(struct rf_client *c)
{
	struct rf_proxy p;
	int r = proxy_read(c, &p);
	if (r == RF_E_AGAIN)
		return;
	if (r == RF_E_EOF || r == RF_E_RESET) {
		rf_client_end(c, "closed before its PROXY header"); /* a proxy's own check of the port */
		return;
	}
	if (r) {
		rf_client_refuse(c, RF_REASON_PROXY, "the PROXY header is missing or broken");
		return;
	}
	if (!p.local && p.kind == RF_PROXY_TCP && p.src.family) {
		c->src = p.src;
		c->src_port = p.src_port;
		c->dst = p.dst;
		c->dst_port = p.dst_port;
	}
	rf_inbuf_drop(&c->in, c->front->bufs);
	c->proxy = false;
	admit(c);
}

/* --- the first event, and all until the service has it --- */

static void hello_event(struct rf_stream *s)
{
	struct rf_client *c = RF_CONTAINER(s, struct rf_client, stream);
	if (c->proxy)
		proxy(c);
	else
		rf_client_later(c);
}

void hello_begin(struct rf_client *c)
{
	const struct rf_service *s = c->listener->service;
	c->stream.on_event = hello_event;
	c->timer.fire = hello_late;
	if (s->arrive && !s->arrive(c)) {
		rf_client_end(c, NULL);
		return;
	}
	if (!c->proxy) {
		admit(c);
		return;
	}
	if (!trusted(c)) {
		rf_client_refuse(c, RF_REASON_PROXY, "a PROXY header is expected, and this peer is not a trusted proxy");
		return;
	}
	bound_time(c);
	proxy(c);
}
