#include "base/enc.h"
#include <endian.h>

/* The digits of four bytes, the first byte's first, each in a byte of its own; `letter` is what 10 is written as. */
static uint64_t hex8(const uint8_t *p, char letter)
{
	const uint64_t ones = 0x0101010101010101u;
	uint64_t x = (uint64_t)p[0] | (uint64_t)p[1] << 16 | (uint64_t)p[2] << 32 | (uint64_t)p[3] << 48;
	x = (x >> 4 | x << 8) & ones * 0x0f;
	return x + ones * '0' + ((x + ones * 6) >> 4 & ones) * (uint64_t)(letter - '0' - 10);
}

static void hex(const void *p, size_t n, char *to, char letter)
{
	const uint8_t *from = p;
	for (; n >= 4; n -= 4, from += 4, to += 8) {
		uint64_t digits = htole64(hex8(from, letter));
		memcpy(to, &digits, 8);
	}
	for (; n; n--, from++, to += 2) {
		uint64_t digits = htole64(hex8((uint8_t[4]){ *from }, letter));
		memcpy(to, &digits, 2);
	}
	*to = '\0';
}

void rf_hex(const void *p, size_t n, char *to) { hex(p, n, to, 'a'); }
void rf_hex_upper(const void *p, size_t n, char *to) { hex(p, n, to, 'A'); }

/* Without a branch on what the digit is, which nobody can predict; *bad becomes true at what is none. */
static unsigned nibble(char c, unsigned *bad)
{
	unsigned u = (unsigned char)c, digit = u - '0', letter = (u | 0x20) - 'a';
	*bad |= (digit > 9) & (letter > 5);
	return (u & 15) + 9 * (u >> 6);
}

/* The bytes that eight digits say, in the lowest four of *ret. As hex8, each digit is in a byte of its own until it is known to be one:
 * written again, it is what it was, but for capitals. */
static bool unhex8(const char *p, uint32_t *ret)
{
	const uint64_t ones = 0x0101010101010101u;
	uint64_t x;
	memcpy(&x, p, 8);
	x = le64toh(x);
	uint64_t letters = x >> 6 & ones, v = (x & ones * 0x0f) + letters * 9;
	uint64_t again = (v & ones * 0x0f) + ones * '0' + (((v & ones * 0x0f) + ones * 6) >> 4 & ones) * ('a' - '0' - 10);
	if (v & ones * 0xf0 || again != (x | letters << 5))
		return false;
	v = (v << 4 | v >> 8) & 0x00ff00ff00ff00ffu;
	v = (v | v >> 8) & 0x0000ffff0000ffffu;
	*ret = (uint32_t)(v | v >> 16);
	return true;
}

ssize_t rf_unhex(struct rf_str s, void *to, size_t room)
{
	uint8_t *out = to;
	unsigned bad = 0;
	if (s.n % 2 || s.n / 2 > room)
		return -1;
	size_t i = 0;
	for (uint32_t four; i + 8 <= s.n && unhex8(s.p + i, &four); i += 8) {
		four = htole32(four);
		memcpy(out + i / 2, &four, sizeof four);
	}
	for (; i < s.n; i += 2) {
		unsigned hi = nibble(s.p[i], &bad);
		out[i / 2] = (uint8_t)(hi << 4 | nibble(s.p[i + 1], &bad));
	}
	return bad ? -1 : (ssize_t)(s.n / 2);
}

static void b64(struct rf_buf *b, struct rf_str s, const char *digits, bool pad)
{
	const uint8_t *p = (const uint8_t *)s.p;
	char *to = rf_buf_room(b, (s.n + 2) / 3 * 4);
	if (!to)
		return;
	char *start = to;
	for (size_t i = 0; i < s.n; i += 3) {
		size_t have = s.n - i < 3 ? s.n - i : 3;
		uint32_t v = (uint32_t)p[i] << 16 | (have > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
			     (have > 2 ? (uint32_t)p[i + 2] : 0);
		for (size_t k = 0; k < 4; k++)
			if (k <= have)
				*to++ = digits[v >> (18 - 6 * k) & 63];
			else if (pad)
				*to++ = '=';
	}
	b->n += (size_t)(to - start);
}

void rf_b64_add(struct rf_buf *b, struct rf_str s)
{
	b64(b, s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", true);
}

void rf_b64url_add(struct rf_buf *b, struct rf_str s)
{
	b64(b, s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", false);
}

static int sextet(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

ssize_t rf_unb64(struct rf_str s, void *to, size_t room)
{
	uint8_t *out = to;
	size_t pad = s.n && s.p[s.n - 1] == '=' ? (s.n > 1 && s.p[s.n - 2] == '=' ? 2 : 1) : 0;
	if (s.n % 4 || s.n / 4 * 3 - pad > room)
		return -1;
	size_t n = 0;
	for (size_t i = 0; i < s.n; i += 4) {
		uint32_t v = 0;
		size_t have = i + 4 == s.n ? 4 - pad : 4;
		for (size_t k = 0; k < 4; k++) {
			int d = k < have ? sextet(s.p[i + k]) : 0;
			if (d < 0)
				return -1;
			v = v << 6 | (uint32_t)d;
		}
		if (have < 4 && v & ((1u << 8 * (4 - have)) - 1)) /* trailing bits must be zero */
			return -1;
		for (size_t k = 0; k + 1 < have; k++)
			out[n++] = (uint8_t)(v >> (16 - 8 * k));
	}
	return (ssize_t)n;
}

size_t rf_unpercent(struct rf_str s, char *to)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++) {
		uint8_t byte;
		bool escaped = s.p[i] == '%' && i + 2 < s.n && rf_unhex((struct rf_str){ s.p + i + 1, 2 }, &byte, 1) == 1;
		to[n++] = escaped ? (char)byte : s.p[i];
		i += escaped ? 2 : 0;
	}
	return n;
}
