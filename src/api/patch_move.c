/* api/patch_move: the moves of a virtual patch, and what is asked of one: replay, tests, exposure.
 *
 *   draft -> replay -> report -> canary -> enforce -> retired, with ways back (policy/patch)
 *
 * Before a patch stops anything, its own tests must hold, and there must be devices that it stops it for. Every move is
 * in its history with its actor and reason, and in the audit.
 */
#include <stdio.h>
#include "api/patches.h"

static const struct rf_api_patch_hooks *hooks(struct rf_api_call *c) { return c->api->conf.hooks.patches; }
static void *ctx(struct rf_api_call *c) { return c->api->conf.hooks.ctx; }

/* A patch whose own tests do not hold stops nothing. */
static int tests_hold(struct rf_api_call *c, const json_t *doc)
{
	json_t *result = NULL;
	const json_t *tests = json_object_get(doc, "tests");
	if (!json_array_size(json_object_get(tests, "attacks")) && !json_array_size(json_object_get(tests, "harmless"))) {
		rf_api_message(c, "/tests", "the patch has no tests: attacks that it stops, requests that it lets pass");
		return RF_OK;
	}
	int rc = hooks(c) ? hooks(c)->test(ctx(c), doc, &result, &c->err) : RF_OK;
	const json_t *failed = json_object_get(result, "failed");
	for (size_t i = 0; i < json_array_size(failed); i++) {
		const json_t *f = json_array_get(failed, i);
		char at[64];
		snprintf(at, sizeof at, "/tests/%s/%lld", rf_json_text(f, "kind"), json_integer_value(json_object_get(f, "index")));
		rc = rf_api_fail(c, RF_E_CONFLICT, at, "%s", rf_json_text(f, "why"));
	}
	json_decref(result);
	return rc;
}

/* There must be somebody to be a canary. */
static int canaries_are_there(struct rf_api_call *c, const struct rf_object *o)
{
	json_t *fleet = NULL;
	const json_t *canary = json_object_get(o->doc, "canary"), *percent = json_object_get(canary, "percent");
	int rc = hooks(c) ? hooks(c)->fleet(ctx(c), o->doc, o->id, &fleet, &c->err) : RF_OK;
	if (rc != RF_OK || !hooks(c))
		return rc;
	json_int_t needed = json_integer_value(json_object_get(fleet, "needed"));
	bool some = json_integer_value(json_object_get(fleet, "canary")) > 0;
	json_decref(fleet);
	if (some)
		return RF_OK;
	if (percent)
		return rf_api_fail(c, RF_E_CONFLICT, "/percent", "%g %% of the %lld devices that need the patch is none of them; "
				   "take more", json_number_value(percent), (long long)needed);
	return rf_api_fail(c, RF_E_CONFLICT, "/group", "no device that needs the patch is in this group (%lld need it): the canary would "
			   "show nothing", (long long)needed);
}

static int take_canary(struct rf_api_call *c, json_t *doc)
{
	const json_t *percent = json_object_get(c->body, "percent"), *group = json_object_get(c->body, "group");
	double p = json_number_value(percent);
	if (percent && group)
		return rf_api_fail(c, RF_E_INVALID, "/group", "a canary is percent or group, not both");
	if (!percent && !group)
		return json_object_size(json_object_get(doc, "canary")) ? RF_OK :
			rf_api_fail(c, RF_E_MISSING, "/percent", "say who: percent of the fleet, or group, an expression over device.*");
	if (percent && (!json_is_number(percent) || p < 0.01 || p > 100))
		return rf_api_fail(c, RF_E_RANGE, "/percent", "should be a number from 0.01 to 100");
	if (group && !json_string_length(group))
		return rf_api_fail(c, RF_E_INVALID, "/group", "an empty group is nobody");
	json_t *canary = percent ? json_pack("{s:O}", "percent", percent) : json_pack("{s:O}", "group", group);
	return json_object_set_new(doc, "canary", canary) == 0 ? RF_OK : rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted");
}

static int allowed(struct rf_api_call *c, const json_t *doc, enum rf_patch_state to)
{
	char words[96];
	enum rf_patch_state from = rf_patch_state_of(doc);
	if (rf_patch_may(from, to))
		return RF_OK;
	return rf_api_fail(c, RF_E_CONFLICT, "", "a patch in %s cannot go to %s: from there it goes to %s", rf_patch_state_name(from),
			   rf_patch_state_name(to), rf_patch_ways(from, words));
}

static int check_move(struct rf_api_call *c, struct rf_object *o, enum rf_patch_state to)
{
	int rc = allowed(c, o->doc, to);
	if (rc == RF_OK && to == RF_PATCH_CANARY)
		rc = take_canary(c, o->doc);
	if (rc == RF_OK && (to == RF_PATCH_CANARY || to == RF_PATCH_ENFORCE))
		rc = tests_hold(c, o->doc);
	return rc == RF_OK && to == RF_PATCH_CANARY ? canaries_are_there(c, o) : rc;
}

/* The group of a canary is compiled before it is counted, so that its errors point to it. */
static int cut(struct rf_api_call *c, int rc)
{
	const char *group = strstr(c->err.pointer, "/canary/group");
	if (rc != RF_OK && group)
		snprintf(c->err.pointer, sizeof c->err.pointer, "/group");
	return rc;
}

static int move_to(struct rf_api_call *c, struct rf_object *o, enum rf_patch_state to)
{
	const char *why = rf_json_text(c->body, "reason");
	int rc = rf_api_begin(c);
	if (rc == RF_OK)
		rc = rf_api_load(c, RF_KIND_PATCH, c->account.id, c->params.id, o);
	if (rc == RF_OK)
		rc = check_move(c, o, to);
	if (rc == RF_OK)
		rc = rf_patch_note(o->doc, to, c->who.actor, why, rf_api_now(c));
	if (rc == RF_OK)
		rc = rf_api_put(c, RF_KIND_PATCH, o, c->if_revision);
	if (rc == RF_OK)
		rc = rf_api_commit(c);
	return cut(c, rc);
}

static int move(struct rf_api_call *c, enum rf_patch_state to)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = move_to(c, &o, to);
	return rc == RF_OK ? rf_api_result(c, rf_patch_show(c, &o), o.revision) : rc;
}

int rf_api_patches_draft(struct rf_api_call *c) { return move(c, RF_PATCH_DRAFT); }
int rf_api_patches_report(struct rf_api_call *c) { return move(c, RF_PATCH_REPORT); }
int rf_api_patches_canary(struct rf_api_call *c) { return move(c, RF_PATCH_CANARY); }
int rf_api_patches_enforce(struct rf_api_call *c) { return move(c, RF_PATCH_ENFORCE); }
int rf_api_patches_retire(struct rf_api_call *c) { return move(c, RF_PATCH_RETIRED); }

/* --- what is asked of one --- */

static int no_edge(struct rf_api_call *c)
{
	return rf_fail(&c->err, RF_E_UNSUPPORTED, "there is no running edge here to ask");
}

static int load(struct rf_api_call *c, struct rf_object *o)
{
	return hooks(c) ? rf_api_load(c, RF_KIND_PATCH, c->account.id, c->params.id, o) : no_edge(c);
}

/* A replay of what is before traffic changes nothing there; one of a draft is its next state. */
int rf_api_patches_replay(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	json_t *result = NULL;
	int rc = load(c, &o);
	if (rc == RF_OK && rf_patch_state_of(o.doc) == RF_PATCH_DRAFT) {
		rf_object_fini(&o);
		rc = move_to(c, &o, RF_PATCH_REPLAY);
	}
	if (rc == RF_OK && !c->dry_run)
		rc = hooks(c)->replay(ctx(c), o.doc, o.id, c->body, &result, &c->err);
	return rc == RF_OK ? rf_api_result(c, result ? result : json_null(), 0) : rc;
}

int rf_api_patches_replay_get(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	json_t *result = NULL;
	int rc = load(c, &o);
	if (rc == RF_OK)
		rc = hooks(c)->replay_get(ctx(c), o.id, &result, &c->err);
	if (rc == RF_E_NOT_FOUND && json_object_get(o.doc, "replay")) {
		result = json_incref(json_object_get(o.doc, "replay"));
		rc = RF_OK;
	}
	return rc == RF_OK ? rf_api_result(c, result, 0) : rc;
}

int rf_api_patches_replay_cancel(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	json_t *result = NULL;
	int rc = load(c, &o);
	if (rc == RF_OK)
		rc = hooks(c)->replay_cancel(ctx(c), o.id, &result, &c->err);
	return rc == RF_OK ? rf_api_result(c, result, 0) : rc;
}

int rf_api_patches_test(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	json_t *result = NULL;
	int rc = load(c, &o);
	if (rc == RF_OK)
		rc = hooks(c)->test(ctx(c), o.doc, &result, &c->err);
	return rc == RF_OK ? rf_api_result(c, result, 0) : rc;
}

static int exposure(struct rf_api_call *c, bool devices, json_t **ret)
{
	return hooks(c) ? hooks(c)->exposure(ctx(c), devices, ret, &c->err) : no_edge(c);
}

int rf_api_patches_exposure(struct rf_api_call *c)
{
	json_t *all = NULL;
	const char *devices = rf_api_param(c, "devices");
	int rc = exposure(c, devices && strcmp(devices, "true") == 0, &all);
	if (rc == RF_OK)
		rc = rf_api_info(c, 1, json_array_size(all) + 1, json_array_size(all), json_array_size(all));
	return rc == RF_OK ? rf_api_result(c, all, 0) : rc;
}

int rf_api_patches_exposure_page(struct rf_api_call *c)
{
	json_t *all = NULL;
	char at[RF_RFC3339_SIZE];
	int rc = exposure(c, true, &all);
	if (rc == RF_OK)
		rf_patch_page(all, rf_api_time(rf_api_now(c), at), &c->text);
	c->text_type = "text/html; charset=utf-8";
	json_decref(all);
	return rc == RF_OK && c->text.bad ? rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted") : rc;
}
