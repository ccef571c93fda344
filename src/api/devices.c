/* api/devices: devices: their texts, class, state, and certificates made for them.
 *
 * A state is a member of the document; ctl brings registry, deny set and live connections in line before the
 * API answers. Revoking or deleting a device also revokes the certificates that our CA issued for it, so that CRL and
 * OCSP say so, and a class that creates devices on first sight does not make it again; activating it
 * makes those valid again that were revoked with it.
 *
 * Not here: credentials (credentials.c).
 */
#include <stdio.h>
#include <stdlib.h>
#include "api/classes.h"
#include "api/clients.h"
#include "base/enc.h"
#include "pki/ca.h"
#include "pki/credkey.h"
#include "pki/pem.h"
#include "records/counters.h"

static int no_memory(struct rf_api_call *c)
{
	return rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted");
}

static json_t *show(struct rf_api_call *c, const struct rf_object *o)
{
	json_t *j = rf_api_plain(RF_RES_DEVICE, o);
	RF_OBJECT_AUTO class = { 0 };
	const char *id = rf_json_text(o->doc, "class_id");
	struct rf_err e;
	if (j && id[0] && rf_store_get(c->store, RF_KIND_CLASS, id, &class, &e) == RF_OK)
		json_object_set_new(j, "class", json_string(class.name));
	const struct rf_api_hooks *h = &c->api->conf.hooks;
	json_t *live = j && h->live ? json_object() : NULL;
	if (live) {
		h->live(h->ctx, o->id, live);
		json_object_set_new(j, "live", live);
	}
	return j;
}

static int add_credential(const struct rf_object *o, void *arg)
{
	json_t *j = rf_api_plain(RF_RES_CREDENTIAL, o);
	if (j)
		json_object_del(j, "modified_on");
	return json_array_append_new(arg, j) == 0 ? RF_OK : RF_E_NOMEM;
}

/* A single device is shown with its credentials. */
static int reply(struct rf_api_call *c, const struct rf_object *o, json_t *bundle)
{
	struct rf_store_query q = { .parent = o->id };
	json_t *j = show(c, o), *credentials = json_array();
	int rc = j && credentials ? RF_OK : no_memory(c);
	if (rc == RF_OK && !c->dry_run)
		rc = rf_store_list(c->store, RF_KIND_CREDENTIAL, &q, add_credential, credentials, NULL, &c->err);
	if (j)
		json_object_set(j, "credentials", credentials);
	if (j && bundle)
		json_object_set(j, "bundle", bundle);
	if (j && c->api->conf.hooks.addresses)
		json_object_set_new(json_object_get(j, "live"), "addresses", c->api->conf.hooks.addresses(c->api->conf.hooks.ctx, o->id));
	json_decref(credentials);
	if (rc != RF_OK) {
		json_decref(j);
		return rc;
	}
	return rf_api_result(c, j, o->revision);
}

/* Both ways of naming the class become its id. */
int rf_class_resolve(struct rf_api_call *c, json_t *doc)
{
	RF_OBJECT_AUTO o = { 0 };
	const char *id = rf_json_text(doc, "class_id"), *name = rf_json_text(doc, "class");
	int rc = RF_OK;
	if (name[0]) {
		rc = rf_store_find(c->store, RF_KIND_CLASS, c->account.id, name, &o, &c->err);
		if (rc == RF_E_NOT_FOUND)
			return rf_api_fail(c, RF_E_INVALID, "/class", "there is no class \"%s\"", name);
	} else if (id[0] && rf_api_load(c, RF_KIND_CLASS, c->account.id, id, &o) != RF_OK) {
		return rf_api_fail(c, RF_E_INVALID, "/class_id", "there is no class %s", id);
	}
	if (rc == RF_OK && o.id[0])
		json_object_set_new(doc, "class_id", json_string(o.id));
	json_object_del(doc, "class");
	return rc;
}

/* class=: a name or an id. RF_E_NOT_FOUND: no device can match. */
static int filter_class(struct rf_api_call *c, char id[33])
{
	RF_OBJECT_AUTO o = { 0 };
	const char *text = rf_api_param(c, "class");
	id[0] = '\0';
	if (!text || !*text)
		return RF_OK;
	int rc = rf_store_find(c->store, RF_KIND_CLASS, c->account.id, text, &o, &c->err);
	if (rc == RF_E_NOT_FOUND)
		rc = rf_api_load(c, RF_KIND_CLASS, c->account.id, text, &o);
	if (rc == RF_OK)
		snprintf(id, 33, "%s", o.id);
	return rc == RF_E_NOT_FOUND ? rf_api_fail(c, RF_E_INVALID, "/class", "there is no class \"%s\"", text) : rc;
}

/* The device that a SKI or fingerprint names, as a list of at most one. */
static int list_by_key(struct rf_api_call *c, const char *kind, const char *value)
{
	struct rf_credkey key;
	char name[320], hex[2 * RF_CREDKEY_MAX + 1];
	RF_OBJECT_AUTO credential = { 0 }, device = { 0 };
	bool ski = strcmp(kind, "ski") == 0;
	if ((ski ? rf_credkey_ski(rf_str_z(value), &key) : rf_credkey_fingerprint(rf_str_z(value), &key)) != RF_OK)
		return rf_api_fail(c, RF_E_INVALID, ski ? "/ski" : "/fingerprint", "must be hexadecimal");
	rf_hex(key.b, key.n, hex);
	snprintf(name, sizeof name, "%s:%s", kind, hex);
	int rc = rf_store_find(c->store, RF_KIND_CREDENTIAL, NULL, name, &credential, &c->err);
	if (rc == RF_OK)
		rc = rf_api_load(c, RF_KIND_DEVICE, c->account.id, credential.parent, &device);
	if (rc != RF_OK && rc != RF_E_NOT_FOUND)
		return rc;
	json_t *array = json_array();
	if (rc == RF_OK)
		json_array_append_new(array, show(c, &device));
	rc = rf_api_info(c, 1, RF_API_PER_PAGE, json_array_size(array), json_array_size(array));
	if (rc != RF_OK) {
		json_decref(array);
		return rc;
	}
	return rf_api_result(c, array, 0);
}

int rf_api_devices_list(struct rf_api_call *c)
{
	const char *ski = rf_api_param(c, "ski"), *fp = rf_api_param(c, "fingerprint"), *state = rf_api_param(c, "state");
	struct rf_store_query q = { .parent = c->account.id, .search = rf_api_param(c, "search"),
				    .name = rf_api_param(c, "name") };
	char class[33];
	size_t n = 0;
	if (ski && *ski)
		return list_by_key(c, "ski", ski);
	if (fp && *fp)
		return list_by_key(c, "fingerprint", fp);
	int rc = filter_class(c, class);
	if (rc != RF_OK)
		return rc;
	if (class[0])
		q.match[n].field = "class_id", q.match[n++].value = class;
	if (state && *state)
		q.match[n].field = "state", q.match[n++].value = state;
	return rf_api_list(c, RF_KIND_DEVICE, &q, show, RF_API_PER_PAGE);
}

int rf_api_devices_unknown(struct rf_api_call *c)
{
	const struct rf_api_hooks *h = &c->api->conf.hooks;
	int64_t limit;
	json_t *array = json_array();
	int rc = rf_api_param_int(c, "per_page", 1, RF_API_PER_PAGE_MAX, 100, &limit);
	if (rc == RF_OK && h->unknown)
		rc = h->unknown(h->ctx, (size_t)limit, array, &c->err);
	if (rc == RF_OK)
		rc = rf_api_info(c, 1, (size_t)limit, json_array_size(array), json_array_size(array));
	if (rc != RF_OK) {
		json_decref(array);
		return rc;
	}
	return rf_api_result(c, array, 0);
}

int rf_api_devices_get(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = rf_api_load(c, RF_KIND_DEVICE, c->account.id, c->params.id, &o);
	return rc == RF_OK ? reply(c, &o, NULL) : rc;
}

/* "urn:uuid:" of the id [RFC 4122 3]. */
static void urn(const char *id, char to[48])
{
	snprintf(to, 48, "urn:uuid:%.8s-%.4s-%.4s-%.4s-%.12s", id, id + 8, id + 12, id + 16, id + 20);
}

static json_t *make_bundle(struct rf_api_call *c, struct rf_issue *issue, struct rf_cert **ret)
{
	struct rf_bundle b = { 0 };
	if (rf_ca_bundle(c->api->conf.ca, issue, rf_api_now(c), &b, &c->err) != RF_OK)
		return NULL;
	json_t *j = json_pack("{s:s, s:s, s:s}", "private_key", rf_buf_z(&b.key_pem), "certificate", rf_buf_z(&b.cert_pem),
			      "ca", rf_buf_z(&b.ca_pem));
	*ret = rf_cert_get(b.cert);
	rf_bundle_fini(&b);
	return j;
}

static json_t *certify(struct rf_api_call *c, struct rf_issue *issue, struct rf_cert **ret)
{
	RF_BUF_AUTO cert = { 0 }, ca = { 0 };
	if (rf_ca_issue(c->api->conf.ca, issue, rf_api_now(c), ret, &c->err) != RF_OK)
		return NULL;
	rf_cert_pem(*ret, &cert);
	if (rf_pem_add(&cert, rf_ca_cert(c->api->conf.ca)) != RF_OK || rf_ca_root_pem(c->api->conf.ca, &ca) != RF_OK)
		return NULL;
	return json_pack("{s:s, s:s}", "certificate", rf_buf_z(&cert), "ca", rf_buf_z(&ca));
}

/* Issue, keep and bind a certificate for the device. In the transaction. */
static int issue_for(struct rf_api_call *c, const struct rf_object *device, const char *csr, int64_t days, json_t **ret)
{
	char uri[48];
	RF_OBJECT_AUTO kept = { 0 };
	struct rf_cert *cert = NULL;
	if (!c->api->conf.ca)
		return rf_fail(&c->err, RF_E_UNSUPPORTED, "this edge has no device CA");
	urn(device->id, uri);
	struct rf_san san = { RF_SAN_URI, rf_str_z(uri) };
	struct rf_issue issue = { .csr = rf_str_z(csr), .days = days ? (unsigned)days : 365,
				  .cn = rf_str_z(strlen(device->name) <= 64 ? device->name : device->id), .sans = &san,
				  .san_count = 1 };
	c->err.code = RF_OK;
	json_t *j = csr[0] ? certify(c, &issue, &cert) : make_bundle(c, &issue, &cert);
	int rc = j ? RF_OK : c->err.code ? c->err.code : no_memory(c);
	if (rc == RF_OK)
		rc = rf_client_keep(c, cert, "", device->id, csr, days, &kept);
	if (rc == RF_OK)
		rc = rf_credential_bind_cert(c, device->id, cert);
	if (rc == RF_OK) {
		for (const char *const *m = (const char *const[]){ "serial_number", "ski", "expires_on", NULL }; *m; m++)
			json_object_set(j, *m, json_object_get(kept.doc, *m));
		json_object_set_new(j, "client_certificate_id", json_string(kept.id));
		*ret = json_incref(j);
	}
	json_decref(j);
	rf_cert_put(cert);
	return rc;
}

static int bind_all(struct rf_api_call *c, const char *device, const json_t *credentials)
{
	size_t i;
	json_t *v;
	json_array_foreach(credentials, i, v) {
		RF_OBJECT_AUTO o = { 0 };
		char at[48];
		snprintf(at, sizeof at, "/credentials/%zu", i);
		int rc = rf_credential_add(c, device, v, at, &o);
		if (rc != RF_OK)
			return rc;
	}
	return RF_OK;
}

int rf_api_devices_create(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	json_t *bundle = NULL, *credentials = json_incref(json_object_get(c->body, "credentials"));
	char *csr = strdup(rf_json_text(c->body, "csr"));
	int64_t days = json_integer_value(json_object_get(c->body, "validity_days"));
	bool issue = json_is_true(json_object_get(c->body, "issue")) || (csr && csr[0]);
	for (const char *const *m = (const char *const[]){ "credentials", "csr", "issue", "validity_days", NULL }; *m; m++)
		json_object_del(c->body, *m);
	c->if_revision = 0;
	int rc = csr ? rf_api_begin(c) : no_memory(c);
	if (rc == RF_OK)
		rc = rf_class_resolve(c, c->body);
	if (rc == RF_OK)
		rc = rf_api_object(c, &o, c->account.id, rf_json_text(c->body, "name"), json_incref(c->body));
	if (rc == RF_OK)
		rc = rf_api_put(c, RF_KIND_DEVICE, &o, 0);
	if (rc == RF_OK)
		rc = bind_all(c, o.id, credentials);
	if (rc == RF_OK && issue)
		rc = issue_for(c, &o, csr, days, &bundle);
	if (rc == RF_OK)
		rc = rf_api_commit(c);
	if (rc == RF_OK)
		rc = reply(c, &o, bundle);
	json_decref(bundle);
	json_decref(credentials);
	free(csr);
	return rc;
}

static int collect_id(const struct rf_raw_object *o, void *arg)
{
	return json_array_append_new(arg, json_string(o->id)) == 0 ? RF_OK : RF_E_NOMEM;
}

/* Revoke the device's certificates, or make those valid again that were revoked with it. */
static int set_certs(struct rf_api_call *c, const char *device, bool revoked)
{
	char at[RF_RFC3339_SIZE];
	struct rf_store_query q = { .parent = c->account.id,
				    .match = { { "device_id", device }, { "status", revoked ? "active" : "revoked" } } };
	json_t *ids = json_array(), *id;
	size_t i;
	if (!revoked)
		q.match[2].field = "revoked_with", q.match[2].value = device;
	int rc = rf_store_scan(c->store, RF_KIND_CLIENT_CERT, &q, collect_id, ids, &c->err);
	json_array_foreach(ids, i, id) {
		RF_OBJECT_AUTO o = { 0 };
		if (rc == RF_OK)
			rc = rf_store_get(c->store, RF_KIND_CLIENT_CERT, json_string_value(id), &o, &c->err);
		if (rc != RF_OK)
			break;
		json_object_set_new(o.doc, "status", json_string(revoked ? "revoked" : "active"));
		json_object_del(o.doc, "revoked_on");
		json_object_del(o.doc, "revoked_with");
		if (revoked) {
			json_object_set_new(o.doc, "revoked_on", json_string(rf_api_time(rf_api_now(c), at)));
			json_object_set_new(o.doc, "revoked_with", json_string(device));
		}
		rc = rf_api_put(c, RF_KIND_CLIENT_CERT, &o, 0);
		if (rc == RF_OK && revoked)
			rf_count(RF_C_REVOKED);
	}
	json_decref(ids);
	return rc;
}

/* What follows from another state of the same device. */
static int follow_state(struct rf_api_call *c, const struct rf_object *o, const char *before)
{
	const char *now = rf_json_text(o->doc, "state");
	if (strcmp(before, now) == 0)
		return RF_OK;
	if (strcmp(now, "revoked") == 0)
		return set_certs(c, o->id, true);
	return strcmp(before, "revoked") == 0 ? set_certs(c, o->id, false) : RF_OK;
}

static int prepare(struct rf_api_call *c, struct rf_object *o, const json_t *old)
{
	for (const char *const *m = (const char *const[]){ "credentials", "csr", "issue", "validity_days", NULL }; *m; m++)
		if (json_object_get(o->doc, *m)) {
			rf_api_message(c, "", "%s is only read when a device is added", *m);
			json_object_del(o->doc, *m);
		}
	int rc = rf_class_resolve(c, o->doc);
	return rc == RF_OK ? follow_state(c, o, rf_json_text(old, "state")) : rc;
}

static int revoke_certs(struct rf_api_call *c, const struct rf_object *o)
{
	return set_certs(c, o->id, true);
}

static const struct rf_api_crud resource = { .kind = RF_KIND_DEVICE, .shape = RF_RES_DEVICE, .prepare = prepare,
					     .show = show, .before_delete = revoke_certs };

int rf_api_devices_put(struct rf_api_call *c) { return rf_crud_put(c, &resource); }
int rf_api_devices_edit(struct rf_api_call *c) { return rf_crud_edit(c, &resource); }
int rf_api_devices_delete(struct rf_api_call *c) { return rf_crud_delete(c, &resource); }

static int set_state(struct rf_api_call *c, const char *state)
{
	RF_OBJECT_AUTO o = { 0 };
	char before[32];
	int rc = rf_api_begin(c);
	if (rc == RF_OK)
		rc = rf_api_load(c, RF_KIND_DEVICE, c->account.id, c->params.id, &o);
	if (rc != RF_OK)
		return rc;
	snprintf(before, sizeof before, "%s", rf_json_text(o.doc, "state"));
	json_object_set_new(o.doc, "state", json_string(state));
	json_object_set(o.doc, "reason", json_object_get(c->body, "reason"));
	rc = rf_api_put(c, RF_KIND_DEVICE, &o, c->if_revision);
	if (rc == RF_OK)
		rc = follow_state(c, &o, before);
	if (rc == RF_OK)
		rc = rf_api_commit(c);
	return rc == RF_OK ? rf_api_result(c, show(c, &o), o.revision) : rc;
}

int rf_api_devices_revoke(struct rf_api_call *c) { return set_state(c, "revoked"); }
int rf_api_devices_quarantine(struct rf_api_call *c) { return set_state(c, "quarantined"); }
int rf_api_devices_activate(struct rf_api_call *c) { return set_state(c, "active"); }
