/* monitor/test: the kernel filter for tests, and what it says of a frame. Needs root and BPF.
 *
 * One at a time; its pins go with test_filter_unpin.
 */
#pragma once
#include <bpf/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "monitor/filter.h"
#include "shield/tables.h"

enum { TEST_FRAME_LEAST = 14, TEST_FRAME_MOST = 3400 }; /* what BPF_PROG_TEST_RUN takes */

static struct {
	struct rf_filter *filter;
	struct rf_kernel kernel;
	struct rf_tables maps;
	struct rf_filter_counts *counts;
	char dir[64];
	int cpus;
} test;

static void *test_map(unsigned which, size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, rf_filter_map(test.filter, which), 0);
	return p == MAP_FAILED ? NULL : p;
}

static int test_filter_open(const char *name, bool *ret_fresh, struct rf_err *e)
{
	if (!test.dir[0])
		rf_kernel_probe(RF_FILTER_USES, 0, &test.kernel);
	snprintf(test.dir, sizeof test.dir, "/sys/fs/bpf/rf%s-%d", name, (int)getpid());
	int rc = rf_filter_open(test.dir, &test.kernel, &test.filter, ret_fresh, e);
	if (rc != RF_OK)
		return rc;
	test.maps = (struct rf_tables){
		.first = test_map(RF_FILTER_MAP_dir_first, RF_DIR_CHUNKS * sizeof *test.maps.first),
		.buckets = test_map(RF_FILTER_MAP_exact, RF_EXACT_BUCKETS * sizeof *test.maps.buckets),
		.root = test_map(RF_FILTER_MAP_six_root, sizeof *test.maps.root),
		.conf = test_map(RF_FILTER_MAP_conf, sizeof *test.maps.conf),
	};
	test.counts = test_map(RF_FILTER_MAP_counts, RF_FILTER_CPUS * sizeof *test.counts);
	test.cpus = (int)sysconf(_SC_NPROCESSORS_CONF);
	test.cpus = test.cpus < RF_FILTER_CPUS ? test.cpus : RF_FILTER_CPUS;
	return test.maps.first && test.maps.buckets && test.maps.root && test.maps.conf && test.counts ? RF_OK : RF_E_NOMEM;
}

static void test_filter_close(void)
{
	munmap(test.maps.first, RF_DIR_CHUNKS * sizeof *test.maps.first);
	munmap(test.maps.buckets, RF_EXACT_BUCKETS * sizeof *test.maps.buckets);
	munmap(test.maps.root, sizeof *test.maps.root);
	munmap(test.maps.conf, sizeof *test.maps.conf);
	munmap(test.counts, RF_FILTER_CPUS * sizeof *test.counts);
	rf_filter_close(test.filter);
}

static void test_filter_unpin(void)
{
	static const char *const names[] = {
#define X(name) #name,
		RF_FILTER_MAPS(X)
		RF_FILTER_KEPT(X)
#undef X
	};
	char path[128];
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, "%s/rf_%s", test.dir, names[i]);
		unlink(path);
	}
	rmdir(test.dir);
}

static void test_totals(uint64_t to[RF_DROP_COUNT])
{
	for (int i = 0; i < RF_DROP_COUNT; i++)
		to[i] = 0;
	for (int cpu = 0; cpu < test.cpus; cpu++)
		for (int i = 0; i < RF_DROP_COUNT; i++)
			to[i] += test.counts[cpu].frames[i];
}

/* Run a frame through the kernel: which counter moved; RF_DROP_COUNT: none, more than one, or another verdict than it says. */
static enum rf_drop test_filter_run(const uint8_t *frame, size_t n)
{
	uint64_t before[RF_DROP_COUNT], after[RF_DROP_COUNT];
	uint8_t out[TEST_FRAME_MOST + 256];
	enum rf_drop why = RF_DROP_COUNT;
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = frame, .data_size_in = (__u32)n, .data_out = out, .data_size_out = sizeof out, .repeat = 1);
	test_totals(before);
	if (bpf_prog_test_run_opts(rf_filter_program(test.filter), &o) != 0)
		return RF_DROP_COUNT;
	test_totals(after);
	for (int i = 0; i < RF_DROP_COUNT; i++) {
		if (after[i] == before[i])
			continue;
		if (why != RF_DROP_COUNT || after[i] != before[i] + 1)
			return RF_DROP_COUNT;
		why = (enum rf_drop)i;
	}
	__u32 verdict = (int)why <= RF_DROP_LAST_PASS ? 2 : why == RF_DROP_COOKIE ? 3 : 1; /* XDP_PASS, XDP_TX, XDP_DROP */
	return o.retval == verdict ? why : RF_DROP_COUNT;
}
