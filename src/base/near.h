/* base/near: "did you mean ...?" for names of a table. */
#pragma once
#include "base/str.h"

/* The name in names[0..count) that is nearest to `name` by edits (insert, delete, replace, swap),
 * or NULL when none is within a third of its length. */
const char *rf_near(struct rf_str name, const char *const *names, size_t count);
