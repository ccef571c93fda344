/* svc/http/conn: the life of a connection, and the edge that owns all of them.
 *
 *   accept -> PROXY -> HANDSHAKE -> HEAD -> IDENTIFY -> JUDGE -> FORWARD -> RELAY -> RECORD -> HEAD ...
 *                        |           |         |          |  \      |         |        ^  \
 *                        v           |         v          v   LOCAL v         |        |   LINGER -> closed
 *                      closed        \-------> ANSWER <-------/-----/---------/--------/
 *
 * A connection is an object with a step. Every event (of the client, of the origin, of time, of a
 * message) runs it: the step's function is called and names the next one, until one waits or the
 * connection closes.
 *
 *   HEAD       has no request until bytes come; no buffer is held while it waits for the first
 *   IDENTIFY   the head is whole: the certificate is looked at again, the snapshot is pinned
 *   JUDGE      host, device, limits, rules; headers for the origin
 *   FORWARD    an origin is chosen, a connection to it taken or made
 *   RELAY      both directions flow; an upgrade stays here
 *   ANSWER     we answer ourselves: refused, or from the local service
 *   RECORD     the request is over and becomes a record
 *   LINGER     we have ended our side and read what is still under way, so that it does not destroy our answer [RFC 9112 9.6]
 *
 * Invariants: a connection belongs to one edge for ever. `req` is set from the first byte of a request
 * to its record. A connection is freed by conn_run or by conn_close from outside of it, never inside
 * of a step.
 */
#include "svc/http/conn.h"
#include <endian.h>
#include <stdlib.h>
#include "net/addr.h"

const struct rf_http_conf rf_http_conf_default = {
	.connections = 100000,
	.handshakes = 2048,
	.handshakes_per_turn = 2,
	.handshake_turn_ns = 500 * RF_NS_US,
	.request_memory = 256 * 1024,
	.local_body = 64 * 1024,
	.rule_body = 64 * 1024,
	.decompressed_body = 64ull << 20,
	.handshake_ns = 10 * RF_NS_S,
	.head_ns = 10 * RF_NS_S,
	.body_ns = 30 * RF_NS_S,
	.idle_ns = 75 * RF_NS_S,
	.response_ns = 60 * RF_NS_S,
	.write_ns = 30 * RF_NS_S,
	.tunnel_ns = 3600 * RF_NS_S,
	.linger_ns = 2 * RF_NS_S,
	.local_ns = 30 * RF_NS_S,
};

static enum step (*const steps[STEP_COUNT])(struct rf_http_conn *) = {
	[STEP_PROXY] = step_proxy,
	[STEP_HANDSHAKE] = step_handshake,
	[STEP_HEAD] = step_head,
	[STEP_IDENTIFY] = step_identify,
	[STEP_JUDGE] = step_judge,
	[STEP_FORWARD] = step_forward,
	[STEP_RELAY] = step_relay,
	[STEP_LOCAL] = step_local,
	[STEP_ANSWER] = step_answer,
	[STEP_RECORD] = step_record,
	[STEP_LINGER] = step_linger,
};

uint64_t edge_id(struct rf_http_edge *e) /* splitmix64: never the same twice on one worker */
{
	uint64_t z = e->next_id += 0x9e3779b97f4a7c15ull;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* Eight hexadecimal digits at once, the first in the highest byte. */
static uint64_t hex_digits(uint32_t v)
{
	uint64_t x = v;
	x = (x | x << 16) & 0x0000ffff0000ffffull;
	x = (x | x << 8) & 0x00ff00ff00ff00ffull;
	x = (x | x << 4) & 0x0f0f0f0f0f0f0f0full;
	uint64_t letters = (x + 0x0606060606060606ull) >> 4 & 0x0101010101010101ull;
	return x + 0x3030303030303030ull + letters * ('a' - '0' - 10);
}

struct rf_str edge_id_text(uint64_t id, char to[17])
{
	uint64_t digits[2] = { htobe64(hex_digits((uint32_t)(id >> 32))), htobe64(hex_digits((uint32_t)id)) };
	memcpy(to, digits, 16);
	to[16] = '\0';
	return (struct rf_str){ to, 16 };
}

void drain_look(struct rf_http_edge *e)
{
	if (e->draining && !e->stats.connections && !e->locals)
		rf_loop_defer(e->loop, &e->drain_task);
}

static void conn_free(struct rf_http_conn *c)
{
	struct rf_http_edge *e = c->edge;
	if (c->req)
		step_record(c); /* what was under way leaves its record */
	report_conn(c);
	hello_leave(c);
	who_leave(c);
	rf_tally_put(&e->by_address, c->tally_conn);
	rf_timer_stop(e->loop, &c->timer);
	rf_list_del(&c->turn);
	rf_list_del(&c->all);
	rf_inbuf_drop(&c->in, e->bufs);
	rf_stream_close(&c->stream);
	e->stats.connections--;
	free(c);
	drain_look(e);
}

void conn_run(struct rf_http_conn *c)
{
	if (c->running)
		return;
	c->running = true;
	enum step next;
	do {
		next = c->dead ? STEP_CLOSE : steps[c->step](c);
		if (next < STEP_COUNT)
			c->step = (uint8_t)next;
	} while (next < STEP_COUNT);
	c->running = false;
	if (next == STEP_CLOSE || c->dead)
		conn_free(c);
}

void conn_close(struct rf_http_conn *c, const char *why)
{
	if (!c->end)
		c->end = why;
	if (c->running)
		c->dead = true;
	else
		conn_free(c);
}

static void client_event(struct rf_stream *s)
{
	struct rf_http_conn *c = RF_CONTAINER(s, struct rf_http_conn, stream);
	if (c->step == STEP_HANDSHAKE)
		hello_queue(c);
	else
		conn_run(c);
}

static void refuse_descriptor(struct rf_http_edge *e, int fd, enum rf_counter why)
{
	struct rf_io io = { .fd = fd };
	rf_count(why);
	rf_loop_close(e->loop, &io);
}

int rf_http_accept(struct rf_http_edge *e, const struct rf_http_listener *l, int fd, const struct rf_addr *peer)
{
	struct rf_http_conn *c = NULL;
	if (e->draining || e->stats.connections >= e->conf.connections) {
		refuse_descriptor(e, fd, e->draining ? RF_C_REFUSED_DRAINING : RF_C_LIMIT_CONNECTIONS);
		return RF_E_FULL;
	}
	c = calloc(1, sizeof *c);
	if (!c) {
		refuse_descriptor(e, fd, RF_C_REFUSED_MEMORY);
		return RF_E_NOMEM;
	}
	int r = rf_stream_accept(&c->stream, e->loop, fd, client_event);
	if (r) {
		rf_count(RF_C_REFUSED_MEMORY);
		free(c);
		return r;
	}
	c->edge = e;
	c->listener = l;
	c->timer.fire = wait_fire;
	c->src = rf_addr_ip(peer);
	c->src_port = rf_addr_port(peer);
	c->dst = l->ip;
	c->dst_port = l->port;
	c->class_slot = UINT16_MAX;
	c->id = edge_id(e);
	c->began = rf_loop_now(e->loop);
	c->step = STEP_PROXY;
	rf_list_push(&e->conns, &c->all);
	e->stats.connections++;
	e->stats.accepted++;
	rf_count(RF_C_CONN_ACCEPTED);
	conn_run(c);
	return RF_OK;
}

static void drained(struct rf_http_edge *e)
{
	void (*done)(void *) = e->drained;
	e->drained = NULL;
	rf_timer_stop(e->loop, &e->drain_timer);
	if (done)
		done(e->drained_arg);
}

static void close_all(struct rf_http_edge *e, const char *why)
{
	while (!rf_list_empty(&e->conns))
		conn_close(RF_CONTAINER(rf_list_first(&e->conns), struct rf_http_conn, all), why);
}

static void drain_late(struct rf_timer *t)
{
	struct rf_http_edge *e = RF_CONTAINER(t, struct rf_http_edge, drain_timer);
	close_all(e, "the edge is shutting down");
}

static void drain_over(struct rf_task *t)
{
	drained(RF_CONTAINER(t, struct rf_http_edge, drain_task));
}

void rf_http_drain(struct rf_http_edge *e, uint64_t bound_ns, void (*done)(void *arg), void *arg)
{
	e->draining = true;
	e->drained = done;
	e->drained_arg = arg;
	rf_timer_set(e->loop, &e->drain_timer, rf_loop_now(e->loop) + bound_ns);
	RF_LIST_EACH(n, &e->conns) {
		struct rf_http_conn *c = RF_CONTAINER(n, struct rf_http_conn, all);
		c->last = true;
		if (!c->req)
			conn_close(c, "the edge is shutting down");
	}
	drain_look(e);
}

size_t rf_http_sever(struct rf_http_edge *e, struct rf_str device_id)
{
	size_t n = 0;
	for (struct rf_http_conn *c; (c = live_find(e, device_id)) != NULL; n++) {
		c->refused = true;
		c->end_reason = RF_REASON_DEVICE_REVOKED;
		rf_count(RF_C_CONN_SEVERED);
		conn_close(c, "the device was revoked");
	}
	e->stats.severed += n;
	return n;
}

/* NULL, or why a connection that was good may not go on. */
static const char *gone_bad(struct rf_http_conn *c, enum rf_reason *ret)
{
	*ret = RF_REASON_BARRED;
	if (conn_barred(c))
		return rf_reason_words(RF_REASON_BARRED);
	*ret = RF_REASON_CERT_REVOKED;
	const struct rf_tls_info *info = c->handshaken ? rf_tls_info(&c->stream) : NULL;
	if (!info || !info->peer)
		return NULL;
	bool was = info->verified && !info->revoked;
	rf_tls_recheck(&c->stream);
	if (was && info->revoked)
		return "the certificate was revoked";
	if (was && !info->verified)
		return "the certificate is no longer trusted";
	if (c->device && !rf_identity_holds(&c->edge->identity, c->edge->snap(), info->peer, c->device))
		return "the certificate is no longer that of the device";
	return NULL;
}

size_t rf_http_recheck(struct rf_http_edge *e)
{
	size_t n = 0;
	RF_LIST_EACH(node, &e->conns) {
		struct rf_http_conn *c = RF_CONTAINER(node, struct rf_http_conn, all);
		enum rf_reason reason;
		const char *why = gone_bad(c, &reason);
		if (!why)
			continue;
		c->refused = true;
		c->end_reason = reason;
		rf_count(RF_C_CONN_SEVERED);
		conn_close(c, why);
		n++;
	}
	e->stats.severed += n;
	return n;
}

void rf_http_edge_conf(struct rf_http_edge *e, const struct rf_http_conf *conf)
{
	e->conf = *conf;
	if (!e->conf.heads.head)
		e->conf.heads = rf_http_limits_default;
	if (!e->conf.handshakes_per_turn)
		e->conf.handshakes_per_turn = 1;
}

struct rf_http_edge *rf_http_edge_new(const struct rf_http_edge_spec *s)
{
	struct rf_http_edge *e = calloc(1, sizeof *e);
	if (!e)
		return NULL;
	*e = (struct rf_http_edge){ .loop = s->loop, .tls = s->tls,
		.bufs = s->bufs, .pool = s->pool, .limits = s->limits, .identity = s->identity, .snap = s->snap,
		.emit = s->emit, .sample = s->sample, .barred = s->barred, .local = s->local, .feed = s->feed, .arg = s->arg,
		.next_id = s->seed, .turn_task.run = hello_turn, .drain_task.run = drain_over,
		.drain_timer.fire = drain_late };
	rf_http_edge_conf(e, s->conf ? s->conf : &rf_http_conf_default);
	struct rf_node *lists[] = { &e->conns, &e->handshaking, &e->hellos, &e->turns, &e->free_requests, &e->live_one };
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		rf_list_init(lists[i]);
	e->live = &e->live_one;
	return e;
}

void rf_http_edge_free(struct rf_http_edge *e)
{
	if (!e)
		return;
	e->drained = NULL;
	close_all(e, "the edge has stopped");
	rf_timer_stop(e->loop, &e->drain_timer);
	rf_task_cancel(&e->turn_task);
	rf_task_cancel(&e->drain_task);
	while (!rf_list_empty(&e->free_requests)) {
		struct rf_node *n = rf_list_first(&e->free_requests);
		rf_list_del(n);
		struct request *q = RF_CONTAINER(n, struct request, free);
		rf_arena_fini(&q->arena);
		free(q);
	}
	limits_fini(e);
	rf_buf_fini(&e->scratch);
	rf_tally_fini(&e->by_address);
	rf_tally_fini(&e->hs_by_address);
	if (e->live != &e->live_one)
		free(e->live);
	free(e);
}

void rf_http_stats(const struct rf_http_edge *e, struct rf_http_stats *ret)
{
	*ret = e->stats;
	ret->handshakes = e->handshakes;
}
