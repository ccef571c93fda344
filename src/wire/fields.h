/* wire/fields: values of single header fields: Forwarded and Cookie. */
#pragma once
#include "base/buf.h"
#include "base/ip.h"

struct rf_forwarded {
	const struct rf_ip *from; /* "for"; NULL for "unknown" */
	uint16_t from_port;       /* 0: left out */
	const struct rf_ip *by;   /* NULL: left out */
	struct rf_str host;       /* p NULL: left out */
	struct rf_str proto;      /* p NULL: left out */
};

/* Append one element of Forwarded, such as for="[2001:db8::1]:4711";proto=https, quoted where it must be
 * [RFC 7239 4]. Bytes of host that no quoted string may have are left out. The buffer carries the error. */
void rf_forwarded_add(struct rf_buf *b, const struct rf_forwarded *f);

/* The next cookie of a Cookie value [RFC 6265 4.2.1]: name and value without surrounding quotes. Parts without '='
 * or with an empty name are skipped. False at the end. */
bool rf_cookie_next(struct rf_str *rest, struct rf_str *ret_name, struct rf_str *ret_value);
