/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
 *
 * bench/move: bytes of one socket go to its partner, in the kernel.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

enum { SOCKETS = 512 };

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, SOCKETS);
	__type(key, __u32);
	__type(value, __u64);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SOCKETS);
	__type(key, __u64); /* local and remote port */
	__type(value, __u32);
} partners SEC(".maps");

SEC("sk_skb/stream_verdict")
int move(struct __sk_buff *skb)
{
	__u64 key = (__u64)skb->local_port << 32 | __builtin_bswap32(skb->remote_port);
	__u32 *to = bpf_map_lookup_elem(&partners, &key);
	return to ? (int)bpf_sk_redirect_map(skb, &sockets, *to, 0) : SK_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
