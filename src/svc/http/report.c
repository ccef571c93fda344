/* svc/http/report: what is left of a request when it is over: one record, counters.
 *
 * The record borrows from the request, which is freed after it was emitted.
 */
#include "svc/http/conn.h"

enum { AGENT_MAX = 256, PIPELINE_RUN = 16 };

/* What request and connection have in common, as the app of the request accepts roots. */
static void common(struct rf_http_conn *c, struct rf_record *r)
{
	const struct request *q = c->req;
	const struct rf_app *app = q->app;
	rf_client_record(&c->client, q->snap ? q->snap : c->client.front->snap(), app ? app->roots : UINT64_MAX, r);
}

static bool refused(const struct request *q)
{
	return (q->refusal.set && !q->instead) || q->broken;
}

static void verdict(const struct request *q, struct rf_record *r)
{
	r->action = RF_STR("allow");
	if (refused(q)) {
		bool error = !strcmp(rf_reason_layer(q->refusal.reason), "origin") || q->broken;
		r->action = error ? RF_STR("error") : RF_STR("block");
		r->layer = rf_str_z(rf_reason_layer(q->refusal.reason));
		r->reason = rf_str_z(q->refusal.words);
	} else if (q->instead) {
		r->action = rf_str_z(rf_actions[q->rule->action].name);
		r->layer = RF_STR("rule");
	} else if (q->would) {
		r->action = RF_STR("log");
		r->layer = RF_STR("tls");
		r->reason = rf_str_z(q->would);
	} else if (q->logged.n) {
		r->action = RF_STR("log");
		r->layer = RF_STR("rule");
	} else if (q->conn->client.end && !q->answered) {
		r->action = RF_STR("error");
		r->layer = RF_STR("http");
		r->reason = rf_str_z(q->conn->client.end);
	}
	r->logged_rules = q->logged;
	if (q->rule) {
		r->rule_id = q->rule->id;
		r->rule_name = q->rule->description;
	}
}

static void use(const struct request *q, const struct rf_record *r)
{
	if (!q->conn->client.device)
		return;
	struct rf_device_use *u = rf_device_use(q->conn->client.device);
	atomic_store_explicit(&u->last_seen_s, (uint32_t)(q->wall / (int64_t)RF_NS_S), memory_order_relaxed);
	atomic_fetch_add_explicit(&u->requests_total, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&u->refused_total, refused(q), memory_order_relaxed);
	atomic_fetch_add_explicit(&u->bytes_in, r->bytes_in, memory_order_relaxed);
	atomic_fetch_add_explicit(&u->bytes_out, r->bytes_out, memory_order_relaxed);
}

/* A rule may want only some of what passes recorded; what was refused or went wrong always is. */
static bool sampled(struct rf_http_conn *c, struct rf_record *r)
{
	uint32_t n = c->req->sample;
	if (n <= 1 || !rf_str_eq(r->action, RF_STR("allow")))
		return true;
	r->sample = n;
	return rf_front_id(c->client.front) % n == 0;
}

static void report_request(struct rf_http_conn *c)
{
	struct request *q = c->req;
	struct rf_front *f = c->client.front;
	uint64_t took = conn_now(c) - q->began;
	char ray[17], session[17];
	struct rf_record r = { .kind = RF_REC_REQUEST, .at = q->wall };
	common(c, &r);
	verdict(q, &r);
	if (q->snap && r.cert_status.n) {
		r.cert_status = rf_str_z(q->cert_status);
		r.cert_reason = q->cert_reason[0] ? rf_str_z(q->cert_reason) : r.cert_reason;
	}
	r.ray = rf_front_id_text(q->ray, ray);
	r.session = rf_front_id_text(c->client.id, session);
	r.host = q->host;
	r.method = q->head.method_s;
	r.path = q->snap ? q->path : (struct rf_str){ 0 };
	r.status = q->status;
	r.origin_status = q->origin_status;
	r.origin = q->origin_url;
	r.origin_ahead = q->ahead;
	r.bytes_in = q->head.size + q->fup.body;
	r.bytes_out = c->client.stream.app_out - q->out_at;
	r.duration_us = took / RF_NS_US;
	r.origin_us = q->origin_ns / RF_NS_US;
	r.user_agent = q->agent.p ? q->agent : q->snap ? rf_http_value(&q->head, RF_HDR_USER_AGENT) : (struct rf_str){ 0 };
	r.user_agent.n = r.user_agent.n > AGENT_MAX ? AGENT_MAX : r.user_agent.n;
	rf_count_status(q->status);
	rf_observe(RF_H_REQUEST, took);
	rf_count_n(RF_C_BYTES_IN, r.bytes_in);
	rf_count_n(RF_C_BYTES_OUT, r.bytes_out);
	use(q, &r);
	flood_end(c, &r);
	if (f->emit && sampled(c, &r))
		f->emit(f->arg, &r);
	if (q->sampled)
		sample_give(c, &r);
}

enum step step_record(struct rf_http_conn *c)
{
	bool answered = c->req->answered;
	judge_counts(c);
	report_request(c);
	if (c->req->app) {
		c->idle_ns = c->req->app->idle_timeout_ns;
		c->head_ns = c->req->app->header_timeout_ns;
	}
	request_free(c->req);
	c->wait[0].what = c->wait[1].what = WAIT_NONE;
	if (c->client.front->draining)
		c->client.last = true;
	if (c->client.last || c->client.stream.hup) {
		if (!c->client.end)
			c->client.end = "closed after the answer";
		return answered && !c->client.stream.hup ? STEP_LINGER : STEP_CLOSE;
	}
	if (c->client.in.at < c->client.in.end && c->requests % PIPELINE_RUN == 0) { /* let others run */
		c->step = STEP_HEAD;
		rf_client_later(&c->client);
		return STEP_WAIT;
	}
	return STEP_HEAD;
}
