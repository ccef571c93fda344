/* ctl/undo: see undo.h.
 *
 *   watch: a session of SQLite notes every row of the transaction, also those that go with their parent
 *   keep:  its changes -> rows of undo_objects (by kind and id, as it was, what it became), undo_pages (of rules), undo_entries,
 *          undo_lists
 *   undo:  what was made goes, children first -> what was deleted or changed comes back, parents first -> pages of rules -> numbers of
 *          lists, entries
 *
 * Invariants: what the undo_ tables hold was committed with the changes that it takes back. An object that is not as the transaction
 * left it has been changed by somebody else: one that was made then stays, with what is below it, and of one that was changed only
 * members go back that nobody changed since.
 *
 * Not here: when it is taken back (ctl/applies.c).
 */
#define SQLITE_ENABLE_SESSION
#define SQLITE_ENABLE_PREUPDATE_HOOK
#include "ctl/undo.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "ctl/entries.h"
#include "ctl/store_db.h"

const char rf_store_undo_sql[] =
	"CREATE TABLE IF NOT EXISTS undo_objects (kind TEXT NOT NULL, id TEXT NOT NULL, was INTEGER NOT NULL, seq INTEGER, parent TEXT, "
	"name TEXT, doc TEXT, place INTEGER, created INTEGER, modified INTEGER, now_name TEXT, now_doc TEXT, now_revision INTEGER, "
	"kept INTEGER NOT NULL, PRIMARY KEY (kind, id)) STRICT, WITHOUT ROWID;\n"
	"CREATE TABLE IF NOT EXISTS undo_pages (page INTEGER PRIMARY KEY, parent TEXT NOT NULL, data BLOB) STRICT;\n"
	"CREATE TABLE IF NOT EXISTS undo_lists (number INTEGER PRIMARY KEY, list TEXT NOT NULL) STRICT;\n"
	"CREATE TABLE IF NOT EXISTS undo_entries (number INTEGER NOT NULL, key BLOB NOT NULL, value TEXT, comment TEXT, more TEXT, "
	"created INTEGER, modified INTEGER, PRIMARY KEY (number, key)) STRICT, WITHOUT ROWID;\n";

/* Columns of a kind's table, in their order there. */
enum column { SEQ, ID, PARENT, NAME, DOC, REVISION, PLACE, CREATED, MODIFIED, COLUMNS };
/* Of undo_objects, as `objects` selects them. */
enum kept { K_ID, K_SEQ, K_PARENT, K_NAME, K_DOC, K_PLACE, K_CREATED, K_MODIFIED, K_NOW_NAME, K_NOW_DOC, K_NOW_REVISION };

static sqlite3_stmt *prepare(struct rf_store *s, struct rf_err *e, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static sqlite3_stmt *prepare(struct rf_store *s, struct rf_err *e, const char *fmt, ...)
{
	char sql[640];
	va_list ap;
	sqlite3_stmt *st = NULL;
	va_start(ap, fmt);
	vsnprintf(sql, sizeof sql, fmt, ap);
	va_end(ap);
	int rc = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL);
	if (rc != SQLITE_OK)
		rf_store_failed(s, rc, "keep what a change replaces", e);
	return st;
}

static int failed(struct rf_store *s, int rc, struct rf_err *e)
{
	return rf_store_failed(s, rc, "keep or bring back what a change replaced", e);
}

/* Run a statement that gives no rows, and finish it. */
static int done(struct rf_store *s, sqlite3_stmt *st, struct rf_err *e)
{
	if (!st)
		return e->code;
	sqlite3_step(st);
	int rc = sqlite3_finalize(st);
	return rc == SQLITE_OK ? RF_OK : failed(s, rc, e);
}

static const char *text_at(sqlite3_stmt *st, int at)
{
	const char *z = (const char *)sqlite3_column_text(st, at);
	return z ? z : "";
}

/* --- watch --- */

/* Rules are in pages, and these are of the edge itself. */
static bool watched(enum rf_kind k)
{
	return k != RF_KIND_APPLY && k != RF_KIND_ATTACK && k != RF_KIND_ATTACK_EXCEPTION && !rf_store_placed(k);
}

/* What is in the world cannot be called back. */
static bool final(enum rf_kind k)
{
	return k == RF_KIND_TOKEN || k == RF_KIND_PROVISIONING_TOKEN || k == RF_KIND_CLIENT_CERT;
}

int rf_store_watch(struct rf_store *s, struct rf_err *e)
{
	sqlite3_session *x = NULL;
	int rc = sqlite3session_create(s->db, "main", &x);
	for (unsigned k = 0; k < RF_KIND_COUNT && rc == SQLITE_OK; k++)
		if (watched((enum rf_kind)k))
			rc = sqlite3session_attach(x, rf_store_kinds[k].table);
	static const char *const more[] = { "rule_pages", "list_numbers", "list_entries" };
	for (size_t i = 0; i < sizeof more / sizeof *more && rc == SQLITE_OK; i++)
		rc = sqlite3session_attach(x, more[i]);
	if (rc != SQLITE_OK) {
		sqlite3session_delete(x);
		return failed(s, rc, e);
	}
	s->watch = x;
	return RF_OK;
}

void rf_store_unwatch(struct rf_store *s)
{
	if (s->watch)
		sqlite3session_delete(s->watch);
	s->watch = NULL;
}

/* --- keep --- */

struct change {
	struct rf_store *s;
	sqlite3_changeset_iter *it;
	int op;
	struct rf_undo_count *count;
	struct rf_err *e;
};

static sqlite3_value *old_value(const struct change *c, int at)
{
	sqlite3_value *v = NULL;
	if (c->op != SQLITE_INSERT)
		sqlite3changeset_old(c->it, at, &v);
	return v;
}

static sqlite3_value *new_value(const struct change *c, int at)
{
	sqlite3_value *v = NULL;
	if (c->op != SQLITE_DELETE)
		sqlite3changeset_new(c->it, at, &v);
	return v;
}

/* The row as it is now: of an update the changes hold only what differs. */
static sqlite3_stmt *row_now(struct change *c, enum rf_kind k)
{
	sqlite3_stmt *st = prepare(c->s, c->e, "SELECT seq, id, parent, name, doc, revision, place, created, modified FROM %s WHERE seq = ?1",
				   rf_store_kinds[k].table);
	if (!st)
		return NULL;
	sqlite3_bind_value(st, 1, c->op == SQLITE_INSERT ? new_value(c, SEQ) : old_value(c, SEQ));
	sqlite3_step(st);
	return st;
}

/* A column as it was, also where it is the same now. */
static sqlite3_value *was_value(const struct change *c, sqlite3_stmt *now, enum column at)
{
	sqlite3_value *v = old_value(c, at);
	return v ? v : sqlite3_column_value(now, at);
}

/* One object by its id: as it was, where it `was`, and what it is, where it `is`. */
static int keep_row(struct change *c, enum rf_kind k, sqlite3_stmt *now, bool was, bool is)
{
	static const enum column before[] = { SEQ, PARENT, NAME, DOC, PLACE, CREATED, MODIFIED }, after[] = { NAME, DOC, REVISION };
	sqlite3_stmt *to = prepare(c->s, c->e,
		"INSERT INTO undo_objects VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, 0) ON CONFLICT (kind, id) DO UPDATE SET "
		"was = max(was, excluded.was), seq = coalesce(seq, excluded.seq), parent = coalesce(parent, excluded.parent), "
		"name = coalesce(name, excluded.name), doc = coalesce(doc, excluded.doc), place = coalesce(place, excluded.place), "
		"created = coalesce(created, excluded.created), modified = coalesce(modified, excluded.modified), "
		"now_name = coalesce(now_name, excluded.now_name), now_doc = coalesce(now_doc, excluded.now_doc), "
		"now_revision = coalesce(now_revision, excluded.now_revision)");
	if (!to)
		return c->e->code;
	sqlite3_bind_text(to, 1, rf_store_kinds[k].table, -1, SQLITE_STATIC);
	sqlite3_bind_value(to, 2, is ? sqlite3_column_value(now, ID) : was_value(c, now, ID));
	sqlite3_bind_int(to, 3, was);
	for (int i = 0; i < (int)(sizeof before / sizeof *before) && was; i++)
		sqlite3_bind_value(to, 4 + i, was_value(c, now, before[i]));
	for (int i = 0; i < (int)(sizeof after / sizeof *after) && is; i++)
		sqlite3_bind_value(to, 11 + i, sqlite3_column_value(now, after[i]));
	if (k != RF_KIND_RULESET_VERSION)
		(*(was && is ? &c->count->changed : is ? &c->count->made : &c->count->deleted))++;
	return done(c->s, to, c->e);
}

/* The place of a row that was deleted may have been given to one that was made: then a change is of both. */
static int keep_object(struct change *c, enum rf_kind k)
{
	sqlite3_stmt *now = row_now(c, k);
	if (!now)
		return c->e->code;
	bool two = c->op == SQLITE_UPDATE && old_value(c, ID);
	int rc = keep_row(c, k, now, c->op != SQLITE_INSERT, c->op != SQLITE_DELETE && !two);
	if (rc == RF_OK && two)
		rc = keep_row(c, k, now, false, true);
	sqlite3_finalize(now);
	return rc;
}

static int keep_page(struct change *c)
{
	sqlite3_stmt *to = prepare(c->s, c->e, "INSERT INTO undo_pages VALUES (?1, coalesce(?2, (SELECT parent FROM rule_pages WHERE page = ?1)), ?3)");
	if (!to)
		return c->e->code;
	bool made = c->op == SQLITE_INSERT;
	for (int i = 0; i < 3; i++) {
		sqlite3_value *v = made && i < 2 ? new_value(c, i) : old_value(c, i);
		if (v)
			sqlite3_bind_value(to, 1 + i, v);
	}
	return done(c->s, to, c->e);
}

/* The number of a list that goes; its entries wait under it. */
static int keep_number(struct change *c)
{
	sqlite3_value *list = old_value(c, 1);
	if (!list || sqlite3_value_type(list) == SQLITE_NULL)
		return RF_OK;
	sqlite3_stmt *to = prepare(c->s, c->e, "INSERT INTO undo_lists VALUES (?1, ?2)");
	if (!to)
		return c->e->code;
	sqlite3_bind_value(to, 1, old_value(c, 0));
	sqlite3_bind_value(to, 2, list);
	return done(c->s, to, c->e);
}

static int keep_entry(struct change *c)
{
	sqlite3_stmt *to = prepare(c->s, c->e, "INSERT INTO undo_entries VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
	sqlite3_stmt *now = prepare(c->s, c->e, "SELECT number, key, value, comment, more, created, modified FROM list_entries WHERE number = ?1 AND key = ?2");
	if (!to || !now) {
		sqlite3_finalize(to);
		sqlite3_finalize(now);
		return c->e->code;
	}
	for (int i = 0; i < 2; i++) {
		sqlite3_value *v = c->op == SQLITE_INSERT ? new_value(c, i) : old_value(c, i);
		sqlite3_bind_value(to, 1 + i, v);
		sqlite3_bind_value(now, 1 + i, v);
	}
	sqlite3_step(now);
	for (int i = 2; i < 7 && c->op != SQLITE_INSERT; i++) {
		sqlite3_value *v = old_value(c, i);
		sqlite3_bind_value(to, 1 + i, v ? v : sqlite3_column_value(now, i));
	}
	sqlite3_finalize(now);
	c->count->entries++;
	return done(c->s, to, c->e);
}

static int keep_change(struct change *c)
{
	const char *table;
	int columns, indirect;
	sqlite3changeset_op(c->it, &table, &columns, &c->op, &indirect);
	if (strcmp(table, "rule_pages") == 0)
		return keep_page(c);
	if (strcmp(table, "list_numbers") == 0)
		return keep_number(c);
	if (strcmp(table, "list_entries") == 0)
		return keep_entry(c);
	unsigned k = 0;
	while (k < RF_KIND_COUNT && strcmp(rf_store_kinds[k].table, table) != 0)
		k++;
	if (k < RF_KIND_COUNT && final((enum rf_kind)k))
		return rf_fail_ptr(c->e, RF_E_INVALID, "/confirm", "what is written to %s cannot be taken back, and so it cannot be a part of "
				   "changes that wait to be confirmed", table);
	if (c->count->made + c->count->changed + c->count->deleted >= RF_UNDO_OBJECTS)
		return rf_fail_ptr(c->e, RF_E_TOO_LARGE, "/confirm", "at most %d objects can change and wait to be confirmed", RF_UNDO_OBJECTS);
	return k < RF_KIND_COUNT ? keep_object(c, (enum rf_kind)k) : RF_OK;
}

static int nothing_kept(struct rf_store *s, struct rf_err *e)
{
	sqlite3_stmt *st = prepare(s, e, "SELECT 1 FROM undo_objects UNION ALL SELECT 1 FROM undo_entries LIMIT 1");
	int got = st ? sqlite3_step(st) : SQLITE_ERROR;
	sqlite3_finalize(st);
	if (got == SQLITE_ROW)
		return rf_fail(e, RF_E_CONFLICT, "other changes wait to be confirmed");
	return got == SQLITE_DONE ? RF_OK : failed(s, got, e);
}

int rf_store_keep(struct rf_store *s, struct rf_undo_count *ret, struct rf_err *e)
{
	struct rf_undo_count count = { 0 };
	struct change c = { .s = s, .count = &count, .e = e };
	void *changes = NULL;
	int n = 0, rc = nothing_kept(s, e);
	if (rc == RF_OK)
		rc = rf_store_entries_settle(s, e);
	if (rc == RF_OK)
		rc = rf_books_flush(s, e);
	if (rc != RF_OK)
		return rc;
	int sq = sqlite3session_changeset(s->watch, &n, &changes);
	rf_store_unwatch(s);
	if (sq == SQLITE_OK)
		sq = sqlite3changeset_start(&c.it, n, changes);
	while (sq == SQLITE_OK && rc == RF_OK && (sq = sqlite3changeset_next(c.it)) == SQLITE_ROW) {
		rc = keep_change(&c);
		sq = SQLITE_OK;
	}
	sqlite3changeset_finalize(c.it);
	sqlite3_free(changes);
	if (rc == RF_OK && sq != SQLITE_OK && sq != SQLITE_DONE)
		rc = failed(s, sq, e);
	if (rc == RF_OK)
		*ret = count;
	return rc;
}

/* --- undo --- */

struct undo {
	struct rf_store *s;
	rf_undo_tell tell;
	void *arg;
	struct rf_err *e;
};

static sqlite3_stmt *objects(struct undo *u, enum rf_kind k, const char *where)
{
	return prepare(u->s, u->e, "SELECT id, seq, parent, name, doc, place, created, modified, now_name, now_doc, now_revision FROM undo_objects "
		       "WHERE kind = '%s' AND %s", rf_store_kinds[k].table, where);
}

/* Each row of `st`, which is finished. */
static int each(struct undo *u, enum rf_kind k, sqlite3_stmt *st, int (*one)(struct undo *u, enum rf_kind k, sqlite3_stmt *row))
{
	int rc = st ? RF_OK : u->e->code, got = SQLITE_DONE;
	while (rc == RF_OK && (got = sqlite3_step(st)) == SQLITE_ROW)
		rc = one(u, k, st);
	if (rc == RF_OK && got != SQLITE_DONE)
		rc = failed(u->s, got, u->e);
	sqlite3_finalize(st);
	return rc;
}

/* What was made and has been changed since stays, and what is below it. */
static int mark_left(struct undo *u, enum rf_kind k)
{
	const struct store_kind *kind = &rf_store_kinds[k];
	sqlite3_stmt *st = prepare(u->s, u->e, "UPDATE undo_objects SET kept = 1 WHERE kind = '%s' AND was = 0 AND EXISTS (SELECT 1 FROM %s t WHERE "
		"t.id = undo_objects.id AND (t.revision <> now_revision OR EXISTS (SELECT 1 FROM undo_objects p WHERE p.kind = '%s' AND "
		"p.id = t.parent AND p.kept = 1)))", kind->table, kind->table, kind->parent == RF_KIND_COUNT ? "" : rf_store_kinds[kind->parent].table);
	return done(u->s, st, u->e);
}

static int tell_left(struct undo *u, enum rf_kind k, sqlite3_stmt *row)
{
	return u->tell(k, text_at(row, K_ID), "", text_at(row, K_NOW_NAME), RF_UNDONE_LEFT, u->arg);
}

static int unmake(struct undo *u, enum rf_kind k, sqlite3_stmt *row)
{
	RF_OBJECT_AUTO o = { 0 };
	const char *id = text_at(row, K_ID);
	int rc = rf_store_get(u->s, k, id, &o, u->e);
	if (rc == RF_OK)
		rc = rf_store_del(u->s, k, id, 0, u->e);
	if (rc == RF_E_NOT_FOUND)
		return RF_OK;
	return rc == RF_OK ? u->tell(k, id, o.parent, o.name, RF_UNDONE, u->arg) : rc;
}

/* Names change places without being taken twice. */
static int free_name(struct undo *u, enum rf_kind k, sqlite3_stmt *row)
{
	sqlite3_stmt *st = prepare(u->s, u->e, "UPDATE %s SET name = 'undo:' || id WHERE id = ?1 AND name = ?2", rf_store_kinds[k].table);
	if (!st)
		return u->e->code;
	sqlite3_bind_text(st, 1, text_at(row, K_ID), -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 2, text_at(row, K_NOW_NAME), -1, SQLITE_STATIC);
	return done(u->s, st, u->e);
}

static int written(struct undo *u, enum rf_kind k, const char *id, uint64_t old, struct rf_err *e)
{
	int rc = rf_store_audited(u->s, k, id, old, u->s->revision + 1, e);
	u->s->revision += rc == RF_OK;
	return rc;
}

static int bring_back(struct undo *u, enum rf_kind k, sqlite3_stmt *row)
{
	static const enum kept order[] = { K_ID, K_SEQ, K_PARENT, K_NAME, K_DOC, K_PLACE, K_CREATED, K_MODIFIED };
	const char *table = rf_store_kinds[k].table, *id = text_at(row, K_ID);
	sqlite3_stmt *st = prepare(u->s, u->e, "INSERT INTO %s (id, seq, parent, name, doc, place, created, modified, revision) VALUES (?1, "
		"CASE WHEN EXISTS (SELECT 1 FROM %s WHERE seq = ?2) THEN NULL ELSE ?2 END, ?3, ?4, ?5, ?6, ?7, ?8, ?9)", table, table);
	if (!st)
		return u->e->code;
	for (int i = 0; i < (int)(sizeof order / sizeof *order); i++)
		sqlite3_bind_value(st, 1 + i, sqlite3_column_value(row, order[i]));
	sqlite3_bind_int64(st, 9, (int64_t)u->s->revision + 1);
	sqlite3_step(st);
	int sq = sqlite3_finalize(st), why = sqlite3_extended_errcode(u->s->db);
	bool taken = sq != SQLITE_OK && (why == SQLITE_CONSTRAINT_UNIQUE || why == SQLITE_CONSTRAINT_FOREIGNKEY);
	if (sq != SQLITE_OK && !taken)
		return failed(u->s, sq, u->e);
	int rc = taken ? RF_OK : written(u, k, id, 0, u->e);
	return rc == RF_OK ? u->tell(k, id, text_at(row, K_PARENT), text_at(row, K_NAME), taken ? RF_UNDONE_LEFT : RF_UNDONE, u->arg) : rc;
}

/* Members that nobody has changed since go back. */
static json_t *merged(const json_t *was, const json_t *became, const json_t *now)
{
	json_t *out = json_deep_copy(now), *v;
	const char *name;
	json_object_foreach((json_t *)became, name, v)
		if (!json_object_get(was, name) && json_equal(v, json_object_get(now, name)))
			json_object_del(out, name);
	json_object_foreach((json_t *)was, name, v)
		if (json_object_get(became, name) ? json_equal(json_object_get(became, name), json_object_get(now, name)) :
						    !json_object_get(now, name))
			json_object_set(out, name, v);
	return out;
}

static char *merged_text(sqlite3_stmt *row, const json_t *now)
{
	json_t *was = json_loads(text_at(row, K_DOC), 0, NULL), *became = json_loads(text_at(row, K_NOW_DOC), 0, NULL);
	json_t *out = was && became ? merged(was, became, now) : NULL;
	char *text = out ? json_dumps(out, JSON_COMPACT) : NULL;
	json_decref(was);
	json_decref(became);
	json_decref(out);
	return text;
}

static int put_back(struct undo *u, enum rf_kind k, sqlite3_stmt *row, const struct rf_object *now, const char *doc, bool whole)
{
	sqlite3_stmt *st = prepare(u->s, u->e, "UPDATE %s SET parent = ?2, name = ?3, doc = ?4, place = ?5, modified = ?6, revision = ?7 WHERE id = ?1",
				   rf_store_kinds[k].table);
	bool named = strncmp(now->name, "undo:", 5) == 0 || whole;
	if (!st)
		return u->e->code;
	sqlite3_bind_text(st, 1, now->id, -1, SQLITE_STATIC);
	sqlite3_bind_value(st, 2, sqlite3_column_value(row, K_PARENT));
	sqlite3_bind_text(st, 3, named ? text_at(row, K_NAME) : now->name, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 4, doc, -1, SQLITE_STATIC);
	sqlite3_bind_value(st, 5, sqlite3_column_value(row, K_PLACE));
	sqlite3_bind_int64(st, 6, whole ? sqlite3_column_int64(row, K_MODIFIED) : now->modified_s);
	sqlite3_bind_int64(st, 7, (int64_t)u->s->revision + 1);
	int rc = done(u->s, st, u->e);
	return rc == RF_OK ? written(u, k, now->id, now->revision, u->e) : rc;
}

static int restore(struct undo *u, enum rf_kind k, sqlite3_stmt *row)
{
	RF_OBJECT_AUTO now = { 0 };
	const char *id = text_at(row, K_ID);
	bool deleted = sqlite3_column_type(row, K_NOW_DOC) == SQLITE_NULL;
	int rc = rf_store_get(u->s, k, id, &now, u->e);
	if (rc == RF_E_NOT_FOUND)
		return deleted ? bring_back(u, k, row) : u->tell(k, id, "", text_at(row, K_NOW_NAME), RF_UNDONE_LEFT, u->arg);
	if (rc != RF_OK || deleted)
		return rc;
	bool whole = now.revision == (uint64_t)sqlite3_column_int64(row, K_NOW_REVISION);
	char *doc = whole ? strdup(text_at(row, K_DOC)) : merged_text(row, now.doc);
	rc = doc ? put_back(u, k, row, &now, doc, whole) : rf_fail(u->e, RF_E_NOMEM, "memory is exhausted");
	free(doc);
	return rc == RF_OK ? u->tell(k, id, text_at(row, K_PARENT), text_at(row, K_NAME), whole ? RF_UNDONE : RF_UNDONE_PARTLY, u->arg) : rc;
}

/* --- pages of rules --- */

/* A page of a ruleset that is not there any more, or again, is nobody's. */
static int restore_page(struct undo *u, enum rf_kind k, sqlite3_stmt *row)
{
	(void)k;
	bool made = sqlite3_column_type(row, 2) == SQLITE_NULL;
	sqlite3_stmt *st = prepare(u->s, u->e, made ? "DELETE FROM rule_pages WHERE page = ?1" : "INSERT OR REPLACE INTO rule_pages (page, parent, "
				   "data) SELECT ?1, ?2, ?3 WHERE ?2 IN (SELECT id FROM rulesets)");
	if (!st)
		return u->e->code;
	for (int i = 0; i < (made ? 1 : 3); i++)
		sqlite3_bind_value(st, 1 + i, sqlite3_column_value(row, i));
	int rc = done(u->s, st, u->e);
	return rc == RF_OK ? rf_books_reread(u->s, text_at(row, 1), (uint64_t)sqlite3_column_int64(row, 0), u->e) : rc;
}

/* --- entries of lists --- */

static int restore_entry(struct undo *u, enum rf_kind k, sqlite3_stmt *row)
{
	(void)k;
	char list[33];
	struct rf_list_entry it = { .value = rf_str_z(text_at(row, 2)), .comment = rf_str_z(text_at(row, 3)), .more = rf_str_z(text_at(row, 4)) };
	snprintf(list, sizeof list, "%s", text_at(row, 7));
	if (sqlite3_column_bytes(row, 1) != RF_ENTRY_KEY)
		return rf_fail(u->e, RF_E_DISK, "an entry of a list that is to come back is damaged");
	memcpy(it.key, sqlite3_column_blob(row, 1), RF_ENTRY_KEY);
	if (sqlite3_column_type(row, 2) == SQLITE_NULL) {
		int rc = rf_store_entry_del(u->s, list, it.key, u->e);
		return rc == RF_E_NOT_FOUND ? RF_OK : rc;
	}
	int rc = rf_store_entry_put(u->s, list, &it, u->e);
	sqlite3_stmt *st = rc == RF_OK ? prepare(u->s, u->e, "UPDATE list_entries SET created = ?3, modified = ?4 WHERE number = ?1 AND key = ?2") : NULL;
	if (!st)
		return u->e->code;
	for (int i = 0; i < 2; i++) {
		sqlite3_bind_value(st, 1 + i, sqlite3_column_value(row, i));
		sqlite3_bind_value(st, 3 + i, sqlite3_column_value(row, 5 + i));
	}
	return done(u->s, st, u->e);
}

static int restore_lists(struct undo *u)
{
	int rc = done(u->s, prepare(u->s, u->e, "UPDATE OR IGNORE list_numbers SET list = (SELECT list FROM undo_lists l WHERE l.number = list_numbers.number) "
				    "WHERE list IS NULL AND number IN (SELECT number FROM undo_lists WHERE list IN (SELECT id FROM lists))"), u->e);
	rf_store_entries_forget(u->s, false);
	if (rc != RF_OK)
		return rc;
	return each(u, RF_KIND_LIST, prepare(u->s, u->e, "SELECT e.number, e.key, e.value, e.comment, e.more, e.created, e.modified, n.list FROM "
					     "undo_entries e JOIN list_numbers n ON n.number = e.number WHERE n.list IS NOT NULL"), restore_entry);
}

int rf_store_forget(struct rf_store *s, struct rf_err *e)
{
	int rc = rf_store_writable(s, e);
	static const char *const tables[] = { "undo_objects", "undo_pages", "undo_lists", "undo_entries" };
	for (size_t i = 0; i < sizeof tables / sizeof *tables && rc == RF_OK; i++)
		rc = done(s, prepare(s, e, "DELETE FROM %s", tables[i]), e);
	return rc;
}

/* Objects of each kind for which `where` holds, parents first, or children first where `back`. */
static int each_kind(struct undo *u, bool back, const char *where, int (*one)(struct undo *u, enum rf_kind k, sqlite3_stmt *row))
{
	int rc = RF_OK;
	for (unsigned i = 0; i < RF_KIND_COUNT && rc == RF_OK; i++) {
		enum rf_kind k = (enum rf_kind)(back ? RF_KIND_COUNT - 1 - i : i);
		if (watched(k))
			rc = each(u, k, objects(u, k, where), one);
	}
	return rc;
}

int rf_store_undo(struct rf_store *s, rf_undo_tell tell, void *arg, struct rf_err *e)
{
	struct undo u = { s, tell, arg, e };
	int rc = rf_store_writable(s, e);
	for (unsigned k = 0; k < RF_KIND_COUNT && rc == RF_OK; k++)
		if (watched((enum rf_kind)k))
			rc = mark_left(&u, (enum rf_kind)k);
	if (rc == RF_OK)
		rc = each_kind(&u, false, "kept = 1", tell_left);
	if (rc == RF_OK)
		rc = each_kind(&u, true, "was = 0 AND kept = 0", unmake);
	if (rc == RF_OK)
		rc = each_kind(&u, false, "was = 1 AND name <> now_name", free_name);
	if (rc == RF_OK)
		rc = each_kind(&u, false, "was = 1", restore);
	if (rc == RF_OK)
		rc = each(&u, RF_KIND_RULE, prepare(s, e, "SELECT page, parent, data FROM undo_pages"), restore_page);
	if (rc == RF_OK)
		rc = restore_lists(&u);
	return rc == RF_OK ? rf_store_forget(s, e) : rc;
}
