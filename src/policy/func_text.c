/* policy/func_text: functions that make strings out of strings.
 *
 * All memory is the request's arena; a result over RF_EXPR_RESULT is RF_E_TOO_LARGE.
 */
#include <inttypes.h>
#include <stdio.h>
#include "policy/expr.h"
#include "policy/func.h"
#include "policy/wild.h"

static int room(struct rf_facts *f, size_t n, char **ret)
{
	if (n > RF_EXPR_RESULT)
		return RF_E_TOO_LARGE;
	*ret = rf_arena_alloc(f->arena, n);
	return *ret ? RF_OK : RF_E_NOMEM;
}

static struct rf_val text(const char *p, size_t n)
{
	return rf_val_str((struct rf_str){ p, n });
}

static void put(char *to, size_t *at, struct rf_str s)
{
	if (s.n)
		memcpy(to + *at, s.p, s.n);
	*at += s.n;
}

int fn_lower(struct rf_facts *f, const struct rf_val *a, unsigned n, struct rf_val *ret)
{
	(void)n;
	struct rf_str s = a[0].s;
	char *to;
	int r = room(f, s.n, &to);
	for (size_t i = 0; r == RF_OK && i < s.n; i++)
		to[i] = (char)rf_lower((unsigned char)s.p[i]);
	if (r == RF_OK)
		*ret = text(to, s.n);
	return r;
}

int fn_upper(struct rf_facts *f, const struct rf_val *a, unsigned n, struct rf_val *ret)
{
	(void)n;
	struct rf_str s = a[0].s;
	char *to;
	int r = room(f, s.n, &to);
	for (size_t i = 0; r == RF_OK && i < s.n; i++)
		to[i] = s.p[i] >= 'a' && s.p[i] <= 'z' ? s.p[i] & ~0x20 : s.p[i];
	if (r == RF_OK)
		*ret = text(to, s.n);
	return r;
}

static int as_text(struct rf_facts *f, const struct rf_val *v, struct rf_str *ret)
{
	char z[RF_IP_TEXT] = "";
	if (v->tag == RF_V_STR) {
		*ret = v->s;
		return RF_OK;
	}
	if (v->tag == RF_V_INT)
		snprintf(z, sizeof z, "%" PRId64, v->i);
	else if (v->tag == RF_V_IP)
		rf_ip_str(&v->ip, z);
	else
		snprintf(z, sizeof z, "%s", v->b ? "true" : "false");
	struct rf_str s = rf_arena_dup(f->arena, rf_str_z(z));
	if (!s.p)
		return RF_E_NOMEM;
	*ret = s;
	return RF_OK;
}

int fn_to_string(struct rf_facts *f, const struct rf_val *a, unsigned n, struct rf_val *ret)
{
	(void)n;
	struct rf_str s;
	int r = as_text(f, &a[0], &s);
	if (r == RF_OK)
		*ret = rf_val_str(s);
	return r;
}

int fn_concat(struct rf_facts *f, const struct rf_val *a, unsigned n, struct rf_val *ret)
{
	struct rf_str part[RF_FUNC_ARGS];
	size_t total = 0, at = 0;
	for (unsigned i = 0; i < n; i++) {
		int r = as_text(f, &a[i], &part[i]);
		if (r)
			return r;
		total += part[i].n;
	}
	char *to;
	int r = room(f, total, &to);
	for (unsigned i = 0; r == RF_OK && i < n; i++)
		put(to, &at, part[i]);
	if (r == RF_OK)
		*ret = text(to, total);
	return r;
}

int fn_join(struct rf_facts *f, const struct rf_val *a, unsigned n, struct rf_val *ret)
{
	(void)n;
	size_t total = 0, at = 0;
	for (uint32_t i = 0; i < a[0].n; i++)
		total += (a[0].a[i].tag == RF_V_STR ? a[0].a[i].s.n : 0) + (i ? a[1].s.n : 0);
	char *to;
	int r = room(f, total, &to);
	for (uint32_t i = 0; r == RF_OK && i < a[0].n; i++) {
		if (i)
			put(to, &at, a[1].s);
		if (a[0].a[i].tag == RF_V_STR)
			put(to, &at, a[0].a[i].s);
	}
	if (r == RF_OK)
		*ret = text(to, total);
	return r;
}

int fn_split(struct rf_facts *f, const struct rf_val *a, unsigned n, struct rf_val *ret)
{
	(void)n;
	uint32_t limit = (uint32_t)a[2].i, count = 0;
	struct rf_val *part = rf_arena_array(f->arena, limit, sizeof *part);
	struct rf_str rest = a[0].s;
	if (!part)
		return RF_E_NOMEM;
	for (;;) {
		const char *p = rest.n >= a[1].s.n ? memmem(rest.p, rest.n, a[1].s.p, a[1].s.n) : NULL;
		if (!p || count + 1 == limit) {
			part[count++] = rf_val_str(rest);
			break;
		}
		part[count++] = text(rest.p, (size_t)(p - rest.p));
		rest = rf_str_skip(rest, (size_t)(p - rest.p) + a[1].s.n);
	}
	*ret = rf_val_array(part, count);
	return RF_OK;
}

int fn_substring(struct rf_facts *f, const struct rf_val *a, unsigned n, struct rf_val *ret)
{
	(void)f;
	int64_t size = (int64_t)a[0].s.n, from = a[1].i, to = n > 2 ? a[2].i : size;
	from = from < 0 ? (from < -size ? 0 : from + size) : from;
	to = to < 0 ? (to < -size ? 0 : to + size) : to > size ? size : to;
	*ret = from < to ? text(a[0].s.p + from, (size_t)(to - from)) : rf_val_str(RF_STR(""));
	return RF_OK;
}

int fn_remove_bytes(struct rf_facts *f, const struct rf_val *a, unsigned n, struct rf_val *ret)
{
	(void)n;
	char *to;
	size_t at = 0;
	int r = room(f, a[0].s.n, &to);
	for (size_t i = 0; r == RF_OK && i < a[0].s.n; i++)
		if (!a[1].s.n || !memchr(a[1].s.p, a[0].s.p[i], a[1].s.n))
			to[at++] = a[0].s.p[i];
	if (r == RF_OK)
		*ret = text(to, at);
	return r;
}

static bool named(struct rf_str arg, const struct rf_val *a, unsigned n)
{
	arg.n = rf_str_find(arg, '=');
	for (unsigned i = 1; i < n; i++)
		if (rf_str_eq(arg, a[i].s))
			return true;
	return false;
}

int fn_remove_query_args(struct rf_facts *f, const struct rf_val *a, unsigned n, struct rf_val *ret)
{
	struct rf_str rest = a[0].s, arg;
	size_t at = 0;
	bool first = true;
	char *to;
	int r = room(f, rest.n + 1, &to);
	while (r == RF_OK && rf_str_split(&rest, '&', &arg)) {
		if (named(arg, a, n))
			continue;
		if (!first)
			to[at++] = '&';
		first = false;
		put(to, &at, arg);
	}
	if (r == RF_OK)
		*ret = text(to, at);
	return r;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

static int hex_run(const char *p, size_t digits)
{
	int v = 0;
	for (size_t i = 0; i < digits; i++) {
		int d = hex_digit(p[i]);
		if (d < 0)
			return -1;
		v = v << 4 | d;
	}
	return v;
}

static size_t utf8(unsigned c, char *to)
{
	if (c < 0x80) {
		to[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = (char)(0xc0 | c >> 6);
		to[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	to[0] = (char)(0xe0 | c >> 12);
	to[1] = (char)(0x80 | (c >> 6 & 0x3f));
	to[2] = (char)(0x80 | (c & 0x3f));
	return 3;
}

/* One pass; the result is never longer than s, so `to` may be s itself. */
static size_t decode(struct rf_str s, bool wide, char *to)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++) {
		size_t left = s.n - i;
		int v = -1;
		if (s.p[i] == '%' && left > 2 && (v = hex_run(s.p + i + 1, 2)) >= 0) {
			to[n++] = (char)v;
			i += 2;
		} else if (wide && s.p[i] == '%' && left > 5 && (s.p[i + 1] | 0x20) == 'u' &&
			(v = hex_run(s.p + i + 2, 4)) >= 0) {
			n += utf8((unsigned)v, to + n);
			i += 5;
		} else {
			to[n++] = s.p[i] == '+' ? ' ' : s.p[i];
		}
	}
	return n;
}

int fn_url_decode(struct rf_facts *f, const struct rf_val *a, unsigned n, struct rf_val *ret)
{
	bool again = false, wide = false;
	for (size_t i = 0; n > 1 && i < a[1].s.n; i++) {
		again |= a[1].s.p[i] == 'r';
		wide |= a[1].s.p[i] == 'u';
	}
	char *to;
	int r = room(f, a[0].s.n, &to);
	if (r)
		return r;
	size_t size = decode(a[0].s, wide, to), before = a[0].s.n;
	while (again && size < before) { /* each pass that finds an escape makes it shorter */
		before = size;
		size = decode((struct rf_str){ to, size }, wide, to);
	}
	*ret = text(to, size);
	return RF_OK;
}

/* Write `with`, ${n} replaced by star n, to `to` (NULL: only count). */
static size_t fill(struct rf_str with, const struct rf_str *star, unsigned stars, char *to)
{
	size_t n = 0;
	while (with.n) {
		struct rf_str piece = { with.p, 1 };
		size_t close = rf_str_find(with, '}'), used = 1;
		uint64_t k;
		if (with.n > 3 && with.p[0] == '$' && with.p[1] == '{' && close < with.n &&
			rf_str_u64((struct rf_str){ with.p + 2, close - 2 }, &k)) {
			piece = k >= 1 && k <= stars ? star[k - 1] : RF_STR("");
			used = close + 1;
		}
		if (to)
			put(to, &n, piece);
		else
			n += piece.n;
		with = rf_str_skip(with, used);
	}
	return n;
}

int fn_wildcard_replace(struct rf_facts *f, const struct rf_val *a, unsigned n, struct rf_val *ret)
{
	struct rf_str star[WILD_STARS];
	unsigned stars = 0;
	bool hit, strict = n > 3 && a[3].s.n > 0;
	int r = wild_match(a[1].s, !strict, a[0].s, f->arena, &hit, star, &stars);
	if (r)
		return r;
	if (!hit) {
		*ret = a[0];
		return RF_OK;
	}
	size_t size = fill(a[2].s, star, stars, NULL);
	char *to;
	r = room(f, size, &to);
	if (r)
		return r;
	fill(a[2].s, star, stars, to);
	*ret = text(to, size);
	return RF_OK;
}
