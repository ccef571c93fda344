/* base/str: a borrowed run of bytes.
 *
 * Nothing here owns memory: an rf_str is valid as long as whatever it points into. The bytes
 * need not be text and are never NUL-terminated; (NULL, 0) is the empty string. Use
 * "%.*s" with RF_ARG(s) to print one.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct rf_str {
	const char *p;
	size_t n;
};

#define RF_STR(lit) ((struct rf_str){ "" lit, sizeof(lit) - 1 })
#define RF_ARG(s) (int)(s).n, (s).p

static inline struct rf_str rf_str_z(const char *z)
{
	return (struct rf_str){ z, z ? strlen(z) : 0 };
}

static inline bool rf_str_eq(struct rf_str a, struct rf_str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* Locale-free: the protocols we speak define case over ASCII only. */
static inline unsigned char rf_lower(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

/* ASCII case-insensitive equality. */
bool rf_str_ieq(struct rf_str a, struct rf_str b);

/* Byte order as memcmp, the shorter of equal prefixes first. */
int rf_str_cmp(struct rf_str a, struct rf_str b);

bool rf_str_starts(struct rf_str s, struct rf_str prefix);
bool rf_str_ends(struct rf_str s, struct rf_str suffix);

/* Index of the first `c`, or s.n when absent. */
size_t rf_str_find(struct rf_str s, char c);

/* Index of the first occurrence of `needle`, or s.n when absent (an empty needle is at 0). */
size_t rf_str_search(struct rf_str s, struct rf_str needle);

/* Without leading and trailing SP and HTAB [RFC 9110 5.6.3 OWS]. */
struct rf_str rf_str_trim(struct rf_str s);

/* s without its first n bytes (n is clamped). */
struct rf_str rf_str_skip(struct rf_str s, size_t n);

/* Cut the part before `sep` off the front of *rest; false when *rest is used up. */
bool rf_str_split(struct rf_str *rest, char sep, struct rf_str *ret_part);

/* Whole of s as an unsigned decimal; false (and *ret untouched) on anything else or overflow. */
bool rf_str_u64(struct rf_str s, uint64_t *ret);

/* Whole of s as a hexadecimal number of at most 16 digits. */
bool rf_str_hex64(struct rf_str s, uint64_t *ret);
