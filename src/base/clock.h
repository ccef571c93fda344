/* base/clock: time as a parameter.
 *
 * Two clocks that must not be confused: `mono` for waiting and measuring, which never steps,
 * and `wall` for certificates and records, which may. Code that needs one takes a value or a
 * struct rf_clock; only the loop and main use rf_clock_system.
 */
#pragma once
#include <stdint.h>

#define RF_NS_S 1000000000ull
#define RF_NS_MS 1000000ull
#define RF_NS_US 1000ull

struct rf_clock {
	uint64_t (*mono)(void *ctx);  /* nanoseconds since some start */
	int64_t (*wall)(void *ctx);   /* nanoseconds since 1970-01-01T00:00:00Z */
	void *ctx;
};

extern const struct rf_clock rf_clock_system;

#define RF_RFC3339_SIZE 32
/* "2026-11-21T21:00:00.123456Z" [RFC 3339]; without the fraction when `micros` is 0. */
char *rf_rfc3339(int64_t wall_ns, int micros, char to[RF_RFC3339_SIZE]);
/* The reverse, seconds since 1970 in *ret; -1 unless all of `z` is a UTC RFC 3339 time. */
int rf_rfc3339_parse(const char *z, int64_t *ret_s);
