/* bpf/answer: SYNs in a flood, and the frames that follow a cookie, in the kernel filter.
 *
 *   SYN over the rate of its destination -> flood there for RF_SYN_FLOOD_NS -> a listener of ours? -> cookie -> back by XDP_TX
 *   ACK while a flood is or was -> of a connection? pass -> cookie of ours? pass, and bpf/cookie.bpf.c makes the connection
 *
 * Where no listener of this machine is asked, the frame is not ours to judge, and passes. Included by filter.bpf.c only.
 */
#pragma once
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include "socket.h"

const volatile __u8 rf_can_answer = 0; /* the kernel has what cookies need: set before the program is loaded */

struct rf_head { /* the headers of a frame without IP options or extension headers */
	union { __u8 ip[40]; struct iphdr four; struct ipv6hdr six; };
	__u32 ip_n;
	struct rf_tcp tcp;
};

/* Read the headers; `whole` with TCP options. */
RF_INLINE int head_read(struct xdp_md *ctx, const struct rf_frame *f, struct rf_head *h, int whole)
{
	h->ip_n = f->family == 4 ? 20 : 40;
	if (f->family == 4) {
		if (bpf_xdp_load_bytes(ctx, f->at, h->ip, 20) || h->ip[0] != 0x45)
			return 0;
	} else if (bpf_xdp_load_bytes(ctx, f->at, h->ip, 40) || h->ip[6] != RF_PROTO_TCP)
		return 0;
	if (bpf_xdp_load_bytes(ctx, f->at + h->ip_n, h->tcp.h, RF_TCP_LEAST))
		return 0;
	__u32 n = (h->tcp.h[12] >> 4) * 4u;
	if (n < RF_TCP_LEAST || n > RF_TCP_MOST)
		return 0;
	if (!whole)
		return 1;
	if (bpf_xdp_load_bytes(ctx, f->at + h->ip_n, h->tcp.h, n))
		return 0;
	rf_tcp_options(&h->tcp, n);
	return 1;
}

RF_INLINE __u16 folded(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)~sum;
}

/* Turn the headers of a SYN to those of its answer. */
RF_INLINE void head_answer(struct rf_head *h, const struct rf_frame *f, __u32 cookie, __u32 mtu, __u64 secret)
{
	struct rf_tcp *t = &h->tcp;
	__u8 *p = t->h, *o = p + RF_TCP_LEAST;
	__u32 seq = rf_be32(p + 4), options = rf_stamp_options(t), at = 4;
	rf_put16(p, f->dport);
	rf_put16(p + 2, f->sport);
	rf_put32(p + 4, cookie);
	rf_put32(p + 8, seq + 1);
	p[13] = RF_TCP_SYN | RF_TCP_ACK;
	rf_put16(p + 14, RF_OUR_WINDOW);
	rf_put32(p + 16, 0);
	__builtin_memset(o, RF_OPT_NOP, 40);
	o[0] = RF_OPT_MSS;
	o[1] = 4;
	rf_put16(o + 2, mtu - h->ip_n - RF_TCP_LEAST);
	if (t->stamped) {
		if (t->sack) {
			o[4] = RF_OPT_SACK;
			o[5] = 2;
		}
		o[6] = RF_OPT_TIME;
		o[7] = 10;
		rf_put32(o + 8, rf_stamp(secret, f, seq, options));
		rf_put32(o + 12, t->value);
		at = 16;
	}
	if (t->stamped && t->scale != RF_SCALE_NONE) {
		o[17] = RF_OPT_SCALE;
		o[18] = 3;
		o[19] = RF_OUR_SCALE;
		at = 20;
	}
	t->n = RF_TCP_LEAST + at;
	p[12] = (__u8)(t->n << 2); /* n / 4 << 4 */
}

/* Addresses, lengths and checksums. */
RF_INLINE void head_seal(struct rf_head *h, const struct rf_frame *f)
{
	__u32 pseudo[10] = { f->dst[0], f->src[0], rf_host32(h->tcp.n), rf_host32(RF_PROTO_TCP) };
	__u8 *ip = h->ip;
	if (f->family == 4) {
		__builtin_memset(ip, 0, 20);
		ip[0] = 0x45;
		rf_put16(ip + 2, 20 + h->tcp.n);
		ip[6] = 0x40; /* not to be cut */
		ip[8] = RF_HOPS;
		ip[9] = RF_PROTO_TCP;
		__builtin_memcpy(ip + 12, &f->dst[0], 4);
		__builtin_memcpy(ip + 16, &f->src[0], 4);
		__u16 sum = folded((__u32)bpf_csum_diff(0, 0, (__be32 *)ip, 20, 0));
		__builtin_memcpy(ip + 10, &sum, 2);
	} else {
		__builtin_memset(ip, 0, 8);
		ip[0] = 0x60;
		rf_put16(ip + 4, h->tcp.n);
		ip[6] = RF_PROTO_TCP;
		ip[7] = RF_HOPS;
		__builtin_memcpy(ip + 8, f->dst, 16);
		__builtin_memcpy(ip + 24, f->src, 16);
		__builtin_memcpy(pseudo, ip + 8, 32);
		pseudo[8] = rf_host32(h->tcp.n);
		pseudo[9] = rf_host32(RF_PROTO_TCP);
	}
	__u32 n = h->tcp.n;
	if (n > RF_TCP_MOST)
		return;
	__s64 head = bpf_csum_diff(0, 0, pseudo, sizeof pseudo, 0);
	__u16 sum = folded((__u32)bpf_csum_diff(0, 0, (__be32 *)h->tcp.h, n, (__u32)head));
	__builtin_memcpy(h->tcp.h + 16, &sum, 2);
}

/* Put the headers into the frame, and send it back. */
RF_INLINE int head_send(struct xdp_md *ctx, const struct rf_frame *f, struct rf_head *h)
{
	__u8 mac[12];
	__u32 n = h->tcp.n, size = f->at + h->ip_n + n, had = (__u32)bpf_xdp_get_buff_len(ctx);
	if (n < RF_TCP_LEAST || n > RF_TCP_MOST || bpf_xdp_load_bytes(ctx, 0, mac + 6, 6) || bpf_xdp_load_bytes(ctx, 6, mac, 6))
		return 0;
	if (size < 60) /* the least that Ethernet carries */
		size = 60;
	if (bpf_xdp_adjust_tail(ctx, (int)size - (int)had))
		return 0;
	if (bpf_xdp_store_bytes(ctx, 0, mac, sizeof mac) || bpf_xdp_store_bytes(ctx, f->at + h->ip_n, h->tcp.h, n))
		return 0;
	return f->family == 4 ? !bpf_xdp_store_bytes(ctx, f->at, h->ip, 20) : !bpf_xdp_store_bytes(ctx, f->at, h->ip, 40);
}

static __attribute__((noinline)) enum rf_drop answer_syn(struct xdp_md *ctx, const struct rf_frame *f, __u64 secret)
{
	struct rf_head h = { 0 };
	__u32 mtu = 0;
	if (!head_read(ctx, f, &h, 1))
		return RF_DROP_COOKIE_BAD;
	if (rf_socket(ctx, f) != RF_SOCKET_OPEN)
		return RF_DROP_PASS;
	__u32 n = h.tcp.n;
	if (n < RF_TCP_LEAST || n > RF_TCP_MOST)
		return RF_DROP_COOKIE_BAD;
	struct tcphdr *tcp = (struct tcphdr *)h.tcp.h;
	__s64 cookie = f->family == 4 ? bpf_tcp_raw_gen_syncookie_ipv4(&h.four, tcp, n) : bpf_tcp_raw_gen_syncookie_ipv6(&h.six, tcp, n);
	if (cookie < 0 || bpf_check_mtu(ctx, 0, &mtu, 0, 0) < 0 || mtu < 576)
		return RF_DROP_COOKIE_BAD;
	head_answer(&h, f, (__u32)cookie, mtu, secret);
	head_seal(&h, f);
	return head_send(ctx, f, &h) ? RF_DROP_COOKIE : RF_DROP_COOKIE_BAD;
}

static __attribute__((noinline)) enum rf_drop check_ack(struct xdp_md *ctx, const struct rf_frame *f)
{
	struct rf_head h = { 0 };
	if (!head_read(ctx, f, &h, 0) || rf_socket(ctx, f) != RF_SOCKET_OPEN)
		return RF_DROP_PASS;
	struct tcphdr *tcp = (struct tcphdr *)h.tcp.h;
	__s64 bad = f->family == 4 ? bpf_tcp_raw_check_syncookie_ipv4(&h.four, tcp) : bpf_tcp_raw_check_syncookie_ipv6(&h.six, tcp);
	return bad ? RF_DROP_COOKIE_BAD : RF_DROP_COOKIE_GOOD;
}
