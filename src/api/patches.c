/* api/patches: virtual patches: made, changed, looked at. Their moves are in patch_move.c.
 *
 * A patch that is before traffic can be changed: the change is checked as a whole and is in force at once. What it would
 * do better be seen in report first; so a change of what it matches takes a canary or enforced patch back to report.
 *
 * Not here: what a patch means to the edge (policy/patch, ctl/patches).
 */
#include "api/patches.h"
#include <stdio.h>
#include <stdlib.h>

static int class_is_there(struct rf_api_call *c, const char *name, size_t i)
{
	RF_OBJECT_AUTO o = { 0 };
	char at[32];
	struct rf_err e;
	snprintf(at, sizeof at, "/classes/%zu", i);
	int rc = rf_store_find(c->store, RF_KIND_CLASS, c->account.id, name, &o, &e);
	return rc == RF_E_NOT_FOUND ? rf_api_fail(c, RF_E_INVALID, at, "there is no class \"%s\"; ringfence class add makes one", name) : rc;
}

/* An array of request objects. */
static int check_requests(struct rf_api_call *c, const json_t *tests, const char *member)
{
	enum { REQUESTS_MAX = 200 };
	char at[32];
	const json_t *v = json_object_get(tests, member);
	snprintf(at, sizeof at, "/tests/%s", member);
	if (v && !json_is_array(v))
		return rf_api_fail(c, RF_E_TYPE, at, "should be an array of requests");
	if (json_array_size(v) > REQUESTS_MAX)
		return rf_api_fail(c, RF_E_TOO_LARGE, at, "there can be at most %d", REQUESTS_MAX);
	return RF_OK;
}

static int check_canary(struct rf_api_call *c, const json_t *canary)
{
	const json_t *percent = json_object_get(canary, "percent");
	double p = json_number_value(percent);
	bool group = rf_json_text(canary, "group")[0];
	if (percent && !json_is_null(percent) && group)
		return rf_api_fail(c, RF_E_INVALID, "/canary", "a canary is percent or group, not both");
	if (percent && !json_is_null(percent) && (!json_is_number(percent) || p < 0.01 || p > 100))
		return rf_api_fail(c, RF_E_RANGE, "/canary/percent", "should be a number from 0.01 to 100");
	return RF_OK;
}

static bool same(const json_t *a, const json_t *b, const char *member)
{
	const json_t *x = json_object_get(a, member), *y = json_object_get(b, member);
	return (!x && !y) || (x && y && json_equal(x, y));
}

/* Whether it stops other requests, or those of other devices, than before. */
static bool acts_otherwise(const json_t *now, const json_t *old)
{
	static const char *const members[] = { "phase", "expression", "action", "action_parameters", "classes", "until" };
	for (size_t i = 0; i < sizeof members / sizeof *members; i++)
		if (!same(now, old, members[i]))
			return true;
	return false;
}

static int follow_change(struct rf_api_call *c, json_t *doc, const json_t *old)
{
	enum rf_patch_state s = rf_patch_state_of(doc);
	bool acts = acts_otherwise(doc, old);
	if (s < RF_PATCH_REPORT || s > RF_PATCH_ENFORCE || (!acts && (s != RF_PATCH_CANARY || same(doc, old, "canary"))))
		return RF_OK;
	if (s == RF_PATCH_REPORT || !acts)
		return rf_patch_note(doc, s, c->who.actor, acts ? "what it matches has changed" : "its canaries have changed", rf_api_now(c));
	rf_api_message(c, "", "the patch is back in report: what it stops has changed");
	return rf_patch_note(doc, RF_PATCH_REPORT, c->who.actor, "what it stops has changed", rf_api_now(c));
}

static int prepare(struct rf_api_call *c, struct rf_object *o, const json_t *old)
{
	size_t i;
	json_t *v;
	int rc = check_canary(c, json_object_get(o->doc, "canary"));
	if (rc == RF_OK)
		rc = check_requests(c, json_object_get(o->doc, "tests"), "attacks");
	if (rc == RF_OK)
		rc = check_requests(c, json_object_get(o->doc, "tests"), "harmless");
	json_array_foreach(json_object_get(o->doc, "classes"), i, v)
		if (rc == RF_OK)
			rc = class_is_there(c, json_string_value(v), i);
	if (rc == RF_OK && !old)
		rc = rf_patch_note(o->doc, RF_PATCH_DRAFT, c->who.actor, "made", rf_api_now(c));
	else if (rc == RF_OK)
		rc = follow_change(c, o->doc, old);
	return rc;
}

json_t *rf_patch_show(struct rf_api_call *c, const struct rf_object *o)
{
	const struct rf_api_patch_hooks *h = c->api->conf.hooks.patches;
	json_t *j = rf_api_plain(RF_RES_PATCH, o), *live = json_object(), *fleet = NULL;
	bool one = c->params.id[0] || !h || h->fleet_is_small(c->api->conf.hooks.ctx);
	struct rf_err e;
	if (j && h)
		h->live(c->api->conf.hooks.ctx, o->id, live);
	if (j && json_object_size(live))
		json_object_set(j, "report", live);
	if (j && h && one && h->fleet(c->api->conf.hooks.ctx, o->doc, o->id, &fleet, &e) == RF_OK) {
		bool needed = json_integer_value(json_object_get(fleet, "needed")) > 0;
		bool scoped = json_array_size(json_object_get(o->doc, "classes")) || rf_json_text(o->doc, "until")[0];
		json_object_set_new(j, "unneeded", json_boolean(scoped && !needed));
		json_object_set_new(j, "fleet", fleet);
	}
	json_decref(live);
	return j;
}

const struct rf_api_crud rf_patch_resource = { .kind = RF_KIND_PATCH, .shape = RF_RES_PATCH, .prepare = prepare,
					       .show = rf_patch_show };

/* Errors of the compiler point to "/patches/ID/expression"; the request knows "/expression". */
static int cut(struct rf_api_call *c, int rc)
{
	enum { BEFORE = sizeof "/patches/" - 1 + 32 };
	if (rc == RF_OK || strncmp(c->err.pointer, "/patches/", 9) != 0 || strlen(c->err.pointer) < BEFORE)
		return rc;
	memmove(c->err.pointer, c->err.pointer + BEFORE, strlen(c->err.pointer + BEFORE) + 1);
	return rc;
}

int rf_api_patches_list(struct rf_api_call *c)
{
	struct rf_store_query q = { .name = rf_api_param(c, "name") };
	const char *state = rf_api_param(c, "state");
	if (state)
		q.match[0].field = "state", q.match[0].value = state;
	return rf_crud_list(c, &rf_patch_resource, &q, RF_API_PER_PAGE);
}

int rf_api_patches_create(struct rf_api_call *c) { return cut(c, rf_crud_create(c, &rf_patch_resource)); }
int rf_api_patches_get(struct rf_api_call *c) { return rf_crud_get(c, &rf_patch_resource); }
int rf_api_patches_put(struct rf_api_call *c) { return cut(c, rf_crud_put(c, &rf_patch_resource)); }
int rf_api_patches_edit(struct rf_api_call *c) { return cut(c, rf_crud_edit(c, &rf_patch_resource)); }
int rf_api_patches_delete(struct rf_api_call *c) { return rf_crud_delete(c, &rf_patch_resource); }

struct looking {
	const char *class_name;
	struct rf_object *ret;
};

static int names_class(const struct rf_object *o, void *arg)
{
	struct looking *l = arg;
	size_t i;
	json_t *v;
	json_array_foreach(json_object_get(o->doc, "classes"), i, v)
		if (strcmp(json_string_value(v), l->class_name) == 0) {
			*l->ret = *o;
			l->ret->doc = json_incref(o->doc);
			return 1;
		}
	return RF_OK;
}

int rf_patch_of_class(struct rf_api_call *c, const char *class_name, struct rf_object *ret)
{
	struct looking l = { class_name, ret };
	struct rf_store_query q = { .parent = c->account.id };
	int rc = rf_store_list(c->store, RF_KIND_PATCH, &q, names_class, &l, NULL, &c->err);
	return rc == 1 ? RF_OK : rc;
}
