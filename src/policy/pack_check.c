/* policy/pack_check: whether a pack is good: the shape of its document, its expressions, its tests.
 *
 * Every attack must match its own patch; no harmless request may match any patch of the pack, for what is ordinary for one
 * device is so for its neighbours. All patches are compiled and indexed, then every request is held against what it concerns: an attack
 * against its patch, a harmless one against those that the index (policy/segment) names.
 */
#include <stdio.h>
#include <stdlib.h>
#include "policy/pack.h"
#include "policy/patch.h"
#include "policy/patch_try.h"
#include "policy/rule_int.h"
#include "policy/ruletest.h"
#include "policy/segment.h"

enum { MEMORY = 4 << 20 };

static const char *text(const json_t *o, const char *name)
{
	const char *z = json_string_value(json_object_get(o, name));
	return z ? z : "";
}

static bool slug(const char *z, size_t most)
{
	size_t n = strspn(z, "abcdefghijklmnopqrstuvwxyz0123456789-._");
	return n && n <= most && !z[n];
}

/* --- shape --- */

static int check_tests(const json_t *patch, const char *kind, const char *at, struct rf_err *e)
{
	const json_t *v = json_object_get(json_object_get(patch, "tests"), kind);
	if (!json_is_array(v) || !json_array_size(v))
		return rf_fail_ptr(e, RF_E_MISSING, at, "patch %s has no %s requests to be tested with", text(patch, "name"), kind);
	if (json_array_size(v) > RF_PACK_TESTS)
		return rf_fail_ptr(e, RF_E_TOO_LARGE, at, "patch %s has more than %d %s requests", text(patch, "name"), RF_PACK_TESTS, kind);
	return RF_OK;
}

static int check_texts(const json_t *patch, const char *at, struct rf_err *e)
{
	static const char *const strings[] = { "name", "title", "devices", "kind", "category", "severity", "expression", "phase", "action",
					       "until" };
	static const char *const lists[] = { "cve", "references" };
	size_t k;
	json_t *v;
	for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) {
		v = json_object_get(patch, strings[i]);
		if ((v && !json_is_string(v)) || (i < 7 && !text(patch, strings[i])[0]))
			return rf_fail_ptr(e, RF_E_MISSING, at, "%s of patch %s should be a text", strings[i], text(patch, "name"));
	}
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
		if (!json_is_array(json_object_get(patch, lists[i])))
			return rf_fail_ptr(e, RF_E_TYPE, at, "%s of patch %s should be a list", lists[i], text(patch, "name"));
		json_array_foreach(json_object_get(patch, lists[i]), k, v)
			if (!json_is_string(v))
				return rf_fail_ptr(e, RF_E_TYPE, at, "%s of patch %s should be a list of texts", lists[i], text(patch, "name"));
	}
	return RF_OK;
}

/* Members that a pack may set: whom a patch concerns and when it stops anything is the operator's. */
static int check_members(const json_t *patch, const char *at, struct rf_err *e)
{
	static const char *const members[] = { "name", "title", "cve", "references", "devices", "kind", "category", "severity", "phase",
					       "expression", "action", "action_parameters", "until", "tests" };
	const char *name;
	json_t *v;
	json_object_foreach((json_t *)patch, name, v) {
		size_t i = 0;
		while (i < sizeof members / sizeof *members && strcmp(members[i], name) != 0)
			i++;
		if (i == sizeof members / sizeof *members)
			return rf_fail_ptr(e, RF_E_UNKNOWN, at, "a patch of a pack has no member \"%.40s\"", name);
	}
	return RF_OK;
}

static int check_patch(const json_t *patch, size_t i, json_t *seen, struct rf_err *e)
{
	char at[32];
	snprintf(at, sizeof at, "/patches/%zu", i);
	const char *name = text(patch, "name");
	if (!json_is_object(patch) || !slug(name, 100))
		return rf_fail_ptr(e, RF_E_INVALID, at, "a patch of a pack needs a name of lower-case letters, digits and - . _");
	if (json_object_get(seen, name))
		return rf_fail_ptr(e, RF_E_EXISTS, at, "there are two patches with the name %s", name);
	int rc = json_object_set_new(seen, name, json_true()) ? rf_fail(e, RF_E_NOMEM, "no memory for a pack") : RF_OK;
	if (rc == RF_OK)
		rc = check_members(patch, at, e);
	if (rc == RF_OK)
		rc = check_texts(patch, at, e);
	if (rc == RF_OK)
		rc = check_tests(patch, "attacks", at, e);
	return rc == RF_OK ? check_tests(patch, "harmless", at, e) : rc;
}

int rf_pack_shape(const json_t *doc, struct rf_err *e)
{
	const json_t *patches = json_object_get(doc, "patches"), *version = json_object_get(doc, "version");
	size_t i;
	json_t *patch;
	if (!json_is_object(doc) || !slug(text(doc, "name"), RF_PACK_NAME))
		return rf_fail_ptr(e, RF_E_INVALID, "/name", "a pack needs a name of lower-case letters, digits and - . _");
	if (!json_is_integer(version) || json_integer_value(version) < 1)
		return rf_fail_ptr(e, RF_E_INVALID, "/version", "the version of a pack is a whole number from 1 on");
	if (!json_is_array(patches) || !json_array_size(patches) || json_array_size(patches) > RF_PACK_PATCHES)
		return rf_fail_ptr(e, RF_E_INVALID, "/patches", "a pack has 1 to %d patches", RF_PACK_PATCHES);
	json_t *seen = json_object();
	int rc = seen ? RF_OK : rf_fail(e, RF_E_NOMEM, "no memory for a pack");
	json_array_foreach(patches, i, patch)
		if (rc == RF_OK)
			rc = check_patch(patch, i, seen, e);
	json_decref(seen);
	return rc;
}

/* --- expressions and tests --- */

struct checking {
	const struct rf_rule_env *env;
	const json_t *patches;
	struct rf_rule **rules; /* one a patch, of its expression alone */
	struct segment *index;  /* of them, by their number */
	int64_t wall_ns;
	struct rf_err *e;
};

/* The error, with the name of the patch before it. */
static int of_patch(struct checking *c, size_t i, int rc)
{
	char why[sizeof c->e->text];
	if (rc == RF_OK)
		return rc;
	snprintf(why, sizeof why, "%s", c->e->text);
	unsigned line = c->e->line, column = c->e->column;
	rf_fail_ptr(c->e, rc, "", "patch %s: %.380s", text(json_array_get(c->patches, i), "name"), why);
	snprintf(c->e->pointer, sizeof c->e->pointer, "/patches/%zu", i);
	c->e->line = line;
	c->e->column = column;
	return rc;
}

static int compile(struct checking *c, size_t i)
{
	const json_t *patch = json_array_get(c->patches, i);
	struct rf_patch_scope scope;
	enum rf_phase phase;
	int rc = rf_patch_phase(patch, &phase, c->e);
	json_t *doc = json_pack("{s:s, s:s}", "action", "log", "expression", text(patch, "expression"));
	if (rc == RF_OK)
		rc = doc ? rf_rule_make(c->env, phase, doc, "", &c->rules[i], c->e) : rf_fail(c->e, RF_E_NOMEM, "no memory for a pack");
	json_decref(doc);
	if (rc == RF_OK)
		c->rules[i]->order = (int64_t)i;
	if (rc == RF_OK && (rc = rf_patch_scope_make(c->env, patch, "", &scope, c->e)) == RF_OK)
		rf_patch_scope_fini(&scope);
	return of_patch(c, i, rc);
}

static const json_t *request_of(const struct checking *c, size_t i, const char *kind, size_t n)
{
	return json_array_get(json_object_get(json_object_get(json_array_get(c->patches, i), "tests"), kind), n);
}

static int try_attack(struct checking *c, size_t i, size_t n)
{
	bool yes = false;
	int rc = rf_patch_try_one(c->rules[i]->cond, NULL, request_of(c, i, "attacks", n), "attacks", n, c->wall_ns, &yes, c->e);
	if (rc == RF_OK && !yes)
		rc = rf_fail(c->e, RF_E_CONFLICT, "attack %zu of its tests is not stopped", n);
	return of_patch(c, i, rc);
}

/* Of all patches those that the index names are asked: the others cannot match. */
static int find_stopper(struct checking *c, const json_t *request, const char *at, struct rf_arena *arena, size_t *ret, bool *ret_stopped)
{
	struct rf_facts f;
	struct candidates found;
	uint32_t i;
	int rc = rf_json_facts(request, at, arena, NULL, c->wall_ns, &f, c->e);
	if (rc == RF_OK && segment_find(c->index, &f, &found) != RF_OK)
		rc = rf_fail_ptr(c->e, RF_E_TOO_LARGE, at, "the expressions cannot be evaluated over this request");
	while (rc == RF_OK && !*ret_stopped && candidates_next(&found, &i)) {
		*ret = i;
		if (rf_expr_test(c->rules[i]->cond, &f, ret_stopped) != RF_OK)
			rc = rf_fail_ptr(c->e, RF_E_TOO_LARGE, at, "the expression cannot be evaluated over this request");
	}
	return rc;
}

static int try_harmless(struct checking *c, size_t own, size_t n)
{
	char at[64];
	struct rf_arena arena;
	size_t by = 0;
	bool stopped = false;
	snprintf(at, sizeof at, "/tests/harmless/%zu", n);
	rf_arena_init(&arena, MEMORY);
	int rc = find_stopper(c, request_of(c, own, "harmless", n), at, &arena, &by, &stopped);
	rf_arena_fini(&arena);
	if (rc == RF_OK && stopped)
		rc = rf_fail(c->e, RF_E_CONFLICT, "harmless request %zu of its tests is stopped by %s", n,
			     by == own ? "it" : text(json_array_get(c->patches, by), "name"));
	return of_patch(c, own, rc);
}

static int try_patch(struct checking *c, size_t i)
{
	const json_t *tests = json_object_get(json_array_get(c->patches, i), "tests");
	int rc = RF_OK;
	for (size_t n = 0; rc == RF_OK && n < json_array_size(json_object_get(tests, "attacks")); n++)
		rc = try_attack(c, i, n);
	for (size_t n = 0; rc == RF_OK && n < json_array_size(json_object_get(tests, "harmless")); n++)
		rc = try_harmless(c, i, n);
	return rc;
}

static int make_index(struct checking *c, size_t count)
{
	struct rf_rule_link *v = calloc(count + 1, sizeof *v);
	for (size_t i = 0; v && i < count; i++)
		v[i] = rf_link_of(c->rules[i]);
	int rc = v ? segment_make(v, (uint32_t)count, false, &c->index) : RF_E_NOMEM;
	free(v);
	return rc == RF_OK ? rc : rf_fail(c->e, RF_E_NOMEM, "no memory for a pack");
}

int rf_pack_check(const struct rf_rule_env *env, const json_t *doc, int64_t wall_ns, struct rf_err *e)
{
	const json_t *patches = json_object_get(doc, "patches");
	size_t count = json_array_size(patches);
	struct checking c = { .env = env, .patches = patches, .rules = calloc(count + 1, sizeof(struct rf_rule *)), .wall_ns = wall_ns, .e = e };
	int rc = c.rules ? RF_OK : rf_fail(e, RF_E_NOMEM, "no memory for a pack");
	for (size_t i = 0; rc == RF_OK && i < count; i++)
		rc = compile(&c, i);
	if (rc == RF_OK)
		rc = make_index(&c, count);
	for (size_t i = 0; rc == RF_OK && i < count; i++)
		rc = try_patch(&c, i);
	segment_put(c.index);
	for (size_t i = 0; c.rules && i < count; i++)
		rf_rule_put(c.rules[i]);
	free(c.rules);
	return rc;
}
