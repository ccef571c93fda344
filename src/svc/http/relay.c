/* svc/http/relay: the request flows to the origin, its answer to the client, each as fast as the
 * slower side.
 *
 *   fup:   client -> origin   begins with the head that we made
 *   fdown: origin -> client   interim answers one by one, then the final head with the first bytes of its body
 *
 * An origin may answer before it has read the request: then the answer is passed on, and both
 * connections end after it unless the request turns out to be complete. An answer that breaks off ends
 * the client's connection without the end of the body, so that the client can tell [RFC 9112 8]. A
 * tunnel (101) is the same two flows without framing; either side may end first.
 *
 * Invariant: q->answered is set before the first byte of a final answer is written; after that nothing
 * but this answer is ever written for the request.
 */
#include "svc/http/lane.h"

enum { INTERIMS = 32, COMPRESS_LEAST = 256 };

static enum step broken(struct rf_http_conn *c, enum rf_reason reason, const char *words)
{
	struct request *q = c->req;
	c->client.end = words;
	q->refusal.reason = reason;
	q->refusal.words = words;
	q->broken = true;
	return STEP_CLOSE;
}

/* The client has broken its direction, or framed its body badly. */
static enum step client_failed(struct rf_http_conn *c, int r)
{
	struct request *q = c->req;
	upstream_drop(q, false);
	if (q->answered)
		return broken(c, RF_REASON_MALFORMED, "the request broke off while it was answered");
	return body_error(c, r);
}

/* STEP_WAIT: go on with the other direction. */
static enum step pump_up(struct rf_http_conn *c)
{
	struct request *q = c->req;
	struct rf_flow *f = &q->fup;
	if (f->done || q->origin_deaf)
		return STEP_WAIT;
	int r = rf_flow_pump(f);
	if (r == RF_OK) {
		q->sent_at = conn_now(c);
		if (q->upgraded)
			rf_stream_shutdown(&q->up->stream);
		return STEP_WAIT;
	}
	if (r == RF_E_AGAIN)
		return STEP_WAIT;
	if (f->broken == RF_FLOW_TO) { /* its answer may be on the way nevertheless [RFC 9112 9.5] */
		q->origin_deaf = true;
		return STEP_WAIT;
	}
	if (q->upgraded)
		return broken(c, RF_REASON_MALFORMED, "the client broke the upgraded connection");
	return client_failed(c, r);
}

static uint64_t rate_time(const struct rf_http_conn *c, const struct request *q)
{
	uint32_t rate = q->app->min_body_rate ? q->app->min_body_rate : c->edge->conf.min_body_rate;
	if (!rate)
		return UINT64_MAX;
	/* When the sender will have fallen behind, if nothing more comes: a grace, then a second for each `rate` bytes. */
	return q->body_since + 5 * RF_NS_S + (q->fup.body / rate + 1) * RF_NS_S;
}

static uint64_t app_time(uint64_t app, uint64_t edge)
{
	return app ? app : edge;
}

void wait_body(struct rf_http_conn *c)
{
	struct request *q = c->req;
	wait_while(c, 0, WAIT_BODY, app_time(q->app->body_timeout_ns, c->edge->conf.body_ns), q->fup.body);
	uint64_t late = rate_time(c, q), now = conn_now(c);
	if (late < c->wait[0].until)
		wait_for(c, 0, WAIT_BODY, late > now ? late - now : 0);
	c->wait[0].seen = q->fup.body;
}

static void wait_up(struct rf_http_conn *c)
{
	struct request *q = c->req;
	const struct rf_http_conf *k = &c->edge->conf;
	if (q->fup.done || q->origin_deaf) {
		c->wait[0].what = WAIT_NONE;
	} else if (q->upgraded) {
		uint64_t moved = q->fup.wrote + q->fdown.wrote;
		wait_while(c, 0, WAIT_TUNNEL, k->tunnel_ns, moved);
	} else if (q->fup.stuck) {
		wait_while(c, 0, WAIT_WRITE_ORIGIN, app_time(q->app->response_timeout_ns, k->response_ns), q->fup.wrote);
	} else {
		wait_body(c);
	}
}

static void wait_down(struct rf_http_conn *c)
{
	struct request *q = c->req;
	const struct rf_http_conf *k = &c->edge->conf;
	uint64_t response = app_time(q->app->response_timeout_ns, k->response_ns);
	if (q->upgraded)
		c->wait[1].what = WAIT_NONE;
	else if ((q->answered || q->interim) && q->fdown.stuck)
		wait_while(c, 1, WAIT_WRITE, k->write_ns, q->fdown.wrote);
	else if (q->answered)
		wait_while(c, 1, WAIT_RESPONSE_BODY, response, q->fdown.body);
	else if (q->fup.done || q->origin_deaf)
		wait_while(c, 1, WAIT_RESPONSE, response, q->interims);
	else
		c->wait[1].what = WAIT_NONE;
}

/* Has a page of another site asked for this? Then the length of a compressed answer could tell it what a secret in the
 * answer is (BREACH). Devices send no Referer. */
static bool from_elsewhere(const struct request *q)
{
	struct rf_str r = rf_http_value(&q->head, RF_HDR_REFERER);
	if (!r.n)
		return false;
	r = rf_str_skip(r, rf_str_search(r, RF_STR("://")));
	r = rf_str_skip(r, 3);
	size_t n = q->host.n;
	return !(r.n >= n && rf_str_ieq((struct rf_str){ r.p, n }, q->host) && (r.n == n || r.p[n] == '/' || r.p[n] == ':'));
}

/* May it be changed at all [RFC 9110 8.4, 7.7]? */
static bool may_code(const struct request *q)
{
	const struct rf_http_head *h = &q->answer;
	struct rf_str control = rf_http_value(h, RF_HDR_CACHE_CONTROL);
	return !from_elsewhere(q) && q->head.method != RF_HTTP_HEAD && h->status == 200 && h->body != RF_BODY_NONE &&
	       !h->first[RF_HDR_CONTENT_ENCODING] && !h->first[RF_HDR_CONTENT_RANGE] &&
	       rf_str_search(control, RF_STR("no-transform")) == control.n;
}

/* What the app, or a rule's setting, makes of it where no rule chooses: is it worth compressing? */
static enum rf_coding coding_default(const struct request *q)
{
	const struct rf_http_head *h = &q->answer;
	bool wanted = q->compress < 0 ? q->app->compress : q->compress;
	if (!wanted || (h->body == RF_BODY_LENGTH && h->content_length < COMPRESS_LEAST) ||
	    !rf_coding_worth(rf_http_value(h, RF_HDR_CONTENT_TYPE)))
		return RF_CODING_NONE;
	return rf_coding_accepted(&q->head);
}

static enum rf_coding coding_for(const struct request *q, const struct rf_algorithms *chosen)
{
	static const enum rf_coding codings[] = { [RF_ALG_GZIP] = RF_CODING_GZIP, [RF_ALG_BROTLI] = RF_CODING_BROTLI,
		[RF_ALG_ZSTD] = RF_CODING_ZSTD };
	if (!may_code(q))
		return RF_CODING_NONE;
	for (unsigned i = 0; chosen && i < chosen->n; i++) {
		if (chosen->v[i] == RF_ALG_NONE)
			return RF_CODING_NONE;
		if (chosen->v[i] == RF_ALG_DEFAULT)
			return coding_default(q);
		if (chosen->v[i] == RF_ALG_AUTO)
			return rf_coding_accepted(&q->head);
		if (rf_coding_takes(&q->head, codings[chosen->v[i]]))
			return codings[chosen->v[i]];
	}
	return chosen ? RF_CODING_NONE : coding_default(q);
}

/* The head stays readable for the record although its buffer is about to be used for other bytes. */
static void detach_head(struct rf_http_conn *c)
{
	struct request *q = c->req;
	struct rf_http_head *h = &q->head;
	q->agent = rf_arena_dup(&q->arena, rf_http_value(h, RF_HDR_USER_AGENT));
	h->method_s = rf_arena_dup(&q->arena, h->method_s);
	q->path = rf_arena_dup(&q->arena, q->path);
	h->count = 0;
	memset(h->first, 0, sizeof h->first);
	c->client.in.floor = 0;
}

static enum step start_tunnel(struct rf_http_conn *c)
{
	struct request *q = c->req;
	struct rf_http_edge *e = c->edge;
	if (q->head.upgrade != RF_UPGRADE_WEBSOCKET || q->answer.body != RF_BODY_TUNNEL)
		return origin_failed(c, 502, RF_REASON_ORIGIN_MALFORMED, "the origin switches protocols unasked", false);
	const struct rf_verdict *v;
	q->origin_status = 101;
	enum step s = judge_answer(c, &v);
	if (s != STEP_WAIT)
		return s;
	q->upgraded = true;
	struct rf_str head = headers_answer(q, &q->answer, true, false, RF_CODING_NONE, v);
	if (!head.p)
		return refuse(c, 503, RF_REASON_MEMORY, NULL);
	q->answered = true;
	q->status = 101;
	c->client.last = true;
	rf_count(RF_C_UPGRADES);
	detach_head(c);
	rf_flow_init(&q->fdown, &q->up->stream, &q->oin, &c->client.stream, e->bufs, &q->arena);
	rf_flow_body(&q->fdown, RF_BODY_TUNNEL, 0, &e->conf.heads);
	rf_flow_head(&q->fdown, head, RF_STR(""));
	rf_flow_fini(&q->fup);
	rf_flow_init(&q->fup, &c->client.stream, &c->client.in, &q->up->stream, e->bufs, &q->arena);
	rf_flow_body(&q->fup, RF_BODY_TUNNEL, 0, &e->conf.heads);
	return STEP_WAIT;
}

static enum step start_interim(struct rf_http_conn *c)
{
	struct request *q = c->req;
	if (++q->interims > INTERIMS)
		return origin_failed(c, 502, RF_REASON_ORIGIN_MALFORMED, "the origin sends interim answers without end", false);
	q->oscan = (struct rf_http_scan){ 0 };
	if (!q->head.minor || q->expect_sent) /* [RFC 9110 15.2] */
		return STEP_WAIT;
	struct rf_str head = headers_answer(q, &q->answer, true, false, RF_CODING_NONE, NULL);
	if (!head.p)
		return refuse(c, 503, RF_REASON_MEMORY, NULL);
	rf_flow_init(&q->fdown, &q->up->stream, &q->oin, &c->client.stream, c->edge->bufs, &q->arena);
	rf_flow_body(&q->fdown, RF_BODY_NONE, 0, &c->edge->conf.heads);
	rf_flow_head(&q->fdown, head, RF_STR(""));
	q->interim = true;
	return STEP_WAIT;
}

static enum step start_answer(struct rf_http_conn *c)
{
	struct request *q = c->req;
	struct rf_http_head *h = &q->answer;
	struct rf_flow *f = &q->fdown;
	const struct rf_verdict *v;
	q->origin_status = q->status = h->status;
	q->origin_ns = conn_now(c) - q->sent_at;
	rf_observe(RF_H_ORIGIN, q->origin_ns);
	rf_origin_report(q->origin, h->status < 502 || h->status > 504, conn_now(c));
	enum step s = judge_answer(c, &v);
	if (s != STEP_WAIT)
		return s;
	enum rf_coding coding = coding_for(q, v ? v->algorithms : NULL);
	bool framed = h->body == RF_BODY_CHUNKED || h->body == RF_BODY_CLOSE || coding;
	rf_flow_init(f, &q->up->stream, &q->oin, &c->client.stream, c->edge->bufs, &q->arena);
	rf_flow_body(f, h->body, h->content_length, &c->edge->conf.heads);
	f->chunk = framed && q->head.minor;
	f->trailers = q->head.te_trailers;
	if ((framed && !f->chunk) || (!q->fup.in_done && h->status >= 400))
		c->client.last = true;
	if (coding)
		f->codec = rf_codec_encoder(coding);
	struct rf_str head = !coding || f->codec ? headers_answer(q, h, false, f->chunk || coding, coding, v)
						 : (struct rf_str){ 0 };
	if (!head.p)
		return refuse(c, 503, RF_REASON_MEMORY, NULL);
	rf_flow_head(f, head, RF_STR(""));
	q->answered = true;
	return STEP_WAIT;
}

/* The origin's connection ended or broke before the head was whole. */
static enum step no_head(struct rf_http_conn *c, int r)
{
	struct request *q = c->req;
	bool silent = q->oin.end == q->oin.at && !q->interims;
	if (r == RF_E_NOMEM)
		return refuse(c, 503, RF_REASON_MEMORY, NULL);
	if (r == RF_E_FULL)
		return origin_failed(c, 502, RF_REASON_ORIGIN_MALFORMED, "the head of the origin's answer is too large", false);
	return origin_failed(c, 502, RF_REASON_ORIGIN_CLOSED,
			     silent ? "the origin closed the connection without an answer"
				    : "the origin closed the connection within its answer", silent);
}

static ssize_t more_head(struct rf_http_conn *c)
{
	struct request *q = c->req;
	uint32_t most = c->edge->conf.heads.head;
	ssize_t r = rf_inbuf_read(&q->oin, &q->up->stream, c->edge->bufs);
	if (r != RF_E_FULL || q->oin.cap > most)
		return r;
	int g = rf_inbuf_grow(&q->oin, c->edge->bufs, most + RF_BUFPOOL_SIZE);
	return g ? g : rf_inbuf_read(&q->oin, &q->up->stream, c->edge->bufs);
}

/* Read the next head of the origin. STEP_WAIT: none yet, or q->interim or q->answered is set. */
static enum step read_head(struct rf_http_conn *c)
{
	struct request *q = c->req;
	for (;;) {
		int r = q->oin.at < q->oin.end
			? rf_http_parse_response(&q->oscan, rf_inbuf_str(&q->oin), &c->edge->conf.heads, &q->arena,
						 q->head.method, &q->answer)
			: RF_E_AGAIN;
		if (r == RF_OK)
			break;
		if (r != RF_E_AGAIN) {
			q->reject = (enum rf_http_reject)q->oscan.reject;
			return origin_failed(c, 502, RF_REASON_ORIGIN_MALFORMED, rf_http_reject_sentence(q->reject), false);
		}
		ssize_t n = more_head(c);
		if (n == RF_E_AGAIN)
			return STEP_WAIT;
		if (n < 0)
			return no_head(c, (int)n);
	}
	q->oin.at += (uint32_t)q->answer.size;
	if (q->answer.status == 101)
		return start_tunnel(c);
	return q->answer.status < 200 ? start_interim(c) : start_answer(c);
}

/* The answer is out. The connection to the origin is kept only if nothing about it is in doubt. */
static enum step finished(struct rf_http_conn *c)
{
	struct request *q = c->req;
	bool whole = q->fup.done && !q->upgraded;
	bool excess = q->oin.at < q->oin.end && !q->lane;
	if (!whole)
		c->client.last = true;
	upstream_drop(q, whole && !excess && q->answer.keep_alive && q->answer.body != RF_BODY_CLOSE);
	return STEP_RECORD;
}

static enum step origin_broke(struct rf_http_conn *c, int r)
{
	struct request *q = c->req;
	if (q->fdown.broken == RF_FLOW_TO)
		return broken(c, RF_REASON_SLOW, "the client went away within its answer");
	if (q->upgraded)
		return broken(c, RF_REASON_ORIGIN_CLOSED, "the origin broke the upgraded connection");
	rf_origin_report(q->origin, false, conn_now(c));
	if (r == RF_E_INVALID)
		lane_distrust(q);
	upstream_drop(q, false);
	if (r == RF_E_INVALID && q->fdown.chunked.reject)
		q->reject = (enum rf_http_reject)q->fdown.chunked.reject;
	return broken(c, r == RF_E_INVALID ? RF_REASON_ORIGIN_MALFORMED : RF_REASON_ORIGIN_CLOSED,
		      r == RF_E_INVALID ? "the body of the origin's answer is not well-formed"
					: "the origin closed the connection within its answer");
}

/* STEP_WAIT: waits. */
static enum step pump_down(struct rf_http_conn *c)
{
	struct request *q = c->req;
	for (;;) {
		if (!q->answered && !q->interim) {
			unsigned before = q->interims;
			enum step s = read_head(c);
			if (s != STEP_WAIT)
				return s;
			if (!q->answered && !q->interim && q->interims == before)
				return STEP_WAIT;
			continue;
		}
		if (q->fdown.done)
			return STEP_WAIT;
		int r = rf_flow_pump(&q->fdown);
		if (r == RF_E_AGAIN)
			return STEP_WAIT;
		if (r)
			return origin_broke(c, r);
		if (!q->interim)
			break;
		q->interim = false;
	}
	if (!q->upgraded)
		return finished(c);
	rf_stream_shutdown(&c->client.stream);
	return STEP_WAIT;
}

void relay_begins(struct rf_http_conn *c)
{
	c->step = STEP_RELAY;
	wait_up(c);
	wait_down(c);
}

enum step step_relay(struct rf_http_conn *c)
{
	struct request *q = c->req;
	if (c->client.stream.hup && !q->fdown.done) {
		upstream_leave(q);
		return broken(c, RF_REASON_SLOW, "the client went away");
	}
	enum step s = pump_up(c);
	if (s == STEP_WAIT)
		s = pump_down(c);
	if (s != STEP_WAIT)
		return s;
	if (q->upgraded && !q->fup.done) {
		s = pump_up(c); /* bytes that came behind the request */
		if (s != STEP_WAIT)
			return s;
	}
	if (q->upgraded && q->fup.done && q->fdown.done)
		return finished(c);
	if (q->fup.more || q->fdown.more)
		rf_client_later(&c->client);
	wait_up(c);
	wait_down(c);
	return STEP_WAIT;
}
