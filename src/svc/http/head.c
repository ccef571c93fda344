/* svc/http/head: read the head of a request; the idle state of a connection.
 *
 * Nothing is held while no byte is there. With the first one the connection has a buffer, a request,
 * and a time by which the whole head must be in (not a gap between bytes: a slow sender cannot stretch
 * it). The head stays in the buffer while the request lasts: everything that was parsed points into
 * it.
 *
 * Bytes behind the head stay in the buffer too: the body, or the next request of a client that does
 * not wait.
 */
#include "svc/http/conn.h"
#include <stdlib.h>

enum { FREE_MAX = 256, BODY_ROOM = 4096 };

struct request *request_new(struct rf_http_conn *c)
{
	struct rf_http_edge *e = c->edge;
	struct rf_node *n = rf_list_first(&e->free_requests);
	struct request *q;
	if (n) {
		rf_list_del(n);
		e->free_count--;
		q = RF_CONTAINER(n, struct request, free);
		struct rf_arena kept = q->arena;
		memset(q, 0, offsetof(struct request, fup));
		q->arena = kept;
		memset(&q->origin_status, 0, sizeof *q - offsetof(struct request, origin_status));
	} else {
		q = calloc(1, sizeof *q);
	}
	if (!q)
		return NULL;
	q->arena.bound = e->conf.request_memory;
	/* A request that is refused at once is recorded, and its body read away, without flows of its own. */
	memset(&q->fup, 0, offsetof(struct rf_flow, chunked));
	memset(&q->fdown, 0, offsetof(struct rf_flow, chunked));
	q->fup.bufs = q->fdown.bufs = e->bufs;
	q->conn = c;
	q->ray = rf_front_id(e->front);
	q->began = conn_now(c);
	q->wall = rf_loop_wall(e->loop);
	q->out_at = c->client.stream.app_out;
	q->cert_status = "none";
	q->cert_reason = "";
	e->requests++;
	c->requests++;
	return q;
}

void request_free(struct request *q)
{
	struct rf_http_edge *e = q->conn->edge;
	upstream_leave(q);
	local_gone(q->conn);
	rf_buf_fini(&q->local_body);
	rf_buf_fini(&q->seen);
	rf_buf_fini(&q->plain);
	rf_buf_fini(&q->sample_text);
	rf_pool_unqueue(&q->queue);
	rf_flow_fini(&q->fup);
	rf_flow_fini(&q->fdown);
	rf_inbuf_drop(&q->oin, e->bufs);
	rf_origin_group_put(q->group);
	limits_requests_leave(q);
	if (q->counted)
		rf_use_leave(&rf_device_use(q->conn->client.device)->requests);
	if (q->snap)
		rf_snap_unpin(q->snap);
	rf_arena_rewind(&q->arena);
	q->conn->req = NULL;
	e->requests--;
	if (e->free_count < FREE_MAX) {
		rf_list_push_front(&e->free_requests, &q->free);
		e->free_count++;
	} else {
		rf_arena_fini(&q->arena);
		free(q);
	}
}

/* The next request starts at the front of the buffer, so that its body has room behind it. */
static void to_front(struct rf_inbuf *in)
{
	in->floor = 0;
	if (!in->at)
		return;
	memmove(in->p, in->p + in->at, in->end - in->at);
	in->end -= in->at;
	in->at = 0;
}

static enum step idle(struct rf_http_conn *c)
{
	rf_inbuf_drop(&c->client.in, c->edge->bufs);
	if (c->wait[0].what != WAIT_IDLE)
		wait_for(c, 0, WAIT_IDLE, c->idle_ns ? c->idle_ns : c->edge->conf.idle_ns);
	c->wait[1].what = WAIT_NONE;
	return STEP_WAIT;
}

static enum step ended(struct rf_http_conn *c, int r)
{
	if (!c->req) {
		c->client.end = r == RF_E_EOF ? "closed by the client" : "the connection broke";
		return STEP_CLOSE;
	}
	c->client.end = "closed within the head of a request";
	return STEP_CLOSE;
}

static enum step rejected(struct rf_http_conn *c)
{
	struct request *q = c->req;
	enum rf_http_reject why = (enum rf_http_reject)q->scan.reject;
	q->reject = why;
	c->client.last = true;
	int status = rf_http_reject_status(why);
	if (why == RF_REJECT_HEAD_LENGTH)
		rf_count(RF_C_LIMIT_HEADER_BYTES);
	else if (why == RF_REJECT_HEADER_COUNT)
		rf_count(RF_C_LIMIT_HEADERS);
	if (why == RF_REJECT_NO_MEMORY)
		return refuse(c, 503, RF_REASON_MEMORY, rf_http_reject_sentence(why));
	return refuse(c, status, RF_REASON_MALFORMED, rf_http_reject_sentence(why));
}

/* More bytes; makes room for a head that is larger than a buffer of the pool. */
static ssize_t more(struct rf_http_conn *c)
{
	struct rf_http_edge *e = c->edge;
	ssize_t r = rf_inbuf_read(&c->client.in, &c->client.stream, e->bufs);
	if (r != RF_E_FULL || c->client.in.cap > e->conf.heads.head)
		return r;
	int g = rf_inbuf_grow(&c->client.in, e->bufs, e->conf.heads.head + RF_BUFPOOL_SIZE);
	return g ? g : rf_inbuf_read(&c->client.in, &c->client.stream, e->bufs);
}

static enum step whole(struct rf_http_conn *c)
{
	struct request *q = c->req;
	c->client.in.at += (uint32_t)q->head.size;
	c->client.in.floor = c->client.in.at;
	if (c->client.in.cap - c->client.in.floor < BODY_ROOM && c->client.in.cap == RF_BUFPOOL_SIZE) {
		/* Room for the body, without moving the head that was parsed: that is what the next read needs least of
		 * all, so one larger buffer is parsed again. */
		if (rf_inbuf_grow(&c->client.in, c->edge->bufs, 2 * RF_BUFPOOL_SIZE))
			return refuse(c, 503, RF_REASON_MEMORY, NULL);
		c->client.in.at -= (uint32_t)q->head.size;
		q->scan = (struct rf_http_scan){ 0 };
		if (rf_http_parse_request(&q->scan, rf_inbuf_str(&c->client.in), &c->edge->conf.heads, &q->arena, &q->head))
			return rejected(c);
		c->client.in.at = c->client.in.floor;
	}
	c->wait[0].what = WAIT_NONE;
	uint32_t most = c->edge->conf.requests_per_connection;
	/* What a client sends after it said "close" is no request [RFC 9112 9.6]. */
	bool full = most && c->requests >= most;
	if (full)
		rf_count(RF_C_LIMIT_REQUESTS_CONN);
	if (!c->req->head.keep_alive || c->client.front->draining || full)
		c->client.last = true;
	return STEP_IDENTIFY;
}

enum step step_head(struct rf_http_conn *c)
{
	if (!c->req && c->client.in.p)
		to_front(&c->client.in);
	for (;;) {
		if (c->client.in.at < c->client.in.end && !c->req) {
			c->req = request_new(c);
			if (!c->req)
				return STEP_CLOSE;
			c->wait[1].what = WAIT_NONE;
			wait_for(c, 0, WAIT_HEAD, c->head_ns ? c->head_ns : c->edge->conf.head_ns);
		}
		if (c->req) {
			struct request *q = c->req;
			int r = rf_http_parse_request(&q->scan, rf_inbuf_str(&c->client.in), &c->edge->conf.heads, &q->arena,
						      &q->head);
			if (r == RF_OK)
				return whole(c);
			if (r != RF_E_AGAIN)
				return rejected(c);
		}
		ssize_t r = more(c);
		if (r > 0)
			continue;
		if (r == RF_E_AGAIN)
			return c->req ? STEP_WAIT : idle(c);
		if (r == RF_E_NOMEM && c->req) {
			c->client.last = true;
			return refuse(c, 503, RF_REASON_MEMORY, NULL);
		}
		if (r == RF_E_FULL) {
			c->req->scan.reject = RF_REJECT_HEAD_LENGTH;
			return rejected(c);
		}
		return ended(c, (int)r);
	}
}
