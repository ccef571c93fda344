/* svc/http/headers: the head that the origin sees, and the head that the client sees.
 *
 * Both are written once, in the order received: what is for one hop is left out [RFC 9110 7.6.1], what
 * only the edge may say is left out in any spelling that a careless origin would take for it, then
 * comes what the edge says. Nothing in a value can end a line: received values were checked by the
 * parser, made ones are cleaned here.
 *
 * The request's head is in two parts: the line with Host depends on the origin that is tried, all else
 * does not.
 */
#include <stdio.h>
#include "net/addr.h"
#include "svc/http/conn.h"
#include "wire/fields.h"

enum { CERT_MAX = 10240, CHAIN_MAX = 16384, SLACK = 1536 };

/* A line writer over one piece of the arena; a line that does not fit makes it `full`. */
struct out {
	char *p;
	size_t n, cap;
	bool full;
};

static void add(struct out *o, struct rf_str s)
{
	if (s.n > o->cap - o->n) {
		o->full = true;
		return;
	}
	memcpy(o->p + o->n, s.p ? s.p : "", s.n);
	o->n += s.n;
}

static void line_end(struct out *o, struct rf_str value)
{
	add(o, value);
	add(o, RF_STR("\r\n"));
}

/* Inline, so that names that are known are moved and not copied: a request has thirty of these. */
static inline __attribute__((always_inline)) void line(struct out *o, struct rf_str name, struct rf_str value)
{
	size_t n = name.n + value.n + 4;
	if (n > o->cap - o->n) {
		o->full = true;
		return;
	}
	char *p = o->p + o->n;
	memcpy(p, name.p, name.n);
	p += name.n;
	memcpy(p, ": ", 2);
	if (value.n)
		memcpy(p + 2, value.p, value.n);
	memcpy(p + 2 + value.n, "\r\n", 2);
	o->n += n;
}

/* A line whose value is neither from a checked head nor of our own making: control bytes become question marks. */
static void clean_line(struct out *o, struct rf_str name, struct rf_str value)
{
	size_t from = o->n + name.n + 2;
	line(o, name, value);
	for (size_t i = from; !o->full && i < from + value.n; i++)
		if ((unsigned char)o->p[i] < ' ' || o->p[i] == 0x7f)
			o->p[i] = '?';
}

static bool out_on(struct out *o, struct rf_arena *a, size_t cap)
{
	*o = (struct out){ .p = rf_arena_alloc(a, cap), .cap = cap };
	return o->p;
}

/* Names that only the edge may use, also where an origin reads '_' as '-'. */
static bool owned(struct rf_str name)
{
	static const char *const prefixes[] = { "client-cert", "cf-client-cert", "ringfence-" };
	static const char *const names[] = { "cf-connecting-ip", "cf-ray", "x-real-ip", "x-forwarded-for",
		"x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "early-data", "forwarded", "host",
		"content-length", "transfer-encoding", "x-request-id" };
	for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
		struct rf_str p = rf_str_z(prefixes[i]);
		if (name.n >= p.n && rf_http_name_alike((struct rf_str){ name.p, p.n }, p))
			return true;
	}
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (rf_http_name_alike(name, rf_str_z(names[i])))
			return true;
	return false;
}

static bool from_proxy(const struct rf_http_conn *c)
{
	for (size_t i = 0; i < c->client.listener->trusted_count; i++)
		if (rf_prefix_has(&c->client.listener->trusted[i], &c->client.src))
			return true;
	return false;
}

static bool edited(const struct rf_verdict *v, struct rf_str name)
{
	for (unsigned i = 0; i < v->nedits; i++)
		if (v->edits[i].op != RF_EDIT_ADD && rf_http_name_alike(v->edits[i].name, name))
			return true;
	return false;
}

static bool templated(const struct rf_app *app, struct rf_str name)
{
	for (size_t i = 0; i < app->header_count; i++)
		if (rf_http_name_alike(app->headers[i].name, name))
			return true;
	return false;
}

static bool dropped(const struct request *q, const struct rf_http_header *h, const struct rf_verdict *v)
{
	if (h->hop || (rf_http_header_flags((enum rf_http_header_id)h->id) & RF_HDR_EDGE))
		return true;
	switch (h->id) {
	case RF_HDR_CONTENT_ENCODING: return q->decode != RF_CODING_NONE;
	case RF_HDR_EXPECT: return q->expect_sent;
	case RF_HDR_VIA: case RF_HDR_TRAILER: return false;
	case RF_HDR_OTHER: case RF_HDR_HOST: case RF_HDR_CONTENT_LENGTH: case RF_HDR_TRANSFER_ENCODING:
	case RF_HDR_FORWARDED: case RF_HDR_X_FORWARDED_FOR: case RF_HDR_X_FORWARDED_HOST: case RF_HDR_X_FORWARDED_PROTO:
	case RF_HDR_X_FORWARDED_PORT: case RF_HDR_X_REAL_IP: case RF_HDR_X_REQUEST_ID:
		if (owned(h->name))
			return true;
		break;
	default: break;
	}
	return (v->nedits && edited(v, h->name)) || (q->app->header_count && templated(q->app, h->name));
}

static void framing(struct out *o, const struct request *q)
{
	char n[24];
	if (q->fup.chunk)
		line(o, RF_STR("Transfer-Encoding"), RF_STR("chunked"));
	else if (q->head.body == RF_BODY_LENGTH) {
		int len = snprintf(n, sizeof n, "%llu", (unsigned long long)q->head.content_length);
		line(o, RF_STR("Content-Length"), (struct rf_str){ n, (size_t)len });
	}
	if (q->head.upgrade == RF_UPGRADE_WEBSOCKET) {
		line(o, RF_STR("Connection"), RF_STR("Upgrade"));
		line(o, RF_STR("Upgrade"), RF_STR("websocket"));
	} else if (q->head.te_trailers) { /* [RFC 9110 10.1.4] */
		line(o, RF_STR("Connection"), RF_STR("TE"));
		line(o, RF_STR("TE"), RF_STR("trailers"));
	}
}

/* What earlier, trusted proxies have said, else nothing. */
static struct rf_str believed(const struct request *q, bool proxy, enum rf_http_header_id id)
{
	struct rf_str v = proxy ? rf_http_value(&q->head, id) : (struct rf_str){ 0 };
	return v.p ? v : RF_STR("");
}

static void forwarded(struct out *o, struct request *q)
{
	const struct rf_http_conn *c = q->conn;
	bool proxy = from_proxy(c);
	struct rf_str proto = c->client.tls ? RF_STR("https") : RF_STR("http"), host = rf_http_value(&q->head, RF_HDR_HOST);
	char ip[RF_IP_TEXT];
	struct rf_str src = c->client.src.family ? rf_str_z(rf_ip_str(&c->client.src, ip)) : RF_STR("unknown"), old;
	struct rf_buf *b = &q->conn->edge->scratch;
	struct rf_forwarded f = { .from = c->client.src.family ? &c->client.src : NULL, .host = host.p ? host : q->host, .proto = proto };
	old = believed(q, proxy, RF_HDR_FORWARDED);
	rf_buf_clear(b);
	rf_buf_add(b, old);
	rf_buf_add(b, old.n ? RF_STR(", ") : RF_STR(""));
	rf_forwarded_add(b, &f);
	o->full |= b->bad;
	line(o, RF_STR("Forwarded"), rf_buf_str(b)); /* rf_forwarded_add leaves no control byte in */
	old = believed(q, proxy, RF_HDR_X_FORWARDED_FOR);
	add(o, RF_STR("X-Forwarded-For: "));
	add(o, old);
	add(o, old.n ? RF_STR(", ") : RF_STR(""));
	line_end(o, src);
	old = believed(q, proxy, RF_HDR_X_FORWARDED_PROTO);
	line(o, RF_STR("X-Forwarded-Proto"), old.n ? old : proto);
	old = believed(q, proxy, RF_HDR_X_FORWARDED_HOST);
	line(o, RF_STR("X-Forwarded-Host"), old.n ? old : f.host);
	old = believed(q, proxy, RF_HDR_X_REQUEST_ID);
	char ray[17];
	line(o, RF_STR("X-Request-Id"), old.n ? old : rf_front_id_text(q->ray, ray));
	line(o, RF_STR("Via"), q->head.minor ? RF_STR("1.1 ringfence") : RF_STR("1.0 ringfence")); /* [RFC 9110 7.6.3] */
}

/* Both names of one fact, of words or digits of ours: the documented wire name and our neutral one. */
#define BOTH(o, what, value) do { \
		struct rf_str value_ = value; \
		line(o, RF_STR("Cf-Client-Cert-" what), value_); \
		line(o, RF_STR("Ringfence-Client-Cert-" what), value_); \
	} while (0)

static void chain(struct out *o, struct request *q, const struct rf_tls_peer *p)
{
	struct rf_str all = RF_STR("");
	for (size_t i = 0; i < p->chain_count && all.n <= CHAIN_MAX; i++) {
		struct rf_str one = rf_cert_rfc9440(p->chain[i], &q->arena);
		all = i ? rf_arena_printf(&q->arena, "%.*s, %.*s", RF_ARG(all), RF_ARG(one)) : one;
	}
	if (all.n && all.n <= CHAIN_MAX)
		line(o, RF_STR("Client-Cert-Chain"), all);
}

/* The certificate itself, only where it is good: an origin that reads Client-Cert believes it [RFC 9440 3.1]. */
static void good_cert(struct out *o, struct request *q, const struct rf_tls_peer *p)
{
	const struct rf_app *app = q->app;
	struct rf_str b64 = { 0 };
	if (app->forward_rfc9440 || app->forward_der)
		b64 = rf_cert_rfc9440(p->cert, &q->arena);
	if (app->forward_rfc9440 && b64.n && b64.n <= CERT_MAX) {
		line(o, RF_STR("Client-Cert"), b64);
		chain(o, q, p);
	}
	if (app->forward_der && b64.n > 2) {
		line(o, RF_STR("Cf-Client-Cert-Der-Base64"), (struct rf_str){ b64.p + 1, b64.n - 2 });
		line(o, RF_STR("Cf-Client-Cert-Sha256"), rf_str_z(p->cert->sha256));
	}
}

static void certificate(struct out *o, struct request *q)
{
	const struct rf_http_conn *c = q->conn;
	const struct rf_tls_info *info = rf_client_tls(&c->client);
	BOTH(o, "Status", rf_str_z(q->cert_status));
	if (q->cert_reason[0])
		BOTH(o, "Reason", rf_str_z(q->cert_reason));
	if (info && info->early)
		line(o, RF_STR("Early-Data"), RF_STR("1")); /* [RFC 8470 5.1] */
	if (!info || !info->peer)
		return;
	BOTH(o, "Ski", rf_str_z(info->peer->cert->ski));
	if (!strcmp(q->cert_status, "valid"))
		good_cert(o, q, info->peer);
	for (size_t i = 0; i < q->app->header_count; i++) {
		struct rf_str v;
		if (rf_http_name_reserved(q->app->headers[i].name))
			continue;
		if (rf_cert_tmpl_expand(q->app->headers[i].value, info->peer->cert, &q->arena, &v) == RF_OK)
			clean_line(o, q->app->headers[i].name, v);
	}
}

static void device(struct out *o, const struct request *q)
{
	if (!q->conn->client.device)
		return;
	line(o, RF_STR("Ringfence-Device-Id"), rf_str_z(rf_device_id(q->conn->client.device)));
	if (q->class)
		clean_line(o, RF_STR("Ringfence-Device-Class"), q->class->name);
}

/* Edits of rules. They may not touch what frames the message or what the edge vouches for. */
static void edits(struct out *o, const struct rf_verdict *v)
{
	for (unsigned i = 0; i < v->nedits; i++) {
		const struct rf_edit *e = &v->edits[i];
		enum rf_http_header_id id = rf_http_header_of(e->name);
		if (e->op == RF_EDIT_REMOVE || owned(e->name) || !rf_http_is_token(e->name) ||
		    (rf_http_header_flags(id) & (RF_HDR_HOP | RF_HDR_EDGE)))
			continue;
		bool again = false; /* a later SET of the same name wins */
		for (unsigned k = i + 1; k < v->nedits; k++)
			again |= v->edits[k].op != RF_EDIT_ADD && rf_http_name_alike(v->edits[k].name, e->name);
		if (!again)
			clean_line(o, e->name, e->value);
	}
}

static size_t room(const struct request *q, const struct rf_verdict *v)
{
	size_t n = q->head.size + SLACK + 2 * rf_http_value(&q->head, RF_HDR_HOST).n;
	const struct rf_http_conn *c = q->conn;
	const struct rf_tls_info *info = rf_client_tls(&c->client);
	if (info && info->peer) {
		n += (q->app->forward_rfc9440 || q->app->forward_der) ? 3 * info->peer->cert->der.n + 256 : 0;
		for (size_t i = 0; q->app->forward_rfc9440 && i < info->peer->chain_count; i++)
			n += 2 * info->peer->chain[i]->der.n;
		n += q->app->header_count * 256;
		n += 2 * strlen(q->cert_reason);
		for (size_t i = 0; i < q->app->header_count; i++) {
			struct rf_str s;
			if (rf_cert_tmpl_expand(q->app->headers[i].value, info->peer->cert, &((struct request *)q)->arena, &s) == RF_OK)
				n += q->app->headers[i].name.n + s.n + 4;
		}
	}
	for (unsigned i = 0; i < v->nedits; i++)
		n += v->edits[i].name.n + v->edits[i].value.n + 4;
	return n;
}

int headers_rest(struct request *q, const struct rf_verdict *v)
{
	struct out o;
	if (!out_on(&o, &q->arena, room(q, v)))
		return RF_E_NOMEM;
	for (uint16_t i = 0; i < q->head.count; i++) {
		const struct rf_http_header *h = &q->head.headers[i];
		if (!dropped(q, h, v))
			line(&o, h->name, h->value);
	}
	framing(&o, q);
	forwarded(&o, q);
	certificate(&o, q);
	device(&o, q);
	edits(&o, v);
	add(&o, RF_STR("\r\n"));
	q->out_rest = (struct rf_str){ o.p, o.n };
	return o.full ? RF_E_TOO_LARGE : RF_OK;
}

/* A path or query that a rule has made may have bytes that would end the request line. */
static void target(struct out *o, struct rf_str s, bool path)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t from = 0;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char b = (unsigned char)s.p[i];
		if (b > ' ' && b < 0x7f && b != '#' && !(path && b == '?'))
			continue;
		char esc[3] = { '%', digits[b >> 4], digits[b & 15] };
		add(o, (struct rf_str){ s.p + from, i - from });
		add(o, (struct rf_str){ esc, 3 });
		from = i + 1;
	}
	add(o, (struct rf_str){ s.p + from, s.n - from });
}

int headers_line(struct request *q, const struct rf_origin *origin)
{
	struct rf_str host = rf_http_value(&q->head, RF_HDR_HOST);
	if (!q->app->preserve_host)
		host = origin->authority;
	else if (!host.p)
		host = q->host;
	struct out o;
	if (!out_on(&o, &q->arena, q->head.method_s.n + 3 * (q->path.n + q->query.n) + host.n + 64))
		return RF_E_NOMEM;
	add(&o, q->head.method_s);
	add(&o, RF_STR(" "));
	if (q->path.n && (q->path.p[0] == '/' || q->head.form == RF_FORM_ASTERISK))
		target(&o, q->path, true);
	else {
		add(&o, RF_STR("/"));
		target(&o, q->path, true);
	}
	if (q->query.n || (q->head.has_query && q->query.p == q->head.query.p)) {
		add(&o, RF_STR("?"));
		target(&o, q->query, false);
	}
	add(&o, RF_STR(" HTTP/1.1\r\n"));
	line(&o, RF_STR("Host"), host);
	q->out_line = (struct rf_str){ o.p, o.n };
	return o.full ? RF_E_TOO_LARGE : RF_OK;
}

static bool kept_from_origin(const struct rf_http_header *h, bool interim, bool chunk, enum rf_coding coding)
{
	if (h->hop)
		return false;
	switch (h->id) {
	case RF_HDR_CONTENT_LENGTH: return !interim && !chunk;
	case RF_HDR_TRANSFER_ENCODING: return false;
	case RF_HDR_ACCEPT_RANGES: return coding == RF_CODING_NONE;
	default: return true;
	}
}

static void connection_says(struct out *o, const struct request *q)
{
	if (q->upgraded) {
		line(o, RF_STR("Connection"), RF_STR("Upgrade"));
		line(o, RF_STR("Upgrade"), RF_STR("websocket"));
	} else if (q->conn->client.last || !q->head.keep_alive) {
		line(o, RF_STR("Connection"), RF_STR("close"));
	} else if (!q->head.minor) {
		line(o, RF_STR("Connection"), RF_STR("keep-alive"));
	}
}

/* Edits of rules of the answer; framing and coding stay the edge's. */
static void answer_edits(struct out *o, const struct rf_verdict *v)
{
	for (unsigned i = 0; i < v->nedits; i++) {
		const struct rf_edit *e = &v->edits[i];
		bool again = e->op == RF_EDIT_REMOVE; /* a later SET or REMOVE of the same name wins */
		for (unsigned k = i + 1; k < v->nedits; k++)
			again |= v->edits[k].op != RF_EDIT_ADD && rf_str_ieq(v->edits[k].name, e->name);
		if (!again && rf_http_is_token(e->name))
			clean_line(o, e->name, e->value);
	}
}

static bool answer_edited(const struct rf_verdict *v, struct rf_str name)
{
	for (unsigned i = 0; i < v->nedits; i++)
		if (v->edits[i].op != RF_EDIT_ADD && rf_str_ieq(v->edits[i].name, name))
			return true;
	return false;
}

static size_t answer_room(const struct rf_http_head *h, const struct rf_verdict *v)
{
	size_t n = h->size + 256;
	for (unsigned i = 0; v && i < v->nedits; i++)
		n += v->edits[i].name.n + v->edits[i].value.n + 4;
	return n;
}

struct rf_str headers_answer(struct request *q, const struct rf_http_head *h, bool interim, bool chunk,
			     enum rf_coding coding, const struct rf_verdict *v)
{
	struct out o;
	char status[4] = { (char)('0' + h->status / 100 % 10), (char)('0' + h->status / 10 % 10), (char)('0' + h->status % 10), ' ' };
	if (!out_on(&o, &q->arena, answer_room(h, v)))
		return (struct rf_str){ 0 };
	add(&o, RF_STR("HTTP/1.1 "));
	add(&o, (struct rf_str){ status, sizeof status });
	add(&o, h->reason);
	add(&o, RF_STR("\r\n"));
	for (uint16_t i = 0; i < h->count; i++) {
		const struct rf_http_header *f = &h->headers[i];
		if (!kept_from_origin(f, interim, chunk, coding) || (v && v->nedits && answer_edited(v, f->name)))
			continue;
		/* Another coding is another representation, byte for byte [RFC 9110 8.8.1]. */
		bool strong = coding && f->id == RF_HDR_ETAG && !rf_str_starts(f->value, RF_STR("W/"));
		add(&o, f->name);
		add(&o, strong ? RF_STR(": W/") : RF_STR(": "));
		add(&o, f->value);
		add(&o, RF_STR("\r\n"));
	}
	if (v)
		answer_edits(&o, v);
	if (chunk)
		line(&o, RF_STR("Transfer-Encoding"), RF_STR("chunked"));
	if (coding) {
		line(&o, RF_STR("Content-Encoding"), rf_str_z(rf_coding_name(coding)));
		line(&o, RF_STR("Vary"), RF_STR("Accept-Encoding"));
	}
	if (!interim || q->upgraded)
		connection_says(&o, q);
	add(&o, RF_STR("\r\n"));
	return o.full ? (struct rf_str){ 0 } : (struct rf_str){ o.p, o.n };
}
