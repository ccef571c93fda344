/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
 *
 * bpf/cookie: the program at TC that makes the connection for which a SYN cookie of the filter stands.
 *
 *   ACK to a listener of ours, where a flood is or was -> the kernel's check of the cookie -> options from the timestamp -> request
 *   socket with them, as if the SYN had been kept
 *
 * What is no such frame goes on as it came: the kernel then judges it as ever.
 */
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "filter.h"
#include "maps.h"
#include "syn.h"

RF_ARRAY(rf_conf, 1, struct rf_filter_conf);
RF_ARRAY(rf_syn, RF_SYN_PLACES, __u64);

struct sock { int unused; };
struct tcp_sock { int unused; };
struct bpf_tcp_req_attrs { /* of the kernel */
	__u32 rcv_tsval, rcv_tsecr;
	__u16 mss;
	__u8 rcv_wscale, snd_wscale, ecn_ok, wscale_ok, sack_ok, tstamp_ok, usec_ts_ok, reserved[3];
};
extern int bpf_sk_assign_tcp_reqsk(struct __sk_buff *skb, struct sock *sk, struct bpf_tcp_req_attrs *attrs, int attrs__sz) __ksym;

struct head {
	union { __u8 ip[40]; struct iphdr four; struct ipv6hdr six; };
	struct rf_tcp tcp;
	struct rf_frame f;
};

static int head_read(struct __sk_buff *skb, struct head *h)
{
	struct rf_frame *f = &h->f;
	__u32 at = 14, ip_n = 20;
	if (skb->protocol == bpf_htons(0x0800)) {
		if (bpf_skb_load_bytes(skb, at, h->ip, 20) || h->ip[0] != 0x45 || h->ip[9] != RF_PROTO_TCP)
			return 0;
		f->src[0] = h->four.saddr;
		f->dst[0] = h->four.daddr;
		f->family = 4;
	} else if (skb->protocol == bpf_htons(0x86dd)) {
		if (bpf_skb_load_bytes(skb, at, h->ip, 40) || h->ip[6] != RF_PROTO_TCP)
			return 0;
		__builtin_memcpy(f->src, h->ip + 8, 16);
		__builtin_memcpy(f->dst, h->ip + 24, 16);
		f->family = 6;
		ip_n = 40;
	} else
		return 0;
	if (bpf_skb_load_bytes(skb, at + ip_n, h->tcp.h, RF_TCP_LEAST))
		return 0;
	__u32 n = (h->tcp.h[12] >> 4) * 4u;
	__u8 flags = h->tcp.h[13] & (RF_TCP_SYN | RF_TCP_ACK | RF_TCP_RST);
	if (n < RF_TCP_LEAST || n > RF_TCP_MOST || flags != RF_TCP_ACK)
		return 0;
	if (bpf_skb_load_bytes(skb, at + ip_n, h->tcp.h, n))
		return 0;
	f->sport = rf_be16(h->tcp.h);
	f->dport = rf_be16(h->tcp.h + 2);
	rf_tcp_options(&h->tcp, n);
	return 1;
}

/* What the SYN said; false where the timestamp is not of a cookie of ours. */
RF_INLINE int options_of(const struct head *h, __u64 secret, struct bpf_tcp_req_attrs *a)
{
	const struct rf_tcp *t = &h->tcp;
	__u16 least = h->f.family == 4 ? 536 : 1220;
	a->rcv_wscale = RF_OUR_SCALE;
	a->mss = least;
	if (!t->stamped)
		return 1;
	if (rf_stamp(secret, &h->f, rf_be32(t->h + 4) - 1, t->echo) != t->echo)
		return 0;
	__u16 mss = rf_mss_of(t->echo >> 6);
	__u8 scale = t->echo & 31;
	a->mss = mss > least ? mss : least;
	a->rcv_tsval = t->value;
	a->rcv_tsecr = t->echo;
	a->tstamp_ok = 1;
	a->sack_ok = t->echo >> 5 & 1;
	a->wscale_ok = scale != RF_SCALE_NONE;
	a->snd_wscale = scale != RF_SCALE_NONE ? scale : 0;
	return 1;
}

RF_INLINE void connect_by(struct __sk_buff *skb, const struct head *h, struct bpf_tcp_req_attrs *a)
{
	struct bpf_sock_tuple t = { 0 };
	__u32 size = rf_tuple(&h->f, &t);
	struct bpf_sock *skc = bpf_skc_lookup_tcp(skb, &t, size, BPF_F_CURRENT_NETNS, 0);
	if (!skc)
		return;
	if (skc->state == RF_LISTENS) {
		struct sock *sk = (struct sock *)bpf_skc_to_tcp_sock(skc);
		if (sk)
			bpf_sk_assign_tcp_reqsk(skb, sk, a, sizeof *a);
	}
	bpf_sk_release(skc);
}

SEC("tc")
int rf_cookie(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct head h = { 0 };
	struct bpf_tcp_req_attrs a = { 0 };
	const struct rf_filter_conf *k = bpf_map_lookup_elem(&rf_conf, &zero);
	if (!k || !k->cookies || !head_read(skb, &h))
		return TC_ACT_UNSPEC;
	__u32 place = rf_syn_place(&h.f, k->secret);
	const __u64 *until = bpf_map_lookup_elem(&rf_syn, &place);
	if (!until || (k->cookies != RF_COOKIES_ALWAYS && *until + RF_SYN_VALID_NS < bpf_ktime_get_coarse_ns()))
		return TC_ACT_UNSPEC;
	struct tcphdr *tcp = (struct tcphdr *)h.tcp.h;
	__s64 bad = h.f.family == 4 ? bpf_tcp_raw_check_syncookie_ipv4(&h.four, tcp) : bpf_tcp_raw_check_syncookie_ipv6(&h.six, tcp);
	if (!bad && options_of(&h, k->secret, &a))
		connect_by(skb, &h, &a);
	return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
