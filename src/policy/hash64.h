/* policy/hash64: a quick hash for look-ups of what a request says among what rules say. Private to policy.
 *
 * It has no key: who sends requests cannot put entries into the tables, which hold what rules say, and so cannot make
 * their chains long.
 */
#pragma once
#include "base/str.h"

static inline uint64_t hash_mix(uint64_t a, uint64_t b)
{
	__uint128_t m = (__uint128_t)(a ^ 0x9e3779b97f4a7c15u) * (b ^ 0xd6e8feb86659fd93u);
	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static inline uint64_t hash_load(const char *p, size_t n)
{
	uint64_t v = 0;
	memcpy(&v, p, n);
	return v;
}

static inline uint64_t hash_bytes(uint64_t seed, struct rf_str s)
{
	uint64_t h = seed ^ s.n;
	const char *p = s.p;
	size_t n = s.n;
	for (; n > 16; p += 16, n -= 16)
		h = hash_mix(h ^ hash_load(p, 8), hash_load(p + 8, 8));
	if (n >= 8)
		return hash_mix(h ^ hash_load(p, 8), hash_load(p + n - 8, 8));
	if (n >= 4)
		return hash_mix(h ^ hash_load(p, 4), hash_load(p + n - 4, 4));
	return n ? hash_mix(h ^ (uint8_t)p[0], (uint64_t)(uint8_t)p[n / 2] << 8 | (uint8_t)p[n - 1]) : hash_mix(h, 0);
}
