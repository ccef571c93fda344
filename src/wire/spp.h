/* wire/spp: the simple proxy protocol: 38 bytes before a UDP datagram that tell the origin who sent it, and to where.
 *
 * In network order: 0x56EC, the client's address, the proxy's address (IPv4 as IPv4-mapped IPv6 [RFC 4291 2.5.5.2]), the
 * client's port, the proxy's port. The payload follows.
 */
#pragma once
#include "base/ip.h"

enum { RF_SPP_SIZE = 38, RF_SPP_MAGIC = 0x56ec };

struct rf_spp {
	struct rf_ip client, proxy;
	uint16_t client_port, proxy_port;
};

/* Read the header before a payload. RF_OK; RF_E_SYNTAX where none is there. */
int rf_spp_parse(struct rf_str in, struct rf_spp *ret);
/* Write one; addresses without a family are written as ::. */
void rf_spp_build(const struct rf_spp *p, char to[RF_SPP_SIZE]);
/* `in` without its header, where it has this one; else as it is. */
struct rf_str rf_spp_strip(struct rf_str in, const char header[RF_SPP_SIZE]);
