/* ctl/flat: members of a flat JSON document, found without building a tree: for a million documents at the start.
 *
 * It reads what our own writer makes of the commonest objects: one level of members whose values are texts without
 * escapes, numbers, words, or lists of such texts. Anything else is false, and the caller parses in full.
 */
#pragma once
#include "base/str.h"

struct rf_flat_want {
	const char *name;
	struct rf_str *text;  /* set to the member's text; untouched where the member is absent or no text */
	struct rf_str *items; /* or, for a list of texts: room for `max` of them; more are left out */
	size_t max, *count;
};

/* The wanted members of the document; texts are borrowed from it. false: not so flat, and what was set is of no use. */
bool rf_flat_read(struct rf_str doc, const struct rf_flat_want *v, size_t n);
