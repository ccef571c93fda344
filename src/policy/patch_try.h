/* policy/patch_try: the requests that a patch brings with it, held against its expression. */
#pragma once
#include <jansson.h>
#include "policy/expr.h"

/* Which of the expressions (NULL: none) match a request object (policy/ruletest), the n-th of the tests of a kind: attacks, harmless.
 * RF_E_INVALID and the like point to the request; an expression that cannot be evaluated over it is RF_E_TOO_LARGE. */
int rf_patch_try(struct rf_expr *const *x, size_t count, const struct rf_lists *lists, const json_t *request, const char *kind, size_t n,
		 int64_t wall_ns, bool *ret_hits, struct rf_err *e);
/* The same for one. */
int rf_patch_try_one(const struct rf_expr *x, const struct rf_lists *lists, const json_t *request, const char *kind, size_t n,
		     int64_t wall_ns, bool *ret, struct rf_err *e);
