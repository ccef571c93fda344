/* ctl/store_books: objects of placed kinds (rules), which the store holds in memory and keeps in pages (ctl/book).
 *
 *	first read of a parent's children -> its pages (store_pages.c) -> a book, which stays
 *	all children at once -> a book in the place of that before, which is settled when it is written, or somebody looks for a row
 *	write -> the book, and a note of how to undo it -> commit: pages that changed -> the file; or rollback: the notes backwards
 *
 * Invariants: what a transaction has not committed is in no page of the file; after a rollback books are as they were, or are gone
 * and read again. A parent that is deleted takes its pages along (ON DELETE CASCADE).
 *
 * Not here: all other kinds (store_rw.c).
 */
#include <stdlib.h>
#include "base/list.h"
#include "base/room.h"
#include "base/way.h"
#include "ctl/store_pages.h"

/* How to undo a step: of a row, or of a book as a whole. */
struct book_edit {
	struct book *book;         /* that it is done to; of a whole book: that came, or NULL */
	struct rf_store_child *out, *in;
	struct book *was;          /* that went, or NULL */
	bool whole;
};

static int no_memory(struct rf_err *e)
{
	return rf_fail(e, RF_E_NOMEM, "no memory for rules");
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
static int swap(struct rf_store *s, struct book *b, struct rf_store_child *out, struct rf_store_child *in, struct rf_err *e)
{
	struct book_edit *d = note(s, e);
	if (!d)
		return e->code;
	if (out)
		book_out(b, out);
	if (in && book_in(b, in) != RF_OK) {
		if (out && book_in(b, out) != RF_OK) { /* it had its room a moment ago; without it the book is not what the file says */
			book_row_free(out);
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

/* The children of a parent, perhaps flat. RF_E_NOT_FOUND where there is no such parent. */
static int book_as_is(struct rf_store *s, const char *parent, struct book **ret, struct rf_err *e)
{
	uint64_t revision;
	int64_t created;
	if ((*ret = loaded(s, parent)))
		return RF_OK;
	int rc = rf_store_present(s, RF_KIND_RULESET, parent, &revision, &created, e);
	if (rc == RF_OK && !revision)
		return rf_fail(e, RF_E_NOT_FOUND, "there is no ruleset %s", parent);
	if (rc == RF_OK)
		rc = rf_pages_count(s, e);
	struct book *b = rc == RF_OK ? book_new(parent, &s->page_next) : NULL;
	if (rc == RF_OK)
		rc = b ? rf_pages_read(s, b, e) : no_memory(e);
	if (rc == RF_OK)
		rc = swap_book(s, NULL, b, e);
	if (rc == RF_OK)
		*ret = b;
	else
		book_free(b);
	return rc;
}

static int settle(struct book *b, bool know, struct rf_err *e)
{
	int rc = know ? book_know(b) : book_settle(b);
	return rc == RF_E_NOMEM ? no_memory(e) : rc != RF_OK ? rf_fail(e, RF_E_CONFLICT, "two rules of ruleset %s are of one id", b->parent) : RF_OK;
}

/* Settled, and also known where that is asked for. */
static int book_of(struct rf_store *s, const char *parent, bool know, struct book **ret, struct rf_err *e)
{
	int rc = book_as_is(s, parent, ret, e);
	return rc == RF_OK ? settle(*ret, know, e) : rc;
}

static int load(struct rf_store *s, const char *parent, struct rf_err *e)
{
	struct book *b;
	return book_as_is(s, parent, &b, e);
}

/* All books, so that a row can be found by its id alone. */
static int load_all(struct rf_store *s, struct rf_err *e)
{
	int rc = s->books_all ? RF_OK : rf_pages_parents(s, load, e);
	s->books_all = rc == RF_OK;
	return rc;
}

static struct book *each_book(const struct rf_store *s, const struct book *after)
{
	struct rf_map_node *n = s->books.count ? rf_map_next(&s->books, after ? &after->node : NULL) : NULL;
	return n ? RF_CONTAINER(n, struct book, node) : NULL;
}

static int find_row(struct rf_store *s, const char *id, struct book **ret_book, struct rf_store_child **ret, struct rf_err *e)
{
	int rc = load_all(s, e);
	*ret = NULL;
	for (struct book *b = each_book(s, NULL); rc == RF_OK && b && !*ret; b = each_book(s, b)) {
		rc = settle(b, true, e);
		*ret = rc == RF_OK ? book_find(b, rf_str_z(id)) : NULL;
		*ret_book = b;
	}
	return rc;
}

static struct rf_raw_object raw_of(const struct book *b, struct rf_store_child *r)
{
	return (struct rf_raw_object){ .id = r->id, .parent = b->parent, .name = r->name ? r->name : r->id, .doc = book_doc(r), .revision = r->revision,
		.place = r->place, .created_s = r->created_s, .modified_s = r->modified_s, .note = &r->note };
}

static int not_found(struct rf_err *e)
{
	return rf_fail(e, RF_E_NOT_FOUND, "there is no such object in %s", rf_store_kinds[RF_KIND_RULE].table);
}

int rf_store_raw(struct rf_store *s, enum rf_kind k, const char *id, struct rf_raw_object *ret, struct rf_err *e)
{
	struct book *b;
	struct rf_store_child *r = NULL;
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
	struct rf_store_child *r = NULL;
	int rc = parent ? book_as_is(s, parent, &b, e) : load_all(s, e);
	if (rc != RF_OK)
		return rc == RF_E_NOT_FOUND ? not_found(e) : rc;
	for (b = parent ? b : each_book(s, NULL); b && rc == RF_OK; b = parent ? NULL : each_book(s, b)) {
		rc = settle(b, true, e);
		if (rc == RF_OK && (r = book_find_name(b, rf_str_z(name))))
			break;
	}
	if (rc != RF_OK || !r)
		return rc != RF_OK ? rc : not_found(e);
	struct rf_raw_object raw = raw_of(b, r);
	return rf_store_parse(s, &raw, ret, e);
}

struct scan {
	const struct rf_store_query *q;
	size_t left;
	int (*each)(const struct rf_raw_object *o, void *arg);
	void *arg;
};

/* Whoever is called may settle the book; its rows stay where they are. */
static int scan_flat(const struct book *b, struct scan *c)
{
	struct rf_store_child *flat = b->flat;
	size_t rows = b->rows;
	int stop = 0;
	for (size_t i = c->q->offset; i < rows && c->left && !stop; i++, c->left--) {
		rf_way_give();
		struct rf_raw_object raw = raw_of(b, &flat[c->q->descending ? rows - 1 - i : i]);
		stop = c->each(&raw, c->arg);
	}
	return stop;
}

/* The rows of one book that a query wants, as far as its limit goes. */
static int scan_book(const struct book *b, struct scan *c)
{
	const struct rf_store_query *q = c->q;
	int stop = 0;
	if (b->flat)
		return scan_flat(b, c);
	size_t n = q->offset < b->rows ? b->rows - q->offset : 0;
	struct book_at at = n ? book_skip(b, q->descending ? n - 1 : q->offset) : (struct book_at){ b->pages, 0 };
	for (; n > 0 && c->left && !stop; n--, c->left--) {
		rf_way_give();
		struct rf_raw_object raw = raw_of(b, book_row_at(b, at));
		at = q->descending ? book_before(b, at) : book_next(b, at);
		stop = c->each(&raw, c->arg);
	}
	return stop;
}

int rf_books_scan(struct rf_store *s, const struct rf_store_query *q, int (*each)(const struct rf_raw_object *o, void *arg), void *arg,
		  struct rf_err *e)
{
	struct book *b;
	struct scan c = { q, q->limit ? q->limit : SIZE_MAX, each, arg };
	if (q->name || q->search || q->match[0].field || (!q->parent && q->offset))
		return rf_fail(e, RF_E_INTERNAL, "rules are listed by ruleset and place alone");
	int rc = q->parent ? book_as_is(s, q->parent, &b, e) : load_all(s, e);
	if (rc != RF_OK)
		return rc == RF_E_NOT_FOUND ? RF_OK : rc;
	if (q->parent)
		return scan_book(b, &c);
	for (b = each_book(s, NULL); rc == RF_OK && b; b = each_book(s, b))
		rc = scan_book(b, &c);
	return rc;
}

int rf_books_count(struct rf_store *s, const char *parent, size_t *ret, struct rf_err *e)
{
	struct book *b = NULL;
	size_t n = 0;
	int rc = parent ? book_as_is(s, parent, &b, e) : load_all(s, e);
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
	int rc = book_of(s, parent, false, &b, e);
	if (rc != RF_OK && rc != RF_E_NOT_FOUND)
		return rc;
	*ret_count = 0;
	if (rc == RF_E_NOT_FOUND || (!before && place == INT64_MAX))
		return RF_OK;
	struct book_at at = book_seek(b, before ? place : place + 1, RF_STR(""));
	if (before)
		at = b->rows && at.page == b->pages ? book_skip(b, b->rows - 1) : b->rows ? book_before(b, at) : at;
	for (struct rf_store_child *r; n < room && (r = book_row_at(b, at)); at = before ? book_before(b, at) : book_next(b, at)) {
		memcpy(ret[n].id, r->id, sizeof r->id);
		ret[n++].place = r->place;
	}
	*ret_count = n;
	return RF_OK;
}

/* --- writing --- */

int rf_books_present(struct rf_store *s, const char *id, uint64_t *ret, int64_t *ret_created, struct rf_err *e)
{
	struct book *b;
	struct rf_store_child *r;
	int rc = find_row(s, id, &b, &r, e);
	*ret = rc == RF_OK && r ? r->revision : 0;
	*ret_created = rc == RF_OK && r ? r->created_s : 0;
	return rc;
}

int rf_books_put(struct rf_store *s, const struct rf_object *o, struct rf_str doc, struct rf_err *e)
{
	struct book *b, *from;
	struct rf_store_child *was, *r = NULL;
	int rc = book_of(s, o->parent, true, &b, e);
	if (rc != RF_OK)
		return rc == RF_E_NOT_FOUND ? rf_fail(e, RF_E_CONFLICT, "the parent \"%s\" is not there", o->parent) : rc;
	rc = find_row(s, o->id, &from, &was, e);
	if (rc == RF_OK && !(r = book_row_new(rf_str_z(o->id), rf_str_z(o->name), doc)))
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
		book_row_free(r);
	return rc;
}

int rf_store_fill(struct rf_store *s, enum rf_kind k, const char *parent, struct rf_store_child **v, size_t n, struct rf_buf *texts,
		  struct rf_err *e)
{
	struct book *was, *now = NULL;
	int rc = rf_store_placed(k) ? rf_store_writable(s, e) : rf_fail(e, RF_E_INTERNAL, "%s have no places", rf_store_kinds[k].table);
	if (rc == RF_OK)
		rc = book_as_is(s, parent, &was, e);
	if (rc == RF_OK && (!note(s, e) || !(now = book_new(parent, &s->page_next))))
		rc = no_memory(e);
	if (rc == RF_OK)
		rc = book_fill(now, was, *v, n, texts, s->revision + 1, s->clock.wall(s->clock.ctx) / (int64_t)RF_NS_S, e);
	if (rc != RF_OK) {
		book_free(now);
		return rc;
	}
	*v = NULL;
	s->revision += n;
	return swap_book(s, was, now, e); /* for which there is room */
}

int rf_books_del(struct rf_store *s, const char *id, struct rf_err *e)
{
	struct book *b;
	struct rf_store_child *r;
	int rc = find_row(s, id, &b, &r, e);
	return rc == RF_OK && r ? swap(s, b, r, NULL, e) : rc;
}

int rf_books_move(struct rf_store *s, const char *id, int64_t place, struct rf_err *e)
{
	struct book *b;
	struct rf_store_child *was;
	int rc = find_row(s, id, &b, &was, e);
	if (rc != RF_OK || !was)
		return rc != RF_OK ? rc : rf_fail(e, RF_E_NOT_FOUND, "there is no %s in %s", id, rf_store_kinds[RF_KIND_RULE].table);
	struct rf_store_child *r = book_row_new(book_id(was), book_name(was), book_doc(was));
	if (!r)
		return no_memory(e);
	r->revision = s->revision + 1;
	r->note = was->note;
	r->place = place;
	r->created_s = was->created_s;
	r->modified_s = was->modified_s;
	rc = swap(s, b, was, r, e);
	if (rc != RF_OK)
		book_row_free(r);
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

int rf_books_flush(struct rf_store *s, struct rf_err *e)
{
	int rc = RF_OK;
	for (struct book *b = s->book_edit_count ? each_book(s, NULL) : NULL; b && rc == RF_OK; b = each_book(s, b)) {
		rc = b->lost ? no_memory(e) : settle(b, false, e);
		if (rc == RF_OK)
			rc = rf_pages_write(s, b, e);
	}
	return rc;
}

void rf_books_settle(struct rf_store *s)
{
	for (struct book *b = s->book_edit_count ? each_book(s, NULL) : NULL; b; b = each_book(s, b))
		book_stored(b);
	for (size_t i = 0; i < s->book_edit_count; i++) {
		rf_way_give();
		book_row_free(s->book_edits[i].out);
		book_free(s->book_edits[i].was);
	}
	s->book_edit_count = 0;
}

/* Of a book that is lost, rows that are still in it go with it. */
static void undo_row(const struct book_edit *d)
{
	if (d->in && !d->book->lost) {
		book_out(d->book, d->in);
		book_row_free(d->in);
	}
	if (d->out && (d->book->lost || book_in(d->book, d->out) != RF_OK)) {
		book_row_free(d->out);
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

/* Such books are read again when somebody asks for them. */
static void drop(struct rf_store *s, bool (*which)(const struct book *b))
{
	for (struct book *b = each_book(s, NULL), *next; b; b = next) {
		next = each_book(s, b);
		if (!which(b))
			continue;
		s->books_all = false;
		rf_map_del(&s->books, &b->node);
		book_free(b);
	}
}

static bool is_lost(const struct book *b)
{
	return b->lost;
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
	drop(s, is_lost);
}

/* What has gone from a chunk, bit by bit, comes back to the system when the rest is read again. */
void rf_books_tidy(struct rf_store *s)
{
	drop(s, book_wastes);
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
