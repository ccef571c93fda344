/* wire/http1_names_hash: the perfect hash that gen_names.py makes over tbl/headers.def. */
#pragma once
#include "wire/http1_names.h"

enum { RF_HTTP_NAMES_SLOTS = 1024 };

extern const uint16_t rf_http_names_mul[5];
extern const uint8_t rf_http_names_slot[RF_HTTP_NAMES_SLOTS];
