/* ctl/entries: see entries.h. A list has a number, which is never used again; its entries are rows (number, key).
 *
 * The way of an edit: the list's number and count, kept at hand while edits are of the same list -> the row is compared and
 * written -> a line of what changed -> at the commit the count.
 *
 * Invariants: `count` of a list is the number of its rows after every commit; a list that is deleted leaves its number without a
 * list, and the sweep takes rows of such numbers.
 */
#include "ctl/entries.h"
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/room.h"
#include "ctl/store_db.h"
#include "policy/lists.h"

static const char *const sql[ENTRY_OPS] = {
	[ENTRY_NUMBER] = "SELECT number, count FROM list_numbers WHERE list = ?1",
	[ENTRY_NUMBER_NEW] = "INSERT INTO list_numbers (list, count) VALUES (?1, 0)",
	[ENTRY_COUNT] = "UPDATE list_numbers SET count = ?2 WHERE number = ?1",
	[ENTRY_GET] = "SELECT key, value, comment, more, created, modified FROM list_entries WHERE number = ?1 AND key = ?2",
	[ENTRY_INSERT] = "INSERT INTO list_entries (number, key, value, comment, more, created, modified) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)",
	[ENTRY_UPDATE] = "UPDATE list_entries SET comment = ?3, more = ?4, modified = ?5 WHERE number = ?1 AND key = ?2",
	[ENTRY_DELETE] = "DELETE FROM list_entries WHERE number = ?1 AND key = ?2 RETURNING value",
	[ENTRY_AFTER] = "SELECT key, value, comment, more, created, modified FROM list_entries WHERE number = ?1 AND key > ?2 ORDER BY key LIMIT ?3",
	[ENTRY_BEFORE] = "SELECT key, value, comment, more, created, modified FROM list_entries WHERE number = ?1 AND key < ?2 ORDER BY key DESC LIMIT ?3",
	[ENTRY_ORPHAN] = "SELECT number FROM list_numbers WHERE list IS NULL AND number NOT IN (SELECT number FROM undo_lists) LIMIT 1",
	[ENTRY_SWEEP] = "DELETE FROM list_entries WHERE number = ?1 AND key IN (SELECT key FROM list_entries WHERE number = ?1 ORDER BY key LIMIT ?2)",
	[ENTRY_NUMBER_DEL] = "DELETE FROM list_numbers WHERE number = ?1",
};

static sqlite3_stmt *statement(struct rf_store *s, enum entry_op op, struct rf_err *e)
{
	sqlite3_stmt **st = &s->entry[op];
	int rc = *st ? SQLITE_OK : sqlite3_prepare_v3(s->db, sql[op], -1, SQLITE_PREPARE_PERSISTENT, st, NULL);
	if (rc != SQLITE_OK) {
		rf_store_failed(s, rc, "read a list", e);
		return NULL;
	}
	sqlite3_reset(*st);
	return *st;
}

void rf_entry_key(const char *list_id, struct rf_str value, uint8_t ret[RF_ENTRY_KEY])
{
	uint8_t text[32 + RF_LIST_ITEM_SIZE * 3], digest[SHA256_DIGEST_LENGTH];
	size_t n = value.n < sizeof text - 32 ? value.n : sizeof text - 32;
	memset(text, 0, 32);
	memcpy(text, list_id, strnlen(list_id, 32));
	memcpy(text + 32, value.p, n);
	SHA256(text, 32 + n, digest);
	memcpy(ret, digest, RF_ENTRY_KEY);
}

/* --- the list at hand --- */

int rf_store_entries_settle(struct rf_store *s, struct rf_err *e)
{
	struct open_list *l = &s->list;
	if (!l->id[0] || l->count == l->kept)
		return RF_OK;
	sqlite3_stmt *st = statement(s, ENTRY_COUNT, e);
	if (!st)
		return e->code;
	sqlite3_bind_int64(st, 1, l->number);
	sqlite3_bind_int64(st, 2, (int64_t)l->count);
	sqlite3_step(st);
	int rc = sqlite3_reset(st);
	if (rc != SQLITE_OK)
		return rf_store_failed(s, rc, "write the size of a list", e);
	l->kept = l->count;
	return RF_OK;
}

void rf_store_entries_forget(struct rf_store *s, bool edits)
{
	s->list.id[0] = '\0';
	if (!edits)
		return;
	s->edit_count = 0;
	rf_buf_clear(&s->edit_text);
}

/* RF_E_NOT_FOUND where the list never had an entry; `make` then gives it a number, which needs a transaction. */
static int take_list(struct rf_store *s, const char *id, bool make, struct rf_err *e)
{
	struct open_list *l = &s->list;
	if (strcmp(l->id, id) == 0)
		return RF_OK;
	int rc = rf_store_entries_settle(s, e);
	l->id[0] = '\0';
	sqlite3_stmt *st = rc == RF_OK ? statement(s, ENTRY_NUMBER, e) : NULL;
	if (!st)
		return e->code;
	sqlite3_bind_text(st, 1, id, -1, SQLITE_STATIC);
	int got = sqlite3_step(st);
	struct open_list found = { .number = sqlite3_column_int64(st, 0), .count = (size_t)sqlite3_column_int64(st, 1) };
	sqlite3_reset(st);
	if (got == SQLITE_DONE && make) {
		if (!(st = statement(s, ENTRY_NUMBER_NEW, e)))
			return e->code;
		sqlite3_bind_text(st, 1, id, -1, SQLITE_STATIC);
		sqlite3_step(st);
		got = sqlite3_reset(st);
		if (got == SQLITE_CONSTRAINT)
			return rf_fail(e, RF_E_NOT_FOUND, "there is no list %s", id);
		found = (struct open_list){ .number = sqlite3_last_insert_rowid(s->db) };
		got = got == SQLITE_OK ? SQLITE_ROW : got;
	}
	if (got != SQLITE_ROW)
		return got == SQLITE_DONE ? rf_fail(e, RF_E_NOT_FOUND, "list %s has no entries", id) :
		       rf_store_failed(s, got, "read a list", e);
	found.kept = found.count;
	*l = found;
	snprintf(l->id, sizeof l->id, "%s", id);
	return RF_OK;
}

/* --- what changed --- */

static int note(struct rf_store *s, bool in, struct rf_str value, struct rf_err *e)
{
	if (!RF_ROOM(s->edits, s->edit_cap, s->edit_count))
		return rf_fail(e, RF_E_NOMEM, "no memory for the changes of a list");
	struct store_edit *d = &s->edits[s->edit_count];
	*d = (struct store_edit){ .in = in, .from = s->edit_text.n, .n = value.n };
	memcpy(d->list, s->list.id, sizeof d->list);
	rf_buf_add(&s->edit_text, value);
	if (s->edit_text.bad)
		return rf_fail(e, RF_E_NOMEM, "no memory for the changes of a list");
	s->edit_count++;
	return RF_OK;
}

size_t rf_store_edit_count(const struct rf_store *s) { return s->edit_count; }

struct rf_entry_edit rf_store_edit(const struct rf_store *s, size_t i)
{
	const struct store_edit *d = &s->edits[i];
	return (struct rf_entry_edit){ d->list, d->in, { s->edit_text.p + d->from, d->n } };
}

/* --- entries --- */

static void bind_str(sqlite3_stmt *st, int at, struct rf_str v)
{
	sqlite3_bind_text(st, at, v.n ? v.p : "", (int)v.n, SQLITE_STATIC);
}

static struct rf_str column(sqlite3_stmt *st, int at)
{
	const char *p = (const char *)sqlite3_column_text(st, at);
	return (struct rf_str){ p, (size_t)sqlite3_column_bytes(st, at) };
}

static struct rf_list_entry row(sqlite3_stmt *st)
{
	struct rf_list_entry it = { .value = column(st, 1), .comment = column(st, 2), .more = column(st, 3),
			       .created_s = sqlite3_column_int64(st, 4), .modified_s = sqlite3_column_int64(st, 5) };
	const void *key = sqlite3_column_blob(st, 0);
	if (key && sqlite3_column_bytes(st, 0) == RF_ENTRY_KEY)
		memcpy(it.key, key, RF_ENTRY_KEY);
	return it;
}

static sqlite3_stmt *at_key(struct rf_store *s, enum entry_op op, const uint8_t key[RF_ENTRY_KEY], struct rf_err *e)
{
	sqlite3_stmt *st = statement(s, op, e);
	if (!st)
		return NULL;
	sqlite3_bind_int64(st, 1, s->list.number);
	sqlite3_bind_blob(st, 2, key, RF_ENTRY_KEY, SQLITE_STATIC);
	return st;
}

static int finish(struct rf_store *s, sqlite3_stmt *st, struct rf_err *e)
{
	sqlite3_step(st);
	int rc = sqlite3_reset(st);
	return rc == SQLITE_OK ? RF_OK : rf_store_failed(s, rc, "write an entry of a list", e);
}

static int insert(struct rf_store *s, const struct rf_list_entry *in, int64_t now, struct rf_err *e)
{
	if (s->list.count >= RF_LIST_ITEMS)
		return rf_fail(e, RF_E_TOO_LARGE, "a list takes at most %d entries", RF_LIST_ITEMS);
	sqlite3_stmt *st = at_key(s, ENTRY_INSERT, in->key, e);
	if (!st)
		return e->code;
	bind_str(st, 3, in->value);
	bind_str(st, 4, in->comment);
	bind_str(st, 5, in->more);
	sqlite3_bind_int64(st, 6, now);
	int rc = finish(s, st, e);
	if (rc == RF_OK)
		rc = note(s, true, in->value, e);
	s->list.count += rc == RF_OK;
	return rc;
}

static int update(struct rf_store *s, const struct rf_list_entry *in, int64_t now, struct rf_err *e)
{
	sqlite3_stmt *st = at_key(s, ENTRY_UPDATE, in->key, e);
	if (!st)
		return e->code;
	bind_str(st, 3, in->comment);
	bind_str(st, 4, in->more);
	sqlite3_bind_int64(st, 5, now);
	return finish(s, st, e);
}

int rf_store_entry_put(struct rf_store *s, const char *list_id, const struct rf_list_entry *in, struct rf_err *e)
{
	int rc = rf_store_writable(s, e);
	if (rc == RF_OK)
		rc = take_list(s, list_id, true, e);
	sqlite3_stmt *st = rc == RF_OK ? at_key(s, ENTRY_GET, in->key, e) : NULL;
	if (!st)
		return e->code;
	int got = sqlite3_step(st);
	bool same = got == SQLITE_ROW && rf_str_eq(column(st, 2), in->comment) && rf_str_eq(column(st, 3), in->more);
	sqlite3_reset(st);
	int64_t now = s->clock.wall(s->clock.ctx) / (int64_t)RF_NS_S;
	if (got != SQLITE_ROW && got != SQLITE_DONE)
		return rf_store_failed(s, got, "read an entry of a list", e);
	if (same)
		return RF_OK;
	return got == SQLITE_ROW ? update(s, in, now, e) : insert(s, in, now, e);
}

int rf_store_entry_del(struct rf_store *s, const char *list_id, const uint8_t key[RF_ENTRY_KEY], struct rf_err *e)
{
	int rc = rf_store_writable(s, e);
	if (rc == RF_OK)
		rc = take_list(s, list_id, false, e);
	sqlite3_stmt *st = rc == RF_OK ? at_key(s, ENTRY_DELETE, key, e) : NULL;
	if (!st)
		return e->code;
	int got = sqlite3_step(st);
	if (got == SQLITE_ROW)
		rc = note(s, false, column(st, 0), e);
	int end = sqlite3_reset(st);
	if (end != SQLITE_OK)
		return rf_store_failed(s, end, "delete an entry of a list", e);
	if (got != SQLITE_ROW)
		return rf_fail(e, RF_E_NOT_FOUND, "there is no such entry in this list");
	s->list.count -= rc == RF_OK;
	return rc;
}

int rf_store_entry_get(struct rf_store *s, const char *list_id, const uint8_t key[RF_ENTRY_KEY], rf_entry_each each, void *arg,
		       struct rf_err *e)
{
	int rc = take_list(s, list_id, false, e);
	sqlite3_stmt *st = rc == RF_OK ? at_key(s, ENTRY_GET, key, e) : NULL;
	if (!st)
		return e->code;
	int got = sqlite3_step(st);
	if (got == SQLITE_ROW) {
		struct rf_list_entry it = row(st);
		rc = each(&it, arg);
	} else {
		rc = got == SQLITE_DONE ? rf_fail(e, RF_E_NOT_FOUND, "there is no such entry in this list") :
		     rf_store_failed(s, got, "read an entry of a list", e);
	}
	sqlite3_reset(st);
	return rc;
}

int rf_store_entries(struct rf_store *s, const char *list_id, const uint8_t *after, bool back, size_t limit, rf_entry_each each,
		     void *arg, struct rf_err *e)
{
	int rc = take_list(s, list_id, false, e);
	if (rc == RF_E_NOT_FOUND)
		return RF_OK;
	sqlite3_stmt *st = rc == RF_OK ? statement(s, back ? ENTRY_BEFORE : ENTRY_AFTER, e) : NULL;
	if (!st)
		return e->code;
	sqlite3_bind_int64(st, 1, s->list.number);
	sqlite3_bind_blob(st, 2, after ? (const void *)after : "", after ? RF_ENTRY_KEY : 0, SQLITE_STATIC);
	sqlite3_bind_int64(st, 3, limit ? (int64_t)limit : -1);
	int got;
	while (rc == RF_OK && (got = sqlite3_step(st)) != SQLITE_DONE) {
		if (got != SQLITE_ROW) {
			rc = rf_store_failed(s, got, "read a list", e);
			break;
		}
		struct rf_list_entry it = row(st);
		rc = it.value.p ? each(&it, arg) : rf_fail(e, RF_E_NOMEM, "no memory for the entries of a list");
	}
	sqlite3_reset(st);
	return rc;
}

int rf_store_entry_count(struct rf_store *s, const char *list_id, size_t *ret, struct rf_err *e)
{
	int rc = take_list(s, list_id, false, e);
	if (rc != RF_OK && rc != RF_E_NOT_FOUND)
		return rc;
	*ret = rc == RF_OK ? s->list.count : 0;
	return RF_OK;
}

int rf_store_entries_sweep(struct rf_store *s, size_t limit, bool *ret_more, struct rf_err *e)
{
	int rc = rf_store_writable(s, e);
	sqlite3_stmt *st = rc == RF_OK ? statement(s, ENTRY_ORPHAN, e) : NULL;
	if (!st)
		return e->code;
	bool there = sqlite3_step(st) == SQLITE_ROW;
	int64_t number = sqlite3_column_int64(st, 0);
	sqlite3_reset(st);
	*ret_more = there;
	if (!there)
		return RF_OK;
	if (!(st = statement(s, ENTRY_SWEEP, e)))
		return e->code;
	sqlite3_bind_int64(st, 1, number);
	sqlite3_bind_int64(st, 2, (int64_t)limit);
	rc = finish(s, st, e);
	if (rc != RF_OK || sqlite3_changes(s->db) == (int)limit)
		return rc;
	if (!(st = statement(s, ENTRY_NUMBER_DEL, e)))
		return e->code;
	sqlite3_bind_int64(st, 1, number);
	return finish(s, st, e);
}

int rf_store_relaxed(struct rf_store *s, bool on, struct rf_err *e)
{
	if (s->open_tx)
		return rf_fail(e, RF_E_INTERNAL, "a transaction is open");
	int rc = sqlite3_exec(s->db, on ? "PRAGMA synchronous=NORMAL" : "PRAGMA synchronous=FULL", NULL, NULL, NULL);
	return rc == SQLITE_OK ? RF_OK : rf_store_failed(s, rc, "choose how the state is written", e);
}

/* --- from version 1 --- */

static int take_old(struct rf_store *s, sqlite3_stmt *st, struct rf_err *e)
{
	struct rf_str value = column(st, 1), doc = column(st, 2);
	char list[33], plus[RF_LIST_ITEM_SIZE];
	json_t *j = json_loadb(doc.p, doc.n, 0, NULL), *redirect = json_object_get(j, "redirect");
	char *more = redirect ? json_dumps(redirect, JSON_COMPACT) : NULL;
	const char *comment = json_string_value(json_object_get(j, "comment"));
	snprintf(list, sizeof list, "%.*s", RF_ARG(column(st, 0)));
	if (json_is_false(json_object_get(json_object_get(j, "hostname"), "exclude_exact_hostname")) &&
	    rf_str_starts(value, RF_STR("*.")) && value.n < sizeof plus) {
		memcpy(plus, value.p, value.n);
		plus[0] = '+';
		value.p = plus;
	}
	struct rf_list_entry it = { .value = value, .comment = rf_str_z(comment), .more = rf_str_z(more) };
	rf_entry_key(list, value, it.key);
	int rc = rf_store_entry_put(s, list, &it, e);
	free(more);
	json_decref(j);
	return rc;
}

int rf_store_entries_migrate(struct rf_store *s, struct rf_err *e)
{
	sqlite3_stmt *st;
	if (sqlite3_table_column_metadata(s->db, NULL, "list_items", NULL, NULL, NULL, NULL, NULL, NULL) != SQLITE_OK)
		return RF_OK;
	int rc = RF_OK, got = sqlite3_exec(s->db, rf_store_list_sql, NULL, NULL, NULL);
	if (got == SQLITE_OK)
		got = sqlite3_prepare_v2(s->db, "SELECT parent, name, doc FROM list_items ORDER BY parent", -1, &st, NULL);
	if (got != SQLITE_OK)
		return rf_store_failed(s, got, "bring the entries of lists up to date", e);
	s->open_tx = true;
	while (rc == RF_OK && (got = sqlite3_step(st)) == SQLITE_ROW)
		rc = take_old(s, st, e);
	sqlite3_finalize(st);
	if (rc == RF_OK)
		rc = got == SQLITE_DONE ? rf_store_entries_settle(s, e) : rf_store_failed(s, got, "read the entries of lists", e);
	s->open_tx = false;
	rf_store_entries_forget(s, true);
	if (rc == RF_OK && (got = sqlite3_exec(s->db, "DROP TABLE list_items", NULL, NULL, NULL)) != SQLITE_OK)
		rc = rf_store_failed(s, got, "bring the entries of lists up to date", e);
	return rc;
}
