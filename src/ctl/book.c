/* ctl/book: see book.h.
 *
 *	row -> the last page that begins at or before it -> its place there; a page that is full is parted
 *
 * A page in the file is a mark, then its rows one behind the other: flags; id and name, an id of ours as 16 bytes; place, revision and times
 * as what they differ by from those of the row before; of the document, how many bytes at its front and end are as there, and what is
 * between. Without the mark it is as an earlier version wrote it: lengths of id, name and document, place, revision, times, the texts.
 *
 * Invariants: rows of all pages in turn stand by place, then id; a page that is not the book's any more is in `gone` until the file
 * does not have it.
 */
#include "ctl/book.h"
#include <stdlib.h>
#include "base/cur.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/room.h"
#include "base/way.h"

enum {
	MARK = 0x80,     /* no length of an id */
	ID_MOST = 32,
	VARINT = 10,     /* bytes of the longest */
	HEAD = 2 + 9 * VARINT, /* of a row that is like none before it, without its texts; and the mark */
};

enum { ID_HEX = 1, NAME_IS_ID = 2 };

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
	rf_table_fini(&b->ids);
	rf_table_fini(&b->names);
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

static struct book_row *find(const struct rf_table *t, struct rf_str key, bool name)
{
	RF_TABLE_EACH(at, t, rf_hash_quick(key)) {
		struct book_row *r = t->slot[at].p;
		if (rf_str_eq(name ? r->name : r->id, key))
			return r;
	}
	return NULL;
}

struct book_row *book_find(const struct book *b, struct rf_str id)
{
	return find(&b->ids, id, false);
}

struct book_row *book_find_name(const struct book *b, struct rf_str name)
{
	struct book_row *r = find(&b->names, name, true);
	if (r)
		return r;
	r = book_find(b, name);
	return r && !named(r) ? r : NULL;
}

/* Room in both tables for one row more. */
static bool room_for(struct book *b, const struct book_row *r)
{
	return rf_table_reserve(&b->ids, b->ids.count + 1) && (!named(r) || rf_table_reserve(&b->names, b->names.count + 1));
}

static size_t memory_of(const struct book_row *r)
{
	return sizeof *r + r->id.n + r->name.n + r->doc.n + 3;
}

static void link_row(struct book *b, struct book_row *r)
{
	rf_table_add(&b->ids, rf_hash_quick(r->id), r);
	if (named(r))
		rf_table_add(&b->names, rf_hash_quick(r->name), r);
	b->rows++;
	b->bytes += memory_of(r);
}

static void unlink_row(struct book *b, struct book_row *r)
{
	rf_table_del(&b->ids, rf_hash_quick(r->id), r);
	if (named(r))
		rf_table_del(&b->names, rf_hash_quick(r->name), r);
	b->rows--;
	b->bytes -= memory_of(r);
}

size_t book_memory(const struct book *b)
{
	size_t slots = (b->ids.slot ? b->ids.mask + 1 : 0) + (b->names.slot ? b->names.mask + 1 : 0);
	return b->bytes + b->pages * sizeof **b->v + slots * sizeof *b->ids.slot;
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
	if (!RF_ROOM(b->v, b->cap, b->pages))
		return NULL;
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
	if (!room_for(b, r) || !make_room(b, r, &at))
		return RF_E_NOMEM;
	put_at(b->v[at.page], at.row, r);
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

void book_out(struct book *b, struct book_row *r)
{
	struct book_at at = book_seek(b, r->place, r->id);
	struct book_page *p = b->v[at.page];
	memmove(&p->v[at.row], &p->v[at.row + 1], (--p->n - at.row) * sizeof(struct book_row *));
	p->bytes -= size_of(r);
	p->dirty = true;
	if (!p->n)
		drop_page(b, at.page);
	unlink_row(b, r);
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

static char *put_str(char *to, struct rf_str s)
{
	if (s.n)
		memcpy(to, s.p, s.n);
	return to + s.n;
}

static char *put_varint(char *to, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*to++ = (char)(v | 0x80);
	*to++ = (char)v;
	return to;
}

/* Numbers of either sign that are small are short. */
static char *put_step(char *to, uint64_t now, uint64_t before)
{
	int64_t step = (int64_t)(now - before);
	return put_varint(to, (uint64_t)step << 1 ^ (uint64_t)(step >> 63));
}

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* An id of ours: 32 digits, in small letters. */
static bool pack_id(struct rf_str id, char to[ID_MOST / 2])
{
	bool good = id.n == ID_MOST;
	for (size_t i = 0; good && i < ID_MOST / 2; i++) {
		int hi = digit(id.p[2 * i]), lo = digit(id.p[2 * i + 1]);
		good = hi >= 0 && lo >= 0;
		to[i] = (char)(hi << 4 | (lo & 15));
	}
	return good;
}

static size_t same_front(struct rf_str a, struct rf_str b)
{
	size_t n = 0, most = a.n < b.n ? a.n : b.n;
	while (n + 8 <= most && memcmp(a.p + n, b.p + n, 8) == 0)
		n += 8;
	while (n < most && a.p[n] == b.p[n])
		n++;
	return n;
}

static size_t same_end(struct rf_str a, struct rf_str b, size_t most)
{
	size_t n = 0;
	while (n + 8 <= most && memcmp(a.p + a.n - n - 8, b.p + b.n - n - 8, 8) == 0)
		n += 8;
	while (n < most && a.p[a.n - n - 1] == b.p[b.n - n - 1])
		n++;
	return n;
}

static char *put_doc(char *to, struct rf_str doc, struct rf_str before)
{
	size_t front = same_front(doc, before), most = (doc.n < before.n ? doc.n : before.n) - front;
	size_t end = same_end(doc, before, most), between = doc.n - front - end;
	to = put_varint(put_varint(put_varint(to, front), end), between);
	return put_str(to, (struct rf_str){ doc.p + front, between });
}

static char *put_row(char *to, const struct book_row *r, const struct book_row *before)
{
	char id[ID_MOST / 2];
	bool hex = pack_id(r->id, id);
	*to++ = (char)((hex ? ID_HEX : 0) | (named(r) ? 0 : NAME_IS_ID));
	if (hex)
		to = put_str(to, (struct rf_str){ id, sizeof id });
	else
		to = put_str(put_varint(to, r->id.n), r->id);
	if (named(r))
		to = put_str(put_varint(to, r->name.n), r->name);
	to = put_step(to, (uint64_t)r->place, (uint64_t)before->place);
	to = put_step(to, r->revision, before->revision);
	to = put_step(to, (uint64_t)r->created_s, (uint64_t)before->created_s);
	to = put_step(to, (uint64_t)r->modified_s, (uint64_t)before->modified_s);
	return put_doc(to, r->doc, before->doc);
}

void book_write(const struct book_page *p, struct rf_buf *to)
{
	static const struct book_row none = { .doc = { "", 0 } };
	char *from = rf_buf_room(to, p->bytes), *at = from;
	if (!from)
		return;
	*at++ = (char)MARK;
	for (unsigned i = 0; i < p->n; i++)
		at = put_row(at, p->v[i], i ? p->v[i - 1] : &none);
	to->n += (size_t)(at - from);
}

static uint64_t take_varint(struct rf_cur *c)
{
	uint64_t v = 0;
	for (unsigned shift = 0; shift < 64 && !c->bad; shift += 7) {
		uint8_t byte = rf_cur_u8(c);
		v |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return v;
	}
	c->bad = true;
	return 0;
}

static uint64_t take_step(struct rf_cur *c, uint64_t before)
{
	uint64_t v = take_varint(c);
	return before + (v >> 1 ^ -(v & 1));
}

static void take_id(struct rf_cur *c, bool hex, char room[ID_MOST + 1], struct rf_str *ret)
{
	struct rf_str raw = rf_cur_take(c, hex ? ID_MOST / 2 : take_varint(c));
	*ret = hex && !c->bad ? (struct rf_str){ room, ID_MOST } : raw;
	if (hex && !c->bad)
		rf_hex(raw.p, raw.n, room);
	c->bad |= !ret->n || ret->n > ID_MOST;
}

/* The document behind the others' front and before their end. */
static struct rf_str take_doc(struct rf_cur *c, struct rf_str before, struct rf_buf *room)
{
	uint64_t front = take_varint(c), end = take_varint(c);
	struct rf_str between = rf_cur_take(c, take_varint(c));
	c->bad |= front > before.n || end > before.n - front;
	rf_buf_clear(room);
	if (c->bad)
		return RF_STR("");
	rf_buf_add(room, (struct rf_str){ before.p, front });
	rf_buf_add(room, between);
	rf_buf_add(room, (struct rf_str){ before.p + before.n - end, end });
	return rf_buf_str(room);
}

static struct book_row *read_row(struct rf_cur *c, const struct book_row *before, struct rf_buf *room)
{
	char hex[ID_MOST + 1];
	uint8_t flags = rf_cur_u8(c);
	struct rf_str id, name;
	take_id(c, flags & ID_HEX, hex, &id);
	name = flags & NAME_IS_ID ? id : rf_cur_take(c, take_varint(c));
	uint64_t place = take_step(c, (uint64_t)before->place), revision = take_step(c, before->revision);
	uint64_t created = take_step(c, (uint64_t)before->created_s), modified = take_step(c, (uint64_t)before->modified_s);
	struct rf_str doc = take_doc(c, before->doc, room);
	struct book_row *r = c->bad || room->bad ? NULL : book_row_new(id, name, doc);
	if (!r)
		return NULL;
	r->place = (int64_t)place;
	r->revision = revision;
	r->created_s = (int64_t)created;
	r->modified_s = (int64_t)modified;
	return r;
}

/* As an earlier version wrote it. */
static struct book_row *read_old_row(struct rf_cur *c)
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

static bool marked(struct rf_str data)
{
	return data.n && (uint8_t)data.p[0] == MARK;
}

int64_t book_first_place(struct rf_str data)
{
	char hex[ID_MOST + 1];
	struct rf_str id;
	struct rf_cur c = rf_cur_over(data.p, data.n);
	if (!marked(data)) {
		rf_cur_take(&c, 1 + 2 + 4);
		return (int64_t)rf_cur_be(&c, 8);
	}
	rf_cur_u8(&c);
	uint8_t flags = rf_cur_u8(&c);
	take_id(&c, flags & ID_HEX, hex, &id);
	if (!(flags & NAME_IS_ID))
		rf_cur_take(&c, take_varint(&c));
	uint64_t place = take_step(&c, 0);
	return c.bad ? 0 : (int64_t)place;
}

/* A row that was read, behind all others. */
static int take_row(struct book *b, struct book_page *p, struct book_row *r, const struct book_row *last)
{
	if ((last && order(last, r->place, r->id) >= 0) || book_find(b, r->id))
		return RF_E_INVALID;
	if (!room_for(b, r))
		return RF_E_NOMEM;
	put_at(p, p->n, r);
	link_row(b, r);
	return RF_OK;
}

int book_read(struct book *b, uint64_t number, struct rf_str data)
{
	static const struct book_row none = { .doc = { "", 0 } };
	RF_BUF_AUTO room = { 0 };
	bool marks = marked(data);
	struct rf_cur c = rf_cur_over(data.p + marks, data.n - marks);
	const struct book_row *last = b->pages ? b->v[b->pages - 1]->v[b->v[b->pages - 1]->n - 1] : NULL;
	struct book_page *p = data.n > marks ? page_new(b, b->pages) : NULL;
	if (!p)
		return data.n > marks ? RF_E_NOMEM : RF_E_INVALID;
	p->number = number;
	while (rf_cur_left(&c) && p->n < BOOK_PAGE_ROWS) {
		struct book_row *r = marks ? read_row(&c, p->n ? last : &none, &room) : read_old_row(&c);
		int rc = r ? take_row(b, p, r, last) : c.bad ? RF_E_INVALID : RF_E_NOMEM;
		if (rc != RF_OK) {
			free(r);
			return rc;
		}
		last = r;
	}
	p->dirty = false;
	return rf_cur_left(&c) ? RF_E_INVALID : RF_OK;
}
