/* A body against each shape of the API: byte 0 chooses the shape, byte 1 whole or part, the rest is the JSON. What is
 * found good must be good again as it is stored. */
#include <stdlib.h>
#include "api/call.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ignore(void *ctx, int code, const char *pointer, const char *text)
{
	(void)ctx, (void)code, (void)pointer, (void)text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rf_err e;
	json_t *doc = NULL;
	if (size < 2 || rf_json_read((struct rf_str){ (const char *)data + 2, size - 2 }, &doc, &e) != RF_OK)
		return 0;
	enum rf_resource r = (enum rf_resource)(data[0] % RF_RES_COUNT);
	struct rf_findings f = { .add = ignore };
	if (rf_schema_check(r, doc, data[1] & 1 ? RF_SCHEMA_PART : RF_SCHEMA_WHOLE, "", &f)) {
		struct rf_findings again = { .add = ignore };
		if (!rf_schema_check(r, doc, data[1] & 1 ? RF_SCHEMA_PART : RF_SCHEMA_WHOLE, "", &again))
			abort();
		rf_schema_hide(r, doc);
	}
	json_decref(doc);
	return 0;
}
