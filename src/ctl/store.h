/* ctl/store: the state as objects in tables, behind the narrow interface that a cluster's key-value
 * store can also fill.
 *
 * An object is (kind, id, parent, name, JSON document, revision, times). The kinds, their parents
 * (deleting a parent deletes its children) and which names must be unique are rows of tbl/kinds.def. The embedded store
 * is SQLite in WAL mode with synchronous=FULL: what rf_store_commit returned RF_OK for is there after a power cut,
 * what it did not is absent. Used by the control thread only (one writer).
 *
 * Every write is audited in the same transaction: who, when, what, old and new revision.
 */
#pragma once
#include <jansson.h>
#include "base/clock.h"
#include "base/err.h"

enum rf_kind {
#define RF_KIND(id, table, parent, unique, doc) RF_KIND_##id,
#include "tbl/kinds.def"
#undef RF_KIND
	RF_KIND_COUNT
};

struct rf_object {
	char id[33];
	char parent[33];    /* "" for a root */
	char name[256];     /* unique within (kind, parent) where the table says so; "" allowed elsewhere */
	uint64_t revision;  /* grows with every write of the whole store; the ETag */
	int64_t created_s, modified_s;
	json_t *doc;        /* owned by the object; rf_object_fini */
};
void rf_object_fini(struct rf_object *o);
#define RF_OBJECT_AUTO __attribute__((cleanup(rf_object_fini))) struct rf_object

struct rf_store;
int rf_store_open(const char *path, const struct rf_clock *clock, struct rf_store **ret, struct rf_err *e);
void rf_store_close(struct rf_store *s);

/* One transaction at a time; every write must be in one. `actor` goes into the audit. */
int rf_store_begin(struct rf_store *s, const char *actor, struct rf_err *e);
int rf_store_commit(struct rf_store *s, struct rf_err *e);   /* RF_E_DISK: nothing of it happened */
void rf_store_rollback(struct rf_store *s);                   /* harmless outside a transaction */

/* Reads. RF_E_NOT_FOUND. */
int rf_store_get(struct rf_store *s, enum rf_kind k, const char *id, struct rf_object *ret, struct rf_err *e);
int rf_store_find(struct rf_store *s, enum rf_kind k, const char *parent, const char *name, struct rf_object *ret,
		  struct rf_err *e);

struct rf_store_query {
	const char *parent;   /* NULL: any */
	const char *name;     /* NULL: any */
	const char *search;   /* NULL; else a substring of the name */
	size_t offset, limit; /* limit 0: all */
	bool descending;      /* by creation; ascending by default */
};
/* Calls `each` in order of creation (then id); it may keep nothing of the object but by json_incref. Stops on != 0 and returns it.
 * *ret_total (may be NULL): how many there are without offset and limit. */
int rf_store_list(struct rf_store *s, enum rf_kind k, const struct rf_store_query *q,
		  int (*each)(const struct rf_object *o, void *arg), void *arg, size_t *ret_total, struct rf_err *e);

/* Writes, in a transaction. id "" in `put` for a new object: one is drawn and set. if_revision 0: whatever
 * is there; else RF_E_STALE unless it is the present one. RF_E_EXISTS on a name that is taken, RF_E_CONFLICT on a parent that is absent. */
int rf_store_put(struct rf_store *s, enum rf_kind k, struct rf_object *o, uint64_t if_revision, struct rf_err *e);
int rf_store_del(struct rf_store *s, enum rf_kind k, const char *id, uint64_t if_revision, struct rf_err *e);

uint64_t rf_store_revision(struct rf_store *s); /* of the last write */
