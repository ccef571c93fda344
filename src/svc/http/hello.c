/* svc/http/hello: the beginning of a connection: PROXY header, limits, TLS handshake, who it is.
 *
 *   PROXY -> admit -> HANDSHAKE -> welcome -> HEAD
 *
 * Handshakes are the dearest thing that a stranger can ask for. So: their number is bounded on the
 * worker (the oldest makes room for the newest) and for an address; and their steps run from a queue
 * at the end of a turn, a few of them (two, by default) and no further one once they have taken half a millisecond, so
 * that requests on connections that stand already wait for no more than that.
 *
 * Invariants: a connection is in edge->handshaking exactly while edge->handshakes counts it. What a
 * PROXY header says is believed only from trusted prefixes; from others the connection is refused.
 */
#include "net/addr.h"
#include "svc/http/conn.h"
#include "wire/proxy.h"

enum { PROXY_V1_LEAST = 15, PROXY_V2_HEAD = 16, PROXY_V1_TCP = 24 };
enum { TALLY_KEYS = 65536 }; /* addresses with connections at a time, where they are bounded */

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

static bool trusted(const struct rf_http_conn *c)
{
	for (size_t i = 0; i < c->listener->trusted_count; i++)
		if (rf_prefix_has(&c->listener->trusted[i], &c->src))
			return true;
	return false;
}

static enum step proxy_refused(struct rf_http_conn *c, const char *why)
{
	c->refused = true;
	c->end_reason = RF_REASON_PROXY;
	c->end = why;
	return STEP_CLOSE;
}

/* Read exactly the header; what follows stays in the socket, since it may be TLS. */
static int proxy_read(struct rf_http_conn *c, struct rf_proxy *ret)
{
	for (;;) {
		struct rf_str got = rf_inbuf_str(&c->in);
		int r = got.n ? rf_proxy_parse(got, ret) : RF_E_AGAIN;
		if (r != RF_E_AGAIN)
			return r;
		if (!c->in.p && !(c->in.p = rf_bufpool_get(c->edge->bufs)))
			return RF_E_NOMEM;
		c->in.cap = RF_BUFPOOL_SIZE;
		size_t n = proxy_needs(got);
		if (n > c->in.cap - c->in.end)
			return RF_E_TOO_LARGE;
		ssize_t g = rf_stream_read(&c->stream, c->in.p + c->in.end, n);
		if (g < 0)
			return (int)g;
		c->in.end += (uint32_t)g;
	}
}

/* One more of this address. The table is made at first use: most edges have no such bound. */
static int tally(struct rf_http_conn *c, struct rf_tally *t, uint32_t most, struct rf_tally_entry **ret)
{
	if (!t->entries && rf_tally_init(t, TALLY_KEYS))
		return RF_E_NOMEM;
	return rf_tally_get(t, (struct rf_str){ (const char *)c->src.b, sizeof c->src.b }, most, ret);
}

/* Count it for its address; then TLS or the first request. */
static enum step admit(struct rf_http_conn *c)
{
	struct rf_http_edge *e = c->edge;
	const struct rf_http_conf *k = &e->conf;
	int r = RF_OK;
	if (conn_barred(c)) {
		c->refused = true;
		c->end_reason = RF_REASON_BARRED;
		c->end = rf_reason_words(RF_REASON_BARRED);
		return STEP_CLOSE;
	}
	if (k->connections_per_address)
		r = tally(c, &e->by_address, k->connections_per_address, &c->tally_conn);
	if (r)
		rf_count(RF_C_LIMIT_CONN_ADDRESS);
	if (!r && c->listener->tls && k->handshakes_per_address) {
		r = tally(c, &e->hs_by_address, k->handshakes_per_address, &c->tally_hs);
		if (r)
			rf_count(RF_C_LIMIT_HANDSHAKES_ADDRESS);
	}
	if (!r && c->listener->tls)
		r = rf_tls_accept(e->tls, &c->stream, c->listener->min_version);
	if (r) {
		c->refused = true;
		c->end_reason = r == RF_E_NOMEM ? RF_REASON_MEMORY : RF_REASON_CONNECTIONS;
		c->end = "too many connections or handshakes of one address";
		return STEP_CLOSE;
	}
	if (!c->listener->tls)
		return who_welcome(c);
	wait_for(c, 0, WAIT_HANDSHAKE, k->handshake_ns);
	rf_list_push(&e->handshaking, &c->queue);
	e->handshakes++;
	if (e->handshakes > k->handshakes) {
		struct rf_http_conn *oldest = RF_CONTAINER(rf_list_first(&e->handshaking), struct rf_http_conn, queue);
		rf_count(RF_C_LIMIT_HANDSHAKES);
		e->stats.evicted++;
		oldest->refused = true;
		oldest->end_reason = RF_REASON_OVERLOAD;
		conn_close(oldest, "its TLS handshake made room for a newer one");
	}
	c->step = STEP_HANDSHAKE;
	hello_queue(c);
	return STEP_WAIT;
}

enum step step_proxy(struct rf_http_conn *c)
{
	if (!c->listener->proxy)
		return admit(c);
	if (!trusted(c))
		return proxy_refused(c, "a PROXY header is expected, and this peer is not a trusted proxy");
	if (c->wait[0].what != WAIT_PROXY)
		wait_for(c, 0, WAIT_PROXY, c->edge->conf.handshake_ns);
	struct rf_proxy p;
	int r = proxy_read(c, &p);
	if (r == RF_E_AGAIN)
		return STEP_WAIT;
	if (r == RF_E_EOF || r == RF_E_RESET) {
		c->end = "closed before its PROXY header"; /* a proxy's own check of the port */
		return STEP_CLOSE;
	}
	if (r)
		return proxy_refused(c, "the PROXY header is missing or broken");
	if (!p.local && p.kind == RF_PROXY_TCP && p.src.family) {
		c->src = p.src;
		c->src_port = p.src_port;
		c->dst = p.dst;
		c->dst_port = p.dst_port;
	}
	rf_inbuf_drop(&c->in, c->edge->bufs);
	return admit(c);
}

void hello_queue(struct rf_http_conn *c)
{
	struct rf_http_edge *e = c->edge;
	if (!rf_node_linked(&c->turn))
		rf_list_push(c->step == STEP_HANDSHAKE ? &e->hellos : &e->turns, &c->turn);
	rf_loop_defer(e->loop, &e->turn_task);
}

/* Has this turn spent its time on handshakes? */
static bool spent(struct rf_http_edge *e, uint64_t from)
{
	return rf_loop_mono(e->loop) - from >= e->conf.handshake_turn_ns;
}

static void run_first(struct rf_node *list)
{
	struct rf_node *n = rf_list_first(list);
	rf_list_del(n);
	conn_run(RF_CONTAINER(n, struct rf_http_conn, turn));
}

/* Run those that waited for the end of the turn: all that are past their handshake, and as many handshakes as it has room for. The
 * others stay where they are: in a flood they are thousands, and must not be touched each turn. */
void hello_turn(struct rf_task *t)
{
	struct rf_http_edge *e = RF_CONTAINER(t, struct rf_http_edge, turn_task);
	uint64_t from = rf_loop_mono(e->loop);
	unsigned most = e->conf.handshakes_per_turn ? e->conf.handshakes_per_turn : 1;
	struct rf_node now;
	rf_list_init(&now);
	rf_list_move(&now, &e->turns);
	while (!rf_list_empty(&now))
		run_first(&now);
	for (unsigned i = 0; i < most && !rf_list_empty(&e->hellos) && (!i || !spent(e, from)); i++)
		run_first(&e->hellos);
	if (!rf_list_empty(&e->turns) || !rf_list_empty(&e->hellos))
		rf_loop_defer(e->loop, t);
}

void hello_leave(struct rf_http_conn *c)
{
	if (rf_node_linked(&c->queue)) {
		rf_list_del(&c->queue);
		c->edge->handshakes--;
	}
	rf_tally_put(&c->edge->hs_by_address, c->tally_hs);
	c->tally_hs = NULL;
}

enum step step_handshake(struct rf_http_conn *c)
{
	int r = rf_stream_handshake(&c->stream);
	if (r == RF_E_AGAIN)
		return STEP_WAIT;
	hello_leave(c);
	if (r) {
		rf_count(RF_C_HS_FAILED);
		c->refused = true;
		c->end_reason = RF_REASON_HANDSHAKE;
		c->end = rf_tls_error(&c->stream);
		return STEP_CLOSE;
	}
	const struct rf_tls_info *info = rf_tls_info(&c->stream);
	rf_count(info->resumed ? RF_C_HS_RESUMED : RF_C_HS_FULL);
	rf_observe(RF_H_HANDSHAKE, info->handshake_ns);
	c->handshaken = true;
	const struct rf_app *app = info->sni[0] ? rf_snap_app(c->edge->snap(), rf_str_z(info->sni)) : NULL;
	if (app) { /* its times hold for the first request too; without TLS only from the second */
		c->idle_ns = app->idle_timeout_ns;
		c->head_ns = app->header_timeout_ns;
	}
	return who_welcome(c);
}
