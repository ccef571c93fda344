/* ctl/store_pages: the children of placed kinds as rows of the table rule_pages. Private to the store. */
#pragma once
#include "ctl/book.h"
#include "ctl/store_db.h"

/* The pages of a book that is new and empty. RF_E_DISK where they are damaged. */
int rf_pages_read(struct rf_store *s, struct book *b, struct rf_err *e);
/* Set s->page_next where it is not known: the first page that is made gets a number that no page of the file has. */
int rf_pages_count(struct rf_store *s, struct rf_err *e);
/* All who can be a parent, whose children may then be read. */
int rf_pages_parents(struct rf_store *s, int (*each)(struct rf_store *s, const char *parent, struct rf_err *e), struct rf_err *e);
/* What of a book, which is settled, the file does not have as it is. */
int rf_pages_write(struct rf_store *s, const struct book *b, struct rf_err *e);
