#include "base/hash.h"

static uint64_t k0, k1;

static uint64_t le64(const uint8_t *p)
{
	uint64_t v;
	memcpy(&v, p, 8);
	return v;
}

void rf_hash_seed(const uint8_t key[16])
{
	k0 = le64(key);
	k1 = le64(key + 8);
}

static inline uint64_t rotl(uint64_t v, int by)
{
	return v << by | v >> (64 - by);
}

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1]; v[1] = rotl(v[1], 13); v[1] ^= v[0]; v[0] = rotl(v[0], 32);
	v[2] += v[3]; v[3] = rotl(v[3], 16); v[3] ^= v[2];
	v[0] += v[3]; v[3] = rotl(v[3], 21); v[3] ^= v[0];
	v[2] += v[1]; v[1] = rotl(v[1], 17); v[1] ^= v[2]; v[2] = rotl(v[2], 32);
}

/* All of the text taken in, before the end. */
static void absorb(struct rf_str s, uint64_t v[4])
{
	const uint8_t *p = (const uint8_t *)s.p;
	size_t left = s.n;
	for (; left >= 8; p += 8, left -= 8) {
		uint64_t m = le64(p);
		v[3] ^= m;
		sip_round(v);
		sip_round(v);
		v[0] ^= m;
	}
	uint64_t last = (uint64_t)s.n << 56;
	for (size_t i = 0; i < left; i++)
		last |= (uint64_t)p[i] << (8 * i);
	v[3] ^= last;
	sip_round(v);
	sip_round(v);
	v[0] ^= last;
}

static uint64_t squeeze(uint64_t v[4])
{
	for (int i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static uint64_t sip(uint64_t a, uint64_t b, struct rf_str s)
{
	uint64_t v[4] = { a ^ 0x736f6d6570736575u, b ^ 0x646f72616e646f6du,
			  a ^ 0x6c7967656e657261u, b ^ 0x7465646279746573u };
	absorb(s, v);
	v[2] ^= 0xff;
	return squeeze(v);
}

uint64_t rf_hash(struct rf_str s) { return sip(k0, k1, s); }
uint64_t rf_hash_keyed(const uint8_t key[16], struct rf_str s) { return sip(le64(key), le64(key + 8), s); }

void rf_hash128(struct rf_str s, uint64_t ret[2])
{
	uint64_t v[4] = { k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du ^ 0xee,
			  k0 ^ 0x6c7967656e657261u, k1 ^ 0x7465646279746573u };
	absorb(s, v);
	v[2] ^= 0xee;
	ret[0] = squeeze(v);
	v[1] ^= 0xdd;
	ret[1] = squeeze(v);
}

static inline uint64_t fold(uint64_t a, uint64_t b)
{
	__uint128_t m = (__uint128_t)a * b;
	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* The bytes of a text shorter than 8, some of them twice. */
static uint64_t few(const uint8_t *p, size_t n)
{
	uint32_t a, b;
	if (n < 4)
		return n ? p[0] | (uint64_t)p[n / 2] << 8 | (uint64_t)p[n - 1] << 16 : 0;
	memcpy(&a, p, 4);
	memcpy(&b, p + n - 4, 4);
	return a | (uint64_t)b << 32;
}

/* A text of 8 bytes or more ends with its last 8, of which some may have been taken in already. */
uint64_t rf_hash_quick(struct rf_str s)
{
	const uint8_t *p = (const uint8_t *)s.p;
	uint64_t h = k0 ^ s.n ^ 0x9e3779b97f4a7c15u, by = k1 ^ 0xd6e8feb86659fd93u;
	size_t left = s.n;
	for (; left > 16; p += 16, left -= 16)
		h = fold(h ^ le64(p), by ^ le64(p + 8));
	if (left > 8)
		return fold(fold(h ^ le64(p), by ^ le64(p + left - 8)), by ^ 0x8ebc6af09c88c6e3u);
	uint64_t last = s.n < 8 ? few(p, s.n) : le64(p + left - 8);
	return fold(fold(h ^ last, by), by ^ 0x8ebc6af09c88c6e3u);
}
