/* ctl/store_pages: books in the file: see store_pages.h.
 *
 *	pages of a parent -> by the place of the first row of each -> a book
 *	a book -> pages that are gone: deleted; pages that changed: written, most of them over what was there
 *
 * Not here: what is in a page (book_file.c), when it is written (store_books.c).
 */
#include "ctl/store_pages.h"
#include <stdio.h>
#include <stdlib.h>
#include "base/room.h"
#include "base/way.h"

const char rf_store_books_sql[] =
	"CREATE TABLE IF NOT EXISTS rule_pages (page INTEGER PRIMARY KEY, parent TEXT NOT NULL REFERENCES rulesets(id) ON DELETE CASCADE, "
	"data BLOB NOT NULL) STRICT;\n"
	"CREATE INDEX IF NOT EXISTS rule_pages_parent ON rule_pages(parent);\n";

static const char *const sql[PAGE_OPS] = {
	[PAGE_READ] = "SELECT page, data FROM rule_pages WHERE parent = ?1",
	[PAGE_PUT] = "INSERT INTO rule_pages (page, parent, data) VALUES (?1, ?2, ?3) ON CONFLICT (page) DO UPDATE SET data = excluded.data",
	[PAGE_DEL] = "DELETE FROM rule_pages WHERE page = ?1",
	[PAGE_LAST] = "SELECT max(page) FROM rule_pages",
	[PAGE_PARENTS] = "SELECT id FROM rulesets ORDER BY seq",
};

static int no_memory(struct rf_err *e)
{
	return rf_fail(e, RF_E_NOMEM, "no memory for rules");
}

static sqlite3_stmt *statement(struct rf_store *s, enum page_op op, struct rf_err *e)
{
	sqlite3_stmt **st = &s->page[op];
	int rc = *st ? SQLITE_OK : sqlite3_prepare_v3(s->db, sql[op], -1, SQLITE_PREPARE_PERSISTENT, st, NULL);
	if (rc != SQLITE_OK) {
		rf_store_failed(s, rc, "read rules", e);
		return NULL;
	}
	sqlite3_reset(*st);
	return *st;
}

static int done(struct rf_store *s, sqlite3_stmt *st, struct rf_err *e)
{
	sqlite3_step(st);
	int rc = sqlite3_reset(st);
	return rc == SQLITE_OK ? RF_OK : rf_store_failed(s, rc, "write rules", e);
}

/* --- reading --- */

struct page_text {
	uint64_t number;
	int64_t first; /* place */
	struct rf_str data;
};

static int by_first(const void *a, const void *b)
{
	const struct page_text *x = a, *y = b;
	return x->first != y->first ? (x->first < y->first ? -1 : 1) : x->number < y->number ? -1 : x->number > y->number;
}

struct reading {
	struct page_text *v;
	size_t n, cap;
};

static int take_page(struct reading *r, sqlite3_stmt *st)
{
	rf_way_give();
	const char *data = sqlite3_column_blob(st, 1);
	size_t n = (size_t)sqlite3_column_bytes(st, 1);
	if (!RF_ROOM(r->v, r->cap, r->n))
		return RF_E_NOMEM;
	char *copy = malloc(n + 1);
	if (!copy)
		return RF_E_NOMEM;
	if (n)
		memcpy(copy, data, n);
	r->v[r->n++] = (struct page_text){ (uint64_t)sqlite3_column_int64(st, 0), book_first_place((struct rf_str){ copy, n }), { copy, n } };
	return RF_OK;
}

int rf_pages_read(struct rf_store *s, struct book *b, struct rf_err *e)
{
	struct reading r = { 0 };
	sqlite3_stmt *st = statement(s, PAGE_READ, e);
	if (!st)
		return e->code;
	sqlite3_bind_text(st, 1, b->parent, -1, SQLITE_STATIC);
	int got, rc = RF_OK;
	while ((got = sqlite3_step(st)) == SQLITE_ROW && rc == RF_OK)
		rc = take_page(&r, st);
	sqlite3_reset(st);
	if (rc == RF_OK && got != SQLITE_DONE)
		rc = rf_store_failed(s, got, "read rules", e);
	else if (rc != RF_OK)
		no_memory(e);
	if (r.n)
		qsort(r.v, r.n, sizeof *r.v, by_first);
	for (size_t i = 0; i < r.n && rc == RF_OK; i++) {
		rf_way_look();
		rc = book_read(b, r.v[i].number, r.v[i].data);
		if (rc == RF_E_NOMEM)
			no_memory(e);
		else if (rc != RF_OK)
			rc = rf_fail(e, RF_E_DISK, "the rules of ruleset %s in the state file %s are damaged; restore a backup", b->parent, s->path);
	}
	for (size_t i = 0; i < r.n; i++)
		free((char *)r.v[i].data.p);
	free(r.v);
	return rc;
}

int rf_pages_count(struct rf_store *s, struct rf_err *e)
{
	sqlite3_stmt *st = s->page_next ? NULL : statement(s, PAGE_LAST, e);
	if (s->page_next || !st)
		return s->page_next ? RF_OK : e->code;
	int rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		s->page_next = (uint64_t)sqlite3_column_int64(st, 0) + 1;
	sqlite3_reset(st);
	return rc == SQLITE_ROW ? RF_OK : rf_store_failed(s, rc, "read rules", e);
}

int rf_pages_parents(struct rf_store *s, int (*each)(struct rf_store *s, const char *parent, struct rf_err *e), struct rf_err *e)
{
	sqlite3_stmt *st = statement(s, PAGE_PARENTS, e);
	int got = SQLITE_DONE, rc = st ? RF_OK : e->code;
	while (rc == RF_OK && (got = sqlite3_step(st)) == SQLITE_ROW) {
		const char *id = (const char *)sqlite3_column_text(st, 0);
		rc = id ? each(s, id, e) : no_memory(e);
	}
	if (st)
		sqlite3_reset(st);
	return rc == RF_OK && got != SQLITE_DONE ? rf_store_failed(s, got, "read rules", e) : rc;
}

/* --- writing --- */

static int del_page(struct rf_store *s, uint64_t number, struct rf_err *e)
{
	sqlite3_stmt *st = statement(s, PAGE_DEL, e);
	if (!st)
		return e->code;
	sqlite3_bind_int64(st, 1, (int64_t)number);
	return done(s, st, e);
}

static int put_page(struct rf_store *s, const struct book *b, const struct book_page *p, struct rf_buf *room, struct rf_err *e)
{
	sqlite3_stmt *st = statement(s, PAGE_PUT, e);
	if (!st)
		return e->code;
	rf_buf_clear(room);
	book_write(p, room);
	if (room->bad)
		return no_memory(e);
	sqlite3_bind_int64(st, 1, (int64_t)p->number);
	sqlite3_bind_text(st, 2, b->parent, -1, SQLITE_STATIC);
	sqlite3_bind_blob64(st, 3, room->p, room->n, SQLITE_STATIC);
	return done(s, st, e);
}

int rf_pages_write(struct rf_store *s, const struct book *b, struct rf_err *e)
{
	RF_BUF_AUTO room = { 0 };
	int rc = RF_OK;
	for (size_t i = b->taken; i < b->number_count && rc == RF_OK; i++) {
		rf_way_look();
		rc = del_page(s, b->numbers[i], e);
	}
	for (const struct book_page *p = b->gone; p && rc == RF_OK; p = p->next) {
		rf_way_look();
		rc = del_page(s, p->number, e);
	}
	for (size_t i = 0; i < b->pages && rc == RF_OK; i++) {
		rf_way_look();
		if (b->v[i]->dirty)
			rc = put_page(s, b, b->v[i], &room, e);
	}
	return rc;
}

/* --- an earlier version --- */

static int take_old(struct rf_store *s, sqlite3_stmt *st, struct rf_err *e)
{
	struct rf_object o = { .revision = (uint64_t)sqlite3_column_int64(st, 4), .place = sqlite3_column_int64(st, 7),
		.created_s = sqlite3_column_int64(st, 5), .modified_s = sqlite3_column_int64(st, 6) };
	const char *doc = (const char *)sqlite3_column_text(st, 3);
	if (!doc)
		return no_memory(e);
	snprintf(o.id, sizeof o.id, "%s", (const char *)sqlite3_column_text(st, 0));
	snprintf(o.parent, sizeof o.parent, "%s", (const char *)sqlite3_column_text(st, 1));
	snprintf(o.name, sizeof o.name, "%s", (const char *)sqlite3_column_text(st, 2));
	return rf_books_put(s, &o, rf_str_z(doc), e);
}

int rf_store_books_migrate(struct rf_store *s, struct rf_err *e)
{
	static const char doing[] = "bring rules up to date";
	sqlite3_stmt *st;
	if (sqlite3_table_column_metadata(s->db, NULL, "rules", NULL, NULL, NULL, NULL, NULL, NULL) != SQLITE_OK)
		return RF_OK;
	int rc = RF_OK, got = sqlite3_exec(s->db, rf_store_books_sql, NULL, NULL, NULL);
	if (got == SQLITE_OK)
		got = sqlite3_prepare_v2(s->db, "SELECT id, parent, name, doc, revision, created, modified, place FROM rules ORDER BY "
					 "parent, place, id", -1, &st, NULL);
	if (got != SQLITE_OK)
		return rf_store_failed(s, got, doing, e);
	s->open_tx = true;
	while (rc == RF_OK && (got = sqlite3_step(st)) == SQLITE_ROW)
		rc = take_old(s, st, e);
	sqlite3_finalize(st);
	if (rc == RF_OK)
		rc = got == SQLITE_DONE ? rf_books_flush(s, e) : rf_store_failed(s, got, doing, e);
	s->open_tx = false;
	if (rc == RF_OK && (got = sqlite3_exec(s->db, "DROP TABLE rules", NULL, NULL, NULL)) != SQLITE_OK)
		rc = rf_store_failed(s, got, doing, e);
	if (rc == RF_OK)
		rf_books_settle(s);
	else
		rf_books_undo(s);
	return rc;
}
