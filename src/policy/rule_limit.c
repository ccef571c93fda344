/* policy/rule_limit: the documented object `ratelimit` of a rule, and the key of a request under it.
 *
 * {characteristics, period, requests_per_period, counting_expression, mitigation_timeout, requests_to_origin,
 *  score_per_period, score_response_header_name}
 *
 * A characteristic is any field, or entry of a map such as http.request.headers["x-key"], or function of one. A key is
 * two keyed hashes over the limit and the values with their lengths, so that a peer can neither choose the place of
 * a counter nor make two lists of values look alike.
 *
 * Not here: the counters (limit.c), what is done over the limit (outcome.c).
 */
#include <stdio.h>
#include "base/hash.h"
#include "policy/rule_int.h"

enum { V6_PREFIX = 64, POINTER = 96 };

static const char AT[] = "/ratelimit";

/* Documented periods and times. */
static bool offered(int64_t s)
{
	static const int known[] = { 10, 15, 20, 30, 40, 45, 60, 90, 120, 180, 240, 300, 480, 600, 900, 1200, 1800, 2400, 3600,
		65535, 86400 };
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (known[i] == s)
			return true;
	return false;
}

static int seconds(struct rule_read *in, const json_t *v, const char *below, bool none, uint64_t *ret)
{
	if (!json_is_integer(v))
		return rule_fail(in, v ? RF_E_TYPE : RF_E_MISSING, below, "this should be a number of seconds");
	if (!(none && json_integer_value(v) == 0) && !offered(json_integer_value(v)))
		return rule_fail(in, RF_E_RANGE, below, "this should be %s10, 15, 20, 30, 40, 45, 60, 90, 120, 180, 240, 300, 480, "
			"600, 900, 1200, 1800, 2400, 3600, 65535 or 86400 seconds", none ? "0, " : "");
	*ret = (uint64_t)json_integer_value(v) * 1000000000u;
	return RF_OK;
}

static int amount(struct rule_read *in, const json_t *v, const char *below, uint32_t *ret)
{
	if (!json_is_integer(v) || json_integer_value(v) < 1 || json_integer_value(v) > RF_LIMIT_MOST)
		return rule_fail(in, json_is_integer(v) ? RF_E_RANGE : RF_E_TYPE, below, "this should be 1 to %d", RF_LIMIT_MOST);
	*ret = (uint32_t)json_integer_value(v);
	return RF_OK;
}

/* What counts, and how many of it: requests, or the score in a header of the answer. */
static int counted(struct rule_read *in, const json_t *o, struct rf_rule_limit *l)
{
	const json_t *requests = json_object_get(o, "requests_per_period"), *score = json_object_get(o, "score_per_period");
	const json_t *header = json_object_get(o, "score_response_header_name");
	if (!requests == !score)
		return rule_fail(in, requests ? RF_E_CONFLICT : RF_E_MISSING, requests ? "/ratelimit/score_per_period" : AT,
			"this takes either `requests_per_period` or `score_per_period`");
	if (requests && header)
		return rule_fail(in, RF_E_CONFLICT, "/ratelimit/score_response_header_name", "this goes with `score_per_period`");
	if (requests)
		return amount(in, requests, "/ratelimit/requests_per_period", &l->rate.most);
	if (!json_is_string(header) || !header_name_ok(json_string_value(header)))
		return rule_fail(in, header ? RF_E_TYPE : RF_E_MISSING, "/ratelimit/score_response_header_name",
			"this should be the name of a header of the origin's answer");
	int c = rule_dup(in, (struct rf_str){ json_string_value(header), json_string_length(header) }, &l->score_header);
	return c ? c : amount(in, score, "/ratelimit/score_per_period", &l->rate.most);
}

/* An array of texts (a header, an argument) is all of them. */
static int value_part(struct rule_read *in, const json_t *v, const char *below, struct rf_limit_part *p)
{
	struct rf_err first;
	char joined[512];
	int c = rule_expr(in, v, below, false, &p->expr);
	if (c != RF_E_TYPE || json_string_length(v) > sizeof joined - 16)
		return c;
	first = *in->e;
	snprintf(joined, sizeof joined, "join(%s, \",\")", json_string_value(v));
	json_t *all = json_string(joined);
	c = rule_expr(in, all, below, false, &p->expr);
	json_decref(all);
	if (c)
		*in->e = first; /* what is wrong with what was written */
	return c;
}

static int part(struct rule_read *in, const json_t *v, const char *below, struct rf_rule_limit *l)
{
	struct rf_limit_part *p = &l->parts[l->nparts];
	const char *name = json_string_value(v);
	if (!name)
		return rule_fail(in, RF_E_TYPE, below, "a characteristic is a field, such as ip.src or http.request.headers[\"x-key\"]");
	if (strcmp(name, "cf.colo.id") == 0)
		return RF_OK; /* every counter is of one node */
	p->kind = strcmp(name, "device.id") == 0 ? RF_LIMIT_DEVICE : strcmp(name, "ip.src") == 0 ? RF_LIMIT_ADDRESS : RF_LIMIT_VALUE;
	l->nparts++;
	return p->kind == RF_LIMIT_VALUE ? value_part(in, v, below, p) : RF_OK;
}

static int characteristics(struct rule_read *in, const json_t *a, struct rf_rule_limit *l)
{
	if (a && !json_is_array(a))
		return rule_fail(in, RF_E_TYPE, "/ratelimit/characteristics", "this should be an array of fields");
	if (json_array_size(a) > RF_LIMIT_PARTS)
		return rule_fail(in, RF_E_TOO_LARGE, "/ratelimit/characteristics", "this takes at most %d fields", RF_LIMIT_PARTS);
	for (size_t i = 0; i < json_array_size(a); i++) {
		char below[POINTER];
		snprintf(below, sizeof below, "/ratelimit/characteristics/%zu", i);
		int c = part(in, json_array_get(a, i), below, l);
		if (c)
			return c;
	}
	if (!l->nparts)
		l->parts[l->nparts++].kind = RF_LIMIT_DEVICE;
	return RF_OK;
}

/* Over the request where that is enough, so that it is counted before the request goes on; else over the response too. */
static int counting(struct rule_read *in, const json_t *v, struct rf_rule_limit *l)
{
	static const char below[] = "/ratelimit/counting_expression";
	char pointer[sizeof in->e->pointer];
	struct rf_str s = { json_string_value(v), json_string_length(v) };
	if (!v || (json_is_string(v) && !s.n))
		return RF_OK;
	if (!json_is_string(v))
		return rule_fail(in, RF_E_TYPE, below, "an expression is a string");
	if (rf_expr_compile(in->env, RF_PHASE_HTTP_RATELIMIT, s, &l->counting, in->e) == RF_OK)
		return RF_OK;
	int c = rf_expr_compile(in->env, RF_PHASE_HTTP_RESPONSE, s, &l->counting, in->e);
	l->at_response = c == RF_OK;
	snprintf(pointer, sizeof pointer, "%s%s", in->at, below);
	if (c)
		memcpy(in->e->pointer, pointer, sizeof pointer);
	return c;
}

static int read_limit(struct rule_read *in, const json_t *o, struct rf_rule_limit *l)
{
	const json_t *origin = json_object_get(o, "requests_to_origin"), *hold = json_object_get(o, "mitigation_timeout");
	int c = RULE_ONLY(in, o, AT, "characteristics", "period", "requests_per_period", "counting_expression",
		"mitigation_timeout", "requests_to_origin", "score_per_period", "score_response_header_name");
	if (!c)
		c = seconds(in, json_object_get(o, "period"), "/ratelimit/period", false, &l->rate.period_ns);
	if (!c && hold)
		c = seconds(in, hold, "/ratelimit/mitigation_timeout", true, &l->rate.hold_ns);
	if (!c)
		c = counted(in, o, l);
	if (!c && origin && !json_is_boolean(origin))
		c = rule_fail(in, RF_E_TYPE, "/ratelimit/requests_to_origin", "this should be true or false");
	l->to_origin = json_is_true(origin);
	if (!c)
		c = characteristics(in, json_object_get(o, "characteristics"), l);
	return c ? c : counting(in, json_object_get(o, "counting_expression"), l);
}

/* The rule by its id, so that two rules with the same object count apart; by its text where it has none yet. */
static uint64_t identity(const struct rf_rule *r, const json_t *o)
{
	uint64_t both[2] = { rf_hash(r->id.n ? r->id : r->ref.n ? r->ref : r->expression), rf_rule_digest(o, NULL) };
	return rf_hash((struct rf_str){ (const char *)both, sizeof both });
}

int rule_limit(struct rule_read *in, const json_t *o)
{
	bool phase = in->rule->phase == RF_PHASE_HTTP_RATELIMIT, none = !o || json_is_null(o);
	if (none && phase && in->rule->action != RF_ACT_SKIP)
		return rule_fail(in, RF_E_MISSING, AT, "a rule of the phase http_ratelimit says what it counts: "
			"{\"period\": 60, \"requests_per_period\": 100}");
	if (none)
		return RF_OK;
	if (!phase || in->rule->action == RF_ACT_SKIP)
		return rule_fail(in, RF_E_INVALID, AT, phase ? "skip counts nothing" : "only rules of the phase http_ratelimit count");
	struct rf_rule_limit *l = rule_alloc(in->rule, sizeof *l);
	if (!l)
		return rule_fail(in, RF_E_NOMEM, AT, "no memory for this rule");
	in->rule->limit = l; /* first, so that what it holds is freed */
	int c = read_limit(in, o, l);
	l->id = identity(in->rule, o);
	return c;
}

void rule_limit_put(struct rf_rule_limit *l)
{
	if (!l)
		return;
	rf_expr_put(l->counting);
	for (unsigned i = 0; i < l->nparts; i++)
		rf_expr_put(l->parts[i].expr);
}

void rule_limit_add_uses(const struct rf_rule_limit *l, uint64_t uses[(RF_FIELD_COUNT + 63) / 64])
{
	if (l->counting)
		rf_expr_add_uses(l->counting, uses);
	for (unsigned i = 0; i < l->nparts; i++)
		if (l->parts[i].expr)
			rf_expr_add_uses(l->parts[i].expr, uses);
}

/* --- the key of a request --- */

static struct rf_str address(struct rf_facts *f)
{
	const struct rf_val *v = rf_fact(f, RF_F_IP_SRC);
	if (v->tag != RF_V_IP)
		return RF_STR("");
	struct rf_prefix p = rf_ip_mask(&v->ip, v->ip.family == 4 ? 32 : V6_PREFIX);
	return rf_arena_dup(f->arena, (struct rf_str){ (const char *)p.ip.b, sizeof p.ip.b });
}

/* The bytes of a part and what they are, so that a device and an address are never alike, nor "" and nothing. */
static int part_value(const struct rf_limit_part *p, struct rf_facts *f, struct rf_str *ret, char *ret_tag)
{
	struct rf_val v = { 0 };
	if (p->kind == RF_LIMIT_DEVICE)
		v = *rf_fact(f, RF_F_DEVICE_ID);
	else if (p->kind == RF_LIMIT_VALUE) {
		int c = rf_expr_value(p->expr, f, &v);
		if (c)
			return c;
	}
	bool text = v.tag == RF_V_STR;
	*ret_tag = text ? 's' : p->kind == RF_LIMIT_VALUE ? '-' : 'a';
	*ret = text ? v.s : p->kind == RF_LIMIT_VALUE ? RF_STR("") : address(f);
	return ret->p ? RF_OK : RF_E_NOMEM;
}

int rule_limit_key(const struct rf_rule_limit *l, struct rf_facts *f, struct rf_limit_key *ret)
{
	struct rf_str v[RF_LIMIT_PARTS];
	char tag[RF_LIMIT_PARTS];
	size_t n = sizeof l->id, at = 0;
	for (unsigned i = 0; i < l->nparts; i++) {
		int c = part_value(&l->parts[i], f, &v[i], &tag[i]);
		if (c)
			return c;
		n += 1 + sizeof v[i].n + v[i].n;
	}
	char *b = rf_arena_alloc(f->arena, n + 1);
	if (!b)
		return RF_E_NOMEM;
	memcpy(b, &l->id, sizeof l->id);
	at = sizeof l->id;
	for (unsigned i = 0; i < l->nparts; i++) {
		b[at++] = tag[i];
		memcpy(b + at, &v[i].n, sizeof v[i].n);
		at += sizeof v[i].n;
		if (v[i].n)
			memcpy(b + at, v[i].p, v[i].n);
		at += v[i].n;
	}
	b[at] = 'b'; /* another text, another hash */
	*ret = (struct rf_limit_key){ rf_hash((struct rf_str){ b, n }), rf_hash((struct rf_str){ b, n + 1 }) };
	return RF_OK;
}
