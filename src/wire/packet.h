/* wire/packet: what the headers of one IP packet say, from its bytes alone.
 *
 * IPv4 [RFC 791] and IPv6 with its extension headers [RFC 8200 4]. The first header of a transport protocol is read
 * from the first fragment only: a later one has none [RFC 791 3.2, RFC 8200 4.5].
 */
#pragma once
#include "base/ip.h"

enum { RF_PACKET_EXTENSIONS = 16 }; /* headers between that of IPv6 and the transport's */

enum { RF_IP_PROTO_ICMP = 1, RF_IP_PROTO_IGMP = 2, RF_IP_PROTO_TCP = 6, RF_IP_PROTO_UDP = 17, RF_IP_PROTO_GRE = 47, RF_IP_PROTO_ESP = 50,
	RF_IP_PROTO_AH = 51, RF_IP_PROTO_ICMPV6 = 58, RF_IP_PROTO_SCTP = 132 };

struct rf_packet {
	struct rf_str ip;          /* the packet, without what came behind its length */
	struct rf_ip src, dst;
	uint8_t version, proto, ttl;
	unsigned hdr_len;          /* of the header of IPv4 with options, or of IPv6 with its extension headers; bytes */
	int option;                /* first byte of the options of IPv4; -1: none */
	bool fragment;             /* not the first one: no transport header */
	struct rf_str transport;   /* header and what follows it; empty: none was reached */
	bool has_ports;
	uint16_t src_port, dst_port;
	uint16_t tcp_flags;        /* with NS as bit 8 [RFC 9293 3.1] */
	bool has_flags, has_icmp;
	uint8_t icmp_type, icmp_code;
};

/* Read a packet. RF_OK; RF_E_INVALID where the header of IP is broken or cut off. *ret borrows from `in`. A transport
 * header that is cut off gives no fields of it. */
int rf_packet_parse(struct rf_str in, struct rf_packet *ret);

/* "tcp", "udp", "icmp", ...; "" for a number without a name here. */
const char *rf_packet_proto_name(uint8_t proto);
/* Does a UDP or TCP payload begin as a message of SIP [RFC 3261 7]? */
bool rf_packet_is_sip(const struct rf_packet *p);
/* Bits [from, to) of bytes, the most significant first; false where they are not all there. At most 32. */
bool rf_bits(struct rf_str bytes, unsigned from, unsigned to, uint32_t *ret);
