/* bpf/look: the look-up of an address, the same for the kernel filter and its user side.
 *
 * Who includes this says before where the tables are: RF_OF, the first parameter of every function with its comma (empty in the
 * kernel, where maps are global); RF_IN, the same as an argument; and rf_at_first, rf_at_bucket and rf_at_root, which give an
 * element or NULL.
 */
#pragma once
#include "key.h"
#include "mix.h"

/* One of the two buckets in which a prefix may stand. */
RF_INLINE __u32 rf_bucket_of(struct rf_key k, __u64 secret, int second)
{
	__u64 h = rf_mix(rf_mix(k.hi ^ secret) ^ rf_mix(k.lo + k.bits));
	return (__u32)(second ? h >> 32 : h) & (RF_EXACT_BUCKETS - 1);
}

/* The tag of exactly this prefix; 0: it is not there. */
RF_FAR __u16 rf_exact_find(RF_OF __u64 secret, __u64 hi, __u64 lo, __u8 bits)
{
	struct rf_key k = { hi, lo, bits };
	for (int second = 0; second < 2; second++) {
		const struct rf_exact_bucket *b = rf_at_bucket(RF_IN rf_bucket_of(k, secret, second));
		for (int i = 0; b && i < RF_EXACT_WAYS; i++)
			if (b->e[i].tag && b->e[i].hi == hi && b->e[i].lo == lo && b->e[i].bits == bits)
				return b->e[i].tag;
	}
	return 0;
}

/* The number of the lowest bit that is set. clang 14 has no instruction for it on this target; without branches, because
 * the verifier follows each. */
RF_INLINE __u8 rf_low_bit(__u64 v)
{
	v = (v & -v) - 1; /* as many ones as there were zeros below it: count them */
	v -= v >> 1 & 0x5555555555555555ull;
	v = (v & 0x3333333333333333ull) + (v >> 2 & 0x3333333333333333ull);
	v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0full;
	return (__u8)(v * 0x0101010101010101ull >> 56);
}

/* The tag of the longest prefix that holds an IPv4 address in host order; 0: none. */
RF_INLINE __u16 rf_tag4(RF_OF const struct rf_filter_conf *k, __u32 ip)
{
	const struct rf_dir_chunk *c = rf_at_first(RF_IN ip >> 24);
	__u16 e = c ? c->v[ip >> 8 & 0xffff] : 0;
	if (!(e & RF_DIR_LONGER))
		return e;
	__u8 lengths = (__u8)k->four_longer;
	for (int i = 0; i < 8 && lengths; i++, lengths &= lengths - 1) {
		struct rf_key m = rf_key4(ip, (__u8)(32 - rf_low_bit(lengths)));
		__u16 tag = rf_exact_find(RF_IN k->secret, m.hi, m.lo, m.bits);
		if (tag)
			return tag;
	}
	return e & ~RF_DIR_LONGER;
}

/* The same for an IPv6 address in network order: the lengths in use around its /16, the longest first. */
RF_INLINE __u16 rf_tag6(RF_OF const struct rf_filter_conf *k, const __u32 ip[4])
{
	struct rf_key a = rf_key6(ip);
	const struct rf_six_root *root = rf_at_root(RF_IN 0);
	if (!root)
		return 0;
	__u64 longer = root->lengths[a.hi >> 48 & 0xffff][0], shorter = root->lengths[a.hi >> 48 & 0xffff][1];
	for (int i = 0; i < RF_SIX_LENGTHS && (longer | shorter); i++) {
		__u8 bits = (__u8)(longer ? 128 - rf_low_bit(longer) : 64 - rf_low_bit(shorter));
		if (longer)
			longer &= longer - 1;
		else
			shorter &= shorter - 1;
		struct rf_key m = rf_key_mask(a, bits);
		__u16 tag = rf_exact_find(RF_IN k->secret, m.hi, m.lo, bits);
		if (tag)
			return tag;
	}
	return (__u16)k->six_all;
}
