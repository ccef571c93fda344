/* base/cur: a reading cursor over bytes whose first error sticks.
 *
 * Read fields in a straight line and ask rf_cur_ok() once: after the first read past the end
 * every further read gives zero or an empty string and moves nothing.
 */
#pragma once
#include "base/str.h"

struct rf_cur {
	const uint8_t *at, *end;
	bool bad;
};

static inline struct rf_cur rf_cur_over(const void *p, size_t n)
{
	return (struct rf_cur){ p, p ? (const uint8_t *)p + n : NULL, false };
}

static inline bool rf_cur_ok(const struct rf_cur *c) { return !c->bad; }
static inline size_t rf_cur_left(const struct rf_cur *c) { return c->bad ? 0 : (size_t)(c->end - c->at); }

/* n bytes at the cursor, and move past them. */
static inline struct rf_str rf_cur_take(struct rf_cur *c, size_t n)
{
	if (c->bad || (size_t)(c->end - c->at) < n) {
		c->bad = true;
		return (struct rf_str){ NULL, 0 };
	}
	struct rf_str s = { (const char *)c->at, n };
	c->at += n;
	return s;
}

static inline uint64_t rf_cur_be(struct rf_cur *c, unsigned bytes)
{
	struct rf_str s = rf_cur_take(c, bytes);
	uint64_t v = 0;
	for (size_t i = 0; i < s.n; i++)
		v = v << 8 | (uint8_t)s.p[i];
	return v;
}

static inline uint8_t rf_cur_u8(struct rf_cur *c) { return (uint8_t)rf_cur_be(c, 1); }
static inline uint16_t rf_cur_u16(struct rf_cur *c) { return (uint16_t)rf_cur_be(c, 2); }
static inline uint32_t rf_cur_u24(struct rf_cur *c) { return (uint32_t)rf_cur_be(c, 3); }
static inline uint32_t rf_cur_u32(struct rf_cur *c) { return (uint32_t)rf_cur_be(c, 4); }

/* A cursor over the next n bytes, which this one skips: for length-prefixed vectors. */
static inline struct rf_cur rf_cur_sub(struct rf_cur *c, size_t n)
{
	struct rf_str s = rf_cur_take(c, n);
	struct rf_cur sub = rf_cur_over(s.p, s.n);
	sub.bad = c->bad;
	return sub;
}
