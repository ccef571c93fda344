/* ctl/store_db: what the two halves of the store share: the handle, its statements, SQLite's errors in our words. */
#pragma once
#include <sqlite3.h>
#include "ctl/store.h"

enum store_op { OP_GET, OP_FIND, OP_FIND_IN, OP_INSERT, OP_UPDATE, OP_DELETE, OP_BEFORE, OP_AFTER, OP_MOVE,
		OP_COUNT_ };

enum store_tx { TX_BEGIN, TX_REVISION, TX_TRIM, TX_COMMIT, TX_COUNT_ };

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
};

struct store_kind {
	const char *table;
	enum rf_kind parent;   /* RF_KIND_COUNT: none */
	enum { UNIQUE_ANY, UNIQUE_PARENT, UNIQUE_GLOBAL, UNIQUE_PLACED } unique;
};
extern const struct store_kind rf_store_kinds[RF_KIND_COUNT];

/* SQLite's last error as ours; `doing` is a phrase such as "read devices". */
int rf_store_failed(struct rf_store *s, int rc, const char *doing, struct rf_err *e);
/* The cached statement, reset and unbound; NULL and *e on failure. */
sqlite3_stmt *rf_store_cached(struct rf_store *s, enum rf_kind k, enum store_op op, struct rf_err *e);
