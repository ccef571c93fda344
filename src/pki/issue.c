/* pki/issue: leaf certificates (declared in pki/ca.h).
 *
 * CSR -> bounded parse -> key policy -> self signature -> subject and SANs from the caller's policy ->
 * certificate -> signature -> facts. The key policy comes before the signature, so that nobody makes us
 * verify with a monstrous key.
 *
 * Not here: who may ask (pki/est, api), and keeping what was issued (ctl).
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <openssl/pem.h>
#include "base/ip.h"
#include "pki/ca_own.h"
#include "pki/file.h"
#include "pki/key.h"
#include "pki/pem.h"
#include "pki/x509.h"

enum { DAY = 86400, CN_MAX = 64 /* ub-common-name [RFC 5280 A.1] */, SAN_MAX = 255, SUBJECT_MAX = 1024 };

struct rf_csr {
	X509_REQ *req;
	unsigned char *subject; /* DER, libcrypto's memory */
	int subject_len;
	struct rf_str challenge;
};

int64_t rf_x509_end(const X509 *x)
{
	struct tm tm;
	return ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm) ? (int64_t)timegm(&tm) : 0;
}

static X509_REQ *read_csr(struct rf_str text)
{
	const unsigned char *p = (const unsigned char *)text.p;
	if (text.n && text.p[0] == 0x30) {
		X509_REQ *req = d2i_X509_REQ(NULL, &p, (long)text.n);
		if (req && p == (const unsigned char *)text.p + text.n)
			return req;
		X509_REQ_free(req);
		return NULL;
	}
	RF_OWN(BIO) *bio = rf_ossl_bio(text);
	return bio ? PEM_read_bio_X509_REQ(bio, NULL, rf_ossl_no_passphrase, NULL) : NULL;
}

static int check_csr(X509_REQ *req, struct rf_err *e)
{
	int md = NID_undef;
	EVP_PKEY *key = X509_REQ_get0_pubkey(req);
	if (!key)
		return rf_ossl_fail(e, RF_E_CERT, "the public key of the CSR cannot be read");
	int rc = rf_key_allowed(key, e);
	if (rc != RF_OK)
		return rc;
	OBJ_find_sigid_algs(X509_REQ_get_signature_nid(req), &md, NULL);
	if (md == NID_md5 || md == NID_sha1 || md == NID_md4 || md == NID_md2)
		return rf_fail(e, RF_E_CERT, "the CSR is signed with %s: use SHA-256", OBJ_nid2sn(md));
	if (X509_REQ_verify(req, key) != 1)
		return rf_ossl_fail(e, RF_E_CERT, "the CSR is not signed by its own key");
	return RF_OK;
}

static void read_challenge(struct rf_csr *csr)
{
	int at = X509_REQ_get_attr_by_NID(csr->req, NID_pkcs9_challengePassword, -1);
	X509_ATTRIBUTE *attr = at < 0 ? NULL : X509_REQ_get_attr(csr->req, at);
	ASN1_TYPE *v = attr ? X509_ATTRIBUTE_get0_type(attr, 0) : NULL;
	int tag = v ? ASN1_TYPE_get(v) : 0;
	if (tag == V_ASN1_PRINTABLESTRING || tag == V_ASN1_UTF8STRING || tag == V_ASN1_IA5STRING ||
	    tag == V_ASN1_T61STRING)
		csr->challenge = (struct rf_str){ (const char *)ASN1_STRING_get0_data(v->value.asn1_string),
						  (size_t)ASN1_STRING_length(v->value.asn1_string) };
}

int rf_csr_parse(struct rf_str text, struct rf_csr **ret, struct rf_err *e)
{
	if (text.n > RF_CSR_MAX)
		return rf_fail_ptr(e, RF_E_TOO_LARGE, "/csr", "a CSR is at most %d bytes", RF_CSR_MAX);
	RF_OWN(X509_REQ) *req = read_csr(text);
	if (!req) {
		rf_ossl_fail(e, RF_E_SYNTAX, "the CSR cannot be read");
		snprintf(e->pointer, sizeof e->pointer, "/csr");
		return RF_E_SYNTAX;
	}
	int rc = check_csr(req, e);
	if (rc != RF_OK) {
		snprintf(e->pointer, sizeof e->pointer, "/csr");
		return rc;
	}
	struct rf_csr *csr = calloc(1, sizeof *csr);
	if (csr)
		csr->subject_len = i2d_X509_NAME(X509_REQ_get_subject_name(req), &csr->subject);
	if (!csr || csr->subject_len < 0) {
		free(csr);
		return rf_fail(e, RF_E_NOMEM, "no memory for the CSR");
	}
	csr->req = RF_TAKE(req);
	read_challenge(csr);
	*ret = csr;
	return RF_OK;
}

void rf_csr_free(struct rf_csr *csr)
{
	if (!csr)
		return;
	X509_REQ_free(csr->req);
	OPENSSL_free(csr->subject);
	free(csr);
}

struct rf_str rf_csr_subject(const struct rf_csr *csr)
{
	return (struct rf_str){ (const char *)csr->subject, (size_t)csr->subject_len };
}

struct rf_str rf_csr_challenge(const struct rf_csr *csr) { return csr->challenge; }

static bool printable(struct rf_str s, size_t max)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return false;
	return s.n >= 1 && s.n <= max;
}

static int set_subject(X509 *x, const struct rf_csr *csr, struct rf_str cn, struct rf_err *e)
{
	if (cn.n == 0) {
		X509_NAME *name = csr ? X509_REQ_get_subject_name(csr->req) : NULL;
		if (!name || X509_NAME_entry_count(name) == 0)
			return rf_fail_ptr(e, RF_E_MISSING, "/subject",
					   "the CSR has no subject and none was chosen");
		if (csr->subject_len > SUBJECT_MAX)
			return rf_fail_ptr(e, RF_E_TOO_LARGE, "/subject", "a subject is at most %d bytes",
					   SUBJECT_MAX);
		return X509_set_subject_name(x, name) ? RF_OK
						      : rf_ossl_fail(e, RF_E_NOMEM, "cannot set the subject");
	}
	if (!printable(cn, CN_MAX) || !rf_name_add(X509_get_subject_name(x), NID_commonName, cn)) {
		rf_ossl_fail(e, RF_E_INVALID, "");
		return rf_fail_ptr(e, RF_E_INVALID, "/subject",
				   "a common name is 1 to %d characters of UTF-8 without control characters",
				   CN_MAX);
	}
	return RF_OK;
}

static GENERAL_NAME *general_name(const struct rf_san *san)
{
	static const int TYPES[] = { [RF_SAN_EMAIL] = GEN_EMAIL, [RF_SAN_DNS] = GEN_DNS, [RF_SAN_URI] = GEN_URI };
	struct rf_ip ip;
	bool is_ip = san->kind == RF_SAN_IP;
	if (san->kind > RF_SAN_IP || !printable(san->value, SAN_MAX) || (is_ip && !rf_ip_parse(san->value, &ip)))
		return NULL;
	for (size_t i = 0; i < san->value.n; i++)
		if ((unsigned char)san->value.p[i] <= ' ' || (unsigned char)san->value.p[i] > 0x7e) /* IA5String */
			return NULL;
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_STRING *s = ASN1_STRING_type_new(is_ip ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);
	const void *p = is_ip ? (const void *)ip.b : san->value.p;
	if (!name || !s || !ASN1_STRING_set(s, p, is_ip ? (ip.family == 4 ? 4 : 16) : (int)san->value.n)) {
		GENERAL_NAME_free(name);
		ASN1_STRING_free(s);
		return NULL;
	}
	GENERAL_NAME_set0_value(name, is_ip ? GEN_IPADD : TYPES[san->kind], s);
	return name;
}

static int set_sans(X509 *x, const struct rf_issue *req, struct rf_err *e)
{
	if (req->san_count > RF_CA_SANS_MAX)
		return rf_fail_ptr(e, RF_E_TOO_LARGE, "/sans", "at most %d SANs", RF_CA_SANS_MAX);
	if (req->san_count == 0)
		return RF_OK;
	RF_OWN(GENERAL_NAMES) *names = GENERAL_NAMES_new();
	for (size_t i = 0; names && i < req->san_count; i++) {
		char pointer[32];
		GENERAL_NAME *name = general_name(&req->sans[i]);
		snprintf(pointer, sizeof pointer, "/sans/%zu", i);
		if (!name)
			return rf_fail_ptr(
				e, RF_E_INVALID, pointer,
				"not a DNS name, URI, mail address or IP address of at most %d bytes", SAN_MAX);
		if (!sk_GENERAL_NAME_push(names, name)) {
			GENERAL_NAME_free(name);
			return rf_fail(e, RF_E_NOMEM, "no memory for the SANs");
		}
	}
	if (!names || X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) != 1)
		return rf_ossl_fail(e, RF_E_NOMEM, "cannot add the SANs");
	return RF_OK;
}

static int add_urls(X509 *x, const struct rf_ca *ca, struct rf_err *e)
{
	char v[1400];
	if (!ca->base_url[0])
		return RF_OK;
	snprintf(v, sizeof v, "URI:%s/crl", ca->base_url);
	int rc = rf_x509_ext(x, ca->cert, NID_crl_distribution_points, v, e);
	snprintf(v, sizeof v, "OCSP;URI:%s/ocsp,caIssuers;URI:%s/ca.crt", ca->base_url, ca->base_url);
	return rc == RF_OK ? rf_x509_ext(x, ca->cert, NID_info_access, v, e) : rc;
}

enum purpose { FOR_DEVICE, FOR_SERVER, FOR_OCSP };

static int add_leaf_exts(X509 *x, const struct rf_ca *ca, enum purpose purpose, struct rf_err *e)
{
	static const char *const usages[] = { [FOR_DEVICE] = "clientAuth", [FOR_SERVER] = "serverAuth", [FOR_OCSP] = "OCSPSigning" };
	const struct {
		int nid;
		const char *value;
	} EXTS[] = {
		{ NID_basic_constraints, "critical,CA:FALSE" },
		{ NID_key_usage, "critical,digitalSignature" },
		{ NID_ext_key_usage, usages[purpose] },
		{ NID_subject_key_identifier, "hash" },
		{ NID_authority_key_identifier, "keyid:always" },
	};
	for (size_t i = 0; i < sizeof EXTS / sizeof *EXTS; i++) {
		int rc = rf_x509_ext(x, ca->cert, EXTS[i].nid, EXTS[i].value, e);
		if (rc != RF_OK)
			return rc;
	}
	/* Who asks whether the responder is revoked would ask the responder [RFC 6960 4.2.2.2.1]. */
	return purpose == FOR_OCSP ? rf_x509_ext(x, ca->cert, NID_id_pkix_OCSP_noCheck, "ignored", e) : add_urls(x, ca, e);
}

static int make_leaf(const struct rf_ca *ca, EVP_PKEY *public, const struct rf_csr *csr, const struct rf_issue *req,
		     enum purpose purpose, int64_t now, X509 **ret, struct rf_err *e)
{
	int64_t end = now + (int64_t)req->days * DAY, ca_end = rf_x509_end(ca->cert);
	if (req->days < 1 || req->days > RF_CA_DAYS_MAX)
		return rf_fail_ptr(e, RF_E_RANGE, "/validity_days", "the validity is 1 to %d days", RF_CA_DAYS_MAX);
	if (now >= ca_end)
		return rf_fail(e, RF_E_CERT, "the issuing CA has expired");
	RF_OWN(X509) *x = rf_x509_new(public, now - RF_CA_BACKDATE, end < ca_end ? end : ca_end, e);
	if (!x)
		return RF_E_CRYPTO;
	int rc = set_subject(x, csr, req->cn, e);
	if (rc == RF_OK)
		rc = set_sans(x, req, e);
	if (rc == RF_OK && !X509_set_issuer_name(x, X509_get_subject_name(ca->cert)))
		rc = rf_ossl_fail(e, RF_E_NOMEM, "cannot set the issuer");
	if (rc == RF_OK)
		rc = add_leaf_exts(x, ca, purpose, e);
	if (rc == RF_OK)
		rc = rf_x509_sign(x, ca->key, e);
	if (rc == RF_OK)
		*ret = RF_TAKE(x);
	return rc;
}

static int issue(const struct rf_ca *ca, EVP_PKEY *public, const struct rf_csr *csr, const struct rf_issue *req,
		 int64_t now, struct rf_cert **ret, struct rf_err *e)
{
	RF_OWN(X509) *x = NULL;
	int rc = make_leaf(ca, public, csr, req, req->server ? FOR_SERVER : FOR_DEVICE, now, &x, e);
	return rc == RF_OK ? rf_cert_from_x509(x, ca->cert, 0, ret, e) : rc;
}

int rf_ca_responder(const struct rf_ca *ca, unsigned days, int64_t now, X509 **ret, EVP_PKEY **ret_key, struct rf_err *e)
{
	const struct rf_issue req = { .days = days, .cn = RF_STR("OCSP responder") };
	RF_OWN(EVP_PKEY) *key = NULL;
	int rc = rf_key_new(&key, e);
	if (rc == RF_OK)
		rc = make_leaf(ca, key, NULL, &req, FOR_OCSP, now, ret, e);
	if (rc == RF_OK)
		*ret_key = RF_TAKE(key);
	return rc;
}

int rf_ca_issue_csr(const struct rf_ca *ca, const struct rf_csr *csr, const struct rf_issue *req, int64_t now,
		    struct rf_cert **ret, struct rf_err *e)
{
	return issue(ca, X509_REQ_get0_pubkey(csr->req), csr, req, now, ret, e);
}

int rf_ca_issue(const struct rf_ca *ca, const struct rf_issue *req, int64_t now, struct rf_cert **ret,
		struct rf_err *e)
{
	struct rf_csr *csr = NULL;
	int rc = rf_csr_parse(req->csr, &csr, e);
	if (rc == RF_OK)
		rc = rf_ca_issue_csr(ca, csr, req, now, ret, e);
	rf_csr_free(csr);
	return rc;
}

int rf_ca_bundle(const struct rf_ca *ca, const struct rf_issue *req, int64_t now, struct rf_bundle *ret,
		 struct rf_err *e)
{
	struct rf_bundle b = { 0 };
	RF_OWN(EVP_PKEY) *key = NULL;
	int rc = rf_key_new(&key, e);
	if (rc == RF_OK)
		rc = issue(ca, key, NULL, req, now, &b.cert, e);
	if (rc == RF_OK)
		rc = rf_key_pem(key, &b.key_pem, e);
	if (rc == RF_OK) {
		rf_cert_pem(b.cert, &b.cert_pem);
		if (rf_pem_add(&b.cert_pem, ca->cert) != RF_OK || rf_pem_add(&b.ca_pem, ca->root) != RF_OK)
			rc = rf_fail(e, RF_E_NOMEM, "no memory for the bundle");
	}
	if (rc == RF_OK)
		*ret = b;
	else
		rf_bundle_fini(&b);
	return rc;
}

void rf_bundle_fini(struct rf_bundle *b)
{
	rf_cert_put(b->cert);
	rf_buf_wipe(&b->key_pem);
	rf_buf_fini(&b->cert_pem);
	rf_buf_fini(&b->ca_pem);
	b->cert = NULL;
}
