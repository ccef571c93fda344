/* bpf/socket: whether a frame is for this machine, and the socket that it would meet. For XDP programs only. */
#pragma once
#include "syn.h"

/* Is it for somebody else? Where the kernel cannot say, yes. */
static __attribute__((noinline)) int rf_leaves(struct xdp_md *ctx, const struct rf_frame *f)
{
	enum { INET = 2, INET6 = 10 };
	struct bpf_fib_lookup q;
	__builtin_memset(&q, 0, sizeof q);
	q.family = f->family == 4 ? INET : INET6;
	q.l4_protocol = f->proto;
	q.ifindex = ctx->ingress_ifindex;
	if (f->family == 4) {
		q.ipv4_src = f->src[0];
		q.ipv4_dst = f->dst[0];
	} else {
		__builtin_memcpy(q.ipv6_src, f->src, 16);
		__builtin_memcpy(q.ipv6_dst, f->dst, 16);
	}
	long r = bpf_fib_lookup(ctx, &q, sizeof q, 0);
	return r != BPF_FIB_LKUP_RET_NOT_FWDED && r != BPF_FIB_LKUP_RET_FWD_DISABLED;
}

/* Two functions: the kernel gives two kinds of pointer, which one instruction must not use. */
static __attribute__((noinline)) int rf_socket_tcp(struct xdp_md *ctx, struct bpf_sock_tuple *t, __u32 size)
{
	struct bpf_sock *sk = bpf_skc_lookup_tcp(ctx, t, size, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return RF_SOCKET_NONE;
	int what = sk->state == RF_LISTENS ? RF_SOCKET_OPEN : RF_SOCKET_CONNECTED;
	bpf_sk_release(sk);
	return what;
}

static __attribute__((noinline)) int rf_socket_udp(struct xdp_md *ctx, struct bpf_sock_tuple *t, __u32 size)
{
	struct bpf_sock *sk = bpf_sk_lookup_udp(ctx, t, size, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return RF_SOCKET_NONE;
	int what = sk->state == RF_ESTABLISHED ? RF_SOCKET_CONNECTED : RF_SOCKET_OPEN;
	bpf_sk_release(sk);
	return what;
}

/* The socket alone: RF_SOCKET_*, but ELSEWHERE. */
RF_INLINE int rf_socket(struct xdp_md *ctx, const struct rf_frame *f)
{
	struct bpf_sock_tuple t = { 0 };
	__u32 size = rf_tuple(f, &t);
	if (f->part)
		return RF_SOCKET_NONE;
	return f->proto == RF_PROTO_TCP ? rf_socket_tcp(ctx, &t, size) : f->proto == RF_PROTO_UDP ? rf_socket_udp(ctx, &t, size) : RF_SOCKET_NONE;
}
