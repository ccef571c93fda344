/* api/explain_past: POST explain with `record`: each ruleset of the account as it was when the record was made.
 *
 *   head: unchanged since -> as it is; else the newest version that began before -> undone back to it (ruleset_versions.c);
 *   not kept, or hidden -> as it is, and said so; not there yet -> left out
 */
#include <stdio.h>
#include "api/rulesets.h"
#include "ctl/explain.h"

struct then {
	struct rf_api_call *c;
	int64_t at_s;
	json_t *sets; /* by id: basis, and the rules where they are not those of now */
};

static int64_t began(const json_t *head)
{
	int64_t at = INT64_MAX;
	rf_rfc3339_parse(rf_json_text(head, "last_updated"), &at);
	return at;
}

static const char *basis(const struct then *t, int64_t began_s) { return began_s == t->at_s ? RF_BASIS_SECOND : RF_BASIS_THEN; }

/* The rules of the version that a record met; {basis: now} where it is not kept. */
static int of_then(struct then *t, const struct rf_object *head, json_t *set)
{
	const json_t *history = json_object_get(head->doc, "history"), *entry = NULL;
	size_t i = json_array_size(history);
	while (i > 0 && began(entry = json_array_get(history, i - 1)) > t->at_s)
		i--;
	if (i == 0)
		return RF_OK;
	snprintf(t->c->params.version, sizeof t->c->params.version, "%s", rf_json_text(entry, "version"));
	int rc = rf_versions_show(t->c, head);
	if (rc == RF_E_NOT_FOUND)
		return RF_OK;
	if (rc == RF_OK && (json_object_set(set, "rules", json_object_get(t->c->result, "rules")) != 0 ||
			    json_object_set_new(set, "basis", json_string(basis(t, began(entry)))) != 0))
		rc = rf_fail(&t->c->err, RF_E_NOMEM, "memory is exhausted");
	return rc;
}

static int each_head(const struct rf_object *head, void *arg)
{
	struct then *t = arg;
	int64_t since = began(head->doc);
	if (head->created_s > t->at_s)
		return RF_OK;
	json_t *set = json_pack("{s:s}", "basis", since <= t->at_s ? basis(t, since) : RF_BASIS_NOW);
	if (!set || json_object_set_new(t->sets, head->id, set) != 0)
		return rf_fail(&t->c->err, RF_E_NOMEM, "memory is exhausted");
	return since <= t->at_s ? RF_OK : of_then(t, head, set);
}

static int sets_of(struct then *t)
{
	struct rf_store_query heads = { .parent = t->c->account.id };
	if (!t->sets)
		return rf_fail(&t->c->err, RF_E_NOMEM, "memory is exhausted");
	return rf_store_list(t->c->store, RF_KIND_RULESET, &heads, each_head, t, NULL, &t->c->err);
}

int rf_api_explain_past(struct rf_api_call *c, const char *ray)
{
	const struct rf_api_hooks *h = &c->api->conf.hooks;
	json_t *line = NULL, *result = NULL;
	if (!h->record || !h->explain_past)
		return rf_fail(&c->err, RF_E_UNSUPPORTED, "this process has no records");
	int rc = h->record(h->ctx, ray, &line, &c->err);
	if (rc != RF_OK)
		return rc;
	struct then t = { .c = c, .sets = json_object() };
	rf_rfc3339_parse(rf_json_text(line, "Datetime"), &t.at_s);
	rc = sets_of(&t);
	if (rc == RF_OK)
		rc = h->explain_past(h->ctx, line, t.sets, &result, &c->err);
	json_decref(line);
	json_decref(t.sets);
	return rc == RF_OK ? rf_api_result(c, result, 0) : rc;
}
