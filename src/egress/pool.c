/* egress/pool: a worker's connections to origins.
 *
 *   take --idle one--------------------------------------------> IN USE --give(keep)--> IDLE
 *     \--new--> RESOLVE -> CONNECT -> FIRST -> (TLS) -> on_event: ready --/  ^            |
 *                  \________\__________\______\--> FAILED (owner gives it back)  \---take-/
 *
 * A slot a live endpoint holds its idle connections, newest last: the newest is taken first, so that
 * the rest can time out. Any event on an idle connection ends it: an origin that speaks unasked, or
 * closes. One sweep timer a pool closes what is idle too long; a timer of its own only bounds
 * connecting.
 *
 * Invariants: slot->open counts every connection that is not freed. A connection is linked in
 * slot->idle exactly while its phase is IDLE, and in slot->resolving while that is RESOLVE. An empty
 * slot goes after a while, so that the name's addresses are not asked for anew at every request.
 */
#include "egress/pool.h"
#include <stdlib.h>
#include "net/addr.h"
#include "records/counters.h"

enum phase { RESOLVE, CONNECT, FIRST, HANDSHAKE, READY, IDLE, FAILED };
#define SWEEP_NS RF_NS_S
#define SLOT_NS (60 * RF_NS_S) /* an unused endpoint is forgotten after that */

struct rf_pool_slot {
	struct rf_map_node node; /* by the address of `live` */
	struct rf_origin_live *live;
	struct rf_pool *pool;
	struct rf_watch watch;
	bool watching;
	struct rf_node idle, waiting, resolving;
	uint64_t used_at;
	unsigned turn;           /* which address is first next time */
	unsigned open, idle_count, wait_count;
	unsigned max_idle, max_open;
	uint64_t idle_ns;
};

struct rf_pool {
	struct rf_loop *loop;
	struct rf_tls *tls;
	struct rf_resolver *resolver;
	struct rf_map slots;
	struct rf_timer sweep;
	struct rf_pool_stats stats;
	bool (*barred)(void *arg, const char *id, const struct rf_addr *to); /* NULL: none */
	void *barred_arg;
};

static void sweep(struct rf_timer *t);
static void sweep_slot(struct rf_pool_slot *s, uint64_t now);

struct rf_pool *rf_pool_new(struct rf_loop *loop, struct rf_tls *tls, struct rf_resolver *resolver)
{
	struct rf_pool *p = calloc(1, sizeof *p);
	if (p)
		*p = (struct rf_pool){ .loop = loop, .tls = tls, .resolver = resolver, .sweep.fire = sweep };
	return p;
}

void rf_pool_bar(struct rf_pool *p, bool (*barred)(void *arg, const char *id, const struct rf_addr *to), void *arg)
{
	p->barred = barred;
	p->barred_arg = arg;
}

void rf_pool_stats(const struct rf_pool *p, struct rf_pool_stats *ret)
{
	*ret = p->stats;
}

static void addresses_changed(struct rf_watch *w);

static struct rf_pool_slot *slot_new(struct rf_pool *p, const struct rf_origin *o)
{
	struct rf_pool_slot *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	s->pool = p;
	s->live = rf_origin_live_get(o->live);
	rf_list_init(&s->idle);
	rf_list_init(&s->waiting);
	rf_list_init(&s->resolving);
	s->watch.changed = addresses_changed;
	rf_map_add(&p->slots, &s->node, (struct rf_str){ (const char *)&s->live, sizeof s->live });
	if (!p->sweep.node.at)
		rf_timer_set(p->loop, &p->sweep, rf_loop_now(p->loop) + SWEEP_NS);
	return s;
}

static struct rf_pool_slot *slot_of(struct rf_pool *p, const struct rf_origin *o)
{
	struct rf_str key = { (const char *)&o->live, sizeof o->live };
	struct rf_map_node *n = rf_map_find(&p->slots, key);
	struct rf_pool_slot *s = n ? RF_CONTAINER(n, struct rf_pool_slot, node) : slot_new(p, o);
	if (!s)
		return NULL;
	const struct rf_origin_group_spec *g = &o->group->spec;
	s->max_idle = g->max_idle;
	s->max_open = g->max_connections;
	s->idle_ns = g->idle_timeout_ns;
	s->used_at = rf_loop_now(p->loop);
	return s;
}

static void slot_free(struct rf_pool_slot *s)
{
	struct rf_pool *p = s->pool;
	if (s->watching)
		rf_resolver_unwatch(p->resolver, &s->watch);
	rf_map_del(&p->slots, &s->node);
	rf_origin_live_put(s->live);
	free(s);
}

static void wake_waiter(struct rf_pool_slot *s)
{
	struct rf_node *n = rf_list_first(&s->waiting);
	if (!n)
		return;
	rf_list_del(n);
	s->wait_count--;
	struct rf_pool_wait *w = RF_CONTAINER(n, struct rf_pool_wait, node);
	w->slot = NULL;
	w->ready(w);
}

static void connecting_ends(struct rf_upstream *u)
{
	rf_timer_stop(u->pool->loop, &u->timer);
	rf_origin_group_put(u->group);
	u->group = NULL;
}

/* The end of a connection. Wakes a waiter, which may take a new one at once. */
static void upstream_free(struct rf_upstream *u)
{
	struct rf_pool_slot *s = u->slot;
	rf_list_del(&u->node);
	if (u->phase == IDLE) {
		s->idle_count--;
		u->pool->stats.idle--;
	}
	if (u->group)
		connecting_ends(u);
	rf_stream_close(&u->stream);
	u->pool->stats.open--;
	s->open--;
	free(u);
	wake_waiter(s);
}

static void tell(struct rf_upstream *u)
{
	if (u->on_event)
		u->on_event(u);
}

static void failed(struct rf_upstream *u, int error, const char *why)
{
	rf_list_del(&u->node);
	u->unresolved = u->phase == RESOLVE;
	u->phase = FAILED;
	u->error = error;
	u->why = why;
	connecting_ends(u);
	rf_count(RF_C_ORIGIN_FAILED);
	if (error == RF_E_CERT || error == RF_E_CRYPTO)
		u->pool->stats.tls_failures++;
	else
		u->pool->stats.connect_failures++;
}

static void stream_event(struct rf_stream *st);

/* Would a connection to this address lead nowhere, or back to where it came from? */
static bool barred(const struct rf_upstream *u, const struct rf_ip *ip, const struct rf_addr *to)
{
	const struct rf_pool *p = u->pool;
	return !rf_ip_one_host(ip) || (p->barred && p->barred(p->barred_arg, u->group->spec.id, to));
}

static const char *words_of(int error)
{
	return error == RF_E_TIMEOUT ? "the origin did not answer in time" :
		error == RF_E_DENIED ? "the origin's address is no host's, or leads back to the same port" : "the origin refuses connections";
}

/* Start on the next address that takes a connection; FAILED when there is none left. */
static void connect_next(struct rf_upstream *u, int error)
{
	while (u->addr_at < u->addr_count) {
		rf_stream_close(&u->stream);
		u->phase = CONNECT;
		const struct rf_ip *ip = &u->addrs[u->addr_at++];
		struct rf_addr to = rf_addr_of(ip, u->port);
		error = barred(u, ip, &to) ? RF_E_DENIED : rf_stream_connect(&u->stream, u->pool->loop, &to, stream_event);
		if (error == RF_OK)
			return;
	}
	failed(u, error, words_of(error));
}

static int start_tls(struct rf_upstream *u)
{
	const struct rf_origin_group *g = u->group;
	struct rf_tls_client c = {
		.name = u->origin->spec.tls_name,
		.verify = u->origin->spec.tls == RF_ORIGIN_TLS,
		.trust = g->trust,
		.keypair = g->keypair,
	};
	return rf_tls_connect(u->pool->tls, &u->stream, &c);
}

static void ready(struct rf_upstream *u)
{
	u->phase = READY;
	connecting_ends(u);
	u->pool->stats.connects++;
	rf_count(RF_C_ORIGIN_NEW);
}

/* Write what comes before all else. */
static int send_first(struct rf_upstream *u)
{
	while (u->first.n) {
		struct iovec v = { (void *)u->first.p, u->first.n };
		ssize_t r = rf_stream_write(&u->stream, &v, 1);
		if (r < 0)
			return (int)r;
		u->first = rf_str_skip(u->first, (size_t)r);
	}
	return RF_OK;
}

/* Each step of connecting: RF_OK: the next one may follow at once; RF_E_AGAIN; else FAILED or on another address. */
static int step_connect(struct rf_upstream *u)
{
	int r = rf_stream_connected(&u->stream);
	if (r == RF_OK)
		u->phase = FIRST;
	else if (r != RF_E_AGAIN)
		connect_next(u, r);
	return r == RF_OK || u->phase != CONNECT ? r : rf_stream_connected(&u->stream);
}

static int step_first(struct rf_upstream *u)
{
	int r = send_first(u);
	if (r == RF_E_AGAIN)
		return r;
	bool tls = u->origin->spec.tls != RF_ORIGIN_PLAIN;
	if (r) {
		failed(u, r, "the origin closed the connection at once");
	} else if (!tls) {
		ready(u);
	} else {
		u->phase = HANDSHAKE;
		r = start_tls(u);
		if (r)
			failed(u, r, "TLS to the origin could not be set up");
	}
	return r;
}

static int step_handshake(struct rf_upstream *u)
{
	int r = rf_stream_handshake(&u->stream);
	if (r == RF_OK)
		ready(u);
	else if (r != RF_E_AGAIN)
		failed(u, RF_E_CERT, rf_tls_error(&u->stream));
	return r;
}

/* True when another step may follow at once. */
static bool advance(struct rf_upstream *u)
{
	switch (u->phase) {
	case CONNECT:
		return step_connect(u) != RF_E_AGAIN;
	case FIRST:
		return step_first(u) == RF_OK;
	case HANDSHAKE:
		step_handshake(u);
		return false;
	default:
		return false;
	}
}

/* May the connection wait for the next request? Not when the origin speaks unasked: that would answer the
 * wrong request. */
static bool quiet(struct rf_upstream *u)
{
	struct rf_stream *st = &u->stream;
	char c;
	if (!rf_stream_open(st) || st->hup || st->eof)
		return false;
	return rf_stream_read(st, &c, 1) == RF_E_AGAIN;
}

static void stream_event(struct rf_stream *st)
{
	struct rf_upstream *u = RF_CONTAINER(st, struct rf_upstream, stream);
	if (u->phase == IDLE) {
		if (quiet(u)) /* a session ticket, for example */
			return;
		u->pool->stats.idle_closed++;
		upstream_free(u);
		return;
	}
	if (u->phase < READY) {
		while (advance(u))
			;
		if (u->phase < READY)
			return;
	}
	tell(u);
}

static void connect_timeout(struct rf_timer *t)
{
	struct rf_upstream *u = RF_CONTAINER(t, struct rf_upstream, timer);
	failed(u, RF_E_TIMEOUT, u->phase == HANDSHAKE ? "the TLS handshake of the origin took too long" :
		u->phase == RESOLVE ? "looking up the origin's name took too long" : "connecting to the origin took too long");
	tell(u);
}

static void take_addresses(struct rf_upstream *u, const struct rf_ip *ips, unsigned count)
{
	unsigned from = u->slot->turn++;
	rf_list_del(&u->node);
	for (unsigned i = 0; i < count && u->addr_count < RF_POOL_TRIES; i++)
		u->addrs[u->addr_count++] = ips[(from + i) % count];
	connect_next(u, RF_E_IO);
}

/* Look at what is known of the name; stays in RESOLVE while that is nothing. */
static void resolve(struct rf_upstream *u)
{
	struct rf_answer a = rf_watch_answer(&u->slot->watch);
	if (a.status == RF_OK && a.count) {
		take_addresses(u, a.addrs, a.count);
	} else if (a.status != RF_E_AGAIN) {
		u->pool->stats.resolve_failures++;
		failed(u, a.status ? a.status : RF_E_NOT_FOUND, "the name of the origin does not resolve");
	}
}

static void start(struct rf_upstream *u)
{
	struct rf_pool_slot *s = u->slot;
	struct rf_ip ip;
	u->phase = RESOLVE;
	if (rf_ip_parse(u->origin->spec.host, &ip)) {
		take_addresses(u, &ip, 1);
		return;
	}
	int r = s->watching ? RF_OK : RF_E_UNSUPPORTED;
	if (!s->watching && u->pool->resolver)
		r = rf_resolver_watch(u->pool->resolver, &s->watch, u->origin->spec.host);
	s->watching = r == RF_OK;
	if (r) {
		u->pool->stats.resolve_failures++;
		failed(u, r, "the name of the origin cannot be resolved");
		return;
	}
	rf_list_push(&s->resolving, &u->node);
	resolve(u);
}

/* New addresses, or the first: idle connections to the old ones go, who waits goes on. */
static void addresses_changed(struct rf_watch *w)
{
	struct rf_pool_slot *s = RF_CONTAINER(w, struct rf_pool_slot, watch);
	sweep_slot(s, UINT64_MAX);
	for (unsigned left = s->open; left && !rf_list_empty(&s->resolving); left--) {
		struct rf_upstream *u = RF_CONTAINER(rf_list_first(&s->resolving), struct rf_upstream, node);
		resolve(u);
		if (u->phase == RESOLVE)
			return;
		if (u->phase == FAILED)
			tell(u);
	}
}

static int upstream_new(struct rf_pool *p, struct rf_pool_slot *s, const struct rf_origin *o, uint16_t port,
			struct rf_str first, struct rf_upstream **ret)
{
	struct rf_upstream *u = calloc(1, sizeof *u);
	if (!u)
		return RF_E_NOMEM;
	u->pool = p;
	u->slot = s;
	u->origin = o;
	u->port = port ? port : o->spec.port;
	u->first = first;
	u->group = rf_origin_group_get(o->group);
	u->stream.io.fd = -1;
	u->timer.fire = connect_timeout;
	s->open++;
	p->stats.open++;
	rf_timer_set(p->loop, &u->timer, rf_loop_now(p->loop) + o->group->spec.connect_timeout_ns);
	start(u);
	*ret = u;
	return RF_OK;
}

static struct rf_upstream *idle_take(struct rf_pool_slot *s)
{
	struct rf_node *n = rf_list_empty(&s->idle) ? NULL : s->idle.prev;
	if (!n)
		return NULL;
	rf_list_del(n);
	struct rf_upstream *u = RF_CONTAINER(n, struct rf_upstream, node);
	s->idle_count--;
	s->pool->stats.idle--;
	s->pool->stats.reuses++;
	rf_count(RF_C_ORIGIN_REUSED);
	u->phase = READY;
	u->reused = true;
	return u;
}

/* A new connection, unless the endpoint has as many as it may. */
static int make(struct rf_pool_slot *s, const struct rf_origin *o, uint16_t port, struct rf_str first, struct rf_upstream **ret)
{
	if (s->max_open && s->open >= s->max_open) {
		rf_count(RF_C_LIMIT_ORIGIN_CONNECTIONS);
		return RF_E_FULL;
	}
	return upstream_new(s->pool, s, o, port, first, ret);
}

static void hand_out(struct rf_upstream *u, const struct rf_origin *o, void (*on_event)(struct rf_upstream *u), void *arg)
{
	u->on_event = on_event;
	u->arg = arg;
	u->url = o->url;
	atomic_fetch_add_explicit(&u->slot->live->load, 1, memory_order_relaxed);
}

int rf_pool_take(struct rf_pool *p, const struct rf_origin *o, bool fresh, void (*on_event)(struct rf_upstream *u),
		 void *arg, struct rf_upstream **ret)
{
	struct rf_pool_slot *s = slot_of(p, o);
	if (!s)
		return RF_E_NOMEM;
	struct rf_upstream *u = fresh ? NULL : idle_take(s);
	int r = u ? RF_OK : make(s, o, 0, (struct rf_str){ 0 }, &u);
	if (r)
		return r;
	hand_out(u, o, on_event, arg);
	*ret = u;
	return RF_OK;
}

int rf_pool_open(struct rf_pool *p, const struct rf_origin *o, uint16_t port, struct rf_str first,
		 void (*on_event)(struct rf_upstream *u), void *arg, struct rf_upstream **ret)
{
	struct rf_pool_slot *s = slot_of(p, o);
	struct rf_upstream *u = NULL;
	int r = s ? make(s, o, port, first, &u) : RF_E_NOMEM;
	if (r)
		return r;
	u->own = true;
	hand_out(u, o, on_event, arg);
	*ret = u;
	return RF_OK;
}

int rf_upstream_ready(struct rf_upstream *u)
{
	return u->phase == READY ? RF_OK : u->phase == FAILED ? u->error : RF_E_AGAIN;
}

void rf_pool_give(struct rf_upstream *u, bool keep)
{
	struct rf_pool_slot *s = u->slot;
	struct rf_pool *p = u->pool;
	u->on_event = NULL;
	atomic_fetch_sub_explicit(&s->live->load, 1, memory_order_relaxed);
	if (!keep || u->own || u->phase != READY || !quiet(u) || s->idle_count >= s->max_idle) {
		upstream_free(u);
		return;
	}
	u->phase = IDLE;
	u->arg = NULL;
	u->origin = NULL;
	u->idle_until = rf_loop_now(p->loop) + s->idle_ns;
	rf_list_push(&s->idle, &u->node);
	s->idle_count++;
	p->stats.idle++;
	wake_waiter(s);
}

static void sweep_slot(struct rf_pool_slot *s, uint64_t now)
{
	for (struct rf_node *n; (n = rf_list_first(&s->idle)) != NULL;) {
		struct rf_upstream *u = RF_CONTAINER(n, struct rf_upstream, node);
		if (u->idle_until > now)
			break;
		upstream_free(u);
	}
}

static void sweep(struct rf_timer *t)
{
	struct rf_pool *p = RF_CONTAINER(t, struct rf_pool, sweep);
	uint64_t now = rf_loop_now(p->loop);
	struct rf_map_node *next;
	for (struct rf_map_node *n = rf_map_next(&p->slots, NULL); n; n = next) {
		struct rf_pool_slot *s = RF_CONTAINER(n, struct rf_pool_slot, node);
		next = rf_map_next(&p->slots, n);
		sweep_slot(s, now);
		if (!s->open && !s->wait_count && s->used_at + SLOT_NS <= now)
			slot_free(s);
	}
	if (p->slots.count)
		rf_timer_set(p->loop, t, now + SWEEP_NS);
}

int rf_pool_queue(struct rf_pool *p, const struct rf_origin *o, struct rf_pool_wait *w)
{
	struct rf_pool_slot *s = slot_of(p, o);
	if (!s)
		return RF_E_NOMEM;
	if (s->wait_count >= o->group->spec.max_queue) {
		p->stats.queue_full++;
		rf_count(RF_C_LIMIT_ORIGIN_QUEUE);
		return RF_E_FULL;
	}
	w->slot = s;
	rf_list_push(&s->waiting, &w->node);
	s->wait_count++;
	return RF_OK;
}

void rf_pool_unqueue(struct rf_pool_wait *w)
{
	struct rf_pool_slot *s = w->slot;
	if (!s)
		return;
	rf_list_del(&w->node);
	w->slot = NULL;
	s->wait_count--;
}

void rf_pool_free(struct rf_pool *p)
{
	if (!p)
		return;
	struct rf_map_node *next;
	for (struct rf_map_node *n = rf_map_next(&p->slots, NULL); n; n = next) {
		struct rf_pool_slot *s = RF_CONTAINER(n, struct rf_pool_slot, node);
		next = rf_map_next(&p->slots, n);
		sweep_slot(s, UINT64_MAX);
		slot_free(s);
	}
	rf_timer_stop(p->loop, &p->sweep);
	rf_map_fini(&p->slots);
	free(p);
}
