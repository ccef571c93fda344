/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
 *
 * bench/flood: frames of a flood, written anew each time, onto a cable; and a bare drop.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

enum { LENGTH = 60, DENIED = 100000, RING = 256 };

const volatile unsigned char frame[64] = { 0 };      /* addresses, ports and protocol of all frames, and no source */
const volatile __u32 out = 0, kind = 0;              /* an interface; 0: denied sources, 1: any of 32.0.0.0/4, 2: one */

__u64 cost = 0, next = 0, sent = 0; /* ns a frame, in 1/1024; when the next one is due; how many went */

/* Whether a frame is due: what was missed while others had the CPU is made up for by at most as many frames as the cable's ring holds. */
static __always_inline int due(void)
{
	if (cost) {
		__u64 now = bpf_ktime_get_ns() << 10, oldest = now - RING * cost;
		if (next > now)
			return 0;
		next = (next > oldest ? next : oldest) + cost;
	}
	sent++;
	return 1;
}

/* In host order. The denied prefixes are 100,000 of the 2^20 /24 in 16.0.0.0/4, as flood.c and shield.py write them. */
static __u32 source(void)
{
	__u32 r = bpf_get_prandom_u32();
	if (kind == 0)
		return 0x10000000 | ((bpf_get_prandom_u32() % DENIED * 7919) & 0xfffff) << 8 | (r & 255);
	return kind == 1 ? 0x20000000 | (r & 0xfffffff) : 0x30000001;
}

/* The sum of `words` words from the packet's `at` on, in host order. */
static __always_inline __u32 sum(const unsigned char *p, int at, int words)
{
	__u32 s = 0;
#pragma unroll
	for (int i = 0; i < words; i++)
		s += (__u32)p[at + 2 * i] << 8 | p[at + 2 * i + 1];
	return s;
}

static __always_inline void put(unsigned char *p, __u32 s)
{
	s = (s & 0xffff) + (s >> 16);
	s = ~((s & 0xffff) + (s >> 16));
	p[0] = s >> 8;
	p[1] = s;
}

SEC("xdp")
int send(struct xdp_md *ctx)
{
	unsigned char *p = (unsigned char *)(unsigned long)ctx->data, *end = (unsigned char *)(unsigned long)ctx->data_end;
	if (p + LENGTH > end)
		return XDP_ABORTED;
	if (!due())
		return XDP_DROP;
#pragma unroll
	for (int i = 0; i < LENGTH; i++)
		p[i] = frame[i];
	__u32 ip = source(), port = bpf_get_prandom_u32();
	p[26] = ip >> 24;
	p[27] = ip >> 16;
	p[28] = ip >> 8;
	p[29] = ip;
	p[34] = port >> 8 | 4;
	p[35] = port;
	put(p + 24, sum(p, 14, 10));
	if (p[23] == 6) /* TCP without options; UDP needs no checksum */
		put(p + 50, sum(p, 26, 4) + 6 + 20 + sum(p, 34, 10));
	return bpf_redirect(out, 0);
}

SEC("xdp")
int bare(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_DROP;
}

SEC("xdp")
int pass(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
