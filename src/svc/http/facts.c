/* svc/http/facts: what rules can know about a request, field by field.
 *
 * Each field is asked for at most once a request, and only by rules that name it (policy/facts); so
 * nothing is prepared in advance. Texts are slices of the head; what must be made lives in the arena.
 *
 * Not here: facts of the connection that the request is on (svc/client_facts).
 */
#include "base/enc.h"
#include "policy/pairs.h"
#include "svc/http/conn.h"
#include "wire/accept.h"
#include "wire/fields.h"
#include "wire/form.h"
#include "wire/uri.h"

enum { LANGUAGES = 64 };

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
	const char *scheme = c->client.tls ? "https" : "http";
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

/* Of a connection too, but here it is that of the request. */
static bool of_request(struct rf_http_conn *c, struct rf_arena *a, enum rf_field f, struct rf_val *ret)
{
	const struct request *q = c->req;
	switch (f) {
	case RF_F_RAY_ID: return give_str(ret, rf_arena_printf(a, "%016llx", (unsigned long long)q->ray));
	case RF_F_CERT_STATUS: return give_z(ret, q->cert_status);
	case RF_F_CERT_REASON: return give_z(ret, q->cert_reason);
	default: return false;
	}
}

/* What is not here is a fact of the connection. */
static getter *const sources[RF_FIELD_COUNT] = {
	[RF_F_HTTP_HOST] = http_plain, [RF_F_HTTP_METHOD] = http_plain, [RF_F_HTTP_URI] = http_plain,
	[RF_F_HTTP_PATH] = http_plain, [RF_F_HTTP_PATH_EXT] = http_plain, [RF_F_HTTP_QUERY] = http_plain,
	[RF_F_HTTP_FULL_URI] = http_plain, [RF_F_RAW_URI] = http_plain, [RF_F_RAW_PATH] = http_plain,
	[RF_F_RAW_QUERY] = http_plain, [RF_F_RAW_FULL_URI] = http_plain, [RF_F_HTTP_VERSION] = http_plain,
	[RF_F_HTTP_COOKIE] = header_value, [RF_F_HTTP_REFERER] = header_value, [RF_F_HTTP_USER_AGENT] = header_value,
	[RF_F_HTTP_XFF] = header_value, [RF_F_HTTP_ARGS] = map_of, [RF_F_HTTP_HEADERS] = map_of,
	[RF_F_HTTP_COOKIES] = map_of, [RF_F_HTTP_ARG_NAMES] = list_of, [RF_F_HTTP_ARG_VALUES] = list_of,
	[RF_F_HTTP_HEADER_NAMES] = list_of, [RF_F_HTTP_HEADER_VALUES] = list_of, [RF_F_HTTP_LANGUAGES] = languages,
	[RF_F_RESPONSE_CODE] = response, [RF_F_RESPONSE_TYPE] = response, [RF_F_ORIGIN_TTFB] = response,
	[RF_F_RESPONSE_HEADERS] = map_of, [RF_F_RESPONSE_NAMES] = list_of, [RF_F_RESPONSE_VALUES] = list_of,
	[RF_F_HTTP_BODY] = body_fact, [RF_F_HTTP_BODY_SIZE] = body_fact, [RF_F_HTTP_BODY_CUT] = body_fact,
	[RF_F_HTTP_BODY_MIME] = body_fact, [RF_F_FORM] = body_fact, [RF_F_FORM_NAMES] = body_fact,
	[RF_F_FORM_VALUES] = body_fact, [RF_F_MULTIPART] = body_fact, [RF_F_PART_NAMES] = body_fact,
	[RF_F_PART_VALUES] = body_fact, [RF_F_PART_FILENAMES] = body_fact, [RF_F_PART_TYPES] = body_fact,
	[RF_F_PART_DISPOSITIONS] = body_fact, [RF_F_PART_ENCODINGS] = body_fact, [RF_F_RAW_ARGS] = map_of,
	[RF_F_RAW_ARG_NAMES] = list_of, [RF_F_RAW_ARG_VALUES] = list_of, [RF_F_JWT] = claims, [RF_F_JWT_AUD] = claims,
	[RF_F_JWT_AUD_NAMES] = claims, [RF_F_JWT_AUD_VALUES] = claims, [RF_F_JWT_ISS] = claims,
	[RF_F_JWT_ISS_NAMES] = claims, [RF_F_JWT_ISS_VALUES] = claims, [RF_F_JWT_SUB] = claims,
	[RF_F_JWT_SUB_NAMES] = claims, [RF_F_JWT_SUB_VALUES] = claims, [RF_F_JWT_JTI] = claims,
	[RF_F_JWT_JTI_NAMES] = claims, [RF_F_JWT_JTI_VALUES] = claims, [RF_F_JWT_IAT] = claims,
	[RF_F_JWT_IAT_NAMES] = claims, [RF_F_JWT_IAT_VALUES] = claims, [RF_F_JWT_NBF] = claims,
	[RF_F_JWT_NBF_NAMES] = claims, [RF_F_JWT_NBF_VALUES] = claims, [RF_F_JWT_EXP] = claims,
	[RF_F_JWT_EXP_NAMES] = claims, [RF_F_JWT_EXP_VALUES] = claims, [RF_F_RAY_ID] = of_request,
	[RF_F_CERT_STATUS] = of_request, [RF_F_CERT_REASON] = of_request,
};

static bool get(void *ctx, struct rf_arena *arena, enum rf_field f, struct rf_val *ret)
{
	struct rf_http_conn *c = ctx;
	return sources[f] ? sources[f](c, arena, f, ret) : rf_client_fact(&c->client, c->req->snap, arena, f, ret);
}

static bool get_key(void *ctx, struct rf_arena *arena, enum rf_field f, struct rf_str key, struct rf_val *ret)
{
	struct rf_http_conn *c = ctx;
	struct rf_pairs p = { 0 };
	if (sources[f] == claims)
		return claims(c, arena, f, ret) && rf_val_at(ret, key, ret);
	if (sources[f] != map_of)
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
