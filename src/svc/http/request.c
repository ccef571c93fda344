/* svc/http/request: judge a request whose head is whole: which app, who asks, may he.
 *
 *   IDENTIFY: snapshot pinned -> certificate looked at again -> app by host
 *   JUDGE: checks[] in order; the first that refuses ends it -> rules (judge.c) -> FORWARD
 *
 * In report mode of a host, what would be refused for who asks is counted by its reason, and forwarded.
 *
 * Invariant: nothing of the request reaches an origin before every check has passed. An error in a
 * check refuses.
 */
#include "svc/http/conn.h"
#include "wire/uri.h"

/* What the origin and the records are told about the certificate, judged by this host's roots. */
static void cert_words(struct rf_http_conn *c)
{
	struct request *q = c->req;
	const struct rf_tls_info *info = rf_client_tls(&c->client);
	if (!info || !info->peer)
		return;
	q->cert_status = "valid";
	q->cert_reason = "";
	if (info->revoked && info->verified) {
		q->cert_status = "revoked";
		q->cert_reason = info->reason;
	} else if (info->status != RF_CERT_VALID) {
		q->cert_status = "invalid";
		q->cert_reason = info->reason;
	} else if (q->app && !(info->roots & q->app->roots)) {
		q->cert_status = "invalid";
		q->cert_reason = rf_reason_words(rf_tls_unvouched(info, q->app->roots));
	}
}

static struct rf_str lower(struct rf_arena *a, struct rf_str s)
{
	struct rf_str d = rf_arena_dup(a, s);
	for (size_t i = 0; i < d.n && d.p; i++)
		((char *)(uintptr_t)d.p)[i] = (char)rf_lower((unsigned char)d.p[i]);
	return d;
}

enum step step_identify(struct rf_http_conn *c)
{
	struct request *q = c->req;
	q->snap = rf_snap_pin(c->client.front->snap());
	q->host = lower(&q->arena, q->head.host);
	q->path = q->head.path;
	q->query = q->head.query;
	if (!q->host.p)
		return refuse(c, 503, RF_REASON_MEMORY, NULL);
	q->at_host = rf_snap_host(q->snap, q->host);
	q->app = q->at_host ? q->at_host->app : NULL;
	rf_client_refresh(&c->client, q->snap);
	q->class = rf_client_class(&c->client, q->snap);
	cert_words(c);
	return STEP_JUDGE;
}

static enum step check_method(struct rf_http_conn *c)
{
	enum rf_http_method m = c->req->head.method;
	if (m == RF_HTTP_CONNECT || m == RF_HTTP_TRACE) /* TRACE would show the client what we tell the origin */
		return refuse(c, 405, RF_REASON_MALFORMED, "this method is not offered here");
	return STEP_WAIT;
}

static enum step check_host(struct rf_http_conn *c)
{
	const struct rf_tls_info *info = rf_client_tls(&c->client);
	struct request *q = c->req;
	if (!q->app) /* [RFC 9110 15.5.20] */
		return refuse(c, info ? 421 : 404, RF_REASON_NO_HOST, NULL);
	if (info && !info->asked && q->app->auth != RF_AUTH_OFF) {
		c->client.last = true;
		return refuse(c, 421, RF_REASON_SNI_MISMATCH, NULL);
	}
	return STEP_WAIT;
}

/* Is the path one of those, or below one? As an origin reads it, so that no dot segments lead elsewhere. */
static bool idempotent(struct request *q)
{
	struct rf_str path;
	if (rf_uri_path(q->path, false, &q->arena, &path) != RF_OK)
		return false;
	for (size_t i = 0; i < q->app->idempotent_count; i++) {
		struct rf_str p = q->app->idempotent_paths[i];
		if (p.n && rf_str_starts(path, p) && (path.n == p.n || p.p[p.n - 1] == '/' || path.p[p.n] == '/'))
			return true;
	}
	return false;
}

/* 0-RTT may be a replay: only what the operator says is harmless; the client repeats the rest [RFC 8470 5.2]. */
static enum step check_early(struct rf_http_conn *c)
{
	const struct rf_tls_info *info = rf_client_tls(&c->client);
	struct request *q = c->req;
	if (!info || !info->early || rf_tls_settle(&c->client.stream) == RF_OK)
		return STEP_WAIT;
	bool safe = rf_http_method_flags(q->head.method) & RF_METHOD_SAFE;
	if (safe && idempotent(q)) {
		rf_count(RF_C_TLS_EARLY);
		return STEP_WAIT;
	}
	return refuse(c, 425, RF_REASON_MALFORMED, "early data is not taken for this request; send it again");
}

static enum step check_identity(struct rf_http_conn *c)
{
	struct request *q = c->req;
	enum rf_reason reason;
	if (q->app->auth == RF_AUTH_OFF)
		return STEP_WAIT;
	const char *words = rf_client_against(&c->client, q->app->roots, &reason);
	if (!words)
		return STEP_WAIT;
	if (q->app->auth == RF_AUTH_REPORT) {
		q->would = words;
		rf_count_refused(reason, true);
		return STEP_WAIT;
	}
	c->client.last |= reason == RF_REASON_CERT_REVOKED || reason == RF_REASON_DEVICE_REVOKED;
	q->refusal.body = &q->app->deny_body;
	return refuse(c, q->app->deny_status ? (int)q->app->deny_status : 403, reason, words);
}

/* Before anything that costs: strangers are held to it too. */
static enum step check_address(struct rf_http_conn *c)
{
	unsigned wait_s = 0;
	if (limits_address(c, &wait_s) == RF_OK)
		return STEP_WAIT;
	rf_count(RF_C_LIMIT_REQUESTS_ADDRESS);
	c->req->retry_after = wait_s;
	return refuse(c, 429, RF_REASON_RATE, NULL);
}

static enum step check_limits(struct rf_http_conn *c)
{
	struct request *q = c->req;
	unsigned wait_s = 0;
	if (!c->client.device)
		return STEP_WAIT;
	if (c->client.over) {
		c->client.last = true;
		return refuse(c, 429, RF_REASON_CONNECTIONS, NULL);
	}
	uint32_t max = q->class && q->class->max_requests ? q->class->max_requests : UINT32_MAX;
	q->counted = rf_use_enter(&rf_device_use(c->client.device)->requests, max);
	if (!q->counted)
		return refuse(c, 429, RF_REASON_REQUESTS, NULL);
	if (!limits_requests_enter(q, rf_device_class_slot(c->client.device), q->class ? q->class->class_max_requests : 0))
		return refuse(c, 429, RF_REASON_REQUESTS, "all devices of the class together have too many requests under way");
	if (limits_throttle(c, &wait_s)) {
		q->retry_after = wait_s;
		return refuse(c, 429, RF_REASON_THROTTLED, NULL);
	}
	if (limits_rate(c, q->class, &wait_s)) {
		q->retry_after = wait_s;
		return refuse(c, 429, RF_REASON_RATE, NULL);
	}
	return STEP_WAIT;
}

static uint64_t body_bound(const struct rf_http_conn *c)
{
	const struct rf_app *app = c->req->app;
	return app->max_body ? app->max_body : c->edge->conf.max_body;
}

static enum step check_body(struct rf_http_conn *c)
{
	struct request *q = c->req;
	uint64_t bound = body_bound(c);
	if (bound && q->head.body == RF_BODY_LENGTH && q->head.content_length > bound)
		return refuse(c, 413, RF_REASON_BODY_SIZE, NULL);
	if (q->head.upgrade == RF_UPGRADE_WEBSOCKET && !q->app->websocket)
		q->head.upgrade = RF_UPGRADE_OTHER; /* may be ignored [RFC 9110 7.8] */
	return STEP_WAIT;
}

static enum step (*const checks[])(struct rf_http_conn *) = {
	check_address, check_method, check_host, check_early, check_identity, check_limits, check_body,
};

/* The body's way to the origin is laid before the rules run, because they may want to look into it. */
static enum step lay_body(struct rf_http_conn *c)
{
	struct request *q = c->req;
	struct rf_flow *f = &q->fup;
	rf_flow_init(f, &c->client.stream, &c->client.in, NULL, c->edge->bufs, &q->arena);
	rf_flow_body(f, q->head.body, q->head.content_length, &c->edge->conf.heads);
	f->bound = body_bound(c);
	f->chunk = q->head.body == RF_BODY_CHUNKED;
	f->trailers = true;
	q->body_since = conn_now(c);
	struct rf_str coding = rf_http_value(&q->head, RF_HDR_CONTENT_ENCODING);
	if (!q->app->decompress_requests || !coding.n || q->head.body == RF_BODY_NONE)
		return STEP_WAIT;
	q->decode = rf_coding_of(coding);
	if (q->decode == RF_CODINGS)
		return refuse(c, 415, RF_REASON_MALFORMED, "the content coding of the request is not supported");
	if (q->decode == RF_CODING_NONE)
		return STEP_WAIT;
	uint64_t most = c->edge->conf.decompressed_body;
	f->codec = rf_codec_decoder(q->decode, f->bound && f->bound < most ? f->bound : most);
	f->chunk = true;
	return f->codec ? STEP_WAIT : refuse(c, 503, RF_REASON_MEMORY, NULL);
}

enum step body_error(struct rf_http_conn *c, int r)
{
	struct request *q = c->req;
	c->client.last = true;
	if (r == RF_E_INVALID && q->fup.chunked.reject) {
		q->reject = (enum rf_http_reject)q->fup.chunked.reject;
		return refuse(c, rf_http_reject_status(q->reject), RF_REASON_MALFORMED, rf_http_reject_sentence(q->reject));
	}
	if (r == RF_E_INVALID)
		return refuse(c, 400, RF_REASON_MALFORMED, "the body does not follow its content coding");
	if (r == RF_E_TOO_LARGE)
		return refuse(c, 413, RF_REASON_BODY_SIZE, NULL);
	if (r == RF_E_NOMEM)
		return refuse(c, 503, RF_REASON_MEMORY, NULL);
	c->client.end = "the client went away within the body of a request";
	return STEP_CLOSE;
}

enum step step_judge(struct rf_http_conn *c)
{
	struct request *q = c->req;
	if (!q->peeking) {
		if (local_path(q))
			return STEP_LOCAL;
		flood_see(c);
		for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
			enum step s = checks[i](c);
			if (s != STEP_WAIT)
				return s;
		}
		enum step s = judge_settings(c);
		if (s == STEP_WAIT)
			s = lay_body(c);
		q->sampled = sample_wanted(c);
		if (s != STEP_WAIT)
			return s;
	}
	if (body_wanted(q) || (q->sampled && q->head.body != RF_BODY_NONE && q->body_bytes)) {
		enum step s = body_peek(c);
		if (s != STEP_JUDGE)
			return s;
		c->wait[0].what = WAIT_NONE;
	}
	if (q->sampled)
		sample_take(c);
	return judge_request(c);
}
