/* cli/record: records as lines, and times as people write them. */
#pragma once
#include "cli/cli.h"

void cli_record_line(struct rf_buf *to, const json_t *record, bool colour);
/* RFC 3339, or "15m": so long before now. Seconds since 1970. */
int cli_since(const char *z, int64_t now_s, int64_t *ret_s);
