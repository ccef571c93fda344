/* api/rules: one rule of a ruleset: added, changed, moved, deleted; and rules tried without being in force.
 *
 * Not here: numbering and storing (rulesets.c).
 */
#include <stdio.h>
#include <stdlib.h>
#include "api/rulesets.h"

static int no_memory(struct rf_api_call *c)
{
	return rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted");
}

static int index_of(const json_t *rules, const char *id)
{
	size_t i;
	json_t *r;
	json_array_foreach(rules, i, r)
		if (strcmp(rf_json_text(r, "id"), id) == 0)
			return (int)i;
	return -1;
}

/* Where `position` puts a rule among `rules`, in which it is not. */
static int place(struct rf_api_call *c, const json_t *rules, const json_t *position, int *ret)
{
	int n = (int)json_array_size(rules);
	const char *anchor = json_string_value(json_object_get(position, "before"));
	const char *after = json_string_value(json_object_get(position, "after"));
	const json_t *index = json_object_get(position, "index");
	if (!!anchor + !!after + !!index > 1)
		return rf_api_fail(c, RF_E_INVALID, "/position", "give one of before, after and index");
	*ret = n;
	if (index) {
		json_int_t i = json_integer_value(index) - 1;
		*ret = i > n ? n : (int)i;
	} else if (anchor && !anchor[0]) {
		*ret = 0;
	} else if (anchor || (after && after[0])) {
		int at = index_of(rules, anchor ? anchor : after);
		if (at < 0)
			return rf_api_fail(c, RF_E_INVALID, anchor ? "/position/before" : "/position/after",
					   "there is no rule %s in this ruleset", anchor ? anchor : after);
		*ret = anchor ? at : at + 1;
	}
	return RF_OK;
}

/* The ruleset of the path with a copy of what it was. */
static int open_ruleset(struct rf_api_call *c, struct rf_object *o, json_t **ret_old)
{
	int rc = rf_api_begin(c);
	if (rc == RF_OK)
		rc = rf_ruleset_load(c, c->params.id, o);
	if (rc == RF_OK && !(*ret_old = json_deep_copy(o->doc)))
		rc = no_memory(c);
	return rc;
}

static int finish(struct rf_api_call *c, struct rf_object *o, const json_t *old, int at)
{
	int rc = rf_ruleset_number(c, o->doc, old);
	return rc == RF_OK ? rf_ruleset_save(c, o, old, at) : rc;
}

int rf_api_rules_create(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	json_t *old = NULL;
	int at = 0, rc = open_ruleset(c, &o, &old);
	json_t *rules = json_object_get(o.doc, "rules");
	json_object_del(c->body, "id");
	if (rc == RF_OK)
		rc = place(c, rules, json_object_get(c->body, "position"), &at);
	if (rc == RF_OK && json_array_insert(rules, (size_t)at, c->body) != 0)
		rc = no_memory(c);
	if (rc == RF_OK)
		rc = finish(c, &o, old, at);
	json_decref(old);
	return rc;
}

static int find(struct rf_api_call *c, const json_t *rules, int *ret)
{
	*ret = index_of(rules, c->params.rule);
	return *ret >= 0 ? RF_OK : rf_fail(&c->err, RF_E_NOT_FOUND, "there is no rule %s in this ruleset", c->params.rule);
}

/* Take the rule out and put it where the request wants it, changed. */
static int change(struct rf_api_call *c, json_t *rules, int *at)
{
	json_t *rule = json_incref(json_array_get(rules, (size_t)*at));
	json_t *position = json_incref(json_object_get(c->body, "position"));
	const char *name;
	json_t *v;
	int rc = RF_OK;
	json_object_del(c->body, "position");
	json_object_del(c->body, "id");
	json_object_foreach(c->body, name, v) {
		if (json_is_null(v))
			json_object_del(rule, name);
		else if (json_object_set(rule, name, v) != 0)
			rc = no_memory(c);
	}
	if (rc == RF_OK && position) {
		json_array_remove(rules, (size_t)*at);
		rc = place(c, rules, position, at);
		if (rc == RF_OK && json_array_insert(rules, (size_t)*at, rule) != 0)
			rc = no_memory(c);
	}
	json_decref(position);
	json_decref(rule);
	return rc;
}

int rf_api_rules_edit(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	json_t *old = NULL;
	int at = 0, rc = open_ruleset(c, &o, &old);
	json_t *rules = json_object_get(o.doc, "rules");
	if (rc == RF_OK)
		rc = find(c, rules, &at);
	if (rc == RF_OK)
		rc = change(c, rules, &at);
	if (rc == RF_OK)
		rc = finish(c, &o, old, at);
	json_decref(old);
	return rc;
}

int rf_api_rules_delete(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	json_t *old = NULL;
	int at = 0, rc = open_ruleset(c, &o, &old);
	json_t *rules = json_object_get(o.doc, "rules");
	if (rc == RF_OK)
		rc = find(c, rules, &at);
	if (rc == RF_OK) {
		json_array_remove(rules, (size_t)at);
		rc = finish(c, &o, old, -1);
	}
	json_decref(old);
	return rc;
}
