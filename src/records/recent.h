/* records/recent: the last records in memory, for the API: filters and following.
 *
 * Each record gets an id, 1 upwards, in the order in which the writer took it. The writer adds, any thread reads; one lock
 * guards the list and is held while a reader's callback runs (it must not block).
 */
#pragma once
#include "base/err.h"
#include "records/record.h"

struct rf_recent;

enum { RF_RECENT_BYTES_MAX = 256 << 20 };

/* Keeps at most `count` records and RF_RECENT_BYTES_MAX bytes; the oldest goes first. */
struct rf_recent *rf_recent_new(size_t count);
void rf_recent_free(struct rf_recent *r);
/* Its id; 0 when nothing is kept. */
uint64_t rf_recent_add(struct rf_recent *r, const struct rf_record *rec);

struct rf_recent_filter {
	uint64_t since;   /* ids after this one; 0: from the oldest */
	uint64_t before;  /* ids before this one; 0: to the newest */
	int kind;         /* enum rf_record_kind; -1: any */
	struct rf_str device, class_name, action, host, rule_id; /* "": any; device: id or name; host without case */
	size_t limit;     /* at most this many; 0: all */
	bool newest;      /* the last `limit` that match instead of the first; the order is oldest first either way */
};

/* Calls `each` for those that match, oldest first; the record is valid during the call. Returns the id to give as `since`
 * next time to go on from here (of the last looked at). */
uint64_t rf_recent_read(struct rf_recent *r, const struct rf_recent_filter *f,
			void (*each)(void *arg, uint64_t id, const struct rf_record *rec), void *arg);
