/* api/rulesets: rulesets of an account or a zone, the entry points of phases, and their earlier versions.
 *
 * The way of a change: the present document is copied -> changed -> its rules are numbered (ids stay where an id or
 * ref of the old version is named; a rule whose content changed gets the next version) -> the old document
 * becomes an earlier version -> commit compiles the rules and refuses what does not.
 *
 * Not here: single rules (rules.c), the language (policy).
 */
#include "api/rulesets.h"
#include <stdio.h>
#include <stdlib.h>
#include "api/phases.h"

static int no_memory(struct rf_api_call *c)
{
	return rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted");
}

/* The name under which the entry point of a phase is kept. */
static int entry_name(struct rf_api_call *c, const char *phase, char to[320])
{
	const char *canonical = rf_phase_canonical(phase);
	if (!canonical)
		return rf_api_fail(c, RF_E_NOT_FOUND, "/phase", "there is no phase %s", phase);
	if (c->zone.id[0])
		snprintf(to, 320, "zone:%s:%s", c->zone.id, canonical);
	else
		snprintf(to, 320, "root:%s", canonical);
	return RF_OK;
}

json_t *rf_ruleset_show(struct rf_api_call *c, const struct rf_object *o)
{
	(void)c;
	json_t *j = json_deep_copy(o->doc);
	if (!j)
		return NULL;
	json_object_del(j, "zone_id");
	json_object_set_new(j, "id", json_string(o->id));
	return j;
}

static json_t *show_brief(struct rf_api_call *c, const struct rf_object *o)
{
	json_t *rules = json_incref(json_object_get(o->doc, "rules"));
	json_object_del(o->doc, "rules");
	json_t *j = rf_ruleset_show(c, o);
	json_object_set_new(o->doc, "rules", rules);
	return j;
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

static json_t *find_rule(const json_t *rules, const char *member, const char *value)
{
	size_t i;
	json_t *r;
	if (value[0])
		json_array_foreach(rules, i, r)
			if (strcmp(rf_json_text(r, member), value) == 0)
				return r;
	return NULL;
}

/* Same but for what is computed. */
static bool same_rule(const json_t *a, const json_t *b)
{
	json_t *x = json_copy((json_t *)a), *y = json_copy((json_t *)b);
	for (const char *const *m = (const char *const[]){ "version", "last_updated", "id", "ref", NULL }; *m && x && y; m++) {
		json_object_del(x, *m);
		json_object_del(y, *m);
	}
	bool same = x && y && json_equal(x, y);
	json_decref(x);
	json_decref(y);
	return same;
}

static void next_version(json_t *to, const json_t *from)
{
	char text[24];
	snprintf(text, sizeof text, "%lld", from ? strtoll(rf_json_text(from, "version"), NULL, 10) + 1 : 1ll);
	json_object_set_new(to, "version", json_string(text));
}

static int number_rule(struct rf_api_call *c, json_t *rule, const json_t *old_rules, const char *now)
{
	json_object_del(rule, "position");
	const json_t *old = find_rule(old_rules, "id", rf_json_text(rule, "id"));
	if (!old)
		old = find_rule(old_rules, "ref", rf_json_text(rule, "ref"));
	char id[33];
	if (old)
		snprintf(id, sizeof id, "%s", rf_json_text(old, "id"));
	else if (rf_store_draw_id(c->store, id, &c->err) != RF_OK)
		return c->err.code;
	json_object_set_new(rule, "id", json_string(id));
	if (!rf_json_text(rule, "ref")[0])
		json_object_set_new(rule, "ref", json_string(old ? rf_json_text(old, "ref") : id));
	if (old && same_rule(rule, old)) {
		json_object_set(rule, "version", json_object_get(old, "version"));
		json_object_set(rule, "last_updated", json_object_get(old, "last_updated"));
	} else {
		next_version(rule, old);
		json_object_set_new(rule, "last_updated", json_string(now));
	}
	return RF_OK;
}

int rf_ruleset_number(struct rf_api_call *c, json_t *doc, const json_t *old)
{
	char now[RF_RFC3339_SIZE];
	size_t i;
	json_t *r, *seen = json_object();
	rf_rfc3339(c->api->conf.clock.wall(c->api->conf.clock.ctx), 1, now);
	int rc = seen ? RF_OK : no_memory(c);
	json_array_foreach(json_object_get(doc, "rules"), i, r) {
		if (rc == RF_OK)
			rc = number_rule(c, r, json_object_get(old, "rules"), now);
		char at[48];
		snprintf(at, sizeof at, "/rules/%zu/id", i);
		if (rc == RF_OK && json_object_get(seen, rf_json_text(r, "id")))
			rc = rf_api_fail(c, RF_E_INVALID, at, "two rules have the same id or ref");
		if (rc == RF_OK)
			json_object_set_new(seen, rf_json_text(r, "id"), json_true());
	}
	json_decref(seen);
	next_version(doc, old);
	json_object_set_new(doc, "last_updated", json_string(now));
	return rc;
}

static int pick_first(const struct rf_raw_object *o, void *arg)
{
	snprintf(arg, 33, "%s", o->id);
	return 1;
}

static int keep_version(struct rf_api_call *c, const struct rf_object *o, const json_t *old)
{
	RF_OBJECT_AUTO v = { 0 };
	size_t count = 0;
	struct rf_store_query q = { .parent = o->id };
	int rc = rf_api_object(c, &v, o->id, rf_json_text(old, "version"), json_incref((json_t *)old));
	if (rc == RF_OK)
		rc = rf_store_put(c->store, RF_KIND_RULESET_VERSION, &v, 0, &c->err);
	if (rc == RF_OK)
		rc = rf_store_count(c->store, RF_KIND_RULESET_VERSION, &q, &count, &c->err);
	if (rc != RF_OK || count <= RF_RULESET_VERSIONS)
		return rc;
	char oldest[33] = "";
	q.limit = 1;
	rc = rf_store_scan(c->store, RF_KIND_RULESET_VERSION, &q, pick_first, oldest, &c->err);
	return rc < 0 ? rc : rf_store_del(c->store, RF_KIND_RULESET_VERSION, oldest, 0, &c->err);
}

/* An error of the commit at "/rules/3/expression" is at "/expression" of a request that was rule 3. */
static void move_pointer(struct rf_api_call *c, int rule)
{
	char prefix[32];
	size_t n = (size_t)snprintf(prefix, sizeof prefix, "/rules/%d", rule);
	if (rule >= 0 && strncmp(c->err.pointer, prefix, n) == 0 && (c->err.pointer[n] == '/' || !c->err.pointer[n]))
		memmove(c->err.pointer, c->err.pointer + n, strlen(c->err.pointer + n) + 1);
}

int rf_ruleset_save(struct rf_api_call *c, struct rf_object *o, const json_t *old, int rule)
{
	int rc = RF_OK;
	if (old)
		rc = keep_version(c, o, old);
	if (rc == RF_OK)
		rc = rf_api_put(c, RF_KIND_RULESET, o, c->if_revision);
	if (rc == RF_OK)
		rc = rf_api_commit(c);
	if (rc != RF_OK) {
		move_pointer(c, rule);
		return rc;
	}
	return rf_api_result(c, rf_ruleset_show(c, o), o->revision);
}

int rf_api_rulesets_list(struct rf_api_call *c)
{
	struct rf_store_query q = { .parent = c->account.id, .match = { { "zone_id", c->zone.id } } };
	return rf_api_list(c, RF_KIND_RULESET, &q, show_brief, RF_API_PER_PAGE_MAX);
}

int rf_api_rulesets_get(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = rf_ruleset_load(c, c->params.id, &o);
	return rc == RF_OK ? rf_api_result(c, rf_ruleset_show(c, &o), o.revision) : rc;
}

static int create(struct rf_api_call *c, const char *name)
{
	RF_OBJECT_AUTO o = { 0 };
	if (!rf_json_text(c->body, "name")[0])
		json_object_set_new(c->body, "name", json_string("default"));
	if (!json_object_get(c->body, "description"))
		json_object_set_new(c->body, "description", json_string(""));
	json_object_set_new(c->body, "zone_id", json_string(c->zone.id));
	int rc = rf_api_object(c, &o, c->account.id, name, json_incref(c->body));
	if (rc == RF_OK)
		rc = rf_ruleset_number(c, o.doc, NULL);
	return rc == RF_OK ? rf_ruleset_save(c, &o, NULL, -1) : rc;
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
static int replace(struct rf_api_call *c, struct rf_object *o)
{
	json_t *old = json_deep_copy(o->doc);
	int rc = old ? RF_OK : no_memory(c);
	for (const char *const *m = (const char *const[]){ "rules", "name", "description", NULL }; *m && rc == RF_OK; m++)
		if (json_object_get(c->body, *m) && json_object_set(o->doc, *m, json_object_get(c->body, *m)) != 0)
			rc = no_memory(c);
	if (rc == RF_OK)
		rc = rf_ruleset_number(c, o->doc, old);
	if (rc == RF_OK)
		rc = rf_ruleset_save(c, o, old, -1);
	json_decref(old);
	return rc;
}

int rf_api_rulesets_put(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = rf_api_begin(c);
	if (rc == RF_OK)
		rc = rf_ruleset_load(c, c->params.id, &o);
	return rc == RF_OK ? replace(c, &o) : rc;
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
	return rc == RF_OK ? rf_api_result(c, rf_ruleset_show(c, &o), o.revision) : rc;
}

int rf_api_entrypoint_put(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	char name[320];
	int rc = rf_api_begin(c);
	if (rc == RF_OK)
		rc = entry_name(c, c->params.phase, name);
	if (rc == RF_OK)
		rc = load_entry(c, &o);
	if (rc == RF_OK)
		return replace(c, &o);
	if (rc != RF_E_NOT_FOUND || c->errors)
		return rc;
	json_object_set_new(c->body, "kind", json_string(c->zone.id[0] ? "zone" : "root"));
	json_object_set_new(c->body, "phase", json_string(c->params.phase));
	return create(c, name);
}

static json_t *show_version(struct rf_api_call *c, const struct rf_object *v)
{
	struct rf_object as = *v;
	memcpy(as.id, v->parent, sizeof as.id);
	return show_brief(c, &as);
}

static int versions(struct rf_api_call *c, const struct rf_object *o)
{
	struct rf_store_query q = { .parent = o->id };
	int rc = rf_api_list(c, RF_KIND_RULESET_VERSION, &q, show_version, RF_API_PER_PAGE_MAX);
	if (rc == RF_OK && c->result)
		json_array_append_new(c->result, show_brief(c, o));
	return rc;
}

int rf_api_versions_list(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = rf_ruleset_load(c, c->params.id, &o);
	return rc == RF_OK ? versions(c, &o) : rc;
}

int rf_api_entrypoint_versions(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = load_entry(c, &o);
	return rc == RF_OK ? versions(c, &o) : rc;
}

static int version(struct rf_api_call *c, const struct rf_object *o)
{
	if (strcmp(c->params.version, rf_json_text(o->doc, "version")) == 0)
		return rf_api_result(c, rf_ruleset_show(c, o), o->revision);
	RF_OBJECT_AUTO v = { 0 };
	int rc = rf_store_find(c->store, RF_KIND_RULESET_VERSION, o->id, c->params.version, &v, &c->err);
	if (rc == RF_E_NOT_FOUND)
		return rf_fail(&c->err, rc, "the ruleset has no version %s", c->params.version);
	memcpy(v.id, o->id, sizeof v.id);
	return rc == RF_OK ? rf_api_result(c, rf_ruleset_show(c, &v), 0) : rc;
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

int rf_api_versions_delete(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 }, v = { 0 };
	int rc = rf_api_begin(c);
	if (rc == RF_OK)
		rc = rf_ruleset_load(c, c->params.id, &o);
	if (rc == RF_OK && strcmp(c->params.version, rf_json_text(o.doc, "version")) == 0)
		rc = rf_fail(&c->err, RF_E_CONFLICT, "version %s is the present one", c->params.version);
	if (rc == RF_OK)
		rc = rf_store_find(c->store, RF_KIND_RULESET_VERSION, o.id, c->params.version, &v, &c->err);
	if (rc == RF_OK)
		rc = rf_store_del(c->store, RF_KIND_RULESET_VERSION, v.id, 0, &c->err);
	if (rc == RF_OK)
		rc = rf_api_commit(c);
	c->status = 204;
	return rc;
}
