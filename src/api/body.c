/* api/body: JSON as it comes from outside, and query strings.
 *
 * Depth is bounded before the parser sees the text, so that no text makes it recurse far; duplicate
 * members are refused, since two readers may take different ones.
 *
 * Not here: shapes (api/schema).
 */
#include <stdio.h>
#include <stdlib.h>
#include "api/call.h"
#include "base/enc.h"

/* The deepest nesting of brackets outside strings. */
static unsigned nesting(struct rf_str s)
{
	unsigned depth = 0, most = 0;
	bool quoted = false;
	for (size_t i = 0; i < s.n; i++) {
		char ch = s.p[i];
		if (quoted) {
			if (ch == '\\')
				i++;
			else if (ch == '"')
				quoted = false;
		} else if (ch == '"') {
			quoted = true;
		} else if (ch == '{' || ch == '[') {
			if (++depth > most)
				most = depth;
		} else if ((ch == '}' || ch == ']') && depth) {
			depth--;
		}
	}
	return most;
}

int rf_json_read(struct rf_str text, json_t **ret, struct rf_err *e)
{
	if (nesting(text) > RF_API_DEPTH_MAX)
		return rf_fail(e, RF_E_TOO_LARGE, "the JSON is nested more than %d deep", RF_API_DEPTH_MAX);
	json_error_t why;
	json_t *doc = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, &why);
	if (!doc)
		return rf_fail_at(e, RF_E_SYNTAX, why.line > 0 ? (unsigned)why.line : 0,
				  why.column > 0 ? (unsigned)why.column : 0, "the body is not JSON: %.160s", why.text);
	*ret = doc;
	return RF_OK;
}

const char *rf_api_param(struct rf_api_call *c, const char *name)
{
	for (size_t i = 0; i < c->query_count; i++)
		if (rf_str_eq(c->query[i].name, rf_str_z(name)))
			return c->query[i].value.p;
	return NULL;
}

int rf_api_param_int(struct rf_api_call *c, const char *name, int64_t least, int64_t most, int64_t def, int64_t *ret)
{
	const char *z = rf_api_param(c, name);
	uint64_t v;
	char pointer[64];
	if (!z || !*z) {
		*ret = def;
		return RF_OK;
	}
	snprintf(pointer, sizeof pointer, "/%s", name);
	if (!rf_str_u64(rf_str_z(z), &v) || v > (uint64_t)most || (int64_t)v < least)
		return rf_api_fail(c, RF_E_RANGE, pointer, "the parameter %s must be %lld to %lld", name, (long long)least,
				   (long long)most);
	*ret = (int64_t)v;
	return RF_OK;
}
