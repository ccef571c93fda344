/* ctl/book: the children of one parent that stand in an order of their own, as the store holds them in memory.
 *
 * Rows stand by place, in pages of about a hundred, which are also what the file keeps: a row that changes writes its page, and a hundred
 * thousand rows that are new a thousand pages, in which a row says only how it differs from the one before it. Private to the store.
 */
#pragma once
#include "base/buf.h"
#include "base/map.h"
#include "base/table.h"

enum {
	BOOK_PAGE_ROWS = 112,
	BOOK_PAGE_BYTES = 1 << 15, /* a page of several rows holds at most so much, before likenesses are left out */
};

struct book_row {
	struct rf_str id, name, doc; /* the row's own memory; a zero behind each */
	uint64_t revision;
	uint64_t note;               /* see rf_raw_object */
	int64_t place, created_s, modified_s;
	char text[];
};

struct book_page {
	uint64_t number;
	size_t bytes;                /* that its rows take in the file, at most */
	unsigned n;
	bool dirty;                  /* the file does not have it so */
	struct book_page *next;      /* of those that are gone */
	struct book_row *v[BOOK_PAGE_ROWS];
};

struct book {
	struct rf_map_node node;     /* of the store, by parent */
	char parent[33];
	struct rf_table ids, names;  /* names: of rows whose name is not the id */
	struct book_page **v;        /* none is empty */
	size_t pages, cap, rows;
	size_t bytes;                /* of memory that rows take */
	struct book_page *gone;      /* pages that the file may still have */
	uint64_t *next;              /* number of the next page that is made, in the whole file */
	bool anew;                   /* whatever pages the file has of the parent are others' */
	bool lost;                   /* not what it should be, for want of memory: read it again */
};

/* NULL without memory. */
struct book *book_new(const char *parent, uint64_t *next);
void book_free(struct book *b); /* with its rows; NULL is nothing */

/* A row with copies of the texts; other members are zero. NULL without memory. */
struct book_row *book_row_new(struct rf_str id, struct rf_str name, struct rf_str doc);

/* Put a row where its place says, or take one out that is there; whose it is then is the caller's affair. RF_E_NOMEM. Rows of one
 * place stand by id. */
int book_in(struct book *b, struct book_row *r);
void book_out(struct book *b, struct book_row *r);

size_t book_memory(const struct book *b); /* that it takes, about */

struct book_row *book_find(const struct book *b, struct rf_str id);       /* NULL: none */
struct book_row *book_find_name(const struct book *b, struct rf_str name); /* one of that name */

/* Where a row is. */
struct book_at {
	size_t page;
	unsigned row;
};
struct book_row *book_row_at(const struct book *b, struct book_at at); /* NULL past either end */
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
void book_settled(struct book *b);
