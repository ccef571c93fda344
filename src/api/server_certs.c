/* api/server_certs: server certificates and keys for hosts of a zone (custom_certificates).
 *
 * Which of them a handshake gets is ctl's and tls' business. Keys are write-only.
 */
#include <stdio.h>
#include <stdlib.h>
#include "api/x509.h"

static json_t *show(struct rf_api_call *c, const struct rf_object *o)
{
	int64_t end = 0;
	json_t *j = rf_api_plain(RF_RES_SERVER_CERT, o);
	if (!j)
		return NULL;
	bool over = rf_rfc3339_parse(rf_json_text(o->doc, "expires_on"), &end) == 0 && end <= rf_api_now(c);
	json_object_set(j, "uploaded_on", json_object_get(j, "created_on"));
	json_object_del(j, "created_on");
	json_object_set_new(j, "status", json_string(over ? "expired" : "active"));
	return j;
}

static int prepare(struct rf_api_call *c, struct rf_object *o, const json_t *old)
{
	(void)old;
	STACK_OF(X509) *list = NULL;
	int rc = rf_x509_read(c, rf_json_text(o->doc, "certificate"), "/certificate", &list);
	if (rc != RF_OK)
		return rc;
	X509 *leaf = sk_X509_value(list, 0);
	const char *key = rf_json_text(o->doc, "private_key");
	if (!key[0])
		rc = rf_api_fail(c, RF_E_MISSING, "/private_key", "\"private_key\" is required");
	if (rc == RF_OK)
		rc = rf_x509_check_key(c, leaf, key, "/private_key");
	if (rc == RF_OK)
		rc = rf_x509_describe(c, leaf, o->doc);
	json_object_set_new(o->doc, "hosts", rf_x509_hosts(c, leaf));
	rf_x509_free(list);
	json_object_set_new(o->doc, "zone_id", json_string(c->zone.id));
	return rc;
}

static const struct rf_api_crud resource = { .kind = RF_KIND_SERVER_CERT, .shape = RF_RES_SERVER_CERT, .in_zone = true,
					     .prepare = prepare, .show = show };

int rf_api_server_certs_list(struct rf_api_call *c)
{
	struct rf_store_query q = { 0 };
	return rf_crud_list(c, &resource, &q, RF_API_PER_PAGE);
}

int rf_api_server_certs_create(struct rf_api_call *c) { return rf_crud_create(c, &resource); }
int rf_api_server_certs_get(struct rf_api_call *c) { return rf_crud_get(c, &resource); }
int rf_api_server_certs_edit(struct rf_api_call *c) { return rf_crud_edit(c, &resource); }

int rf_api_server_certs_delete(struct rf_api_call *c)
{
	int rc = rf_crud_delete(c, &resource);
	return rc == RF_OK ? rf_api_result_id(c, c->params.id) : rc;
}
