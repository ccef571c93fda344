/* policy/draw: random choices out of a fuzzer's bytes or a seed, for what holds compilers against evaluators. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* Bytes that choose; when they are used up, a generator goes on where there is a seed, else zeros. */
struct draw {
	const uint8_t *p;
	size_t n;
	uint64_t seed;
};

static inline unsigned draw(struct draw *d, unsigned below)
{
	if (d->n) {
		d->n--;
		return *d->p++ % below;
	}
	if (!d->seed)
		return 0;
	d->seed = d->seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(d->seed >> 33) % below;
}

#define PICK(d, array) (array)[draw(d, sizeof(array) / sizeof *(array))]
