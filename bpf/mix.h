/* bpf/mix: a hash, the same for kernel and host. */
#pragma once
#include "filter.h"

RF_INLINE __u64 rf_mix(__u64 z) /* the finisher of splitmix64 */
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}
