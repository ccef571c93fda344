/* ctl/store_rw: reading and writing the objects of the store, and its audit.
 *
 * Statements on single objects are prepared once a kind and kept; those of a list depend on its query and are
 * made for it. Order of creation is the order of the row number.
 *
 * Not here: the file, versions and transactions (store.c); rules (store_books.c), to which what is of a placed kind is handed.
 */
#include <stdio.h>
#include <stdlib.h>
#include "base/buf.h"
#include "base/way.h"
#include "ctl/store_db.h"

#define COLUMNS "id, parent, name, doc, revision, created, modified, place"

void rf_object_fini(struct rf_object *o)
{
	json_decref(o->doc);
	o->doc = NULL;
}

static const char *const op_sql[OP_COUNT_] = {
	[OP_GET] = "SELECT " COLUMNS " FROM %s WHERE id = ?1",
	[OP_FIND] = "SELECT " COLUMNS " FROM %s WHERE name = ?1 ORDER BY seq LIMIT 1",
	[OP_FIND_IN] = "SELECT " COLUMNS " FROM %s WHERE name = ?1 AND parent = ?2 ORDER BY seq LIMIT 1",
	[OP_INSERT] = "INSERT INTO %s (" COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
	[OP_UPDATE] = "UPDATE %s SET parent = ?2, name = ?3, doc = ?4, revision = ?5, modified = ?7, place = ?8 WHERE id = ?1",
	[OP_DELETE] = "DELETE FROM %s WHERE id = ?1",
};

sqlite3_stmt *rf_store_cached(struct rf_store *s, enum rf_kind k, enum store_op op, struct rf_err *e)
{
	sqlite3_stmt **st = &s->cached[k][op];
	if (!*st) {
		char sql[256];
		snprintf(sql, sizeof sql, op_sql[op], rf_store_kinds[k].table);
		int rc = sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, st, NULL);
		if (rc != SQLITE_OK) {
			rf_store_failed(s, rc, "read the state", e);
			return NULL;
		}
	}
	sqlite3_reset(*st);
	sqlite3_clear_bindings(*st);
	return *st;
}

static void bind_text(sqlite3_stmt *st, int at, const char *z)
{
	sqlite3_bind_text(st, at, z, -1, SQLITE_STATIC);
}

static struct rf_raw_object raw_row(sqlite3_stmt *st)
{
	return (struct rf_raw_object){
		.id = (const char *)sqlite3_column_text(st, 0),
		.parent = (const char *)sqlite3_column_text(st, 1),
		.name = (const char *)sqlite3_column_text(st, 2),
		.doc = { (const char *)sqlite3_column_text(st, 3), (size_t)sqlite3_column_bytes(st, 3) },
		.revision = (uint64_t)sqlite3_column_int64(st, 4),
		.created_s = sqlite3_column_int64(st, 5),
		.modified_s = sqlite3_column_int64(st, 6),
		.place = sqlite3_column_int64(st, 7),
	};
}

static bool said(json_t *doc, const char *member, const char *value)
{
	return json_object_get(doc, member) || json_object_set_new(doc, member, json_string(value)) == 0;
}

bool rf_store_say(json_t *doc, const char *id, const char *name)
{
	return said(doc, "id", id) && said(doc, "ref", name);
}

int rf_store_parse(struct rf_store *s, const struct rf_raw_object *raw, struct rf_object *ret, struct rf_err *e)
{
	if (!raw->id || !raw->parent || !raw->name || !raw->doc.p)
		return rf_store_failed(s, SQLITE_NOMEM, "read an object", e);
	json_error_t why;
	json_t *doc = json_loadb(raw->doc.p, raw->doc.n, 0, &why);
	if (!doc)
		return rf_fail(e, RF_E_DISK, "the document of %s in the state file %s is damaged (%s); restore a backup",
			       raw->id, s->path, why.text);
	if (raw->note && !rf_store_say(doc, raw->id, raw->name)) {
		json_decref(doc);
		return rf_store_failed(s, SQLITE_NOMEM, "read an object", e);
	}
	*ret = (struct rf_object){ .revision = raw->revision, .created_s = raw->created_s,
				   .modified_s = raw->modified_s, .place = raw->place, .doc = doc };
	snprintf(ret->id, sizeof ret->id, "%s", raw->id);
	snprintf(ret->parent, sizeof ret->parent, "%s", raw->parent);
	snprintf(ret->name, sizeof ret->name, "%s", raw->name);
	return RF_OK;
}

static int one(struct rf_store *s, enum rf_kind k, sqlite3_stmt *st, struct rf_object *ret, struct rf_err *e)
{
	int rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		struct rf_raw_object raw = raw_row(st);
		rc = rf_store_parse(s, &raw, ret, e);
	} else if (rc == SQLITE_DONE) {
		rc = rf_fail(e, RF_E_NOT_FOUND, "there is no such object in %s", rf_store_kinds[k].table);
	} else {
		rc = rf_store_failed(s, rc, "read the state", e);
	}
	sqlite3_reset(st);
	return rc;
}

int rf_store_get(struct rf_store *s, enum rf_kind k, const char *id, struct rf_object *ret, struct rf_err *e)
{
	if (rf_store_placed(k))
		return rf_books_get(s, id, ret, e);
	sqlite3_stmt *st = rf_store_cached(s, k, OP_GET, e);
	if (!st)
		return e->code;
	bind_text(st, 1, id);
	return one(s, k, st, ret, e);
}

int rf_store_find(struct rf_store *s, enum rf_kind k, const char *parent, const char *name, struct rf_object *ret,
		  struct rf_err *e)
{
	if (rf_store_placed(k))
		return rf_books_find(s, parent, name, ret, e);
	sqlite3_stmt *st = rf_store_cached(s, k, parent ? OP_FIND_IN : OP_FIND, e);
	if (!st)
		return e->code;
	bind_text(st, 1, name);
	if (parent)
		bind_text(st, 2, parent);
	return one(s, k, st, ret, e);
}

/* "FROM table WHERE ..." of a query; parameters are numbered as bind_query binds them. */
static void query_sql(struct rf_buf *b, enum rf_kind k, const struct rf_store_query *q)
{
	rf_buf_printf(b, " FROM %s WHERE 1", rf_store_kinds[k].table);
	if (q->parent)
		rf_buf_printf(b, " AND parent = ?1");
	if (q->name)
		rf_buf_printf(b, " AND name = ?2");
	if (q->search)
		rf_buf_printf(b, " AND instr(lower(name), lower(?3)) > 0");
	for (int i = 0; i < RF_STORE_MATCH_MAX && q->match[i].field; i++)
		rf_buf_printf(b, " AND json_extract(doc, ?%d) = ?%d", 4 + 2 * i, 5 + 2 * i);
}

static void bind_query(sqlite3_stmt *st, const struct rf_store_query *q)
{
	if (q->parent)
		bind_text(st, 1, q->parent);
	if (q->name)
		bind_text(st, 2, q->name);
	if (q->search)
		bind_text(st, 3, q->search);
	for (int i = 0; i < RF_STORE_MATCH_MAX && q->match[i].field; i++) {
		char path[80];
		snprintf(path, sizeof path, "$.\"%.64s\"", q->match[i].field);
		sqlite3_bind_text(st, 4 + 2 * i, path, -1, SQLITE_TRANSIENT);
		bind_text(st, 5 + 2 * i, q->match[i].value);
	}
}

static sqlite3_stmt *prepare_query(struct rf_store *s, enum rf_kind k, const struct rf_store_query *q, const char *what,
				   const char *tail, struct rf_err *e)
{
	RF_BUF_AUTO sql = { 0 };
	sqlite3_stmt *st = NULL;
	rf_buf_printf(&sql, "SELECT %s", what);
	query_sql(&sql, k, q);
	rf_buf_printf(&sql, "%s", tail);
	int rc = sql.bad ? SQLITE_NOMEM : sqlite3_prepare_v2(s->db, rf_buf_z(&sql), -1, &st, NULL);
	if (rc != SQLITE_OK) {
		rf_store_failed(s, rc, "read the state", e);
		return NULL;
	}
	bind_query(st, q);
	return st;
}

int rf_store_count(struct rf_store *s, enum rf_kind k, const struct rf_store_query *q, size_t *ret, struct rf_err *e)
{
	if (rf_store_placed(k))
		return rf_books_count(s, q->parent, ret, e);
	sqlite3_stmt *st = prepare_query(s, k, q, "count(*)", "", e);
	if (!st)
		return e->code;
	int rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*ret = (size_t)sqlite3_column_int64(st, 0);
	rc = rc == SQLITE_ROW ? RF_OK : rf_store_failed(s, rc, "count objects", e);
	sqlite3_finalize(st);
	return rc;
}

int rf_store_scan(struct rf_store *s, enum rf_kind k, const struct rf_store_query *q,
		  int (*each)(const struct rf_raw_object *o, void *arg), void *arg, struct rf_err *e)
{
	if (rf_store_placed(k))
		return rf_books_scan(s, q, each, arg, e);
	char tail[96];
	snprintf(tail, sizeof tail, " ORDER BY %s%s LIMIT %lld OFFSET %zu", q->by_place ? "place" : "seq",
		 q->descending ? " DESC" : "", q->limit ? (long long)q->limit : -1ll, q->offset);
	sqlite3_stmt *st = prepare_query(s, k, q, COLUMNS, tail, e);
	if (!st)
		return e->code;
	int rc, stop = 0;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW && !stop) {
		struct rf_raw_object raw = raw_row(st);
		if (!raw.id || !raw.parent || !raw.name || !raw.doc.p) {
			rc = SQLITE_NOMEM;
			break;
		}
		stop = each(&raw, arg);
	}
	if (!stop && rc != SQLITE_DONE)
		stop = rf_store_failed(s, rc, "read the state", e);
	sqlite3_finalize(st);
	return stop;
}

struct listing {
	struct rf_store *s;
	int (*each)(const struct rf_object *o, void *arg);
	void *arg;
	struct rf_err *e;
};

static int list_one(const struct rf_raw_object *raw, void *arg)
{
	struct listing *l = arg;
	RF_OBJECT_AUTO o = { 0 };
	int rc = rf_store_parse(l->s, raw, &o, l->e);
	return rc == RF_OK ? l->each(&o, l->arg) : rc;
}

int rf_store_list(struct rf_store *s, enum rf_kind k, const struct rf_store_query *q,
		  int (*each)(const struct rf_object *o, void *arg), void *arg, size_t *ret_total, struct rf_err *e)
{
	size_t total = 0;
	if (ret_total) {
		int rc = rf_store_count(s, k, q, &total, e);
		if (rc != RF_OK)
			return rc;
	}
	struct listing l = { s, each, arg, e };
	int rc = rf_store_scan(s, k, q, list_one, &l, e);
	if (rc == RF_OK && ret_total)
		*ret_total = total;
	return rc;
}

int rf_store_writable(struct rf_store *s, struct rf_err *e)
{
	if (!s->open_tx)
		return rf_fail(e, RF_E_INTERNAL, "no transaction is open");
	if (sqlite3_get_autocommit(s->db))
		return rf_fail(e, RF_E_DISK, "the change was undone because %s could not be written", s->path);
	return RF_OK;
}

int rf_store_audited(struct rf_store *s, enum rf_kind k, const char *id, uint64_t old, uint64_t new, struct rf_err *e)
{
	if (k == RF_KIND_RULE)
		return RF_OK;
	if (!s->audit) {
		int rc = sqlite3_prepare_v3(s->db, "INSERT INTO audit (at, actor, kind, id, action, old, new) "
					    "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)", -1, SQLITE_PREPARE_PERSISTENT, &s->audit,
					    NULL);
		if (rc != SQLITE_OK)
			return rf_store_failed(s, rc, "audit a change", e);
	}
	sqlite3_reset(s->audit);
	sqlite3_bind_int64(s->audit, 1, s->clock.wall(s->clock.ctx) / (int64_t)RF_NS_S);
	bind_text(s->audit, 2, s->actor);
	bind_text(s->audit, 3, rf_store_kinds[k].table);
	bind_text(s->audit, 4, id);
	bind_text(s->audit, 5, !new ? "delete" : old ? "update" : "create");
	sqlite3_bind_int64(s->audit, 6, (int64_t)old);
	sqlite3_bind_int64(s->audit, 7, (int64_t)new);
	int rc = sqlite3_step(s->audit);
	sqlite3_reset(s->audit);
	sqlite3_clear_bindings(s->audit);
	return rc == SQLITE_DONE ? RF_OK : rf_store_failed(s, rc, "audit a change", e);
}

int rf_store_present(struct rf_store *s, enum rf_kind k, const char *id, uint64_t *ret, int64_t *ret_created, struct rf_err *e)
{
	if (rf_store_placed(k))
		return rf_books_present(s, id, ret, ret_created, e);
	sqlite3_stmt *st = rf_store_cached(s, k, OP_GET, e);
	if (!st)
		return e->code;
	bind_text(st, 1, id);
	int rc = sqlite3_step(st);
	*ret = rc == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(st, 4) : 0;
	*ret_created = rc == SQLITE_ROW ? sqlite3_column_int64(st, 5) : 0;
	sqlite3_reset(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? RF_OK : rf_store_failed(s, rc, "read the state", e);
}

static int as_expected(enum rf_kind k, const char *id, uint64_t old, uint64_t if_revision, struct rf_err *e)
{
	if (if_revision && !old)
		return rf_fail(e, RF_E_NOT_FOUND, "there is no %s in %s", id, rf_store_kinds[k].table);
	if (if_revision && old != if_revision)
		return rf_fail(e, RF_E_STALE, "%s was changed in between: revision %llu was expected and %llu is there; "
			       "read it again", id, (unsigned long long)if_revision, (unsigned long long)old);
	return RF_OK;
}

static int write_failed(struct rf_store *s, int rc, enum rf_kind k, const struct rf_object *o, struct rf_err *e)
{
	if (rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY)
		return rf_fail_ptr(e, RF_E_EXISTS, "/name", "\"%.200s\" is in %s already; choose another name", o->name,
				   rf_store_kinds[k].table);
	if (rc == SQLITE_CONSTRAINT_FOREIGNKEY || rc == SQLITE_CONSTRAINT_CHECK)
		return rf_fail(e, RF_E_CONFLICT, "the parent \"%s\" is not there", o->parent);
	return rf_store_failed(s, rc, "write an object", e);
}

static int write_row(struct rf_store *s, enum rf_kind k, enum store_op op, const struct rf_object *o, struct rf_str doc,
		     struct rf_err *e)
{
	if (rf_store_placed(k))
		return rf_books_put(s, o, doc, e);
	sqlite3_stmt *st = rf_store_cached(s, k, op, e);
	if (!st)
		return e->code;
	bind_text(st, 1, o->id);
	bind_text(st, 2, o->parent);
	bind_text(st, 3, o->name);
	sqlite3_bind_text64(st, 4, doc.p, doc.n, SQLITE_STATIC, SQLITE_UTF8);
	sqlite3_bind_int64(st, 5, (int64_t)o->revision);
	if (op == OP_INSERT)
		sqlite3_bind_int64(st, 6, o->created_s);
	sqlite3_bind_int64(st, 7, o->modified_s);
	sqlite3_bind_int64(st, 8, o->place);
	sqlite3_step(st);
	int rc = sqlite3_reset(st);
	if (rc != SQLITE_OK)
		rc = write_failed(s, sqlite3_extended_errcode(s->db), k, o, e);
	sqlite3_clear_bindings(st);
	return rc;
}

static int piece(const char *text, size_t n, void *to)
{
	rf_way_give();
	rf_buf_add(to, (struct rf_str){ text, n });
	return 0;
}

bool rf_doc_write(struct rf_buf *to, const json_t *doc)
{
	return json_dump_callback(doc, piece, to, JSON_COMPACT) == 0 && !to->bad;
}

int rf_store_put_text(struct rf_store *s, enum rf_kind k, struct rf_object *o, struct rf_str doc, uint64_t if_revision, struct rf_err *e)
{
	uint64_t old = 0;
	int64_t created = 0;
	struct rf_object next = *o; /* borrows the document */
	int rc = rf_store_writable(s, e);
	if (rc == RF_OK && !o->id[0])
		rc = rf_store_draw_id(s, next.id, e);
	else if (rc == RF_OK)
		rc = rf_store_present(s, k, o->id, &old, &created, e);
	if (rc == RF_OK)
		rc = as_expected(k, next.id, old, if_revision, e);
	next.revision = s->revision + 1;
	next.modified_s = s->clock.wall(s->clock.ctx) / (int64_t)RF_NS_S;
	next.created_s = old ? created : next.modified_s;
	if (rc == RF_OK)
		rc = write_row(s, k, old ? OP_UPDATE : OP_INSERT, &next, doc, e);
	if (rc == RF_OK)
		rc = rf_store_audited(s, k, next.id, old, next.revision, e);
	if (rc != RF_OK)
		return rc;
	s->revision++;
	*o = next;
	return RF_OK;
}

int rf_store_put(struct rf_store *s, enum rf_kind k, struct rf_object *o, uint64_t if_revision, struct rf_err *e)
{
	RF_BUF_AUTO doc = { 0 };
	if (!rf_doc_write(&doc, o->doc))
		return rf_fail(e, RF_E_NOMEM, "could not write an object: memory is exhausted");
	return rf_store_put_text(s, k, o, rf_buf_str(&doc), if_revision, e);
}

static int delete_row(struct rf_store *s, enum rf_kind k, const char *id, struct rf_err *e)
{
	sqlite3_stmt *st = rf_store_cached(s, k, OP_DELETE, e);
	if (!st)
		return e->code;
	bind_text(st, 1, id);
	sqlite3_step(st);
	int rc = sqlite3_reset(st);
	return rc == SQLITE_OK ? RF_OK : rf_store_failed(s, rc, "delete an object", e);
}

int rf_store_del(struct rf_store *s, enum rf_kind k, const char *id, uint64_t if_revision, struct rf_err *e)
{
	uint64_t old;
	int64_t created;
	int rc = rf_store_writable(s, e);
	if (rc == RF_OK)
		rc = rf_store_present(s, k, id, &old, &created, e);
	if (rc == RF_OK)
		rc = as_expected(k, id, old, if_revision, e);
	if (rc == RF_OK && k == RF_KIND_LIST) {
		rc = rf_store_entries_settle(s, e);
		rf_store_entries_forget(s, false); /* its number is nobody's from now on */
	}
	if (rc != RF_OK)
		return rc;
	if (!old)
		return rf_fail(e, RF_E_NOT_FOUND, "there is no %s in %s", id, rf_store_kinds[k].table);
	rc = rf_store_placed(k) ? rf_books_del(s, id, e) : delete_row(s, k, id, e);
	if (rc == RF_OK && (k == RF_KIND_RULESET || k == RF_KIND_ACCOUNT))
		rc = rf_books_follow(s, e);
	if (rc == RF_OK)
		rc = rf_store_audited(s, k, id, old, 0, e);
	if (rc == RF_OK)
		s->revision++;
	return rc;
}

int rf_store_beside(struct rf_store *s, enum rf_kind k, const char *parent, int64_t place, bool before, struct rf_placed *ret,
		    size_t room, size_t *ret_count, struct rf_err *e)
{
	if (!rf_store_placed(k))
		return rf_fail(e, RF_E_INTERNAL, "%s have no places", rf_store_kinds[k].table);
	return rf_books_beside(s, parent, place, before, ret, room, ret_count, e);
}

int rf_store_move(struct rf_store *s, enum rf_kind k, const char *id, int64_t place, struct rf_err *e)
{
	int rc = rf_store_placed(k) ? rf_store_writable(s, e) : rf_fail(e, RF_E_INTERNAL, "%s have no places", rf_store_kinds[k].table);
	if (rc == RF_OK)
		rc = rf_books_move(s, id, place, e);
	s->revision += rc == RF_OK;
	return rc;
}

static int audit_total(struct rf_store *s, size_t *ret, struct rf_err *e)
{
	sqlite3_stmt *st;
	int rc = sqlite3_prepare_v2(s->db, "SELECT count(*) FROM audit", -1, &st, NULL);
	if (rc != SQLITE_OK)
		return rf_store_failed(s, rc, "read the audit", e);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*ret = (size_t)sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return rc == SQLITE_ROW ? RF_OK : rf_store_failed(s, rc, "read the audit", e);
}

int rf_store_audit(struct rf_store *s, size_t offset, size_t limit, int (*each)(const struct rf_audit *a, void *arg),
		   void *arg, size_t *ret_total, struct rf_err *e)
{
	if (ret_total) {
		int rc = audit_total(s, ret_total, e);
		if (rc != RF_OK)
			return rc;
	}
	sqlite3_stmt *st;
	int rc = sqlite3_prepare_v2(s->db, "SELECT seq, at, actor, kind, id, action, old, new FROM audit ORDER BY seq DESC "
				    "LIMIT ?1 OFFSET ?2", -1, &st, NULL);
	if (rc != SQLITE_OK)
		return rf_store_failed(s, rc, "read the audit", e);
	sqlite3_bind_int64(st, 1, limit ? (int64_t)limit : -1);
	sqlite3_bind_int64(st, 2, (int64_t)offset);
	int stop = 0;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW && !stop) {
		struct rf_audit a = { (uint64_t)sqlite3_column_int64(st, 0), sqlite3_column_int64(st, 1),
				      (const char *)sqlite3_column_text(st, 2), (const char *)sqlite3_column_text(st, 3),
				      (const char *)sqlite3_column_text(st, 4), (const char *)sqlite3_column_text(st, 5),
				      (uint64_t)sqlite3_column_int64(st, 6), (uint64_t)sqlite3_column_int64(st, 7) };
		stop = each(&a, arg);
	}
	if (!stop && rc != SQLITE_DONE)
		stop = rf_store_failed(s, rc, "read the audit", e);
	sqlite3_finalize(st);
	return stop;
}
