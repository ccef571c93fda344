/* wire/fields: values of single header fields: Forwarded [RFC 7239] and Cookie [RFC 6265]. */
#include <stdio.h>
#include "wire/fields.h"
#include "wire/http1.h"

/* A token as it is, anything else as a quoted string [RFC 9110 5.6.4]. */
static void value(struct rf_buf *b, struct rf_str s)
{
	if (rf_http_is_token(s)) {
		rf_buf_add(b, s);
		return;
	}
	rf_buf_addc(b, '"');
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '"' || c == '\\')
			rf_buf_addc(b, '\\');
		if (c >= 0x20 && c < 0x7f)
			rf_buf_addc(b, (char)c);
	}
	rf_buf_addc(b, '"');
}

/* node = IPv4 / "[" IPv6 "]", with a port [RFC 7239 6] */
static void node(struct rf_buf *b, const char *name, const struct rf_ip *ip, uint16_t port)
{
	char text[RF_IP_TEXT], whole[RF_IP_TEXT + 16];
	rf_ip_str(ip, text);
	rf_buf_add(b, rf_str_z(name));
	if (ip->family == 4 && !port) { /* a token, and what nearly all are */
		rf_buf_add(b, rf_str_z(text));
		return;
	}
	int n = snprintf(whole, sizeof whole, ip->family == 6 ? "[%s]" : "%s", text);
	if (port)
		n += snprintf(whole + n, sizeof whole - (size_t)n, ":%u", port);
	value(b, (struct rf_str){ whole, (size_t)n });
}

void rf_forwarded_add(struct rf_buf *b, const struct rf_forwarded *f)
{
	if (f->from && f->from->family)
		node(b, "for=", f->from, f->from_port);
	else
		rf_buf_add(b, RF_STR("for=unknown")); /* [RFC 7239 6.2] */
	if (f->by && f->by->family)
		node(b, ";by=", f->by, 0);
	if (f->host.p) {
		rf_buf_add(b, RF_STR(";host="));
		value(b, f->host);
	}
	if (f->proto.p) {
		rf_buf_add(b, RF_STR(";proto="));
		value(b, f->proto);
	}
}

bool rf_cookie_next(struct rf_str *rest, struct rf_str *ret_name, struct rf_str *ret_value)
{
	struct rf_str part;
	while (rf_str_split(rest, ';', &part)) {
		size_t eq = rf_str_find(part, '=');
		struct rf_str name = rf_str_trim((struct rf_str){ part.p, eq });
		if (eq == part.n || name.n == 0)
			continue;
		struct rf_str v = rf_str_trim((struct rf_str){ part.p + eq + 1, part.n - eq - 1 });
		if (v.n >= 2 && v.p[0] == '"' && v.p[v.n - 1] == '"')
			v = (struct rf_str){ v.p + 1, v.n - 2 };
		*ret_name = name;
		*ret_value = v;
		return true;
	}
	return false;
}
