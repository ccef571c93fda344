/* cli/try: rules of a file compiled and tested here, without a daemon. */
#pragma once
#include "cli/cli.h"

/* The rules of a file in the form of apply: lists, rules, zones[].rules. Compiled when made. */
struct rules_try;
int cli_try_new(struct cli *c, const json_t *doc, struct rules_try **ret);
void cli_try_free(struct rules_try *t);

/* Run tests, each over the rules of the zone of its host (all over `zone` where it is not NULL). Says each failure on the
 * error stream. RF_OK where the tests could be read. */
int cli_try_run(struct rules_try *t, const json_t *tests, const char *zone, size_t *ret_passed, size_t *ret_failed);
/* A sentence on the output, and RF_E_CONFLICT where a test failed. */
int cli_try_verdict(struct cli *c, size_t passed, size_t failed);
/* The tests that the patches of a file bring with them; those that fail are named on the error stream. */
int cli_try_own(struct rules_try *t, const json_t *patches, size_t *ret_failed);
