/* svc/http/answer: answers of the edge itself, and the end of a connection in good order.
 *
 * A refusal becomes an answer: of the rule that blocked, of the operator for this host, or the
 * built-in one, as JSON or HTML by Accept. What is left of the request's body is read and thrown away
 * if it is small, so that the connection, and its TLS session, can go on; else the connection ends
 * after the answer, and lingers so that the answer arrives [RFC 9112 9.6].
 */
#include <stdio.h>
#include "svc/http/conn.h"
#include "wire/accept.h"
#include "wire/date.h"

enum { DRAIN_MAX = 64 * 1024, LINGER_MAX = 256 * 1024 };

struct text {
	int status;
	const char *phrase;
	unsigned code; /* in the JSON of the built-in body */
};

static const struct text texts[] = {
	{ 400, "Bad Request", 1400 }, { 401, "Unauthorized", 1401 }, { 403, "Forbidden", 1403 },
	{ 404, "Not Found", 1404 }, { 405, "Method Not Allowed", 1405 }, { 408, "Request Timeout", 1408 },
	{ 413, "Content Too Large", 1413 }, { 414, "URI Too Long", 1414 }, { 415, "Unsupported Media Type", 1415 },
	{ 417, "Expectation Failed", 1417 }, { 421, "Misdirected Request", 1421 }, { 425, "Too Early", 1425 },
	{ 429, "Too Many Requests", 1429 }, { 431, "Request Header Fields Too Large", 1431 },
	{ 501, "Not Implemented", 1501 }, { 502, "Bad Gateway", 1502 }, { 503, "Service Unavailable", 1503 },
	{ 504, "Gateway Timeout", 1504 }, { 505, "HTTP Version Not Supported", 1505 },
};

static const char *phrase(int status)
{
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (texts[i].status == status)
			return texts[i].phrase;
	return status < 300 ? "OK" : status < 400 ? "Redirect" : status < 500 ? "Refused" : "Error";
}

/* Words go into HTML and JSON, both without bytes that mean something there: ours and the table's have none. */
static struct rf_str builtin(struct request *q, bool html)
{
	const struct refusal *r = &q->refusal;
	unsigned long long ray = q->ray;
	if (!html)
		return rf_arena_printf(&q->arena, "{\"success\":false,\"errors\":[{\"code\":%d,\"message\":\"%s\"}],"
				       "\"messages\":[],\"result\":null,\"ray\":\"%016llx\"}\n", 1000 + r->status, r->words, ray);
	return rf_arena_printf(&q->arena, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>%d %s</title>"
			       "</head>\n<body><h1>%s</h1><p>%s.</p><p><small>%016llx</small></p></body></html>\n",
			       r->status, phrase(r->status), phrase(r->status), r->words, ray);
}

struct content {
	struct rf_str type, bytes;
};

static struct content content_of(struct request *q)
{
	static const char *const types[] = { "application/json", "text/html" };
	const struct refusal *r = &q->refusal;
	if (q->location.n)
		return (struct content){ RF_STR("text/plain"), RF_STR("") };
	if (r->response)
		return (struct content){ r->response->content_type, r->response->content };
	struct rf_str accept = q->snap ? rf_http_value(&q->head, RF_HDR_ACCEPT) : (struct rf_str){ 0 };
	bool html = rf_accept_type(accept, types, 2) == 1;
	const struct rf_error_body *own = r->body ? r->body : q->app ? &q->app->error_body : NULL;
	if (own && own->html.n && (html || !own->json.n))
		return (struct content){ RF_STR("text/html; charset=utf-8"), own->html };
	if (own && own->json.n)
		return (struct content){ RF_STR("application/json"), own->json };
	return (struct content){ html ? RF_STR("text/html; charset=utf-8") : RF_STR("application/json"), builtin(q, html) };
}

static struct rf_str head(struct rf_http_conn *c, int status, const struct content *body, struct rf_str more)
{
	struct request *q = c->req;
	char date[RF_HTTP_DATE_SIZE];
	const char *allow = status == 405 && q->refusal.set ? "Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH\r\n" : "";
	struct rf_str retry = q->retry_after ? rf_arena_printf(&q->arena, "Retry-After: %u\r\n", q->retry_after) : RF_STR("");
	bool old = q->snap && !q->head.minor;
	const char *conn = c->client.last ? "Connection: close\r\n" : old ? "Connection: keep-alive\r\n" : "";
	return rf_arena_printf(&q->arena,
		"HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: %.*s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n"
		"X-Request-Id: %016llx\r\n%s%.*s%.*s%s\r\n",
		status, phrase(status), rf_http_date(q->wall / (int64_t)RF_NS_S, date), RF_ARG(body->type), body->bytes.n,
		(unsigned long long)q->ray, allow, RF_ARG(retry), RF_ARG(more), conn);
}

static bool head_only(const struct request *q)
{
	return q->head.method == RF_HTTP_HEAD && q->snap;
}

/* The whole answer in one piece, in the request's arena. */
static struct rf_str compose(struct rf_http_conn *c, int status, struct content body)
{
	struct request *q = c->req;
	struct rf_str to = q->location.n ? rf_arena_printf(&q->arena, "Location: %.*s\r\n", RF_ARG(q->location)) : RF_STR("");
	struct rf_str h = to.p ? head(c, status, &body, to) : to;
	size_t n = head_only(q) ? 0 : body.bytes.n;
	char *all = h.p ? rf_arena_array(&q->arena, h.n + n, 1) : NULL;
	if (!all)
		return (struct rf_str){ NULL, 0 };
	memcpy(all, h.p, h.n);
	if (n)
		memcpy(all + h.n, body.bytes.p, n);
	return (struct rf_str){ all, h.n + n };
}

/* The local service's answer, which may be larger than a request's memory: it stays in its own. */
static struct rf_str compose_local(struct rf_http_conn *c)
{
	struct request *q = c->req;
	struct rf_local_request *l = q->q;
	struct content body = { l->answer_type, rf_buf_str(&l->answer) };
	struct rf_str h = head(c, l->status, &body, rf_buf_str(&l->headers));
	rf_buf_clear(&l->headers);
	rf_buf_add(&l->headers, h);
	if (!head_only(q))
		rf_buf_add(&l->headers, body.bytes);
	return h.p && !l->headers.bad ? rf_buf_str(&l->headers) : (struct rf_str){ NULL, 0 };
}

/* Can what is left of the body be read away? Not where the client waits to be told to send it. */
static bool body_small(const struct request *q)
{
	const struct rf_http_head *h = &q->head;
	if (!q->snap)
		return false;
	if (h->expect_continue && !q->expect_sent && !q->fup.aged)
		return false;
	return h->body == RF_BODY_NONE || h->body == RF_BODY_CHUNKED ||
	       (h->body == RF_BODY_LENGTH && h->content_length <= DRAIN_MAX);
}

/* The request ends here: nothing more of it goes to the origin, nothing more comes from there. */
static enum step stop(struct rf_http_conn *c)
{
	struct request *q = c->req;
	struct refusal *r = &q->refusal;
	r->set = true;
	c->wait[0].what = c->wait[1].what = WAIT_NONE;
	upstream_leave(q);
	rf_pool_unqueue(&q->queue);
	q->queued = false;
	if (q->local)
		local_gone(c);
	if (!r->status || q->answered || q->interim) { /* too late for an answer: the client must see that it broke off */
		q->broken = true;
		c->client.end = r->words;
		return STEP_CLOSE;
	}
	return STEP_ANSWER;
}

enum step refuse(struct rf_http_conn *c, int status, enum rf_reason reason, const char *words)
{
	struct refusal *r = &c->req->refusal;
	r->status = status;
	r->reason = reason;
	r->words = words ? words : rf_reason_words(reason);
	rf_count_refused(reason, false);
	if (reason == RF_REASON_BODY_SIZE)
		rf_count(RF_C_LIMIT_BODY);
	else if (reason == RF_REASON_MEMORY)
		rf_count(RF_C_LIMIT_REQUEST_MEMORY);
	return stop(c);
}

enum step answer_instead(struct rf_http_conn *c, int status, struct rf_str location, const struct rf_response *response)
{
	struct request *q = c->req;
	q->instead = true;
	q->location = location;
	q->refusal.status = status;
	q->refusal.words = "a rule has answered";
	q->refusal.response = response;
	return stop(c);
}

/* The flow that reads away what is left of the body, through whatever has been taken of it already. */
static void lay_drain(struct rf_http_conn *c)
{
	struct request *q = c->req;
	struct rf_flow *f = &q->fup;
	if (!f->from) {
		rf_flow_init(f, &c->client.stream, &c->client.in, NULL, c->edge->bufs, &q->arena);
		rf_flow_body(f, q->head.body, q->head.content_length, &c->edge->conf.heads);
	}
	rf_flow_fini(f);
	f->to = NULL;
	f->bound = 0;
	f->trailers = false;
	f->span.n = 0;
}

static enum step lay_answer(struct rf_http_conn *c)
{
	struct request *q = c->req;
	if (q->refusal.set) {
		if (!body_small(q))
			c->client.last = true;
		q->status = (uint16_t)q->refusal.status;
		q->out = compose(c, q->refusal.status, content_of(q));
	} else { /* of the local service */
		q->status = (uint16_t)q->q->status;
		q->out = compose_local(c);
	}
	if (!q->out.p) {
		c->client.end = "no memory for an answer";
		return STEP_CLOSE;
	}
	q->answered = true;
	if (!c->client.last || q->snap)
		lay_drain(c);
	return STEP_WAIT;
}

static int write_out(struct rf_http_conn *c)
{
	struct request *q = c->req;
	while (q->out.n) {
		struct iovec v = { (void *)(uintptr_t)q->out.p, q->out.n };
		ssize_t r = rf_stream_write(&c->client.stream, &v, 1);
		if (r < 0)
			return (int)r;
		q->out = rf_str_skip(q->out, (size_t)r);
	}
	return RF_OK;
}

static enum step drain(struct rf_http_conn *c)
{
	struct request *q = c->req;
	struct rf_str some;
	int r = RF_OK;
	while (r == RF_OK && q->fup.body <= DRAIN_MAX)
		r = rf_flow_take(&q->fup, &some);
	if (r == RF_E_EOF)
		return STEP_RECORD;
	if (r == RF_E_AGAIN) {
		wait_while(c, 0, WAIT_BODY, c->edge->conf.body_ns, q->fup.body);
		return STEP_WAIT;
	}
	c->client.last = true; /* too much, or broken */
	return STEP_RECORD;
}

enum step step_answer(struct rf_http_conn *c)
{
	struct request *q = c->req;
	if (!q->answered) {
		enum step s = lay_answer(c);
		if (s != STEP_WAIT)
			return s;
	}
	int r = write_out(c);
	if (r == RF_E_AGAIN) {
		wait_while(c, 1, WAIT_WRITE, c->edge->conf.write_ns, c->client.stream.app_out);
		return STEP_WAIT;
	}
	c->wait[1].what = WAIT_NONE;
	if (r) {
		c->client.end = "the client went away before its answer";
		return STEP_CLOSE;
	}
	return c->client.last ? STEP_RECORD : drain(c);
}

enum step step_linger(struct rf_http_conn *c)
{
	char away[4096];
	if (c->wait[0].what != WAIT_LINGER) {
		rf_stream_shutdown(&c->client.stream);
		wait_for(c, 0, WAIT_LINGER, c->edge->conf.linger_ns);
		c->wait[1].what = WAIT_NONE;
		rf_inbuf_drop(&c->client.in, c->edge->bufs);
	}
	for (;;) {
		ssize_t r = rf_stream_read(&c->client.stream, away, sizeof away);
		if (r == RF_E_AGAIN)
			return STEP_WAIT;
		if (r < 0 || (c->lingered += (uint32_t)r) > LINGER_MAX)
			return STEP_CLOSE;
	}
}
