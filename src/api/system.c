/* api/system: what is asked of the whole: health, metrics, status, reload, records, the audit, explanations. */
#include <stdio.h>
#include <stdlib.h>
#include "api/applies.h"
#include "api/rulesets.h"
#include "api/call.h"

static int plain(struct rf_api_call *c, int status, const char *text)
{
	rf_buf_printf(&c->text, "%s\n", text);
	c->text_type = "text/plain; charset=utf-8";
	c->status = status;
	return c->text.bad ? rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted") : RF_OK;
}

int rf_api_healthz(struct rf_api_call *c)
{
	return plain(c, 200, "ok");
}

int rf_api_readyz(struct rf_api_call *c)
{
	const struct rf_api_hooks *h = &c->api->conf.hooks;
	const char *why = "not ready";
	bool ready = !h->ready || h->ready(h->ctx, &why);
	return plain(c, ready ? 200 : 503, ready ? "ok" : why);
}

int rf_api_metrics(struct rf_api_call *c)
{
	const struct rf_api_hooks *h = &c->api->conf.hooks;
	if (h->metrics)
		h->metrics(h->ctx, &c->text);
	c->text_type = "text/plain; version=0.0.4; charset=utf-8";
	return c->text.bad ? rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted") : RF_OK;
}

int rf_api_openapi_serve(struct rf_api_call *c)
{
	struct rf_api *a = c->api;
	if (!a->openapi && !(a->openapi = rf_openapi_make(a->conf.version)))
		return rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted");
	rf_buf_add(&c->text, rf_str_z(a->openapi));
	c->text_type = "application/json";
	return c->text.bad ? rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted") : RF_OK;
}

int rf_api_reload(struct rf_api_call *c)
{
	const struct rf_api_state *st = &c->api->conf.state;
	if (!st->reload)
		return rf_fail(&c->err, RF_E_UNSUPPORTED, "this process cannot reload");
	RF_BUF_AUTO later = { 0 };
	char why[700];
	int rc = st->reload(st->ctx, &later, &c->err);
	if (rc != RF_OK) /* with the file and the place in it, which an error of the API has no member for */
		return rf_fail(&c->err, rc, "%s", rf_err_str(&c->err, why, sizeof why));
	if (later.n)
		rf_api_message(c, "", "changed, but in force after a restart only: %s", rf_buf_z(&later));
	return rf_api_result(c, json_pack("{s:b}", "reloaded", 1), 0);
}

static int add_zone(const struct rf_object *o, void *arg)
{
	return json_array_append_new(arg, json_pack("{s:s, s:s}", "id", o->id, "name", o->name)) == 0 ? RF_OK : RF_E_NOMEM;
}

static int counts(struct rf_api_call *c, json_t **ret)
{
	json_t *j = json_object();
	int rc = RF_OK;
	for (int k = 0; k < RF_KIND_COUNT && rc == RF_OK; k++) {
		size_t n = 0;
		struct rf_store_query q = { 0 };
		rc = rf_store_count(c->store, (enum rf_kind)k, &q, &n, &c->err);
		json_object_set_new(j, rf_kind_name((enum rf_kind)k), json_integer((json_int_t)n));
	}
	if (rc == RF_OK)
		*ret = j;
	else
		json_decref(j);
	return rc;
}

int rf_api_status_get(struct rf_api_call *c)
{
	const struct rf_api_hooks *h = &c->api->conf.hooks;
	struct rf_store_query q = { .parent = c->account.id, .limit = RF_API_PER_PAGE_MAX };
	json_t *zones = json_array(), *count = NULL;
	int rc = rf_store_list(c->store, RF_KIND_ZONE, &q, add_zone, zones, NULL, &c->err);
	if (rc == RF_OK)
		rc = counts(c, &count);
	if (rc != RF_OK) {
		json_decref(zones);
		return rc;
	}
	json_t *j = json_pack("{s:s, s:{s:s, s:s}, s:o, s:I, s:o}", "version", c->api->conf.version, "account", "id",
			      c->account.id, "name", c->account.name, "zones", zones, "revision",
			      (json_int_t)rf_store_revision(c->store), "counts", count);
	if (j && !rf_applies_status(c, j))
		rc = rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted");
	if (j && rc == RF_OK && h->status)
		rc = h->status(h->ctx, j, &c->err);
	if (rc != RF_OK) {
		json_decref(j);
		return rc;
	}
	return rf_api_result(c, j, 0);
}

int rf_api_records_list(struct rf_api_call *c)
{
	const struct rf_api_hooks *h = &c->api->conf.hooks;
	int64_t limit;
	if (!h->records)
		return rf_fail(&c->err, RF_E_UNSUPPORTED, "this process keeps no records");
	json_t *filter = json_object(), *array = json_array();
	for (size_t i = 0; i < c->query_count; i++) {
		struct rf_str name = c->query[i].name;
		if (!rf_str_eq(name, RF_STR("limit")) && !rf_str_eq(name, RF_STR("per_page")))
			json_object_setn_new(filter, name.p, name.n, json_string(c->query[i].value.p));
	}
	int rc = rf_api_param_int(c, rf_api_param(c, "limit") ? "limit" : "per_page", 1, 10000, 100, &limit);
	if (rc == RF_OK)
		rc = h->records(h->ctx, filter, (size_t)limit, array, &c->err);
	if (rc == RF_OK)
		rc = rf_api_info(c, 1, (size_t)limit, json_array_size(array), json_array_size(array));
	json_decref(filter);
	if (rc != RF_OK) {
		json_decref(array);
		return rc;
	}
	return rf_api_result(c, array, 0);
}

static int add_audit(const struct rf_audit *a, void *arg)
{
	char at[RF_RFC3339_SIZE], id[24];
	snprintf(id, sizeof id, "%llu", (unsigned long long)a->seq);
	json_t *j = json_pack("{s:s, s:s, s:{s:s}, s:{s:s, s:b}, s:{s:s, s:s}, s:I, s:I}", "id", id, "when",
			      rf_api_time(a->at_s, at), "actor", "id", a->actor, "action", "type", a->action, "result", 1,
			      "resource", "type", a->kind, "id", a->id, "old_revision", (json_int_t)a->old_revision,
			      "new_revision", (json_int_t)a->new_revision);
	return json_array_append_new(arg, j) == 0 ? RF_OK : RF_E_NOMEM;
}

int rf_api_audit_list(struct rf_api_call *c)
{
	size_t page, per, total = 0;
	json_t *array = json_array();
	int rc = rf_api_page(c, 100, &page, &per);
	if (rc == RF_OK)
		rc = rf_store_audit(c->store, (page - 1) * per, per, add_audit, array, &total, &c->err);
	if (rc == RF_OK)
		rc = rf_api_info(c, page, per, json_array_size(array), total);
	if (rc != RF_OK) {
		json_decref(array);
		return rc;
	}
	return rf_api_result(c, array, 0);
}

static int ask(struct rf_api_call *c, int (*hook)(void *, const char *, const json_t *, json_t **, struct rf_err *))
{
	json_t *result = NULL;
	if (!hook)
		return rf_fail(&c->err, RF_E_UNSUPPORTED, "this process has no rules in force");
	int rc = hook(c->api->conf.hooks.ctx, c->account.id, c->body, &result, &c->err);
	return rc == RF_OK ? rf_api_result(c, result, 0) : rc;
}

int rf_api_explain(struct rf_api_call *c)
{
	const char *ray = rf_json_text(c->body, "record");
	if (ray[0])
		return rf_api_explain_past(c, ray);
	if (!json_object_get(c->body, "request"))
		return rf_api_fail(c, RF_E_MISSING, "/request", "say a request, or the RayID of a record");
	return ask(c, c->api->conf.hooks.explain);
}

int rf_api_rules_lint(struct rf_api_call *c) { return ask(c, c->api->conf.hooks.rules_lint); }
int rf_api_rules_test(struct rf_api_call *c) { return ask(c, c->api->conf.hooks.rules_test); }
