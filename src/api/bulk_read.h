/* api/bulk_read: the entries of a large body, read without the whole as a tree, in order of their keys. Any thread. */
#pragma once
#include "api/entry.h"

enum { RF_BULK_PART = 256 << 10 }; /* bytes of a part, and at most one entry more */

struct rf_bulk_parts {
	struct rf_buf *v;
	size_t n, cap, entries;
};
void rf_bulk_parts_fini(struct rf_bulk_parts *p);

/* `body` is a JSON array of entries of a list of that kind, or, with `remove`, an object {"items": [{"id": ...}, ...]}. Of entries with one
 * value the last counts. The pointer of an error names the entry ("/17/ip"). */
int rf_bulk_read(struct rf_str body, const char *kind, const char *list_id, bool remove, struct rf_bulk_parts *ret,
		 struct rf_err *e);
