/* api/x509: see x509.h. All findings point at the member that held the text. */
#include "api/x509.h"
#include <openssl/bn.h>
#include <openssl/objects.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/enc.h"
#include "pki/ca.h"
#include "pki/key.h"

void rf_x509_free(STACK_OF(X509) *list)
{
	sk_X509_pop_free(list, X509_free);
}

int rf_x509_read(struct rf_api_call *c, const char *pem, const char *pointer, STACK_OF(X509) **ret)
{
	int rc = rf_pem_certs(rf_str_z(pem), ret, &c->err);
	if (rc == RF_OK)
		return RF_OK;
	struct rf_err why = c->err;
	return rf_api_fail(c, rc, pointer, "%s", why.text);
}

int rf_x509_check_key(struct rf_api_call *c, X509 *x, const char *pem, const char *pointer)
{
	EVP_PKEY *key = NULL;
	int rc = rf_key_parse(rf_str_z(pem), &key, &c->err);
	if (rc == RF_OK)
		rc = rf_x509_match(x, key, &c->err);
	EVP_PKEY_free(key);
	if (rc == RF_OK)
		return RF_OK;
	struct rf_err why = c->err;
	return rf_api_fail(c, rc, pointer, "%s", why.text);
}

const char *rf_x509_signature(const X509 *x)
{
	static const struct { int nid; const char *name; } names[] = {
		{ NID_sha256WithRSAEncryption, "SHA256WithRSA" }, { NID_sha384WithRSAEncryption, "SHA384WithRSA" },
		{ NID_sha512WithRSAEncryption, "SHA512WithRSA" }, { NID_sha1WithRSAEncryption, "SHA1WithRSA" },
		{ NID_ecdsa_with_SHA256, "ECDSAWithSHA256" }, { NID_ecdsa_with_SHA384, "ECDSAWithSHA384" },
		{ NID_ecdsa_with_SHA512, "ECDSAWithSHA512" }, { NID_ED25519, "Ed25519" },
	};
	int nid = X509_get_signature_nid(x);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (names[i].nid == nid)
			return names[i].name;
	const char *short_name = OBJ_nid2sn(nid);
	return short_name ? short_name : "unknown";
}

static char *decimal_serial(const X509 *x)
{
	BIGNUM *n = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x), NULL);
	char *z = n ? BN_bn2dec(n) : NULL;
	BN_free(n);
	return z;
}

static void set(json_t *doc, const char *name, struct rf_str s)
{
	json_t *v = json_stringn(s.n ? s.p : "", s.n);
	json_object_set_new(doc, name, v ? v : json_string(""));
}

static void set_time(json_t *doc, const char *name, int64_t s)
{
	char at[RF_RFC3339_SIZE];
	json_object_set_new(doc, name, json_string(rf_api_time(s, at)));
}

int rf_x509_describe(struct rf_api_call *c, X509 *x, json_t *doc)
{
	struct rf_cert *cert = NULL;
	int rc = rf_cert_from_x509(x, NULL, 0, &cert, &c->err);
	if (rc != RF_OK)
		return rc;
	char *serial = decimal_serial(x);
	json_object_set_new(doc, "serial_number", json_string(serial ? serial : ""));
	OPENSSL_free(serial);
	set(doc, "issuer", rf_cert_issuer(cert, RF_DN_RFC2253, &c->arena));
	json_object_set_new(doc, "signature", json_string(rf_x509_signature(x)));
	json_object_set_new(doc, "ski", json_string(cert->ski));
	json_object_set_new(doc, "fingerprint", json_string(cert->sha256));
	set_time(doc, "expires_on", cert->not_after);
	rf_cert_put(cert);
	return RF_OK;
}

json_t *rf_x509_hosts(struct rf_api_call *c, X509 *x)
{
	struct rf_cert *cert = NULL;
	json_t *hosts = json_array();
	struct rf_str s;
	if (!hosts || rf_cert_from_x509(x, NULL, 0, &cert, &c->err) != RF_OK)
		return hosts;
	for (unsigned i = 0; i < 100 && rf_cert_san(cert, RF_SAN_DNS, i, &c->arena, &s); i++)
		json_array_append_new(hosts, json_stringn(s.p, s.n));
	for (unsigned i = 0; i < 100 && rf_cert_san(cert, RF_SAN_IP, i, &c->arena, &s); i++)
		json_array_append_new(hosts, json_stringn(s.p, s.n));
	rf_cert_put(cert);
	return hosts;
}

static void describe_subject(json_t *doc, const struct rf_cert *cert, struct rf_arena *a)
{
	static const struct { const char *attr, *member; } rows[] = {
		{ "cn", "common_name" }, { "c", "country" }, { "l", "location" }, { "o", "organization" },
		{ "ou", "organizational_unit" }, { "st", "state" },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct rf_str s = { NULL, 0 };
		bool there = rf_cert_attr(cert, false, rf_str_z(rows[i].attr), 0, a, &s);
		set(doc, rows[i].member, there ? s : (struct rf_str){ NULL, 0 });
	}
}

static void describe_ca(json_t *doc, const struct rf_ca *ca)
{
	char id[33] = "";
	const ASN1_OCTET_STRING *ski = X509_get0_subject_key_id(rf_ca_cert(ca));
	if (ski && ASN1_STRING_length(ski) >= 16)
		rf_hex(ASN1_STRING_get0_data(ski), 16, id);
	json_object_set_new(doc, "certificate_authority", json_pack("{s:s, s:s}", "id", id, "name", "Managed device CA"));
}

json_t *rf_client_cert_doc(const struct rf_cert *cert, const struct rf_ca *ca, const char *zone_id, const char *device_id,
			   const char *csr, int64_t validity_days)
{
	struct rf_arena a;
	RF_BUF_AUTO pem = { 0 };
	char serial[sizeof cert->serial];
	for (size_t i = 0; i < sizeof serial; i++)
		serial[i] = (char)rf_lower((unsigned char)cert->serial[i]);
	rf_cert_pem(cert, &pem);
	json_t *doc = json_pack("{s:s, s:s, s:s, s:s, s:s}", "certificate", rf_buf_z(&pem), "serial_number", serial, "ski",
				cert->ski, "fingerprint_sha256", cert->sha256, "status", "active");
	if (!doc)
		return NULL;
	rf_arena_init(&a, 65536);
	describe_subject(doc, cert, &a);
	rf_arena_fini(&a);
	describe_ca(doc, ca);
	json_object_set_new(doc, "issuer_ski", json_string(cert->issuer_ski)); /* with the serial: what is denied */
	json_object_set_new(doc, "signature", json_string(rf_x509_signature(rf_ca_cert(ca))));
	set_time(doc, "issued_on", cert->not_before);
	set_time(doc, "expires_on", cert->not_after);
	json_object_set_new(doc, "zone_id", json_string(zone_id));
	if (device_id[0])
		json_object_set_new(doc, "device_id", json_string(device_id));
	if (csr[0])
		json_object_set_new(doc, "csr", json_string(csr));
	if (validity_days)
		json_object_set_new(doc, "validity_days", json_integer(validity_days));
	return doc;
}
