/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
 *
 * bpf/filter: the XDP program: what the edge would refuse anyway is dropped before it costs anything.
 *
 *   parse -> source allowed? denied? -> of our fleet? (homes.h) -> reflection -> [rules of the operator: rules.h -> rf_after] -> rates of source and prefix ->
 *     SYN cookies -> floods that were found (stop.h) -> rate of destination -> pass
 *
 * Policy comes by maps that the user side writes into (filter.h). Allowed sources pass before any rate, so that the
 * operator is never shut out. Without policy (all zero) every well-formed frame passes.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "facts.h"
#include "maps.h"
#include "parse.h"

RF_ARRAY(rf_conf, 1, struct rf_filter_conf);
RF_ARRAY(rf_dir_first, RF_DIR_CHUNKS, struct rf_dir_chunk);
RF_ARRAY(rf_exact, RF_EXACT_BUCKETS, struct rf_exact_bucket);
RF_ARRAY(rf_six_root, 1, struct rf_six_root);
RF_ARRAY(rf_rates, RF_RATE_ROWS * RF_RATE_PLACES, __u64);
RF_ARRAY(rf_counts, RF_FILTER_CPUS, struct rf_filter_counts);
RF_ARRAY(rf_rule_counts, RF_FILTER_CPUS, struct rf_rule_counts);
RF_ARRAY(rf_rule_ids, 1, struct rf_rule_ids); /* nothing here reads it */
RF_ARRAY(rf_syn, RF_SYN_PLACES, __u64);
RF_ARRAY(rf_homes, RF_HOME_BUCKETS, struct rf_home_bucket);

#define RF_OF
#define RF_IN

RF_INLINE const struct rf_dir_chunk *rf_at_first(__u32 i) { return bpf_map_lookup_elem(&rf_dir_first, &i); }
RF_INLINE const struct rf_exact_bucket *rf_at_bucket(__u32 i) { return bpf_map_lookup_elem(&rf_exact, &i); }
RF_INLINE const struct rf_six_root *rf_at_root(__u32 i) { return bpf_map_lookup_elem(&rf_six_root, &i); }

#include "look.h"
#include "answer.h"
#include "homes.h"
#include "rules.h"
#include "sample.h"
#include "glimpse.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct rf_asked);
} rf_facts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, RF_PROGRAMS);
	__type(key, __u32);
	__type(value, __u32);
} rf_programs SEC(".maps");

/* Prefixes that share a rate, in network order. */
#define NET24 rf_host32(0xffffff00u)
#define NET48 ((__u64)0xffffffffu << 32 | rf_host32(0xffff0000u))

/* Take one unit from the place of a key. True where it is over its rate. */
RF_INLINE int over(const struct rf_rate_conf *rate, __u64 key, __u64 secret, __u64 now)
{
	if (!rate->cost_ns)
		return 0;
	__u64 h = rf_mix(key ^ secret);
	__u32 a = (__u32)h & (RF_RATE_PLACES - 1), b = RF_RATE_PLACES + ((__u32)(h >> 32) & (RF_RATE_PLACES - 1));
	__u64 *pa = bpf_map_lookup_elem(&rf_rates, &a), *pb = bpf_map_lookup_elem(&rf_rates, &b);
	if (!pa || !pb)
		return 0;
	__u64 va = *pa, vb = *pb, least = va < vb ? va : vb;
	if (least > now + rate->burst_ns)
		return 1;
	least = (least > now ? least : now) + rate->cost_ns;
	if (va < least) /* conservative: raise only what is below, so that others in the same place pay least */
		*pa = least;
	if (vb < least)
		*pb = least;
	return 0;
}

#include "stop.h"

RF_INLINE enum rf_drop source_rates(const struct rf_filter_conf *k, const struct rf_frame *f, __u64 now)
{
	__u64 s = (__u64)f->src[0] << 32 | f->src[1], s_low = (__u64)f->src[2] << 32 | f->src[3];
	__u64 net = f->family == 4 ? f->src[0] & NET24 : s & NET48;
	if (over(&k->source, rf_mix(s) ^ s_low ^ 1, k->secret, now))
		return RF_DROP_RATE_SOURCE;
	return over(&k->prefix, rf_mix(net) ^ 2, k->secret, now) ? RF_DROP_RATE_PREFIX : RF_DROP_PASS;
}

RF_INLINE int over_target(const struct rf_rate_conf *rate, const struct rf_filter_conf *k, const struct rf_frame *f, __u64 salt, __u64 now)
{
	__u64 d = (__u64)f->dst[0] << 32 | f->dst[1], d_low = (__u64)f->dst[2] << 32 | f->dst[3];
	__u64 port = f->part ? 0 : (__u64)f->proto << 16 | f->dport;
	return over(rate, rf_mix(d) ^ rf_mix(d_low ^ port) ^ salt, k->secret, now);
}

/* TCP frames that begin a connection, or may end a handshake by cookie. Global: the verifier looks at it once, by itself. */
__attribute__((noinline)) int rf_handshake(struct xdp_md *ctx, const struct rf_filter_conf *k, const struct rf_frame *f, __u64 now)
{
	if (!rf_can_answer || !k || !f)
		return RF_DROP_PASS;
	__u32 place = rf_syn_place(f, k->secret);
	__u64 *until = bpf_map_lookup_elem(&rf_syn, &place);
	int always = k->cookies == RF_COOKIES_ALWAYS;
	if (!until)
		return RF_DROP_PASS;
	if (f->tcp_flags & RF_TCP_SYN) {
		if (f->tcp_flags & RF_TCP_ACK)
			return RF_DROP_PASS;
		if (over_target(&k->syn, k, f, 4, now))
			*until = now + RF_SYN_FLOOD_NS;
		return always || *until > now ? answer_syn(ctx, f, k->secret) : RF_DROP_PASS;
	}
	if (f->tcp_flags & RF_TCP_RST || !(always || *until + RF_SYN_VALID_NS > now))
		return RF_DROP_PASS;
	return check_ack(ctx, f);
}

RF_INLINE enum rf_drop rates(struct xdp_md *ctx, const struct rf_filter_conf *k, const struct rf_frame *f)
{
	if (!(k->source.cost_ns | k->prefix.cost_ns | k->target.cost_ns | k->cookies | k->stops))
		return RF_DROP_PASS;
	__u64 now = bpf_ktime_get_coarse_ns();
	enum rf_drop why = source_rates(k, f, now);
	if (why == RF_DROP_PASS && rf_can_answer && k->cookies && f->proto == RF_PROTO_TCP && !f->part)
		why = (enum rf_drop)rf_handshake(ctx, k, f, now);
	if (why == RF_DROP_PASS && k->stops)
		why = (enum rf_drop)rf_stopped(ctx, k, f, now);
	if (why != RF_DROP_PASS)
		return why;
	return over_target(&k->target, k, f, 3, now) ? RF_DROP_RATE_TARGET : RF_DROP_PASS;
}

/* The way of the operator: neither a rule nor a flood from elsewhere may shut it. */
RF_INLINE int spared(const struct rf_filter_conf *k, const struct rf_frame *f)
{
	if (!k->spare_port || f->proto != RF_PROTO_TCP || f->dport != k->spare_port || f->part)
		return 0;
	return !k->spare_family || (k->spare_family == f->family && k->spare[0] == f->dst[0] && k->spare[1] == f->dst[1] &&
		k->spare[2] == f->dst[2] && k->spare[3] == f->dst[3]);
}

/* Hand the frame to the rules, which go on to rf_after; comes back where there are none. */
RF_INLINE void ask_rules(struct xdp_md *ctx, const struct rf_filter_conf *k, const struct rf_frame *f, __u32 size)
{
	__u32 zero = 0, cpu = bpf_get_smp_processor_id() & (RF_FILTER_CPUS - 1);
	struct rf_asked *a = bpf_map_lookup_elem(&rf_facts, &zero);
	if (!a)
		return;
	rf_facts_fill(f, cpu, size, &a->facts);
	a->facts.want = k->capture_rule;
	a->frame = *f;
	bpf_tail_call(ctx, &rf_programs, RF_PROGRAM_RULES);
}

RF_INLINE enum rf_drop decide(struct xdp_md *ctx, const struct rf_filter_conf *k, const struct rf_frame *f, __u32 size)
{
	__u16 tag = f->family == 4 ? rf_tag4(k, rf_host32(f->src[0])) : rf_tag6(k, f->src);
	if (tag && !rf_tag_denies(tag))
		return RF_DROP_ALLOWED;
	if (spared(k, f))
		return RF_DROP_PASS;
	if (tag)
		return RF_DROP_DENIED;
	enum rf_drop why = k->fleet ? (enum rf_drop)rf_fleet(ctx, k, f) : RF_DROP_PASS;
	if (why != RF_DROP_PASS)
		return why;
	if (f->proto == RF_PROTO_UDP && !f->part && k->reflect[f->sport >> 6 & (RF_REFLECT_WORDS - 1)] >> (f->sport & 63) & 1)
		return RF_DROP_REFLECTION;
	if (k->rules)
		ask_rules(ctx, k, f, size);
	return rates(ctx, k, f);
}

RF_INLINE int finish(struct xdp_md *ctx, const struct rf_filter_conf *k, struct rf_filter_counts *counts, enum rf_drop why, __u32 size,
	const struct rf_frame *f, const struct rf_packet_facts *asked)
{
	__u32 i = why;
	asm volatile("" : "+r"(i)); /* one register, so that the verifier knows its bound below */
	if (i >= RF_DROP_COUNT)
		return XDP_DROP;
	counts->frames[i]++;
	counts->bytes[i] += size;
	rf_show(ctx, k, counts, (enum rf_drop)i, size, asked);
	rf_glimpse(ctx, k, counts, i, size, f);
	return i <= RF_DROP_LAST_PASS ? XDP_PASS : i == RF_DROP_COOKIE ? XDP_TX : XDP_DROP;
}

SEC("xdp")
int rf_filter(struct xdp_md *ctx)
{
	const __u8 *p = (const __u8 *)(unsigned long)ctx->data, *end = (const __u8 *)(unsigned long)ctx->data_end;
	__u32 zero = 0, cpu = bpf_get_smp_processor_id() & (RF_FILTER_CPUS - 1), size = (__u32)(end - p);
	const struct rf_filter_conf *k = bpf_map_lookup_elem(&rf_conf, &zero);
	struct rf_filter_counts *counts = bpf_map_lookup_elem(&rf_counts, &cpu);
	struct rf_frame f;
	if (!k || !counts)
		return XDP_PASS;
	enum rf_drop why = rf_parse_frame(p, end, &f);
	if (why != RF_DROP_PASS)
		return finish(ctx, k, counts, why, size, (void *)0, (void *)0);
	return finish(ctx, k, counts, decide(ctx, k, &f, size), size, &f, (void *)0);
}

/* Where rules go on to: what they answered, then what comes after them. */
SEC("xdp")
int rf_after(struct xdp_md *ctx)
{
	__u32 zero = 0, cpu = bpf_get_smp_processor_id() & (RF_FILTER_CPUS - 1);
	const struct rf_filter_conf *k = bpf_map_lookup_elem(&rf_conf, &zero);
	struct rf_filter_counts *counts = bpf_map_lookup_elem(&rf_counts, &cpu);
	const struct rf_asked *a = bpf_map_lookup_elem(&rf_facts, &zero);
	if (!k || !counts || !a)
		return XDP_DROP;
	enum rf_drop why = a->facts.verdict == RF_RULES_BLOCK ? RF_DROP_RULE : rates(ctx, k, &a->frame);
	return finish(ctx, k, counts, why, a->facts.size, &a->frame, &a->facts);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
