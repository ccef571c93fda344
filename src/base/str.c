#include "base/str.h"

bool rf_str_ieq(struct rf_str a, struct rf_str b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (rf_lower((unsigned char)a.p[i]) != rf_lower((unsigned char)b.p[i]))
			return false;
	return true;
}

int rf_str_cmp(struct rf_str a, struct rf_str b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int order = n ? memcmp(a.p, b.p, n) : 0;
	return order ? order : (a.n > b.n) - (a.n < b.n);
}

bool rf_str_starts(struct rf_str s, struct rf_str prefix)
{
	return s.n >= prefix.n && rf_str_eq((struct rf_str){ s.p, prefix.n }, prefix);
}

bool rf_str_ends(struct rf_str s, struct rf_str suffix)
{
	return s.n >= suffix.n && rf_str_eq(rf_str_skip(s, s.n - suffix.n), suffix);
}

size_t rf_str_find(struct rf_str s, char c)
{
	const char *at = s.n ? memchr(s.p, c, s.n) : NULL;
	return at ? (size_t)(at - s.p) : s.n;
}

size_t rf_str_search(struct rf_str s, struct rf_str needle)
{
	if (needle.n == 0)
		return 0;
	const char *at = s.n ? memmem(s.p, s.n, needle.p, needle.n) : NULL;
	return at ? (size_t)(at - s.p) : s.n;
}

static bool blank(char c)
{
	return c == ' ' || c == '\t';
}

struct rf_str rf_str_trim(struct rf_str s)
{
	while (s.n && blank(s.p[0]))
		s.p++, s.n--;
	while (s.n && blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

struct rf_str rf_str_skip(struct rf_str s, size_t n)
{
	if (n > s.n)
		n = s.n;
	return (struct rf_str){ s.n ? s.p + n : s.p, s.n - n };
}

bool rf_str_split(struct rf_str *rest, char sep, struct rf_str *ret_part)
{
	if (rest->p == NULL)
		return false;
	size_t at = rf_str_find(*rest, sep);
	*ret_part = (struct rf_str){ rest->p, at };
	*rest = at == rest->n ? (struct rf_str){ NULL, 0 } : rf_str_skip(*rest, at + 1);
	return true;
}

bool rf_str_u64(struct rf_str s, uint64_t *ret)
{
	uint64_t v = 0;
	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned digit = (unsigned char)s.p[i] - (unsigned)'0';
		if (digit > 9 || __builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, digit, &v))
			return false;
	}
	*ret = v;
	return true;
}

bool rf_str_hex64(struct rf_str s, uint64_t *ret)
{
	uint64_t v = 0;
	if (s.n == 0 || s.n > 16)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = rf_lower((unsigned char)s.p[i]);
		if (c >= '0' && c <= '9')
			v = v << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			v = v << 4 | (uint64_t)(c - 'a' + 10);
		else
			return false;
	}
	*ret = v;
	return true;
}
