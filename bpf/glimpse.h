/* bpf/glimpse: frames as the user side glimpses them. Included by filter.bpf.c only. */
#pragma once
#include "parse.h"
#include "socket.h"

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, RF_GLIMPSES_SIZE);
} rf_glimpses SEC(".maps");

/* How many frames go by until the next one. */
RF_INLINE __u32 rf_draw(__u32 made)
{
	__u32 step = made / RF_GLIMPSE_STEP;
	return step ? bpf_get_prandom_u32() % ((2u << (step < RF_GLIMPSE_STEPS ? step : RF_GLIMPSE_STEPS)) - 1) : 0;
}

static __attribute__((noinline)) int rf_give(struct xdp_md *ctx, struct rf_filter_counts *counts, __u32 why, __u32 size,
	const struct rf_frame *f)
{
	struct rf_glimpse *g = bpf_ringbuf_reserve(&rf_glimpses, sizeof *g, 0);
	__u32 weight = counts->skipped + 1;
	counts->until = counts->skipped = rf_draw(++counts->made);
	if (!g) {
		counts->unseen += weight;
		return 0;
	}
	__builtin_memset(g, 0, sizeof *g);
	g->at_ns = bpf_ktime_get_ns();
	g->weight = weight;
	g->size = size;
	g->why = (__u8)why;
	if (f) {
		__builtin_memcpy(g->src, f->src, sizeof g->src);
		__builtin_memcpy(g->dst, f->dst, sizeof g->dst);
		g->sport = f->sport;
		g->dport = f->dport;
		g->family = f->family;
		g->proto = f->proto;
		g->tcp_flags = f->tcp_flags;
		g->part = f->part;
		g->socket = (__u8)rf_socket(ctx, f);
		if (g->socket == RF_SOCKET_NONE && rf_leaves(ctx, f))
			g->socket = RF_SOCKET_ELSEWHERE;
	}
	bpf_ringbuf_submit(g, BPF_RB_NO_WAKEUP); /* it is read by the clock */
	return 0;
}

/* `f`: as it was read, NULL where it could not be. */
RF_INLINE void rf_glimpse(struct xdp_md *ctx, const struct rf_filter_conf *k, struct rf_filter_counts *counts, __u32 why, __u32 size,
	const struct rf_frame *f)
{
	if (counts->look != k->look) {
		counts->look = k->look;
		counts->made = counts->until = counts->skipped = 0;
	}
	if (!k->look)
		return;
	if (counts->until)
		counts->until--;
	else
		rf_give(ctx, counts, why, size, f);
}
