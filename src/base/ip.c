#include "base/ip.h"
#include <arpa/inet.h>
#include <stdio.h>

struct rf_ip rf_ip_unmap(struct rf_ip ip)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	if (ip.family != 6 || memcmp(ip.b, mapped, 12) != 0)
		return ip;
	struct rf_ip v4 = { .family = 4 };
	memcpy(v4.b, ip.b + 12, 4);
	return v4;
}

bool rf_ip_parse(struct rf_str s, struct rf_ip *ret)
{
	char z[INET6_ADDRSTRLEN];
	struct rf_ip ip = { 0 };
	if (s.n == 0 || s.n >= sizeof z || memchr(s.p, '\0', s.n))
		return false;
	memcpy(z, s.p, s.n);
	z[s.n] = '\0';
	if (inet_pton(AF_INET, z, ip.b) == 1)
		ip.family = 4;
	else if (inet_pton(AF_INET6, z, ip.b) == 1)
		ip.family = 6;
	else
		return false;
	*ret = rf_ip_unmap(ip);
	return true;
}

static unsigned width(const struct rf_ip *ip)
{
	return ip->family == 4 ? 32 : ip->family == 6 ? 128 : 0;
}

struct rf_prefix rf_ip_mask(const struct rf_ip *ip, unsigned bits)
{
	if (bits > width(ip))
		bits = width(ip);
	struct rf_prefix p = { *ip, (uint8_t)bits };
	for (unsigned i = 0; i < 16; i++) {
		unsigned keep = bits > 8 * i ? bits - 8 * i : 0;
		p.ip.b[i] &= keep >= 8 ? 0xff : (uint8_t)(0xff00u >> keep);
	}
	return p;
}

bool rf_prefix_parse(struct rf_str s, bool strict, struct rf_prefix *ret)
{
	size_t slash = rf_str_find(s, '/');
	struct rf_ip ip;
	uint64_t bits;
	if (!rf_ip_parse((struct rf_str){ s.p, slash }, &ip))
		return false;
	unsigned off = ip.family == 4 && rf_str_find(s, ':') < slash ? 96 : 0; /* mapped: its bits count from the left of IPv6 */
	if (slash == s.n)
		bits = width(&ip);
	else if (s.n - slash > 4 || !rf_str_u64(rf_str_skip(s, slash + 1), &bits) || bits < off || bits - off > width(&ip))
		return false;
	else
		bits -= off;
	struct rf_prefix p = rf_ip_mask(&ip, (unsigned)bits);
	if (strict && !rf_ip_eq(&p.ip, &ip))
		return false;
	*ret = p;
	return true;
}

char *rf_ip_str(const struct rf_ip *ip, char to[RF_IP_TEXT])
{
	char *at = to;
	to[0] = '\0';
	if (ip->family == 6)
		inet_ntop(AF_INET6, ip->b, to, RF_IP_TEXT);
	for (int i = 0; ip->family == 4 && i < 4; i++) { /* by hand: inet_ntop takes 1,500 instructions for it */
		unsigned n = ip->b[i];
		if (n >= 100)
			*at++ = (char)('0' + n / 100);
		if (n >= 10)
			*at++ = (char)('0' + n / 10 % 10);
		*at++ = (char)('0' + n % 10);
		*at++ = i < 3 ? '.' : '\0';
	}
	return to;
}

char *rf_prefix_str(const struct rf_prefix *p, char to[RF_IP_TEXT])
{
	rf_ip_str(&p->ip, to);
	size_t n = strlen(to);
	snprintf(to + n, RF_IP_TEXT - n, "/%u", p->bits);
	return to;
}

bool rf_ip_unspecified(const struct rf_ip *ip)
{
	static const uint8_t zero[sizeof ip->b];
	return memcmp(ip->b, zero, sizeof zero) == 0;
}

bool rf_ip_one_host(const struct rf_ip *ip)
{
	static const uint8_t everybody[4] = { 255, 255, 255, 255 }; /* [RFC 919 7] */
	bool group = ip->family == 4 ? ip->b[0] >> 4 == 14 : ip->b[0] == 0xff; /* [RFC 5771 3], [RFC 4291 2.7] */
	return !rf_ip_unspecified(ip) && !group && (ip->family != 4 || memcmp(ip->b, everybody, sizeof everybody) != 0);
}

int rf_ip_cmp(const struct rf_ip *a, const struct rf_ip *b)
{
	return a->family != b->family ? a->family - b->family : memcmp(a->b, b->b, sizeof a->b);
}

bool rf_ip_eq(const struct rf_ip *a, const struct rf_ip *b)
{
	return rf_ip_cmp(a, b) == 0;
}

bool rf_prefix_has(const struct rf_prefix *p, const struct rf_ip *ip)
{
	if (p->ip.family != ip->family)
		return false;
	struct rf_prefix masked = rf_ip_mask(ip, p->bits);
	return rf_ip_eq(&masked.ip, &p->ip);
}
