/* tbl/limits: the defaults of tbl/limits.def as RF_LIMIT_* constants. */
#pragma once

enum {
#define RF_LIMIT(name, value, doc) RF_LIMIT_##name = (value),
#include "tbl/limits.def"
#undef RF_LIMIT
};
