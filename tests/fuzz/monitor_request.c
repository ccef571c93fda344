/* Any bytes as a request of the engine: what passes the check is within the plan. */
#include <stdint.h>
#include <stdlib.h>
#include "bpf/steer.h"
#include "monitor/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct rf_plan plan = { .listener_count = 3, .file_count = 2, .ports_allowed = { 1ull << 22 },
					     .listeners = { { .ip.family = 4, .port = 22 }, { .ip.family = 4, .ports = true },
							    { .ip = { 4, { 192, 0, 2, 1 } }, .ports = true } } };
	struct rf_request r;
	if (rf_request_check(data, size, &plan, &r) != RF_OK)
		return 0;
	if (r.kind >= RF_REQUEST_COUNT || (r.kind == RF_REQUEST_LISTEN && r.arg >= 3) || (r.kind == RF_REQUEST_OPEN && r.arg >= 2) ||
	    ((r.kind == RF_REQUEST_BIND || r.kind == RF_REQUEST_UNBIND || r.kind == RF_REQUEST_REPLY) &&
	     r.arg != (1u << 17 | 1u << 16 | 22) && r.arg != (2u << 17 | 1u << 16 | 22)) || /* TCP 22 is a listener's */
	    (r.kind == RF_REQUEST_STEERED && r.arg >= RF_STEER_GROUPS) || strlen(r.text) >= sizeof r.text || strpbrk(r.text, "\r\n"))
		abort();
	return 0;
}
