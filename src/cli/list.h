/* cli/list: an entry of a list as one text. */
#pragma once
#include "cli/cli.h"

void cli_item_text(struct rf_buf *to, const json_t *item);
/* An entry for a list of a kind; NULL where the text is not UTF-8. */
json_t *cli_item_make(const char *kind, const char *value);
