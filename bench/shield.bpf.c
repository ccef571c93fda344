/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
 *
 * bench/shield: frames with random sources for a filter, and the peers of the kernel filter: a bare drop, and an LPM trie with a
 * rate a source in an LRU hash.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

enum { PREFIXES = 131072, SOURCES = 262144 };

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} next SEC(".maps");

struct key { __u32 bits, ip; };
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, PREFIXES);
	__type(key, struct key);
	__type(value, __u32);
} trie SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, SOURCES);
	__type(key, __u32);
	__type(value, __u64);
} sources SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

/* A random source in 16.0.0.0/4, then the program that is measured. */
SEC("xdp")
int drive(struct xdp_md *ctx)
{
	unsigned char *p = (unsigned char *)(unsigned long)ctx->data, *end = (unsigned char *)(unsigned long)ctx->data_end;
	if (p + 34 > end)
		return XDP_ABORTED;
	__u32 r = bpf_get_prandom_u32();
	p[26] = 16 + (r >> 28);
	p[27] = r >> 16;
	p[28] = r >> 8;
	p[29] = r;
	bpf_tail_call(ctx, &next, 0);
	return XDP_ABORTED;
}

SEC("xdp")
int bare(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_DROP;
}

SEC("xdp")
int peer(struct xdp_md *ctx)
{
	const unsigned char *p = (const unsigned char *)(unsigned long)ctx->data, *end = (const unsigned char *)(unsigned long)ctx->data_end;
	if (p + 34 > end)
		return XDP_DROP;
	struct key k = { 32, *(const __u32 *)(p + 26) };
	__u32 zero = 0;
	__u64 *n = bpf_map_lookup_elem(&counts, &zero);
	if (n)
		++*n;
	if (bpf_map_lookup_elem(&trie, &k))
		return XDP_DROP;
	__u64 now = bpf_ktime_get_ns(), *at = bpf_map_lookup_elem(&sources, &k.ip), first = now + 1000;
	if (!at) {
		bpf_map_update_elem(&sources, &k.ip, &first, BPF_ANY);
		return XDP_PASS;
	}
	if (*at > now + 1000000000)
		return XDP_DROP;
	*at = (*at > now ? *at : now) + 1000;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
