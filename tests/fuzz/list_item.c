/* Entries of named lists: the first byte is the kind. Beliefs: an entry has one writing, which is read as itself, stays within its
 * bound, and is found in a list of it until it is removed. */
#include <stdlib.h>
#include <string.h>
#include "policy/lists.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(belief) do { if (!(belief)) abort(); } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const kinds[] = { "ip", "hostname", "asn", "string", "hash" };
	char first[RF_LIST_ITEM_SIZE + 1], second[RF_LIST_ITEM_SIZE + 1];
	struct rf_str item, again;
	enum rf_list_kind kind;
	struct rf_err e;
	if (!size || !rf_list_kind_find(rf_str_z(kinds[data[0] % 5]), &kind) ||
	    rf_list_item(kind, (struct rf_str){ (const char *)data + 1, size - 1 }, first, &item, &e) != RF_OK)
		return 0;
	CHECK(item.n && item.n <= RF_LIST_ITEM_SIZE);
	CHECK(rf_list_item(kind, item, second, &again, &e) == RF_OK && rf_str_eq(item, again));
	struct rf_list *l = rf_list_new(kind);
	if (l) {
		CHECK(rf_list_insert(l, item) == RF_OK && rf_list_insert(l, again) == RF_E_EXISTS);
		CHECK(rf_list_remove(l, again) && !rf_list_remove(l, item));
	}
	rf_list_put(l);
	return 0;
}
