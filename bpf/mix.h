/* bpf/mix: a hash, the same for kernel and host. */
#pragma once
#include "filter.h"

RF_INLINE __u64 rf_mix(__u64 z) /* the finisher of splitmix64 */
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* The key of a source among those that are known; never 0. */
RF_INLINE __u64 rf_known_key(const __u32 src[4], __u64 secret)
{
	return rf_mix(rf_mix(((__u64)src[0] << 32 | src[1]) ^ secret) ^ ((__u64)src[2] << 32 | src[3])) | 1;
}

RF_INLINE __u32 rf_known_place(__u64 key) { return (__u32)(key >> 32) & (RF_KNOWN - 1); }
