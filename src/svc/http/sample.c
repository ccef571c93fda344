/* svc/http/sample: samples of requests for replays: head and start of the body, as rules saw them, with secrets masked.
 *
 *   judged: is there room in this minute for one more of the class? -> the body is looked at as if a rule asked -> the request is
 *   written down -> when it is over, its record and what was written down become one line
 *
 * Nothing of a request is touched: what streams goes on streaming. Query and body are kept as they came: only header
 * values are masked.
 */
#include "base/jw.h"
#include "records/format.h"
#include "svc/http/conn.h"

enum { MINUTE_NS_SHIFT = 36 /* about a minute: 68.7 s */, SAMPLE_MAX = 192 << 10 };

static const char *const secrets[] = { "authorization", "cookie", "token", "secret", "api-key", "apikey", "password", "x-auth" };

static bool secret(struct rf_str name)
{
	char low[128];
	if (name.n >= sizeof low)
		return true;
	for (size_t i = 0; i < name.n; i++)
		low[i] = (char)rf_lower((unsigned char)name.p[i]);
	low[name.n] = '\0';
	for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++)
		if (strstr(low, secrets[i]))
			return true;
	return false;
}

bool sample_wanted(struct rf_http_conn *c)
{
	struct rf_http_edge *e = c->edge;
	struct request *q = c->req;
	if (!e->sample || !e->conf.samples_rate)
		return false;
	uint32_t minute = (uint32_t)((uint64_t)q->wall >> MINUTE_NS_SHIFT);
	uint32_t *n = &e->samples[c->client.device ? rf_device_class_slot(c->client.device) % RF_SAMPLE_CLASSES : RF_SAMPLE_CLASSES];
	if (e->sample_minute != minute) {
		memset(e->samples, 0, sizeof e->samples);
		e->sample_minute = minute;
	}
	if (*n >= e->conf.samples_rate)
		return false;
	(*n)++;
	return true;
}

/* Values of one name stand together, where the name comes first. */
static void header(struct rf_jw *w, const struct rf_http_head *h, unsigned at, bool mask)
{
	char name[128];
	if (h->headers[at].name.n >= sizeof name)
		return;
	memcpy(name, h->headers[at].name.p, h->headers[at].name.n);
	name[h->headers[at].name.n] = '\0';
	for (unsigned i = 0; i < at; i++)
		if (rf_str_ieq(h->headers[i].name, h->headers[at].name))
			return;
	rf_jw_open(w, name, '[');
	for (unsigned i = at; i < h->count; i++)
		if (rf_str_ieq(h->headers[i].name, h->headers[at].name))
			rf_jw_str(w, NULL, mask && secret(h->headers[i].name) ? RF_STR("[masked]") : h->headers[i].value);
	rf_jw_close(w, ']');
}

static void masked(struct rf_jw *w, const struct rf_http_head *h, bool mask)
{
	rf_jw_open(w, "masked", '[');
	for (unsigned i = 0; mask && i < h->count; i++)
		if (secret(h->headers[i].name))
			rf_jw_str(w, NULL, h->headers[i].name);
	rf_jw_close(w, ']');
}

/* JSON holds text: whether these bytes come back from it as they are. */
static bool is_text(struct rf_str s)
{
	static const char replaced[] = "\xef\xbf\xbd";
	RF_BUF_AUTO b = { 0 };
	if (s.n && memchr(s.p, '\0', s.n))
		return false;
	rf_json_quote(&b, s);
	return !b.bad && !memmem(b.p, b.n, replaced, sizeof replaced - 1);
}

/* "whole": the body is all there; "cut": its start; "none": nothing is known of it. */
static const char *body(struct rf_http_conn *c, struct rf_jw *w)
{
	struct request *q = c->req;
	struct rf_val v, cut;
	if (q->head.body == RF_BODY_NONE)
		return "whole";
	if (!q->peeking)
		return "none";
	if (!body_fact(c, &q->arena, RF_F_HTTP_BODY, &v))
		v = rf_val_str(RF_STR(""));
	bool all = body_fact(c, &q->arena, RF_F_HTTP_BODY_CUT, &cut) && !cut.b && v.s.n <= c->edge->conf.samples_body;
	v.s.n = v.s.n > c->edge->conf.samples_body ? c->edge->conf.samples_body : v.s.n;
	if (!is_text(v.s))
		return "none";
	rf_jw_str(w, "body", v.s);
	return all ? "whole" : "cut";
}

void sample_take(struct rf_http_conn *c)
{
	struct request *q = c->req;
	bool mask = !c->edge->conf.samples_secrets, tls = c->client.handshaken;
	struct rf_jw w = rf_jw_on(&q->sample_text);
	q->sample_text.bound = SAMPLE_MAX;
	rf_jw_open(&w, NULL, '{');
	rf_jw_open(&w, "request", '{');
	rf_jw_str(&w, "method", q->head.method_s);
	rf_jw_str(&w, "host", q->host);
	rf_jw_str(&w, "path", rf_arena_printf(&q->arena, "%.*s%s%.*s", RF_ARG(q->head.path), q->head.query.p ? "?" : "", RF_ARG(q->head.query)));
	rf_jw_str(&w, "scheme", tls ? RF_STR("https") : RF_STR("http"));
	rf_jw_open(&w, "headers", '{');
	for (unsigned i = 0; i < q->head.count; i++)
		header(&w, &q->head, i, mask);
	rf_jw_close(&w, '}');
	char src[RF_IP_TEXT], dst[RF_IP_TEXT];
	rf_jw_str(&w, "src", rf_str_z(rf_ip_str(&c->client.src, src)));
	rf_jw_str(&w, "dst", rf_str_z(rf_ip_str(&c->client.dst, dst)));
	rf_jw_u64(&w, "sport", c->client.src_port);
	rf_jw_u64(&w, "port", c->client.dst_port);
	const char *state = body(c, &w);
	rf_jw_close(&w, '}');
	masked(&w, &q->head, mask);
	rf_jw_str(&w, "body", rf_str_z(state));
	rf_jw_close(&w, '}');
}

void sample_give(struct rf_http_conn *c, const struct rf_record *r)
{
	struct request *q = c->req;
	RF_BUF_AUTO line = { 0 };
	if (!q->sample_text.n || q->sample_text.bad)
		return;
	rf_record_json(&line, r, 0);
	if (line.n)
		line.n--; /* its closing brace: what was written down goes on */
	rf_buf_addc(&line, ',');
	rf_buf_add(&line, rf_str_skip(rf_buf_str(&q->sample_text), 1));
	if (!line.bad)
		c->edge->sample(c->edge->arg, rf_buf_str(&line));
}
