/* cli/rule: walking over the rules of an account and its zones. */
#pragma once
#include "cli/cli.h"

struct rules_walk {
	/* `path`: of the ruleset; `where`: "account" or the zone's name. */
	int (*each)(struct cli *c, struct rules_walk *w, const char *path, const char *where, const json_t *set, json_t *rule);
	const char *phase;   /* only this one; NULL: all */
	const char *name;
	json_t *found;
	size_t hits;
	struct rf_buf path;
};

/* All rules, the account's first; only those of --zone where it is given. */
int cli_rules_walk(struct cli *c, struct rules_walk *w);
