/* wire/http1_host: "host[:port]" of Host, of targets and of configuration [RFC 9110 7.2, RFC 3986 3.2.2].
 *
 * Stricter than the grammar: no percent escapes, no sub-delims, no empty labels, no IPvFuture, no
 * zone, no empty or zero port. Nothing that two resolvers could read differently gets through.
 */
#include "base/ip.h"
#include "wire/http1_int.h"

static bool parse_port(struct rf_str s, uint16_t *ret)
{
	uint64_t n;
	if (s.n > 5 || !rf_str_u64(s, &n) || n == 0 || n > 65535 || s.p[0] == '0')
		return false;
	*ret = (uint16_t)n;
	return true;
}

static bool is_name(struct rf_str s)
{
	size_t label = 0;
	if (s.n == 0 || s.n > 253)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!http_is(s.p[i], CLASS_DNS))
			return false;
		label = s.p[i] == '.' ? 0 : label + 1;
		if (label > 63 || (label == 0 && (i == 0 || s.p[i - 1] == '.')))
			return false;
	}
	return label > 0;
}

/* A name whose last label is a number is taken for an address by many readers: it must be one then. */
static bool is_name_or_v4(struct rf_str s)
{
	size_t last = s.n;
	while (last && s.p[last - 1] != '.')
		last--;
	struct rf_str label = rf_str_skip(s, last);
	bool hex = label.n > 2 && label.p[0] == '0' && (label.p[1] | 0x20) == 'x';
	bool number = label.n > 0;
	for (size_t i = hex ? 2 : 0; i < label.n; i++)
		number = number && http_is(label.p[i], hex ? CLASS_HEX : CLASS_DIGIT);
	struct rf_ip ip;
	return is_name(s) && (!number || (rf_ip_parse(s, &ip) && ip.family == 4));
}

static bool v6(struct rf_str s, struct rf_str *ret_host, uint16_t *ret_port)
{
	size_t close = rf_str_find(s, ']');
	struct rf_ip ip;
	uint16_t port = 0;
	if (close == s.n || !memchr(s.p, ':', close) || !rf_ip_parse((struct rf_str){ s.p + 1, close - 1 }, &ip))
		return false;
	struct rf_str after = rf_str_skip(s, close + 1);
	if (after.n && (after.p[0] != ':' || !parse_port(rf_str_skip(after, 1), &port)))
		return false;
	*ret_host = (struct rf_str){ s.p + 1, close - 1 };
	*ret_port = port;
	return true;
}

bool rf_http_host_parse(struct rf_str s, struct rf_str *ret_host, uint16_t *ret_port, bool *ret_v6)
{
	if (s.n && s.p[0] == '[') {
		if (!v6(s, ret_host, ret_port))
			return false;
		*ret_v6 = true;
		return true;
	}
	size_t colon = rf_str_find(s, ':');
	struct rf_str host = { s.p, colon };
	uint16_t port = 0;
	if (colon < s.n && !parse_port(rf_str_skip(s, colon + 1), &port))
		return false;
	if (host.n > 1 && host.p[host.n - 1] == '.')
		host.n--;
	if (!is_name_or_v4(host))
		return false;
	*ret_host = host;
	*ret_port = port;
	*ret_v6 = false;
	return true;
}
