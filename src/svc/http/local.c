/* svc/http/local: requests that the control thread answers: enrolment, revocation lists, health.
 *
 * Such a path is the same on every host. The body is collected (bounded), the request handed over with
 * all that the service may want to know, and its answer comes back as a message to this worker's loop.
 *
 *   collect -> local(arg, request) -> ... another thread ... -> rf_http_local_answer -> message -> ANSWER
 *
 * Invariant: between hand-over and message the object belongs to the service; `conn` is set to NULL if
 * the connection ends meanwhile, which only the worker's thread reads and writes. The texts in it are
 * copies.
 */
#include <stdlib.h>
#include "svc/http/conn.h"

bool local_path(const struct request *q)
{
	static const char *const prefixes[] = { "/.well-known/est/", "/.well-known/pki/" };
	for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
		if (rf_str_starts(q->head.path, rf_str_z(prefixes[i])))
			return true;
	return rf_str_eq(q->head.path, RF_STR("/healthz"));
}

static void local_free(struct rf_local_request *l)
{
	rf_buf_fini(&l->answer);
	rf_buf_fini(&l->headers);
	if (l->cert)
		rf_cert_put(l->cert);
	free(l->mem);
	free(l);
}

void local_gone(struct rf_http_conn *c)
{
	struct request *q = c->req;
	if (!q->q)
		return;
	if (q->q->answered)
		local_free(q->q);
	else
		q->q->conn = NULL;
	q->q = NULL;
}

static void answered(struct rf_loop *loop, struct rf_msg *m)
{
	struct rf_local_request *l = RF_CONTAINER(m, struct rf_local_request, msg);
	struct rf_http_conn *c = l->conn;
	(void)loop;
	struct rf_http_edge *e = l->edge;
	e->locals--;
	rf_front_let_go(e->front);
	if (!c) {
		local_free(l);
		return;
	}
	l->answered = true;
	conn_run(c);
}

void rf_http_local_answer(struct rf_local_request *l)
{
	l->msg.run = answered;
	rf_loop_post(l->loop, &l->msg);
}

static struct rf_str copy(char **at, struct rf_str s)
{
	struct rf_str d = { *at, s.n };
	if (s.n)
		memcpy(*at, s.p, s.n);
	(*at)[s.n] = '\0';
	*at += s.n + 1;
	return d;
}

/* The object that is handed over; NULL without memory. */
static struct rf_local_request *made(struct rf_http_conn *c, struct rf_str body)
{
	struct request *q = c->req;
	const struct rf_http_head *h = &q->head;
	const struct rf_tls_info *info = rf_client_tls(&c->client);
	struct rf_str in[] = { h->method_s, q->host, h->path, h->query, rf_http_value(h, RF_HDR_CONTENT_TYPE),
			       rf_http_value(h, RF_HDR_AUTHORIZATION), rf_http_value(h, RF_HDR_ACCEPT), body };
	struct rf_local_request *l = calloc(1, sizeof *l);
	struct rf_str *out[] = { &l->method, &l->host, &l->path, &l->query, &l->content_type, &l->authorization,
				 &l->accept, &l->body };
	size_t n = 0;
	for (size_t i = 0; i < sizeof in / sizeof *in; i++)
		n += in[i].n + 1;
	char *at = l ? malloc(n) : NULL;
	if (!at) {
		free(l);
		return NULL;
	}
	l->mem = at;
	for (size_t i = 0; i < sizeof in / sizeof *in; i++)
		*out[i] = copy(&at, in[i]);
	l->edge = c->edge;
	l->loop = c->edge->loop;
	l->conn = c;
	l->src = c->client.src;
	l->tls = c->client.tls;
	l->status = 500;
	l->answer_type = RF_STR("text/plain");
	if (info && info->peer) {
		l->cert = rf_cert_get(info->peer->cert);
		l->cert_verified = info->verified;
		l->cert_revoked = info->revoked;
		l->cert_trusted = info->roots != 0;
	}
	if (c->client.device)
		memcpy(l->device, rf_device_id(c->client.device), sizeof l->device);
	return l;
}

static enum step hand_over(struct rf_http_conn *c, struct rf_str body)
{
	struct request *q = c->req;
	struct rf_http_edge *e = c->edge;
	q->q = made(c, body);
	if (!q->q)
		return refuse(c, 503, RF_REASON_MEMORY, NULL);
	q->fup.done = true;
	wait_for(c, 0, WAIT_LOCAL, e->conf.local_ns);
	e->locals++;
	rf_front_hold(e->front);
	e->local(e->arg, q->q);
	return STEP_WAIT;
}

static enum step begin(struct rf_http_conn *c)
{
	static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct iovec v = { (void *)(uintptr_t)line, sizeof line - 1 };
	struct request *q = c->req;
	struct rf_http_edge *e = c->edge;
	q->local = true;
	if (!e->local)
		return refuse(c, 404, RF_REASON_NO_HOST, "there is no such service here");
	if (e->locals >= LOCALS_MAX)
		return refuse(c, 503, RF_REASON_OVERLOAD, NULL);
	const struct rf_tls_info *info = rf_client_tls(&c->client);
	if (info && info->early && rf_tls_settle(&c->client.stream)) /* never on what may be a replay */
		return refuse(c, 425, RF_REASON_MALFORMED, "early data is not taken here; send it again");
	if (q->head.body == RF_BODY_LENGTH && q->head.content_length > e->conf.local_body)
		return refuse(c, 413, RF_REASON_BODY_SIZE, NULL);
	rf_flow_init(&q->fup, &c->client.stream, &c->client.in, NULL, e->bufs, &q->arena);
	rf_flow_body(&q->fup, q->head.body, q->head.content_length, &e->conf.heads);
	q->fup.bound = e->conf.local_body;
	if (q->head.expect_continue && c->client.in.at == c->client.in.end && !q->fup.in_done) {
		q->expect_sent = true;
		if (rf_stream_write(&c->client.stream, &v, 1) != (ssize_t)v.iov_len)
			return STEP_CLOSE;
	}
	return STEP_WAIT;
}

enum step step_local(struct rf_http_conn *c)
{
	struct request *q = c->req;
	if (!q->local) {
		enum step s = begin(c);
		if (s != STEP_WAIT)
			return s;
	}
	if (q->q) {
		if (c->client.stream.hup)
			return STEP_CLOSE;
		return q->q->answered ? STEP_ANSWER : STEP_WAIT;
	}
	struct rf_str some;
	int r;
	while ((r = rf_flow_take(&q->fup, &some)) == RF_OK) {
		rf_buf_add(&q->local_body, some);
		if (q->local_body.bad)
			return refuse(c, 503, RF_REASON_MEMORY, NULL);
	}
	if (r == RF_E_EOF)
		return hand_over(c, rf_buf_str(&q->local_body));
	if (r != RF_E_AGAIN)
		return body_error(c, r);
	wait_while(c, 0, WAIT_BODY, c->edge->conf.body_ns, q->fup.body);
	return STEP_WAIT;
}
