/* ctl/book_file: pages as the file keeps them: see book.h.
 *
 * A page in the file is a mark, then its rows one behind the other: flags; id and name, an id of ours as 16 bytes; place, revision and times
 * as what they differ by from those of the row before; of the document, how many bytes at its front and end are as there, and what is
 * between. Without the mark it is as an earlier version wrote it: lengths of id, name and document, place, revision, times, the texts.
 *
 *	row -> what it has in common with the one before, which is mostly as much as that one had -> bytes
 *	bytes -> rows, and their texts one behind the other -> a chunk of both
 */
#include <endian.h>
#include <stdlib.h>
#include "base/cur.h"
#include "base/enc.h"
#include "base/err.h"
#include "ctl/book.h"

enum { MARK = 0x80 /* no length of an id */, ID_RAW = BOOK_ID_MOST / 2 };

enum { ID_HEX = 1, NAME_IS_ID = 2 };

/* --- writing --- */

/* How many bytes at front and end the documents of two rows had in common. */
struct like {
	size_t front, end;
};

static char *put_str(char *to, struct rf_str s)
{
	return s.n ? mempcpy(to, s.p, s.n) : to;
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

static uint64_t word(const char *p)
{
	uint64_t x;
	memcpy(&x, p, sizeof x);
	return le64toh(x);
}

/* An id of ours: 32 digits, in small letters. */
static bool pack_id(struct rf_str id, char to[ID_RAW])
{
	uint64_t capital = 0;
	for (size_t i = 0; i + 8 <= id.n; i += 8)
		capital |= word(id.p + i) >> 1 & ~word(id.p + i);
	return id.n == BOOK_ID_MOST && !(capital & 0x2020202020202020u) && rf_unhex(id, to, ID_RAW) == ID_RAW;
}

/* Bytes that are the same from the first on, `n` of which are known to be. */
static size_t same_front(struct rf_str a, struct rf_str b, size_t n, size_t most)
{
	for (; n + 8 <= most; n += 8) {
		uint64_t other = word(a.p + n) ^ word(b.p + n);
		if (other)
			return n + (size_t)__builtin_ctzll(other) / 8;
	}
	while (n < most && a.p[n] == b.p[n])
		n++;
	return n;
}

static size_t same_end(struct rf_str a, struct rf_str b, size_t n, size_t most)
{
	for (; n + 8 <= most; n += 8) {
		uint64_t other = word(a.p + a.n - n - 8) ^ word(b.p + b.n - n - 8);
		if (other)
			return n + (size_t)__builtin_clzll(other) / 8;
	}
	while (n < most && a.p[a.n - n - 1] == b.p[b.n - n - 1])
		n++;
	return n;
}

/* What two documents have in common: first tried is as much as the two before had. */
static void compare(struct rf_str a, struct rf_str b, struct like *like)
{
	size_t most = a.n < b.n ? a.n : b.n;
	bool front = like->front <= most && memcmp(a.p, b.p, like->front) == 0;
	like->front = same_front(a, b, front ? like->front : 0, most);
	most -= like->front;
	bool end = like->end <= most && memcmp(a.p + a.n - like->end, b.p + b.n - like->end, like->end) == 0;
	like->end = same_end(a, b, end ? like->end : 0, most);
}

static char *put_doc(char *to, struct rf_str doc, struct rf_str before, struct like *like)
{
	if (doc.n && before.n)
		compare(doc, before, like);
	else
		*like = (struct like){ 0 };
	size_t between = doc.n - like->front - like->end;
	to = put_varint(put_varint(put_varint(to, like->front), like->end), between);
	return between ? mempcpy(to, doc.p + like->front, between) : to;
}

static char *put_row(char *to, const struct rf_store_child *r, const struct rf_store_child *before, struct like *like)
{
	char raw[ID_RAW];
	struct rf_str id = book_id(r);
	bool hex = pack_id(id, raw);
	*to++ = (char)((hex ? ID_HEX : 0) | (r->name ? 0 : NAME_IS_ID));
	if (hex)
		to = mempcpy(to, raw, sizeof raw);
	else
		to = put_str(put_varint(to, id.n), id);
	if (r->name)
		to = put_str(put_varint(to, r->name_n), book_name(r));
	to = put_step(to, (uint64_t)r->place, (uint64_t)before->place);
	to = put_step(to, r->revision, before->revision);
	to = put_step(to, (uint64_t)r->created_s, (uint64_t)before->created_s);
	to = put_step(to, (uint64_t)r->modified_s, (uint64_t)before->modified_s);
	return put_doc(to, book_doc(r), book_doc(before), like);
}

void book_write(const struct book_page *p, struct rf_buf *to)
{
	static const struct rf_store_child none = { .doc = "" };
	struct like like = { 0 };
	char *from = rf_buf_room(to, p->bytes), *at = from;
	if (!from)
		return;
	*at++ = (char)MARK;
	for (unsigned i = 0; i < p->n; i++)
		at = put_row(at, p->v[i], i ? p->v[i - 1] : &none, &like);
	to->n += (size_t)(at - from);
}

/* --- reading --- */

struct decoding {
	struct rf_cur c;
	struct rf_buf texts;
	unsigned n;
	struct rf_store_child v[BOOK_PAGE_ROWS];
	size_t doc[BOOK_PAGE_ROWS], name[BOOK_PAGE_ROWS]; /* where they are in the texts */
};

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

static void take_id(struct rf_cur *c, bool hex, char to[BOOK_ID_MOST + 1])
{
	struct rf_str raw = rf_cur_take(c, hex ? ID_RAW : take_varint(c));
	c->bad |= !raw.n || raw.n > BOOK_ID_MOST || (!hex && memchr(raw.p, '\0', raw.n));
	if (c->bad)
		return;
	memset(to, 0, BOOK_ID_MOST + 1);
	if (hex)
		rf_hex(raw.p, raw.n, to);
	else
		memcpy(to, raw.p, raw.n);
}

/* Room for a text of the row at hand, behind which a zero is put. NULL where there is none, or the page is damaged. */
static char *text_for(struct decoding *d, size_t n, size_t *ret_at)
{
	char *to = d->c.bad ? NULL : rf_buf_room(&d->texts, n + 1);
	if (!to)
		return NULL;
	*ret_at = d->texts.n;
	d->texts.n += n + 1;
	to[n] = '\0';
	return to;
}

static void take_name(struct decoding *d, struct rf_str name)
{
	struct rf_store_child *r = &d->v[d->n];
	d->c.bad |= name.n > UINT16_MAX;
	r->name_n = 0;
	r->name = NULL;
	if (d->c.bad || rf_str_eq(name, book_id(r)))
		return;
	char *to = text_for(d, name.n, &d->name[d->n]);
	if (!to)
		return;
	put_str(to, name);
	r->name = to; /* for now: only that there is one */
	r->name_n = (uint16_t)name.n;
}

/* `front` and `end` bytes are as in the row before. */
static void take_doc(struct decoding *d, uint64_t front, uint64_t end, struct rf_str between)
{
	struct rf_store_child *r = &d->v[d->n];
	size_t before = d->n ? r[-1].doc_n : 0, from = d->n ? d->doc[d->n - 1] : 0;
	d->c.bad |= front > before || end > before - front || front + end + between.n > UINT32_MAX;
	r->doc_n = (uint32_t)(front + end + between.n);
	char *to = text_for(d, r->doc_n, &d->doc[d->n]);
	if (!to)
		return;
	to = put_str(to, (struct rf_str){ d->texts.p + from, front });
	to = put_str(to, between);
	put_str(to, (struct rf_str){ d->texts.p + from + before - end, end });
}

static void take_row(struct decoding *d)
{
	static const struct rf_store_child none;
	struct rf_store_child *r = &d->v[d->n];
	const struct rf_store_child *before = d->n ? r - 1 : &none;
	uint8_t flags = rf_cur_u8(&d->c);
	*r = none;
	take_id(&d->c, flags & ID_HEX, r->id);
	if (!(flags & NAME_IS_ID))
		take_name(d, rf_cur_take(&d->c, take_varint(&d->c)));
	r->place = (int64_t)take_step(&d->c, (uint64_t)before->place);
	r->revision = take_step(&d->c, before->revision);
	r->created_s = (int64_t)take_step(&d->c, (uint64_t)before->created_s);
	r->modified_s = (int64_t)take_step(&d->c, (uint64_t)before->modified_s);
	uint64_t front = take_varint(&d->c), end = take_varint(&d->c);
	take_doc(d, front, end, rf_cur_take(&d->c, take_varint(&d->c)));
}

/* As an earlier version wrote it. */
static void take_old_row(struct decoding *d)
{
	struct rf_store_child *r = &d->v[d->n];
	size_t id = rf_cur_u8(&d->c), name = rf_cur_u16(&d->c), doc = rf_cur_u32(&d->c);
	*r = (struct rf_store_child){ .place = (int64_t)rf_cur_be(&d->c, 8) };
	r->revision = rf_cur_be(&d->c, 8);
	r->created_s = (int64_t)rf_cur_be(&d->c, 8);
	r->modified_s = (int64_t)rf_cur_be(&d->c, 8);
	struct rf_str raw = rf_cur_take(&d->c, id);
	d->c.bad |= !raw.n || raw.n > BOOK_ID_MOST || memchr(raw.p, '\0', raw.n);
	if (d->c.bad)
		return;
	memcpy(r->id, raw.p, raw.n);
	take_name(d, rf_cur_take(&d->c, name));
	take_doc(d, 0, 0, rf_cur_take(&d->c, doc));
}

static bool marked(struct rf_str data)
{
	return data.n && (uint8_t)data.p[0] == MARK;
}

int64_t book_first_place(struct rf_str data)
{
	char id[BOOK_ID_MOST + 1];
	struct rf_cur c = rf_cur_over(data.p, data.n);
	if (!marked(data)) {
		rf_cur_take(&c, 1 + 2 + 4);
		return (int64_t)rf_cur_be(&c, 8);
	}
	rf_cur_u8(&c);
	uint8_t flags = rf_cur_u8(&c);
	take_id(&c, flags & ID_HEX, id);
	if (!(flags & NAME_IS_ID))
		rf_cur_take(&c, take_varint(&c));
	uint64_t place = take_step(&c, 0);
	return c.bad ? 0 : (int64_t)place;
}

/* Rows and texts in one piece of memory. NULL without it. */
static struct book_chunk *chunk_of(const struct decoding *d)
{
	size_t rows = d->n * sizeof *d->v;
	struct book_chunk *c = malloc(sizeof *c + rows + d->texts.n);
	if (!c)
		return NULL;
	*c = (struct book_chunk){ .bytes = rows + d->texts.n };
	struct rf_store_child *r = (struct rf_store_child *)(c + 1);
	const char *texts = memcpy(r + d->n, d->texts.p, d->texts.n);
	memcpy(r, d->v, rows);
	for (unsigned i = 0; i < d->n; i++) {
		r[i].doc = texts + d->doc[i];
		r[i].name = r[i].name ? texts + d->name[i] : NULL;
	}
	return c;
}

int book_decode(struct rf_str data, struct book_chunk **ret, struct rf_store_child **ret_rows, unsigned *ret_n)
{
	struct decoding d = { .c = rf_cur_over(data.p, data.n) };
	bool marks = marked(data);
	struct book_chunk *c = NULL;
	if (marks)
		rf_cur_u8(&d.c);
	for (; rf_cur_left(&d.c) && !d.texts.bad && d.n < BOOK_PAGE_ROWS; d.n++)
		if (marks)
			take_row(&d);
		else
			take_old_row(&d);
	int rc = d.texts.bad ? RF_E_NOMEM : d.c.bad || !d.n || rf_cur_left(&d.c) ? RF_E_INVALID : RF_OK;
	if (rc == RF_OK && !(c = chunk_of(&d)))
		rc = RF_E_NOMEM;
	rf_buf_fini(&d.texts);
	if (rc != RF_OK)
		return rc;
	*ret = c;
	*ret_rows = (struct rf_store_child *)(c + 1);
	*ret_n = d.n;
	return RF_OK;
}
