/* policy/limit: how often was this key counted in the last period? A bounded table that all threads share.
 *
 * A key stands for one rate limit and one value of its characteristics (rule_limit.c makes it). Its count is kept in
 * steps of an eighth of the period, so that what was counted stays for the period and at most an eighth longer, and
 * never more than `most` pass in any period. The caller supplies `now`; nothing here reads a clock. Exact over all
 * threads; what other nodes have counted is not known here.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rf_limits;

enum { RF_LIMIT_COUNTERS_LEAST = 1024 };

struct rf_limit_rate {
	uint64_t period_ns; /* at least 1 ms */
	uint32_t most;      /* in a period */
	uint64_t hold_ns;   /* once over it, all are refused for so long; 0: only as long as the period is full */
};

struct rf_limit_key {
	uint64_t a, b; /* keyed hashes: a peer cannot choose them */
};

struct rf_limit_state {
	bool over;
	bool evicted;     /* another key had to make room while it still counted something */
	uint64_t count;   /* in the last period */
	uint64_t wait_ns; /* where it is over: until it may pass again */
};

/* At most so many keys at once, 80 bytes each, taken as they are used. NULL without memory. */
struct rf_limits *rf_limits_new(size_t counters);
void rf_limits_free(struct rf_limits *t);

/* May one more pass? Counts `cost` where it may (0: only asks). What is over is not counted, and begins to be held. */
void rf_limit_take(struct rf_limits *t, const struct rf_limit_key *k, const struct rf_limit_rate *r, uint64_t now, uint32_t cost,
	struct rf_limit_state *ret);
/* Count what has passed already. Nothing while the key is held: after that its count begins anew. */
void rf_limit_add(struct rf_limits *t, const struct rf_limit_key *k, const struct rf_limit_rate *r, uint64_t now, uint32_t cost,
	struct rf_limit_state *ret);
/* As it stands; changes nothing. */
void rf_limit_look(struct rf_limits *t, const struct rf_limit_key *k, const struct rf_limit_rate *r, uint64_t now,
	struct rf_limit_state *ret);
