/* ctl/operations: changes of many entries of a list, as the store keeps them: see entries.h. */
#include <stdio.h>
#include "ctl/entries.h"
#include "ctl/store_db.h"

#define COLUMNS "seq, id, list, actor, mode, status, error, completed"

static const char *const sql[OPERATION_OPS] = {
	[OPERATION_INSERT] = "INSERT INTO list_operations (id, list, actor, mode, status, error, completed) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
	[OPERATION_UPDATE] = "UPDATE list_operations SET status = ?2, error = ?3, completed = ?4 WHERE seq = ?1",
	[OPERATION_TRIM] = "DELETE FROM list_operations WHERE seq <= ?1 AND completed > 0",
	[OPERATION_GET] = "SELECT " COLUMNS " FROM list_operations WHERE id = ?1",
	[OPERATION_OPEN] = "SELECT " COLUMNS " FROM list_operations WHERE completed = 0 AND seq > ?2 AND (?1 IS NULL OR list = ?1) ORDER BY seq LIMIT 1",
	[OPERATION_PART_PUT] = "INSERT INTO list_batches (operation, part, data) VALUES (?1, ?2, ?3)",
	[OPERATION_PART_GET] = "SELECT data FROM list_batches WHERE operation = ?1 AND part = ?2",
	[OPERATION_SWEEP] = ("DELETE FROM list_batches WHERE rowid IN (SELECT b.rowid FROM list_batches b LEFT JOIN list_operations o ON "
			     "o.seq = b.operation WHERE o.seq IS NULL OR o.completed > 0 LIMIT ?1)"),
};

const char *rf_op_status_name(enum rf_op_status st)
{
	static const char *const names[] = { "pending", "running", "completed", "failed" };
	return names[st];
}

static sqlite3_stmt *statement(struct rf_store *s, enum operation_op op, struct rf_err *e)
{
	sqlite3_stmt **st = &s->operation[op];
	int rc = *st ? SQLITE_OK : sqlite3_prepare_v3(s->db, sql[op], -1, SQLITE_PREPARE_PERSISTENT, st, NULL);
	if (rc != SQLITE_OK) {
		rf_store_failed(s, rc, "read an operation", e);
		return NULL;
	}
	sqlite3_reset(*st);
	sqlite3_clear_bindings(*st);
	return *st;
}

static int finish(struct rf_store *s, sqlite3_stmt *st, struct rf_err *e)
{
	sqlite3_step(st);
	int rc = sqlite3_reset(st);
	return rc == SQLITE_OK ? RF_OK : rf_store_failed(s, rc, "keep an operation", e);
}

static void bind(sqlite3_stmt *st, int at, const char *z)
{
	sqlite3_bind_text(st, at, z, -1, SQLITE_TRANSIENT);
}

int rf_store_op_new(struct rf_store *s, struct rf_operation *op, struct rf_err *e)
{
	int rc = rf_store_writable(s, e);
	if (rc == RF_OK)
		rc = rf_store_draw_id(s, op->id, e);
	sqlite3_stmt *st = rc == RF_OK ? statement(s, OPERATION_INSERT, e) : NULL;
	if (!st)
		return e->code;
	bind(st, 1, op->id);
	bind(st, 2, op->list);
	bind(st, 3, op->actor);
	sqlite3_bind_int(st, 4, (int)op->mode);
	sqlite3_bind_int(st, 5, (int)op->status);
	bind(st, 6, op->error);
	sqlite3_bind_int64(st, 7, op->completed_s);
	rc = finish(s, st, e);
	if (rc != RF_OK)
		return rc;
	op->seq = sqlite3_last_insert_rowid(s->db);
	if (op->seq % 64 || !(st = statement(s, OPERATION_TRIM, e)))
		return op->seq % 64 ? RF_OK : e->code;
	sqlite3_bind_int64(st, 1, op->seq - RF_OPERATIONS_KEPT);
	return finish(s, st, e);
}

int rf_store_op_set(struct rf_store *s, const struct rf_operation *op, struct rf_err *e)
{
	int rc = rf_store_writable(s, e);
	sqlite3_stmt *st = rc == RF_OK ? statement(s, OPERATION_UPDATE, e) : NULL;
	if (!st)
		return e->code;
	sqlite3_bind_int64(st, 1, op->seq);
	sqlite3_bind_int(st, 2, (int)op->status);
	bind(st, 3, op->error);
	sqlite3_bind_int64(st, 4, op->completed_s);
	return finish(s, st, e);
}

static void copy(char *to, size_t room, sqlite3_stmt *st, int at)
{
	const char *z = (const char *)sqlite3_column_text(st, at);
	snprintf(to, room, "%s", z ? z : "");
}

static int one(struct rf_store *s, sqlite3_stmt *st, struct rf_operation *ret, struct rf_err *e)
{
	int got = sqlite3_step(st);
	if (got == SQLITE_ROW) {
		struct rf_operation op = { .seq = sqlite3_column_int64(st, 0), .mode = (enum rf_op_mode)sqlite3_column_int(st, 4),
					   .status = (enum rf_op_status)sqlite3_column_int(st, 5),
					   .completed_s = sqlite3_column_int64(st, 7) };
		copy(op.id, sizeof op.id, st, 1);
		copy(op.list, sizeof op.list, st, 2);
		copy(op.actor, sizeof op.actor, st, 3);
		copy(op.error, sizeof op.error, st, 6);
		*ret = op;
	}
	sqlite3_reset(st);
	return got == SQLITE_ROW ? RF_OK : got == SQLITE_DONE ? rf_fail(e, RF_E_NOT_FOUND, "there is no such operation") :
	       rf_store_failed(s, got, "read an operation", e);
}

int rf_store_op_get(struct rf_store *s, const char *id, struct rf_operation *ret, struct rf_err *e)
{
	sqlite3_stmt *st = statement(s, OPERATION_GET, e);
	if (!st)
		return e->code;
	bind(st, 1, id);
	return one(s, st, ret, e);
}

int rf_store_op_open(struct rf_store *s, const char *list_id, int64_t after, struct rf_operation *ret, struct rf_err *e)
{
	sqlite3_stmt *st = statement(s, OPERATION_OPEN, e);
	if (!st)
		return e->code;
	if (list_id)
		bind(st, 1, list_id);
	sqlite3_bind_int64(st, 2, after);
	return one(s, st, ret, e);
}

int rf_store_op_part_put(struct rf_store *s, int64_t seq, size_t part, struct rf_str data, struct rf_err *e)
{
	int rc = rf_store_writable(s, e);
	sqlite3_stmt *st = rc == RF_OK ? statement(s, OPERATION_PART_PUT, e) : NULL;
	if (!st)
		return e->code;
	sqlite3_bind_int64(st, 1, seq);
	sqlite3_bind_int64(st, 2, (int64_t)part);
	sqlite3_bind_blob(st, 3, data.p, (int)data.n, SQLITE_STATIC);
	rc = finish(s, st, e);
	sqlite3_clear_bindings(st);
	return rc;
}

int rf_store_op_part_get(struct rf_store *s, int64_t seq, size_t part, struct rf_buf *to, struct rf_err *e)
{
	sqlite3_stmt *st = statement(s, OPERATION_PART_GET, e);
	if (!st)
		return e->code;
	sqlite3_bind_int64(st, 1, seq);
	sqlite3_bind_int64(st, 2, (int64_t)part);
	int got = sqlite3_step(st);
	if (got == SQLITE_ROW)
		rf_buf_add(to, (struct rf_str){ sqlite3_column_blob(st, 0), (size_t)sqlite3_column_bytes(st, 0) });
	sqlite3_reset(st);
	if (to->bad)
		return rf_fail(e, RF_E_NOMEM, "no memory for a part of an operation");
	return got == SQLITE_ROW ? RF_OK : got == SQLITE_DONE ? rf_fail(e, RF_E_NOT_FOUND, "the operation has no more parts") :
	       rf_store_failed(s, got, "read an operation", e);
}

int rf_store_op_parts_sweep(struct rf_store *s, size_t limit, bool *ret_more, struct rf_err *e)
{
	int rc = rf_store_writable(s, e);
	sqlite3_stmt *st = rc == RF_OK ? statement(s, OPERATION_SWEEP, e) : NULL;
	if (!st)
		return e->code;
	sqlite3_bind_int64(st, 1, (int64_t)limit);
	rc = finish(s, st, e);
	if (rc == RF_OK)
		*ret_more = sqlite3_changes(s->db) == (int)limit;
	return rc;
}
