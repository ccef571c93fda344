/* Any bytes as a boot file: an error with a place, or a boot whose dump reads back. */
#include <stdint.h>
#include <stdlib.h>
#include "ctl/boot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rf_boot *b, *again;
	struct rf_err e = { 0 };
	if (rf_boot_parse((struct rf_str){ (const char *)data, size }, "fuzz.yaml", &b, &e) != RF_OK)
		return 0;
	RF_BUF_AUTO out = { 0 };
	rf_boot_dump(b, &out);
	rf_boot_free(b);
	if (rf_boot_parse(rf_buf_str(&out), "dump.yaml", &again, &e) != RF_OK)
		abort();
	rf_boot_free(again);
	return 0;
}
