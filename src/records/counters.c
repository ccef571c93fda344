/* records/counters: see counters.h.
 *
 * The list of arrays only grows: an array outlives its thread, so that a total never falls. Threads are few (workers,
 * control, writer), and a thread that attaches again after a detach gets a fresh array.
 */
#include "records/counters.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

_Thread_local struct rf_counters *rf_counters_mine;
struct rf_counters rf_counters_shared;

/* Guards additions to `arrays`; readers walk it without. */
static pthread_mutex_t arrays_lock = PTHREAD_MUTEX_INITIALIZER;
static struct rf_counters *_Atomic arrays = &rf_counters_shared;

const uint64_t rf_bucket_bounds_ns[RF_BUCKETS - 1] = {
	100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000, 25000000, 50000000, 100000000, 250000000,
	500000000, 1000000000, 5000000000, 30000000000,
};

static const struct {
	const char *name, *labels, *help;
} rows[RF_C_COUNT] = {
#define RF_COUNTER(id, name, labels, help) { name, labels, help },
#include "tbl/counters.def"
#undef RF_COUNTER
#define RF_BOUND(id, member, name, type, def, least, most, when, doc) \
	{ "ringfence_limit_hits_total", "limit=\"" name "\"", "Times that a bound was hit" },
#include "tbl/bounds.def"
#undef RF_BOUND
#define RF_REASON(id, layer, reason, words) \
	{ "ringfence_refused_total", "layer=\"" layer "\",reason=\"" reason "\"", "Connections and requests refused" },
#include "tbl/reasons.def"
#undef RF_REASON
#define RF_REASON(id, layer, reason, words) \
	{ "ringfence_would_refuse_total", "layer=\"" layer "\",reason=\"" reason "\"", \
	  "Connections and requests that report mode let pass" },
#include "tbl/reasons.def"
#undef RF_REASON
};

static const struct {
	const char *layer, *name, *words;
} reasons[RF_REASON_COUNT] = {
#define RF_REASON(id, layer, reason, words) { layer, reason, words },
#include "tbl/reasons.def"
#undef RF_REASON
};

bool rf_counters_attach(void)
{
	if (rf_counters_mine)
		return true;
	struct rf_counters *mine = aligned_alloc(64, (sizeof *mine + 63) & ~(size_t)63);
	if (!mine)
		return false;
	memset(mine, 0, sizeof *mine);
	pthread_mutex_lock(&arrays_lock);
	mine->next = atomic_load_explicit(&arrays, memory_order_relaxed);
	atomic_store_explicit(&arrays, mine, memory_order_release);
	pthread_mutex_unlock(&arrays_lock);
	rf_counters_mine = mine;
	return true;
}

void rf_counters_detach(void)
{
	rf_counters_mine = NULL;
}

static size_t bucket_of(uint64_t ns)
{
	size_t i = 0;
	while (i < RF_BUCKETS - 1 && ns > rf_bucket_bounds_ns[i])
		i++;
	return i;
}

void rf_observe(enum rf_histogram h, uint64_t ns)
{
	struct rf_counters *mine = rf_counters_mine;
	size_t i = bucket_of(ns);
	rf_count_at_(mine ? &mine->bucket[h][i] : NULL, &rf_counters_shared.bucket[h][i], 1);
	rf_count_at_(mine ? &mine->sum_ns[h] : NULL, &rf_counters_shared.sum_ns[h], ns);
}

uint64_t rf_counter_sum(enum rf_counter c)
{
	uint64_t sum = 0;
	for (struct rf_counters *a = atomic_load_explicit(&arrays, memory_order_acquire); a; a = a->next)
		sum += atomic_load_explicit(&a->counter[c], memory_order_relaxed);
	return sum;
}

void rf_histogram_sum(enum rf_histogram h, uint64_t ret_buckets[RF_BUCKETS], uint64_t *ret_count, uint64_t *ret_sum_ns)
{
	memset(ret_buckets, 0, RF_BUCKETS * sizeof *ret_buckets);
	*ret_count = *ret_sum_ns = 0;
	for (struct rf_counters *a = atomic_load_explicit(&arrays, memory_order_acquire); a; a = a->next) {
		for (size_t i = 0; i < RF_BUCKETS; i++) {
			uint64_t n = atomic_load_explicit(&a->bucket[h][i], memory_order_relaxed);
			ret_buckets[i] += n;
			*ret_count += n;
		}
		*ret_sum_ns += atomic_load_explicit(&a->sum_ns[h], memory_order_relaxed);
	}
}

const char *rf_counter_name(enum rf_counter c) { return rows[c].name; }
const char *rf_counter_labels(enum rf_counter c) { return rows[c].labels; }
const char *rf_counter_help(enum rf_counter c) { return rows[c].help; }
const char *rf_reason_layer(enum rf_reason r) { return reasons[r].layer; }
const char *rf_reason_name(enum rf_reason r) { return reasons[r].name; }
const char *rf_reason_words(enum rf_reason r) { return reasons[r].words; }
