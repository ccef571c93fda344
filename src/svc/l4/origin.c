/* svc/l4/origin: choose an origin of the port, open a connection to it, and what to do when that fails.
 *
 *   choose -> open (or wait in the endpoint's queue) -> PROXY header -> TLS -> RELAY
 *      ^                        |
 *      \---- the next one ------/
 *
 * Each endpoint is tried once: nothing of the client's has reached it when opening it fails. Meanwhile the client's bytes are read as
 * far as one buffer goes, so that its end is seen.
 */
#include "base/hash.h"
#include "svc/l4/conn.h"

static void opened_place(struct rf_pool_wait *w)
{
	struct conn *n = RF_CONTAINER(w, struct conn, queue);
	n->queued = false;
	n->queue_until = 0;
	rf_client_later(&n->client);
}

static void upstream_event(struct rf_upstream *u)
{
	l4_run(u->arg);
}

void l4_origin_drop(struct conn *n)
{
	if (n->queued)
		rf_pool_unqueue(&n->queue);
	n->queued = false;
	if (n->upstream)
		rf_pool_give(n->upstream, false);
	n->upstream = NULL;
	n->down.from = n->up.to = NULL;
}

static bool choose(struct conn *n)
{
	const struct rf_client *c = &n->client;
	uint64_t key = 0;
	if (!n->group)
		n->group = rf_origin_group_get(n->port->origins);
	if (n->group->spec.balance == RF_BALANCE_DEVICE)
		key = rf_hash(c->device ? rf_str_z(rf_device_id(c->device)) : (struct rf_str){ (const char *)c->src.b, 16 });
	n->origin = rf_origin_choose(n->group, key, l4_now(n), n->tried);
	return n->origin;
}

/* RF_OK: n->upstream is set. RF_E_AGAIN: it waits in the endpoint's queue. */
static int take(struct conn *n)
{
	struct rf_pool *pool = n->l4->pool;
	const struct rf_port *p = n->port;
	uint16_t port = p->low == p->high ? 0 : rf_port_origin(p, n->client.dst_port);
	int r = l4_header(n);
	if (r == RF_OK)
		r = rf_pool_open(pool, n->origin, port, rf_buf_str(&n->text), upstream_event, n, &n->upstream);
	if (r != RF_E_FULL)
		return r;
	n->queue.ready = opened_place;
	r = rf_pool_queue(pool, n->origin, &n->queue);
	if (r)
		return r;
	n->queued = true;
	n->queue_until = l4_now(n) + n->group->spec.connect_timeout_ns;
	return RF_E_AGAIN;
}

static enum step unopened(struct conn *n, int error, const char *why)
{
	n->status = n->upstream->unresolved ? l4_status_unresolved(error) : l4_status_unopened(error); /* of the last one, where none opens */
	if (rf_origin_report(n->origin, false, l4_now(n)))
		rf_count(RF_C_ORIGIN_EJECTED);
	n->tried |= 1ull << n->origin->index;
	n->origin = NULL;
	l4_origin_drop(n);
	if (!choose(n))
		return l4_over(n, n->status, why);
	rf_count(RF_C_ORIGIN_RETRIES);
	return STEP_ORIGIN;
}

static enum step open_now(struct conn *n)
{
	rf_origin_report(n->origin, true, l4_now(n));
	n->down.from = &n->upstream->stream;
	n->opened = true;
	l4_tell_open(n);
	return STEP_RELAY;
}

enum step l4_step_origin(struct conn *n)
{
	int r = relay_pump(&n->up);
	if (r != RF_E_AGAIN)
		return l4_broken(n, &n->up, r);
	if (n->queued)
		return STEP_WAIT;
	if (!n->origin && !choose(n))
		return l4_over(n, L4_ORIGIN_NOWAY, "no origin of the port is healthy");
	if (!n->upstream) {
		r = take(n);
		if (r)
			return r == RF_E_AGAIN ? STEP_WAIT : l4_over(n, l4_status_unopened(r), NULL);
	}
	r = rf_upstream_ready(n->upstream);
	if (r == RF_E_AGAIN)
		return STEP_WAIT;
	return r == RF_OK ? open_now(n) : unopened(n, r, n->upstream->why);
}
