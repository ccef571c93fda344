/* policy/rule_params: action_parameters of block, skip and rewrite; those of other actions are in rule_more.c.
 *
 * What would let a rule break the framing of a request, or lend a client's unverified certificate the
 * look of a verified one, is refused here.
 */
#include <stdio.h>
#include "base/near.h"
#include "policy/rule_int.h"

enum { POINTER = 120, HEADER_NAME = 64, VALUE_SIZE = 8192 };

int rule_no_memory(struct rule_read *in)
{
	return rule_fail(in, RF_E_NOMEM, "/action_parameters", "no memory for this rule");
}

int rule_only(struct rule_read *in, const json_t *o, const char *below, const char *const *names, size_t count)
{
	const char *key;
	json_t *v;
	if (!json_is_object(o))
		return rule_fail(in, RF_E_TYPE, below, "this should be an object");
	json_object_foreach((json_t *)o, key, v) {
		size_t i = 0;
		while (i < count && strcmp(names[i], key) != 0)
			i++;
		char pointer[POINTER];
		snprintf(pointer, sizeof pointer, "%s/%s", below, key);
		const char *near = i == count ? rf_near(rf_str_z(key), names, count) : NULL;
		if (i == count)
			return rule_fail(in, RF_E_UNKNOWN, pointer, near ? "unknown parameter, did you mean `%s`?" :
				"unknown parameter for this action", near);
	}
	return RF_OK;
}

int rule_response(struct rule_read *in, const json_t *o, const char *at, struct rf_response *ret)
{
	static const char *const types[] = { "text/plain", "text/html", "text/xml", "application/json" };
	const json_t *status = json_object_get(o, "status_code"), *content = json_object_get(o, "content");
	const json_t *type = json_object_get(o, "content_type");
	char below[POINTER];
	size_t t = 0, count = sizeof types / sizeof *types;
	if (status) {
		snprintf(below, sizeof below, "%s/status_code", at);
		if (json_integer_value(status) < 400 || json_integer_value(status) > 599)
			return rule_fail(in, RF_E_RANGE, below, "a rule answers with 400 to 599");
		ret->status = (int)json_integer_value(status);
	}
	while (type && t < count && strcmp(types[t], json_is_string(type) ? json_string_value(type) : "") != 0)
		t++;
	snprintf(below, sizeof below, "%s/content_type", at);
	if (t == count)
		return rule_fail(in, RF_E_INVALID, below, "this should be text/plain, text/html, text/xml or application/json");
	ret->content_type = rf_str_z(types[t]);
	snprintf(below, sizeof below, "%s/content", at);
	if (content && !json_is_string(content))
		return rule_fail(in, RF_E_TYPE, below, "this should be a string");
	if (content && json_string_length(content) > RF_RESPONSE_SIZE)
		return rule_fail(in, RF_E_TOO_LARGE, below, "this takes at most %d bytes", RF_RESPONSE_SIZE);
	return content ? rule_dup(in, (struct rf_str){ json_string_value(content), json_string_length(content) },
		&ret->content) : RF_OK;
}

static int block(struct rule_read *in, const json_t *params)
{
	static const char at[] = "/action_parameters/response";
	const json_t *o = json_object_get(params, "response");
	int c = params ? RULE_ONLY(in, params, "/action_parameters", "response") : RF_OK;
	if (c || !o)
		return c;
	c = RULE_ONLY(in, o, at, "status_code", "content", "content_type");
	struct rf_response *r = c ? NULL : rule_alloc(in->rule, sizeof *r);
	if (!r)
		return c ? c : rule_no_memory(in);
	r->status = in->rule->phase == RF_PHASE_HTTP_RATELIMIT ? 429 : 403;
	in->rule->response = r;
	return rule_response(in, o, at, r);
}

static int skip_phases(struct rule_read *in, const json_t *a, struct rf_skip *s)
{
	static const char at[] = "/action_parameters/phases";
	if (!json_is_array(a))
		return rule_fail(in, RF_E_TYPE, at, "this should be an array of phases");
	for (size_t i = 0; i < json_array_size(a); i++) {
		char below[POINTER];
		struct rf_err why;
		enum rf_phase p = RF_PHASE_COUNT;
		const json_t *v = json_array_get(a, i);
		snprintf(below, sizeof below, "%s/%zu", at, i);
		if (!json_is_string(v))
			return rule_fail(in, RF_E_TYPE, below, "a phase is a string");
		int c = rf_phase_find((struct rf_str){ json_string_value(v), json_string_length(v) }, &p, &why);
		if (c == RF_E_UNSUPPORTED)
			continue; /* a phase without rules is skipped already */
		if (c)
			return rule_fail(in, c, below, "%s", why.text);
		s->phases |= 1u << p;
	}
	return RF_OK;
}

static int skip_rulesets(struct rule_read *in, const json_t *a, struct rf_skip *s)
{
	static const char at[] = "/action_parameters/rulesets";
	size_t n = json_array_size(a);
	if (!json_is_array(a) || n > RF_RULE_SKIPS)
		return rule_fail(in, RF_E_TYPE, at, "this should be an array of at most %d ids", RF_RULE_SKIPS);
	s->rulesets = rule_alloc(in->rule, n * sizeof *s->rulesets);
	if (!s->rulesets)
		return rule_no_memory(in);
	for (; s->nrulesets < n; s->nrulesets++) {
		const json_t *v = json_array_get(a, s->nrulesets);
		if (!json_is_string(v))
			return rule_fail(in, RF_E_TYPE, at, "an id is a string");
		int c = rule_dup(in, (struct rf_str){ json_string_value(v), json_string_length(v) }, &s->rulesets[s->nrulesets]);
		if (c)
			return c;
	}
	return RF_OK;
}

static int skip_rules(struct rule_read *in, const json_t *o, struct rf_skip *s)
{
	static const char at[] = "/action_parameters/rules";
	const char *ruleset;
	json_t *ids;
	s->rules = rule_alloc(in->rule, RF_RULE_SKIPS * sizeof *s->rules);
	if (!json_is_object(o) || !s->rules)
		return s->rules ? rule_fail(in, RF_E_TYPE, at, "this should be {\"ruleset id\": [\"rule id\"]}") : rule_no_memory(in);
	json_object_foreach((json_t *)o, ruleset, ids) {
		for (size_t i = 0; i < (json_is_array(ids) ? json_array_size(ids) : 1); i++) {
			const json_t *v = json_array_get(ids, i);
			if (!json_is_string(v) || s->nrules == RF_RULE_SKIPS)
				return rule_fail(in, RF_E_TYPE, at, "this should be {\"ruleset id\": [\"rule id\"]}, at most %d rules",
					RF_RULE_SKIPS);
			int c = rule_dup(in, rf_str_z(ruleset), &s->rules[s->nrules].ruleset);
			if (!c)
				c = rule_dup(in, (struct rf_str){ json_string_value(v), json_string_length(v) }, &s->rules[s->nrules].rule);
			if (c)
				return c;
			s->nrules++;
		}
	}
	return RF_OK;
}

/* Products are documented names of phases; of those that this edge has not, there is nothing to skip. */
static int skip_products(struct rule_read *in, const json_t *a, struct rf_skip *s)
{
	static const struct { const char *name; uint32_t phases; } products[] = { { "bic", 0 }, { "hot", 0 },
		{ "rateLimit", 1u << RF_PHASE_HTTP_RATELIMIT }, { "securityLevel", 0 }, { "uaBlock", 0 },
		{ "waf", 1u << RF_PHASE_HTTP_MANAGED | 1u << RF_PHASE_HTTP_RESPONSE_MANAGED }, { "zoneLockdown", 0 } };
	static const char at[] = "/action_parameters/products";
	if (!json_is_array(a))
		return rule_fail(in, RF_E_TYPE, at, "this should be an array of products");
	for (size_t i = 0; i < json_array_size(a); i++) {
		const char *name = json_string_value(json_array_get(a, i));
		size_t k = 0, count = sizeof products / sizeof *products;
		while (name && k < count && strcmp(products[k].name, name) != 0)
			k++;
		if (!name || k == count)
			return rule_fail(in, RF_E_UNKNOWN, at, "a product is one of bic, hot, rateLimit, securityLevel, uaBlock, waf "
				"and zoneLockdown");
		s->phases |= products[k].phases;
		if (!products[k].phases)
			rule_warn(in->rule, "a product that is named is not part of this edge: skipping it does nothing");
	}
	return RF_OK;
}

static int skip(struct rule_read *in, const json_t *params)
{
	static const char says_what[] = "skip says what: {\"ruleset\": \"current\"}, phases, rulesets, rules or products";
	static const char at[] = "/action_parameters";
	if (!params)
		return rule_fail(in, RF_E_MISSING, at, "%s", says_what);
	int c = RULE_ONLY(in, params, at, "ruleset", "phases", "rulesets", "rules", "products");
	struct rf_skip *s = c ? NULL : rule_alloc(in->rule, sizeof *s);
	if (!s)
		return c ? c : rule_no_memory(in);
	const json_t *ruleset = json_object_get(params, "ruleset"), *phases = json_object_get(params, "phases");
	const json_t *rulesets = json_object_get(params, "rulesets"), *rules = json_object_get(params, "rules");
	const json_t *products = json_object_get(params, "products");
	if (ruleset && (!json_is_string(ruleset) || strcmp(json_string_value(ruleset), "current") != 0))
		return rule_fail(in, RF_E_INVALID, "/action_parameters/ruleset", "this can only be `current`");
	if (!ruleset && !phases && !rulesets && !rules && !products)
		return rule_fail(in, RF_E_MISSING, at, "%s", says_what);
	s->current = ruleset != NULL;
	if (phases)
		c = skip_phases(in, phases, s);
	if (!c && rulesets)
		c = skip_rulesets(in, rulesets, s);
	if (!c && rules)
		c = skip_rules(in, rules, s);
	if (!c && products)
		c = skip_products(in, products, s);
	in->rule->skip = s;
	return c;
}

bool header_name_ok(const char *z)
{
	size_t n = strlen(z);
	for (size_t i = 0; i < n; i++)
		if (!((z[i] | 0x20) >= 'a' && (z[i] | 0x20) <= 'z') && !(z[i] >= '0' && z[i] <= '9') &&
			!strchr("!#$%&'*+-.^_`|~", z[i])) /* [RFC 9110 5.6.2] */
			return false;
	return n > 0 && n <= HEADER_NAME;
}

/* Headers that frame a message or choose its way are the edge's own. */
static bool reserved(const char *name, enum rf_phase phase)
{
	static const char *const names[] = { "connection", "content-length", "expect", "host", "keep-alive",
		"proxy-connection", "te", "trailer", "transfer-encoding", "upgrade" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (rf_str_ieq(rf_str_z(name), rf_str_z(names[i])))
			return true;
	/* The coding of an answer is what the edge says, or the origin's own. */
	return phase == RF_PHASE_HTTP_RESPONSE && rf_str_ieq(rf_str_z(name), RF_STR("content-encoding"));
}

static bool leaks_certificate(const struct rf_rule *r, const struct rf_expr *x)
{
	bool checked = rf_expr_requires(r->cond, RF_F_CERT_VERIFIED, true) &&
		rf_expr_requires(r->cond, RF_F_CERT_REVOKED, false);
	return (rf_expr_uses(x, RF_F_CERT_9440) || rf_expr_uses(x, RF_F_CHAIN_9440)) && !checked;
}

/* {value} or {expression} into *s. */
int rule_edit_value(struct rule_read *in, const json_t *o, const char *below, struct rf_edit_spec *s)
{
	const json_t *value = json_object_get(o, "value"), *expr = json_object_get(o, "expression");
	char pointer[POINTER];
	snprintf(pointer, sizeof pointer, "%s/%s", below, expr ? "expression" : "value");
	if (!value == !expr)
		return rule_fail(in, RF_E_MISSING, below, "this takes either `value` or `expression`");
	if (expr) {
		int c = rule_expr(in, expr, pointer, false, &s->expr);
		if (!c && leaks_certificate(in->rule, s->expr))
			return rule_fail(in, RF_E_INVALID, pointer, "this certificate is whatever the client sent: begin the rule's "
				"expression with `cf.tls_client_auth.cert_verified and not cf.tls_client_auth.cert_revoked and ...`");
		return c;
	}
	if (!json_is_string(value) || json_string_length(value) > VALUE_SIZE)
		return rule_fail(in, RF_E_TYPE, pointer, "this should be a string of at most %d bytes", VALUE_SIZE);
	return rule_dup(in, (struct rf_str){ json_string_value(value), json_string_length(value) }, &s->value);
}

static int header(struct rule_read *in, const char *name, const json_t *o, struct rf_edit_spec *s)
{
	static const char *const operations[] = {
		[RF_EDIT_SET] = "set", [RF_EDIT_ADD] = "add", [RF_EDIT_REMOVE] = "remove" };
	char below[POINTER], pointer[POINTER + 16];
	snprintf(below, sizeof below, "/action_parameters/headers/%.64s", name);
	int c = RULE_ONLY(in, o, below, "operation", "value", "expression");
	if (c)
		return c;
	if (!header_name_ok(name) || reserved(name, in->rule->phase))
		return rule_fail(in, RF_E_INVALID, below, header_name_ok(name) ?
			"this header belongs to the edge and cannot be rewritten" : "this is not a header name of at most %d bytes", HEADER_NAME);
	const char *operation = json_string_value(json_object_get(o, "operation"));
	unsigned op = 0;
	while (operation && op < 3 && strcmp(operations[op], operation) != 0)
		op++;
	snprintf(pointer, sizeof pointer, "%s/operation", below);
	if (!operation || op == 3)
		return rule_fail(in, RF_E_INVALID, pointer, "this should be set, add or remove");
	s->op = (enum rf_edit_op)op;
	c = rule_dup(in, rf_str_z(name), &s->name);
	if (c || op == RF_EDIT_REMOVE)
		return c;
	c = rule_edit_value(in, o, below, s);
	return !c && !s->expr && !edit_value_ok(s->value) ?
		rule_fail(in, RF_E_INVALID, below, "a header's value holds no control bytes") : c;
}

static int headers(struct rule_read *in, const json_t *o)
{
	size_t n = json_object_size(o);
	const char *name;
	json_t *v;
	if (!json_is_object(o) || n == 0 || n > RF_RULE_EDITS)
		return rule_fail(in, RF_E_TYPE, "/action_parameters/headers", "this should be an object of 1 to %d header names",
			RF_RULE_EDITS);
	struct rf_edit_spec *s = rule_alloc(in->rule, n * sizeof *s);
	if (!s)
		return rule_no_memory(in);
	in->rule->edits = s;
	json_object_foreach((json_t *)o, name, v) {
		in->rule->nedits++; /* counted first, so that what it holds is freed */
		int c = header(in, name, v, s++);
		if (c)
			return c;
	}
	return RF_OK;
}

static int uri_part(struct rule_read *in, const json_t *o, const char *below, bool path,
	const struct rf_edit_spec **ret)
{
	if (!o)
		return RF_OK;
	int c = RULE_ONLY(in, o, below, "value", "expression");
	struct rf_edit_spec *s = c ? NULL : rule_alloc(in->rule, sizeof *s);
	if (!s)
		return c ? c : rule_no_memory(in);
	*ret = s;
	c = rule_edit_value(in, o, below, s);
	if (!c && !s->expr && !edit_uri_ok(s->value, path))
		return rule_fail(in, RF_E_INVALID, below, path ?
			"a path begins with `/` and holds no `?`, `#`, space or control byte" : "a query holds no `#`, space or control byte");
	return c;
}

static int rewrite(struct rule_read *in, const json_t *params)
{
	static const char at[] = "/action_parameters";
	if (!params)
		return rule_fail(in, RF_E_MISSING, at, "rewrite says what: headers or uri");
	int c = RULE_ONLY(in, params, at, "headers", "uri");
	const json_t *h = json_object_get(params, "headers"), *uri = json_object_get(params, "uri");
	if (!c && uri && in->rule->phase == RF_PHASE_HTTP_RESPONSE)
		c = rule_fail(in, RF_E_INVALID, "/action_parameters/uri", "an answer has no URI to rewrite");
	if (!c && !h && !uri)
		c = rule_fail(in, RF_E_MISSING, at, "rewrite says what: headers or uri");
	if (!c && uri)
		c = RULE_ONLY(in, uri, "/action_parameters/uri", "path", "query");
	if (!c && uri)
		c = uri_part(in, json_object_get(uri, "path"), "/action_parameters/uri/path", true, &in->rule->path);
	if (!c && uri)
		c = uri_part(in, json_object_get(uri, "query"), "/action_parameters/uri/query", false, &in->rule->query);
	return !c && h ? headers(in, h) : c;
}

bool edit_value_ok(struct rf_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (((unsigned char)s.p[i] < 0x20 && s.p[i] != '\t') || s.p[i] == 0x7f) /* [RFC 9110 5.5] */
			return false;
	return true;
}

bool edit_uri_ok(struct rf_str s, bool path)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= 0x20 || s.p[i] == 0x7f || s.p[i] == '#' || (path && s.p[i] == '?'))
			return false;
	return !path || (s.n && s.p[0] == '/');
}

int rule_parameters(struct rule_read *in, const json_t *params)
{
	static const char at[] = "/action_parameters";
	if (json_is_null(params))
		params = NULL;
	switch (in->rule->action) {
	case RF_ACT_SKIP:
		return skip(in, params);
	case RF_ACT_REWRITE:
		return rewrite(in, params);
	case RF_ACT_BLOCK: case RF_ACT_RATE_LIMIT: case RF_ACT_QUARANTINE:
	case RF_ACT_CHALLENGE: case RF_ACT_JS_CHALLENGE: case RF_ACT_MANAGED_CHALLENGE:
		return block(in, params);
	case RF_ACT_REDIRECT:
		return rule_redirect(in, params);
	case RF_ACT_SET_CONFIG:
		return rule_set_config(in, params);
	case RF_ACT_COMPRESS:
		return rule_compress(in, params);
	case RF_ACT_SERVE_ERROR:
		return rule_serve_error(in, params);
	default:
		return params && json_object_size(params) ? rule_fail(in, RF_E_UNKNOWN, at, "this action takes no parameters") :
			RF_OK;
	}
}
