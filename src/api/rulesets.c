/* api/rulesets: rulesets of an account or a zone, and the entry points of phases.
 *
 * Not here: a change's steps (ruleset_change.c), single rules (rules.c), which rows a replacement writes (rule_diff.c),
 * earlier versions (ruleset_versions.c), the language (policy).
 */
#include "api/rulesets.h"
#include <stdio.h>
#include <stdlib.h>
#include "api/phases.h"

/* The name under which the entry point of a phase is kept. */
static int entry_name(struct rf_api_call *c, const char *phase, char to[320])
{
	const char *canonical = rf_phase_canonical(phase);
	if (!canonical)
		return rf_api_fail(c, RF_E_NOT_FOUND, "/phase", "there is no phase %s", phase);
	if (c->zone.id[0] && strcmp(canonical, "packet") == 0)
		return rf_api_fail(c, RF_E_INVALID, "/phase", "a packet is of no zone: rules of the phase packet are the account's");
	if (c->zone.id[0])
		snprintf(to, 320, "zone:%s:%s", c->zone.id, canonical);
	else
		snprintf(to, 320, "root:%s", canonical);
	return RF_OK;
}

int rf_ruleset_load(struct rf_api_call *c, const char *id, struct rf_object *ret)
{
	struct rf_object o = { 0 };
	int rc = rf_api_load(c, RF_KIND_RULESET, c->account.id, id, &o);
	if (rc != RF_OK)
		return rc;
	if (strcmp(rf_json_text(o.doc, "zone_id"), c->zone.id) != 0) {
		rf_object_fini(&o);
		return rf_fail(&c->err, RF_E_NOT_FOUND, "there is no ruleset %s here", id);
	}
	*ret = o;
	return RF_OK;
}

static json_t *show_brief(struct rf_api_call *c, const struct rf_object *o)
{
	(void)c;
	return rf_ruleset_brief(o);
}

int rf_api_rulesets_list(struct rf_api_call *c)
{
	struct rf_store_query q = { .parent = c->account.id, .match = { { "zone_id", c->zone.id } } };
	return rf_api_list(c, RF_KIND_RULESET, &q, show_brief, RF_API_PER_PAGE_MAX);
}

static int show(struct rf_api_call *c, const struct rf_object *o)
{
	json_t *rules = NULL;
	int rc = rf_ruleset_rules(c, o, &rules);
	return rc == RF_OK ? rf_api_result(c, rf_ruleset_full(o, rules), o->revision) : rc;
}

int rf_api_rulesets_get(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = rf_ruleset_load(c, c->params.id, &o);
	return rc == RF_OK ? show(c, &o) : rc;
}

/* The rules of the request, out of its body. */
static int take_rules(struct rf_api_call *c)
{
	if (!c->rules)
		c->rules = rf_rules_of(json_object_get(c->body, "rules"));
	json_object_del(c->body, "rules");
	return c->rules ? RF_OK : rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted");
}

/* Replace the rules of the change's ruleset by those of the request. */
static int finish(struct rf_api_call *c, struct rf_ruleset_change *ch)
{
	int rc = rf_rules_replace(c, ch);
	if (rc == RF_OK)
		rc = rf_change_finish(c, ch, NULL);
	return rc == RF_OK ? rf_change_result(c, ch, NULL) : rc;
}

static int create(struct rf_api_call *c, const char *name)
{
	RF_CHANGE_AUTO ch = { .fresh = true, .whole = true };
	rf_change_begin(c, &ch);
	if (!rf_json_text(c->body, "name")[0])
		json_object_set_new(c->body, "name", json_string("default"));
	if (!json_object_get(c->body, "description"))
		json_object_set_new(c->body, "description", json_string(""));
	json_object_set_new(c->body, "zone_id", json_string(c->zone.id));
	int rc = take_rules(c);
	if (rc == RF_OK)
		rc = rf_api_object(c, &ch.head, c->account.id, name, json_incref(c->body));
	if (rc == RF_OK)
		rc = rf_store_put(c->store, RF_KIND_RULESET, &ch.head, 0, &c->err); /* its rules need their parent */
	return rc == RF_OK ? finish(c, &ch) : rc;
}

/* The name of a new ruleset follows from its kind. */
static int new_name(struct rf_api_call *c, char to[320])
{
	const char *kind = rf_json_text(c->body, "kind"), *phase = rf_json_text(c->body, "phase");
	const char *entry = c->zone.id[0] ? "zone" : "root";
	if (!kind[0])
		return rf_api_fail(c, RF_E_MISSING, "/kind", "\"kind\" is required");
	if (!phase[0])
		return rf_api_fail(c, RF_E_MISSING, "/phase", "\"phase\" is required");
	if (!rf_json_text(c->body, "name")[0])
		return rf_api_fail(c, RF_E_MISSING, "/name", "\"name\" is required");
	if (strcmp(kind, "custom") == 0) {
		snprintf(to, 320, "custom:%s", rf_json_text(c->body, "name"));
		return RF_OK;
	}
	if (strcmp(kind, entry) != 0)
		return rf_api_fail(c, RF_E_INVALID, "/kind", "must be custom or %s here", entry);
	int rc = entry_name(c, phase, to);
	RF_OBJECT_AUTO there = { 0 };
	if (rc == RF_OK && rf_store_find(c->store, RF_KIND_RULESET, c->account.id, to, &there, &c->err) == RF_OK)
		return rf_api_fail(c, RF_E_EXISTS, "/phase", "the phase %s has its entry point already: %s", phase, there.id);
	return rc;
}

int rf_api_rulesets_create(struct rf_api_call *c)
{
	char name[320];
	c->if_revision = 0;
	int rc = rf_api_begin(c);
	if (rc == RF_OK)
		rc = new_name(c, name);
	return rc == RF_OK ? create(c, name) : rc;
}

/* Replace the rules, and name and description where they are given; phase and kind stay. */
static int replace(struct rf_api_call *c, struct rf_ruleset_change *ch)
{
	int rc = take_rules(c);
	for (const char *const *m = (const char *const[]){ "name", "description", NULL }; *m; m++)
		if (json_object_get(c->body, *m) && json_object_set(ch->head.doc, *m, json_object_get(c->body, *m)) != 0)
			rc = rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted");
	return rc == RF_OK ? finish(c, ch) : rc;
}

int rf_api_rulesets_put(struct rf_api_call *c)
{
	RF_CHANGE_AUTO ch = { 0 };
	int rc = rf_change_open(c, &ch);
	return rc == RF_OK ? replace(c, &ch) : rc;
}

int rf_api_rulesets_delete(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = rf_api_begin(c);
	if (rc == RF_OK)
		rc = rf_ruleset_load(c, c->params.id, &o);
	if (rc == RF_OK)
		rc = rf_api_del(c, RF_KIND_RULESET, o.id, c->if_revision);
	if (rc == RF_OK)
		rc = rf_api_commit(c);
	c->status = 204;
	return rc;
}

static int load_entry(struct rf_api_call *c, struct rf_object *ret)
{
	char name[320];
	int rc = entry_name(c, c->params.phase, name);
	if (rc != RF_OK)
		return rc;
	rc = rf_store_find(c->store, RF_KIND_RULESET, c->account.id, name, ret, &c->err);
	return rc == RF_E_NOT_FOUND ?
		rf_fail(&c->err, rc, "the phase %s has no rules here yet", c->params.phase) : rc;
}

int rf_api_entrypoint_get(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = load_entry(c, &o);
	return rc == RF_OK ? show(c, &o) : rc;
}

int rf_api_entrypoint_put(struct rf_api_call *c)
{
	RF_CHANGE_AUTO ch = { 0 };
	char name[320];
	int rc = rf_api_begin(c);
	if (rc == RF_OK)
		rc = entry_name(c, c->params.phase, name);
	if (rc == RF_OK)
		rc = load_entry(c, &ch.head);
	rf_change_begin(c, &ch);
	if (rc == RF_OK)
		return replace(c, &ch);
	if (rc != RF_E_NOT_FOUND || c->errors || c->if_revision)
		return rc;
	json_object_set_new(c->body, "kind", json_string(c->zone.id[0] ? "zone" : "root"));
	json_object_set_new(c->body, "phase", json_string(c->params.phase));
	return create(c, name);
}

int rf_api_versions_list(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = rf_ruleset_load(c, c->params.id, &o);
	return rc == RF_OK ? rf_versions_list(c, &o) : rc;
}

int rf_api_entrypoint_versions(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = load_entry(c, &o);
	return rc == RF_OK ? rf_versions_list(c, &o) : rc;
}

static int version(struct rf_api_call *c, const struct rf_object *o)
{
	bool present = strcmp(c->params.version, rf_json_text(o->doc, "version")) == 0;
	return present ? show(c, o) : rf_versions_show(c, o);
}

int rf_api_versions_get(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = rf_ruleset_load(c, c->params.id, &o);
	return rc == RF_OK ? version(c, &o) : rc;
}

int rf_api_entrypoint_version(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = load_entry(c, &o);
	return rc == RF_OK ? version(c, &o) : rc;
}
