/* api/zones: domains and the hosts below them.
 *
 * Members that the documented shape has and that mean nothing here (plan, name servers, ...) are shown with fixed
 * values. A token that may read some zones only sees those in the list.
 */
#include <stdio.h>
#include <stdlib.h>
#include "api/tokens.h"

static json_t *show(struct rf_api_call *c, const struct rf_object *o)
{
	(void)c;
	json_t *j = rf_api_plain(RF_RES_ZONE, o);
	if (!j)
		return NULL;
	json_t *owner = json_pack("{s:s, s:s}", "id", o->parent, "name", "");
	json_object_set(j, "account", owner);
	json_object_set_new(j, "owner", json_pack("{s:s, s:s, s:s}", "id", o->parent, "name", "", "type", "organization"));
	json_decref(owner);
	json_object_set(j, "activated_on", json_object_get(j, "created_on"));
	json_object_set_new(j, "development_mode", json_integer(0));
	json_object_set_new(j, "meta", json_object());
	json_object_set_new(j, "name_servers", json_array());
	json_object_set_new(j, "original_dnshost", json_null());
	json_object_set_new(j, "original_name_servers", json_null());
	json_object_set_new(j, "original_registrar", json_null());
	json_object_set_new(j, "plan", json_pack("{s:s, s:s}", "id", o->parent, "name", "Ringfence"));
	json_object_set_new(j, "status", json_string("active"));
	json_object_set_new(j, "permissions", json_array());
	return j;
}

struct listing {
	struct rf_api_call *c;
	size_t first, last, seen;
	json_t *array;
};

static int consider(const struct rf_object *o, void *arg)
{
	struct listing *l = arg;
	const char *account = rf_api_param(l->c, "account.id");
	if ((account && strcmp(account, o->parent) != 0) || !rf_auth_may(l->c, "zones", false, o->parent, o->id))
		return RF_OK;
	size_t at = l->seen++;
	if (at < l->first || at >= l->last)
		return RF_OK;
	return json_array_append_new(l->array, show(l->c, o)) == 0 ? RF_OK :
		rf_fail(&l->c->err, RF_E_NOMEM, "memory is exhausted");
}

int rf_api_zones_list(struct rf_api_call *c)
{
	size_t page, per;
	int rc = rf_api_page(c, RF_API_PER_PAGE, &page, &per);
	const char *status = rf_api_param(c, "status"), *direction = rf_api_param(c, "direction");
	if (rc != RF_OK)
		return rc;
	struct rf_store_query q = { .name = rf_api_param(c, "name"),
				    .descending = direction && strcmp(direction, "desc") == 0 };
	struct listing l = { c, (page - 1) * per, page * per, 0, json_array() };
	if (!l.array)
		return rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted");
	if (!status || !*status || strcmp(status, "active") == 0)
		rc = rf_store_list(c->store, RF_KIND_ZONE, &q, consider, &l, NULL, &c->err);
	if (rc == RF_OK)
		rc = rf_api_info(c, page, per, json_array_size(l.array), l.seen);
	if (rc != RF_OK) {
		json_decref(l.array);
		return rc;
	}
	return rf_api_result(c, l.array, 0);
}

/* The account that the body names, where it does, and the right to it. */
static int owner(struct rf_api_call *c, char to[33])
{
	const char *id = rf_json_text(json_object_get(c->body, "account"), "id");
	snprintf(to, 33, "%s", id[0] ? id : c->account.id);
	RF_OBJECT_AUTO account = { 0 };
	if (rf_store_get(c->store, RF_KIND_ACCOUNT, to, &account, &c->err) != RF_OK)
		return rf_api_fail(c, RF_E_INVALID, "/account/id", "there is no account %s", to);
	if (!rf_auth_may(c, "zones", true, to, ""))
		return rf_fail(&c->err, RF_E_DENIED, "this token may not make zones in this account");
	return RF_OK;
}

static int has_dot(struct rf_api_call *c, const char *name)
{
	if (!strchr(name, '.'))
		return rf_api_fail(c, RF_E_INVALID, "/name", "must be a domain with at least two labels");
	return RF_OK;
}

static char *lower(char *z)
{
	for (char *p = z; *p; p++)
		*p = (char)rf_lower((unsigned char)*p);
	return z;
}

int rf_api_zones_create(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	char account[33], name[256];
	snprintf(name, sizeof name, "%s", rf_json_text(c->body, "name"));
	lower(name);
	int rc = owner(c, account);
	if (rc == RF_OK)
		rc = has_dot(c, name);
	if (rc == RF_OK)
		rc = rf_api_begin(c);
	if (rc != RF_OK)
		return rc;
	json_object_set_new(c->body, "name", json_string(name));
	json_object_del(c->body, "account");
	rc = rf_api_object(c, &o, account, name, json_incref(c->body));
	if (rc == RF_OK)
		rc = rf_api_put(c, RF_KIND_ZONE, &o, 0);
	if (rc == RF_OK)
		rc = rf_api_commit(c);
	return rc == RF_OK ? rf_api_result(c, show(c, &o), o.revision) : rc;
}

int rf_api_zones_get(struct rf_api_call *c)
{
	return rf_api_result(c, show(c, &c->zone), c->zone.revision);
}

int rf_api_zones_edit(struct rf_api_call *c)
{
	const char *name = rf_json_text(c->body, "name");
	if (name[0] && strcmp(name, c->zone.name) != 0)
		return rf_api_fail(c, RF_E_INVALID, "/name", "the name of a zone cannot change; make another zone");
	int rc = rf_api_begin(c);
	json_object_del(c->body, "account");
	if (rc == RF_OK && json_object_update(c->zone.doc, c->body) != 0)
		rc = rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted");
	if (rc == RF_OK)
		rc = rf_api_put(c, RF_KIND_ZONE, &c->zone, c->if_revision);
	if (rc == RF_OK)
		rc = rf_api_commit(c);
	return rc == RF_OK ? rf_api_result(c, show(c, &c->zone), c->zone.revision) : rc;
}

static int collect_id(const struct rf_raw_object *o, void *arg)
{
	return json_array_append_new(arg, json_string(o->id)) == 0 ? RF_OK : RF_E_NOMEM;
}

/* Rulesets are the account's children; those of a zone go with it. */
static int delete_rulesets(struct rf_api_call *c)
{
	struct rf_store_query q = { .parent = c->account.id, .match = { { "zone_id", c->zone.id } } };
	json_t *ids = json_array(), *id;
	size_t i;
	int rc = rf_store_scan(c->store, RF_KIND_RULESET, &q, collect_id, ids, &c->err);
	json_array_foreach(ids, i, id)
		if (rc == RF_OK)
			rc = rf_api_del(c, RF_KIND_RULESET, json_string_value(id), 0);
	json_decref(ids);
	return rc;
}

int rf_api_zones_delete(struct rf_api_call *c)
{
	int rc = rf_api_begin(c);
	if (rc == RF_OK)
		rc = delete_rulesets(c);
	if (rc == RF_OK)
		rc = rf_api_del(c, RF_KIND_ZONE, c->zone.id, c->if_revision);
	if (rc == RF_OK)
		rc = rf_api_commit(c);
	return rc == RF_OK ? rf_api_result_id(c, c->zone.id) : rc;
}
