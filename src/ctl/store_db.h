/* ctl/store_db: what the two halves of the store share: the handle, its statements, SQLite's errors in our words. */
#pragma once
#include <sqlite3.h>
#include "base/buf.h"
#include "base/map.h"
#include "ctl/store.h"

enum store_op { OP_GET, OP_FIND, OP_FIND_IN, OP_INSERT, OP_UPDATE, OP_DELETE, OP_COUNT_ };

enum { ID_RAW = 16, ID_POOL = 1024 * ID_RAW };

enum store_tx { TX_BEGIN, TX_REVISION, TX_TRIM, TX_COMMIT, TX_COUNT_ };

enum entry_op { ENTRY_NUMBER, ENTRY_NUMBER_NEW, ENTRY_COUNT, ENTRY_GET, ENTRY_INSERT, ENTRY_UPDATE, ENTRY_DELETE, ENTRY_AFTER,
		ENTRY_BEFORE, ENTRY_ORPHAN, ENTRY_SWEEP, ENTRY_NUMBER_DEL, ENTRY_OPS };
enum operation_op { OPERATION_INSERT, OPERATION_UPDATE, OPERATION_TRIM, OPERATION_GET, OPERATION_OPEN, OPERATION_PART_PUT,
		    OPERATION_PART_GET, OPERATION_SWEEP, OPERATION_OPS };
enum page_op { PAGE_READ, PAGE_PUT, PAGE_DEL, PAGE_LAST, PAGE_PARENTS, PAGE_OPS };

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
	struct evp_cipher_ctx_st *ids; /* store_ids.c; NULL: not needed yet */
	unsigned char pool[ID_POOL]; /* random bytes for ids; `pooled` of them are left */
	size_t pooled;
	sqlite3_stmt *cached[RF_KIND_COUNT][OP_COUNT_];
	sqlite3_stmt *audit, *tx[TX_COUNT_];
	sqlite3_stmt *entry[ENTRY_OPS], *operation[OPERATION_OPS];
	struct open_list list;
	struct store_edit *edits;  /* of entries, by the present or last transaction */
	size_t edit_count, edit_cap;
	struct rf_buf edit_text;
	struct rf_map books;       /* of the placed kind, by parent (store_books.c) */
	bool books_all;            /* every parent has its book there */
	uint64_t page_next;        /* number of the next page; 0: not known yet */
	sqlite3_stmt *page[PAGE_OPS];
	struct book_edit *book_edits; /* steps of the open transaction */
	size_t book_edit_count, book_edit_cap;
	struct rf_store_log *log;  /* NULL: the writer carries it over */
	struct sqlite3_session *watch; /* of a transaction that is kept to be taken back; else NULL */
};

struct store_kind {
	const char *table;
	enum rf_kind parent;   /* RF_KIND_COUNT: none */
	enum { UNIQUE_ANY, UNIQUE_PARENT, UNIQUE_GLOBAL, UNIQUE_PLACED } unique;
};
extern const char rf_store_list_sql[], rf_store_books_sql[], rf_store_undo_sql[];
extern const struct store_kind rf_store_kinds[RF_KIND_COUNT];

/* SQLite's last error as ours; `doing` is a phrase such as "read devices". */
int rf_store_failed(struct rf_store *s, int rc, const char *doing, struct rf_err *e);
/* The cached statement, reset and unbound; NULL and *e on failure. */
sqlite3_stmt *rf_store_cached(struct rf_store *s, enum rf_kind k, enum store_op op, struct rf_err *e);
/* A line of audit about an object that was written: revision 0: it was not there, or is no more. */
int rf_store_audited(struct rf_store *s, enum rf_kind k, const char *id, uint64_t old, uint64_t new, struct rf_err *e);
/* undo.c: note no more of the transaction; harmless where nothing is noted. */
void rf_store_unwatch(struct rf_store *s);
/* RF_OK inside a transaction that can still be committed. */
int rf_store_writable(struct rf_store *s, struct rf_err *e);
/* entries.c: before a commit, write the size of the list at hand; after a rollback or before a transaction, forget it. */
int rf_store_entries_settle(struct rf_store *s, struct rf_err *e);
void rf_store_entries_forget(struct rf_store *s, bool edits);
/* entries.c: from version 1, where each entry was an object, to rows of list_entries. In a transaction. */
int rf_store_entries_migrate(struct rf_store *s, struct rf_err *e);
/* The revision of an object, 0 when it is not there. */
int rf_store_present(struct rf_store *s, enum rf_kind k, const char *id, uint64_t *ret, int64_t *ret_created, struct rf_err *e);
int rf_store_parse(struct rf_store *s, const struct rf_raw_object *raw, struct rf_object *ret, struct rf_err *e);

/* store_books.c: the store's functions for the placed kind, of which there is one. */
static inline bool rf_store_placed(enum rf_kind k) { return rf_store_kinds[k].unique == UNIQUE_PLACED; }
int rf_books_get(struct rf_store *s, const char *id, struct rf_object *ret, struct rf_err *e);
int rf_books_find(struct rf_store *s, const char *parent, const char *name, struct rf_object *ret, struct rf_err *e);
int rf_books_scan(struct rf_store *s, const struct rf_store_query *q, int (*each)(const struct rf_raw_object *o, void *arg), void *arg,
		  struct rf_err *e);
int rf_books_count(struct rf_store *s, const char *parent, size_t *ret, struct rf_err *e);
int rf_books_beside(struct rf_store *s, const char *parent, int64_t place, bool before, struct rf_placed *ret, size_t room,
		    size_t *ret_count, struct rf_err *e);
int rf_books_present(struct rf_store *s, const char *id, uint64_t *ret, int64_t *ret_created, struct rf_err *e);
int rf_books_put(struct rf_store *s, const struct rf_object *o, struct rf_str doc, struct rf_err *e);
int rf_books_del(struct rf_store *s, const char *id, struct rf_err *e);
int rf_books_move(struct rf_store *s, const char *id, int64_t place, struct rf_err *e);
/* Parents may have been deleted, and their children with them. */
int rf_books_follow(struct rf_store *s, struct rf_err *e);
/* The pages of a parent have been written otherwise, up to page `last`: its children are read again. */
int rf_books_reread(struct rf_store *s, const char *parent, uint64_t last, struct rf_err *e);
/* Before a commit: pages that changed into the file; after it: they are there; or all as before the transaction. */
int rf_books_flush(struct rf_store *s, struct rf_err *e);
void rf_books_settle(struct rf_store *s);
void rf_books_undo(struct rf_store *s);
/* Before a transaction: give up memory that rows which are gone have left behind. */
void rf_books_tidy(struct rf_store *s);
void rf_books_close(struct rf_store *s);
/* store_pages.c: from version 2, where each child was a row. In a transaction. */
int rf_store_books_migrate(struct rf_store *s, struct rf_err *e);
