/* wire/portspec: ports, ranges of ports and endpoints as people write them: "22", "1000-2000", "tcp/22", "udp/5683",
 * "tcp://192.0.2.1:22", "udp://[2001:db8::1]:5000-5999".
 *
 * Pure: text in, values out; strings are borrowed.
 */
#pragma once
#include "base/str.h"

struct rf_port_range { uint16_t low, high; }; /* 1 <= low <= high */

/* "22" or "1000-2000": decimal, within 1..65535, ascending. */
bool rf_port_range_parse(struct rf_str s, struct rf_port_range *ret);

/* "tcp/22", "udp/1000-2000", in any case of letters. */
bool rf_protocol_parse(struct rf_str s, bool *ret_udp, struct rf_port_range *ret);

struct rf_endpoint {
	bool udp;
	struct rf_str host;           /* name, or address without brackets */
	struct rf_port_range ports;   /* low 0: none is given */
};
/* "tcp://HOST", "tcp://HOST:PORT", "tcp://[ADDRESS]:LOW-HIGH", and the same of udp. The host is not empty and has no
 * spaces or '/'; whether it is a name or an address is the caller's to check. */
bool rf_endpoint_parse(struct rf_str s, struct rf_endpoint *ret);
