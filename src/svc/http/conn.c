/* svc/http/conn: the life of a connection once it is welcome (svc/front), and the edge that serves it.
 *
 *   welcome -> HEAD -> IDENTIFY -> JUDGE -> FORWARD -> RELAY -> RECORD -> HEAD ...
 *               |         |          |  \      |         |        ^  \
 *               |         |          v   LOCAL v         |        |   LINGER -> closed
 *               \-------> ANSWER <-------/-----/---------/--------/
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
 * to its record. A connection that is ended inside of a step is freed when conn_run is done.
 */
#include "svc/http/lane.h"
#include <stdlib.h>

const struct rf_http_conf rf_http_conf_default = {
	.request_memory = 256 * 1024,
	.local_body = 64 * 1024,
	.rule_body = 64 * 1024,
	.decompressed_body = 64ull << 20,
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

void conn_run(struct rf_http_conn *c)
{
	if (c->client.running)
		return;
	c->client.running = true;
	enum step next;
	do {
		next = c->client.dead ? STEP_CLOSE : steps[c->step](c);
		if (next < STEP_COUNT)
			c->step = (uint8_t)next;
	} while (next < STEP_COUNT);
	if (next == STEP_CLOSE)
		rf_client_end(&c->client, NULL);
	rf_client_ran(&c->client);
}

static struct rf_http_conn *conn_of(struct rf_client *c)
{
	return RF_CONTAINER(c, struct rf_http_conn, client);
}

/* --- what the front asks and tells --- */

static void client_event(struct rf_stream *s)
{
	conn_run(RF_CONTAINER(s, struct rf_http_conn, client.stream));
}

static bool arrive(struct rf_client *client)
{
	struct rf_http_conn *c = conn_of(client);
	c->edge = client->listener->service_arg;
	c->step = STEP_HEAD;
	return true;
}

static bool tls_host(struct rf_client *client, struct rf_str sni, struct rf_tls_host *ret)
{
	const struct rf_snap *s = client->front->snap();
	const struct rf_app *a = sni.n ? rf_snap_app(s, sni) : NULL;
	if (sni.n && !a)
		return false;
	*ret = (struct rf_tls_host){ .keypair = { s->site->fallback }, .ask_client = true, .roots = UINT64_MAX,
				     .keep_hello = true };
	if (!a)
		return true; /* which host is meant, the request will say */
	ret->keep_hello = rf_front_wants_hello(rf_snap_policy(s, a));
	ret->keypair[0] = a->keypair[0];
	ret->keypair[1] = a->keypair[1];
	ret->ask_client = a->auth != RF_AUTH_OFF;
	ret->refuse_handshake = a->refuse_handshake;
	ret->early_data = a->idempotent_count > 0;
	ret->roots = a->roots;
	return true;
}

/* The app that the handshake names; NULL: none. */
static const struct rf_app *app_of(const struct rf_client *client, const struct rf_snap *snap)
{
	const struct rf_tls_info *info = rf_client_tls(client);
	return info && info->sni[0] ? rf_snap_app(snap, rf_str_z(info->sni)) : NULL;
}

static const struct rf_policy *policy(struct rf_client *client, const struct rf_snap *snap)
{
	return rf_snap_policy(snap, app_of(client, snap));
}

static void welcome(struct rf_client *client)
{
	struct rf_http_conn *c = conn_of(client);
	const struct rf_app *app = app_of(client, client->front->snap());
	if (app) { /* its times hold for the first request too; without TLS only from the second */
		c->idle_ns = app->idle_timeout_ns;
		c->head_ns = app->header_timeout_ns;
	}
	client->stream.on_event = client_event;
	client->timer.fire = wait_fire;
	conn_run(c);
}

static void drain(struct rf_client *client, bool late)
{
	const struct rf_http_conn *c = conn_of(client);
	client->last = true;
	if (!c->req && (c->requests || late))
		rf_client_end(client, "the edge is shutting down");
}

static void report(struct rf_client *client, struct rf_record *r)
{
	struct rf_http_conn *c = conn_of(client);
	if (c->req)
		step_record(c); /* what was under way leaves its record */
	r->requests = c->requests;
}

const struct rf_service rf_http_service = { .size = sizeof(struct rf_http_conn), .arrive = arrive, .host = tls_host,
	.policy = policy, .welcome = welcome, .drain = drain, .report = report };

/* --- the edge --- */

void rf_http_edge_conf(struct rf_http_edge *e, const struct rf_http_conf *conf)
{
	e->conf = *conf;
	if (!e->conf.heads.head)
		e->conf.heads = rf_http_limits_default;
}

struct rf_http_edge *rf_http_edge_new(const struct rf_http_edge_spec *s)
{
	struct rf_http_edge *e = calloc(1, sizeof *e);
	if (!e)
		return NULL;
	*e = (struct rf_http_edge){ .front = s->front, .loop = s->front->loop, .bufs = s->front->bufs, .pool = s->pool,
		.limits = s->limits, .sample = s->sample, .local = s->local, .feed = s->feed, .arg = s->arg };
	rf_http_edge_conf(e, s->conf ? s->conf : &rf_http_conf_default);
	rf_list_init(&e->free_requests);
	rf_list_init(&e->free_lanes);
	return e;
}

void rf_http_edge_free(struct rf_http_edge *e)
{
	if (!e)
		return;
	while (!rf_list_empty(&e->free_requests)) {
		struct rf_node *n = rf_list_first(&e->free_requests);
		rf_list_del(n);
		struct request *q = RF_CONTAINER(n, struct request, free);
		rf_arena_fini(&q->arena);
		free(q);
	}
	lanes_fini(e);
	limits_fini(e);
	rf_buf_fini(&e->scratch);
	free(e);
}

uint32_t rf_http_requests(const struct rf_http_edge *e)
{
	return e->requests;
}
