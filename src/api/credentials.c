/* api/credentials: what names a device: SKI, fingerprint, expanded template, serial, address.
 *
 * An object's name is "kind:key", the key in hex as the device registry has it (pki/credkey); it is unique, so that
 * a credential names one device.
 */
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include "api/clients.h"
#include "base/enc.h"
#include "pki/credkey.h"

static json_t *show(struct rf_api_call *c, const struct rf_object *o)
{
	(void)c;
	json_t *j = rf_api_plain(RF_RES_CREDENTIAL, o);
	if (j) {
		json_object_set_new(j, "device_id", json_string(o->parent));
		json_object_del(j, "modified_on");
	}
	return j;
}

static int make_key(const json_t *doc, struct rf_credkey *ret)
{
	const char *kind = rf_json_text(doc, "kind");
	struct rf_str value = rf_str_z(rf_json_text(doc, "value"));
	if (strcmp(kind, "ski") == 0)
		return rf_credkey_ski(value, ret);
	if (strcmp(kind, "fingerprint") == 0)
		return rf_credkey_fingerprint(value, ret);
	if (strcmp(kind, "address") == 0)
		return rf_credkey_address(value, ret);
	if (strcmp(kind, "serial") == 0)
		return rf_credkey_serial(rf_str_z(rf_json_text(doc, "issuer_ski")), value, ret);
	return rf_credkey_name(rf_str_z(rf_json_text(doc, "root_id")), value, ret);
}

int rf_credential_add(struct rf_api_call *c, const char *device_id, json_t *doc, const char *at, struct rf_object *ret)
{
	struct rf_credkey key;
	char name[320], hex[2 * RF_CREDKEY_MAX + 1], pointer[64];
	RF_OBJECT_AUTO holder = { 0 };
	const char *kind = rf_json_text(doc, "kind");
	snprintf(pointer, sizeof pointer, "%s/value", at);
	if (make_key(doc, &key) != RF_OK)
		return rf_api_fail(c, RF_E_INVALID, pointer, strcmp(kind, "address") == 0 ? "is no %s of IPv4 or IPv6" :
			"is not a %s: hexadecimal digits are expected", kind);
	rf_hex(key.b, key.n, hex);
	snprintf(name, sizeof name, "%s:%s", kind, hex);
	int rc = rf_store_find(c->store, RF_KIND_CREDENTIAL, NULL, name, &holder, &c->err);
	if (rc == RF_OK)
		return rf_api_fail(c, RF_E_EXISTS, pointer, "this credential names the device %s already", holder.parent);
	if (rc != RF_E_NOT_FOUND)
		return rc;
	rc = rf_api_object(c, ret, device_id, name, json_incref(doc));
	return rc == RF_OK ? rf_api_put(c, RF_KIND_CREDENTIAL, ret, 0) : rc;
}

/* The start of the SHA-256 of its public key, as tls has it for a peer: tells a key with the same SKI apart. */
static bool key_pin(const struct rf_cert *cert, char to[33])
{
	const unsigned char *der = (const unsigned char *)cert->der.p;
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	X509 *x = d2i_X509(NULL, &der, (long)cert->der.n);
	bool good = x && X509_pubkey_digest(x, EVP_sha256(), digest, &n) && n >= 16;
	if (good)
		rf_hex(digest, 16, to);
	X509_free(x);
	return good;
}

int rf_credential_bind_cert(struct rf_api_call *c, const char *device_id, const struct rf_cert *cert)
{
	struct rf_credkey key;
	char name[320], hex[2 * RF_CREDKEY_MAX + 1];
	RF_OBJECT_AUTO there = { 0 }, o = { 0 };
	if (rf_credkey_ski(rf_str_z(cert->ski), &key) != RF_OK)
		return rf_fail(&c->err, RF_E_CERT, "the certificate has no usable subject key identifier");
	rf_hex(key.b, key.n, hex);
	snprintf(name, sizeof name, "ski:%s", hex);
	int rc = rf_store_find(c->store, RF_KIND_CREDENTIAL, NULL, name, &there, &c->err);
	if (rc == RF_OK && strcmp(there.parent, device_id) == 0)
		return RF_OK;
	char pin[33];
	json_t *doc = json_pack("{s:s, s:s, s:s}", "kind", "ski", "value", cert->ski, "comment", "issued here");
	if (doc && key_pin(cert, pin))
		json_object_set_new(doc, "pin", json_string(pin));
	rc = doc ? rf_credential_add(c, device_id, doc, "", &o) : rf_fail(&c->err, RF_E_NOMEM, "memory is exhausted");
	json_decref(doc);
	return rc;
}

static int load_device(struct rf_api_call *c, struct rf_object *ret)
{
	return rf_api_load(c, RF_KIND_DEVICE, c->account.id, c->params.id, ret);
}

int rf_api_credentials_list(struct rf_api_call *c)
{
	RF_OBJECT_AUTO device = { 0 };
	int rc = load_device(c, &device);
	struct rf_store_query q = { .parent = device.id };
	return rc == RF_OK ? rf_api_list(c, RF_KIND_CREDENTIAL, &q, show, RF_API_PER_PAGE_MAX) : rc;
}

int rf_api_credentials_create(struct rf_api_call *c)
{
	RF_OBJECT_AUTO device = { 0 }, o = { 0 };
	int rc = rf_api_begin(c);
	if (rc == RF_OK)
		rc = load_device(c, &device);
	if (rc == RF_OK)
		rc = rf_credential_add(c, device.id, c->body, "", &o);
	if (rc == RF_OK)
		rc = rf_api_commit(c);
	return rc == RF_OK ? rf_api_result(c, show(c, &o), o.revision) : rc;
}

int rf_api_credentials_delete(struct rf_api_call *c)
{
	RF_OBJECT_AUTO device = { 0 }, o = { 0 };
	int rc = rf_api_begin(c);
	if (rc == RF_OK)
		rc = load_device(c, &device);
	if (rc == RF_OK)
		rc = rf_api_load(c, RF_KIND_CREDENTIAL, device.id, c->params.item, &o);
	if (rc == RF_OK)
		rc = rf_api_del(c, RF_KIND_CREDENTIAL, o.id, c->if_revision);
	if (rc == RF_OK)
		rc = rf_api_touch(c, RF_KIND_DEVICE, device.id); /* the credential is gone and cannot tell whose it was */
	if (rc == RF_OK)
		rc = rf_api_commit(c);
	return rc == RF_OK ? rf_api_result(c, show(c, &o), 0) : rc;
}
