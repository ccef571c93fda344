/* cli/explain: requests as people write them. */
#pragma once
#include "cli/cli.h"

/* "GET https://host/path?query", or only the URL, into method, host, path and scheme of `request`. */
int cli_request_parse(const char *text, json_t *request, struct rf_err *e);
