/* svc/l4/report: what is told of a connection: a record when an origin is open, now and then while it goes on, and one at its end.
 *
 * The last one is the front's record of the connection, to which the port, the status and the bytes are added.
 */
#include "svc/l4/conn.h"

static void bytes(const struct conn *n, struct rf_record *r)
{
	r->bytes_in = n->up.read;
	r->bytes_out = n->down.passed;
	r->origin_in = n->down.read;
	r->origin_out = n->up.passed;
}

static void what(const struct conn *n, enum l4_status status, enum l4_event event, struct rf_record *r)
{
	r->app = rf_str_z(n->port->id);
	r->host = n->port->name;
	r->event = rf_str_z(l4_events[event]);
	r->status = l4_statuses[status].code;
	if (n->opened)
		r->origin = n->named ? rf_buf_str(&n->text) : n->origin->url;
	bytes(n, r);
}

static void emit(struct conn *n, enum l4_event event)
{
	struct rf_client *c = &n->client;
	struct rf_front *f = c->front;
	char session[17];
	if (!f->emit)
		return;
	struct rf_record r = { .kind = RF_REC_CONNECTION, .at = rf_loop_wall(f->loop), .action = RF_STR("allow") };
	rf_client_record(c, f->snap(), n->port->roots, &r);
	r.session = rf_front_id_text(c->id, session);
	r.duration_us = (l4_now(n) - c->began) / RF_NS_US;
	if (n->would) {
		r.action = RF_STR("log");
		r.layer = RF_STR("tls");
		r.reason = rf_str_z(n->would);
	}
	what(n, L4_OPEN, event, &r);
	f->emit(f->arg, &r);
}

/* Where it was opened to, of a range: the endpoint's own URL has the first port. */
static void name_origin(struct conn *n)
{
	const struct rf_origin *o = n->origin;
	bool v6 = rf_str_find(o->spec.host, ':') < o->spec.host.n;
	rf_buf_clear(&n->text); /* the header has been sent */
	rf_buf_printf(&n->text, v6 ? "tcp://[%.*s]:%u" : "tcp://%.*s:%u", RF_ARG(o->spec.host),
		      rf_port_origin(n->port, n->client.dst_port));
	n->named = true;
}

void l4_tell_open(struct conn *n)
{
	if (n->port->low != n->port->high && n->client.front->emit)
		name_origin(n);
	rf_count(RF_C_L4_OPENED);
	emit(n, L4_EVENT_CONNECT);
}

void l4_tell_progress(struct conn *n)
{
	if (n->opened)
		emit(n, L4_EVENT_PROGRESS);
}

/* How it ended, where the service did not say. */
static enum l4_status how(const struct conn *n)
{
	const struct rf_client *c = &n->client;
	if (n->ended)
		return n->status;
	return c->refused ? l4_status_refused(c->end_reason) : c->front->draining ? L4_INTERNAL : L4_UNKNOWN;
}

static void count(struct conn *n, const struct rf_record *r, enum l4_status status)
{
	static const enum rf_counter ends[L4_EVENTS] = { [L4_EVENT_DISCONNECT] = RF_C_L4_DISCONNECT,
		[L4_EVENT_ORIGIN_ERROR] = RF_C_L4_ORIGIN_ERROR, [L4_EVENT_CLIENT_FILTERED] = RF_C_L4_FILTERED };
	rf_count(ends[l4_statuses[status].event]);
	rf_count_n(RF_C_L4_BYTES_IN, r->bytes_in);
	rf_count_n(RF_C_L4_BYTES_OUT, r->bytes_out);
	rf_count_n(RF_C_L4_SPLICED, n->up.spliced + n->down.spliced);
}

static void use(const struct conn *n, const struct rf_record *r)
{
	const struct rf_client *c = &n->client;
	if (!c->device)
		return;
	struct rf_device_use *u = rf_device_use(c->device);
	atomic_store_explicit(&u->last_seen_s, (uint32_t)(rf_loop_wall(c->front->loop) / (int64_t)RF_NS_S), memory_order_relaxed);
	atomic_fetch_add_explicit(&u->refused_total, c->refused, memory_order_relaxed);
	atomic_fetch_add_explicit(&u->bytes_in, r->bytes_in, memory_order_relaxed);
	atomic_fetch_add_explicit(&u->bytes_out, r->bytes_out, memory_order_relaxed);
}

void l4_tell_end(struct rf_client *c, struct rf_record *r)
{
	struct conn *n = l4_conn(c);
	if (!n->port) {
		r->event = rf_str_z(l4_events[L4_EVENT_CLIENT_FILTERED]);
		r->status = l4_statuses[L4_FILTERED].code;
		return;
	}
	enum l4_status status = how(n);
	what(n, status, l4_statuses[status].event, r);
	if (l4_statuses[status].event == L4_EVENT_ORIGIN_ERROR) {
		r->action = RF_STR("error");
		r->layer = RF_STR("origin");
	} else if (n->would && !c->refused) {
		r->action = RF_STR("log");
		r->layer = RF_STR("tls");
		r->reason = rf_str_z(n->would);
	}
	count(n, r, status);
	use(n, r);
}
