/* base/ip: IPv4 and IPv6 addresses and prefixes as values.
 *
 * IPv4 is kept in the first four bytes of `b`, the rest zero. An IPv4-mapped IPv6 address is
 * turned into IPv4 wherever one enters (parse, from sockaddr), so that ::ffff:192.0.2.1 can't slip past a rule on
 * 192.0.2.1 [RFC 4291 2.5.5.2].
 */
#pragma once
#include "base/str.h"

struct rf_ip {
	uint8_t family; /* 4, 6; 0: none */
	uint8_t b[16];
};

struct rf_prefix {
	struct rf_ip ip; /* host bits zero */
	uint8_t bits;    /* 0..32 or 0..128 */
};

#define RF_IP_TEXT 48 /* longest text, with NUL and room for a prefix length */

bool rf_ip_parse(struct rf_str s, struct rf_ip *ret);
/* "10.0.0.0/8", "2001:db8::/32" or a single address; false when host bits are set and `strict`. */
bool rf_prefix_parse(struct rf_str s, bool strict, struct rf_prefix *ret);
char *rf_ip_str(const struct rf_ip *ip, char to[RF_IP_TEXT]);
char *rf_prefix_str(const struct rf_prefix *p, char to[RF_IP_TEXT]);

/* An IPv4-mapped address as IPv4, any other as it is. */
struct rf_ip rf_ip_unmap(struct rf_ip ip);
bool rf_ip_eq(const struct rf_ip *a, const struct rf_ip *b);
bool rf_ip_unspecified(const struct rf_ip *ip); /* 0.0.0.0, :: [RFC 4291 2.5.2], or none */
bool rf_ip_one_host(const struct rf_ip *ip);     /* neither unspecified, nor multicast, nor 255.255.255.255: a connection may go there */
int rf_ip_cmp(const struct rf_ip *a, const struct rf_ip *b); /* by family, then bytes */
bool rf_prefix_has(const struct rf_prefix *p, const struct rf_ip *ip);
/* The prefix of `bits` bits around ip (clamped to its length). */
struct rf_prefix rf_ip_mask(const struct rf_ip *ip, unsigned bits);
