/* cli/try_patch: patches of a file in a rehearsal (cli/try). */
#pragma once
#include "cli/cli.h"
#include "policy/rule.h"

/* The rules that the patches make in their states, a ruleset for each phase that has any. */
int cli_try_patches(struct cli *c, const struct rf_rule_env *env, const json_t *patches, struct rf_ruleset *to[RF_PHASE_COUNT]);
/* The attacks and harmless requests of each; those that fail are named on the error stream. */
int cli_try_patch_tests(struct cli *c, const struct rf_rule_env *env, const json_t *patches, size_t *ret_failed);
