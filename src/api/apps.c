/* api/apps: hosts at the edge with the origins behind them.
 *
 * Not here: what an app becomes in a snapshot (ctl/build); whether an origin can be reached.
 */
#include <stdio.h>
#include <stdlib.h>
#include "api/apps.h"
#include "api/classes.h"
#include "api/roots.h"
#include "api/x509.h"

static char *lower(char *z)
{
	for (char *p = z; *p; p++)
		*p = (char)rf_lower((unsigned char)*p);
	return z;
}

struct holder {
	struct rf_str needle; /* "\"host\"" */
	const char *self;
	char name[320];
};

/* Texts are compared before anything is parsed: one app among thousands may hold the host. */
static int holds_host(const struct rf_raw_object *o, void *arg)
{
	struct holder *h = arg;
	if (strcmp(o->id, h->self) == 0 || rf_str_search(o->doc, h->needle) == o->doc.n)
		return RF_OK;
	json_t *doc = json_loadb(o->doc.p, o->doc.n, 0, NULL), *v;
	size_t i;
	bool held = false;
	json_array_foreach(json_object_get(doc, "hosts"), i, v)
		held |= json_string_length(v) + 2 == h->needle.n &&
			memcmp(json_string_value(v), h->needle.p + 1, h->needle.n - 2) == 0;
	json_decref(doc);
	if (held)
		snprintf(h->name, sizeof h->name, "%s", o->name);
	return held;
}

static int check_host(struct rf_api_call *c, const struct rf_object *o, size_t i)
{
	json_t *v = json_array_get(json_object_get(o->doc, "hosts"), i);
	char host[260], quoted[264], at[32];
	snprintf(host, sizeof host, "%s", json_string_value(v));
	json_string_set(v, lower(host));
	snprintf(at, sizeof at, "/hosts/%zu", i);
	int rc = rf_host_in_zone(c, host[0] == '*' ? host + 2 : host, at);
	if (rc != RF_OK)
		return rc;
	snprintf(quoted, sizeof quoted, "\"%s\"", host);
	struct holder h = { rf_str_z(quoted), o->id, "" };
	struct rf_store_query q = { 0 };
	rc = rf_store_scan(c->store, RF_KIND_APP, &q, holds_host, &h, &c->err);
	if (rc > 0)
		return rf_api_fail(c, RF_E_EXISTS, at, "%s belongs to the app \"%s\" already", host, h.name);
	return rc;
}

int rf_origin_tls_check(struct rf_api_call *c, const json_t *doc)
{
	const char *ca = rf_json_text(doc, "origin_ca"), *id = rf_json_text(doc, "origin_certificate_id");
	STACK_OF(X509) *list = NULL;
	RF_OBJECT_AUTO o = { 0 };
	int rc = ca[0] ? rf_x509_read(c, ca, "/origin_ca", &list) : RF_OK;
	rf_x509_free(list);
	if (rc == RF_OK && id[0] && rf_api_load(c, RF_KIND_SERVER_CERT, c->zone.id, id, &o) != RF_OK)
		rc = rf_api_fail(c, RF_E_INVALID, "/origin_certificate_id", "there is no custom_certificate %s in this zone", id);
	return rc;
}

static int prepare(struct rf_api_call *c, struct rf_object *o, const json_t *old)
{
	(void)old;
	const json_t *health = json_object_get(o->doc, "health");
	int rc = RF_OK;
	for (size_t i = 0; i < json_array_size(json_object_get(o->doc, "hosts")) && rc == RF_OK; i++)
		rc = check_host(c, o, i);
	if (rc == RF_OK)
		rc = rf_origin_tls_check(c, o->doc);
	if (rc == RF_OK)
		rc = rf_roots_exist(c, o->doc);
	if (rc == RF_OK && health && json_integer_value(json_object_get(health, "expect_low")) >
				      json_integer_value(json_object_get(health, "expect_high")))
		rc = rf_api_fail(c, RF_E_INVALID, "/health/expect_low", "is greater than expect_high");
	json_object_set_new(o->doc, "zone_id", json_string(c->zone.id));
	return rc;
}

static const struct rf_api_crud resource = { .kind = RF_KIND_APP, .shape = RF_RES_APP, .in_zone = true,
					     .prepare = prepare };

int rf_api_apps_list(struct rf_api_call *c)
{
	struct rf_store_query q = { .name = rf_api_param(c, "name") };
	return rf_crud_list(c, &resource, &q, RF_API_PER_PAGE);
}

int rf_api_apps_create(struct rf_api_call *c) { return rf_crud_create(c, &resource); }
int rf_api_apps_get(struct rf_api_call *c) { return rf_crud_get(c, &resource); }
int rf_api_apps_put(struct rf_api_call *c) { return rf_crud_put(c, &resource); }
int rf_api_apps_edit(struct rf_api_call *c) { return rf_crud_edit(c, &resource); }
int rf_api_apps_delete(struct rf_api_call *c) { return rf_crud_delete(c, &resource); }
