/* ctl/store_db: what the two halves of the store share: the handle, its statements, SQLite's errors in our words. */
#pragma once
#include <sqlite3.h>
#include "base/buf.h"
#include "ctl/store.h"

enum store_op { OP_GET, OP_FIND, OP_FIND_IN, OP_INSERT, OP_UPDATE, OP_DELETE, OP_BEFORE, OP_AFTER, OP_MOVE,
		OP_COUNT_ };

enum store_tx { TX_BEGIN, TX_REVISION, TX_TRIM, TX_COMMIT, TX_COUNT_ };

enum entry_op { ENTRY_NUMBER, ENTRY_NUMBER_NEW, ENTRY_COUNT, ENTRY_GET, ENTRY_INSERT, ENTRY_UPDATE, ENTRY_DELETE, ENTRY_AFTER,
		ENTRY_BEFORE, ENTRY_ORPHAN, ENTRY_SWEEP, ENTRY_NUMBER_DEL, ENTRY_OPS };
enum operation_op { OPERATION_INSERT, OPERATION_UPDATE, OPERATION_TRIM, OPERATION_GET, OPERATION_OPEN, OPERATION_PART_PUT,
		    OPERATION_PART_GET, OPERATION_SWEEP, OPERATION_OPS };

struct store_edit {
	char list[33];
	bool in;
	size_t from, n; /* of the value, in edit_text */
};

struct open_list { /* whose entries are being read or written; id "" : none */
	char id[33];
	int64_t number;
	size_t count, kept; /* entries, and what the file says of it */
};

struct rf_store {
	sqlite3 *db;
	struct rf_clock clock;
	char *path;
	uint64_t revision;       /* of the last write, uncommitted ones included */
	uint64_t committed;      /* and of the last committed one */
	bool open_tx;
	char actor[128];
	int (*fill)(void *ctx, void *to, size_t n);
	void *fill_ctx;
	sqlite3_stmt *cached[RF_KIND_COUNT][OP_COUNT_];
	sqlite3_stmt *audit, *tx[TX_COUNT_];
	sqlite3_stmt *entry[ENTRY_OPS], *operation[OPERATION_OPS];
	struct open_list list;
	struct store_edit *edits;  /* of entries, by the present or last transaction */
	size_t edit_count, edit_cap;
	struct rf_buf edit_text;
};

struct store_kind {
	const char *table;
	enum rf_kind parent;   /* RF_KIND_COUNT: none */
	enum { UNIQUE_ANY, UNIQUE_PARENT, UNIQUE_GLOBAL, UNIQUE_PLACED } unique;
};
extern const char rf_store_list_sql[];
extern const struct store_kind rf_store_kinds[RF_KIND_COUNT];

/* SQLite's last error as ours; `doing` is a phrase such as "read devices". */
int rf_store_failed(struct rf_store *s, int rc, const char *doing, struct rf_err *e);
/* The cached statement, reset and unbound; NULL and *e on failure. */
sqlite3_stmt *rf_store_cached(struct rf_store *s, enum rf_kind k, enum store_op op, struct rf_err *e);
/* RF_OK inside a transaction that can still be committed. */
int rf_store_writable(struct rf_store *s, struct rf_err *e);
/* entries.c: before a commit, write the size of the list at hand; after a rollback or before a transaction, forget it. */
int rf_store_entries_settle(struct rf_store *s, struct rf_err *e);
void rf_store_entries_forget(struct rf_store *s, bool edits);
/* entries.c: from version 1, where each entry was an object, to rows of list_entries. In a transaction. */
int rf_store_entries_migrate(struct rf_store *s, struct rf_err *e);
