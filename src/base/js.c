/* base/js: see js.h. Texts are looked at eight bytes at a time while they are plain; escapes are checked where they stand, so that
 * decoding cannot fail. A code unit of a pair that stands alone, and the character 0, are refused, as the parser in full does. */
#include "base/js.h"
#include <endian.h>
#include <stdlib.h>
#include "base/hash.h"

enum { PLAIN, QUOTE, ESCAPE, HIGH, CONTROL, DECODED = 512 };

static uint8_t class_of(unsigned char c)
{
	return c == '"' ? QUOTE : c == '\\' ? ESCAPE : c >= 0x80 ? HIGH : c < 0x20 ? CONTROL : PLAIN;
}

static bool fail(struct rf_js *j)
{
	j->bad = true;
	return false;
}

bool rf_js_end(struct rf_js *j)
{
	return rf_js_peek(j) == '\0' && j->at == j->end && !j->bad;
}

/* --- texts --- */

static int hex4(const char *p)
{
	int v = 0;
	for (int i = 0; i < 4; i++) {
		char c = (char)(p[i] | 0x20);
		if (!(p[i] >= '0' && p[i] <= '9') && !(c >= 'a' && c <= 'f'))
			return -1;
		v = v << 4 | (p[i] <= '9' ? p[i] - '0' : c - 'a' + 10);
	}
	return v;
}

/* Bytes of the escape at p, or 0. */
static size_t escape(const char *p, const char *end)
{
	if (end - p < 2)
		return 0;
	if (p[1] != 'u')
		return p[1] && strchr("\"\\/bfnrt", p[1]) ? 2 : 0;
	int a = end - p >= 6 ? hex4(p + 2) : -1;
	if (a <= 0 || (a >= 0xdc00 && a < 0xe000))
		return 0;
	if (a < 0xd800 || a >= 0xe000)
		return 6;
	int b = end - p >= 12 && p[6] == '\\' && p[7] == 'u' ? hex4(p + 8) : -1;
	return b >= 0xdc00 && b < 0xe000 ? 12 : 0;
}

/* Of bytes that begin at 0x80 or above: how many the character there has, or 0 [RFC 3629 4]. */
static size_t utf8(const unsigned char *p, const char *end)
{
	size_t n = p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : p[0] >= 0xe0 && p[0] < 0xf0 ? 3 : p[0] >= 0xf0 && p[0] < 0xf5 ? 4 : 0;
	if (!n || (size_t)(end - (const char *)p) < n)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	bool wrong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0) || (p[0] == 0xf0 && p[1] < 0x90) ||
		(p[0] == 0xf4 && p[1] >= 0x90);
	return wrong ? 0 : n;
}

/* The first byte from p on that may be something else than PLAIN, or one of the last seven. */
static const char *past_plain(const char *p, const char *end)
{
	const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
	for (uint64_t w; end - p >= 8; p += 8) {
		memcpy(&w, p, 8);
		w = le64toh(w);
		uint64_t quote = w ^ ones * '"', back = w ^ ones * '\\';
		uint64_t other = (w | (w - ones * 0x20) | (quote - ones) | (back - ones)) & high;
		if (other) /* borrows reach bytes above the first alone */
			return p + __builtin_ctzll(other) / 8;
	}
	return p;
}

const char *rf_js_plain(const char *p, const char *end)
{
	p = past_plain(p, end);
	while (p < end && class_of((unsigned char)*p) == PLAIN)
		p++;
	return p;
}

bool rf_js_text(struct rf_js *j, struct rf_js_text *ret)
{
	if (!rf_js_take(j, '"'))
		return fail(j);
	struct rf_js_text t = { { j->at, 0 }, false, true };
	for (const char *p = past_plain(j->at, j->end); p < j->end;) {
		size_t n = 1;
		switch (class_of((unsigned char)*p)) {
		case QUOTE:
			t.raw.n = (size_t)(p - t.raw.p);
			*ret = t;
			j->at = p + 1;
			return true;
		case ESCAPE:
			n = escape(p, j->end);
			t.escaped = true;
			break;
		case HIGH:
			n = utf8((const unsigned char *)p, j->end);
			t.ascii = false;
			break;
		case CONTROL:
			n = 0;
			break;
		}
		if (!n)
			break;
		p = past_plain(p + n, j->end);
	}
	return fail(j);
}

bool rf_js_name(struct rf_js *j, struct rf_js_text *ret)
{
	return rf_js_text(j, ret) && (rf_js_take(j, ':') || fail(j));
}

static char *put_utf8(char *to, unsigned c)
{
	if (c < 0x80) {
		*to++ = (char)c;
	} else if (c < 0x800) {
		*to++ = (char)(0xc0 | c >> 6);
		*to++ = (char)(0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		*to++ = (char)(0xe0 | c >> 12);
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
		*to++ = (char)(0x80 | (c & 0x3f));
	} else {
		*to++ = (char)(0xf0 | c >> 18);
		*to++ = (char)(0x80 | (c >> 12 & 0x3f));
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
		*to++ = (char)(0x80 | (c & 0x3f));
	}
	return to;
}

static const char *decode_one(const char *p, char **to)
{
	static const char from[] = "\"\\/bfnrt", is[] = "\"\\/\b\f\n\r\t";
	if (p[1] != 'u') {
		*(*to)++ = is[strchr(from, p[1]) - from];
		return p + 2;
	}
	unsigned a = (unsigned)hex4(p + 2);
	bool pair = a >= 0xd800 && a < 0xdc00;
	if (pair)
		a = 0x10000 + ((a - 0xd800) << 10) + ((unsigned)hex4(p + 8) - 0xdc00);
	*to = put_utf8(*to, a);
	return p + (pair ? 12 : 6);
}

size_t rf_js_decode(const struct rf_js_text *t, char *to)
{
	const char *p = t->raw.p, *end = p + t->raw.n, *next;
	char *at = to;
	for (; t->escaped && p < end && (next = memchr(p, '\\', (size_t)(end - p))); p = decode_one(next, &at)) {
		memcpy(at, p, (size_t)(next - p));
		at += next - p;
	}
	if (p < end)
		memcpy(at, p, (size_t)(end - p));
	return (size_t)(at - to) + (size_t)(end - p);
}

/* --- numbers and words --- */

static const char *digits(const char *p, const char *end)
{
	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return p;
}

static bool number(struct rf_js *j)
{
	const char *p = j->at + (*j->at == '-'), *from = p;
	p = digits(p, j->end);
	bool good = p > from && (*from != '0' || p == from + 1);
	if (good && p < j->end && *p == '.') {
		from = ++p;
		p = digits(p, j->end);
		good = p > from;
	}
	if (good && p < j->end && (*p | 0x20) == 'e') {
		p++;
		from = p += p < j->end && (*p == '+' || *p == '-');
		p = digits(p, j->end);
		good = p > from;
	}
	j->at = p;
	return good || fail(j);
}

static bool word(struct rf_js *j)
{
	static const struct rf_str words[] = { { "true", 4 }, { "false", 5 }, { "null", 4 } };
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (rf_str_starts((struct rf_str){ j->at, (size_t)(j->end - j->at) }, words[i])) {
			j->at += words[i].n;
			return true;
		}
	return fail(j);
}

/* --- values --- */

static uint64_t mix(uint64_t a, uint64_t b)
{
	__uint128_t m = (__uint128_t)(a ^ 0x9e3779b97f4a7c15u) * (b ^ 0xd6e8feb86659fd93u);
	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* What it says, as a name or a value. */
static bool text_hash(const struct rf_js_text *t, uint64_t *ret)
{
	char room[DECODED], *more = t->escaped && t->raw.n > sizeof room ? malloc(t->raw.n) : NULL;
	if (t->escaped && t->raw.n > sizeof room && !more)
		return false;
	char *to = more ? more : room;
	*ret = rf_hash_quick(t->escaped ? (struct rf_str){ to, rf_js_decode(t, to) } : t->raw);
	free(more);
	return true;
}

bool rf_js_text_digest(const struct rf_js_text *t, uint64_t *ret)
{
	if (!text_hash(t, ret))
		return false;
	*ret = mix(*ret, '"');
	return true;
}

uint64_t rf_js_said_digest(struct rf_str said)
{
	return mix(rf_hash_quick(said), '"');
}

static bool value(struct rf_js *j, unsigned depth, uint64_t *ret);

static bool text(struct rf_js *j, uint64_t *ret)
{
	struct rf_js_text t;
	return rf_js_text(j, &t) && (!ret || text_hash(&t, ret) || fail(j));
}

static bool object(struct rf_js *j, unsigned depth, uint64_t *ret)
{
	uint64_t sum = '{', name = 0, v = 0;
	bool first = true;
	while (rf_js_more(j, '}', &first)) {
		if (!text(j, ret ? &name : NULL) || !(rf_js_take(j, ':') || fail(j)) || !value(j, depth + 1, ret ? &v : NULL))
			return false;
		sum += mix(name, v);
	}
	if (ret)
		*ret = mix(sum, '{');
	return !j->bad;
}

static bool array(struct rf_js *j, unsigned depth, uint64_t *ret)
{
	uint64_t sum = '[', v = 0;
	bool first = true;
	while (rf_js_more(j, ']', &first)) {
		if (!value(j, depth + 1, ret ? &v : NULL))
			return false;
		sum = mix(sum, v);
	}
	if (ret)
		*ret = mix(sum, '[');
	return !j->bad;
}

static bool value(struct rf_js *j, unsigned depth, uint64_t *ret)
{
	char c = rf_js_peek(j);
	const char *from = j->at;
	if (depth >= RF_JS_DEPTH)
		return fail(j);
	if (c == '"') {
		bool good = text(j, ret);
		if (good && ret)
			*ret = mix(*ret, '"');
		return good;
	}
	if (c == '{' || c == '[') {
		j->at++;
		return c == '{' ? object(j, depth, ret) : array(j, depth, ret);
	}
	if (!(c == '-' || (c >= '0' && c <= '9') ? number(j) : word(j)))
		return false;
	if (ret)
		*ret = mix(rf_hash_quick((struct rf_str){ from, (size_t)(j->at - from) }), '0');
	return true;
}

bool rf_js_skip(struct rf_js *j, struct rf_str *ret)
{
	rf_js_peek(j);
	const char *from = j->at;
	if (!value(j, 0, NULL))
		return false;
	if (ret)
		*ret = (struct rf_str){ from, (size_t)(j->at - from) };
	return true;
}

bool rf_js_digest(struct rf_js *j, uint64_t *ret)
{
	return value(j, 0, ret);
}
