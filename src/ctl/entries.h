/* ctl/entries: the entries of named lists in the store, of which a list can have a million.
 *
 * One table for all, in order of list and key; a key stands for the value, so that a value is in a list once. The number of
 * entries is kept, never counted. What a transaction changes is remembered for ctl, which changes the lists of workers alike.
 *
 * A change of many entries is an operation: made (pending), its entries kept in parts, then begun (running), which is the moment from
 * which it will be done, also after a crash; then done in slices, each a transaction; then completed, or failed before it began.
 */
#pragma once
#include "base/buf.h"
#include "ctl/store.h"

enum {
	RF_ENTRY_KEY = 16,            /* bytes; in hex it is the entry's id */
	RF_ENTRY_MORE = 8192,         /* bytes of what an entry has beside its value and comment */
	RF_ENTRY_COMMENT = 2048,
	RF_OPERATIONS_KEPT = 1000,    /* the newest; older ones are forgotten */
};

struct rf_list_entry {
	uint8_t key[RF_ENTRY_KEY];
	struct rf_str value, comment;  /* the value as rf_list_item writes it */
	struct rf_str more;            /* JSON that belongs to the value; "" : nothing */
	int64_t created_s, modified_s; /* set by the store */
};
void rf_entry_key(const char *list_id, struct rf_str value, uint8_t ret[RF_ENTRY_KEY]);

/* Writes, in a transaction. Putting a value that is there changes its comment. RF_E_NOT_FOUND: no such list or entry; RF_E_TOO_LARGE
 * past RF_LIST_ITEMS. */
int rf_store_entry_put(struct rf_store *s, const char *list_id, const struct rf_list_entry *in, struct rf_err *e);
int rf_store_entry_del(struct rf_store *s, const char *list_id, const uint8_t key[RF_ENTRY_KEY], struct rf_err *e);

/* Reads. Texts are valid during the call of `each`, which stops by != 0. */
typedef int (*rf_entry_each)(const struct rf_list_entry *it, void *arg);
int rf_store_entry_get(struct rf_store *s, const char *list_id, const uint8_t key[RF_ENTRY_KEY], rf_entry_each each, void *arg,
		       struct rf_err *e);
/* In order of key, those after `after` (NULL: from the first; with `back` those before it, nearest first). limit 0: all. */
int rf_store_entries(struct rf_store *s, const char *list_id, const uint8_t *after, bool back, size_t limit, rf_entry_each each,
		     void *arg, struct rf_err *e);
int rf_store_entry_count(struct rf_store *s, const char *list_id, size_t *ret, struct rf_err *e);
/* Remove up to `limit` entries of lists that are gone; *ret_more: there may be others. In a transaction. */
int rf_store_entries_sweep(struct rf_store *s, size_t limit, bool *ret_more, struct rf_err *e);

/* What the present or last transaction did, in order; valid until the next one begins. */
struct rf_entry_edit {
	const char *list_id;
	bool in;             /* it has come; else it has gone */
	struct rf_str value;
};
size_t rf_store_edit_count(const struct rf_store *s);
struct rf_entry_edit rf_store_edit(const struct rf_store *s, size_t i);

enum rf_op_mode { RF_OP_ADD, RF_OP_REPLACE, RF_OP_REMOVE };
enum rf_op_status { RF_OP_PENDING, RF_OP_RUNNING, RF_OP_COMPLETED, RF_OP_FAILED };
const char *rf_op_status_name(enum rf_op_status st); /* "pending" */

struct rf_operation {
	int64_t seq;
	char id[33], list[33], actor[128];
	enum rf_op_mode mode;
	enum rf_op_status status;
	char error[512];       /* "" unless it failed */
	int64_t completed_s;   /* 0 until it is over */
};
/* A new one, in a transaction; seq and id are set. */
int rf_store_op_new(struct rf_store *s, struct rf_operation *op, struct rf_err *e);
int rf_store_op_set(struct rf_store *s, const struct rf_operation *op, struct rf_err *e);
int rf_store_op_get(struct rf_store *s, const char *id, struct rf_operation *ret, struct rf_err *e);
/* The oldest that is not over, with a seq above `after`; of one list unless list_id is NULL. RF_E_NOT_FOUND. */
int rf_store_op_open(struct rf_store *s, const char *list_id, int64_t after, struct rf_operation *ret, struct rf_err *e);
/* Parts of packed entries, kept until the operation is over. */
int rf_store_op_part_put(struct rf_store *s, int64_t seq, size_t part, struct rf_str data, struct rf_err *e);
/* Appends the part to *to. RF_E_NOT_FOUND past the last. */
int rf_store_op_part_get(struct rf_store *s, int64_t seq, size_t part, struct rf_buf *to, struct rf_err *e);
/* Remove up to `limit` parts of operations that are over; *ret_more: there may be others. */
int rf_store_op_parts_sweep(struct rf_store *s, size_t limit, bool *ret_more, struct rf_err *e);

/* Commits need not reach the disk before they return (they stay whole and in order): for parts and slices of operations. Outside a
 * transaction. */
int rf_store_relaxed(struct rf_store *s, bool on, struct rf_err *e);
