/* bpf/parse, bpf/homes: frames as the kernel filter reads and counts them, compiled for the host. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "bpf/homes.h"
#include "bpf/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct rf_frame f;
	uint8_t *exact = malloc(n + !n); /* so that a byte too far is seen */
	if (!exact || n > 65600) {
		free(exact);
		return 0;
	}
	memcpy(exact, data, n);
	enum rf_drop why = rf_parse_frame(exact, exact + n, &f);
	if (why >= RF_DROP_COUNT || (why == RF_DROP_PASS && f.family != 4 && f.family != 6) || (f.part && f.dport))
		abort();
	if (why == RF_DROP_PASS) {
		static struct rf_filter_conf conf = { .ban = { 1ull << 23 }, .scan = { ~0ull } };
		struct rf_home home = { 0 };
		rf_home_count(&home, &conf, &f, 1);
		if (home.syns + home.datagrams + home.frames != 1 || home.scans > home.syns + home.frames)
			abort();
	}
	free(exact);
	return 0;
}
