/* monitor/landlock: which parts of the file system the engine sees (landlock(7)). */
#pragma once
#include "base/err.h"
#include "monitor/plan.h"

/* Rules for a plan: a descriptor in *ret, or -1 there when the kernel has no Landlock. */
int rf_landlock_make(const struct rf_plan *plan, int *ret, struct rf_err *e);
/* In force for this thread and all it starts. */
int rf_landlock_enter(int rules, struct rf_err *e);
