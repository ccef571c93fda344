/* cli/pack_source: the folder that a pack is made from. */
#pragma once
#include "cli/cli.h"

/* pack.yaml (name, title, version), marks.yaml, and all other *.yaml, in the order of their names, each with `patches`, to the
 * document of a pack (policy/pack) with its marks written out. Errors name file, line and patch. */
int cli_pack_source(struct cli *c, const char *dir, json_t **ret);
