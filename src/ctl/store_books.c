/* ctl/store_books: objects of placed kinds (rules), which the store holds in memory and keeps in pages (ctl/book).
 *
 *	first read of a parent's children -> its pages -> a book, which stays
 *	write -> the book, and a note of how to undo it -> commit: pages that changed -> the file; or rollback: the notes backwards
 *
 * Invariants: what a transaction has not committed is in no page of the file; after a rollback books are as they were, or are gone
 * and read again. A parent that is deleted takes its pages along (ON DELETE CASCADE).
 *
 * Not here: all other kinds (store_rw.c).
 */
#include <stdio.h>
#include <stdlib.h>
#include "base/list.h"
#include "base/room.h"
#include "base/way.h"
#include "ctl/book.h"
#include "ctl/store_db.h"

const char rf_store_books_sql[] =
	"CREATE TABLE IF NOT EXISTS rule_pages (page INTEGER PRIMARY KEY, parent TEXT NOT NULL REFERENCES rulesets(id) ON DELETE CASCADE, "
	"data BLOB NOT NULL) STRICT;\n"
	"CREATE INDEX IF NOT EXISTS rule_pages_parent ON rule_pages(parent);\n";

static const char *const sql[PAGE_OPS] = {
	[PAGE_READ] = "SELECT page, data FROM rule_pages WHERE parent = ?1",
	[PAGE_PUT] = "INSERT INTO rule_pages (page, parent, data) VALUES (?1, ?2, ?3) ON CONFLICT (page) DO UPDATE SET data = excluded.data",
	[PAGE_DEL] = "DELETE FROM rule_pages WHERE page = ?1",
	[PAGE_DEL_ALL] = "DELETE FROM rule_pages WHERE parent = ?1",
	[PAGE_LAST] = "SELECT max(page) FROM rule_pages",
	[PAGE_PARENTS] = "SELECT id FROM rulesets ORDER BY seq",
};

/* How to undo a step: of a row, or of a book as a whole. */
struct book_edit {
	struct book *book;         /* that it is done to; of a whole book: that came, or NULL */
	struct book_row *out, *in;
	struct book *was;          /* that went, or NULL */
	bool whole;
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

/* --- steps --- */

static struct book_edit *note(struct rf_store *s, struct rf_err *e)
{
	if (!RF_ROOM(s->book_edits, s->book_edit_cap, s->book_edit_count)) {
		no_memory(e);
		return NULL;
	}
	struct book_edit *d = &s->book_edits[s->book_edit_count];
	*d = (struct book_edit){ 0 };
	return d;
}

/* Put `in` into the book in the place of `out`; one of them may be NULL. `in` is taken where it succeeds. */
static int swap(struct rf_store *s, struct book *b, struct book_row *out, struct book_row *in, struct rf_err *e)
{
	struct book_edit *d = note(s, e);
	if (!d)
		return e->code;
	if (out)
		book_out(b, out);
	if (in && book_in(b, in) != RF_OK) {
		if (out && book_in(b, out) != RF_OK) { /* it had its room a moment ago; without it the book is not what the file says */
			free(out);
			b->lost = true;
		}
		return no_memory(e);
	}
	*d = (struct book_edit){ .book = b, .out = out, .in = in };
	s->book_edit_count++;
	return RF_OK;
}

/* Outside of a transaction a book only comes, and nothing undoes that. */
static int swap_book(struct rf_store *s, struct book *was, struct book *now, struct rf_err *e)
{
	struct book_edit *d = note(s, e);
	if (!d)
		return e->code;
	if (was)
		rf_map_del(&s->books, &was->node);
	if (now)
		rf_map_add(&s->books, &now->node, rf_str_z(now->parent));
	*d = (struct book_edit){ .book = now, .was = was, .whole = true };
	s->book_edit_count += s->open_tx;
	return RF_OK;
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

static int read_pages(struct rf_store *s, struct book *b, struct rf_err *e)
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

static struct book *loaded(const struct rf_store *s, const char *parent)
{
	struct rf_map_node *n = s->books.count ? rf_map_find(&s->books, rf_str_z(parent)) : NULL;
	return n ? RF_CONTAINER(n, struct book, node) : NULL;
}

size_t rf_store_held(const struct rf_store *s, const char *parent)
{
	const struct book *b = loaded(s, parent);
	return b ? book_memory(b) : 0;
}

/* The first page that is made gets a number that no page of the file has. */
static int know_last(struct rf_store *s, struct rf_err *e)
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

/* The children of a parent. RF_E_NOT_FOUND where there is no such parent. */
static int book_of(struct rf_store *s, const char *parent, struct book **ret, struct rf_err *e)
{
	uint64_t revision;
	int64_t created;
	if ((*ret = loaded(s, parent)))
		return RF_OK;
	int rc = rf_store_present(s, RF_KIND_RULESET, parent, &revision, &created, e);
	if (rc == RF_OK && !revision)
		return rf_fail(e, RF_E_NOT_FOUND, "there is no ruleset %s", parent);
	if (rc == RF_OK)
		rc = know_last(s, e);
	struct book *b = rc == RF_OK ? book_new(parent, &s->page_next) : NULL;
	if (rc == RF_OK)
		rc = b ? read_pages(s, b, e) : no_memory(e);
	if (rc == RF_OK)
		rc = swap_book(s, NULL, b, e);
	if (rc == RF_OK)
		*ret = b;
	else
		book_free(b);
	return rc;
}

/* All books, so that a row can be found by its id alone. */
static int load_all(struct rf_store *s, struct rf_err *e)
{
	struct book *b;
	sqlite3_stmt *st = s->books_all ? NULL : statement(s, PAGE_PARENTS, e);
	if (s->books_all || !st)
		return s->books_all ? RF_OK : e->code;
	int got, rc = RF_OK;
	while (rc == RF_OK && (got = sqlite3_step(st)) == SQLITE_ROW) {
		const char *id = (const char *)sqlite3_column_text(st, 0);
		rc = id ? book_of(s, id, &b, e) : no_memory(e);
	}
	sqlite3_reset(st);
	if (rc == RF_OK && got != SQLITE_DONE)
		rc = rf_store_failed(s, got, "read rules", e);
	s->books_all = rc == RF_OK;
	return rc;
}

static struct book *each_book(const struct rf_store *s, const struct book *after)
{
	struct rf_map_node *n = s->books.count ? rf_map_next(&s->books, after ? &after->node : NULL) : NULL;
	return n ? RF_CONTAINER(n, struct book, node) : NULL;
}

static int find_row(struct rf_store *s, const char *id, struct book **ret_book, struct book_row **ret, struct rf_err *e)
{
	int rc = load_all(s, e);
	*ret = NULL;
	for (struct book *b = each_book(s, NULL); rc == RF_OK && b && !*ret; b = each_book(s, b)) {
		*ret = book_find(b, rf_str_z(id));
		*ret_book = b;
	}
	return rc;
}

static struct rf_raw_object raw_of(const struct book *b, struct book_row *r)
{
	return (struct rf_raw_object){ .id = r->id.p, .parent = b->parent, .name = r->name.p, .doc = r->doc, .revision = r->revision,
		.place = r->place, .created_s = r->created_s, .modified_s = r->modified_s, .note = &r->note };
}

static int not_found(struct rf_err *e)
{
	return rf_fail(e, RF_E_NOT_FOUND, "there is no such object in %s", rf_store_kinds[RF_KIND_RULE].table);
}

int rf_store_raw(struct rf_store *s, enum rf_kind k, const char *id, struct rf_raw_object *ret, struct rf_err *e)
{
	struct book *b;
	struct book_row *r = NULL;
	int rc = rf_store_placed(k) ? find_row(s, id, &b, &r, e) : RF_OK;
	if (rc != RF_OK || !r)
		return rc != RF_OK ? rc : not_found(e);
	*ret = raw_of(b, r);
	return RF_OK;
}

int rf_books_get(struct rf_store *s, const char *id, struct rf_object *ret, struct rf_err *e)
{
	struct rf_raw_object raw;
	int rc = rf_store_raw(s, RF_KIND_RULE, id, &raw, e);
	return rc == RF_OK ? rf_store_parse(s, &raw, ret, e) : rc;
}

int rf_books_find(struct rf_store *s, const char *parent, const char *name, struct rf_object *ret, struct rf_err *e)
{
	struct book *b = NULL;
	int rc = parent ? book_of(s, parent, &b, e) : load_all(s, e);
	if (rc != RF_OK)
		return rc == RF_E_NOT_FOUND ? not_found(e) : rc;
	struct book_row *r = NULL;
	for (b = parent ? b : each_book(s, NULL); b && !(r = book_find_name(b, rf_str_z(name)));)
		b = parent ? NULL : each_book(s, b);
	if (!r)
		return not_found(e);
	struct rf_raw_object raw = raw_of(b, r);
	return rf_store_parse(s, &raw, ret, e);
}

/* The rows of one book that a query wants, as far as its limit goes. */
static int scan_book(struct book *b, const struct rf_store_query *q, size_t *left, int (*each)(const struct rf_raw_object *o, void *arg),
		     void *arg)
{
	int stop = 0;
	size_t n = q->offset < b->rows ? b->rows - q->offset : 0;
	struct book_at at = n ? book_skip(b, q->descending ? n - 1 : q->offset) : (struct book_at){ b->pages, 0 };
	for (; n > 0 && *left && !stop; n--, (*left)--) {
		rf_way_give();
		struct rf_raw_object raw = raw_of(b, book_row_at(b, at));
		at = q->descending ? book_before(b, at) : book_next(b, at);
		stop = each(&raw, arg);
	}
	return stop;
}

int rf_books_scan(struct rf_store *s, const struct rf_store_query *q, int (*each)(const struct rf_raw_object *o, void *arg), void *arg,
		  struct rf_err *e)
{
	struct book *b;
	size_t left = q->limit ? q->limit : SIZE_MAX;
	if (q->name || q->search || q->match[0].field || (!q->parent && q->offset))
		return rf_fail(e, RF_E_INTERNAL, "rules are listed by ruleset and place alone");
	int rc = q->parent ? book_of(s, q->parent, &b, e) : load_all(s, e);
	if (rc != RF_OK)
		return rc == RF_E_NOT_FOUND ? RF_OK : rc;
	if (q->parent)
		return scan_book(b, q, &left, each, arg);
	for (b = each_book(s, NULL); rc == RF_OK && b; b = each_book(s, b))
		rc = scan_book(b, q, &left, each, arg);
	return rc;
}

int rf_books_count(struct rf_store *s, const char *parent, size_t *ret, struct rf_err *e)
{
	struct book *b = NULL;
	size_t n = 0;
	int rc = parent ? book_of(s, parent, &b, e) : load_all(s, e);
	if (rc != RF_OK && rc != RF_E_NOT_FOUND)
		return rc;
	for (struct book *k = parent ? NULL : each_book(s, NULL); k; k = each_book(s, k))
		n += k->rows;
	*ret = b ? b->rows : n;
	return RF_OK;
}

int rf_books_beside(struct rf_store *s, const char *parent, int64_t place, bool before, struct rf_placed *ret, size_t room,
		    size_t *ret_count, struct rf_err *e)
{
	struct book *b;
	size_t n = 0;
	int rc = book_of(s, parent, &b, e);
	if (rc != RF_OK && rc != RF_E_NOT_FOUND)
		return rc;
	*ret_count = 0;
	if (rc == RF_E_NOT_FOUND || (!before && place == INT64_MAX))
		return RF_OK;
	struct book_at at = book_seek(b, before ? place : place + 1, RF_STR(""));
	if (before)
		at = b->rows && at.page == b->pages ? book_skip(b, b->rows - 1) : b->rows ? book_before(b, at) : at;
	for (struct book_row *r; n < room && (r = book_row_at(b, at)); at = before ? book_before(b, at) : book_next(b, at)) {
		memcpy(ret[n].id, r->id.p, r->id.n + 1);
		ret[n++].place = r->place;
	}
	*ret_count = n;
	return RF_OK;
}

/* --- writing --- */

int rf_books_present(struct rf_store *s, const char *id, uint64_t *ret, int64_t *ret_created, struct rf_err *e)
{
	struct book *b;
	struct book_row *r;
	int rc = find_row(s, id, &b, &r, e);
	*ret = rc == RF_OK && r ? r->revision : 0;
	*ret_created = rc == RF_OK && r ? r->created_s : 0;
	return rc;
}

int rf_books_put(struct rf_store *s, const struct rf_object *o, const char *doc, struct rf_err *e)
{
	struct book *b, *from;
	struct book_row *was, *r = NULL;
	int rc = book_of(s, o->parent, &b, e);
	if (rc != RF_OK)
		return rc == RF_E_NOT_FOUND ? rf_fail(e, RF_E_CONFLICT, "the parent \"%s\" is not there", o->parent) : rc;
	rc = find_row(s, o->id, &from, &was, e);
	if (rc == RF_OK && !(r = book_row_new(rf_str_z(o->id), rf_str_z(o->name), rf_str_z(doc))))
		rc = no_memory(e);
	if (rc != RF_OK)
		return rc;
	r->revision = o->revision;
	r->place = o->place;
	r->created_s = o->created_s;
	r->modified_s = o->modified_s;
	if (was && from != b) {
		rc = swap(s, from, was, NULL, e);
		was = NULL;
	}
	if (rc == RF_OK)
		rc = swap(s, b, was, r, e);
	if (rc != RF_OK)
		free(r);
	return rc;
}

/* The row that a child is to be. */
static struct book_row *row_for(const struct book *was, const struct rf_store_child *c, uint64_t revision,
				int64_t now, struct rf_err *e)
{
	struct rf_str id = rf_str_z(c->id), name = c->name ? (struct rf_str){ c->name, c->name_n } : id;
	const struct book_row *old = c->fresh ? NULL : book_find(was, id);
	if (!old && !c->doc_n) {
		rf_fail(e, RF_E_CONFLICT, "there is no %s in ruleset %s", c->id, was->parent);
		return NULL;
	}
	struct book_row *r = c->doc_n ? book_row_new(id, name, (struct rf_str){ c->doc, c->doc_n }) : book_row_new(id, old->name, old->doc);
	if (!r) {
		no_memory(e);
		return NULL;
	}
	bool same = !c->doc_n && old->place == c->place;
	r->place = c->place;
	r->note = c->doc_n ? c->note : old->note;
	r->revision = same ? old->revision : revision;
	r->modified_s = same ? old->modified_s : now;
	r->created_s = old ? old->created_s : r->modified_s;
	return r;
}

static int fill(const struct rf_store *s, const struct book *was, struct book *now, const struct rf_store_child *v, size_t n,
		struct rf_err *e)
{
	int64_t wall = s->clock.wall(s->clock.ctx) / (int64_t)RF_NS_S;
	for (size_t i = 0; i < n; i++) {
		rf_way_give();
		if (i && v[i - 1].place >= v[i].place)
			return rf_fail(e, RF_E_CONFLICT, "rules %s and %s are not in order", v[i - 1].id, v[i].id);
		struct book_row *r = row_for(was, &v[i], s->revision + 1 + i, wall, e);
		if (!r)
			return e->code;
		if (book_in(now, r) != RF_OK) {
			free(r);
			return no_memory(e);
		}
	}
	return RF_OK;
}

int rf_store_fill(struct rf_store *s, enum rf_kind k, const char *parent, struct rf_store_child **v, size_t n, struct rf_buf *texts,
		  struct rf_err *e)
{
	struct book *was, *now = NULL;
	int rc = rf_store_placed(k) ? rf_store_writable(s, e) : rf_fail(e, RF_E_INTERNAL, "%s have no places", rf_store_kinds[k].table);
	if (rc == RF_OK)
		rc = book_of(s, parent, &was, e);
	if (rc == RF_OK && !(now = book_new(parent, &s->page_next)))
		rc = no_memory(e);
	if (rc == RF_OK)
		rc = fill(s, was, now, *v, n, e);
	if (rc == RF_OK)
		rc = swap_book(s, was, now, e);
	if (rc != RF_OK) {
		book_free(now);
		return rc;
	}
	now->anew = true;
	s->revision += n;
	rf_way_free(*v);
	*v = NULL;
	rf_buf_fini(texts);
	return RF_OK;
}

int rf_books_del(struct rf_store *s, const char *id, struct rf_err *e)
{
	struct book *b;
	struct book_row *r;
	int rc = find_row(s, id, &b, &r, e);
	return rc == RF_OK && r ? swap(s, b, r, NULL, e) : rc;
}

int rf_books_move(struct rf_store *s, const char *id, int64_t place, struct rf_err *e)
{
	struct book *b;
	struct book_row *was;
	int rc = find_row(s, id, &b, &was, e);
	if (rc != RF_OK || !was)
		return rc != RF_OK ? rc : rf_fail(e, RF_E_NOT_FOUND, "there is no %s in %s", id, rf_store_kinds[RF_KIND_RULE].table);
	struct book_row *r = book_row_new(was->id, was->name, was->doc);
	if (!r)
		return no_memory(e);
	r->revision = s->revision + 1;
	r->note = was->note;
	r->place = place;
	r->created_s = was->created_s;
	r->modified_s = was->modified_s;
	rc = swap(s, b, was, r, e);
	if (rc != RF_OK)
		free(r);
	return rc;
}

int rf_books_follow(struct rf_store *s, struct rf_err *e)
{
	int rc = RF_OK;
	for (struct book *b = each_book(s, NULL), *next; b && rc == RF_OK; b = next) {
		uint64_t revision;
		int64_t created;
		next = each_book(s, b);
		rc = rf_store_present(s, RF_KIND_RULESET, b->parent, &revision, &created, e);
		if (rc == RF_OK && !revision)
			rc = swap_book(s, b, NULL, e);
	}
	return rc;
}

int rf_books_reread(struct rf_store *s, const char *parent, uint64_t last, struct rf_err *e)
{
	struct book *b = loaded(s, parent);
	if (s->page_next && s->page_next <= last)
		s->page_next = last + 1;
	int rc = b ? swap_book(s, b, NULL, e) : RF_OK;
	s->books_all = false;
	return rc;
}

/* --- the end of a transaction --- */

static int del_page(struct rf_store *s, uint64_t number, struct rf_err *e)
{
	sqlite3_stmt *st = statement(s, PAGE_DEL, e);
	if (!st)
		return e->code;
	sqlite3_bind_int64(st, 1, (int64_t)number);
	return done(s, st, e);
}

static int del_pages(struct rf_store *s, const char *parent, struct rf_err *e)
{
	sqlite3_stmt *st = statement(s, PAGE_DEL_ALL, e);
	if (!st)
		return e->code;
	sqlite3_bind_text(st, 1, parent, -1, SQLITE_STATIC);
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

static int flush_book(struct rf_store *s, struct book *b, struct rf_err *e)
{
	RF_BUF_AUTO room = { 0 };
	int rc = b->anew ? del_pages(s, b->parent, e) : RF_OK;
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

int rf_books_flush(struct rf_store *s, struct rf_err *e)
{
	int rc = RF_OK;
	for (struct book *b = s->book_edit_count ? each_book(s, NULL) : NULL; b && rc == RF_OK; b = each_book(s, b))
		rc = b->lost ? no_memory(e) : flush_book(s, b, e);
	return rc;
}

void rf_books_settle(struct rf_store *s)
{
	for (struct book *b = s->book_edit_count ? each_book(s, NULL) : NULL; b; b = each_book(s, b))
		book_settled(b);
	for (size_t i = 0; i < s->book_edit_count; i++) {
		rf_way_give();
		free(s->book_edits[i].out);
		book_free(s->book_edits[i].was);
	}
	s->book_edit_count = 0;
}

/* Of a book that is lost, rows that are still in it go with it. */
static void undo_row(const struct book_edit *d)
{
	if (d->in && !d->book->lost) {
		book_out(d->book, d->in);
		free(d->in);
	}
	if (d->out && (d->book->lost || book_in(d->book, d->out) != RF_OK)) {
		free(d->out);
		d->book->lost = true;
	}
}

static void undo_book(struct rf_store *s, const struct book_edit *d)
{
	if (d->book) {
		rf_map_del(&s->books, &d->book->node);
		book_free(d->book);
	}
	if (d->was)
		rf_map_add(&s->books, &d->was->node, rf_str_z(d->was->parent));
	else
		s->books_all = false;
}

void rf_books_undo(struct rf_store *s)
{
	while (s->book_edit_count) {
		rf_way_give();
		const struct book_edit *d = &s->book_edits[--s->book_edit_count];
		if (d->whole)
			undo_book(s, d);
		else
			undo_row(d);
	}
	for (struct book *b = each_book(s, NULL), *next; b; b = next) {
		next = each_book(s, b);
		if (!b->lost)
			continue;
		s->books_all = false;
		rf_map_del(&s->books, &b->node);
		book_free(b);
	}
}

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
	return rf_books_put(s, &o, doc, e);
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

void rf_books_close(struct rf_store *s)
{
	for (struct book *b = each_book(s, NULL), *next; b; b = next) {
		next = each_book(s, b);
		book_free(b);
	}
	rf_map_fini(&s->books);
	for (size_t i = 0; i < PAGE_OPS; i++)
		sqlite3_finalize(s->page[i]);
	free(s->book_edits);
}
