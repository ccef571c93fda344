/* api/rules: one rule of a ruleset: added, changed, moved, deleted, at a cost that does not grow with the ruleset.
 *
 * Not here: places (rule_place.c), what a change writes besides (ruleset_change.c).
 */
#include <stdio.h>
#include <stdlib.h>
#include "api/rulesets.h"

static int no_memory(struct rf_api_call *c)
{
	return rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted");
}

/* The ref names a rule: no other of the ruleset may have it. */
static int check_ref(struct rf_api_call *c, const struct rf_ruleset_change *ch, const json_t *rule, const char *self)
{
	RF_OBJECT_AUTO there = { 0 };
	const char *ref = rf_json_text(rule, "ref");
	if (!ref[0])
		return RF_OK;
	int rc = rf_store_find(c->store, RF_KIND_RULE, ch->head.id, ref, &there, &c->err);
	if (rc == RF_E_NOT_FOUND || (rc == RF_OK && strcmp(there.id, self) == 0))
		return RF_OK;
	return rc != RF_OK ? rc : rf_api_fail(c, RF_E_INVALID, "/ref", "the rule %s of this ruleset has the ref %s", there.id, ref);
}

int rf_api_rules_create(struct rf_api_call *c)
{
	RF_CHANGE_AUTO ch = { 0 };
	RF_OBJECT_AUTO row = { .doc = json_incref(c->body) };
	const struct rf_placed nobody = { 0 };
	int rc = rf_change_open(c, &ch);
	if (rc == RF_OK)
		rc = check_ref(c, &ch, c->body, "");
	if (rc == RF_OK)
		rc = rf_rule_place(c, &ch, json_object_get(c->body, "position"), &nobody, &row.place);
	if (rc == RF_OK)
		rc = rf_store_draw_id(c->store, row.id, &c->err);
	if (rc != RF_OK)
		return rc;
	rf_rule_number(row.doc, row.id, NULL, ch.now);
	rc = rf_change_put(c, &ch, &row);
	if (rc == RF_OK)
		rc = rf_change_finish(c, &ch, row.id);
	return rc == RF_OK ? rf_change_result(c, &ch, row.doc) : rc;
}

/* The rule of the path. */
static int open_rule(struct rf_api_call *c, struct rf_ruleset_change *ch, struct rf_object *row)
{
	struct rf_object o = { 0 };
	int rc = rf_change_open(c, ch);
	if (rc == RF_OK)
		rc = rf_store_get(c->store, RF_KIND_RULE, c->params.rule, &o, &c->err);
	if (rc == RF_E_NOT_FOUND && ch->head.id[0])
		return rf_fail(&c->err, rc, "there is no rule %s in this ruleset", c->params.rule);
	if (rc != RF_OK)
		return rc;
	if (strcmp(o.parent, ch->head.id) != 0) {
		rf_object_fini(&o);
		return rf_fail(&c->err, RF_E_NOT_FOUND, "there is no rule %s in this ruleset", c->params.rule);
	}
	*row = o;
	return RF_OK;
}

/* Members of the request over those of the rule; null takes one away. */
static int merge(struct rf_api_call *c, json_t *rule)
{
	const char *name;
	json_t *v;
	json_object_foreach(c->body, name, v) {
		if (strcmp(name, "id") == 0 || strcmp(name, "position") == 0)
			continue;
		if (json_is_null(v))
			json_object_del(rule, name);
		else if (json_object_set(rule, name, v) != 0)
			return no_memory(c);
	}
	return RF_OK;
}

static int write_back(struct rf_api_call *c, struct rf_ruleset_change *ch, struct rf_object *row, const json_t *old)
{
	const json_t *position = json_object_get(c->body, "position");
	struct rf_placed self = { .place = row->place };
	memcpy(self.id, row->id, sizeof self.id);
	int rc = check_ref(c, ch, row->doc, row->id);
	if (rc == RF_OK && position)
		rc = rf_rule_place(c, ch, position, &self, &row->place);
	if (rc != RF_OK)
		return rc;
	if (rf_rule_number(row->doc, row->id, old, ch->now))
		return rf_change_put(c, ch, row);
	return row->place != self.place ? rf_change_move(c, ch, row->id, row->place) : RF_OK;
}

int rf_api_rules_edit(struct rf_api_call *c)
{
	RF_CHANGE_AUTO ch = { 0 };
	RF_OBJECT_AUTO row = { 0 };
	json_t *old = NULL;
	int rc = open_rule(c, &ch, &row);
	if (rc == RF_OK && !(old = json_deep_copy(row.doc)))
		rc = no_memory(c);
	if (rc == RF_OK)
		rc = merge(c, row.doc);
	if (rc == RF_OK)
		rc = write_back(c, &ch, &row, old);
	if (rc == RF_OK)
		rc = rf_change_finish(c, &ch, row.id);
	json_decref(old);
	return rc == RF_OK ? rf_change_result(c, &ch, row.doc) : rc;
}

int rf_api_rules_delete(struct rf_api_call *c)
{
	RF_CHANGE_AUTO ch = { 0 };
	RF_OBJECT_AUTO row = { 0 };
	int rc = open_rule(c, &ch, &row);
	if (rc == RF_OK)
		rc = rf_change_del(c, &ch, row.id);
	if (rc == RF_OK)
		rc = rf_change_finish(c, &ch, row.id);
	return rc == RF_OK ? rf_change_result(c, &ch, NULL) : rc;
}
