/* wire/uri: paths and query strings [RFC 3986].
 *
 * A path is normalised segment by segment into an output that never grows: ".." takes the last
 * segment back, so one pass is enough.
 */
#include "base/err.h"
#include "wire/http1_int.h"
#include "wire/uri.h"

static unsigned nibble(char c)
{
	return http_is(c, CLASS_DIGIT) ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
}

static bool unreserved(unsigned char c)
{
	return http_is((char)c, CLASS_DNS) || c == '~';
}

/* One byte or escape of the path at *i; false for what must not be there. */
static bool copy(struct rf_str path, size_t *i, char *out, size_t *n)
{
	unsigned char c = (unsigned char)path.p[*i];
	if (c != '%') {
		out[(*n)++] = (char)c;
		(*i)++;
		return c >= 0x20 && c != 0x7f && c != '\\';
	}
	if (path.n - *i < 3 || !http_is(path.p[*i + 1], CLASS_HEX) || !http_is(path.p[*i + 2], CLASS_HEX))
		return false;
	unsigned char v = (unsigned char)(nibble(path.p[*i + 1]) << 4 | nibble(path.p[*i + 2]));
	*i += 3;
	if (unreserved(v)) {
		out[(*n)++] = (char)v;
	} else {
		out[(*n)++] = '%';
		out[(*n)++] = "0123456789ABCDEF"[v >> 4];
		out[(*n)++] = "0123456789ABCDEF"[v & 15];
	}
	return v != 0 && v != '/' && v != '\\';
}

/* The segment out[from..*n), which begins with '/', is complete: `last` when nothing follows. */
static bool close_segment(char *out, size_t from, size_t *n, bool join, bool last)
{
	struct rf_str s = { out + from + 1, *n - from - 1 };
	if ((s.n == 0 && join && !last) || rf_str_eq(s, RF_STR("."))) {
		*n = from;
	} else if (rf_str_eq(s, RF_STR(".."))) {
		if (from == 0)
			return false;
		*n = from;
		while (out[--*n] != '/')
			;
	} else {
		return true;
	}
	if (last) /* "/a/." is the directory "/a/" [RFC 3986 5.2.4] */
		out[(*n)++] = '/';
	return true;
}

static bool plain(struct rf_str path, bool join)
{
	for (size_t i = 0; i < path.n; i++) {
		unsigned char c = (unsigned char)path.p[i];
		bool after_slash = i && path.p[i - 1] == '/';
		if (c == '%' || c == '\\' || c < 0x20 || c == 0x7f || (after_slash && (c == '.' || (join && c == '/'))))
			return false;
	}
	return true;
}

int rf_uri_path(struct rf_str path, bool join, struct rf_arena *arena, struct rf_str *ret)
{
	if (path.n == 0 || path.p[0] != '/')
		return RF_E_INVALID;
	if (plain(path, join)) {
		*ret = path;
		return RF_OK;
	}
	char *out = rf_arena_alloc(arena, path.n + 1);
	if (!out)
		return RF_E_NOMEM;
	size_t n = 0;
	for (size_t i = 0; i < path.n;) {
		size_t from = n;
		out[n++] = '/';
		for (i++; i < path.n && path.p[i] != '/';)
			if (!copy(path, &i, out, &n))
				return RF_E_INVALID;
		if (!close_segment(out, from, &n, join, i == path.n))
			return RF_E_INVALID;
	}
	*ret = (struct rf_str){ out, n };
	return RF_OK;
}

bool rf_query_next(struct rf_str *rest, struct rf_str *ret_name, struct rf_str *ret_value)
{
	struct rf_str part;
	do
		if (!rf_str_split(rest, '&', &part))
			return false;
	while (part.n == 0);
	size_t eq = rf_str_find(part, '=');
	*ret_name = (struct rf_str){ part.p, eq };
	*ret_value = eq < part.n ? (struct rf_str){ part.p + eq + 1, part.n - eq - 1 } : (struct rf_str){ NULL, 0 };
	return true;
}
