/* bpf/stop: frames of floods that were found. Included by filter.bpf.c only. */
#pragma once
#include "mix.h"
#include "socket.h"

RF_ARRAY(rf_stops, 1, struct rf_stops);

RF_INLINE int rf_same_address(const __u32 a[4], const __u32 b[4])
{
	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3];
}

/* Without it no neighbour is found [RFC 4861 4]. */
RF_INLINE int rf_of_neighbours(const struct rf_frame *f) { return f->proto == RF_PROTO_ICMP6 && f->sport >= 133 && f->sport <= 137; }

RF_INLINE int rf_stop_is_of(const struct rf_stop *s, const struct rf_frame *f)
{
	if (s->family != f->family || s->proto != f->proto || s->part != f->part || (f->tcp_flags & s->flags_mask) != s->flags)
		return 0;
	if ((s->sport && s->sport != f->sport) || (s->dport && s->dport != f->dport))
		return 0;
	if (rf_of_neighbours(f))
		return 0;
	return (!s->of_dst || rf_same_address(s->dst, f->dst)) && (!s->of_src || rf_same_address(s->src, f->src));
}

/* Global: the verifier looks at it once, by itself. */
__attribute__((noinline)) int rf_stopped(struct xdp_md *ctx, const struct rf_filter_conf *k, const struct rf_frame *f, __u64 now)
{
	__u32 zero = 0;
	const struct rf_stops *t = bpf_map_lookup_elem(&rf_stops, &zero);
	if (!k || !f || !t)
		return RF_DROP_PASS;
	__u32 n = k->stops & (RF_STOPS_OTHER - 1), half = k->stops / RF_STOPS_OTHER, at = 0;
	while (at < RF_STOPS && at < n && !rf_stop_is_of(&t->v[half & 1][at], f))
		at++;
	if (at >= RF_STOPS || at >= n)
		return RF_DROP_PASS;
	const struct rf_stop *s = &t->v[half & 1][at];
	__u64 key = rf_known_key(f->src, k->secret);
	if (!s->of_src && t->known[rf_known_place(key)] == key)
		return RF_DROP_PASS;
	int met = rf_socket(ctx, f);
	if (met == RF_SOCKET_CONNECTED || (met == RF_SOCKET_NONE && !s->of_dst && rf_leaves(ctx, f)))
		return RF_DROP_PASS;
	return over(&s->rate, rf_mix(s->number) ^ 5, k->secret, now) ? RF_DROP_FLOOD : RF_DROP_PASS;
}
