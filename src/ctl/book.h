/* ctl/book: the children of one parent that stand in an order of their own, as the store holds them in memory.
 *
 * Rows stand by place, in pages of about a hundred, which are also what the file keeps: a row that changes writes its page, and a hundred
 * thousand rows that are new a thousand pages, in which a row says only how it differs from the one before it. A book whose rows were
 * all given at once (ctl/book_fill.c) has them as they came, in one array, until somebody wants more of it than to go through them.
 *
 * Rows that came together are in one chunk of memory, which goes with the book; one that came by itself is alone, and goes by itself.
 * Private to the store.
 */
#pragma once
#include "base/buf.h"
#include "base/map.h"
#include "base/table.h"
#include "ctl/store.h"

enum {
	BOOK_PAGE_ROWS = 112,
	BOOK_PAGE_BYTES = 1 << 15, /* a page of several rows holds at most so much, before likenesses are left out */
	BOOK_ID_MOST = 32,
};

struct book_page {
	uint64_t number;
	size_t bytes;                /* that its rows take in the file, at most */
	unsigned n;
	bool dirty;                  /* the file does not have it so */
	struct book_page *next;      /* of those that are gone */
	struct rf_store_child *v[BOOK_PAGE_ROWS];
};

struct book_chunk {
	struct book_chunk *next;
	size_t bytes;
	void *rows, *texts, *kept;   /* on their own; or NULL: behind this */
};

struct book {
	struct rf_map_node node;     /* of the store, by parent */
	char parent[33];
	struct rf_table ids, names;  /* names: of rows whose name is not the id */
	bool known;                  /* all rows are in the tables; else none is */
	bool distinct;               /* while they are not: no two are of one id */
	struct book_page **v;        /* none is empty */
	size_t pages, cap, rows;
	struct rf_store_child *flat; /* all rows, which are in no page yet; else NULL */
	size_t kept;                 /* of these: bytes of texts that are another book's */
	size_t named;                /* while they are not known: rows with a name */
	struct book_chunk *chunks;
	size_t bytes;                /* of memory that rows take, and chunks */
	size_t alone, dead;          /* rows that are alone; bytes of chunks that no row uses any more */
	struct book_page *gone;      /* pages that the file may still have */
	uint64_t *numbers;           /* of pages that the file may have, of the book before; the first `taken` are again in use */
	size_t number_count, taken;
	uint64_t *next;              /* number of the next page that is made, in the whole file */
	bool lost;                   /* not what it should be, for want of memory: read it again */
};

/* NULL without memory. */
struct book *book_new(const char *parent, uint64_t *next);
void book_free(struct book *b); /* with its rows; NULL is nothing */

static inline struct rf_str book_id(const struct rf_store_child *r)
{
	return rf_str_z(r->id);
}

static inline struct rf_str book_doc(const struct rf_store_child *r)
{
	return (struct rf_str){ r->doc, r->doc_n };
}

static inline struct rf_str book_name(const struct rf_store_child *r)
{
	return r->name ? (struct rf_str){ r->name, r->name_n } : book_id(r);
}

/* A row, alone, with copies of the texts; other members are zero. NULL without memory, and where a text is too long. */
struct rf_store_child *book_row_new(struct rf_str id, struct rf_str name, struct rf_str doc);
void book_row_free(struct rf_store_child *r); /* if it is alone: others go with their book; NULL is nothing */

/* Rows of a flat book into pages, and into tables. What puts or takes a row, or finds it, is of a book whose rows are known; what goes
 * from row to row by place, of one that is settled. RF_E_NOMEM; RF_E_INVALID where two rows are of one id. */
int book_settle(struct book *b);
int book_know(struct book *b);

/* Of a new book: all its rows, by place; those of `was` that are kept are found there, and `was` must outlive the book, or its
 * settling. RF_E_CONFLICT, RF_E_NOMEM, and all is as it was; else array and texts are the book's. */
int book_fill(struct book *b, struct book *was, struct rf_store_child *v, size_t n, struct rf_buf *texts, uint64_t revision,
	      int64_t now, struct rf_err *e);

/* Put a row where its place says, or take one out that is there; whose it is then is the caller's affair. RF_E_NOMEM. Rows of one
 * place stand by id. */
int book_in(struct book *b, struct rf_store_child *r);
void book_out(struct book *b, struct rf_store_child *r);

size_t book_memory(const struct book *b); /* that it takes, about */
bool book_wastes(const struct book *b);   /* half of it and more is for nothing */

struct rf_store_child *book_find(const struct book *b, struct rf_str id);       /* NULL: none */
struct rf_store_child *book_find_name(const struct book *b, struct rf_str name); /* one of that name */

/* Where a row is. */
struct book_at {
	size_t page;
	unsigned row;
};
struct rf_store_child *book_row_at(const struct book *b, struct book_at at); /* NULL past either end */
struct book_at book_seek(const struct book *b, int64_t place, struct rf_str id); /* the first row that is not before these */
struct book_at book_skip(const struct book *b, size_t rows);            /* after so many from the first; or past the end */
struct book_at book_next(const struct book *b, struct book_at at);
struct book_at book_before(const struct book *b, struct book_at at);    /* of the first row: past the end */

/* A page as the file keeps it; appended. */
void book_write(const struct book_page *p, struct rf_buf *to);
/* Rows of a page that was read, behind all that the book has. RF_E_NOMEM; RF_E_INVALID where it is damaged. */
int book_read(struct book *b, uint64_t number, struct rf_str data);
int64_t book_first_place(struct rf_str data); /* of a page that was read; 0 where it is damaged */
/* The file has it all: no page is dirty or gone. */
void book_stored(struct book *b);

/* Of the book's own files. Rows of a page of the file, in a chunk of their own: */
int book_decode(struct rf_str data, struct book_chunk **ret, struct rf_store_child **ret_rows, unsigned *ret_n);
struct book_page *book_page_new(struct book *b, size_t at); /* NULL without memory */
bool book_fits(const struct book_page *p, const struct rf_store_child *r);
void book_put_at(struct book_page *p, unsigned at, struct rf_store_child *r);
/* Into the tables, where there is room, under the hash of its id. False: there is another of that id. */
bool book_index(struct book *b, struct rf_store_child *r, uint64_t hash);
size_t book_row_memory(const struct rf_store_child *r);
