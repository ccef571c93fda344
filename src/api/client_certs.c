/* api/client_certs: certificates that our device CA issued (client_certificates).
 *
 * A certificate is stored before it is handed out. Revoking and reactivating are changes of its status; ctl makes
 * the deny set, the CRL and the live connections follow before the API answers, so the pending_ states are never
 * seen from outside.
 */
#include <stdio.h>
#include <stdlib.h>
#include "api/clients.h"
#include "api/x509.h"
#include "pki/ca.h"
#include "records/counters.h"

static json_t *show(struct rf_api_call *c, const struct rf_object *o)
{
	(void)c;
	json_t *j = rf_api_plain(RF_RES_CLIENT_CERT, o);
	if (j) {
		json_object_del(j, "created_on");
		json_object_del(j, "modified_on");
	}
	return j;
}

int rf_client_keep(struct rf_api_call *c, const struct rf_cert *cert, const char *zone_id, const char *device_id,
		   const char *csr, int64_t days, struct rf_object *ret)
{
	json_t *doc = rf_client_cert_doc(cert, c->api->conf.ca, zone_id, device_id, csr, days);
	int rc = rf_api_object(c, ret, c->account.id, rf_json_text(doc, "serial_number"), doc);
	return rc == RF_OK ? rf_api_put(c, RF_KIND_CLIENT_CERT, ret, 0) : rc;
}

/* Those of the zone, and those that belong to no zone because a device of the account has them; of the account: all. */
static int load(struct rf_api_call *c, struct rf_object *ret)
{
	struct rf_object o = { 0 };
	int rc = rf_api_load(c, RF_KIND_CLIENT_CERT, c->account.id, c->params.id, &o);
	if (rc != RF_OK)
		return rc;
	const char *zone = rf_json_text(o.doc, "zone_id");
	if (zone[0] && c->zone.id[0] && strcmp(zone, c->zone.id) != 0) {
		rf_object_fini(&o);
		return rf_fail(&c->err, RF_E_NOT_FOUND, "there is no client certificate %s in this zone", c->params.id);
	}
	*ret = o;
	return RF_OK;
}

static int list(struct rf_api_call *c, struct rf_store_query *q, size_t matches)
{
	const char *status = rf_api_param(c, "status");
	if (status && *status && strcmp(status, "all") != 0)
		q->match[matches].field = "status", q->match[matches].value = status;
	return rf_api_list(c, RF_KIND_CLIENT_CERT, q, show, RF_API_PER_PAGE);
}

int rf_api_client_certs_list(struct rf_api_call *c)
{
	struct rf_store_query q = { .parent = c->account.id, .match = { { "zone_id", c->zone.id } } };
	return list(c, &q, 1);
}

int rf_api_issued_list(struct rf_api_call *c)
{
	struct rf_store_query q = { .parent = c->account.id };
	return list(c, &q, 0);
}

int rf_api_device_ca(struct rf_api_call *c)
{
	RF_BUF_AUTO root = { 0 };
	RF_BUF_AUTO chain = { 0 };
	const struct rf_ca *ca = c->api->conf.ca;
	if (!ca)
		return rf_fail(&c->err, RF_E_UNSUPPORTED, "this process has no device CA");
	if (rf_ca_root_pem(ca, &root) != RF_OK || rf_ca_chain_pem(ca, &chain) != RF_OK)
		return rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted");
	return rf_api_result(c, json_pack("{s:s, s:s}", "certificates", rf_buf_z(&root), "chain", rf_buf_z(&chain)), 0);
}

int rf_api_client_certs_get(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	int rc = load(c, &o);
	return rc == RF_OK ? rf_api_result(c, show(c, &o), o.revision) : rc;
}

static int check_device(struct rf_api_call *c, const char *device)
{
	RF_OBJECT_AUTO o = { 0 };
	if (!device[0])
		return RF_OK;
	if (rf_api_load(c, RF_KIND_DEVICE, c->account.id, device, &o) != RF_OK)
		return rf_api_fail(c, RF_E_INVALID, "/device_id", "there is no device %s", device);
	return RF_OK;
}

int rf_api_client_certs_create(struct rf_api_call *c)
{
	RF_OBJECT_AUTO o = { 0 };
	const char *csr = rf_json_text(c->body, "csr"), *device = rf_json_text(c->body, "device_id");
	int64_t days = json_integer_value(json_object_get(c->body, "validity_days"));
	struct rf_issue issue = { .csr = rf_str_z(csr), .days = (unsigned)days };
	struct rf_cert *cert = NULL;
	if (!c->api->conf.ca)
		return rf_fail(&c->err, RF_E_UNSUPPORTED, "this edge has no device CA");
	int rc = check_device(c, device);
	if (rc == RF_OK)
		rc = rf_ca_issue(c->api->conf.ca, &issue, rf_api_now(c), &cert, &c->err);
	if (rc == RF_OK)
		rc = rf_api_begin(c);
	if (rc == RF_OK)
		rc = rf_client_keep(c, cert, c->zone.id, device, csr, days, &o);
	if (rc == RF_OK && device[0])
		rc = rf_credential_bind_cert(c, device, cert);
	if (rc == RF_OK)
		rc = rf_api_commit(c);
	rf_cert_put(cert);
	return rc == RF_OK ? rf_api_result(c, show(c, &o), o.revision) : rc;
}

static int set_status(struct rf_api_call *c, const char *status)
{
	RF_OBJECT_AUTO o = { 0 };
	char at[RF_RFC3339_SIZE];
	int rc = rf_api_begin(c);
	if (rc == RF_OK)
		rc = load(c, &o);
	if (rc != RF_OK)
		return rc;
	json_object_set_new(o.doc, "status", json_string(status));
	if (strcmp(status, "revoked") == 0)
		json_object_set_new(o.doc, "revoked_on", json_string(rf_api_time(rf_api_now(c), at)));
	else
		json_object_del(o.doc, "revoked_on");
	rc = rf_api_put(c, RF_KIND_CLIENT_CERT, &o, c->if_revision);
	if (rc == RF_OK)
		rc = rf_api_commit(c);
	if (rc == RF_OK && strcmp(status, "revoked") == 0)
		rf_count(RF_C_REVOKED);
	return rc == RF_OK ? rf_api_result(c, show(c, &o), o.revision) : rc;
}

int rf_api_client_certs_revoke(struct rf_api_call *c)
{
	return set_status(c, "revoked");
}

int rf_api_issued_revoke(struct rf_api_call *c)
{
	return set_status(c, "revoked");
}

/* An empty PATCH means reactivate, as documented. */
int rf_api_client_certs_edit(struct rf_api_call *c)
{
	if (json_is_false(json_object_get(c->body, "reactivate"))) {
		RF_OBJECT_AUTO o = { 0 };
		int rc = load(c, &o);
		return rc == RF_OK ? rf_api_result(c, show(c, &o), o.revision) : rc;
	}
	return set_status(c, "active");
}
