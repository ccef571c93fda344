/* wire/packet: one IP packet from its bytes.
 *
 *   version -> header of IPv4, or of IPv6 and a chain of extension headers -> transport header of the first fragment
 *
 * Invariant: every read is within `ip`, which is cut to the length that the header states.
 */
#include "wire/packet.h"
#include "base/err.h"

enum { V4_HEADER = 20, V6_HEADER = 40, TCP_HEADER = 20, UDP_HEADER = 8, ICMP_HEADER = 4 };
enum { HOP_BY_HOP = 0, ROUTING = 43, FRAGMENT = 44, DESTINATION = 60, MOBILITY = 135, HIP = 139, SHIM6 = 140 };

static uint8_t byte(struct rf_str s, size_t at)
{
	return (uint8_t)s.p[at];
}

static uint16_t word(struct rf_str s, size_t at)
{
	return (uint16_t)(byte(s, at) << 8 | byte(s, at + 1));
}

static struct rf_ip address(struct rf_str s, size_t at, uint8_t family)
{
	struct rf_ip ip = { .family = family };
	memcpy(ip.b, s.p + at, family == 4 ? 4 : 16);
	return rf_ip_unmap(ip);
}

static int read_v4(struct rf_str in, struct rf_packet *p, struct rf_str *rest)
{
	if (in.n < V4_HEADER)
		return RF_E_INVALID;
	unsigned header = (byte(in, 0) & 15) * 4u;
	size_t total = word(in, 2);
	if (header < V4_HEADER || total < header || in.n < header)
		return RF_E_INVALID;
	p->ip = (struct rf_str){ in.p, total < in.n ? total : in.n };
	p->hdr_len = header;
	p->ttl = byte(in, 8);
	p->proto = byte(in, 9);
	p->src = address(in, 12, 4);
	p->dst = address(in, 16, 4);
	p->option = header > V4_HEADER ? byte(in, V4_HEADER) : -1;
	p->fragment = word(in, 6) & 0x1fff;
	*rest = rf_str_skip(p->ip, header);
	return RF_OK;
}

/* The length of an extension header of this kind at the start of s; 0: it is none, or is cut off. */
static size_t extension(uint8_t kind, struct rf_str s)
{
	size_t n = 0;
	switch (kind) {
	case HOP_BY_HOP: case ROUTING: case DESTINATION: case MOBILITY: case HIP: case SHIM6:
		n = s.n < 2 ? 0 : (byte(s, 1) + 1u) * 8;
		break;
	case FRAGMENT:
		n = 8;
		break;
	case RF_IP_PROTO_AH: /* counted in units of four bytes, less two [RFC 4302 2.2] */
		n = s.n < 2 ? 0 : (byte(s, 1) + 2u) * 4;
		break;
	default:
		break;
	}
	return n <= s.n ? n : 0;
}

static bool is_extension(uint8_t kind)
{
	return kind == HOP_BY_HOP || kind == ROUTING || kind == FRAGMENT || kind == DESTINATION || kind == MOBILITY ||
		kind == HIP || kind == SHIM6 || kind == RF_IP_PROTO_AH;
}

static int read_v6(struct rf_str in, struct rf_packet *p, struct rf_str *rest)
{
	if (in.n < V6_HEADER)
		return RF_E_INVALID;
	size_t total = V6_HEADER + (size_t)word(in, 4);
	p->ip = (struct rf_str){ in.p, total < in.n ? total : in.n };
	p->ttl = byte(in, 7);
	p->src = address(in, 8, 6);
	p->dst = address(in, 24, 6);
	p->proto = byte(in, 6);
	p->option = -1;
	*rest = rf_str_skip(p->ip, V6_HEADER);
	for (unsigned i = 0; is_extension(p->proto) && !p->fragment; i++) {
		size_t n = i < RF_PACKET_EXTENSIONS ? extension(p->proto, *rest) : 0;
		if (!n)
			return RF_E_INVALID;
		p->fragment = p->proto == FRAGMENT && word(*rest, 2) & 0xfff8;
		p->proto = byte(*rest, 0);
		*rest = rf_str_skip(*rest, n);
	}
	p->hdr_len = (unsigned)(rest->p - in.p);
	return RF_OK;
}

static void read_transport(struct rf_packet *p, struct rf_str s)
{
	bool tcp = p->proto == RF_IP_PROTO_TCP && s.n >= TCP_HEADER, udp = p->proto == RF_IP_PROTO_UDP && s.n >= UDP_HEADER;
	bool icmp = (p->proto == RF_IP_PROTO_ICMP || p->proto == RF_IP_PROTO_ICMPV6) && s.n >= ICMP_HEADER;
	p->transport = s;
	p->has_ports = tcp || udp;
	p->has_flags = tcp;
	p->has_icmp = icmp;
	if (tcp || udp) {
		p->src_port = word(s, 0);
		p->dst_port = word(s, 2);
	}
	if (tcp)
		p->tcp_flags = word(s, 12) & 0x1ff;
	if (icmp) {
		p->icmp_type = byte(s, 0);
		p->icmp_code = byte(s, 1);
	}
}

int rf_packet_parse(struct rf_str in, struct rf_packet *ret)
{
	struct rf_packet p = { .option = -1 };
	struct rf_str rest = RF_STR("");
	p.version = in.n ? byte(in, 0) >> 4 : 0;
	int r = p.version == 4 ? read_v4(in, &p, &rest) : p.version == 6 ? read_v6(in, &p, &rest) : RF_E_INVALID;
	if (r)
		return r;
	if (!p.fragment)
		read_transport(&p, rest);
	*ret = p;
	return RF_OK;
}

const char *rf_packet_proto_name(uint8_t proto)
{
	static const struct { uint8_t proto; const char *name; } names[] = {
		{ RF_IP_PROTO_ICMP, "icmp" }, { RF_IP_PROTO_IGMP, "igmp" }, { RF_IP_PROTO_TCP, "tcp" }, { RF_IP_PROTO_UDP, "udp" },
		{ RF_IP_PROTO_GRE, "gre" }, { RF_IP_PROTO_ESP, "esp" }, { RF_IP_PROTO_AH, "ah" }, { RF_IP_PROTO_ICMPV6, "icmpv6" },
		{ RF_IP_PROTO_SCTP, "sctp" } };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (names[i].proto == proto)
			return names[i].name;
	return "";
}

static struct rf_str payload(const struct rf_packet *p)
{
	if (!p->has_ports)
		return RF_STR("");
	size_t header = p->proto == RF_IP_PROTO_UDP ? UDP_HEADER : (size_t)(byte(p->transport, 12) >> 4) * 4;
	return header <= p->transport.n ? rf_str_skip(p->transport, header) : RF_STR("");
}

bool rf_packet_is_sip(const struct rf_packet *p)
{
	static const char *const methods[] = { "INVITE ", "ACK ", "BYE ", "CANCEL ", "REGISTER ", "OPTIONS ", "PRACK ",
		"SUBSCRIBE ", "NOTIFY ", "PUBLISH ", "INFO ", "REFER ", "MESSAGE ", "UPDATE " };
	struct rf_str s = payload(p), line = { s.p, rf_str_find(s, '\r') };
	if (rf_str_starts(s, RF_STR("SIP/2.0 "))) /* a status line [RFC 3261 7.2] */
		return true;
	if (line.n == s.n || !rf_str_ends(line, RF_STR(" SIP/2.0")))
		return false;
	for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
		if (rf_str_starts(line, rf_str_z(methods[i])))
			return true;
	return false;
}

bool rf_bits(struct rf_str bytes, unsigned from, unsigned to, uint32_t *ret)
{
	uint64_t v = 0;
	if (from >= to || to - from > 32 || (to + 7) / 8 > bytes.n)
		return false;
	for (unsigned i = from / 8; i < (to + 7) / 8; i++)
		v = v << 8 | byte(bytes, i);
	v >>= (8 - to % 8) % 8;
	*ret = (uint32_t)(v & ((UINT64_C(1) << (to - from)) - 1));
	return true;
}
