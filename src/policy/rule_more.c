/* policy/rule_more: action_parameters of redirect, set_config, compress_response and serve_error. */
#include <stdio.h>
#include "policy/rule_int.h"

static int name_at(const char *const *names, size_t count, const json_t *v)
{
	size_t i = 0;
	while (i < count && !(json_is_string(v) && strcmp(names[i], json_string_value(v)) == 0))
		i++;
	return i < count ? (int)i : -1;
}

/* --- redirect --- */

bool redirect_target_ok(struct rf_str s)
{
	if (s.n > RF_TARGET_SIZE)
		return false;
	if (rf_str_starts(s, RF_STR("https://")) || rf_str_starts(s, RF_STR("http://")))
		return true;
	/* A path of this host. What begins with two slashes is another host to a client, and some read \ as /. */
	return s.n && s.p[0] == '/' && (s.n == 1 || (s.p[1] != '/' && s.p[1] != '\\'));
}

static int redirect_status(struct rule_read *in, const json_t *v, struct rf_redirect *d)
{
	static const int known[] = { 301, 302, 303, 307, 308 };
	d->status = v ? 0 : 301;
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (json_is_integer(v) && json_integer_value(v) == known[i])
			d->status = known[i];
	return d->status ? RF_OK : rule_fail(in, RF_E_RANGE, "/action_parameters/from_value/status_code",
		"this should be 301, 302, 303, 307 or 308");
}

int rule_redirect(struct rule_read *in, const json_t *params)
{
	static const char at[] = "/action_parameters", from[] = "/action_parameters/from_value",
		to[] = "/action_parameters/from_value/target_url";
	const json_t *o = json_object_get(params, "from_value"), *target = json_object_get(o, "target_url");
	const json_t *keep = json_object_get(o, "preserve_query_string");
	if (json_object_get(params, "from_list"))
		return rule_fail(in, RF_E_UNSUPPORTED, "/action_parameters/from_list", "redirects are not taken from lists: use from_value");
	if (!o || !target)
		return rule_fail(in, RF_E_MISSING, o ? from : at, "redirect says where: {\"from_value\": {\"target_url\": {\"value\": ...}}}");
	int c = RULE_ONLY(in, params, at, "from_value");
	if (!c)
		c = RULE_ONLY(in, o, from, "target_url", "status_code", "preserve_query_string");
	if (!c)
		c = RULE_ONLY(in, target, to, "value", "expression");
	if (!c && keep && !json_is_boolean(keep))
		c = rule_fail(in, RF_E_TYPE, "/action_parameters/from_value/preserve_query_string", "this should be true or false");
	struct rf_redirect *d = c ? NULL : rule_alloc(in->rule, sizeof *d);
	struct rf_edit_spec *s = d ? rule_alloc(in->rule, sizeof *s) : NULL;
	if (!s)
		return c ? c : rule_no_memory(in);
	d->target = s;
	d->keep_query = json_is_true(keep);
	in->rule->redirect = d;
	c = redirect_status(in, json_object_get(o, "status_code"), d);
	if (!c)
		c = rule_edit_value(in, target, to, s);
	if (!c && !s->expr && !redirect_target_ok(s->value))
		c = rule_fail(in, RF_E_INVALID, "/action_parameters/from_value/target_url/value",
			"this should be an http: or https: URL, or a path, of at most %d bytes", RF_TARGET_SIZE);
	return c;
}

/* --- set_config --- */

/* Documented settings that have nothing to act on here, each with why. */
static const struct { const char *name, *why; } refused[] = {
	{ "automatic_https_rewrites", "the edge does not change bodies" }, { "autominify", "the edge does not change bodies" },
	{ "bic", "there are no browsers to check" }, { "content_converter", "the edge does not change bodies" },
	{ "disable_apps", "there are no such apps" }, { "disable_pay_per_crawl", "there is nothing to disable" },
	{ "disable_rum", "there is nothing to disable" }, { "disable_zaraz", "there is nothing to disable" },
	{ "email_obfuscation", "the edge does not change bodies" }, { "fonts", "the edge does not change bodies" },
	{ "hotlink_protection", "write a rule on http.referer" }, { "mirage", "the edge does not change images" },
	{ "opportunistic_encryption", "listeners say which ports are encrypted" }, { "polish", "the edge does not change images" },
	{ "redirects_for_ai_training", "the edge does not read bodies of answers" },
	{ "rocket_loader", "the edge does not change bodies" }, { "security_level", "a device is known or not: there is no level" },
	{ "server_side_excludes", "the edge does not change bodies" }, { "ssl", "the URL of an origin says whether it is encrypted" },
	{ "sxg", "there is nothing to sign" }, { "webmcp_enabled", "the edge does not change bodies" },
	{ "webmcp_packs", "the edge does not change bodies" },
};

static int refuse_known(struct rule_read *in, const json_t *params)
{
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
		if (json_object_get(params, refused[i].name)) {
			char below[96];
			snprintf(below, sizeof below, "/action_parameters/%s", refused[i].name);
			return rule_fail(in, RF_E_UNSUPPORTED, below, "this setting is not offered: %s", refused[i].why);
		}
	return RF_OK;
}

static int integer(struct rule_read *in, const json_t *params, const char *name, int64_t least, int64_t most, int64_t *ret)
{
	const json_t *v = json_object_get(params, name);
	char below[96];
	snprintf(below, sizeof below, "/action_parameters/%s", name);
	if (!v)
		return RF_OK;
	if (!json_is_integer(v) || json_integer_value(v) < least || json_integer_value(v) > most)
		return rule_fail(in, json_is_integer(v) ? RF_E_RANGE : RF_E_TYPE, below, "this should be %lld to %lld",
			(long long)least, (long long)most);
	*ret = json_integer_value(v);
	return RF_OK;
}

static int buffering(struct rule_read *in, const json_t *params, struct rf_config *k)
{
	static const char *const words[] = { "none", "standard", "full" };
	const json_t *up = json_object_get(params, "request_body_buffering");
	const json_t *down = json_object_get(params, "response_body_buffering");
	int u = name_at(words, 3, up), d = name_at(words, 2, down);
	if (up && u == 2)
		return rule_fail(in, RF_E_UNSUPPORTED, "/action_parameters/request_body_buffering",
			"the edge streams bodies: rules see the first bytes of one, at most `inspect_body_bytes`");
	if (up && u < 0)
		return rule_fail(in, RF_E_INVALID, "/action_parameters/request_body_buffering", "this should be none or standard");
	if (down && d < 0)
		return rule_fail(in, RF_E_INVALID, "/action_parameters/response_body_buffering", "this should be none or standard");
	if (u == 0 && k->body_bytes > 0)
		return rule_fail(in, RF_E_CONFLICT, "/action_parameters/inspect_body_bytes",
			"with request_body_buffering none rules see nothing of the body");
	if (u == 0) {
		k->body_bytes = 0;
		rule_warn(in->rule, "rules see nothing of the bodies of these requests");
	}
	return RF_OK;
}

int rule_set_config(struct rule_read *in, const json_t *params)
{
	static const char at[] = "/action_parameters";
	const json_t *compress = json_object_get(params, "compress");
	int64_t bytes = -1, sample = 0;
	if (!json_object_size(params))
		return rule_fail(in, RF_E_MISSING, at, "set_config says what: compress, inspect_body_bytes, record_sample");
	int c = refuse_known(in, params);
	if (!c)
		c = RULE_ONLY(in, params, at, "compress", "inspect_body_bytes", "record_sample", "request_body_buffering",
			"response_body_buffering");
	if (!c && compress && !json_is_boolean(compress))
		c = rule_fail(in, RF_E_TYPE, "/action_parameters/compress", "this should be true or false");
	if (!c)
		c = integer(in, params, "inspect_body_bytes", 0, RF_CONFIG_BODY, &bytes);
	if (!c)
		c = integer(in, params, "record_sample", 1, 1000000, &sample);
	struct rf_config *k = c ? NULL : rule_alloc(in->rule, sizeof *k);
	if (!k)
		return c ? c : rule_no_memory(in);
	*k = (struct rf_config){ bytes, compress ? json_is_true(compress) : -1, (uint32_t)sample };
	in->rule->config = k;
	return buffering(in, params, k);
}

/* --- compress_response --- */

int rule_compress(struct rule_read *in, const json_t *params)
{
	static const char *const words[] = { [RF_ALG_NONE] = "none", [RF_ALG_AUTO] = "auto", [RF_ALG_DEFAULT] = "default",
		[RF_ALG_GZIP] = "gzip", [RF_ALG_BROTLI] = "brotli", [RF_ALG_ZSTD] = "zstd" };
	static const char at[] = "/action_parameters/algorithms";
	const json_t *a = json_object_get(params, "algorithms");
	size_t n = json_array_size(a);
	int c = params ? RULE_ONLY(in, params, "/action_parameters", "algorithms") : RF_OK;
	if (c)
		return c;
	if (!n || n > RF_CODINGS_MOST)
		return rule_fail(in, a ? RF_E_RANGE : RF_E_MISSING, at, "this should be an array of 1 to %d {\"name\": \"gzip\"}", RF_CODINGS_MOST);
	struct rf_algorithms *l = rule_alloc(in->rule, sizeof *l);
	if (!l)
		return rule_no_memory(in);
	in->rule->algorithms = l;
	for (size_t i = 0; i < n; i++) {
		char below[64];
		const json_t *o = json_array_get(a, i);
		snprintf(below, sizeof below, "%s/%zu", at, i);
		c = RULE_ONLY(in, o, below, "name");
		if (c)
			return c;
		int k = name_at(words, sizeof words / sizeof *words, json_object_get(o, "name"));
		snprintf(below, sizeof below, "%s/%zu/name", at, i);
		if (k < 0)
			return rule_fail(in, RF_E_UNKNOWN, below, "an algorithm is gzip, brotli, zstd, auto, default or none");
		l->v[l->n++] = (enum rf_algorithm)k;
	}
	return RF_OK;
}

/* --- serve_error --- */

int rule_serve_error(struct rule_read *in, const json_t *params)
{
	static const char at[] = "/action_parameters";
	if (json_object_get(params, "asset_name"))
		return rule_fail(in, RF_E_UNSUPPORTED, "/action_parameters/asset_name", "there are no stored assets: give `content`");
	if (!json_object_get(params, "content"))
		return rule_fail(in, RF_E_MISSING, at, "serve_error says what: {\"content\": ..., \"content_type\": \"application/json\"}");
	int c = RULE_ONLY(in, params, at, "content", "content_type", "status_code");
	struct rf_response *r = c ? NULL : rule_alloc(in->rule, sizeof *r);
	if (!r)
		return c ? c : rule_no_memory(in);
	in->rule->response = r;
	return rule_response(in, params, at, r);
}
