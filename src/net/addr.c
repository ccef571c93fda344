/* net/addr: socket addresses to and from text and base/ip.
 *
 * Invariants: bytes of a sockaddr that carry nothing are zero, so that equal addresses have
 * equal bytes. Scope ids and flow labels are not kept: a link-local address needs neither here.
 */
#include "net/addr.h"
#include <stdio.h>
#include <sys/un.h>

static bool parse_unix(struct rf_str path, struct rf_addr *ret)
{
	struct rf_addr a = { 0 };
	struct sockaddr_un *un = (struct sockaddr_un *)&a.any;
	if (!path.n || path.n >= sizeof un->sun_path || memchr(path.p, 0, path.n))
		return false;
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path.p, path.n);
	a.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.n + 1);
	*ret = a;
	return true;
}

bool rf_addr_parse(struct rf_str s, struct rf_addr *ret)
{
	if (rf_str_starts(s, RF_STR("unix:")))
		return parse_unix(rf_str_skip(s, 5), ret);
	size_t colon = s.n;
	while (colon && s.p[colon - 1] != ':')
		colon--;
	uint64_t port;
	if (colon < 2 || !rf_str_u64(rf_str_skip(s, colon), &port) || port > 65535)
		return false;
	struct rf_str host = { s.p, colon - 1 };
	bool bracket = host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
	if (bracket)
		host = (struct rf_str){ host.p + 1, host.n - 2 };
	struct rf_ip ip;
	if (!rf_ip_parse(host, &ip) || bracket != (rf_str_find(host, ':') < host.n)) /* [RFC 3986 3.2.2] */
		return false;
	*ret = rf_addr_of(&ip, (uint16_t)port);
	return true;
}

char *rf_addr_str(const struct rf_addr *a, char to[RF_ADDR_TEXT])
{
	char ip[RF_IP_TEXT];
	struct rf_ip v = rf_addr_ip(a);
	if (!a->len)
		snprintf(to, RF_ADDR_TEXT, "none");
	else if (v.family)
		snprintf(to, RF_ADDR_TEXT, v.family == 6 ? "[%s]:%u" : "%s:%u", rf_ip_str(&v, ip), rf_addr_port(a));
	else if (a->len > offsetof(struct sockaddr_un, sun_path) && a->sa.sa_family == AF_UNIX)
		snprintf(to, RF_ADDR_TEXT, "unix:%.*s", (int)sizeof(((struct sockaddr_un *)0)->sun_path),
			 ((const struct sockaddr_un *)&a->any)->sun_path);
	else
		snprintf(to, RF_ADDR_TEXT, "unix");
	return to;
}

struct rf_addr rf_addr_of(const struct rf_ip *ip, uint16_t port)
{
	struct rf_addr a = { 0 };
	if (ip->family == 4) {
		a.v4.sin_family = AF_INET;
		a.v4.sin_port = htons(port);
		memcpy(&a.v4.sin_addr, ip->b, 4);
		a.len = sizeof a.v4;
	} else if (ip->family == 6) {
		a.v6.sin6_family = AF_INET6;
		a.v6.sin6_port = htons(port);
		memcpy(&a.v6.sin6_addr, ip->b, 16);
		a.len = sizeof a.v6;
	}
	return a;
}

struct rf_ip rf_addr_ip(const struct rf_addr *a)
{
	struct rf_ip ip = { 0 };
	if (a->len < sizeof(sa_family_t))
		return ip;
	if (a->sa.sa_family == AF_INET) {
		ip.family = 4;
		memcpy(ip.b, &a->v4.sin_addr, 4);
	} else if (a->sa.sa_family == AF_INET6) {
		bool mapped = IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr); /* [RFC 4291 2.5.5.2] */
		ip.family = mapped ? 4 : 6;
		memcpy(ip.b, (const char *)&a->v6.sin6_addr + (mapped ? 12 : 0), mapped ? 4 : 16);
	}
	return ip;
}

uint16_t rf_addr_port(const struct rf_addr *a)
{
	if (a->len < sizeof(sa_family_t))
		return 0;
	return a->sa.sa_family == AF_INET ? ntohs(a->v4.sin_port)
	     : a->sa.sa_family == AF_INET6 ? ntohs(a->v6.sin6_port) : 0;
}

bool rf_addr_eq(const struct rf_addr *a, const struct rf_addr *b)
{
	struct rf_ip x = rf_addr_ip(a), y = rf_addr_ip(b);
	if (x.family || y.family)
		return rf_ip_eq(&x, &y) && rf_addr_port(a) == rf_addr_port(b);
	return a->len == b->len && memcmp(&a->any, &b->any, a->len) == 0;
}
