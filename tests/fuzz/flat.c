/* A document for the quick reader. Belief: where it reads a document that jansson reads too, both find the same. */
#include <jansson.h>
#include <stdlib.h>
#include "ctl/flat.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define CHECK(belief) do { if (!(belief)) abort(); } while (0)

static void same(const json_t *v, struct rf_str s)
{
	if (json_is_string(v))
		CHECK(rf_str_eq(s, (struct rf_str){ json_string_value(v), json_string_length(v) }));
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct rf_str model = { NULL, 0 }, tags[4];
	size_t count = 0;
	const struct rf_flat_want v[] = { { .name = "model", .text = &model },
					  { .name = "tags", .items = tags, .max = 4, .count = &count } };
	json_t *doc = json_loadb((const char *)p, n, JSON_REJECT_DUPLICATES, NULL);
	if (rf_flat_read((struct rf_str){ (const char *)p, n }, v, 2) && doc) {
		const json_t *list = json_object_get(doc, "tags");
		same(json_object_get(doc, "model"), model);
		CHECK(count <= 4 && (!json_is_array(list) || count == (json_array_size(list) < 4 ? json_array_size(list) : 4)));
		for (size_t i = 0; i < count; i++)
			same(json_array_get(list, i), tags[i]);
	}
	json_decref(doc);
	return 0;
}
