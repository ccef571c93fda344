/* api/access: what of client certificates is forwarded to origins, by host (access/certificates/settings), and roots
 * with their hosts in one object (access/certificates), which are mtls_certificates with hostname_associations.
 */
#include <stdio.h>
#include <stdlib.h>
#include "api/roots.h"

static json_t *show_setting(struct rf_api_call *c, const struct rf_object *o)
{
	(void)c;
	return json_deep_copy(o->doc);
}

int rf_api_access_settings_get(struct rf_api_call *c)
{
	struct rf_store_query q = { .parent = c->zone.id };
	return rf_api_list(c, RF_KIND_ACCESS_SETTING, &q, show_setting, RF_API_PER_PAGE_MAX);
}

static int put_setting(struct rf_api_call *c, json_t *setting, size_t i)
{
	RF_OBJECT_AUTO o = { 0 };
	char at[64], host[256];
	size_t n = 0;
	for (const char *z = rf_json_text(setting, "hostname"); z[n] && n + 1 < sizeof host; n++)
		host[n] = (char)rf_lower((unsigned char)z[n]);
	host[n] = '\0';
	snprintf(at, sizeof at, "/settings/%zu/hostname", i);
	json_object_set_new(setting, "hostname", json_string(host));
	int rc = rf_host_in_zone(c, host, at);
	if (rc != RF_OK)
		return rc;
	rc = rf_store_find(c->store, RF_KIND_ACCESS_SETTING, c->zone.id, host, &o, &c->err);
	if (rc == RF_OK) {
		json_decref(o.doc);
		o.doc = json_incref(setting);
	} else if (rc == RF_E_NOT_FOUND) {
		rc = rf_api_object(c, &o, c->zone.id, host, json_incref(setting));
	}
	return rc == RF_OK ? rf_api_put(c, RF_KIND_ACCESS_SETTING, &o, 0) : rc;
}

int rf_api_access_settings_put(struct rf_api_call *c)
{
	size_t i;
	json_t *v;
	int rc = rf_api_begin(c);
	json_array_foreach(json_object_get(c->body, "settings"), i, v)
		if (rc == RF_OK)
			rc = put_setting(c, v, i);
	if (rc == RF_OK)
		rc = rf_api_commit(c);
	return rc == RF_OK ? rf_api_access_settings_get(c) : rc;
}

static json_t *show_cert(struct rf_api_call *c, const struct rf_object *o)
{
	json_t *hosts = NULL;
	if (rf_hosts_get(c, o->id, &hosts) != RF_OK)
		return NULL;
	return json_pack("{s:s, s:s, s:s, s:s, s:o}", "id", o->id, "name", o->name, "fingerprint",
			 rf_json_text(o->doc, "fingerprint"), "expires_on", rf_json_text(o->doc, "expires_on"),
			 "associated_hostnames", hosts);
}

int rf_api_access_certs_list(struct rf_api_call *c)
{
	struct rf_store_query q = { .parent = c->account.id, .match = { { "access_zone", c->zone.id } } };
	return rf_api_list(c, RF_KIND_ROOT, &q, show_cert, RF_API_PER_PAGE);
}

static int load(struct rf_api_call *c, struct rf_object *ret)
{
	struct rf_object o = { 0 };
	int rc = rf_api_load(c, RF_KIND_ROOT, c->account.id, c->params.id, &o);
	if (rc != RF_OK)
		return rc;
	if (strcmp(rf_json_text(o.doc, "access_zone"), c->zone.id) != 0) {
		rf_object_fini(&o);
		return rf_fail(&c->err, RF_E_NOT_FOUND, "there is no access certificate %s in this zone", c->params.id);
	}
	*ret = o;
	return RF_OK;
}

int rf_api_access_certs_get(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = load(c, &o);
	return rc == RF_OK ? rf_api_result(c, show_cert(c, &o), o.revision) : rc;
}

/* Put, associate the hosts of the body where it names any, commit, show. */
static int save(struct rf_api_call *c, struct rf_object *o, uint64_t if_revision)
{
	snprintf(o->name, sizeof o->name, "%s", rf_json_text(c->body, "name"));
	int rc = rf_api_put(c, RF_KIND_ROOT, o, if_revision);
	if (rc == RF_OK)
		rc = rf_hosts_set(c, o->id, json_object_get(c->body, "associated_hostnames"), "/associated_hostnames");
	if (rc == RF_OK)
		rc = rf_api_commit(c);
	return rc == RF_OK ? rf_api_result(c, show_cert(c, o), o->revision) : rc;
}

int rf_api_access_certs_create(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	json_t *doc = json_pack("{s:s, s:s, s:b, s:s}", "certificates", rf_json_text(c->body, "certificate"), "name",
				rf_json_text(c->body, "name"), "ca", 1, "access_zone", c->zone.id);
	int rc = rf_api_object(c, &o, c->account.id, "", doc);
	if (rc == RF_OK)
		rc = rf_schema_fill(RF_RES_ROOT, doc);
	if (rc == RF_OK)
		rc = rf_root_check(c, doc, "/certificate");
	if (rc == RF_OK)
		rc = rf_api_begin(c);
	return rc == RF_OK ? save(c, &o, 0) : rc;
}

int rf_api_access_certs_put(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = rf_api_begin(c);
	if (rc == RF_OK)
		rc = load(c, &o);
	if (rc == RF_OK && !rf_json_text(c->body, "name")[0])
		json_object_set_new(c->body, "name", json_string(o.name));
	if (rc == RF_OK)
		json_object_set(o.doc, "name", json_object_get(c->body, "name"));
	return rc == RF_OK ? save(c, &o, c->if_revision) : rc;
}

int rf_api_access_certs_delete(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = rf_api_begin(c);
	if (rc == RF_OK)
		rc = load(c, &o);
	if (rc == RF_OK)
		rc = rf_hosts_set(c, o.id, NULL, "");
	if (rc == RF_OK)
		rc = rf_api_del(c, RF_KIND_ROOT, o.id, c->if_revision);
	if (rc == RF_OK)
		rc = rf_api_commit(c);
	return rc == RF_OK ? rf_api_result_id(c, o.id) : rc;
}
