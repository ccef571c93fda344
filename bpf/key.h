/* bpf/key: addresses and prefixes as two words, the same for kernel and host. IPv4 stands as ::ffff:a.b.c.d, 96 bits longer. */
#pragma once
#include "filter.h"

struct rf_key { __u64 hi, lo; __u8 bits; }; /* a prefix, in host order */

/* An IPv6 address in network order. */
RF_INLINE struct rf_key rf_key6(const __u32 a[4])
{
	return (struct rf_key){ (__u64)rf_host32(a[0]) << 32 | rf_host32(a[1]), (__u64)rf_host32(a[2]) << 32 | rf_host32(a[3]), 128 };
}

RF_INLINE struct rf_key rf_key_mask(struct rf_key a, __u8 bits)
{
	a.bits = bits;
	a.hi &= bits >= 64 ? ~0ull : bits ? ~0ull << (64 - bits) : 0;
	a.lo &= bits >= 128 ? ~0ull : bits > 64 ? ~0ull << (128 - bits) : 0;
	return a;
}

/* An IPv4 prefix in host order. */
RF_INLINE struct rf_key rf_key4(__u32 ip, __u8 bits)
{
	return rf_key_mask((struct rf_key){ 0, 0xffffull << 32 | ip, 128 }, (__u8)(96 + bits));
}
