/* api/lists: named lists for rules, without their entries (items.c). */
#include <stdio.h>
#include <stdlib.h>
#include "api/lists.h"

/* "$name" that is not the beginning of a longer name. */
static bool refers(const char *expression, const char *name)
{
	size_t n = strlen(name);
	for (const char *p = expression; (p = strchr(p, '$')); p++)
		if (strncmp(p + 1, name, n) == 0 && !strchr("abcdefghijklmnopqrstuvwxyz0123456789_", p[1 + n] ? p[1 + n] : '-'))
			return true;
	return false;
}

struct referrers {
	struct rf_api_call *c;
	const char *name;
	size_t count;
};

/* Of millions of rules few name a list: only those are parsed. */
static int count_rule(const struct rf_raw_object *o, void *arg)
{
	struct referrers *r = arg;
	if (!memchr(o->doc.p, '$', o->doc.n))
		return RF_OK;
	json_t *doc = json_loadb(o->doc.p, o->doc.n, 0, NULL);
	r->count += refers(rf_json_text(doc, "expression"), r->name);
	json_decref(doc);
	return RF_OK;
}

static int count_rules(const struct rf_raw_object *o, void *arg)
{
	struct referrers *r = arg;
	struct rf_store_query rules = { .parent = o->id };
	return rf_store_scan(r->c->store, RF_KIND_RULE, &rules, count_rule, r, &r->c->err);
}

static size_t referrers(struct rf_api_call *c, const struct rf_object *o)
{
	struct referrers r = { c, o->name, 0 };
	struct rf_store_query q = { .parent = o->parent };
	rf_store_scan(c->store, RF_KIND_RULESET, &q, count_rules, &r, &c->err);
	return r.count;
}

static json_t *show(struct rf_api_call *c, const struct rf_object *o)
{
	size_t items = 0;
	struct rf_store_query q = { .parent = o->id };
	json_t *j = rf_api_plain(RF_RES_LIST, o);
	if (!j || rf_store_count(c->store, RF_KIND_LIST_ITEM, &q, &items, &c->err) != RF_OK) {
		json_decref(j);
		return NULL;
	}
	json_object_set_new(j, "num_items", json_integer((json_int_t)items));
	json_object_set_new(j, "num_referencing_filters", json_integer((json_int_t)referrers(c, o)));
	return j;
}

static int refuse_used(struct rf_api_call *c, const struct rf_object *o)
{
	size_t n = referrers(c, o);
	return n ? rf_fail(&c->err, RF_E_CONFLICT, "%zu rules use $%s; change them first", n, o->name) : RF_OK;
}

static const struct rf_api_crud resource = { .kind = RF_KIND_LIST, .shape = RF_RES_LIST, .show = show,
					     .before_delete = refuse_used };

int rf_api_lists_list(struct rf_api_call *c)
{
	struct rf_store_query q = { 0 };
	return rf_crud_list(c, &resource, &q, 4096);
}

int rf_api_lists_create(struct rf_api_call *c) { return rf_crud_create(c, &resource); }
int rf_api_lists_get(struct rf_api_call *c) { return rf_crud_get(c, &resource); }
/* Only the description can change: the body's shape has nothing else. */
int rf_api_lists_put(struct rf_api_call *c) { return rf_crud_edit(c, &resource); }

int rf_api_lists_delete(struct rf_api_call *c)
{
	int rc = rf_crud_delete(c, &resource);
	return rc == RF_OK ? rf_api_result_id(c, c->params.id) : rc;
}

int rf_api_operations_get(struct rf_api_call *c)
{
	char at[RF_RFC3339_SIZE];
	size_t n = sizeof c->api->operations / sizeof *c->api->operations;
	for (size_t i = 0; i < n; i++)
		if (strcmp(c->api->operations[i].id, c->params.id) == 0)
			return rf_api_result(c, json_pack("{s:s, s:s, s:s}", "id", c->params.id, "status", "completed", "completed",
							  rf_api_time(c->api->operations[i].at_s, at)), 0);
	return rf_fail(&c->err, RF_E_NOT_FOUND, "there is no operation %s among the last %zu", c->params.id, n);
}

int rf_operation_done(struct rf_api_call *c)
{
	size_t n = sizeof c->api->operations / sizeof *c->api->operations;
	char id[33];
	int rc = rf_store_draw_id(c->store, id, &c->err);
	if (rc != RF_OK)
		return rc;
	size_t i = c->api->operation_next++ % n;
	strcpy(c->api->operations[i].id, id);
	c->api->operations[i].at_s = rf_api_now(c);
	return rf_api_result(c, json_pack("{s:s}", "operation_id", id), 0);
}
