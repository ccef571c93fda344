/* bpf/parse, bpf/homes: frames as the kernel filter reads and counts them, compiled for the host; and, with root and BPF, each frame through
 * the program itself (BPF_PROG_TEST_RUN), which has to say the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "bpf/homes.h"
#include "bpf/parse.h"
#include "monitor/test.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void close_kernel(void)
{
	test_filter_close();
	test_filter_unpin();
}

/* Once: is there a kernel that takes the program? */
static int has_kernel(void)
{
	static int has = -1;
	struct rf_err e = { 0 };
	bool fresh;
	if (has >= 0)
		return has;
	has = geteuid() == 0 && test_filter_open("fuzz", &fresh, &e) == RF_OK;
	if (has)
		atexit(close_kernel);
	else
		fprintf(stderr, "frames are read on the host alone: %s\n", e.text[0] ? e.text : "this takes root");
	return has;
}

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
	if (n >= TEST_FRAME_LEAST && n <= TEST_FRAME_MOST && has_kernel() && test_filter_run(data, n) != why)
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
