/* policy/func_json: look one value up in a JSON text without building a tree [RFC 8259].
 *
 * The text is walked once to the end, so that what is not JSON gives a missing value rather than
 * a part of it; of keys that are there twice the last counts, as in most parsers behind us. What is nested deeper than
 * JSON_DEPTH cannot be judged: an error, so that nobody hides a value behind a thousand brackets.
 */
#include "policy/expr.h"
#include "policy/func.h"

enum { JSON_DEPTH = 256 };

struct json {
	struct rf_str s;
	size_t at;
	const struct rf_val *path;
	unsigned steps;
	bool bad, deep;
	struct rf_str found; /* the text of the value, p NULL where there is none */
};

static void space(struct json *j)
{
	while (j->at < j->s.n && memchr(" \t\r\n", j->s.p[j->at], 4))
		j->at++;
}

static bool mark(struct json *j, char c)
{
	space(j);
	if (j->at < j->s.n && j->s.p[j->at] == c) {
		j->at++;
		return true;
	}
	return false;
}

/* The bytes between the quotes, escapes as they are. */
static struct rf_str quoted(struct json *j)
{
	size_t from = j->at + 1;
	if (!mark(j, '"')) {
		j->bad = true;
		return RF_STR("");
	}
	from = j->at;
	while (j->at < j->s.n && j->s.p[j->at] != '"') {
		if ((unsigned char)j->s.p[j->at] < 0x20)
			j->bad = true;
		j->at += j->s.p[j->at] == '\\' ? 2 : 1;
	}
	if (j->at >= j->s.n) {
		j->bad = true;
		return RF_STR("");
	}
	return (struct rf_str){ j->s.p + from, j->at++ - from };
}

static int hex4(struct rf_str s)
{
	uint64_t v;
	return s.n >= 4 && rf_str_hex64((struct rf_str){ s.p, 4 }, &v) ? (int)v : -1;
}

static size_t utf8(unsigned c, char *to)
{
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	if (n == 1) {
		to[0] = (char)c;
		return n;
	}
	for (size_t i = n - 1; i > 0; i--, c >>= 6)
		to[i] = (char)(0x80 | (c & 0x3f));
	to[0] = (char)((0xf00 >> n & 0xf0) | c);
	return n;
}

/* \uXXXX, with the second half of a pair where there is one. A half alone is within the grammar [RFC 8259 8.2] and becomes
 * U+FFFD: a text must not vanish from the sight of rules by it. Returns the bytes of `s` used, 0: wrong. */
static size_t unicode(struct rf_str s, char *to, size_t *n)
{
	enum { LONE = 0xfffd };
	int c = hex4(rf_str_skip(s, 2)), low = -1;
	size_t used = 6;
	struct rf_str next = rf_str_skip(s, 6);
	if (c < 0)
		return 0;
	if (c >= 0xd800 && c < 0xdc00 && rf_str_starts(next, RF_STR("\\u")))
		low = hex4(rf_str_skip(next, 2));
	if (low >= 0xdc00 && low <= 0xdfff) {
		c = 0x10000 + ((c - 0xd800) << 10 | (low - 0xdc00));
		used = 12;
	} else if (c >= 0xd800 && c <= 0xdfff) {
		c = LONE;
	}
	*n += utf8((unsigned)c, to + *n);
	return used;
}

/* What the bytes between quotes stand for; at most as long. False where an escape is wrong. */
static bool unescape(struct rf_str s, char *to, size_t *ret_n)
{
	static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
	size_t n = 0;
	for (size_t i = 0; i < s.n;) {
		if (s.p[i] != '\\') {
			to[n++] = s.p[i++];
			continue;
		}
		const char *p = i + 1 < s.n && s.p[i + 1] ? strchr(from, s.p[i + 1]) : NULL;
		size_t used = 2;
		if (p)
			to[n++] = into[p - from];
		else if (i + 1 >= s.n || s.p[i + 1] != 'u' || !(used = unicode(rf_str_skip(s, i), to, &n)))
			return false;
		i += used;
	}
	*ret_n = n;
	return true;
}

static bool is_key(struct json *j, struct rf_str raw, struct rf_str want)
{
	char t[256];
	size_t n;
	if (rf_str_find(raw, '\\') == raw.n)
		return rf_str_eq(raw, want);
	if (raw.n > sizeof t)
		return false;
	if (!unescape(raw, t, &n)) {
		j->bad = true;
		return false;
	}
	return rf_str_eq((struct rf_str){ t, n }, want);
}

static void value(struct json *j, unsigned depth, int step);

/* step: how much of the path leads to here, -1 when this is off the path. */
static void members(struct json *j, unsigned depth, int step)
{
	bool on = step >= 0 && step < (int)j->steps && j->path[step].tag == RF_V_STR;
	if (mark(j, '}'))
		return;
	do {
		struct rf_str key = quoted(j);
		if (j->bad || !mark(j, ':')) {
			j->bad = true;
			return;
		}
		value(j, depth + 1, on && is_key(j, key, j->path[step].s) ? step + 1 : -1);
	} while (!j->bad && mark(j, ','));
	j->bad |= !mark(j, '}');
}

static void elements(struct json *j, unsigned depth, int step)
{
	bool on = step >= 0 && step < (int)j->steps && j->path[step].tag == RF_V_INT;
	int64_t i = 0;
	if (mark(j, ']'))
		return;
	do
		value(j, depth + 1, on && j->path[step].i == i++ ? step + 1 : -1);
	while (!j->bad && mark(j, ','));
	j->bad |= !mark(j, ']');
}

static size_t digits(struct rf_str w, size_t at)
{
	while (at < w.n && w.p[at] >= '0' && w.p[at] <= '9')
		at++;
	return at;
}

/* [RFC 8259 6]: no zero in front, and digits on both sides of a point. */
static bool is_number(struct rf_str w)
{
	size_t minus = w.n && w.p[0] == '-', at = digits(w, minus), from;
	if (at == minus || (at > minus + 1 && w.p[minus] == '0'))
		return false;
	if (at < w.n && w.p[at] == '.') {
		from = at + 1;
		if ((at = digits(w, from)) == from)
			return false;
	}
	if (at < w.n && (w.p[at] | 0x20) == 'e') {
		at++;
		from = at += at < w.n && (w.p[at] == '+' || w.p[at] == '-');
		if ((at = digits(w, from)) == from)
			return false;
	}
	return at == w.n;
}

static void word(struct json *j)
{
	size_t from = j->at;
	while (j->at < j->s.n && !memchr(" \t\r\n,]}", j->s.p[j->at], 7))
		j->at++;
	struct rf_str w = { j->s.p + from, j->at - from };
	if (!is_number(w) && !rf_str_eq(w, RF_STR("true")) && !rf_str_eq(w, RF_STR("false")) && !rf_str_eq(w, RF_STR("null")))
		j->bad = true;
}

static void value(struct json *j, unsigned depth, int step)
{
	space(j);
	size_t from = j->at;
	if (depth > JSON_DEPTH)
		j->bad = j->deep = true;
	else if (mark(j, '{'))
		members(j, depth, step);
	else if (mark(j, '['))
		elements(j, depth, step);
	else if (j->at < j->s.n && j->s.p[j->at] == '"')
		quoted(j);
	else
		word(j);
	if (!j->bad && step == (int)j->steps)
		j->found = (struct rf_str){ j->s.p + from, j->at - from };
}

/* *ret: the text of the value, p NULL where there is none. RF_E_TOO_LARGE: nested too deep. */
static int look_up(const struct rf_val *a, unsigned n, struct rf_str *ret)
{
	struct json j = { .s = a[0].s, .path = a + 1, .steps = n - 1 };
	value(&j, 0, 0);
	space(&j);
	*ret = j.bad || j.at < j.s.n ? (struct rf_str){ NULL, 0 } : j.found;
	return j.deep ? RF_E_TOO_LARGE : RF_OK;
}

int fn_lookup_json_integer(struct rf_facts *f, const struct rf_val *a, unsigned n, struct rf_val *ret)
{
	(void)f;
	struct rf_str s;
	uint64_t v;
	int r = look_up(a, n, &s);
	if (r != RF_OK || !s.p)
		return r;
	bool minus = s.p[0] == '-';
	if (rf_str_u64(rf_str_skip(s, minus), &v) && v <= INT64_MAX)
		*ret = rf_val_int(minus ? -(int64_t)v : (int64_t)v);
	return RF_OK;
}

int fn_lookup_json_string(struct rf_facts *f, const struct rf_val *a, unsigned n, struct rf_val *ret)
{
	struct rf_str s;
	size_t size;
	int r = look_up(a, n, &s);
	if (r != RF_OK || !s.p || s.p[0] != '"')
		return r;
	if (s.n > RF_EXPR_RESULT)
		return RF_E_TOO_LARGE;
	char *to = rf_arena_alloc(f->arena, s.n);
	if (!to)
		return RF_E_NOMEM;
	if (unescape((struct rf_str){ s.p + 1, s.n - 2 }, to, &size))
		*ret = rf_val_str((struct rf_str){ to, size });
	return RF_OK;
}
