/* A page of rules of the state file. Belief: one that is read can be written and read again, and all rows are the same. */
#include <stdlib.h>
#include "base/err.h"
#include "ctl/book.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define CHECK(belief) do { if (!(belief)) abort(); } while (0)

static void same(const struct rf_store_child *a, const struct rf_store_child *b)
{
	CHECK(rf_str_eq(book_id(a), book_id(b)) && rf_str_eq(book_name(a), book_name(b)) && rf_str_eq(book_doc(a), book_doc(b)));
	CHECK(a->place == b->place && a->revision == b->revision && a->created_s == b->created_s && a->modified_s == b->modified_s);
	CHECK(!a->doc[a->doc_n] && !b->doc[b->doc_n] && (!a->name || !a->name[a->name_n]));
}

static void again(const struct book_page *p)
{
	RF_BUF_AUTO text = { 0 };
	struct book_chunk *c;
	struct rf_store_child *rows;
	unsigned n;
	book_write(p, &text);
	CHECK(!text.bad && text.n <= p->bytes);
	CHECK(book_decode(rf_buf_str(&text), &c, &rows, &n) == RF_OK && n == p->n);
	CHECK(book_first_place(rf_buf_str(&text)) == rows->place);
	for (unsigned i = 0; i < n; i++)
		same(p->v[i], &rows[i]);
	free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	uint64_t next = 1;
	struct rf_str data = { (const char *)p, n };
	struct book *b = book_new("0123456789abcdef0123456789abcdef", &next);
	CHECK(b);
	book_first_place(data);
	int rc = book_read(b, 7, data);
	CHECK(rc == RF_OK || rc == RF_E_INVALID);
	if (rc == RF_OK)
		again(b->v[0]);
	book_free(b);
	return 0;
}
