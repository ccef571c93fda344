/* api/hostnames: which hosts of a zone ask for certificates of which root (hostname_associations).
 *
 * One object a pair of root and host, so that several roots can serve one host; a PUT replaces all those of one root.
 */
#include <stdio.h>
#include <stdlib.h>
#include "api/roots.h"

int rf_host_in_zone(struct rf_api_call *c, const char *host, const char *pointer)
{
	struct rf_str h = rf_str_z(host), z = rf_str_z(c->zone.name);
	if (rf_str_ieq(h, z) || (h.n > z.n + 1 && h.p[h.n - z.n - 1] == '.' && rf_str_ieq(rf_str_skip(h, h.n - z.n), z)))
		return RF_OK;
	return rf_api_fail(c, RF_E_INVALID, pointer, "\"%s\" is not in the zone %s", host, c->zone.name);
}

static int add_name(const struct rf_object *o, void *arg)
{
	return json_array_append_new(arg, json_string(rf_json_text(o->doc, "hostname"))) == 0 ? RF_OK : RF_E_NOMEM;
}

static struct rf_store_query of_root(struct rf_api_call *c, const char *root)
{
	return (struct rf_store_query){ .parent = c->zone.id, .match = { { "mtls_certificate_id", root } } };
}

int rf_hosts_get(struct rf_api_call *c, const char *root, json_t **ret)
{
	struct rf_store_query q = of_root(c, root);
	json_t *names = json_array();
	int rc = rf_store_list(c->store, RF_KIND_HOSTNAME_ASSOCIATION, &q, add_name, names, NULL, &c->err);
	if (rc == RF_OK)
		*ret = names;
	else
		json_decref(names);
	return rc;
}

static int collect(const struct rf_raw_object *o, void *arg)
{
	return json_object_set_new(arg, o->name, json_string(o->id)) == 0 ? RF_OK : RF_E_NOMEM;
}

static int put_host(struct rf_api_call *c, const char *root, const char *host, json_t *there, const char *pointer)
{
	RF_OBJECT_AUTO o = { 0 };
	char name[320], lower[256];
	size_t n = 0;
	for (; host[n] && n + 1 < sizeof lower; n++)
		lower[n] = (char)rf_lower((unsigned char)host[n]);
	lower[n] = '\0';
	int rc = rf_host_in_zone(c, lower, pointer);
	if (rc != RF_OK)
		return rc;
	snprintf(name, sizeof name, "%s/%s", root, lower);
	if (json_object_del(there, name) == 0)
		return RF_OK;
	rc = rf_api_object(c, &o, c->zone.id, name, json_pack("{s:s, s:s}", "hostname", lower, "mtls_certificate_id", root));
	if (rc == RF_OK)
		rc = rf_api_put(c, RF_KIND_HOSTNAME_ASSOCIATION, &o, 0);
	return rc == RF_E_EXISTS ? RF_OK : rc; /* named twice */
}

int rf_hosts_set(struct rf_api_call *c, const char *root, const json_t *hostnames, const char *pointer)
{
	struct rf_store_query q = of_root(c, root);
	json_t *there = json_object(), *v;
	size_t i;
	int rc = rf_store_scan(c->store, RF_KIND_HOSTNAME_ASSOCIATION, &q, collect, there, &c->err);
	json_array_foreach(hostnames, i, v) {
		char at[64];
		snprintf(at, sizeof at, "%s/%zu", pointer, i);
		if (rc == RF_OK)
			rc = put_host(c, root, json_string_value(v), there, at);
	}
	const char *name;
	json_object_foreach(there, name, v)
		if (rc == RF_OK)
			rc = rf_api_del(c, RF_KIND_HOSTNAME_ASSOCIATION, json_string_value(v), 0);
	json_decref(there);
	return rc;
}

static int reply(struct rf_api_call *c, const char *root)
{
	json_t *names = NULL;
	int rc = rf_hosts_get(c, root, &names);
	return rc == RF_OK ? rf_api_result(c, json_pack("{s:o}", "hostnames", names), 0) : rc;
}

int rf_api_hostnames_get(struct rf_api_call *c)
{
	const char *root = rf_api_param(c, "mtls_certificate_id");
	return reply(c, root ? root : "");
}

static int check_root(struct rf_api_call *c, const char *root)
{
	RF_OBJECT_AUTO o = { 0 };
	if (!root[0])
		return RF_OK;
	if (rf_api_load(c, RF_KIND_ROOT, c->account.id, root, &o) != RF_OK)
		return rf_api_fail(c, RF_E_INVALID, "/mtls_certificate_id", "there is no mtls_certificate %s", root);
	if (!json_is_true(json_object_get(o.doc, "ca")))
		return rf_api_fail(c, RF_E_INVALID, "/mtls_certificate_id", "this certificate is a leaf, not a root");
	return RF_OK;
}

int rf_api_hostnames_put(struct rf_api_call *c)
{
	const char *root = rf_json_text(c->body, "mtls_certificate_id");
	int rc = rf_api_begin(c);
	if (rc == RF_OK)
		rc = check_root(c, root);
	if (rc == RF_OK)
		rc = rf_hosts_set(c, root, json_object_get(c->body, "hostnames"), "/hostnames");
	if (rc == RF_OK)
		rc = rf_api_commit(c);
	return rc == RF_OK ? reply(c, root) : rc;
}
