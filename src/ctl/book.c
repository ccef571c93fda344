/* ctl/book: see book.h.
 *
 *	row -> the last page that begins at or before it -> its place there; a page that is full is parted
 *
 * A page in the file is its rows one behind the other: lengths of id, name and document, place, revision, times, the three texts.
 *
 * Invariants: rows of all pages in turn stand by place, then id; a page that is not the book's any more is in `gone` until the file
 * does not have it.
 */
#include "ctl/book.h"
#include <stdlib.h>
#include "base/cur.h"
#include "base/err.h"
#include "base/list.h"
#include "base/way.h"

enum { HEAD = 1 + 2 + 4 + 4 * 8, ID_MOST = 32 };

static size_t size_of(const struct book_row *r)
{
	return HEAD + r->id.n + r->name.n + r->doc.n;
}

struct book *book_new(const char *parent, uint64_t *next)
{
	struct book *b = calloc(1, sizeof *b);
	if (!b)
		return NULL;
	memcpy(b->parent, parent, strnlen(parent, sizeof b->parent - 1));
	b->next = next;
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

void book_free(struct book *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < b->pages; i++) {
		rf_way_look();
		for (unsigned k = 0; k < b->v[i]->n; k++)
			free(b->v[i]->v[k]);
		free(b->v[i]);
	}
	free_gone(b);
	free(b->v);
	rf_map_fini(&b->ids);
	rf_map_fini(&b->names);
	free(b);
}

static struct rf_str put_text(char **at, struct rf_str s)
{
	struct rf_str kept = { *at, s.n };
	if (s.n)
		memcpy(*at, s.p, s.n);
	(*at)[s.n] = '\0';
	*at += s.n + 1;
	return kept;
}

struct book_row *book_row_new(struct rf_str id, struct rf_str name, struct rf_str doc)
{
	struct book_row *r = malloc(sizeof *r + id.n + name.n + doc.n + 3);
	if (!r)
		return NULL;
	char *at = r->text;
	*r = (struct book_row){ .id = put_text(&at, id), .name = put_text(&at, name), .doc = put_text(&at, doc) };
	return r;
}

/* --- names --- */

static bool named(const struct book_row *r)
{
	return !rf_str_eq(r->id, r->name);
}

static void name_in(struct book *b, struct book_row *r)
{
	r->same = NULL;
	struct rf_map_node *there = rf_map_add(&b->names, &r->by_name, r->name);
	if (!there)
		return;
	struct book_row *first = RF_CONTAINER(there, struct book_row, by_name);
	r->same = first->same;
	first->same = r;
}

static void name_out(struct book *b, struct book_row *r)
{
	struct book_row *first = RF_CONTAINER(rf_map_find(&b->names, r->name), struct book_row, by_name);
	if (first == r) {
		rf_map_del(&b->names, &r->by_name);
		if (r->same)
			rf_map_add(&b->names, &r->same->by_name, r->same->name);
		return;
	}
	while (first->same != r)
		first = first->same;
	first->same = r->same;
}

struct book_row *book_find(const struct book *b, struct rf_str id)
{
	struct rf_map_node *n = b->ids.count ? rf_map_find(&b->ids, id) : NULL;
	return n ? RF_CONTAINER(n, struct book_row, by_id) : NULL;
}

struct book_row *book_find_name(const struct book *b, struct rf_str name)
{
	struct rf_map_node *n = b->names.count ? rf_map_find(&b->names, name) : NULL;
	if (n)
		return RF_CONTAINER(n, struct book_row, by_name);
	struct book_row *r = book_find(b, name);
	return r && !named(r) ? r : NULL;
}

/* --- places --- */

static int order(const struct book_row *r, int64_t place, struct rf_str id)
{
	return r->place != place ? (r->place < place ? -1 : 1) : rf_str_cmp(r->id, id);
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

struct book_row *book_row_at(const struct book *b, struct book_at at)
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

static struct book_page *page_new(struct book *b, size_t at)
{
	if (b->pages == b->cap) {
		size_t cap = b->cap ? b->cap * 2 : 8;
		struct book_page **v = realloc(b->v, cap * sizeof(struct book_page *));
		if (!v)
			return NULL;
		b->v = v;
		b->cap = cap;
	}
	struct book_page *p = malloc(sizeof *p);
	if (!p)
		return NULL;
	*p = (struct book_page){ .number = (*b->next)++, .dirty = true };
	memmove(&b->v[at + 1], &b->v[at], (b->pages++ - at) * sizeof(struct book_page *));
	b->v[at] = p;
	return p;
}

static bool fits(const struct book_page *p, const struct book_row *r)
{
	return !p->n || (p->n < BOOK_PAGE_ROWS && p->bytes + size_of(r) <= BOOK_PAGE_BYTES);
}

static void put_at(struct book_page *p, unsigned at, struct book_row *r)
{
	memmove(&p->v[at + 1], &p->v[at], (p->n++ - at) * sizeof(struct book_row *));
	p->v[at] = r;
	p->bytes += size_of(r);
	p->dirty = true;
}

/* The rows from `at` on go to a page of their own, so that a row of its own page can stand between. */
static bool part(struct book *b, size_t page, unsigned at)
{
	struct book_page *p = b->v[page], *rest = page_new(b, page + 1);
	if (!rest)
		return false;
	for (unsigned i = at; i < p->n; i++)
		put_at(rest, i - at, p->v[i]);
	p->n = at;
	p->bytes -= rest->bytes;
	p->dirty = true;
	return true;
}

/* Room for the row in a page: in the one that it belongs to, its half, or one between two. */
static bool make_room(struct book *b, const struct book_row *r, struct book_at *at)
{
	struct book_page *p = b->pages ? b->v[at->page] : page_new(b, 0);
	if (!p)
		return false;
	if (fits(p, r))
		return true;
	unsigned half = p->n / 2;
	if (at->row < p->n && half) {
		if (!part(b, at->page, half))
			return false;
		if (at->row > half)
			*at = (struct book_at){ at->page + 1, at->row - half };
		if (fits(b->v[at->page], r))
			return true;
		if (at->row && at->row < b->v[at->page]->n && !part(b, at->page, at->row))
			return false;
	}
	at->page += at->row > 0;
	at->row = 0;
	return page_new(b, at->page) != NULL;
}

int book_in(struct book *b, struct book_row *r)
{
	struct book_at at = { b->pages ? page_of(b, r->place, r->id) : 0, 0 };
	at.row = b->pages ? row_of(b->v[at.page], r->place, r->id) : 0;
	if (!make_room(b, r, &at))
		return RF_E_NOMEM;
	put_at(b->v[at.page], at.row, r);
	rf_map_add(&b->ids, &r->by_id, r->id);
	if (named(r))
		name_in(b, r);
	b->rows++;
	return RF_OK;
}

static void drop_page(struct book *b, size_t at)
{
	struct book_page *p = b->v[at];
	memmove(&b->v[at], &b->v[at + 1], (--b->pages - at) * sizeof(struct book_page *));
	p->next = b->gone;
	b->gone = p;
}

void book_out(struct book *b, struct book_row *r)
{
	struct book_at at = book_seek(b, r->place, r->id);
	struct book_page *p = b->v[at.page];
	memmove(&p->v[at.row], &p->v[at.row + 1], (--p->n - at.row) * sizeof(struct book_row *));
	p->bytes -= size_of(r);
	p->dirty = true;
	if (!p->n)
		drop_page(b, at.page);
	rf_map_del(&b->ids, &r->by_id);
	if (named(r))
		name_out(b, r);
	b->rows--;
}

void book_settled(struct book *b)
{
	for (size_t i = 0; i < b->pages; i++) {
		rf_way_give();
		b->v[i]->dirty = false;
	}
	free_gone(b);
	b->anew = false;
}

/* --- the file --- */

static char *put_be(char *to, uint64_t v, unsigned bytes)
{
	for (unsigned i = bytes; i-- > 0; v >>= 8)
		to[i] = (char)v;
	return to + bytes;
}

static char *put_str(char *to, struct rf_str s)
{
	if (s.n)
		memcpy(to, s.p, s.n);
	return to + s.n;
}

void book_write(const struct book_page *p, struct rf_buf *to)
{
	char *at = rf_buf_room(to, p->bytes);
	if (!at)
		return;
	for (unsigned i = 0; i < p->n; i++) {
		const struct book_row *r = p->v[i];
		at = put_be(at, r->id.n, 1);
		at = put_be(at, r->name.n, 2);
		at = put_be(at, r->doc.n, 4);
		at = put_be(at, (uint64_t)r->place, 8);
		at = put_be(at, r->revision, 8);
		at = put_be(at, (uint64_t)r->created_s, 8);
		at = put_be(at, (uint64_t)r->modified_s, 8);
		at = put_str(put_str(put_str(at, r->id), r->name), r->doc);
	}
	to->n += p->bytes;
}

static struct book_row *read_row(struct rf_cur *c)
{
	size_t id = rf_cur_u8(c), name = rf_cur_u16(c), doc = rf_cur_u32(c);
	uint64_t n[4];
	for (unsigned i = 0; i < 4; i++)
		n[i] = rf_cur_be(c, 8);
	struct rf_str texts[] = { rf_cur_take(c, id), rf_cur_take(c, name), rf_cur_take(c, doc) };
	c->bad |= !id || id > ID_MOST;
	struct book_row *r = c->bad ? NULL : book_row_new(texts[0], texts[1], texts[2]);
	if (!r)
		return NULL;
	r->place = (int64_t)n[0];
	r->revision = n[1];
	r->created_s = (int64_t)n[2];
	r->modified_s = (int64_t)n[3];
	return r;
}

int64_t book_first_place(struct rf_str data)
{
	struct rf_cur c = rf_cur_over(data.p, data.n);
	rf_cur_take(&c, 1 + 2 + 4);
	return (int64_t)rf_cur_be(&c, 8);
}

int book_read(struct book *b, uint64_t number, struct rf_str data)
{
	struct rf_cur c = rf_cur_over(data.p, data.n);
	const struct book_row *last = b->pages ? b->v[b->pages - 1]->v[b->v[b->pages - 1]->n - 1] : NULL;
	struct book_page *p = data.n ? page_new(b, b->pages) : NULL;
	if (!p)
		return data.n ? RF_E_NOMEM : RF_E_INVALID;
	p->number = number;
	while (rf_cur_left(&c) && p->n < BOOK_PAGE_ROWS) {
		struct book_row *r = read_row(&c);
		if (!r)
			return c.bad ? RF_E_INVALID : RF_E_NOMEM;
		if ((last && order(last, r->place, r->id) >= 0) || rf_map_add(&b->ids, &r->by_id, r->id)) {
			free(r);
			return RF_E_INVALID;
		}
		put_at(p, p->n, r);
		if (named(r))
			name_in(b, r);
		b->rows++;
		last = r;
	}
	p->dirty = false;
	return rf_cur_left(&c) ? RF_E_INVALID : RF_OK;
}
