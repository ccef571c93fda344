/* svc/http/judge: what rules decide over a request, and what the edge does about it.
 *
 *   settings (before the body is looked at) -> the phases of a request -> refused, answered by a rule, or headers for
 *   the origin -> FORWARD
 *
 * A rate limit that needs the answer is counted when the answer's head is there, or when it is clear that none comes.
 *
 * Invariant: an error in a rule refuses. What a rule has skipped stays skipped in the phases after it.
 */
#include "svc/http/conn.h"

static const struct rf_policy *policy(const struct request *q)
{
	return rf_snap_policy(q->snap, q->app);
}

static struct rf_verdict *begin(struct rf_http_conn *c)
{
	struct rf_front *f = c->client.front;
	struct request *q = c->req;
	struct rf_verdict *v = &f->verdict;
	rf_facts_init(&f->facts, &facts_ops, c, &q->arena, q->snap->lists, q->wall);
	rf_verdict_init(v);
	if (q->skipped.phases || q->skipped.nskippers)
		v->skipped = q->skipped;
	v->counting = (struct rf_counting){ c->edge->limits, conn_now(c), false };
	return v;
}

static void note(struct request *q, const struct rf_verdict *v)
{
	if (v->rule)
		q->rule = v->rule;
	if (v->skipped.phases || v->skipped.nskippers)
		q->skipped = v->skipped;
	if (v->limits_evicted)
		rf_count_n(RF_C_LIMIT_RATE_COUNTERS, v->limits_evicted);
	rf_front_count_hits(v);
	for (unsigned i = 0; i < v->nhits; i++) {
		const struct rf_rule *r = v->hits[i];
		if (r == v->rule)
			continue;
		q->logged = rf_arena_printf(&q->arena, "%.*s%s%.*s", RF_ARG(q->logged), q->logged.n ? "," : "",
					    RF_ARG(r->id));
	}
}

static enum step blocked(struct rf_http_conn *c, const struct rf_verdict *v, enum rf_reason rule)
{
	struct request *q = c->req;
	enum rf_reason reason = v->why == RF_WHY_LIMIT ? RF_REASON_RULE_LIMIT : rule;
	const char *words = v->why == RF_WHY_RULE || v->why == RF_WHY_LIMIT ? rf_reason_words(reason) : rf_why_str(v->why);
	q->refusal.response = v->response;
	if (v->why == RF_WHY_LIMIT)
		q->retry_after = (unsigned)((v->wait_ns + RF_NS_S - 1) / RF_NS_S);
	if (v->why == RF_WHY_QUARANTINE) {
		reason = RF_REASON_RULE_QUARANTINE;
		rf_client_quarantine(&c->client, v->rule);
	}
	return refuse(c, rf_verdict_status(v), reason, words);
}

enum step judge_settings(struct rf_http_conn *c)
{
	struct request *q = c->req;
	const struct rf_policy *p = policy(q);
	q->body_bytes = (int64_t)c->edge->conf.rule_body;
	q->compress = -1;
	if (!p->phase[RF_PHASE_HTTP_CONFIG])
		return STEP_WAIT;
	struct rf_verdict *v = begin(c);
	rf_config_eval(p, &c->client.front->facts, v, NULL);
	note(q, v);
	if (v->outcome == RF_BLOCK)
		return blocked(c, v, RF_REASON_RULE);
	if (v->config.body_bytes >= 0)
		q->body_bytes = v->config.body_bytes;
	q->compress = v->config.compress;
	q->sample = v->config.sample;
	return STEP_WAIT;
}

static int keep_late(struct request *q, const struct rf_verdict *v)
{
	q->late = rf_arena_array(&q->arena, v->nlate, sizeof *q->late);
	if (!q->late)
		return RF_E_NOMEM;
	memcpy(q->late, v->late, v->nlate * sizeof *q->late);
	q->nlate = v->nlate;
	return RF_OK;
}

enum step judge_request(struct rf_http_conn *c)
{
	struct request *q = c->req;
	struct rf_verdict *v = begin(c);
	rf_http_eval(policy(q), &c->client.front->facts, v, NULL);
	note(q, v);
	if (v->nlate && keep_late(q, v))
		return refuse(c, 503, RF_REASON_MEMORY, NULL);
	if (v->outcome == RF_BLOCK)
		return blocked(c, v, RF_REASON_RULE);
	if (v->outcome == RF_ANSWER)
		return answer_instead(c, rf_verdict_status(v), v->location, v->response);
	if (v->set_path)
		q->path = v->path;
	if (v->set_query)
		q->query = v->query;
	int r = headers_rest(q, v);
	return r ? refuse(c, r == RF_E_NOMEM ? 503 : 431, RF_REASON_MEMORY, NULL) : STEP_FORWARD;
}

static struct rf_str score(void *ctx, struct rf_str header)
{
	const struct request *q = ctx;
	for (uint16_t i = 0; q->origin_status && i < q->answer.count; i++)
		if (rf_str_ieq(q->answer.headers[i].name, header))
			return q->answer.headers[i].value;
	return RF_STR("");
}

void judge_counts(struct rf_http_conn *c)
{
	struct request *q = c->req;
	const struct rf_counting counting = { c->edge->limits, conn_now(c), false };
	unsigned evicted;
	if (!q->nlate)
		return;
	rf_facts_init(&c->client.front->facts, &facts_ops, c, &q->arena, q->snap->lists, q->wall);
	rf_late_counts(q->late, q->nlate, &counting, &c->client.front->facts, q->attempts > 0, score, q, &evicted);
	q->nlate = 0;
	if (evicted)
		rf_count_n(RF_C_LIMIT_RATE_COUNTERS, evicted);
}

static bool judges_answers(const struct rf_policy *p)
{
	return p->phase[RF_PHASE_HTTP_RESPONSE] || p->phase[RF_PHASE_HTTP_RESPONSE_MANAGED] || p->phase[RF_PHASE_HTTP_ERRORS] ||
	       p->phase[RF_PHASE_HTTP_COMPRESSION];
}

enum step judge_answer(struct rf_http_conn *c, const struct rf_verdict **ret_v)
{
	struct request *q = c->req;
	*ret_v = NULL;
	judge_counts(c);
	if (!judges_answers(policy(q)))
		return STEP_WAIT;
	struct rf_verdict *v = begin(c);
	rf_response_eval(policy(q), &c->client.front->facts, v, NULL);
	note(q, v);
	if (v->outcome == RF_BLOCK)
		return blocked(c, v, RF_REASON_RULE_RESPONSE);
	if (v->outcome == RF_ANSWER)
		return answer_instead(c, rf_verdict_status(v), v->location, v->response);
	*ret_v = v;
	return STEP_WAIT;
}
