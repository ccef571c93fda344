/* ctl/book: see book.h.
 *
 *	row -> the last page that begins at or before it -> its place there; a page that is full is parted
 *
 * Invariants: rows of all pages in turn stand by place, then id; a page that is not the book's any more is in `gone` until the file
 * does not have it; `bytes` are those of chunks and of rows that are alone.
 *
 * Not here: pages as the file keeps them (book_file.c), all rows at once (book_fill.c).
 */
#include "ctl/book.h"
#include <stdlib.h>
#include "base/hash.h"
#include "base/list.h"
#include "base/room.h"
#include "base/way.h"

enum {
	VARINT = 10,           /* bytes of the longest */
	HEAD = 2 + 9 * VARINT, /* of a row that is like none before it, without its texts; and the mark */
	WASTE_LEAST = 1 << 20,
};

static size_t size_of(const struct rf_store_child *r)
{
	return HEAD + BOOK_ID_MOST + r->name_n + r->doc_n;
}

struct book *book_new(const char *parent, uint64_t *next)
{
	struct book *b = calloc(1, sizeof *b);
	if (!b)
		return NULL;
	memcpy(b->parent, parent, strnlen(parent, sizeof b->parent - 1));
	b->next = next;
	b->known = true;
	return b;
}

static void free_gone(struct book *b)
{
	while (b->gone) {
		struct book_page *p = b->gone;
		rf_way_give();
		b->gone = p->next;
		free(p);
	}
}

static void free_alone(struct book *b)
{
	for (size_t i = 0; i < b->pages && b->alone; i++) {
		rf_way_look();
		for (unsigned k = 0; k < b->v[i]->n; k++)
			book_row_free(b->v[i]->v[k]);
	}
}

static void free_chunks(struct book *b)
{
	while (b->chunks) {
		struct book_chunk *c = b->chunks;
		rf_way_give();
		b->chunks = c->next;
		rf_way_free(c->rows);
		rf_way_free(c->texts);
		rf_way_free(c->kept);
		free(c);
	}
}

void book_free(struct book *b)
{
	if (!b)
		return;
	free_alone(b);
	for (size_t i = 0; i < b->pages; i++) {
		rf_way_give();
		free(b->v[i]);
	}
	free_chunks(b);
	free_gone(b);
	free(b->v);
	free(b->numbers);
	rf_table_fini(&b->ids);
	rf_table_fini(&b->names);
	free(b);
}

/* A copy, with a zero behind. */
static const char *put_text(char **at, struct rf_str s)
{
	char *kept = *at;
	if (s.n)
		memcpy(kept, s.p, s.n);
	kept[s.n] = '\0';
	*at += s.n + 1;
	return kept;
}

struct rf_store_child *book_row_new(struct rf_str id, struct rf_str name, struct rf_str doc)
{
	bool named = !rf_str_eq(id, name), good = id.n <= BOOK_ID_MOST && name.n <= UINT16_MAX && doc.n <= UINT32_MAX;
	struct rf_store_child *r = good ? malloc(sizeof *r + (named ? name.n + 1 : 0) + doc.n + 1) : NULL;
	if (!r)
		return NULL;
	char *at = (char *)(r + 1);
	*r = (struct rf_store_child){ .alone = true, .doc_n = (uint32_t)doc.n, .doc = put_text(&at, doc) };
	memcpy(r->id, id.p, id.n);
	r->name_n = (uint16_t)(named ? name.n : 0);
	r->name = named ? put_text(&at, name) : NULL;
	return r;
}

void book_row_free(struct rf_store_child *r)
{
	if (r && r->alone)
		free(r);
}

/* --- names --- */

static struct rf_store_child *find(const struct rf_table *t, struct rf_str key, bool name)
{
	RF_TABLE_EACH(at, t, rf_hash_quick(key)) {
		struct rf_store_child *r = t->slot[at].p;
		if (rf_str_eq(name ? book_name(r) : book_id(r), key))
			return r;
	}
	return NULL;
}

struct rf_store_child *book_find(const struct book *b, struct rf_str id)
{
	return find(&b->ids, id, false);
}

struct rf_store_child *book_find_name(const struct book *b, struct rf_str name)
{
	struct rf_store_child *r = find(&b->names, name, true);
	if (r)
		return r;
	r = book_find(b, name);
	return r && !r->name ? r : NULL;
}

/* Room in both tables for one row more. */
static bool room_for(struct book *b, const struct rf_store_child *r)
{
	return rf_table_reserve(&b->ids, b->ids.count + 1) && (!r->name || rf_table_reserve(&b->names, b->names.count + 1));
}

size_t book_row_memory(const struct rf_store_child *r)
{
	return sizeof *r + r->name_n + r->doc_n + 1 + (r->name != NULL);
}

static void add(struct book *b, struct rf_store_child *r, uint64_t hash)
{
	rf_table_add(&b->ids, hash, r);
	if (r->name)
		rf_table_add(&b->names, rf_hash_quick(book_name(r)), r);
}

bool book_index(struct book *b, struct rf_store_child *r, uint64_t hash)
{
	struct rf_str id = book_id(r);
	RF_TABLE_EACH(at, &b->ids, hash)
		if (rf_str_eq(book_id(b->ids.slot[at].p), id))
			return false;
	add(b, r, hash);
	return true;
}

static void link_row(struct book *b, struct rf_store_child *r)
{
	add(b, r, rf_hash_quick(book_id(r)));
	b->rows++;
	b->alone += r->alone;
	if (r->alone)
		b->bytes += book_row_memory(r);
	else
		b->dead -= book_row_memory(r); /* it was here before */
}

static void unlink_row(struct book *b, struct rf_store_child *r)
{
	rf_table_del(&b->ids, rf_hash_quick(book_id(r)), r);
	if (r->name)
		rf_table_del(&b->names, rf_hash_quick(book_name(r)), r);
	b->rows--;
	b->alone -= r->alone;
	if (r->alone)
		b->bytes -= book_row_memory(r);
	else
		b->dead += book_row_memory(r);
}

/* Where rows are not known, as many as there will be. */
static size_t slots_of(const struct rf_table *t, size_t unknown)
{
	size_t slots = t->slot ? t->mask + 1 : unknown ? 16 : 0;
	while (slots * 2 < unknown * 3)
		slots *= 2;
	return slots;
}

/* Of a flat one, as many as there will be, about. */
static size_t pages_of(const struct book *b)
{
	size_t full = (b->rows + BOOK_PAGE_ROWS - 1) / BOOK_PAGE_ROWS;
	size_t bytes = b->rows * (HEAD + BOOK_ID_MOST) + b->bytes - b->rows * sizeof *b->flat + b->kept;
	return !b->flat ? b->pages : full > bytes / BOOK_PAGE_BYTES ? full : bytes / BOOK_PAGE_BYTES + 1;
}

size_t book_memory(const struct book *b)
{
	size_t slots = slots_of(&b->ids, b->known ? 0 : b->rows) + slots_of(&b->names, b->named);
	return b->bytes + b->kept + pages_of(b) * sizeof **b->v + slots * sizeof *b->ids.slot;
}

bool book_wastes(const struct book *b)
{
	return b->dead > WASTE_LEAST && b->dead > b->bytes / 2;
}

/* --- places --- */

static int order(const struct rf_store_child *r, int64_t place, struct rf_str id)
{
	return r->place != place ? (r->place < place ? -1 : 1) : rf_str_cmp(book_id(r), id);
}

/* The last page that begins at or before these; the first page where none does. */
static size_t page_of(const struct book *b, int64_t place, struct rf_str id)
{
	size_t lo = 0, hi = b->pages;
	if (hi && order(b->v[hi - 1]->v[0], place, id) <= 0)
		return hi - 1; /* where rows come in order */
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (order(b->v[mid]->v[0], place, id) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo ? lo - 1 : 0;
}

static unsigned row_of(const struct book_page *p, int64_t place, struct rf_str id)
{
	unsigned lo = 0, hi = p->n;
	while (lo < hi) {
		unsigned mid = lo + (hi - lo) / 2;
		if (order(p->v[mid], place, id) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct book_at book_seek(const struct book *b, int64_t place, struct rf_str id)
{
	struct book_at at = { 0, 0 };
	if (!b->pages)
		return at;
	at.page = page_of(b, place, id);
	at.row = row_of(b->v[at.page], place, id);
	return at.row < b->v[at.page]->n ? at : (struct book_at){ at.page + 1, 0 };
}

struct rf_store_child *book_row_at(const struct book *b, struct book_at at)
{
	return at.page < b->pages ? b->v[at.page]->v[at.row] : NULL;
}

struct book_at book_skip(const struct book *b, size_t rows)
{
	struct book_at at = { 0, 0 };
	while (at.page < b->pages && rows >= b->v[at.page]->n)
		rows -= b->v[at.page++]->n;
	at.row = at.page < b->pages ? (unsigned)rows : 0;
	return at;
}

struct book_at book_next(const struct book *b, struct book_at at)
{
	return at.row + 1 < b->v[at.page]->n ? (struct book_at){ at.page, at.row + 1 } : (struct book_at){ at.page + 1, 0 };
}

struct book_at book_before(const struct book *b, struct book_at at)
{
	if (at.row)
		return (struct book_at){ at.page, at.row - 1 };
	return at.page ? (struct book_at){ at.page - 1, b->v[at.page - 1]->n - 1 } : (struct book_at){ b->pages, 0 };
}

/* --- pages --- */

struct book_page *book_page_new(struct book *b, size_t at)
{
	if (!RF_ROOM(b->v, b->cap, b->pages))
		return NULL;
	struct book_page *p = malloc(sizeof *p);
	if (!p)
		return NULL;
	p->number = b->taken < b->number_count ? b->numbers[b->taken++] : (*b->next)++;
	p->bytes = p->n = 0;
	p->dirty = true;
	memmove(&b->v[at + 1], &b->v[at], (b->pages++ - at) * sizeof(struct book_page *));
	b->v[at] = p;
	return p;
}

bool book_fits(const struct book_page *p, const struct rf_store_child *r)
{
	return !p->n || (p->n < BOOK_PAGE_ROWS && p->bytes + size_of(r) <= BOOK_PAGE_BYTES);
}

void book_put_at(struct book_page *p, unsigned at, struct rf_store_child *r)
{
	memmove(&p->v[at + 1], &p->v[at], (p->n++ - at) * sizeof(struct rf_store_child *));
	p->v[at] = r;
	p->bytes += size_of(r);
	p->dirty = true;
}

/* The rows from `at` on go to a page of their own, so that a row of its own page can stand between. */
static bool part(struct book *b, size_t page, unsigned at)
{
	struct book_page *p = b->v[page], *rest = book_page_new(b, page + 1);
	if (!rest)
		return false;
	for (unsigned i = at; i < p->n; i++)
		book_put_at(rest, i - at, p->v[i]);
	p->n = at;
	p->bytes -= rest->bytes;
	p->dirty = true;
	return true;
}

/* Room for the row in a page: in the one that it belongs to, its half, or one between two. */
static bool make_room(struct book *b, const struct rf_store_child *r, struct book_at *at)
{
	struct book_page *p = b->pages ? b->v[at->page] : book_page_new(b, 0);
	if (!p)
		return false;
	if (book_fits(p, r))
		return true;
	unsigned half = p->n / 2;
	if (at->row < p->n && half) {
		if (!part(b, at->page, half))
			return false;
		if (at->row > half)
			*at = (struct book_at){ at->page + 1, at->row - half };
		if (book_fits(b->v[at->page], r))
			return true;
		if (at->row && at->row < b->v[at->page]->n && !part(b, at->page, at->row))
			return false;
	}
	at->page += at->row > 0;
	at->row = 0;
	return book_page_new(b, at->page) != NULL;
}

int book_in(struct book *b, struct rf_store_child *r)
{
	struct book_at at = { b->pages ? page_of(b, r->place, book_id(r)) : 0, 0 };
	at.row = b->pages ? row_of(b->v[at.page], r->place, book_id(r)) : 0;
	if (!room_for(b, r) || !make_room(b, r, &at))
		return RF_E_NOMEM;
	book_put_at(b->v[at.page], at.row, r);
	link_row(b, r);
	return RF_OK;
}

static void drop_page(struct book *b, size_t at)
{
	struct book_page *p = b->v[at];
	memmove(&b->v[at], &b->v[at + 1], (--b->pages - at) * sizeof(struct book_page *));
	p->next = b->gone;
	b->gone = p;
}

void book_out(struct book *b, struct rf_store_child *r)
{
	struct book_at at = book_seek(b, r->place, book_id(r));
	struct book_page *p = b->v[at.page];
	memmove(&p->v[at.row], &p->v[at.row + 1], (--p->n - at.row) * sizeof(struct rf_store_child *));
	p->bytes -= size_of(r);
	p->dirty = true;
	if (!p->n)
		drop_page(b, at.page);
	unlink_row(b, r);
}

void book_stored(struct book *b)
{
	for (size_t i = 0; i < b->pages; i++) {
		rf_way_give();
		b->v[i]->dirty = false;
	}
	free_gone(b);
	free(b->numbers);
	b->numbers = NULL;
	b->number_count = b->taken = 0;
}

/* --- reading --- */

/* A row that was read, behind all others. */
static int take_row(struct book *b, struct book_page *p, struct rf_store_child *r, const struct rf_store_child *last)
{
	if (last && order(last, r->place, book_id(r)) >= 0)
		return RF_E_INVALID;
	if (!room_for(b, r))
		return RF_E_NOMEM;
	if (!book_index(b, r, rf_hash_quick(book_id(r))))
		return RF_E_INVALID;
	book_put_at(p, p->n, r);
	b->rows++;
	return RF_OK;
}

int book_read(struct book *b, uint64_t number, struct rf_str data)
{
	const struct rf_store_child *last = b->pages ? b->v[b->pages - 1]->v[b->v[b->pages - 1]->n - 1] : NULL;
	struct book_chunk *c;
	struct rf_store_child *rows;
	unsigned n;
	int rc = book_decode(data, &c, &rows, &n);
	if (rc != RF_OK)
		return rc;
	c->next = b->chunks;
	b->chunks = c;
	b->bytes += c->bytes;
	struct book_page *p = book_page_new(b, b->pages);
	if (!p)
		return RF_E_NOMEM;
	p->number = number;
	for (unsigned i = 0; i < n && rc == RF_OK; i++) {
		rc = take_row(b, p, &rows[i], last);
		last = &rows[i];
	}
	p->dirty = false;
	return rc;
}
