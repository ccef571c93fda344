/* svc/http/forward: choose an origin, take a connection to it, send the head; and what to do when that
 * fails.
 *
 *   choose -> take (or wait in the endpoint's queue) -> connect -> ready -> head laid -> RELAY
 *      ^                                                   |
 *      \------------------ another attempt ----------------/
 *
 * Another attempt is made only where it cannot do anything twice [RFC 9110 9.2.2]: nothing was sent;
 * or the method is idempotent, nothing of the body was taken, and no byte of a response has come. At
 * most app->retries of them.
 */
#include "base/hash.h"
#include "svc/http/lane.h"

static void run_later(struct rf_pool_wait *w)
{
	struct request *q = RF_CONTAINER(w, struct request, queue);
	q->queued = false;
	rf_client_later(&q->conn->client);
}

void upstream_event(struct rf_upstream *u)
{
	conn_run(u->arg);
}

void upstream_drop(struct request *q, bool keep)
{
	if (q->lane && keep)
		lane_done(q);
	else if (q->lane)
		lane_broken(q);
	if (!q->up)
		return;
	rf_inbuf_drop(&q->oin, q->conn->edge->bufs);
	rf_pool_give(q->up, keep);
	q->up = NULL;
}

void upstream_leave(struct request *q)
{
	if (q->lane)
		lane_leave(q);
	else
		upstream_drop(q, false);
}

static bool may_retry(const struct request *q, bool stale)
{
	if (q->answered || q->interims || q->fup.aged || q->attempts > q->app->retries)
		return false;
	if (!q->fup.wrote)
		return true;
	return stale && (rf_http_method_flags(q->head.method) & RF_METHOD_IDEM);
}

enum step origin_failed(struct rf_http_conn *c, int status, enum rf_reason reason, const char *words, bool stale)
{
	struct request *q = c->req;
	if (reason == RF_REASON_ORIGIN_MALFORMED)
		stale |= lane_distrust(q);
	bool was_stale = stale && q->up && q->up->reused;
	if (!was_stale && q->origin && rf_origin_report(q->origin, false, conn_now(c)))
		rf_count(RF_C_ORIGIN_EJECTED);
	if (q->lane && was_stale)
		q->attempts--; /* those that a lane had under way are repeated once, whatever the app says [RFC 9112 9.3.2] */
	bool again = may_retry(q, stale);
	upstream_drop(q, false);
	if (!again)
		return refuse(c, status, reason, words);
	rf_count(RF_C_ORIGIN_RETRIES);
	if (!was_stale && q->app->origins->spec.count > 1)
		q->tried |= 1ull << q->origin->index;
	q->stale_retry |= was_stale;
	q->origin = was_stale ? q->origin : NULL;
	c->wait[1].what = WAIT_NONE;
	return STEP_FORWARD;
}

/* RF_OK: q->up is set. RF_E_AGAIN: waits in the endpoint's queue. */
static int take(struct rf_http_conn *c)
{
	struct request *q = c->req;
	int r = rf_pool_take(c->edge->pool, q->origin, q->stale_retry, upstream_event, c, &q->up);
	if (r == RF_OK) {
		q->attempts++;
		q->origin_url = q->up->url;
		return RF_OK;
	}
	if (r != RF_E_FULL)
		return r;
	q->queue.ready = run_later;
	r = rf_pool_queue(c->edge->pool, q->origin, &q->queue);
	if (r)
		return r;
	q->queued = true;
	wait_for(c, 1, WAIT_QUEUE, q->app->origins->spec.connect_timeout_ns);
	return RF_E_AGAIN;
}

static enum step choose(struct rf_http_conn *c)
{
	struct request *q = c->req;
	if (!q->group)
		q->group = rf_origin_group_get(q->app->origins);
	uint64_t key = 0;
	if (q->group->spec.balance == RF_BALANCE_DEVICE)
		key = rf_hash(c->client.device ? rf_str_z(rf_device_id(c->client.device)) : (struct rf_str){ (char *)c->client.src.b, 16 });
	q->origin = rf_origin_choose(q->group, key, conn_now(c), q->tried);
	if (!q->origin && q->tried) { /* all were tried once: begin again */
		q->tried = 0;
		q->origin = rf_origin_choose(q->group, key, conn_now(c), 0);
	}
	return q->origin ? STEP_WAIT : refuse(c, 503, RF_REASON_ORIGIN_DOWN, NULL);
}

/* Lay the head at the front of what is to be written. What rules have looked at of the body is behind it already. */
static enum step lay_head(struct rf_http_conn *c)
{
	struct request *q = c->req;
	int r = headers_line(q, q->origin);
	if (r)
		return refuse(c, r == RF_E_NOMEM ? 503 : 414, RF_REASON_MEMORY, NULL);
	if (q->fup.wrote) { /* an attempt before this one has used the flow up; it had taken nothing of the body */
		rf_flow_init(&q->fup, &c->client.stream, &c->client.in, NULL, c->edge->bufs, &q->arena);
		rf_flow_body(&q->fup, q->head.body, q->head.content_length, &c->edge->conf.heads);
		q->fup.chunk = q->head.body == RF_BODY_CHUNKED;
		q->fup.trailers = true;
	}
	q->fup.to = &q->up->stream;
	rf_flow_head(&q->fup, q->out_line, q->out_rest);
	q->oscan = (struct rf_http_scan){ 0 };
	q->sent_at = conn_now(c);
	c->wait[0].what = c->wait[1].what = WAIT_NONE;
	return STEP_RELAY;
}

enum step step_forward(struct rf_http_conn *c)
{
	struct request *q = c->req;
	if (c->client.stream.hup) {
		c->client.end = "the client went away before its request was forwarded";
		return STEP_CLOSE;
	}
	if (q->queued || q->lane)
		return STEP_WAIT;
	if (!q->origin) {
		enum step s = choose(c);
		if (s != STEP_WAIT)
			return s;
	}
	if (!q->up && lane_takes(c) && lane_join(c) == RF_OK)
		return STEP_WAIT;
	if (!q->up) {
		int r = take(c);
		if (r == RF_E_AGAIN)
			return STEP_WAIT;
		if (r)
			return refuse(c, 503, r == RF_E_FULL ? RF_REASON_OVERLOAD : RF_REASON_MEMORY,
				      r == RF_E_FULL ? "too many requests wait for the origin" : NULL);
	}
	int r = rf_upstream_ready(q->up);
	if (r == RF_E_AGAIN) {
		c->wait[1].what = WAIT_NONE; /* the pool bounds connecting */
		return STEP_WAIT;
	}
	if (r == RF_OK)
		return lay_head(c);
	if (r == RF_E_TIMEOUT)
		return origin_failed(c, 504, RF_REASON_ORIGIN_TIMEOUT, q->up->why, false);
	enum rf_reason reason = r == RF_E_CERT || r == RF_E_CRYPTO ? RF_REASON_ORIGIN_TLS : RF_REASON_ORIGIN_CONNECT;
	return origin_failed(c, 502, reason, q->up->why, false);
}
