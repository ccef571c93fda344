/* api/route: from method and path to a row of tbl/routes.def.
 *
 * A path is split at its slashes and each segment held against those of the rows, in order; parameters are
 * taken undecoded, because none of them has a byte that needs an escape.
 *
 * Not here: who may call it (api/auth).
 */
#include <stddef.h>
#include <stdio.h>
#include "api/call.h"

const struct rf_route rf_routes[] = {
#define RF_ROUTE(method, path, noun, access, handler, request, response, shape, doc) \
	{ RF_HTTP_##method, path, noun, RF_ACCESS_##access, #handler, rf_api_##handler, RF_RES_##request, \
	  RF_RES_##response, RF_SHAPE_##shape, doc },
#include "tbl/routes.def"
#undef RF_ROUTE
};
const size_t rf_route_count = sizeof rf_routes / sizeof *rf_routes;

static bool is_hex_id(struct rf_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
			return false;
	return s.n == 32;
}

static bool is_word(struct rf_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char ch = s.p[i];
		if (!((ch >= '0' && ch <= '9') || (rf_lower((unsigned char)ch) >= 'a' && rf_lower((unsigned char)ch) <= 'z') ||
		      ch == '_' || ch == '-' || ch == '.'))
			return false;
	}
	return s.n >= 1 && s.n <= 64;
}

static const struct {
	const char *name;
	size_t offset;
	bool id;
} params[] = {
	{ "{account}", offsetof(struct rf_params, account), true }, { "{zone}", offsetof(struct rf_params, zone), true },
	{ "{id}", offsetof(struct rf_params, id), true }, { "{item}", offsetof(struct rf_params, item), true },
	{ "{phase}", offsetof(struct rf_params, phase), false }, { "{version}", offsetof(struct rf_params, version), false },
	{ "{rule}", offsetof(struct rf_params, rule), false },
};

static bool take(struct rf_str pattern, struct rf_str segment, struct rf_params *to)
{
	for (size_t i = 0; i < sizeof params / sizeof *params; i++) {
		if (!rf_str_eq(pattern, rf_str_z(params[i].name)))
			continue;
		if (params[i].id ? !is_hex_id(segment) : !is_word(segment))
			return false;
		char *at = (char *)to + params[i].offset;
		memcpy(at, segment.p, segment.n);
		at[segment.n] = '\0';
		return true;
	}
	return rf_str_eq(pattern, segment);
}

static bool fits(const char *pattern, struct rf_str path, struct rf_params *to)
{
	struct rf_str p = rf_str_z(pattern), want, got;
	*to = (struct rf_params){ 0 };
	while (rf_str_split(&p, '/', &want))
		if (!rf_str_split(&path, '/', &got) || !take(want, got, to))
			return false;
	return path.p == NULL;
}

int rf_route_find(enum rf_http_method m, struct rf_str path, const struct rf_route **ret, struct rf_params *to,
		  unsigned *ret_allow)
{
	unsigned allow = 0;
	if (path.n > 1 && path.p[path.n - 1] == '/')
		path.n--;
	for (size_t i = 0; i < rf_route_count; i++) {
		if (!fits(rf_routes[i].path, path, to))
			continue;
		allow |= 1u << rf_routes[i].method;
		if (rf_routes[i].method == m) {
			*ret = &rf_routes[i];
			return RF_OK;
		}
	}
	*ret_allow = allow;
	return allow ? RF_E_METHOD : RF_E_NOT_FOUND;
}
