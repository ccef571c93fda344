/* api/lists: named lists for rules, without their entries (items.c). */
#include <stdio.h>
#include <stdlib.h>
#include "api/bulk.h"
#include "api/call.h"

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
	json_t *j = rf_api_plain(RF_RES_LIST, o);
	if (!j || rf_store_entry_count(c->store, o->id, &items, &c->err) != RF_OK) {
		json_decref(j);
		return NULL;
	}
	json_object_set_new(j, "num_items", json_integer((json_int_t)items));
	json_object_set_new(j, "num_referencing_filters", json_integer((json_int_t)referrers(c, o)));
	return j;
}

static int refuse_used(struct rf_api_call *c, const struct rf_object *o)
{
	struct rf_operation op;
	size_t n = referrers(c, o);
	if (n)
		return rf_fail(&c->err, RF_E_CONFLICT, "%zu rules use $%s; change them first", n, o->name);
	int rc = rf_store_op_open(c->store, o->id, 0, &op, &c->err);
	if (rc == RF_E_NOT_FOUND)
		return RF_OK;
	return rc == RF_OK ? rf_fail(&c->err, RF_E_CONFLICT, "operation %s changes $%s; wait for its end", op.id, o->name) : rc;
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
	if (rc != RF_OK)
		return rc;
	rf_bulk_sweep(c->api->bulk);
	return rf_api_result_id(c, c->params.id);
}

int rf_api_operations_get(struct rf_api_call *c)
{
	struct rf_operation op;
	char at[RF_RFC3339_SIZE];
	size_t entries, done;
	int rc = rf_store_op_get(c->store, c->params.id, &op, &c->err);
	if (rc == RF_E_NOT_FOUND)
		return rf_fail(&c->err, rc, "there is no operation %s among the last %d", c->params.id, RF_OPERATIONS_KEPT);
	if (rc != RF_OK)
		return rc;
	json_t *j = json_pack("{s:s, s:s}", "id", op.id, "status", rf_op_status_name(op.status));
	if (j && op.completed_s)
		json_object_set_new(j, "completed", json_string(rf_api_time(op.completed_s, at)));
	if (j && op.error[0])
		json_object_set_new(j, "error", json_string(op.error));
	if (j && rf_bulk_progress(c->api->bulk, op.id, &entries, &done)) {
		json_object_set_new(j, "entries", json_integer((json_int_t)entries));
		json_object_set_new(j, "done", json_integer((json_int_t)done));
	}
	return rf_api_result(c, j, 0);
}
