/* bpf/sample: frames that are shown to the user side: a few of each reason a second, and what somebody captures. */
#pragma once
#include "facts.h"
#include "filter.h"

struct rf_budget { /* of a processor */
	__u64 second[RF_DROP_COUNT];
	__u32 spent[RF_DROP_COUNT];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, RF_SAMPLES_SIZE);
} rf_samples SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct rf_budget);
} rf_budgets SEC(".maps");

RF_INLINE int rf_afford(const struct rf_filter_conf *k, enum rf_drop why)
{
	__u32 zero = 0;
	struct rf_budget *b = bpf_map_lookup_elem(&rf_budgets, &zero);
	__u64 second = bpf_ktime_get_coarse_ns() / 1000000000;
	if (!b || why >= RF_DROP_COUNT)
		return 0;
	if (b->second[why] != second) {
		b->second[why] = second;
		b->spent[why] = 0;
	}
	if (b->spent[why] >= k->samples)
		return 0;
	b->spent[why]++;
	return 1;
}

/* `asked`: what rules answered; NULL where none were. */
RF_INLINE void rf_show(struct xdp_md *ctx, const struct rf_filter_conf *k, struct rf_filter_counts *counts, enum rf_drop why, __u32 size,
	const struct rf_packet_facts *asked)
{
	int log = asked && asked->log, drop = why > RF_DROP_COOKIE && (why != RF_DROP_RULE || log);
	int capture = (k->capture_why >> why & 1) || (asked && asked->wanted);
	if (!capture && !(drop || log))
		return;
	int record = (drop || log) && k->samples && rf_afford(k, why);
	if (!capture && !record)
		return;
	struct rf_shown *s = bpf_ringbuf_reserve(&rf_samples, sizeof *s, 0);
	if (!s) {
		counts->unshown++;
		return;
	}
	__u32 most = capture ? RF_SAMPLE_BYTES : RF_SAMPLE_HEAD, n = size < most ? size : most;
	s->at_ns = bpf_ktime_get_ns();
	s->size = size;
	s->n = 0;
	s->rule = asked ? (__u16)asked->rule : 0;
	s->why = (__u8)why;
	s->kind = (__u8)((record ? RF_SAMPLE_RECORD : 0) | (capture ? RF_SAMPLE_CAPTURE : 0));
	asm volatile("" : "+r"(n)); /* the verifier wants to see the next line */
	n = ((n - 1) & (RF_SAMPLE_BYTES - 1)) + 1;
	if (!bpf_xdp_load_bytes(ctx, 0, s->bytes, n))
		s->n = n;
	bpf_ringbuf_submit(s, BPF_RB_NO_WAKEUP); /* it is read by the clock */
}
