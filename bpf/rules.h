/* bpf/rules: a parsed frame as the facts that rules of the phase packet ask for; in the kernel, and on the host for tests. */
#pragma once
#include "facts.h"
#include "parse.h"

struct rf_asked { /* by the filter, of the rules */
	struct rf_packet_facts facts;
	struct rf_frame frame;
};

/* An address in network order. The bit is set in *has where it is one of IPv4. */
RF_INLINE void rf_fact_address(int family, const __u32 a[4], __u64 *hi, __u64 *lo, __u32 *has, __u32 bit)
{
	__u64 h = (__u64)rf_host32(a[0]) << 32 | rf_host32(a[1]), l = (__u64)rf_host32(a[2]) << 32 | rf_host32(a[3]);
	int mapped = family == 6 && !h && l >> 32 == 0xffff; /* [RFC 4291 2.5.5.2] */
	*hi = family == 4 ? 0 : h;
	*lo = family == 4 ? h >> 32 : mapped ? (__u32)l : l;
	*has |= family == 4 || mapped ? bit : 0;
}

RF_INLINE __u32 rf_fact_transport(const struct rf_frame *f)
{
	if (f->part)
		return 0;
	return f->proto == RF_PROTO_TCP ? RF_HAS_TCP : f->proto == RF_PROTO_UDP ? RF_HAS_UDP :
		f->proto == RF_PROTO_ICMP || f->proto == RF_PROTO_ICMP6 ? RF_HAS_ICMP : 0;
}

/* Facts of a frame that the parser lets pass, with no answer yet. */
RF_INLINE void rf_facts_fill(const struct rf_frame *f, __u32 cpu, __u32 size, struct rf_packet_facts *to)
{
	__u32 has = rf_fact_transport(f);
	int icmp = has & RF_HAS_ICMP;
	has |= f->options ? RF_HAS_OPTION : 0;
	rf_fact_address(f->family, f->src, &to->src_hi, &to->src_lo, &has, RF_HAS_SRC4);
	rf_fact_address(f->family, f->dst, &to->dst_hi, &to->dst_lo, &has, RF_HAS_DST4);
	to->has = has;
	to->proto = f->proto;
	to->ttl = f->ttl;
	to->option = f->option;
	to->len = f->size;
	to->hdr_len = f->header;
	to->ip_at = f->at;
	to->l4_at = (__u32)f->at + f->header;
	to->l4_len = (__u32)f->size - f->header;
	to->sport = icmp ? 0 : f->sport;
	to->dport = icmp ? 0 : f->dport;
	to->tcp_flags = f->tcp_bits;
	to->icmp_type = icmp ? f->sport : 0;
	to->icmp_code = icmp ? f->dport : 0;
	to->cpu = cpu;
	to->size = size;
	to->parity = 0;
	to->verdict = RF_RULES_PASS;
	to->want = to->rule = to->log = to->wanted = 0;
}
