/* bpf/parse: a frame to what the filter decides on; the same code runs in the kernel and on the host.
 *
 *   Ethernet -> up to two VLAN tags -> IPv4, or IPv6 with its extension headers -> TCP, UDP, ICMP
 *
 * Strict about what an attacker bends: lengths that disagree, fragments that hide ports, sources that no host
 * has, flags that no connection has. Checksums are the stack's. Bounds: VLANS tags, EXTENSIONS headers.
 *
 * The verifier needs every access to be preceded by a comparison with `end`; so does the reader.
 */
#pragma once
#include "filter.h"

struct rf_frame {
	__u8 family;   /* 4, 6; 0: not IP */
	__u8 proto;    /* of the transport header */
	__u8 tcp_flags;
	__u8 part;     /* a fragment that is not the first: no ports */
	__u16 sport, dport; /* in host order; for ICMP type and code */
	__u16 size;    /* of the IP packet, headers included */
	__u16 at, header; /* where it begins in the frame; its headers up to the transport's */
	__u8 ttl, tcp_bits, option; /* tcp_bits: all eight flags; option: first byte of the options of IPv4 */
	__u8 options;  /* there are some */
	__u32 src[4], dst[4]; /* in network order; IPv4 in the first */
};

enum { RF_VLANS = 2, RF_EXTENSIONS = 6, RF_EXTENSION_BYTES = 256 };

RF_INLINE __u16 rf_be16(const __u8 *p) { return (__u16)(p[0] << 8 | p[1]); }

RF_INLINE __u32 rf_raw32(const __u8 *p)
{
	__u32 v;
	__builtin_memcpy(&v, p, 4);
	return v;
}

/* [RFC 1122 3.2.1.3], [RFC 6890]: loopback, multicast, limited broadcast and "this host" never are sources. */
RF_INLINE int rf_bad_source4(const __u8 *ip)
{
	return ip[12] == 127 || ip[12] >= 224 || (ip[12] == 0 && ip[16] != 255) || rf_raw32(ip + 12) == rf_raw32(ip + 16);
}

RF_INLINE int rf_bad_source6(const struct rf_frame *f)
{
	const __u8 *s = (const __u8 *)f->src;
	__u32 high = f->src[0] | f->src[1] | f->src[2];
	int same = f->src[0] == f->dst[0] && f->src[1] == f->dst[1] && f->src[2] == f->dst[2] && f->src[3] == f->dst[3];
	int loopback = !high && s[12] == 0 && s[13] == 0 && s[14] == 0 && s[15] == 1;
	return s[0] == 0xff || loopback || same; /* :: is the source of duplicate address detection [RFC 4862 5.4.2] */
}

/* No connection has SYN with FIN or RST, FIN with RST, none at all, or FIN, PSH or URG without ACK [RFC 9293 3.10.7]. */
RF_INLINE int rf_bad_tcp_flags(__u8 f)
{
	__u8 ends = f & (RF_TCP_SYN | RF_TCP_FIN | RF_TCP_RST);
	if (!ends)
		return !(f & RF_TCP_ACK);
	if (ends & (ends - 1))
		return 1;
	return ends == RF_TCP_FIN && !(f & RF_TCP_ACK);
}

RF_INLINE enum rf_drop rf_parse_tcp(const __u8 *p, const __u8 *end, __u32 left, struct rf_frame *f)
{
	if (p + 20 > end || left < 20)
		return RF_DROP_TCP_HEADER;
	__u32 header = (p[12] >> 4) * 4;
	if (header < 20 || header > left)
		return RF_DROP_TCP_HEADER;
	f->sport = rf_be16(p);
	f->dport = rf_be16(p + 2);
	f->tcp_flags = p[13] & 0x3f;
	f->tcp_bits = p[13];
	return rf_bad_tcp_flags(f->tcp_flags) ? RF_DROP_TCP_FLAGS : RF_DROP_PASS;
}

RF_INLINE enum rf_drop rf_parse_udp(const __u8 *p, const __u8 *end, __u32 left, int more, struct rf_frame *f)
{
	if (p + 8 > end || left < 8)
		return RF_DROP_UDP_LENGTH;
	f->sport = rf_be16(p);
	f->dport = rf_be16(p + 2);
	__u32 n = rf_be16(p + 4);
	if (n < 8 || (!more && n > left))
		return RF_DROP_UDP_LENGTH;
	return RF_DROP_PASS;
}

/* The transport header; `left` bytes of the packet follow its network headers, `more` fragments may too. */
RF_INLINE enum rf_drop rf_parse_transport(const __u8 *p, const __u8 *end, __u32 left, int more, struct rf_frame *f)
{
	switch (f->proto) {
	case RF_PROTO_TCP:
		return rf_parse_tcp(p, end, left, f);
	case RF_PROTO_UDP:
		return rf_parse_udp(p, end, left, more, f);
	case RF_PROTO_ICMP:
	case RF_PROTO_ICMP6:
		if (p + 4 > end || left < 4)
			return RF_DROP_RUNT;
		f->sport = p[0];
		f->dport = p[1];
		return RF_DROP_PASS;
	default:
		return RF_DROP_PASS;
	}
}

RF_INLINE enum rf_drop rf_parse_ip4(const __u8 *p, const __u8 *end, struct rf_frame *f)
{
	if (p + 20 > end)
		return RF_DROP_RUNT;
	__u32 header = (p[0] & 15) * 4, size = rf_be16(p + 2), part = rf_be16(p + 6);
	if (p[0] >> 4 != 4 || header < 20 || size < header || p + size > end || p + header > end)
		return RF_DROP_IP4_HEADER;
	f->family = 4;
	f->proto = p[9];
	f->ttl = p[8];
	f->size = (__u16)size;
	f->header = (__u16)header;
	f->options = header > 20;
	if (header > 20 && p + 21 <= end)
		f->option = p[20];
	f->src[0] = rf_raw32(p + 12);
	f->dst[0] = rf_raw32(p + 16);
	if (rf_bad_source4(p))
		return RF_DROP_SOURCE;
	__u32 at = (part & 0x1fff) * 8;
	f->part = at != 0;
	if (at) /* the second fragment must not write over the ports and flags of the first [RFC 1858] */
		return at < 24 || at + size - header > 65535 ? RF_DROP_FRAGMENT : RF_DROP_PASS;
	if ((part & 0x2000) && size - header < 20 && f->proto == RF_PROTO_TCP)
		return RF_DROP_FRAGMENT;
	return rf_parse_transport(p + header, end, size - header, (part & 0x2000) != 0, f);
}

/* Is it an extension header that another may follow [RFC 8200 4.1]? */
RF_INLINE int rf_is_extension(__u8 next)
{
	return next == 0 || next == 43 || next == 60 || next == 135 || next == 139 || next == 140 || next == 51;
}

struct rf_chain { /* where a walk over extension headers stands */
	__u32 at;      /* bytes after the IPv6 header */
	__u8 next, more, fragmented, over;
};

/* One extension header. PASS: go on, or it is over. */
RF_INLINE enum rf_drop rf_parse_extension(const __u8 *p, const __u8 *end, __u32 left, int first, struct rf_frame *f,
	struct rf_chain *c)
{
	if (c->next == 44) {
		if (p + 8 > end || left < 8 || c->fragmented)
			return RF_DROP_IP6_CHAIN;
		__u32 part = rf_be16(p + 2), at = part & 0xfff8;
		c->fragmented = 1;
		c->more = part & 1;
		c->next = p[0];
		c->at += 8;
		f->part = at != 0;
		if (at) {
			c->over = 1;
			return at < 24 || at + left > 65535 ? RF_DROP_FRAGMENT : RF_DROP_PASS;
		}
		return RF_DROP_PASS;
	}
	if (!rf_is_extension(c->next) || (c->next == 0 && !first))
		return RF_DROP_IP6_CHAIN;
	if (p + 2 > end || left < 8)
		return RF_DROP_IP6_CHAIN;
	__u32 n = c->next == 51 ? (p[1] + 2u) * 4 : (p[1] + 1u) * 8; /* AH counts in fours [RFC 4302 2.2] */
	if (n > RF_EXTENSION_BYTES || n > left || p + n > end)
		return RF_DROP_IP6_CHAIN;
	c->next = p[0];
	c->at += n;
	return RF_DROP_PASS;
}

RF_INLINE enum rf_drop rf_parse_ip6(const __u8 *p, const __u8 *end, struct rf_frame *f)
{
	if (p + 40 > end)
		return RF_DROP_RUNT;
	__u32 payload = rf_be16(p + 4);
	struct rf_chain c = { .next = p[6] };
	if (p[0] >> 4 != 6 || p + 40 + payload > end)
		return RF_DROP_IP6_HEADER;
	f->family = 6;
	f->ttl = p[7];
	f->size = (__u16)(payload > 65495 ? 65535 : payload + 40);
	__builtin_memcpy(f->src, p + 8, 16);
	__builtin_memcpy(f->dst, p + 24, 16);
	if (rf_bad_source6(f))
		return RF_DROP_SOURCE;
	p += 40;
	for (int i = 0; i < RF_EXTENSIONS && !c.over; i++) {
		if (c.next != 44 && !rf_is_extension(c.next))
			break;
		if (c.at > RF_EXTENSIONS * RF_EXTENSION_BYTES)
			return RF_DROP_IP6_CHAIN;
		enum rf_drop r = rf_parse_extension(p + c.at, end, payload - c.at, i == 0, f, &c);
		if (r != RF_DROP_PASS)
			return r;
	}
	f->proto = c.next;
	f->header = (__u16)(40 + c.at);
	if (c.over)
		return RF_DROP_PASS;
	if (c.next == 44 || rf_is_extension(c.next) || c.at > RF_EXTENSIONS * RF_EXTENSION_BYTES)
		return RF_DROP_IP6_CHAIN;
	if (c.more && payload - c.at < 20 && f->proto == RF_PROTO_TCP)
		return RF_DROP_FRAGMENT;
	return rf_parse_transport(p + c.at, end, payload - c.at, c.more, f);
}

/* Fill *f from the frame p..end. RF_DROP_PASS, RF_DROP_NOT_IP, or what is wrong. */
RF_INLINE enum rf_drop rf_parse_frame(const __u8 *p, const __u8 *end, struct rf_frame *f)
{
	__builtin_memset(f, 0, sizeof *f);
	if (p + 14 > end)
		return RF_DROP_RUNT;
	__u16 type = rf_be16(p + 12);
	p += 14;
	f->at = 14;
	for (int i = 0; i < RF_VLANS && (type == 0x8100 || type == 0x88a8); i++) { /* [IEEE 802.1Q] */
		if (p + 4 > end)
			return RF_DROP_RUNT;
		type = rf_be16(p + 2);
		p += 4;
		f->at += 4;
	}
	if (type == 0x8100 || type == 0x88a8)
		return RF_DROP_VLAN_DEPTH;
	if (type == 0x0800)
		return rf_parse_ip4(p, end, f);
	return type == 0x86dd ? rf_parse_ip6(p, end, f) : RF_DROP_NOT_IP;
}
