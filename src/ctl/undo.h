/* ctl/undo: what a transaction changed, kept in the state so that it can be taken back later.
 *
 * At most one is kept at a time. What is kept is each object as it was before, by kind and id, and each entry of a list; what the
 * objects became is kept beside it, so that a change that came in between is seen.
 */
#pragma once
#include "ctl/store.h"

enum { RF_UNDO_OBJECTS = 50000 }; /* more objects than this are not kept: with what follows them they must fit one transaction */

/* Objects that a transaction made, changed and deleted, and entries of lists that it put or removed. */
struct rf_undo_count { size_t made, changed, deleted, entries; };

/* In an open transaction, before its first write: note what it changes. */
int rf_store_watch(struct rf_store *s, struct rf_err *e);
/* In the same transaction, after its last write: keep it. RF_E_INVALID: what it made cannot be taken back (tokens, certificates);
 * RF_E_TOO_LARGE; RF_E_CONFLICT: something is kept already. */
int rf_store_keep(struct rf_store *s, struct rf_undo_count *ret, struct rf_err *e);

enum rf_undone {
	RF_UNDONE,        /* as it was before */
	RF_UNDONE_PARTLY, /* members that were changed in between stay; the others are as before */
	RF_UNDONE_LEFT,   /* changed or replaced in between: left as it is */
};
/* One object of what was kept; `parent` "" where it is not known. != 0 ends the walk with it. */
typedef int (*rf_undo_tell)(enum rf_kind k, const char *id, const char *parent, const char *name, enum rf_undone how, void *arg);

/* In a transaction: bring back what was there before, with new revisions and lines in the audit, and forget it. The last write of each
 * kind is told before the next kind's. */
int rf_store_undo(struct rf_store *s, rf_undo_tell tell, void *arg, struct rf_err *e);
/* In a transaction: what was kept is there to stay. */
int rf_store_forget(struct rf_store *s, struct rf_err *e);
