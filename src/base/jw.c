#include "base/jw.h"
#include <inttypes.h>

/* Length of the UTF-8 sequence at p [RFC 3629 4], 0 when there is none. */
static size_t utf8_len(const unsigned char *p, size_t n)
{
	size_t len = p[0] < 0x80 ? 1 : p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
		   : p[0] >= 0xf0 && p[0] < 0xf5 ? 4 : 0;
	if (len == 0 || len > n)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

static bool plain(unsigned char c)
{
	return c >= 0x20 && c != '"' && c != '\\' && c < 0x7f;
}

static void escape(struct rf_buf *b, unsigned char c)
{
	static const char *const names = "\"\"\\\\\bb\ff\nn\rr\tt";
	for (const char *at = names; *at; at += 2)
		if ((unsigned char)at[0] == c) {
			rf_buf_add(b, (struct rf_str){ (char[]){ '\\', at[1] }, 2 });
			return;
		}
	rf_buf_printf(b, "\\u%04x", c);
}

void rf_json_quote(struct rf_buf *b, struct rf_str v)
{
	const unsigned char *p = (const unsigned char *)v.p;
	rf_buf_addc(b, '"');
	for (size_t i = 0; i < v.n;) {
		size_t run = i;
		while (run < v.n && plain(p[run]))
			run++;
		rf_buf_add(b, (struct rf_str){ v.p + i, run - i });
		i = run;
		if (i == v.n)
			break;
		size_t len = utf8_len(p + i, v.n - i);
		if (len > 1)
			rf_buf_add(b, (struct rf_str){ v.p + i, len });
		else if (len == 1)
			escape(b, p[i]);
		else
			rf_buf_add(b, RF_STR("\\ufffd"));
		i += len ? len : 1;
	}
	rf_buf_addc(b, '"');
}

static void lead(struct rf_jw *w, const char *key)
{
	if (w->comma)
		rf_buf_addc(w->b, ',');
	w->comma = true;
	if (!key)
		return;
	rf_json_quote(w->b, rf_str_z(key));
	rf_buf_addc(w->b, ':');
}

void rf_jw_open(struct rf_jw *w, const char *key, char bracket)
{
	lead(w, key);
	rf_buf_addc(w->b, bracket);
	w->comma = false;
}

void rf_jw_close(struct rf_jw *w, char bracket)
{
	rf_buf_addc(w->b, bracket);
	w->comma = true;
}

void rf_jw_str(struct rf_jw *w, const char *key, struct rf_str v)
{
	lead(w, key);
	rf_json_quote(w->b, v);
}

void rf_jw_u64(struct rf_jw *w, const char *key, uint64_t v)
{
	char digits[20];
	size_t n = 0;
	lead(w, key);
	do
		digits[sizeof digits - ++n] = (char)('0' + v % 10);
	while (v /= 10);
	rf_buf_add(w->b, (struct rf_str){ digits + sizeof digits - n, n });
}

void rf_jw_i64(struct rf_jw *w, const char *key, int64_t v)
{
	lead(w, key);
	rf_buf_printf(w->b, "%" PRId64, v);
}

void rf_jw_bool(struct rf_jw *w, const char *key, bool v)
{
	lead(w, key);
	rf_buf_add(w->b, v ? RF_STR("true") : RF_STR("false"));
}

void rf_jw_null(struct rf_jw *w, const char *key)
{
	lead(w, key);
	rf_buf_add(w->b, RF_STR("null"));
}
