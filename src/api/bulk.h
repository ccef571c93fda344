/* api/bulk: changes of many entries of a list, beside the other work of the control thread.
 *
 * A body that is large is answered with an operation at once; its entries are read on a thread of its own, and the state
 * and the lists of workers follow in slices of RF_BULK_SLICE_NS, between which other calls are answered. Once it has begun, an
 * operation is done to its end, over restarts; before, it leaves nothing.
 */
#pragma once
#include "api/entry.h"
#include "loop/loop.h"

enum {
	RF_BULK_SLICE_NS = 3000000,
	RF_BULK_WAITING = 8,                /* operations that wait for the one that runs */
	RF_BULK_BODY_MAX = 192 << 20,       /* bytes of a body with entries */
	RF_BULK_AT_ONCE = 16 << 10,         /* a body up to this is done before it is answered, */
	RF_BULK_AT_ONCE_ENTRIES = 1000,     /* where it removes no more than this */
};

struct rf_api;
struct rf_bulk;

/* Takes up what the last process left. `loop` NULL: operations are done before their call returns. */
int rf_bulk_new(struct rf_api *a, struct rf_loop *loop, struct rf_bulk **ret, struct rf_err *e);
void rf_bulk_free(struct rf_bulk *b);

/* Start the operation *op, which is in the store as pending: to add the entries of the JSON `body` to list, to replace all, or to
 * remove those named. dry_run: only read them. RF_E_FULL: too many wait; RF_E_NOMEM. */
struct rf_bulk_start {
	struct rf_operation op;
	const char *kind;      /* of the list */
	struct rf_str body;    /* copied; "" : no entries */
	bool dry_run;
};
int rf_bulk_start(struct rf_bulk *b, const struct rf_bulk_start *in, struct rf_err *e);
/* Entries of the operation, and how many are done; false when it does not run. */
bool rf_bulk_progress(const struct rf_bulk *b, const char *id, size_t *ret_total, size_t *ret_done);
/* A list has been deleted: its entries go when there is time. */
void rf_bulk_sweep(struct rf_bulk *b);
