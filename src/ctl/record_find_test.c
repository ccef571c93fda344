/* Files of records: the line with the RayID, wherever chunks end, and nothing that only looks like it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "ctl/doc.h"
#include "ctl/record_find.h"

static struct rf_boot boot;
static char path[64] = "/tmp/record-find-XXXXXX";

static int64_t found(const char *ray)
{
	struct rf_err e;
	json_t *line = NULL;
	int rc = rf_record_find(&boot, NULL, ray, &line, &e);
	int64_t n = rc == RF_OK ? doc_int(line, "N", -1) : rc;
	json_decref(line);
	return n;
}

static void every_line_is_found_across_chunks(void **state)
{
	(void)state;
	FILE *f = fopen(path, "w");
	for (int i = 0; i < 30000; i++) /* 3 MB */
		fprintf(f, "{\"Type\":\"request\",\"N\":%d,\"RayID\":\"ray%d\",\"UserAgent\":\"%080d\"}\n", i, i, 0);
	assert_int_equal(fclose(f), 0);
	for (int i = 0; i < 30000; i += 1500) {
		char ray[16];
		snprintf(ray, sizeof ray, "ray%d", i);
		assert_int_equal(found(ray), i);
	}
	assert_int_equal(found("ray29999"), 29999);
	assert_int_equal(found("ray30000"), RF_E_INVALID);
}

static void what_only_looks_like_it_is_passed_by(void **state)
{
	(void)state;
	FILE *f = fopen(path, "w");
	fputs("{\"Type\":\"request\",\"N\":1,\"UserAgent\":\"\\\"RayID\\\":\\\"a1\\\"\"}\n"
	      "{\"Type\":\"request\",\"N\":2,\"inner\":{\"RayID\":\"a1\"}}\n"
	      "{\"Type\":\"connection\",\"N\":3,\"RayID\":\"a1\"}\n"
	      "\"RayID\":\"a1\" broken\n"
	      "{\"Type\":\"request\",\"N\":5,\"RayID\":\"a1\"}\n"
	      "{\"Type\":\"request\",\"N\":6,\"RayID\":\"cut\"", f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(found("a1"), 5);
	assert_int_equal(found("cut"), RF_E_INVALID);
	assert_int_equal(found("a1\"}"), RF_E_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(every_line_is_found_across_chunks),
					    cmocka_unit_test(what_only_looks_like_it_is_passed_by) };
	int fd = mkstemp(path);
	if (fd < 0)
		return 1;
	close(fd);
	boot.records_file = path;
	boot.records_samples = "";
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	return failed;
}
