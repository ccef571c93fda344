/* cli/try_patch: the patches of a file, compiled as they would act, and their own tests. Part of cli/try. */
#include <stdlib.h>
#include "cli/try_patch.h"
#include "policy/patch.h"
#include "policy/patch_try.h"

enum { PATCHES_MAX = 20000 };

static const char *text(const json_t *o, const char *name)
{
	const char *z = json_string_value(json_object_get(o, name));
	return z ? z : "";
}

static int below(struct cli *c, size_t i, int rc)
{
	char pointer[sizeof c->e.pointer];
	snprintf(pointer, sizeof pointer, "/patches/%zu%.90s", i, c->e.pointer);
	memcpy(c->e.pointer, pointer, sizeof pointer);
	return rc;
}

struct gathered {
	struct rf_rule *rules[PATCHES_MAX * RF_PATCH_RULES];
	enum rf_phase phases[PATCHES_MAX * RF_PATCH_RULES];
	size_t n;
};

static int compile(struct cli *c, const struct rf_rule_env *env, const json_t *patch, struct gathered *g)
{
	struct rf_rule *made[RF_PATCH_RULES];
	enum rf_phase phase;
	size_t n = 0;
	c->e.pointer[0] = '\0';
	int rc = rf_patch_check(env, patch, &c->e);
	if (rc == RF_OK)
		rc = rf_patch_phase(patch, &phase, &c->e);
	if (rc == RF_OK)
		rc = rf_patch_rules(env, patch, text(patch, "id"), made, &n, &c->e);
	for (size_t k = 0; rc == RF_OK && k < n; k++) {
		made[k]->order = (int64_t)g->n;
		g->phases[g->n] = phase;
		g->rules[g->n++] = made[k];
	}
	return rc;
}

static int sets(struct cli *c, const struct gathered *g, struct rf_ruleset *to[RF_PHASE_COUNT])
{
	struct rf_rule **of = calloc(g->n + 1, sizeof *of);
	int rc = of ? RF_OK : RF_E_NOMEM;
	for (int phase = 0; rc == RF_OK && phase < RF_PHASE_COUNT; phase++) {
		size_t n = 0;
		for (size_t i = 0; i < g->n; i++)
			if ((int)g->phases[i] == phase)
				of[n++] = g->rules[i];
		if (n)
			rc = rf_ruleset_of((enum rf_phase)phase, RF_STR(RF_PATCH_SET), RF_STR(RF_PATCH_SET), of, n, &to[phase]);
	}
	free(of);
	return rc == RF_OK ? rc : rf_fail(&c->e, rc, "no memory for the patches of the file");
}

int cli_try_patches(struct cli *c, const struct rf_rule_env *env, const json_t *patches, struct rf_ruleset *to[RF_PHASE_COUNT])
{
	size_t i;
	json_t *patch;
	struct gathered *g = json_array_size(patches) ? calloc(1, sizeof *g) : NULL;
	if (!json_array_size(patches))
		return RF_OK;
	int rc = g ? RF_OK : rf_fail(&c->e, RF_E_NOMEM, "memory is exhausted");
	if (rc == RF_OK && json_array_size(patches) > PATCHES_MAX)
		rc = rf_fail_ptr(&c->e, RF_E_TOO_LARGE, "/patches", "there can be at most %d patches", PATCHES_MAX);
	json_array_foreach(patches, i, patch)
		if (rc == RF_OK && (rc = compile(c, env, patch, g)) != RF_OK)
			below(c, i, rc);
	if (rc == RF_OK)
		rc = sets(c, g, to);
	for (i = 0; g && i < g->n; i++)
		rf_rule_put(g->rules[i]);
	free(g);
	return rc;
}

static int own(struct cli *c, const struct rf_rule_env *env, const json_t *patch, const struct rf_expr *x, const char *kind, bool attack,
	       size_t *failed)
{
	size_t i;
	json_t *request;
	json_array_foreach(json_object_get(json_object_get(patch, "tests"), kind), i, request) {
		bool yes = false;
		int rc = rf_patch_try_one(x, env->lists, request, kind, i, c->clock.wall(c->clock.ctx), &yes, &c->e);
		if (rc != RF_OK)
			return rc;
		if (yes == attack)
			continue;
		++*failed;
		cli_note(c, "FAILED patch %s, %s %zu: %s", text(patch, "name"), kind, i, attack ? "this attack is not stopped" :
			 "this harmless request would be stopped");
	}
	return RF_OK;
}

int cli_try_patch_tests(struct cli *c, const struct rf_rule_env *env, const json_t *patches, size_t *ret_failed)
{
	size_t i, failed = 0;
	json_t *patch;
	int rc = RF_OK;
	json_array_foreach(patches, i, patch) {
		struct rf_expr *x = NULL;
		enum rf_phase phase;
		if (rc != RF_OK)
			break;
		rc = rf_patch_phase(patch, &phase, &c->e);
		if (rc == RF_OK)
			rc = rf_expr_compile(env, phase, rf_str_z(text(patch, "expression")), &x, &c->e);
		if (rc == RF_OK)
			rc = own(c, env, patch, x, "attacks", true, &failed);
		if (rc == RF_OK)
			rc = own(c, env, patch, x, "harmless", false, &failed);
		rf_expr_put(x);
		if (rc != RF_OK)
			below(c, i, rc);
	}
	if (rc == RF_OK)
		*ret_failed = failed;
	return rc;
}
