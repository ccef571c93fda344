/* bpf/syn: a handshake that a SYN cookie stands for: what both programs, the one that answers and the one that takes, know of it.
 *
 *   SYN -> options read -> cookie of the kernel's as the sequence number, options kept in the timestamp that the client gives back
 *   ACK -> the kernel's check of the number -> options out of the timestamp
 *
 * A timestamp of ours: 23 bits of a hash, 3 of an index of sizes, 1 for SACK, 5 for the window scale (31: none). A client without
 * timestamps gets the least segment size and neither SACK nor scaled windows.
 */
#pragma once
#include "mix.h"
#include "parse.h"

enum { RF_TCP_LEAST = 20, RF_TCP_MOST = 60, RF_TCP_ROOM = 80, RF_TCP_OPTIONS = 40 };
enum { RF_OPT_END, RF_OPT_NOP, RF_OPT_MSS, RF_OPT_SCALE, RF_OPT_SACK, RF_OPT_TIME = 8 };
enum { RF_SCALE_NONE = 31, RF_SCALE_MOST = 14, RF_OUR_SCALE = 7, RF_OUR_WINDOW = 16384, RF_STAMP_BITS = 9 };
enum { RF_HOPS = 64, RF_ESTABLISHED = 1, RF_LISTENS = 10 }; /* TCP_ESTABLISHED, which a connected socket of UDP is too; TCP_LISTEN */

struct rf_tcp { /* a TCP header, with a walk over its options */
	__u8 h[RF_TCP_ROOM];   /* zero behind its end */
	__u32 n, at;
	__u32 value, echo;     /* of its timestamp */
	__u16 mss;
	__u8 scale, sack, stamped;
};

RF_INLINE __u32 rf_be32(const __u8 *p) { return (__u32)p[0] << 24 | (__u32)p[1] << 16 | (__u32)p[2] << 8 | p[3]; }

RF_INLINE void rf_put32(__u8 *p, __u32 v)
{
	p[0] = (__u8)(v >> 24);
	p[1] = (__u8)(v >> 16);
	p[2] = (__u8)(v >> 8);
	p[3] = (__u8)v;
}

RF_INLINE void rf_put16(__u8 *p, __u32 v)
{
	p[0] = (__u8)(v >> 8);
	p[1] = (__u8)v;
}

/* The option at t->at. 0: there may be more. */
RF_INLINE long rf_tcp_option(struct rf_tcp *t)
{
	__u32 at = t->at & 63;
	if (at < RF_TCP_LEAST || at >= t->n)
		return 1;
	const __u8 *p = t->h + at;
	if (p[0] == RF_OPT_NOP) {
		t->at = at + 1;
		return 0;
	}
	if (p[0] == RF_OPT_END || p[1] < 2 || at + p[1] > t->n)
		return 1;
	if (p[0] == RF_OPT_MSS && p[1] == 4)
		t->mss = rf_be16(p + 2);
	else if (p[0] == RF_OPT_SCALE && p[1] == 3)
		t->scale = p[2] > RF_SCALE_MOST ? RF_SCALE_MOST : p[2]; /* [RFC 7323 2.3] */
	else if (p[0] == RF_OPT_SACK && p[1] == 2)
		t->sack = 1;
	else if (p[0] == RF_OPT_TIME && p[1] == 10) {
		t->value = rf_be32(p + 2);
		t->echo = rf_be32(p + 6);
		t->stamped = 1;
	}
	t->at = at + p[1];
	return 0;
}

/* Segment sizes that a timestamp has room for; the first is what every path takes [RFC 9293 3.7.1]. */
RF_INLINE __u16 rf_mss_of(__u32 index)
{
	switch (index & 7) {
	case 1: return 1220;
	case 2: return 1300;
	case 3: return 1400;
	case 4: return 1440;
	case 5: return 1460;
	case 6: return 4312;
	case 7: return 8940;
	default: return 536;
	}
}

RF_INLINE __u32 rf_mss_index(__u16 mss)
{
	return (__u32)(mss >= 1220) + (mss >= 1300) + (mss >= 1400) + (mss >= 1440) + (mss >= 1460) + (mss >= 4312) + (mss >= 8940);
}

/* The timestamp that holds these options, for the handshake of client's sequence number `seq`. */
RF_INLINE __u32 rf_stamp(__u64 secret, const struct rf_frame *f, __u32 seq, __u32 options)
{
	__u64 s = (__u64)f->src[0] << 32 | f->src[1], low = (__u64)f->src[2] << 32 | f->src[3];
	__u64 ports = (__u64)f->sport << 48 | (__u64)f->dport << 32 | seq;
	__u64 h = rf_mix(rf_mix(secret ^ s) ^ rf_mix(low ^ ports) ^ f->dst[0] ^ (__u64)f->dst[3] << 32 ^ (options & ((1u << RF_STAMP_BITS) - 1)));
	return (__u32)(h >> 32) << RF_STAMP_BITS | (options & ((1u << RF_STAMP_BITS) - 1));
}

RF_INLINE __u32 rf_stamp_options(const struct rf_tcp *t)
{
	return rf_mss_index(t->mss) << 6 | (__u32)t->sack << 5 | (t->scale & 31u);
}

/* Where a destination stands in the map of floods. */
RF_INLINE __u32 rf_syn_place(const struct rf_frame *f, __u64 secret)
{
	__u64 d = (__u64)f->dst[0] << 32 | f->dst[1], low = (__u64)f->dst[2] << 32 | f->dst[3];
	return (__u32)rf_mix(rf_mix(d ^ secret) ^ rf_mix(low ^ f->dport)) & (RF_SYN_PLACES - 1);
}

#ifdef __bpf__
RF_INLINE __u16 rf_net16(__u16 host) { return (__u16)(rf_host32(host) >> 16); }

/* The connection of a frame, as the kernel looks it up; returns the size. */
RF_INLINE __u32 rf_tuple(const struct rf_frame *f, struct bpf_sock_tuple *t)
{
	if (f->family == 4) {
		t->ipv4.saddr = f->src[0];
		t->ipv4.daddr = f->dst[0];
		t->ipv4.sport = rf_net16(f->sport);
		t->ipv4.dport = rf_net16(f->dport);
		return sizeof t->ipv4;
	}
	__builtin_memcpy(t->ipv6.saddr, f->src, 16);
	__builtin_memcpy(t->ipv6.daddr, f->dst, 16);
	t->ipv6.sport = rf_net16(f->sport);
	t->ipv6.dport = rf_net16(f->dport);
	return sizeof t->ipv6;
}

static long rf_tcp_option_of(__u32 i, void *t)
{
	(void)i;
	return rf_tcp_option(t);
}

RF_INLINE void rf_tcp_options(struct rf_tcp *t, __u32 n)
{
	t->n = n;
	t->at = RF_TCP_LEAST;
	t->scale = RF_SCALE_NONE;
	bpf_loop(RF_TCP_OPTIONS, rf_tcp_option_of, t, 0);
}
#endif
