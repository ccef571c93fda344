/* policy/patch_try: one request of a patch's tests over its expression, in an arena of its own. */
#include "policy/patch_try.h"
#include <stdio.h>
#include "policy/ruletest.h"

enum { MEMORY = 1 << 20 };

int rf_patch_try_one(const struct rf_expr *x, const struct rf_lists *lists, const json_t *request, const char *kind, size_t n,
		     int64_t wall_ns, bool *ret, struct rf_err *e)
{
	char at[64];
	struct rf_arena arena;
	struct rf_facts f;
	bool yes = false;
	snprintf(at, sizeof at, "/tests/%s/%zu", kind, n);
	rf_arena_init(&arena, MEMORY);
	int rc = rf_json_facts(request, at, &arena, lists, wall_ns, &f, e);
	if (rc == RF_OK && rf_expr_test(x, &f, &yes) != RF_OK)
		rc = rf_fail_ptr(e, RF_E_TOO_LARGE, at, "the expression cannot be evaluated over this request");
	rf_arena_fini(&arena);
	if (rc == RF_OK)
		*ret = yes;
	return rc;
}
