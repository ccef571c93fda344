/* svc/http/body: what rules see of a request's body.
 *
 *   a rule of the zone asks for it -> 100 Continue where the client waits -> the front of the body is taken into q->seen, up to the
 *   bound of the boot file (or of set_config) or its end -> the rules are judged -> q->seen goes out first, the rest streams behind it
 *
 * A sender that pauses meanwhile meets the time-outs of a body. What the origin gets decoded is seen decoded; where the origin
 * gets the content coding of the client, rules see it decoded nevertheless, since the origin will read it so. Bytes that do
 * not follow their coding are seen as far as they do.
 *
 * Invariant: q->seen is not moved once rules have been asked; it lives as long as the request.
 */
#include "policy/body.h"
#include "svc/http/conn.h"

/* Fields that need the body: those that only phases before forwarding have. */
static bool uses_body(const struct rf_phase_set *s)
{
	for (unsigned f = 0; f < RF_FIELD_COUNT; f++)
		if (rf_fields[f].planes == RF_ON_B && rf_phase_set_uses(s, (enum rf_field)f))
			return true;
	return false;
}

bool body_wanted(const struct request *q)
{
	const struct rf_policy *p = rf_snap_policy(q->snap, q->app);
	if (q->head.body == RF_BODY_NONE || !q->body_bytes)
		return false;
	for (unsigned i = 0; i < RF_PHASE_COUNT; i++)
		if (p->phase[i] && rf_phases[i].plane & RF_ON_B && uses_body(p->phase[i]))
			return true;
	return false;
}

/* What rules make of the body (in lower case, decoded, its fields) is as large as what they see of it. */
static void make_room(struct request *q, size_t body)
{
	enum { COPIES = 16 };
	q->arena.bound = q->conn->edge->conf.request_memory + body * COPIES;
}

/* A client that waits for 100 before it sends what rules want to see gets it from us [RFC 9110 10.1.1]. */
static enum step continue_now(struct rf_http_conn *c)
{
	static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct iovec v = { (void *)line, sizeof line - 1 };
	struct request *q = c->req;
	if (!q->head.expect_continue || q->expect_sent || c->client.in.at < c->client.in.end)
		return STEP_WAIT;
	q->expect_sent = true;
	return rf_stream_write(&c->client.stream, &v, 1) == (ssize_t)v.iov_len ? STEP_WAIT : STEP_CLOSE;
}

enum step body_peek(struct rf_http_conn *c)
{
	struct request *q = c->req;
	q->peeking = true;
	q->seen.bound = (size_t)q->body_bytes + 1;
	enum step s = continue_now(c);
	if (s != STEP_WAIT)
		return s;
	int r = rf_flow_peek(&q->fup, &q->seen);
	if (r == RF_E_AGAIN) {
		wait_body(c);
		return STEP_WAIT;
	}
	make_room(q, q->seen.n);
	return r ? body_error(c, r) : STEP_JUDGE;
}

/* q->seen without the coding that it keeps on its way to the origin. */
static struct rf_str decoded(struct request *q, enum rf_coding coding)
{
	struct rf_str in = rf_buf_str(&q->seen);
	if (q->decoded)
		return rf_buf_str(&q->plain);
	q->decoded = true;
	q->plain.bound = (size_t)q->body_bytes + 1;
	struct rf_codec *codec = rf_codec_decoder(coding, 0);
	char *room = rf_buf_room(&q->plain, q->plain.bound);
	int r = codec && room ? RF_OK : RF_E_NOMEM;
	q->arena.full |= r != RF_OK; /* no room is not an absent fact */
	while (r == RF_OK && q->plain.n < q->plain.bound) {
		size_t got = 0;
		r = rf_codec_run(codec, &in, RF_CODEC_RUN, room + q->plain.n, q->plain.bound - q->plain.n, &got);
		q->plain.n += got;
	}
	rf_codec_free(codec);
	make_room(q, q->plain.n > q->seen.n ? q->plain.n : q->seen.n);
	return rf_buf_str(&q->plain);
}

/* The front of the body as the origin will read it; one byte more than the bound where there is more. */
static struct rf_str front(struct request *q)
{
	enum rf_coding coding = rf_coding_of(rf_http_value(&q->head, RF_HDR_CONTENT_ENCODING));
	bool kept = q->decode == RF_CODING_NONE && coding != RF_CODING_NONE && coding != RF_CODINGS;
	return kept && q->seen.n ? decoded(q, coding) : rf_buf_str(&q->seen);
}

bool body_fact(struct rf_http_conn *c, struct rf_arena *a, enum rf_field f, struct rf_val *ret)
{
	struct request *q = c->req;
	size_t bound = (size_t)q->body_bytes;
	struct rf_str s = front(q);
	bool cut = s.n > bound || (q->head.body != RF_BODY_NONE && (q->seen.n > bound || !rf_flow_whole(&q->fup)));
	s.n = s.n > bound ? bound : s.n;
	switch (f) {
	case RF_F_HTTP_BODY:
		*ret = rf_val_str(s);
		return s.n;
	case RF_F_HTTP_BODY_SIZE:
		*ret = rf_val_int(q->head.body == RF_BODY_LENGTH ? (int64_t)q->head.content_length : (int64_t)q->fup.body);
		return q->head.body != RF_BODY_CHUNKED || q->fup.in_done;
	case RF_F_HTTP_BODY_CUT:
		*ret = rf_val_bool(cut);
		return true;
	default:
		return rf_body_fact(a, f, s, rf_http_value(&q->head, RF_HDR_CONTENT_TYPE), ret);
	}
}
