/* policy/patch_try: one request of a patch's tests over expressions, in an arena of its own. */
#include "policy/patch_try.h"
#include <stdio.h>
#include "policy/ruletest.h"

enum { MEMORY = 4 << 20 };

int rf_patch_try(struct rf_expr *const *x, size_t count, const struct rf_lists *lists, const json_t *request, const char *kind, size_t n,
		 int64_t wall_ns, bool *ret_hits, struct rf_err *e)
{
	char at[64];
	struct rf_arena arena;
	struct rf_facts f;
	snprintf(at, sizeof at, "/tests/%s/%zu", kind, n);
	rf_arena_init(&arena, MEMORY);
	int rc = rf_json_facts(request, at, &arena, lists, wall_ns, &f, e);
	for (size_t i = 0; rc == RF_OK && i < count; i++) {
		bool yes = false;
		if (x[i] && rf_expr_test(x[i], &f, &yes) != RF_OK)
			rc = rf_fail_ptr(e, RF_E_TOO_LARGE, at, "the expression cannot be evaluated over this request");
		else
			ret_hits[i] = yes;
	}
	rf_arena_fini(&arena);
	return rc;
}

int rf_patch_try_one(const struct rf_expr *x, const struct rf_lists *lists, const json_t *request, const char *kind, size_t n,
		     int64_t wall_ns, bool *ret, struct rf_err *e)
{
	struct rf_expr *one = (struct rf_expr *)(uintptr_t)x; /* is only evaluated */
	bool yes = false;
	int rc = rf_patch_try(&one, 1, lists, request, kind, n, wall_ns, &yes, e);
	if (rc == RF_OK)
		*ret = yes;
	return rc;
}
