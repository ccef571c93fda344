/* svc/http/report: what is left of a request or a connection when it is over: one record, counters.
 *
 * The record borrows from the request, which is freed after it was emitted.
 */
#include "svc/http/conn.h"

enum { AGENT_MAX = 256, PIPELINE_RUN = 16 };

static void emit(struct rf_http_edge *e, const struct rf_record *rec)
{
	if (e->emit)
		e->emit(e->arg, rec);
}

/* What request and connection have in common. */
static void common(struct rf_http_conn *c, struct rf_record *r)
{
	const struct rf_tls_info *info = rf_tls_info(&c->stream); /* also of a handshake that was refused: who it was */
	r->src = c->src;
	r->src_port = c->src_port;
	r->dst = c->dst;
	r->dst_port = c->dst_port;
	r->cert_status = RF_STR("none");
	if (c->device) {
		const struct rf_snap *s = c->req && c->req->snap ? c->req->snap : c->edge->snap();
		const struct rf_class *class = who_class(c, s);
		r->device = rf_str_z(rf_device_id(c->device));
		r->device_name = rf_device_text(c->device)->name;
		r->class_name = class ? class->name : RF_STR("");
	}
	if (!info)
		return;
	r->sni = rf_str_z(info->sni);
	r->tls_version = rf_str_z(info->version);
	r->tls_cipher = rf_str_z(info->cipher);
	r->tls_resumed = info->resumed;
	if (!info->peer)
		return;
	r->cert_status = info->revoked && info->verified ? RF_STR("revoked") :
		info->status == RF_CERT_VALID ? RF_STR("valid") : RF_STR("invalid");
	/* A list that is stale and let pass is told where the host accepts that root. */
	const struct rf_app *app = c->req ? c->req->app : NULL;
	bool let_pass = info->stale_roots & info->roots & (app ? app->roots : UINT64_MAX);
	r->cert_reason = rf_str_z(info->reason[0] ? info->reason : let_pass ? info->stale : "");
	r->cert_ski = rf_str_z(info->peer->cert->ski);
	r->cert_serial = rf_str_z(info->peer->cert->serial);
	r->cert_subject = info->peer->subject;
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
	} else if (q->conn->end && !q->answered) {
		r->action = RF_STR("error");
		r->layer = RF_STR("http");
		r->reason = rf_str_z(q->conn->end);
	}
	r->logged_rules = q->logged;
	if (q->rule) {
		r->rule_id = q->rule->id;
		r->rule_name = q->rule->description;
	}
}

static void use(const struct request *q, const struct rf_record *r)
{
	if (!q->conn->device)
		return;
	struct rf_device_use *u = rf_device_use(q->conn->device);
	atomic_store_explicit(&u->last_seen_s, q->wall / (int64_t)RF_NS_S, memory_order_relaxed);
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
	return edge_id(c->edge) % n == 0;
}

static void report_request(struct rf_http_conn *c)
{
	struct request *q = c->req;
	struct rf_http_edge *e = c->edge;
	uint64_t took = conn_now(c) - q->began;
	char ray[17], session[17];
	struct rf_record r = { .kind = RF_REC_REQUEST, .at = q->wall };
	common(c, &r);
	verdict(q, &r);
	if (q->snap && r.cert_status.n) {
		r.cert_status = rf_str_z(q->cert_status);
		r.cert_reason = q->cert_reason[0] ? rf_str_z(q->cert_reason) : r.cert_reason;
	}
	r.ray = edge_id_text(q->ray, ray);
	r.session = edge_id_text(c->id, session);
	r.host = q->host;
	r.method = q->head.method_s;
	r.path = q->snap ? q->path : (struct rf_str){ 0 };
	r.status = q->status;
	r.origin_status = q->origin_status;
	r.origin = q->origin_url;
	r.bytes_in = q->head.size + q->fup.body;
	r.bytes_out = c->stream.app_out - q->out_at;
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
	if (sampled(c, &r))
		emit(e, &r);
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
	if (c->edge->draining)
		c->last = true;
	if (c->last || c->stream.hup) {
		if (!c->end)
			c->end = "closed after the answer";
		return answered && !c->stream.hup ? STEP_LINGER : STEP_CLOSE;
	}
	if (c->in.at < c->in.end && c->requests % PIPELINE_RUN == 0) { /* let others run */
		c->step = STEP_HEAD;
		hello_queue(c);
		return STEP_WAIT;
	}
	return STEP_HEAD;
}

void report_conn(struct rf_http_conn *c)
{
	struct rf_http_edge *e = c->edge;
	char session[17];
	const struct rf_tls_info *info = c->handshaken ? rf_tls_info(&c->stream) : NULL;
	uint64_t took = conn_now(c) - c->began;
	struct rf_record r = { .kind = RF_REC_CONNECTION, .at = rf_loop_wall(e->loop) - (int64_t)took };
	common(c, &r);
	r.session = edge_id_text(c->id, session);
	r.action = c->refused ? RF_STR("block") : RF_STR("allow");
	r.layer = rf_str_z(c->refused ? rf_reason_layer(c->end_reason) : "");
	r.reason = rf_str_z(c->end ? c->end : "");
	r.requests = c->requests;
	r.bytes_in = c->stream.in;
	r.bytes_out = c->stream.out;
	r.duration_us = took / RF_NS_US;
	r.handshake_us = info ? info->handshake_ns / RF_NS_US : 0;
	e->stats.bytes_in += r.bytes_in;
	e->stats.bytes_out += r.bytes_out;
	rf_count(RF_C_CONN_CLOSED);
	if (c->refused)
		rf_count_refused(c->end_reason, false);
	emit(e, &r);
}
