/* net/rate: token buckets that answer "may this peer act now?", one or a bounded table of them.
 *
 * Credit is time: a token costs `period_ns` units and a nanosecond earns `count` units, so
 * that "7 in 3 s" is exact and no timer exists. The caller supplies `now`; nothing here reads
 * a clock. Owned by one thread.
 */
#pragma once
#include "base/ip.h"

struct rf_rate { /* count tokens a period, at most `cap` / period_ns saved up */
	uint64_t count, period_ns, cap;
};

struct rf_bucket {
	uint64_t at, credit; /* credit at that time */
};

/* RF_E_RANGE unless count, period_ns and burst are at least 1 and burst * period_ns < 2^63. */
int rf_rate_make(uint64_t count, uint64_t period_ns, uint64_t burst, struct rf_rate *ret);

void rf_bucket_fill(struct rf_bucket *b, const struct rf_rate *rate, uint64_t now);
/* Spend `tokens`: RF_OK, or RF_E_RATE with nothing spent and the nanoseconds to wait in *ret_wait
 * (UINT64_MAX for more tokens than a full bucket has). ret_wait may be NULL. */
int rf_bucket_take(struct rf_bucket *b, const struct rf_rate *rate, uint64_t now, uint64_t tokens,
		   uint64_t *ret_wait);

/* Buckets by key. When there is no free place, the fullest of those that may make room
 * goes: one that is full again carries nothing, so that nothing is lost. If none is full (counted:
 * `crowded`), the newcomer inherits the credit it finds. So a flood of keys never gets more
 * through than `capacity` buckets allow, and nobody is locked out for good. */
struct rf_rate_table {
	struct rf_rate rate;
	struct rf_rate_entry *entries;
	uint64_t mask;    /* sets - 1 */
	uint64_t refused; /* RF_E_RATE answered */
	uint64_t crowded;
};

/* capacity is rounded up to a power of two, at least 8; 40 bytes each. RF_E_NOMEM. */
int rf_rate_table_init(struct rf_rate_table *t, const struct rf_rate *rate, uint32_t capacity);
void rf_rate_table_fini(struct rf_rate_table *t);
/* As rf_bucket_take. A key of more than 23 bytes is replaced by its hash. */
int rf_rate_take(struct rf_rate_table *t, struct rf_str key, uint64_t now, uint64_t tokens, uint64_t *ret_wait);
