/* wire/hello_ja: fingerprints of a ClientHello, JA3 and JA4.
 *
 * JA3 is a string of decimal lists in the order sent. JA4 is a readable part and two digests over
 * sorted lists, which is why it outlives clients that shuffle their extensions. GREASE is left out of both.
 */
#include "base/enc.h"
#include "base/err.h"
#include "tbl/limits.h"
#include "wire/hello.h"

enum { SNI = 0, ALPN = 16 };

struct list {
	uint16_t v[RF_LIMIT_HELLO_ITEMS];
	size_t n;
};

static void dashes(struct rf_buf *out, struct rf_str list)
{
	const char *dash = "";
	for (size_t i = 0; i < rf_hello_count(list); i++) {
		uint16_t v = rf_hello_u16(list, i);
		if (rf_hello_is_grease(v))
			continue;
		rf_buf_printf(out, "%s%u", dash, v);
		dash = "-";
	}
}

int rf_hello_ja3(const struct rf_hello *h, struct rf_buf *out)
{
	struct rf_str rest = h->extensions, body;
	uint16_t type;
	const char *dash = "";
	rf_buf_printf(out, "%u,", h->legacy_version);
	dashes(out, h->ciphers);
	rf_buf_addc(out, ',');
	while (rf_hello_ext_next(&rest, &type, &body)) {
		if (rf_hello_is_grease(type))
			continue;
		rf_buf_printf(out, "%s%u", dash, type);
		dash = "-";
	}
	rf_buf_addc(out, ',');
	dashes(out, h->groups);
	rf_buf_addc(out, ',');
	for (size_t i = 0; i < h->formats.n; i++)
		rf_buf_printf(out, "%s%u", i ? "-" : "", (uint8_t)h->formats.p[i]);
	return out->bad ? RF_E_NOMEM : RF_OK;
}

static bool push(struct list *l, uint16_t v)
{
	if (rf_hello_is_grease(v))
		return true;
	if (l->n == RF_LIMIT_HELLO_ITEMS)
		return false;
	l->v[l->n++] = v;
	return true;
}

static bool collect(struct rf_str s, struct list *l)
{
	for (size_t i = 0; i < rf_hello_count(s); i++)
		if (!push(l, rf_hello_u16(s, i)))
			return false;
	return true;
}

static void sort(struct list *l)
{
	static const size_t gaps[] = { 301, 132, 57, 23, 10, 4, 1 };
	for (size_t g = 0; g < sizeof gaps / sizeof *gaps; g++)
		for (size_t i = gaps[g]; i < l->n; i++) {
			uint16_t v = l->v[i];
			size_t j = i;
			for (; j >= gaps[g] && l->v[j - gaps[g]] > v; j -= gaps[g])
				l->v[j] = l->v[j - gaps[g]];
			l->v[j] = v;
		}
}

static char *hex(const struct list *l, char *to, unsigned skip_names)
{
	const char *start = to;
	for (size_t i = 0; i < l->n; i++) {
		if (skip_names && (l->v[i] == SNI || l->v[i] == ALPN))
			continue;
		if (to > start)
			*to++ = ',';
		uint8_t be[2] = { (uint8_t)(l->v[i] >> 8), (uint8_t)l->v[i] };
		rf_hex(be, 2, to);
		to += 4;
	}
	return to;
}

/* The first twelve digits of the digest, or zeros for an empty list; the text itself without a digest. */
static void section(struct rf_buf *out, struct rf_str text, bool empty, rf_hello_digest *sha256, void *ctx)
{
	uint8_t digest[32] = { 0 };
	char digits[13];
	rf_buf_addc(out, '_');
	if (!sha256) {
		rf_buf_add(out, text);
		return;
	}
	if (!empty)
		sha256(ctx, text, digest);
	rf_hex(digest, 6, digits);
	rf_buf_add(out, (struct rf_str){ digits, 12 });
}

static const char *version_code(uint16_t v)
{
	switch (v) {
	case 0x0304: return "13";
	case 0x0303: return "12";
	case 0x0302: return "11";
	case 0x0301: return "10";
	case 0x0300: return "s3";
	case 0x0002: return "s2";
	default: return "00";
	}
}

static bool alnum(char ch)
{
	unsigned char c = rf_lower((unsigned char)ch);
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* First and last character of the first protocol; of its hexadecimal form where one is not alphanumeric. */
static void alpn_code(const struct rf_hello *h, char to[2])
{
	struct rf_str rest = h->alpn, name;
	memcpy(to, "00", 2);
	if (!h->alpn.p || !rf_hello_alpn_next(&rest, &name))
		return;
	char first = name.p[0], last = name.p[name.n - 1], digits[3];
	if (alnum(first) && alnum(last)) {
		to[0] = first, to[1] = last;
		return;
	}
	rf_hex(&first, 1, digits);
	to[0] = digits[0];
	rf_hex(&last, 1, digits);
	to[1] = digits[1];
}

int rf_hello_ja4(const struct rf_hello *h, bool quic, rf_hello_digest *sha256, void *ctx, struct rf_buf *out)
{
	struct list ciphers = { .n = 0 }, exts = { .n = 0 }, sigalgs = { .n = 0 };
	struct rf_str rest = h->extensions, body;
	uint16_t type;
	char alpn[2], text[2 * 5 * RF_LIMIT_HELLO_ITEMS + 2];
	bool fits = collect(h->ciphers, &ciphers) && collect(h->sigalgs, &sigalgs);
	while (fits && rf_hello_ext_next(&rest, &type, &body))
		fits = push(&exts, type);
	if (!fits)
		return RF_E_TOO_LARGE;
	alpn_code(h, alpn);
	rf_buf_printf(out, "%c%s%c%02zu%02zu%c%c", quic ? 'q' : 't', version_code(h->version), h->sni.p ? 'd' : 'i',
		ciphers.n < 99 ? ciphers.n : 99, exts.n < 99 ? exts.n : 99, alpn[0], alpn[1]);
	sort(&ciphers);
	sort(&exts);
	char *end = hex(&ciphers, text, 0);
	section(out, (struct rf_str){ text, (size_t)(end - text) }, ciphers.n == 0, sha256, ctx);
	end = hex(&exts, text, 1);
	bool none = end == text;
	if (sigalgs.n) {
		*end++ = '_';
		end = hex(&sigalgs, end, 0);
	}
	section(out, (struct rf_str){ text, (size_t)(end - text) }, none, sha256, ctx);
	return out->bad ? RF_E_NOMEM : RF_OK;
}
