/* records/counters: what is counted, on the thread that counts, without a lock.
 *
 * The counters are rows of tbl/counters.def, tbl/bounds.def (limits hit) and tbl/reasons.def (refused, and would
 * have been). Each thread that counts has an array of its own (rf_counters_attach), which only it writes;
 * readers sum all arrays, those of threads that have ended included. A thread without an array counts into a shared one,
 * atomically: correct, only slower.
 */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum rf_counter {
#define RF_COUNTER(id, name, labels, help) RF_C_##id,
#include "tbl/counters.def"
#undef RF_COUNTER
#define RF_BOUND(id, member, name, type, def, least, most, when, doc) RF_C_LIMIT_##id,
#include "tbl/bounds.def"
#undef RF_BOUND
#define RF_REASON(id, layer, reason, words) RF_C_REFUSED_##id,
#include "tbl/reasons.def"
#undef RF_REASON
#define RF_REASON(id, layer, reason, words) RF_C_WOULD_REFUSE_##id,
#include "tbl/reasons.def"
#undef RF_REASON
	RF_C_COUNT
};

enum rf_reason {
#define RF_REASON(id, layer, reason, words) RF_REASON_##id,
#include "tbl/reasons.def"
#undef RF_REASON
	RF_REASON_COUNT
};

enum rf_histogram {
#define RF_HISTOGRAM(id, name, labels, help) RF_H_##id,
#include "tbl/counters.def"
#undef RF_HISTOGRAM
	RF_H_COUNT
};

enum { RF_BUCKETS = 16 }; /* the last is +Inf */

struct rf_counters {
	_Atomic uint64_t counter[RF_C_COUNT];
	_Atomic uint64_t bucket[RF_H_COUNT][RF_BUCKETS];
	_Atomic uint64_t sum_ns[RF_H_COUNT];
	struct rf_counters *next;
};

extern _Thread_local struct rf_counters *rf_counters_mine; /* NULL before rf_counters_attach */
extern struct rf_counters rf_counters_shared;

/* Give the calling thread its array. False without memory (it then counts into the shared one). Twice is harmless. */
bool rf_counters_attach(void);
/* The calling thread ends: its counts stay. */
void rf_counters_detach(void);

static inline void rf_count_at_(_Atomic uint64_t *mine, _Atomic uint64_t *shared, uint64_t n)
{
	if (mine)
		atomic_store_explicit(mine, atomic_load_explicit(mine, memory_order_relaxed) + n, memory_order_relaxed);
	else
		atomic_fetch_add_explicit(shared, n, memory_order_relaxed);
}

static inline void rf_count_n(enum rf_counter c, uint64_t n)
{
	rf_count_at_(rf_counters_mine ? &rf_counters_mine->counter[c] : (void *)0, &rf_counters_shared.counter[c], n);
}
static inline void rf_count(enum rf_counter c) { rf_count_n(c, 1); }

/* A refusal, or one that report mode only counts. */
static inline void rf_count_refused(enum rf_reason r, bool would)
{
	rf_count((enum rf_counter)((would ? (int)RF_C_WOULD_REFUSE_NO_HOST : (int)RF_C_REFUSED_NO_HOST) + (int)r));
}

/* A request answered with `status` (0: the client went away before). */
static inline void rf_count_status(unsigned status)
{
	rf_count(status >= 100 && status < 600 ? (enum rf_counter)((unsigned)RF_C_REQ_1XX + status / 100 - 1) : RF_C_REQ_NONE);
}

/* A duration into a histogram. */
void rf_observe(enum rf_histogram h, uint64_t ns);

uint64_t rf_counter_sum(enum rf_counter c);
void rf_histogram_sum(enum rf_histogram h, uint64_t ret_buckets[RF_BUCKETS], uint64_t *ret_count, uint64_t *ret_sum_ns);
extern const uint64_t rf_bucket_bounds_ns[RF_BUCKETS - 1];

const char *rf_counter_name(enum rf_counter c);   /* "ringfence_http_requests_total" */
const char *rf_counter_labels(enum rf_counter c); /* "code=\"2xx\"", "" */
const char *rf_counter_help(enum rf_counter c);

const char *rf_reason_layer(enum rf_reason r); /* "tls" */
const char *rf_reason_name(enum rf_reason r);  /* "certificate_missing" */
const char *rf_reason_words(enum rf_reason r); /* for a record and an error body */
