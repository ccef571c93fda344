/* bpf/homes: devices of our own as senders: what they try is counted, and what must not leave does not.
 *
 *   source -> its row? else in a network of the fleet? -> counted -> exempt? -> of a bot? to a port that is banned? held? slow, and over
 *     its rate?
 *     -> would it leave? (the kernel's routes say) -> dropped
 *
 * What is meant for this machine passes: services judge it themselves, and a device in quarantine must reach those that let it out again.
 * The first half is the same for kernel and host.
 */
#pragma once
#include "key.h"
#include "mix.h"
#include "parse.h"

RF_INLINE __u32 rf_home_bucket_of(struct rf_home_key k, __u64 secret, int second)
{
	__u64 h = rf_mix(rf_mix(k.hi ^ secret) ^ k.lo);
	return (__u32)(second ? h >> 32 : h) & (RF_HOME_BUCKETS - 1);
}

RF_INLINE int rf_is_syn(const struct rf_frame *f)
{
	return f->proto == RF_PROTO_TCP && (f->tcp_flags & (RF_TCP_SYN | RF_TCP_ACK)) == RF_TCP_SYN;
}

RF_INLINE int rf_is_ping(const struct rf_frame *f)
{
	return (f->proto == RF_PROTO_ICMP && f->sport == 8) || (f->proto == RF_PROTO_ICMP6 && f->sport == 128);
}

/* Does it ask for something? Datagrams to ports from which systems take those of clients are answers, as a rule [RFC 6056 2.1]. */
RF_INLINE int rf_asks(const struct rf_frame *f)
{
	enum { CLIENTS = 32768 };
	return !f->part && (rf_is_syn(f) || rf_is_ping(f) || (f->proto == RF_PROTO_UDP && f->dport < CLIENTS));
}

RF_INLINE int rf_is_banned(const struct rf_filter_conf *k, const struct rf_frame *f)
{
	return f->proto == RF_PROTO_TCP && !f->part && k->ban[f->dport >> 6 & (RF_REFLECT_WORDS - 1)] >> (f->dport & 63) & 1;
}

RF_INLINE int rf_is_scanned(const struct rf_filter_conf *k, const struct rf_frame *f)
{
	return rf_is_syn(f) && !f->part && k->scan[f->dport >> 6 & (RF_REFLECT_WORDS - 1)] >> (f->dport & 63) & 1;
}

/* A hash of the address and port that a frame is for. */
RF_INLINE __u64 rf_home_target(const struct rf_frame *f, __u64 secret)
{
	__u64 hi = (__u64)f->dst[0] << 32 | f->dst[1], lo = (__u64)f->dst[2] << 32 | f->dst[3];
	__u64 port = rf_is_ping(f) ? 1u << 20 : (__u32)f->proto << 16 | f->dport;
	return rf_mix(rf_mix(hi ^ secret) ^ rf_mix(lo ^ port));
}

/* Bits are only stored where they are new, so that a row that asks for the same again and again is not written by each processor. */
RF_INLINE void rf_home_mark(__u64 *word, __u64 bit)
{
#ifdef __bpf__
	if (!(*word & bit))
		*word |= bit;
#else
	if (!(__atomic_load_n(word, __ATOMIC_RELAXED) & bit))
		__atomic_fetch_or(word, bit, __ATOMIC_RELAXED);
#endif
}

/* `n` frames alike. */
RF_INLINE void rf_home_count(struct rf_home *h, const struct rf_filter_conf *k, const struct rf_frame *f, __u64 n)
{
	__u64 *counter = rf_is_syn(f) ? &h->syns : f->proto == RF_PROTO_UDP || rf_is_ping(f) ? &h->datagrams : &h->frames;
	__sync_fetch_and_add(counter, n);
	if (!rf_asks(f))
		return;
	__u64 t = rf_home_target(f, k->secret);
	rf_home_mark(&h->targets[t >> 6 & (RF_HOME_TARGET_WORDS - 1)], 1ull << (t & 63));
	if (!rf_is_banned(k, f) && !rf_is_scanned(k, f))
		return;
	__sync_fetch_and_add(&h->scans, n);
	rf_home_mark(&h->scan_targets, 1ull << (t >> 32 & 63));
}

/* Over the little that a slow one may send. */
RF_INLINE int rf_home_over(struct rf_home *h, int attempt, __u64 now)
{
	enum { BURST = 4 };
	__u64 share = h->share ? h->share : 1, cost = (attempt ? RF_HOME_ATTEMPT_NS : RF_HOME_FRAME_NS) / share;
	__u64 *at = attempt ? &h->attempt_free : &h->frame_free, free = *at > now ? *at : now;
	if (free > now + BURST * cost)
		return 1;
	*at = free + cost;
	return 0;
}

/* Is the address in a network of the fleet? */
RF_INLINE int rf_home_in_fleet(const struct rf_filter_conf *k, struct rf_home_key key)
{
	for (__u32 i = 0; i < RF_HOME_NETS && i < k->fleet_nets; i++) {
		struct rf_key m = rf_key_mask((struct rf_key){ key.hi, key.lo, 128 }, (__u8)k->net[i].bits);
		if (m.hi == k->net[i].hi && m.lo == k->net[i].lo)
			return 1;
	}
	return 0;
}

#ifdef __bpf__
#include "socket.h"

RF_INLINE struct rf_home *home_of(const struct rf_filter_conf *k, struct rf_home_key key)
{
	for (int second = 0; second < 2; second++) {
		__u32 at = rf_home_bucket_of(key, k->secret, second);
		struct rf_home_bucket *b = bpf_map_lookup_elem(&rf_homes, &at);
		for (int i = 0; b && i < RF_HOME_WAYS; i++)
			if (b->key[i].hi == key.hi && b->key[i].lo == key.lo)
				return &b->home[i];
	}
	return (void *)0;
}

/* The scanner of Mirai and its variants knows its own SYNs again by a sequence number that is the address they go to. */
RF_INLINE int of_bot(struct xdp_md *ctx, const struct rf_frame *f)
{
	enum { SEQUENCE = 4 };
	__u32 sequence = 0;
	return f->family == 4 && !f->part && rf_is_syn(f) && f->dst[0] &&
		!bpf_xdp_load_bytes(ctx, (__u32)f->at + f->header + SEQUENCE, &sequence, sizeof sequence) && sequence == f->dst[0];
}

/* RF_DROP_PASS, RF_DROP_FLEET_PORT, RF_DROP_FLEET_BOT or RF_DROP_FLEET. Global: the verifier looks at it once, by itself. */
__attribute__((noinline)) int rf_fleet(struct xdp_md *ctx, const struct rf_filter_conf *k, const struct rf_frame *f)
{
	if (!k || !f)
		return RF_DROP_PASS;
	struct rf_key a = f->family == 4 ? rf_key4(rf_host32(f->src[0]), 32) : rf_key6(f->src);
	struct rf_home_key key = { a.hi, a.lo };
	struct rf_home *h = home_of(k, key);
	int banned = rf_is_banned(k, f);
	if (!h)
		return banned && rf_home_in_fleet(k, key) && rf_leaves(ctx, f) ? RF_DROP_FLEET_PORT : RF_DROP_PASS;
	rf_home_count(h, k, f, 1);
	if (h->state & RF_HOME_EXEMPT)
		return RF_DROP_PASS;
	int bot = of_bot(ctx, f);
	if (bot)
		__sync_fetch_and_add(&h->bots, 1);
	if (!banned && !bot && !(h->state & (RF_HOME_HELD | RF_HOME_SLOW)))
		return RF_DROP_PASS;
	if (!rf_leaves(ctx, f))
		return RF_DROP_PASS;
	if (banned) {
		__sync_fetch_and_add(&h->banned, 1);
		return RF_DROP_FLEET_PORT;
	}
	if (bot) {
		__sync_fetch_and_add(&h->stopped, 1);
		return RF_DROP_FLEET_BOT;
	}
	int attempt = rf_is_syn(f) || rf_is_ping(f) || f->proto == RF_PROTO_UDP;
	if (!(h->state & RF_HOME_HELD) && !rf_home_over(h, attempt, bpf_ktime_get_coarse_ns()))
		return RF_DROP_PASS;
	__sync_fetch_and_add(&h->stopped, 1);
	return RF_DROP_FLEET;
}

#endif
