/* cli/list: an entry of a list as one text. */
#pragma once
#include "cli/cli.h"

void cli_item_text(struct rf_buf *to, const json_t *item);
/* An entry for a list of a kind; NULL where the text is not UTF-8. */
json_t *cli_item_make(const char *kind, const char *value);
/* The path of the entries of the list that LIST names, and the list's kind. */
int cli_list_items_path(struct cli *c, struct rf_buf *path, char kind[16]);
/* Wait for the end of an operation that a change of entries has named; its failure is ours. */
int cli_operation_wait(struct cli *c, const json_t *operation);
