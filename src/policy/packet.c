/* policy/packet: fields of the packet phase out of a parsed packet. */
#include "policy/packet.h"

static bool give(struct rf_val *ret, bool there, int64_t i)
{
	*ret = rf_val_int(i);
	return there;
}

static bool of_ip(const struct rf_packet *p, enum rf_field f, struct rf_val *ret)
{
	switch (f) {
	case RF_F_PACKET:
		*ret = rf_val_str(p->ip);
		return true;
	case RF_F_IP_SRC:
		*ret = rf_val_ip(p->src);
		return true;
	case RF_F_IP_DST:
		*ret = rf_val_ip(p->dst);
		return true;
	case RF_F_IP_PROTO:
		*ret = rf_val_str(rf_str_z(rf_packet_proto_name(p->proto)));
		return true;
	case RF_F_IP_PROTO_NUM:
		return give(ret, true, p->proto);
	case RF_F_IP_LEN:
		return give(ret, true, (int64_t)p->ip.n);
	case RF_F_IP_HDR_LEN:
		return give(ret, true, p->hdr_len);
	case RF_F_IP_TTL:
		return give(ret, true, p->ttl);
	case RF_F_IP_OPT:
		return give(ret, p->option >= 0, p->option);
	default:
		return false;
	}
}

static bool of_transport(const struct rf_packet *p, enum rf_field f, struct rf_val *ret)
{
	bool tcp = p->has_flags, udp = p->has_ports && !tcp;
	*ret = rf_val_str(p->transport);
	switch (f) {
	case RF_F_PKT_TCP:
		return p->proto == RF_IP_PROTO_TCP && p->transport.n;
	case RF_F_PKT_UDP:
		return p->proto == RF_IP_PROTO_UDP && p->transport.n;
	case RF_F_PKT_ICMP:
		return (p->proto == RF_IP_PROTO_ICMP || p->proto == RF_IP_PROTO_ICMPV6) && p->transport.n;
	case RF_F_TCP_SRCPORT:
		return give(ret, tcp, p->src_port);
	case RF_F_TCP_DSTPORT:
		return give(ret, tcp, p->dst_port);
	case RF_F_UDP_SRCPORT:
		return give(ret, udp, p->src_port);
	case RF_F_UDP_DSTPORT:
		return give(ret, udp, p->dst_port);
	case RF_F_ICMP_TYPE:
		return give(ret, p->has_icmp, p->icmp_type);
	case RF_F_ICMP_CODE:
		return give(ret, p->has_icmp, p->icmp_code);
	case RF_F_TCP_FLAGS:
		return give(ret, tcp, p->tcp_flags & 0xff);
	case RF_F_SIP:
		*ret = rf_val_bool(rf_packet_is_sip(p));
		return true;
	default:
		return false;
	}
}

bool rf_packet_fact(const struct rf_packet *p, enum rf_field f, struct rf_val *ret)
{
	static const struct { enum rf_field f; uint8_t bit; } flags[] = { /* [RFC 9293 3.1] */
		{ RF_F_TCP_FIN, 1 }, { RF_F_TCP_SYN, 2 }, { RF_F_TCP_RESET, 4 }, { RF_F_TCP_PUSH, 8 }, { RF_F_TCP_ACK, 16 },
		{ RF_F_TCP_URG, 32 }, { RF_F_TCP_ECN, 64 }, { RF_F_TCP_CWR, 128 } };
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
		if (flags[i].f == f) {
			*ret = rf_val_bool(p->tcp_flags & flags[i].bit);
			return p->has_flags;
		}
	return of_ip(p, f, ret) || of_transport(p, f, ret);
}

static bool get(void *ctx, struct rf_arena *arena, enum rf_field f, struct rf_val *ret)
{
	(void)arena;
	return rf_packet_fact(ctx, f, ret);
}

const struct rf_facts_ops rf_packet_ops = { .get = get };
