/* A file for apply, or of tests: read, shape checked, rules compiled, tests run, and what was read written and read again. */
#include <stdlib.h>
#include "cli/try.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static int64_t no_time(void *ctx)
{
	(void)ctx;
	return 0;
}

static void try_rules(struct cli *c, const json_t *doc)
{
	struct rules_try *t = NULL;
	size_t passed, failed;
	if (cli_apply_check(c, doc) == RF_OK && cli_try_new(c, doc, &t) == RF_OK && json_object_get(doc, "tests"))
		cli_try_run(t, json_object_get(doc, "tests"), NULL, &passed, &failed);
	cli_try_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct rf_err e = { 0 };
	json_t *doc = NULL, *again = NULL;
	if (n > 65536 || cli_yaml_read((struct rf_str){ (const char *)p, n }, "fuzz", &doc, &e) != RF_OK)
		return 0;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	FILE *null = fopen("/dev/null", "we");
	struct cli c = { .out = null, .err = null, .clock = { .wall = no_time } };
	if (!out || !null)
		abort();
	if (cli_yaml_write(doc, out) == RF_OK && fflush(out) == 0 &&
	    cli_yaml_read((struct rf_str){ text, size }, "again", &again, &e) == RF_OK && !json_equal(doc, again))
		abort(); /* what is written must be read as the same */
	fclose(out);
	try_rules(&c, doc);
	fclose(null);
	free(text);
	json_decref(again);
	json_decref(doc);
	return 0;
}
