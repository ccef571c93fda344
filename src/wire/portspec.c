/* wire/portspec: see portspec.h. */
#include "wire/portspec.h"

static bool port(struct rf_str s, uint16_t *ret)
{
	uint64_t n;
	if (s.n > 5 || !rf_str_u64(s, &n) || n < 1 || n > UINT16_MAX)
		return false;
	*ret = (uint16_t)n;
	return true;
}

bool rf_port_range_parse(struct rf_str s, struct rf_port_range *ret)
{
	struct rf_port_range r;
	size_t dash = rf_str_find(s, '-');
	if (!port((struct rf_str){ s.p, dash }, &r.low))
		return false;
	r.high = r.low;
	if (dash < s.n && (!port(rf_str_skip(s, dash + 1), &r.high) || r.high < r.low))
		return false;
	*ret = r;
	return true;
}

/* Cut "tcp" or "udp" and what separates it off the front. */
static bool transport(struct rf_str *s, struct rf_str separator, bool *ret_udp)
{
	struct rf_str word = { s->p, 3 };
	if (s->n <= 3 + separator.n || !rf_str_starts(rf_str_skip(*s, 3), separator))
		return false;
	bool udp = rf_str_ieq(word, RF_STR("udp"));
	if (!udp && !rf_str_ieq(word, RF_STR("tcp")))
		return false;
	*ret_udp = udp;
	*s = rf_str_skip(*s, 3 + separator.n);
	return true;
}

bool rf_protocol_parse(struct rf_str s, bool *ret_udp, struct rf_port_range *ret)
{
	bool udp;
	if (!transport(&s, RF_STR("/"), &udp) || !rf_port_range_parse(s, ret))
		return false;
	*ret_udp = udp;
	return true;
}

static bool host_ok(struct rf_str host)
{
	for (size_t i = 0; i < host.n; i++)
		if ((unsigned char)host.p[i] <= ' ' || host.p[i] == 0x7f || host.p[i] == '/' || host.p[i] == '[' || host.p[i] == ']')
			return false;
	return host.n > 0;
}

bool rf_endpoint_parse(struct rf_str s, struct rf_endpoint *ret)
{
	struct rf_endpoint e = { 0 };
	if (!transport(&s, RF_STR("://"), &e.udp))
		return false;
	size_t close = s.n && s.p[0] == '[' ? rf_str_find(s, ']') : 0;
	size_t end = close ? close + 1 : rf_str_find(s, ':');
	if (close ? close == s.n : s.p[0] == '[')
		return false;
	e.host = close ? (struct rf_str){ s.p + 1, close - 1 } : (struct rf_str){ s.p, end };
	if (!host_ok(e.host))
		return false;
	struct rf_str rest = rf_str_skip(s, end);
	if (rest.n && (rest.p[0] != ':' || !rf_port_range_parse(rf_str_skip(rest, 1), &e.ports)))
		return false;
	*ret = e;
	return true;
}
