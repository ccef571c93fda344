/* Any bytes as a request of the engine: what passes the check is within the plan. */
#include <stdint.h>
#include <stdlib.h>
#include "monitor/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct rf_plan plan = { .listener_count = 3, .file_count = 2 };
	struct rf_request r;
	if (rf_request_check(data, size, &plan, &r) != RF_OK)
		return 0;
	if (r.kind >= RF_REQUEST_COUNT || (r.kind == RF_REQUEST_LISTEN && r.arg >= 3) || (r.kind == RF_REQUEST_OPEN && r.arg >= 2) ||
	    strlen(r.text) >= sizeof r.text || strpbrk(r.text, "\r\n"))
		abort();
	return 0;
}
