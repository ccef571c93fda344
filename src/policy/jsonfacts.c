/* policy/jsonfacts: the facts of a request that is written down as a JSON object.
 *
 * What is not written is derived as the edge would (the URI from path and query, arguments, cookies,
 * the User-Agent field from its header); what is written wins. Everything is made at once: this serves
 * tests and explain, not traffic.
 */
#include <stdio.h>
#include "base/clock.h"
#include "base/enc.h"
#include "base/near.h"
#include "policy/body.h"
#include "policy/packet.h"
#include "policy/pairs.h"
#include "policy/ruletest.h"

enum { POINTER = 120 };

struct rf_json_facts {
	struct rf_val val[RF_FIELD_COUNT]; /* missing: not written */
	struct rf_arena *arena;
	struct rf_err *e;
	int64_t wall_ns;
};

static bool get(void *ctx, struct rf_arena *arena, enum rf_field f, struct rf_val *ret)
{
	struct rf_json_facts *j = ctx;
	(void)arena;
	*ret = j->val[f];
	return ret->tag != RF_V_MISSING;
}

static const struct rf_facts_ops json_ops = { .get = get };

static int no_memory(struct rf_json_facts *j)
{
	return rf_fail(j->e, RF_E_NOMEM, "the request needs too much memory");
}

static struct rf_str json_str(const json_t *v)
{
	return (struct rf_str){ json_string_value(v), json_string_length(v) };
}

static void set_str(struct rf_json_facts *j, enum rf_field f, struct rf_str s)
{
	if (j->val[f].tag == RF_V_MISSING)
		j->val[f] = rf_val_str(s);
}

static void set_bool(struct rf_json_facts *j, enum rf_field f, bool b)
{
	if (j->val[f].tag == RF_V_MISSING)
		j->val[f] = rf_val_bool(b);
}

static struct rf_str lower(struct rf_json_facts *j, struct rf_str s)
{
	struct rf_str low = rf_arena_dup(j->arena, s);
	for (size_t i = 0; low.p && i < low.n; i++)
		((char *)low.p)[i] = (char)rf_lower((unsigned char)low.p[i]);
	return low;
}

static bool convert(struct rf_json_facts *j, enum rf_type t, const json_t *v, struct rf_val *ret);

/* One value stands for an array of it. */
static bool array(struct rf_json_facts *j, enum rf_type t, const json_t *v, struct rf_val *ret)
{
	size_t n = json_is_array(v) ? json_array_size(v) : 1;
	struct rf_val *a = rf_arena_array(j->arena, n, sizeof *a);
	for (size_t i = 0; a && i < n; i++) {
		const json_t *item = json_is_array(v) ? json_array_get(v, i) : v;
		if (!convert(j, rf_type_element(t), item, &a[i]))
			return false;
	}
	*ret = rf_val_array(a, a ? (uint32_t)n : 0);
	return a != NULL;
}

static bool map(struct rf_json_facts *j, enum rf_type t, const json_t *v, struct rf_val *ret)
{
	struct rf_entry *m = rf_arena_array(j->arena, json_object_size(v), sizeof *m);
	uint32_t n = 0;
	const char *key;
	json_t *item;
	if (!m || !json_is_object(v))
		return false;
	json_object_foreach((json_t *)v, key, item) {
		m[n].key = rf_str_z(key);
		if (!convert(j, rf_type_element(t), item, &m[n++].val))
			return false;
	}
	*ret = rf_val_map(m, n);
	return true;
}

static bool convert(struct rf_json_facts *j, enum rf_type t, const json_t *v, struct rf_val *ret)
{
	struct rf_ip ip;
	switch (t) {
	case RF_T_BOOL:
		*ret = rf_val_bool(json_is_true(v));
		return json_is_boolean(v);
	case RF_T_INT:
		*ret = rf_val_int(json_integer_value(v));
		return json_is_integer(v);
	case RF_T_IP:
		if (!json_is_string(v) || !rf_ip_parse(json_str(v), &ip))
			return false;
		*ret = rf_val_ip(ip);
		return true;
	case RF_T_A_STR:
	case RF_T_A_INT:
	case RF_T_A_A_STR:
		return array(j, t, v, ret);
	case RF_T_M_STR:
	case RF_T_M_A_STR:
	case RF_T_M_A_INT:
		return map(j, t, v, ret);
	default:
		*ret = rf_val_str(json_str(v));
		return json_is_string(v);
	}
}

static int set_json(struct rf_json_facts *j, enum rf_field f, const json_t *v, const char *pointer)
{
	struct rf_val got;
	if (!convert(j, rf_fields[f].type, v, &got))
		return rf_fail_ptr(j->e, RF_E_TYPE, pointer, "this should be of type %s", rf_type_name(rf_fields[f].type));
	j->val[f] = got;
	return RF_OK;
}

/* An object whose keys are fields once one of the prefixes stands before them. */
static int group(struct rf_json_facts *j, const json_t *o, const char *at, const char *const prefixes[2])
{
	const char *key;
	json_t *v;
	if (!json_is_object(o))
		return rf_fail_ptr(j->e, RF_E_TYPE, at, "this should be an object");
	json_object_foreach((json_t *)o, key, v) {
		char name[128], pointer[POINTER];
		bool old;
		int f = -1;
		snprintf(pointer, sizeof pointer, "%.60s/%.50s", at, key);
		for (int i = 0; i < 2 && f < 0 && prefixes[i]; i++) {
			snprintf(name, sizeof name, "%s%.80s", prefixes[i], key);
			f = rf_field_find(rf_str_z(name), &old);
		}
		const char *near = f < 0 ? rf_field_near(rf_str_z(name)) : NULL;
		if (f < 0)
			return rf_fail_ptr(j->e, RF_E_UNKNOWN, pointer, near ? "unknown field `%s`, did you mean `%s`?" :
				"unknown field `%s`", name, near);
		int r = set_json(j, (enum rf_field)f, v, pointer);
		if (r)
			return r;
	}
	return RF_OK;
}

static int pair(struct rf_json_facts *j, struct rf_pairs *p, struct rf_str key, struct rf_str value)
{
	return rf_pair_add(j->arena, p, key, value) ? RF_OK : no_memory(j);
}

static int gather(struct rf_json_facts *j, const struct rf_pairs *p, enum rf_field f)
{
	if (j->val[f].tag != RF_V_MISSING)
		return RF_OK;
	return rf_pairs_map(j->arena, p, &j->val[f]) ? RF_OK : no_memory(j);
}

static int listed(struct rf_json_facts *j, const struct rf_pairs *p, enum rf_field names, enum rf_field values)
{
	struct rf_val a, b;
	if (!rf_array_of(j->arena, p->key, p->n, &a) || !rf_array_of(j->arena, p->value, p->n, &b))
		return no_memory(j);
	if (j->val[names].tag == RF_V_MISSING)
		j->val[names] = a;
	if (j->val[values].tag == RF_V_MISSING)
		j->val[values] = b;
	return RF_OK;
}

static int split_pairs(struct rf_json_facts *j, struct rf_str text, char between, struct rf_pairs *p)
{
	struct rf_str part;
	while (rf_str_split(&text, between, &part)) {
		part = rf_str_trim(part);
		size_t eq = rf_str_find(part, '=');
		if (part.n && pair(j, p, (struct rf_str){ part.p, eq }, rf_str_skip(part, eq + 1)))
			return RF_E_NOMEM;
	}
	return RF_OK;
}

static int headers(struct rf_json_facts *j, const json_t *o, const char *at, struct rf_pairs *p)
{
	const char *key;
	json_t *v;
	if (!json_is_object(o))
		return rf_fail_ptr(j->e, RF_E_TYPE, at, "this should be an object of header names");
	json_object_foreach((json_t *)o, key, v) {
		char pointer[POINTER];
		struct rf_val values;
		snprintf(pointer, sizeof pointer, "%.60s/%.50s", at, key);
		if (!array(j, RF_T_A_STR, v, &values))
			return rf_fail_ptr(j->e, RF_E_TYPE, pointer, "this should be a string or an array of strings");
		struct rf_str name = lower(j, rf_str_z(key));
		for (uint32_t i = 0; i < values.n; i++)
			if (pair(j, p, name, values.a[i].s))
				return RF_E_NOMEM;
	}
	return RF_OK;
}

static struct rf_str essence(struct rf_json_facts *j, struct rf_str content_type)
{
	return lower(j, rf_str_trim((struct rf_str){ content_type.p, rf_str_find(content_type, ';') }));
}

/* {code, headers}: what the origin answered. */
static int response(struct rf_json_facts *j, const json_t *o, const char *at)
{
	struct rf_pairs p = { 0 };
	const char *key;
	json_t *v;
	if (!json_is_object(o))
		return rf_fail_ptr(j->e, RF_E_TYPE, at, "this should be an object of code and headers");
	json_object_foreach((json_t *)o, key, v) {
		char pointer[POINTER];
		snprintf(pointer, sizeof pointer, "%.60s/%.50s", at, key);
		bool code = strcmp(key, "code") == 0;
		if (!code && strcmp(key, "headers") != 0)
			return rf_fail_ptr(j->e, RF_E_UNKNOWN, pointer, "a response has `code` and `headers`");
		int r = code ? set_json(j, RF_F_RESPONSE_CODE, v, pointer) : headers(j, v, pointer, &p);
		if (r)
			return r;
	}
	for (size_t i = 0; i < p.n; i++)
		if (rf_str_eq(p.key[i], RF_STR("content-type")))
			set_str(j, RF_F_RESPONSE_TYPE, essence(j, p.value[i]));
	int r = gather(j, &p, RF_F_RESPONSE_HEADERS);
	return r ? r : listed(j, &p, RF_F_RESPONSE_NAMES, RF_F_RESPONSE_VALUES);
}

static void header_fields(struct rf_json_facts *j, struct rf_str name, struct rf_str value)
{
	static const struct { const char *name; enum rf_field f; } known[] = {
		{ "cookie", RF_F_HTTP_COOKIE }, { "referer", RF_F_HTTP_REFERER }, { "user-agent", RF_F_HTTP_USER_AGENT },
		{ "x-forwarded-for", RF_F_HTTP_XFF } };
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (rf_str_eq(name, rf_str_z(known[i].name)))
			set_str(j, known[i].f, value);
	if (rf_str_eq(name, RF_STR("host")))
		set_str(j, RF_F_HTTP_HOST, lower(j, value));
}

static void target(struct rf_json_facts *j, struct rf_str uri)
{
	size_t q = rf_str_find(uri, '?');
	struct rf_str path = { uri.p, q }, query = rf_str_skip(uri, q + 1), ext = RF_STR("");
	for (size_t i = path.n; i > 1 && path.p[i - 1] != '/'; i--)
		if (path.p[i - 1] == '.') {
			ext = path.p[i - 2] == '/' ? ext : rf_str_skip(path, i);
			break;
		}
	set_str(j, RF_F_HTTP_URI, uri);
	set_str(j, RF_F_HTTP_PATH, path);
	set_str(j, RF_F_HTTP_QUERY, query);
	set_str(j, RF_F_HTTP_PATH_EXT, lower(j, ext));
	set_str(j, RF_F_RAW_URI, j->val[RF_F_HTTP_URI].s);
	set_str(j, RF_F_RAW_PATH, j->val[RF_F_HTTP_PATH].s);
	set_str(j, RF_F_RAW_QUERY, j->val[RF_F_HTTP_QUERY].s);
}

static int derive(struct rf_json_facts *j, struct rf_pairs *p, const json_t *req)
{
	for (size_t i = 0; i < p->n; i++)
		header_fields(j, p->key[i], p->value[i]);
	set_str(j, RF_F_HTTP_METHOD, RF_STR("GET"));
	set_str(j, RF_F_HTTP_VERSION, RF_STR("HTTP/1.1"));
	set_str(j, RF_F_HTTP_HOST, RF_STR(""));
	const char *path = json_string_value(json_object_get(req, "path"));
	const char *scheme = json_string_value(json_object_get(req, "scheme"));
	target(j, path ? rf_str_z(path) : RF_STR("/"));
	set_bool(j, RF_F_SSL, !scheme || strcmp(scheme, "http") != 0);
	struct rf_str full = rf_arena_printf(j->arena, "%s://%.*s%.*s", j->val[RF_F_SSL].b ? "https" : "http",
		RF_ARG(j->val[RF_F_HTTP_HOST].s), RF_ARG(j->val[RF_F_HTTP_URI].s));
	set_str(j, RF_F_HTTP_FULL_URI, full);
	set_str(j, RF_F_RAW_FULL_URI, full);
	int r = gather(j, p, RF_F_HTTP_HEADERS);
	if (!r)
		r = listed(j, p, RF_F_HTTP_HEADER_NAMES, RF_F_HTTP_HEADER_VALUES);
	p->n = 0;
	if (!r && j->val[RF_F_HTTP_COOKIE].tag == RF_V_STR)
		r = split_pairs(j, j->val[RF_F_HTTP_COOKIE].s, ';', p);
	if (!r)
		r = gather(j, p, RF_F_HTTP_COOKIES);
	p->n = 0;
	if (!r)
		r = split_pairs(j, j->val[RF_F_HTTP_QUERY].s, '&', p);
	if (!r)
		r = gather(j, p, RF_F_HTTP_ARGS);
	if (!r)
		r = gather(j, p, RF_F_RAW_ARGS);
	if (!r)
		r = listed(j, p, RF_F_HTTP_ARG_NAMES, RF_F_HTTP_ARG_VALUES);
	return r ? r : listed(j, p, RF_F_RAW_ARG_NAMES, RF_F_RAW_ARG_VALUES);
}

/* What rules read out of a body, as the edge reads it. */
static int derive_body(struct rf_json_facts *j)
{
	struct rf_str type = RF_STR("");
	struct rf_val values;
	if (rf_val_at(&j->val[RF_F_HTTP_HEADERS], RF_STR("content-type"), &values) && values.n)
		type = values.a[0].s;
	if (j->val[RF_F_HTTP_BODY].tag != RF_V_STR)
		return RF_OK;
	for (unsigned f = 0; f < RF_FIELD_COUNT; f++)
		if (rf_fields[f].planes == RF_ON_B && j->val[f].tag == RF_V_MISSING && f != RF_F_HTTP_BODY_SIZE && f != RF_F_HTTP_BODY_CUT)
			if (!rf_body_fact(j->arena, (enum rf_field)f, j->val[RF_F_HTTP_BODY].s, type, &j->val[f]))
				j->val[f] = (struct rf_val){ 0 };
	return j->arena->full ? no_memory(j) : RF_OK;
}

static void derive_client(struct rf_json_facts *j, const json_t *req)
{
	bool verified = j->val[RF_F_CERT_VERIFIED].tag == RF_V_BOOL && j->val[RF_F_CERT_VERIFIED].b;
	bool revoked = j->val[RF_F_CERT_REVOKED].tag == RF_V_BOOL && j->val[RF_F_CERT_REVOKED].b;
	bool body = j->val[RF_F_HTTP_BODY].tag == RF_V_STR;
	set_bool(j, RF_F_CERT_VERIFIED, revoked); /* a revoked certificate was verified */
	set_bool(j, RF_F_CERT_PRESENTED, verified || revoked);
	set_str(j, RF_F_CERT_STATUS, revoked ? RF_STR("revoked") : verified ? RF_STR("valid") :
		j->val[RF_F_CERT_PRESENTED].b ? RF_STR("invalid") : RF_STR("none"));
	set_bool(j, RF_F_DEVICE_KNOWN, json_object_get(req, "device") != NULL);
	if (j->val[RF_F_HTTP_BODY_SIZE].tag == RF_V_MISSING)
		j->val[RF_F_HTTP_BODY_SIZE] = rf_val_int(body ? (int64_t)j->val[RF_F_HTTP_BODY].s.n : 0);
	if (j->val[RF_F_PACKET].tag == RF_V_MISSING) {
		bool udp = j->val[RF_F_UDP_DSTPORT].tag != RF_V_MISSING;
		set_str(j, RF_F_IP_PROTO, udp ? RF_STR("udp") : RF_STR("tcp"));
		if (j->val[RF_F_IP_PROTO_NUM].tag == RF_V_MISSING)
			j->val[RF_F_IP_PROTO_NUM] = rf_val_int(udp ? RF_IP_PROTO_UDP : RF_IP_PROTO_TCP);
	}
	if (j->val[RF_F_EDGE_PORT].tag == RF_V_MISSING)
		j->val[RF_F_EDGE_PORT] = j->val[RF_F_TCP_DSTPORT];
	if (j->val[RF_F_EDGE_IP].tag == RF_V_MISSING)
		j->val[RF_F_EDGE_IP] = j->val[RF_F_IP_DST];
}

static int at_time(struct rf_json_facts *j, const json_t *v, const char *at)
{
	int64_t s = json_integer_value(v);
	if (!json_is_integer(v) && (!json_is_string(v) || rf_rfc3339_parse(json_string_value(v), &s)))
		return rf_fail_ptr(j->e, RF_E_TYPE, at, "a time is seconds since 1970 or 2026-01-31T12:00:00Z");
	if (s < 0 || s > INT64_MAX / 1000000000)
		return rf_fail_ptr(j->e, RF_E_RANGE, at, "this time is out of range");
	j->wall_ns = s * 1000000000;
	return RF_OK;
}

static const struct { const char *key; int field; } keys[] = {
	{ "method", RF_F_HTTP_METHOD }, { "host", RF_F_HTTP_HOST }, { "version", RF_F_HTTP_VERSION },
	{ "body", RF_F_HTTP_BODY }, { "src", RF_F_IP_SRC }, { "dst", RF_F_IP_DST }, { "sport", RF_F_TCP_SRCPORT },
	{ "port", RF_F_TCP_DSTPORT }, { "cookies", RF_F_HTTP_COOKIES }, { "path", -1 }, { "scheme", -1 },
	{ "headers", -2 }, { "device", -3 }, { "tls", -4 }, { "fields", -5 }, { "time", -6 },
	{ "response", -7 }, { "packet", -8 },
};

enum { KEYS = sizeof keys / sizeof *keys };

/* The bytes of a packet from the header of IP on, in hexadecimal. */
static int packet(struct rf_json_facts *j, const json_t *v, const char *at)
{
	struct rf_str hex = json_str(v);
	char *bytes = rf_arena_alloc(j->arena, hex.n / 2 + 1);
	ssize_t n = json_is_string(v) && bytes ? rf_unhex(hex, bytes, hex.n / 2 + 1) : -1;
	struct rf_packet p;
	if (n < 0)
		return rf_fail_ptr(j->e, RF_E_TYPE, at, "a packet is hexadecimal digits, from the header of IP on");
	if (rf_packet_parse((struct rf_str){ bytes, (size_t)n }, &p))
		return rf_fail_ptr(j->e, RF_E_INVALID, at, "these bytes do not begin with a whole header of IPv4 or IPv6");
	for (unsigned f = 0; f < RF_FIELD_COUNT; f++) {
		struct rf_val got;
		if (j->val[f].tag == RF_V_MISSING && rf_fields[f].planes & RF_ON_P && rf_packet_fact(&p, (enum rf_field)f, &got))
			j->val[f] = got;
	}
	return RF_OK;
}

static int unknown(struct rf_json_facts *j, const char *key, const char *pointer)
{
	const char *names[KEYS];
	for (size_t i = 0; i < KEYS; i++)
		names[i] = keys[i].key;
	const char *near = rf_near(rf_str_z(key), names, KEYS);
	return rf_fail_ptr(j->e, RF_E_UNKNOWN, pointer, near ? "unknown key, did you mean `%s`?" : "unknown key", near);
}

static int one_key(struct rf_json_facts *j, const char *key, const json_t *v, const char *pointer, struct rf_pairs *p)
{
	static const char *const device[2] = { "device." }, *const tls[2] = { "tls.", "tls.client." };
	static const char *const any[2] = { "" };
	int what = 0;
	size_t i = 0;
	while (i < KEYS && strcmp(keys[i].key, key) != 0)
		i++;
	if (i == KEYS)
		return unknown(j, key, pointer);
	switch (what = keys[i].field) {
	case -1:
		return json_is_string(v) ? RF_OK : rf_fail_ptr(j->e, RF_E_TYPE, pointer, "this should be a string");
	case -2:
		return headers(j, v, pointer, p);
	case -3:
		return group(j, v, pointer, device);
	case -4:
		return group(j, v, pointer, tls);
	case -5:
		return group(j, v, pointer, any);
	case -6:
		return at_time(j, v, pointer);
	case -7:
		return response(j, v, pointer);
	case -8:
		return packet(j, v, pointer);
	default:
		return set_json(j, (enum rf_field)what, v, pointer);
	}
}

int rf_json_facts(const json_t *request, const char *at, struct rf_arena *arena, const struct rf_lists *lists,
	int64_t wall_ns, struct rf_facts *ret, struct rf_err *e)
{
	struct rf_json_facts *j = RF_ARENA_NEW(arena, struct rf_json_facts);
	struct rf_pairs p = { 0 };
	const char *key;
	json_t *v;
	if (!j)
		return rf_fail(e, RF_E_NOMEM, "the request needs too much memory");
	j->arena = arena;
	j->e = e;
	j->wall_ns = wall_ns;
	if (!json_is_object(request))
		return rf_fail_ptr(e, RF_E_TYPE, at, "a request should be an object");
	json_object_foreach((json_t *)request, key, v) {
		char pointer[POINTER];
		snprintf(pointer, sizeof pointer, "%.60s/%.50s", at, key);
		int r = one_key(j, key, v, pointer, &p);
		if (r)
			return r;
	}
	int r = derive(j, &p, request);
	if (!r)
		r = derive_body(j);
	if (r)
		return r;
	derive_client(j, request);
	rf_facts_init(ret, &json_ops, j, arena, lists, j->wall_ns);
	return RF_OK;
}
