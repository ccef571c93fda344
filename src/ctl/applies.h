/* ctl/applies: changes that hold until a moment unless they are confirmed before it.
 *
 * The way of one: rf_applies_watch in an open transaction -> its writes -> rf_applies_keep -> commit -> rf_applies_look. It is an object
 * of kind APPLY, pending; one at a time. Then it is confirmed, or taken back: by request, or by the timer at its end. What is pending
 * survives the process: a start after its end takes it back before anything is served.
 */
#pragma once
#include "ctl/control.h"
#include "records/ring.h"

enum {
	RF_APPLY_LEAST_S = 5,
	RF_APPLY_MOST_S = 24 * 3600,
	RF_APPLIES_KEPT = 100, /* that are over; the newest */
	RF_APPLY_AGAIN_S = 5,  /* after a failure to take one back */
};

struct rf_applies;

/* At a start, before the state is read: take back what has ended meanwhile. */
int rf_applies_overdue(struct rf_store *s, const struct rf_clock *clock, struct rf_err *e);
/* What happens by itself is told in `ring` (NULL: not). */
int rf_applies_start(struct rf_ctl *c, struct rf_ring *ring, struct rf_applies **ret, struct rf_err *e);
void rf_applies_stop(struct rf_applies *a); /* NULL is harmless */

/* In an open transaction, before its writes. RF_E_CONFLICT: one is pending. */
int rf_applies_watch(struct rf_applies *a, struct rf_err *e);
/* After its writes: pending from the commit on, for `seconds`. `id` gets its id. Errors as rf_store_keep. */
int rf_applies_keep(struct rf_applies *a, const char *actor, unsigned seconds, char id[RF_ID_LEN + 1], struct rf_err *e);
/* After a commit: the timer follows the state. */
void rf_applies_look(struct rf_applies *a);

/* The pending one, NULL where there is none; *ret_left_s: seconds until it is taken back, *ret_error: why that fails, "" otherwise. */
const char *rf_applies_pending(const struct rf_applies *a, int64_t *ret_left_s, const char **ret_error);
/* Confirm the pending one, or take it back. RF_E_NOT_FOUND, RF_E_CONFLICT: it is over; else as a commit, and then it is pending still. */
int rf_applies_end(struct rf_applies *a, const char *id, bool confirm, const char *actor, struct rf_err *e);
