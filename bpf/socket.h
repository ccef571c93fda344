/* bpf/socket: the socket of this machine that a frame would meet. For XDP programs only. */
#pragma once
#include "syn.h"

enum { RF_AF_INET = 2, RF_AF_INET6 = 10 };

/* This machine routes it to another one. */
static __attribute__((noinline)) int rf_elsewhere(struct xdp_md *ctx, const struct rf_frame *f)
{
	struct bpf_fib_lookup p = { .family = f->family == 4 ? RF_AF_INET : RF_AF_INET6, .l4_protocol = f->proto, .ifindex = ctx->ingress_ifindex };
	__builtin_memcpy(p.ipv6_src, f->src, 16);
	__builtin_memcpy(p.ipv6_dst, f->dst, 16);
	long there = bpf_fib_lookup(ctx, &p, sizeof p, 0);
	return there == BPF_FIB_LKUP_RET_SUCCESS || there == BPF_FIB_LKUP_RET_NO_NEIGH || there == BPF_FIB_LKUP_RET_FRAG_NEEDED;
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
