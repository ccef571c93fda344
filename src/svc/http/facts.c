/* svc/http/facts: what rules can know about a connection and the request on it, field by field.
 *
 * Each field is asked for at most once a request, and only by rules that name it (policy/facts); so
 * nothing is prepared in advance. In the connection phase there is no request, and the fields of a
 * request are absent. Texts are slices of the head, of the certificate or of the device; what must be
 * made lives in the arena.
 */
#include <netinet/tcp.h>
#include "base/enc.h"
#include "device/facts.h"
#include "policy/pairs.h"
#include "svc/http/conn.h"
#include "tls/fingerprint.h"
#include "wire/accept.h"
#include "wire/fields.h"
#include "wire/form.h"
#include "wire/uri.h"

enum { RFC9440_CERT = 10240, RFC9440_CHAIN = 16384, RANDOM_SEED = 16, LANGUAGES = 64 };

typedef bool getter(struct rf_http_conn *c, struct rf_arena *a, enum rf_field f, struct rf_val *ret);

static bool give_str(struct rf_val *ret, struct rf_str s)
{
	*ret = rf_val_str(s);
	return true;
}

static bool give_z(struct rf_val *ret, const char *z)
{
	return give_str(ret, rf_str_z(z));
}

static struct rf_str uri(struct rf_arena *a, struct rf_str path, struct rf_str query, bool has_query)
{
	return has_query ? rf_arena_printf(a, "%.*s?%.*s", RF_ARG(path), RF_ARG(query)) : path;
}

static struct rf_str lower_of(struct rf_arena *a, struct rf_str text)
{
	struct rf_str s = rf_arena_dup(a, text);
	for (size_t i = 0; s.p && i < s.n; i++)
		((char *)(uintptr_t)s.p)[i] = (char)rf_lower((unsigned char)s.p[i]);
	return s;
}

static struct rf_str media_type(struct rf_arena *a, const struct rf_http_head *h)
{
	return lower_of(a, rf_media_essence(rf_http_value(h, RF_HDR_CONTENT_TYPE)));
}

static struct rf_str extension(struct rf_arena *a, struct rf_str path)
{
	size_t at = path.n;
	while (at && path.p[at - 1] != '.' && path.p[at - 1] != '/')
		at--;
	if (at < 2 || path.p[at - 1] == '/' || path.p[at - 2] == '/') /* a dot at its start makes no extension */
		return RF_STR("");
	return lower_of(a, rf_str_skip(path, at));
}

static bool http_plain(struct rf_http_conn *c, struct rf_arena *a, enum rf_field f, struct rf_val *ret)
{
	const struct request *q = c->req;
	const struct rf_http_head *h = &q->head;
	bool has_query = h->has_query || q->query.n;
	const char *scheme = c->listener->tls ? "https" : "http";
	struct rf_str s;
	switch (f) {
	case RF_F_HTTP_HOST: return give_str(ret, q->host);
	case RF_F_HTTP_METHOD: return give_str(ret, h->method_s);
	case RF_F_HTTP_URI: return give_str(ret, uri(a, q->path, q->query, has_query));
	case RF_F_HTTP_PATH: return give_str(ret, q->path);
	case RF_F_HTTP_PATH_EXT: return give_str(ret, extension(a, q->path));
	case RF_F_HTTP_QUERY: return give_str(ret, q->query);
	case RF_F_RAW_URI: return give_str(ret, uri(a, h->path, h->query, h->has_query));
	case RF_F_RAW_PATH: return give_str(ret, h->path);
	case RF_F_RAW_QUERY: return give_str(ret, h->query);
	case RF_F_HTTP_FULL_URI:
		s = uri(a, q->path, q->query, has_query);
		return give_str(ret, rf_arena_printf(a, "%s://%.*s%.*s", scheme, RF_ARG(q->host), RF_ARG(s)));
	case RF_F_RAW_FULL_URI:
		s = uri(a, h->path, h->query, h->has_query);
		return give_str(ret, rf_arena_printf(a, "%s://%.*s%.*s", scheme, RF_ARG(h->host), RF_ARG(s)));
	case RF_F_HTTP_VERSION: return give_z(ret, h->minor ? "HTTP/1.1" : "HTTP/1.0");
	default: return false;
	}
}

static bool header_value(struct rf_http_conn *c, struct rf_arena *a, enum rf_field f, struct rf_val *ret)
{
	static const enum rf_http_header_id ids[RF_FIELD_COUNT] = {
		[RF_F_HTTP_COOKIE] = RF_HDR_COOKIE, [RF_F_HTTP_REFERER] = RF_HDR_REFERER,
		[RF_F_HTTP_USER_AGENT] = RF_HDR_USER_AGENT, [RF_F_HTTP_XFF] = RF_HDR_X_FORWARDED_FOR,
	};
	const struct rf_http_header *h = rf_http_header(&c->req->head, ids[f]);
	struct rf_str all = h ? h->value : RF_STR("");
	while (h && (h = rf_http_header_next(&c->req->head, h))) /* several lines are one list [RFC 9110 5.3] */
		all = rf_arena_printf(a, "%.*s%s%.*s", RF_ARG(all), f == RF_F_HTTP_COOKIE ? "; " : ", ", RF_ARG(h->value));
	return give_str(ret, all);
}

static struct rf_str lower_name(struct rf_arena *a, const struct rf_http_header *h)
{
	if (h->id != RF_HDR_OTHER)
		return rf_http_header_name((enum rf_http_header_id)h->id);
	return lower_of(a, h->name);
}

static struct rf_str plain_name(struct rf_arena *a, struct rf_str name)
{
	char *to = rf_str_find(name, '%') < name.n ? rf_arena_alloc(a, name.n) : NULL;
	return to ? (struct rf_str){ to, rf_unpercent(name, to) } : name;
}

static bool headers_of(struct rf_arena *a, const struct rf_http_head *h, struct rf_pairs *p)
{
	for (uint16_t i = 0; i < h->count; i++)
		if (!rf_pair_add(a, p, lower_name(a, &h->headers[i]), h->headers[i].value))
			return false;
	return true;
}

static bool pairs_of(struct rf_http_conn *c, struct rf_arena *a, enum rf_field f, struct rf_pairs *p)
{
	const struct request *q = c->req;
	struct rf_str rest, k, v;
	switch (f) {
	case RF_F_HTTP_HEADERS: case RF_F_HTTP_HEADER_NAMES: case RF_F_HTTP_HEADER_VALUES:
		return headers_of(a, &q->head, p);
	case RF_F_RESPONSE_HEADERS: case RF_F_RESPONSE_NAMES: case RF_F_RESPONSE_VALUES:
		return headers_of(a, &q->answer, p);
	case RF_F_HTTP_COOKIES:
		for (const struct rf_http_header *h = rf_http_header(&q->head, RF_HDR_COOKIE); h;
		     h = rf_http_header_next(&q->head, h))
			for (rest = h->value; rf_cookie_next(&rest, &k, &v);)
				if (!rf_pair_add(a, p, plain_name(a, k), v))
					return false;
		return true;
	default:
		rest = f == RF_F_RAW_ARGS || f == RF_F_RAW_ARG_NAMES || f == RF_F_RAW_ARG_VALUES ? q->head.query : q->query;
		for (; rf_query_next(&rest, &k, &v);)
			if (!rf_pair_add(a, p, k, v.p ? v : RF_STR("")))
				return false;
		return true;
	}
}

static bool list_of(struct rf_http_conn *c, struct rf_arena *a, enum rf_field f, struct rf_val *ret)
{
	struct rf_pairs p = { 0 };
	bool names = f == RF_F_HTTP_HEADER_NAMES || f == RF_F_HTTP_ARG_NAMES || f == RF_F_RESPONSE_NAMES ||
		f == RF_F_RAW_ARG_NAMES;
	return pairs_of(c, a, f, &p) && rf_array_of(a, names ? p.key : p.value, p.n, ret);
}

static bool map_of(struct rf_http_conn *c, struct rf_arena *a, enum rf_field f, struct rf_val *ret)
{
	struct rf_pairs p = { 0 };
	return pairs_of(c, a, f, &p) && rf_pairs_map(a, &p, ret);
}

/* Of the origin's answer, once its head is whole. */
static bool response(struct rf_http_conn *c, struct rf_arena *a, enum rf_field f, struct rf_val *ret)
{
	struct request *q = c->req;
	switch (f) {
	case RF_F_RESPONSE_CODE: /* the edge's own where no origin has answered */
		*ret = rf_val_int(q->origin_status ? q->origin_status : q->status);
		return ret->i;
	case RF_F_RESPONSE_TYPE: return give_str(ret, media_type(a, &q->answer));
	case RF_F_ORIGIN_TTFB: *ret = rf_val_int((int64_t)(q->origin_ns / 1000000)); return true;
	default: return false;
	}
}

/* Of one language its weight in thousandths [RFC 9110 12.4.2]. */
static unsigned weight(struct rf_str params)
{
	struct rf_arena none = { 0 };
	struct rf_str q;
	unsigned w = 0, unit = 1000;
	if (!rf_header_param(params, RF_STR("q"), &none, &q))
		return 1000;
	for (size_t i = 0; i < q.n && i < 5; i++)
		if (q.p[i] >= '0' && q.p[i] <= '9') {
			w += (unsigned)(q.p[i] - '0') * unit;
			unit /= 10;
		}
	return w;
}

static bool languages(struct rf_http_conn *c, struct rf_arena *a, enum rf_field f, struct rf_val *ret)
{
	struct { struct rf_str name; unsigned weight; } found[LANGUAGES];
	struct rf_str rest = rf_http_value(&c->req->head, RF_HDR_ACCEPT_LANGUAGE), item, names[LANGUAGES];
	uint32_t n = 0;
	(void)f;
	while (n < LANGUAGES && rf_http_list_next(&rest, &item)) {
		struct rf_str name = rf_str_trim((struct rf_str){ item.p, rf_str_find(item, ';') });
		unsigned w = weight(item);
		uint32_t at = n;
		if (!name.n || rf_str_eq(name, RF_STR("*")))
			continue;
		for (; at > 0 && found[at - 1].weight < w; at--)
			found[at] = found[at - 1];
		found[at].name = name;
		found[at].weight = w;
		n++;
	}
	for (uint32_t i = 0; i < n; i++)
		names[i] = found[i].name;
	return rf_array_of(a, names, n, ret);
}

/* What the operator's databases say about an address. */
static bool geo(struct rf_http_conn *c, struct rf_arena *a, enum rf_field f, struct rf_val *ret)
{
	const struct rf_snap *s = c->req ? c->req->snap : c->edge->snap();
	return rf_geo_fact(s->site->geo, rf_geo_of_dst(f) ? &c->dst : &c->src, f, a, ret);
}

/* Where tokens are carried. */
static bool token_source(void *ctx, bool cookie, struct rf_str name, struct rf_str *ret)
{
	struct rf_http_conn *c = ctx;
	const struct rf_http_head *h = &c->req->head;
	struct rf_pairs p = { 0 };
	enum rf_http_header_id id = rf_http_header_of(name);
	for (uint16_t i = 0; !cookie && i < h->count; i++)
		if (h->headers[i].id == id && (id != RF_HDR_OTHER || rf_str_ieq(h->headers[i].name, name))) {
			*ret = h->headers[i].value;
			return true;
		}
	if (!cookie || !pairs_of(c, &c->req->arena, RF_F_HTTP_COOKIES, &p))
		return false;
	for (uint32_t i = 0; i < p.n; i++)
		if (rf_str_eq(p.key[i], name)) {
			*ret = p.value[i];
			return true;
		}
	return false;
}

static bool claims(struct rf_http_conn *c, struct rf_arena *a, enum rf_field f, struct rf_val *ret)
{
	struct request *q = c->req;
	if (!q->claims)
		q->claims = rf_tokens_read(q->snap->site->tokens, token_source, c, q->wall / (int64_t)RF_NS_S, &q->arena, &q->claims_n);
	return q->claims && rf_claims_fact(q->claims, q->claims_n, f, a, ret);
}

static bool address(struct rf_http_conn *c, struct rf_arena *a, enum rf_field f, struct rf_val *ret)
{
	(void)a;
	switch (f) {
	case RF_F_SSL: *ret = rf_val_bool(c->listener->tls); return true;
	case RF_F_IP_SRC: *ret = rf_val_ip(c->src); return c->src.family;
	case RF_F_IP_DST: case RF_F_EDGE_IP: *ret = rf_val_ip(c->dst); return c->dst.family;
	case RF_F_TCP_SRCPORT: *ret = rf_val_int(c->src_port); return true;
	case RF_F_TCP_DSTPORT: case RF_F_EDGE_PORT: *ret = rf_val_int(c->dst_port); return true;
	default: return false;
	}
}

/* TCP_INFO as the kernel gives it, which knows more than the C library's header. */
struct kernel_tcp_info {
	struct tcp_info known;                                 /* 104 bytes */
	uint64_t pacing_rate, max_pacing_rate, bytes_acked, bytes_received;
	uint32_t segs_out, segs_in, notsent_bytes, min_rtt, data_segs_in, data_segs_out;
	uint64_t delivery_rate;
};
_Static_assert(offsetof(struct kernel_tcp_info, delivery_rate) == 160, "layout of the kernel's tcp_info");

static bool edge(struct rf_http_conn *c, struct rf_arena *a, enum rf_field f, struct rf_val *ret)
{
	struct tcp_info t;
	struct kernel_tcp_info k;
	socklen_t n = sizeof t, kn = sizeof k;
	switch (f) {
	case RF_F_RAY_ID:
		return give_str(ret, rf_arena_printf(a, "%016llx", (unsigned long long)(c->req ? c->req->ray : c->id)));
	case RF_F_RANDOM_SEED: {
		uint64_t two[RANDOM_SEED / 8] = { edge_id(c->edge), edge_id(c->edge) };
		return give_str(ret, rf_arena_dup(a, (struct rf_str){ (const char *)two, sizeof two }));
	}
	case RF_F_CLIENT_TCP:
		*ret = rf_val_bool(true);
		return true;
	case RF_F_COLO_NAME:
		return give_str(ret, (c->req ? c->req->snap : c->edge->snap())->site->place_name);
	case RF_F_COLO_REGION:
		return give_str(ret, (c->req ? c->req->snap : c->edge->snap())->site->place_region);
	case RF_F_DELIVERY_RATE:
		if (getsockopt(c->stream.io.fd, IPPROTO_TCP, TCP_INFO, &k, &kn) ||
		    kn < offsetof(struct kernel_tcp_info, delivery_rate) + sizeof k.delivery_rate)
			return false;
		*ret = rf_val_int((int64_t)k.delivery_rate);
		return true;
	case RF_F_RTT_MSEC:
		if (getsockopt(c->stream.io.fd, IPPROTO_TCP, TCP_INFO, &t, &n) || n < offsetof(struct tcp_info, tcpi_rttvar))
			return false;
		*ret = rf_val_int(t.tcpi_rtt / 1000);
		return true;
	default: return false;
	}
}

/* The documented names of the suites of TLS 1.3. */
static const char *cipher_name(const char *openssl)
{
	static const char *const names[][2] = {
		{ "TLS_AES_128_GCM_SHA256", "AEAD-AES128-GCM-SHA256" },
		{ "TLS_AES_256_GCM_SHA384", "AEAD-AES256-GCM-SHA384" },
		{ "TLS_CHACHA20_POLY1305_SHA256", "AEAD-CHACHA20-POLY1305-SHA256" },
	};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcmp(openssl, names[i][0]))
			return names[i][1];
	return openssl;
}

static bool client_random(struct rf_http_conn *c, struct rf_arena *a, struct rf_val *ret)
{
	char hex[65], raw[32];
	struct rf_buf b = { 0 };
	rf_tls_client_random(&c->stream, hex);
	ssize_t n = rf_unhex(rf_str_z(hex), raw, sizeof raw);
	if (n <= 0)
		return false;
	rf_b64_add(&b, (struct rf_str){ raw, (size_t)n });
	struct rf_str s = rf_arena_dup(a, rf_buf_str(&b));
	rf_buf_fini(&b);
	return give_str(ret, s);
}

/* Absent where no rule asked for one when the connection was made. */
static bool fingerprint(struct rf_http_conn *c, struct rf_arena *a, enum rf_print which, struct rf_val *ret)
{
	RF_BUF_AUTO b = { 0 };
	struct rf_str hello = rf_tls_hello(&c->stream);
	if (!hello.n || rf_tls_print(hello, which, &b) != RF_OK)
		return false;
	return give_str(ret, rf_arena_dup(a, rf_buf_str(&b)));
}

static bool tls(struct rf_http_conn *c, struct rf_arena *a, enum rf_field f, struct rf_val *ret)
{
	const struct rf_tls_info *i = c->handshaken ? rf_tls_info(&c->stream) : NULL;
	if (!i)
		return false;
	switch (f) {
	case RF_F_TLS_VERSION: return give_z(ret, i->version);
	case RF_F_TLS_CIPHER: return give_z(ret, cipher_name(i->cipher));
	case RF_F_TLS_SNI: return give_z(ret, i->sni);
	case RF_F_TLS_ALPN: return give_str(ret, rf_tls_alpn(&c->stream));
	case RF_F_TLS_RESUMED: *ret = rf_val_bool(i->resumed); return true;
	case RF_F_TLS_EARLY: *ret = rf_val_bool(i->early); return true;
	case RF_F_TLS_HELLO_LENGTH: *ret = rf_val_int(rf_tls_hello_length(&c->stream)); return true;
	case RF_F_TLS_RANDOM: return client_random(c, a, ret);
	case RF_F_JA3: return fingerprint(c, a, RF_PRINT_JA3, ret);
	case RF_F_JA4: return fingerprint(c, a, RF_PRINT_JA4, ret);
	case RF_F_TLS_CIPHERS_SHA1: return fingerprint(c, a, RF_PRINT_CIPHERS, ret);
	case RF_F_TLS_EXT_SHA1: return fingerprint(c, a, RF_PRINT_EXTENSIONS, ret);
	case RF_F_TLS_EXT_SHA1_LE: return fingerprint(c, a, RF_PRINT_EXTENSIONS_LE, ret);
	default: return false;
	}
}

static struct rf_str chain_9440(const struct rf_tls_peer *p, struct rf_arena *a)
{
	struct rf_str all = RF_STR("");
	for (size_t i = 0; i < p->chain_count && all.n <= RFC9440_CHAIN; i++) {
		struct rf_str one = rf_cert_rfc9440(p->chain[i], a);
		all = i ? rf_arena_printf(a, "%.*s, %.*s", RF_ARG(all), RF_ARG(one)) : one;
	}
	return all;
}

static bool capped(struct rf_val *ret, struct rf_str s, size_t cap)
{
	return give_str(ret, s.n > cap ? RF_STR("") : s);
}

static bool cert_text(const struct rf_cert *x, struct rf_arena *a, enum rf_field f, struct rf_val *ret)
{
	char time[RF_CERT_TIME];
	switch (f) {
	case RF_F_CERT_ISSUER_DN: case RF_F_CERT_ISSUER_2253: return give_str(ret, rf_cert_issuer(x, RF_DN_RFC2253, a));
	case RF_F_CERT_SUBJECT_DN: case RF_F_CERT_SUBJECT_2253: return give_str(ret, rf_cert_subject(x, RF_DN_RFC2253, a));
	case RF_F_CERT_ISSUER_LEGACY: return give_str(ret, rf_cert_issuer(x, RF_DN_LEGACY, a));
	case RF_F_CERT_SUBJECT_LEGACY: return give_str(ret, rf_cert_subject(x, RF_DN_LEGACY, a));
	case RF_F_CERT_SERIAL: return give_z(ret, x->serial);
	case RF_F_CERT_ISSUER_SERIAL: return give_z(ret, x->issuer_serial);
	case RF_F_CERT_SHA256: return give_z(ret, x->sha256);
	case RF_F_CERT_SHA1: return give_z(ret, x->sha1);
	case RF_F_CERT_NOT_BEFORE: return give_str(ret, rf_arena_dup(a, rf_str_z(rf_cert_time(x->not_before, time))));
	case RF_F_CERT_NOT_AFTER: return give_str(ret, rf_arena_dup(a, rf_str_z(rf_cert_time(x->not_after, time))));
	case RF_F_CERT_SKI: return give_z(ret, x->ski);
	case RF_F_CERT_ISSUER_SKI: return give_z(ret, x->issuer_ski);
	case RF_F_CERT_9440: return capped(ret, rf_cert_rfc9440(x, a), RFC9440_CERT);
	case RF_F_CERT_9440_LARGE: *ret = rf_val_bool(rf_cert_rfc9440(x, a).n > RFC9440_CERT); return true;
	default: return false;
	}
}

static bool cert(struct rf_http_conn *c, struct rf_arena *a, enum rf_field f, struct rf_val *ret)
{
	const struct rf_tls_info *i = c->handshaken ? rf_tls_info(&c->stream) : NULL;
	const struct rf_tls_peer *p = i ? i->peer : NULL;
	switch (f) {
	case RF_F_CERT_PRESENTED: *ret = rf_val_bool(p); return true;
	case RF_F_CERT_VERIFIED: *ret = rf_val_bool(i && i->verified); return true;
	case RF_F_CERT_REVOKED: *ret = rf_val_bool(i && i->verified && i->revoked); return true;
	case RF_F_CERT_STATUS:
		return give_z(ret, c->req ? c->req->cert_status : !p ? "none" : i->revoked ? "revoked" :
			      i->status == RF_CERT_VALID ? "valid" : "invalid");
	case RF_F_CERT_REASON: return give_z(ret, c->req ? c->req->cert_reason : p ? i->reason : "");
	case RF_F_CHAIN_9440: return p && capped(ret, chain_9440(p, a), RFC9440_CHAIN);
	case RF_F_CHAIN_9440_LARGE: *ret = rf_val_bool(p && chain_9440(p, a).n > RFC9440_CHAIN); return true;
	default: return p && cert_text(p->cert, a, f, ret);
	}
}

static bool device(struct rf_http_conn *c, struct rf_arena *a, enum rf_field f, struct rf_val *ret)
{
	if (f == RF_F_DEVICE_SKI)
		return c->device && c->handshaken && rf_tls_info(&c->stream)->peer &&
		       give_z(ret, rf_tls_info(&c->stream)->peer->cert->ski);
	const struct rf_class *class = c->device ? who_class(c, c->req ? c->req->snap : c->edge->snap()) : NULL;
	return rf_device_fact(c->device, class ? class->name : RF_STR(""), a, f, ret);
}

struct source {
	getter *get;
	bool request; /* there must be one */
};

static const struct source sources[RF_FIELD_COUNT] = {
	[RF_F_HTTP_HOST] = { http_plain, true }, [RF_F_HTTP_METHOD] = { http_plain, true },
	[RF_F_HTTP_URI] = { http_plain, true }, [RF_F_HTTP_PATH] = { http_plain, true },
	[RF_F_HTTP_PATH_EXT] = { http_plain, true }, [RF_F_HTTP_QUERY] = { http_plain, true },
	[RF_F_HTTP_FULL_URI] = { http_plain, true }, [RF_F_RAW_URI] = { http_plain, true },
	[RF_F_RAW_PATH] = { http_plain, true }, [RF_F_RAW_QUERY] = { http_plain, true },
	[RF_F_RAW_FULL_URI] = { http_plain, true }, [RF_F_HTTP_VERSION] = { http_plain, true },
	[RF_F_HTTP_COOKIE] = { header_value, true }, [RF_F_HTTP_REFERER] = { header_value, true },
	[RF_F_HTTP_USER_AGENT] = { header_value, true }, [RF_F_HTTP_XFF] = { header_value, true },
	[RF_F_HTTP_ARGS] = { map_of, true }, [RF_F_HTTP_HEADERS] = { map_of, true }, [RF_F_HTTP_COOKIES] = { map_of, true },
	[RF_F_HTTP_ARG_NAMES] = { list_of, true }, [RF_F_HTTP_ARG_VALUES] = { list_of, true },
	[RF_F_HTTP_HEADER_NAMES] = { list_of, true }, [RF_F_HTTP_HEADER_VALUES] = { list_of, true },
	[RF_F_HTTP_LANGUAGES] = { languages, true },
	[RF_F_RESPONSE_CODE] = { response, true }, [RF_F_RESPONSE_TYPE] = { response, true },
	[RF_F_ORIGIN_TTFB] = { response, true }, [RF_F_RESPONSE_HEADERS] = { map_of, true },
	[RF_F_RESPONSE_NAMES] = { list_of, true }, [RF_F_RESPONSE_VALUES] = { list_of, true },
	[RF_F_HTTP_BODY] = { body_fact, true }, [RF_F_HTTP_BODY_SIZE] = { body_fact, true },
	[RF_F_HTTP_BODY_CUT] = { body_fact, true }, [RF_F_HTTP_BODY_MIME] = { body_fact, true },
	[RF_F_FORM] = { body_fact, true }, [RF_F_FORM_NAMES] = { body_fact, true }, [RF_F_FORM_VALUES] = { body_fact, true },
	[RF_F_MULTIPART] = { body_fact, true }, [RF_F_PART_NAMES] = { body_fact, true },
	[RF_F_PART_VALUES] = { body_fact, true }, [RF_F_PART_FILENAMES] = { body_fact, true },
	[RF_F_PART_TYPES] = { body_fact, true }, [RF_F_PART_DISPOSITIONS] = { body_fact, true },
	[RF_F_PART_ENCODINGS] = { body_fact, true }, [RF_F_RAW_ARGS] = { map_of, true },
	[RF_F_RAW_ARG_NAMES] = { list_of, true }, [RF_F_RAW_ARG_VALUES] = { list_of, true },
	[RF_F_SSL] = { address, false }, [RF_F_IP_SRC] = { address, false }, [RF_F_IP_DST] = { address, false },
	[RF_F_TCP_SRCPORT] = { address, false }, [RF_F_TCP_DSTPORT] = { address, false },
	[RF_F_EDGE_IP] = { address, false }, [RF_F_EDGE_PORT] = { address, false },
	[RF_F_JWT] = { claims, true },
	[RF_F_JWT_AUD] = { claims, true }, [RF_F_JWT_AUD_NAMES] = { claims, true }, [RF_F_JWT_AUD_VALUES] = { claims, true },
	[RF_F_JWT_ISS] = { claims, true }, [RF_F_JWT_ISS_NAMES] = { claims, true }, [RF_F_JWT_ISS_VALUES] = { claims, true },
	[RF_F_JWT_SUB] = { claims, true }, [RF_F_JWT_SUB_NAMES] = { claims, true }, [RF_F_JWT_SUB_VALUES] = { claims, true },
	[RF_F_JWT_JTI] = { claims, true }, [RF_F_JWT_JTI_NAMES] = { claims, true }, [RF_F_JWT_JTI_VALUES] = { claims, true },
	[RF_F_JWT_IAT] = { claims, true }, [RF_F_JWT_IAT_NAMES] = { claims, true }, [RF_F_JWT_IAT_VALUES] = { claims, true },
	[RF_F_JWT_NBF] = { claims, true }, [RF_F_JWT_NBF_NAMES] = { claims, true }, [RF_F_JWT_NBF_VALUES] = { claims, true },
	[RF_F_JWT_EXP] = { claims, true }, [RF_F_JWT_EXP_NAMES] = { claims, true }, [RF_F_JWT_EXP_VALUES] = { claims, true },
	[RF_F_RAY_ID] = { edge, false }, [RF_F_RANDOM_SEED] = { edge, false }, [RF_F_RTT_MSEC] = { edge, false },
	[RF_F_DELIVERY_RATE] = { edge, false }, [RF_F_CLIENT_TCP] = { edge, false },
	[RF_F_COLO_NAME] = { edge, false }, [RF_F_COLO_REGION] = { edge, false },
	[RF_F_IP_ASN] = { geo, false }, [RF_F_IP_COUNTRY] = { geo, false }, [RF_F_IP_CONTINENT] = { geo, false },
	[RF_F_IP_CITY] = { geo, false }, [RF_F_IP_LAT] = { geo, false }, [RF_F_IP_LON] = { geo, false },
	[RF_F_IP_REGION] = { geo, false }, [RF_F_IP_REGION_CODE] = { geo, false }, [RF_F_IP_POSTAL] = { geo, false },
	[RF_F_IP_TIMEZONE] = { geo, false }, [RF_F_IP_SUB1] = { geo, false }, [RF_F_IP_SUB2] = { geo, false },
	[RF_F_IP_EU] = { geo, false }, [RF_F_IP_METRO] = { geo, false }, [RF_F_IP_DST_COUNTRY] = { geo, false },
	[RF_F_TLS_VERSION] = { tls, false }, [RF_F_TLS_CIPHER] = { tls, false }, [RF_F_TLS_SNI] = { tls, false },
	[RF_F_TLS_ALPN] = { tls, false }, [RF_F_TLS_RESUMED] = { tls, false }, [RF_F_TLS_EARLY] = { tls, false },
	[RF_F_TLS_HELLO_LENGTH] = { tls, false }, [RF_F_TLS_RANDOM] = { tls, false },
	[RF_F_JA3] = { tls, false }, [RF_F_JA4] = { tls, false }, [RF_F_TLS_CIPHERS_SHA1] = { tls, false },
	[RF_F_TLS_EXT_SHA1] = { tls, false }, [RF_F_TLS_EXT_SHA1_LE] = { tls, false },
	[RF_F_CERT_PRESENTED] = { cert, false }, [RF_F_CERT_VERIFIED] = { cert, false },
	[RF_F_CERT_REVOKED] = { cert, false }, [RF_F_CERT_ISSUER_DN] = { cert, false },
	[RF_F_CERT_SUBJECT_DN] = { cert, false }, [RF_F_CERT_ISSUER_2253] = { cert, false },
	[RF_F_CERT_SUBJECT_2253] = { cert, false }, [RF_F_CERT_ISSUER_LEGACY] = { cert, false },
	[RF_F_CERT_SUBJECT_LEGACY] = { cert, false }, [RF_F_CERT_SERIAL] = { cert, false },
	[RF_F_CERT_ISSUER_SERIAL] = { cert, false }, [RF_F_CERT_SHA256] = { cert, false }, [RF_F_CERT_SHA1] = { cert, false },
	[RF_F_CERT_NOT_BEFORE] = { cert, false }, [RF_F_CERT_NOT_AFTER] = { cert, false }, [RF_F_CERT_SKI] = { cert, false },
	[RF_F_CERT_ISSUER_SKI] = { cert, false }, [RF_F_CERT_9440] = { cert, false },
	[RF_F_CERT_9440_LARGE] = { cert, false }, [RF_F_CHAIN_9440] = { cert, false },
	[RF_F_CHAIN_9440_LARGE] = { cert, false }, [RF_F_CERT_STATUS] = { cert, false }, [RF_F_CERT_REASON] = { cert, false },
	[RF_F_DEVICE_KNOWN] = { device, false }, [RF_F_DEVICE_ID] = { device, false }, [RF_F_DEVICE_NAME] = { device, false },
	[RF_F_DEVICE_CLASS] = { device, false }, [RF_F_DEVICE_MODEL] = { device, false },
	[RF_F_DEVICE_FIRMWARE] = { device, false }, [RF_F_DEVICE_OWNER] = { device, false },
	[RF_F_DEVICE_STATE] = { device, false }, [RF_F_DEVICE_TAGS] = { device, false }, [RF_F_DEVICE_SKI] = { device, false },
	[RF_F_DEVICE_CREATED] = { device, false },
};

static bool get(void *ctx, struct rf_arena *arena, enum rf_field f, struct rf_val *ret)
{
	struct rf_http_conn *c = ctx;
	const struct source *s = &sources[f];
	return s->get && (!s->request || c->req) && s->get(c, arena, f, ret);
}

static bool get_key(void *ctx, struct rf_arena *arena, enum rf_field f, struct rf_str key, struct rf_val *ret)
{
	struct rf_http_conn *c = ctx;
	struct rf_pairs p = { 0 };
	if (c->req && sources[f].get == claims)
		return claims(c, arena, f, ret) && rf_val_at(ret, key, ret);
	if (!c->req || sources[f].get != map_of)
		return false;
	if (f != RF_F_HTTP_HEADERS && f != RF_F_RESPONSE_HEADERS)
		return pairs_of(c, arena, f, &p) && p.n && rf_pairs_values(arena, &p, key, ret);
	enum rf_http_header_id id = rf_http_header_of(key); /* without building the whole map */
	const struct rf_http_head *h = f == RF_F_HTTP_HEADERS ? &c->req->head : &c->req->answer;
	for (uint16_t i = 0; i < h->count; i++)
		if (h->headers[i].id == id && (id != RF_HDR_OTHER || rf_str_ieq(h->headers[i].name, key)))
			if (!rf_pair_add(arena, &p, key, h->headers[i].value))
				return false;
	return p.n && rf_array_of(arena, p.value, p.n, ret);
}

const struct rf_facts_ops facts_ops = { get, get_key };
