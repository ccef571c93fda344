/* ctl/book_fill: all rows of a book at once: see book.h.
 *
 *	book_fill: an array of rows -> what the caller could not say of each (revision, times, what it keeps of the book before) -> the book,
 *	           which is flat
 *	book_settle: kept texts -> a copy of them; rows -> pages
 *	book_know: rows -> tables
 *
 * Who goes through the rows of a flat book goes through one piece of memory; what it takes to write a row, and to find it, is put off.
 * What the rows of a flat book keep is still the memory of the book before.
 */
#include <stdlib.h>
#include "base/err.h"
#include "base/hash.h"
#include "base/way.h"
#include "ctl/book.h"

enum {
	AHEAD = 4,    /* rows of the book before that are looked at before its table is */
	AT_ONCE = 16, /* rows whose slots are on their way from memory */
};

struct filling {
	struct book *b, *was;
	struct book_at at;    /* in `was`, behind the last that was found there */
	size_t looks;         /* that are left for finding rows there without a table */
	uint64_t revision;
	int64_t now;
	struct rf_err *e;
};

static int no_memory(struct rf_err *e)
{
	return rf_fail(e, RF_E_NOMEM, "no memory for rules");
}

static bool is_behind(struct book_at a, struct book_at b)
{
	return a.page != b.page ? a.page < b.page : a.row < b.row;
}

/* Most stand in the order in which they stood: a table is made of those before only when this finds too few. */
static const struct rf_store_child *ahead(struct filling *f, const char *id)
{
	struct book_at at = f->at;
	const struct rf_store_child *r;
	for (size_t i = f->was->known ? AHEAD : f->looks; i > 0 && (r = book_row_at(f->was, at)); i--, f->looks -= f->looks > 0) {
		rf_way_give_at(i);
		at = book_next(f->was, at);
		if (strcmp(r->id, id) != 0)
			continue;
		f->at = at;
		return r;
	}
	return NULL;
}

/* The row before of an id, or NULL. Those that are found one behind the other are not the same. */
static int before(struct filling *f, const char *id, const struct rf_store_child **ret)
{
	int rc = book_settle(f->was);
	const struct rf_store_child *r = rc == RF_OK ? ahead(f, id) : NULL;
	if (rc == RF_OK && !r) {
		rc = book_know(f->was);
		r = rc == RF_OK ? book_find(f->was, rf_str_z(id)) : NULL;
		struct book_at at = r ? book_seek(f->was, r->place, book_id(r)) : f->at;
		f->b->distinct &= r && !is_behind(at, f->at);
		f->at = r ? book_next(f->was, at) : at;
	}
	*ret = r;
	return rc;
}

/* All but the texts, and these where it keeps them. */
static int complete(struct filling *f, struct rf_store_child *c)
{
	const struct rf_store_child *old = NULL;
	if (!c->fresh && before(f, c->id, &old) != RF_OK)
		return no_memory(f->e);
	if (!old && !c->doc_n)
		return rf_fail(f->e, RF_E_CONFLICT, "there is no %s in ruleset %s", c->id, f->b->parent);
	if (c->doc_n && c->name && c->name[c->name_n])
		return rf_fail(f->e, RF_E_INTERNAL, "the name of rule %s has no end", c->id);
	bool same = !c->doc_n && old->place == c->place;
	c->alone = false;
	c->kept = !c->doc_n;
	c->revision = same ? old->revision : f->revision;
	c->modified_s = same ? old->modified_s : f->now;
	c->created_s = old ? old->created_s : f->now;
	if (c->kept) {
		c->name = old->name;
		c->name_n = old->name_n;
		c->doc = old->doc;
		c->doc_n = old->doc_n;
		c->note = old->note;
		f->b->kept += book_row_memory(c) - sizeof *c;
	}
	f->b->named += c->name != NULL;
	return RF_OK;
}

static void forget(struct rf_store_child *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		rf_way_give_at(i);
		if (!v[i].kept)
			continue;
		v[i].name = v[i].doc = NULL;
		v[i].name_n = 0;
		v[i].doc_n = 0;
	}
}

/* The pages that the file may have are written over by those of the new book. */
static bool take_numbers(struct book *b, const struct book *was)
{
	size_t n = was->pages + was->number_count - was->taken;
	for (const struct book_page *p = was->gone; p; p = p->next)
		n++;
	b->numbers = malloc((n + 1) * sizeof *b->numbers);
	if (!b->numbers)
		return false;
	for (size_t i = 0; i < was->pages; i++)
		b->numbers[b->number_count++] = was->v[i]->number;
	for (size_t i = was->taken; i < was->number_count; i++)
		b->numbers[b->number_count++] = was->numbers[i];
	for (const struct book_page *p = was->gone; p; p = p->next)
		b->numbers[b->number_count++] = p->number;
	return true;
}

static int complete_all(struct filling *f, struct rf_store_child *v, size_t n)
{
	for (size_t i = 0; i < n; i++, f->revision++) {
		rf_way_give_at(i);
		int rc = i && v[i - 1].place >= v[i].place ?
			rf_fail(f->e, RF_E_CONFLICT, "rules %s and %s are not in order", v[i - 1].id, v[i].id) : complete(f, &v[i]);
		if (rc == RF_OK)
			continue;
		forget(v, i);
		return rc;
	}
	return RF_OK;
}

int book_fill(struct book *b, struct book *was, struct rf_store_child *v, size_t n, struct rf_buf *texts, uint64_t revision,
	      int64_t now, struct rf_err *e)
{
	struct filling f = { .b = b, .was = was, .looks = 2 * was->rows, .revision = revision, .now = now, .e = e };
	struct book_chunk *c = calloc(1, sizeof *c);
	if (!c || !take_numbers(b, was)) {
		free(c);
		return no_memory(e);
	}
	b->distinct = true;
	int rc = complete_all(&f, v, n);
	if (rc != RF_OK) {
		free(c);
		return rc;
	}
	*c = (struct book_chunk){ .bytes = n * sizeof *v + texts->cap, .rows = v, .texts = texts->p };
	*texts = (struct rf_buf){ .bound = texts->bound };
	b->chunks = c;
	b->bytes = c->bytes;
	b->rows = n;
	b->flat = n ? v : NULL;
	b->known = !n;
	return RF_OK;
}

/* --- settling --- */

static bool settle_rows(struct book *b)
{
	struct book_page *p = NULL;
	for (size_t i = 0; i < b->rows; i++) {
		struct rf_store_child *r = &b->flat[i];
		rf_way_give_at(i);
		if ((!p || !book_fits(p, r)) && !(p = book_page_new(b, b->pages)))
			return false;
		book_put_at(p, p->n, r);
	}
	return true;
}

static void unsettle(struct book *b, size_t taken)
{
	while (b->pages)
		free(b->v[--b->pages]);
	b->taken = taken;
}

static void keep_texts(struct book *b, char *to)
{
	for (size_t i = 0; i < b->rows; i++) {
		struct rf_store_child *r = &b->flat[i];
		rf_way_give();
		if (!r->kept)
			continue;
		r->kept = false;
		r->doc = memcpy(to, r->doc, r->doc_n);
		to += r->doc_n;
		*to++ = '\0';
		r->name = r->name ? memcpy(to, r->name, r->name_n + 1u) : NULL;
		to += r->name ? r->name_n + 1u : 0;
	}
}

static int settle(struct book *b)
{
	size_t taken = b->taken;
	char *kept = b->kept ? malloc(b->kept) : NULL;
	if ((b->kept && !kept) || !settle_rows(b)) {
		unsettle(b, taken);
		free(kept);
		return RF_E_NOMEM;
	}
	if (kept)
		keep_texts(b, kept);
	b->chunks->kept = kept;
	b->chunks->bytes += b->kept;
	b->bytes += b->kept;
	b->kept = 0;
	b->flat = NULL;
	return RF_OK;
}

/* Where two may be of one id, that is found out now. */
int book_settle(struct book *b)
{
	int rc = b->flat ? settle(b) : RF_OK;
	return rc == RF_OK && !b->distinct ? book_know(b) : rc;
}

static bool know_page(struct book *b, const struct book_page *p)
{
	uint64_t hash[AT_ONCE];
	for (unsigned from = 0; from < p->n; from += AT_ONCE) {
		unsigned n = p->n - from < AT_ONCE ? p->n - from : AT_ONCE;
		for (unsigned i = 0; i < n; i++) {
			hash[i] = rf_hash_quick(book_id(p->v[from + i]));
			__builtin_prefetch(&b->ids.slot[hash[i] & b->ids.mask], 1);
		}
		for (unsigned i = 0; i < n; i++)
			if (!book_index(b, p->v[from + i], hash[i]))
				return false;
	}
	return true;
}

int book_know(struct book *b)
{
	int rc = b->flat ? settle(b) : RF_OK;
	if (rc != RF_OK || b->known)
		return rc;
	if (!rf_table_reserve(&b->ids, b->rows) || (b->named && !rf_table_reserve(&b->names, b->named)))
		rc = RF_E_NOMEM;
	for (size_t i = 0; i < b->pages && rc == RF_OK; i++) {
		rf_way_look();
		rc = know_page(b, b->v[i]) ? RF_OK : RF_E_INVALID;
	}
	if (rc != RF_OK) {
		rf_table_fini(&b->ids);
		rf_table_fini(&b->names);
		return rc;
	}
	b->named = 0;
	b->known = true;
	return RF_OK;
}
