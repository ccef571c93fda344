/* pki/ocsp: see ocsp.h.
 *
 * Request -> bounded parse -> nonce checked -> each certificate id compared with our issuer -> lookup -> response
 * signed. A request about anybody else's certificate is answered "unauthorized", unsigned [RFC 5019 2.2.3].
 */
#include "pki/ocsp.h"
#include <openssl/ocsp.h>
#include "base/enc.h"
#include "pki/cert.h"
#include "pki/crl.h"
#include "pki/pem.h"
#include "pki/x509.h"

static inline void free_request(OCSP_REQUEST **p) { OCSP_REQUEST_free(*p); }
static inline void free_basic(OCSP_BASICRESP **p) { OCSP_BASICRESP_free(*p); }
static inline void free_id(OCSP_CERTID **p) { OCSP_CERTID_free(*p); }
static inline void free_time(ASN1_TIME **p) { ASN1_TIME_free(*p); }
#define OWN(type, destroy) __attribute__((cleanup(destroy))) type

struct job {
	const struct rf_ocsp *o;
	int64_t now;
	OCSP_REQUEST *req;
	OCSP_BASICRESP *basic;
	struct rf_err *e;
};

static int emit(struct job *j, int status, struct rf_buf *to)
{
	unsigned char *der = NULL;
	OCSP_RESPONSE *r = OCSP_response_create(status, j->basic);
	int n = r ? i2d_OCSP_RESPONSE(r, &der) : 0;
	OCSP_RESPONSE_free(r);
	if (n <= 0)
		return rf_ossl_fail(j->e, RF_E_NOMEM, "no memory for the OCSP response");
	rf_buf_add(to, (struct rf_str){ (char *)der, (size_t)n });
	OPENSSL_free(der);
	return to->bad ? rf_fail(j->e, RF_E_NOMEM, "no memory for the OCSP response") : RF_OK;
}

static bool ours(const struct rf_ocsp *o, OCSP_CERTID *id)
{
	ASN1_OBJECT *md = NULL;
	OCSP_id_get0_info(NULL, &md, NULL, NULL, id);
	int nid = OBJ_obj2nid(md);
	if (nid != NID_sha1 && nid != NID_sha256)
		return false;
	OWN(OCSP_CERTID, free_id) *mine = OCSP_cert_to_id(nid == NID_sha1 ? EVP_sha1() : EVP_sha256(), NULL, o->ca);
	return mine && OCSP_id_issuer_cmp(mine, id) == 0;
}

static struct rf_ocsp_answer ask(const struct rf_ocsp *o, OCSP_CERTID *id)
{
	ASN1_INTEGER *serial = NULL;
	char hex[2 * RF_CERT_SERIAL_MAX + 1];
	OCSP_id_get0_info(NULL, NULL, NULL, &serial, id);
	int n = ASN1_STRING_length(serial);
	if (n <= 0 || n > RF_CERT_SERIAL_MAX || ASN1_STRING_type(serial) != V_ASN1_INTEGER)
		return (struct rf_ocsp_answer){ .status = RF_OCSP_UNKNOWN };
	rf_hex_upper(ASN1_STRING_get0_data(serial), (size_t)n, hex);
	return o->lookup(o->ctx, hex);
}

static bool add_answer(const struct job *j, OCSP_CERTID *id)
{
	static const int STATUS[] = { [RF_OCSP_GOOD] = V_OCSP_CERTSTATUS_GOOD,
		[RF_OCSP_REVOKED] = V_OCSP_CERTSTATUS_REVOKED, [RF_OCSP_UNKNOWN] = V_OCSP_CERTSTATUS_UNKNOWN };
	struct rf_ocsp_answer a = ask(j->o, id);
	OWN(ASN1_TIME, free_time) *this = ASN1_GENERALIZEDTIME_set(NULL, (time_t)j->now);
	OWN(ASN1_TIME, free_time) *next = ASN1_GENERALIZEDTIME_set(NULL, (time_t)(j->now + j->o->valid_for));
	OWN(ASN1_TIME, free_time) *revoked = a.status == RF_OCSP_REVOKED ?
		ASN1_GENERALIZEDTIME_set(NULL, (time_t)a.revoked_at) : NULL;
	int reason = a.reason == RF_REASON_UNSPECIFIED ? OCSP_REVOKED_STATUS_NOSTATUS : (int)a.reason;
	return this && next && (revoked || a.status != RF_OCSP_REVOKED) &&
	       OCSP_basic_add1_status(j->basic, id, STATUS[a.status], reason, revoked, this, next);
}

/* 0 without a nonce, 1 with a usable one, -1 with one outside its bounds. */
static int nonce_of(OCSP_REQUEST *req)
{
	int at = OCSP_REQUEST_get_ext_by_NID(req, NID_id_pkix_OCSP_Nonce, -1);
	if (at < 0)
		return 0;
	int n = ASN1_STRING_length(X509_EXTENSION_get_data(OCSP_REQUEST_get_ext(req, at)));
	return n > 2 && n <= RF_OCSP_NONCE_MAX + 3 ? 1 : -1; /* inside is an OCTET STRING */
}

/* OCSP_basic_sign stamps the system's time; ours is a parameter, so the field is set here and the flag says to
 * keep it. */
static bool sign(struct job *j)
{
	ASN1_GENERALIZEDTIME *at = (ASN1_GENERALIZEDTIME *)OCSP_resp_get0_produced_at(j->basic);
	return ASN1_GENERALIZEDTIME_set(at, (time_t)j->now) &&
	       OCSP_basic_sign(j->basic, j->o->signer ? j->o->signer : j->o->ca, j->o->key, rf_key_digest(j->o->key), NULL,
			       OCSP_NOTIME | OCSP_RESPID_KEY) == 1;
}

static int respond(struct job *j, struct rf_buf *to, unsigned *ret_max_age)
{
	int count = OCSP_request_onereq_count(j->req), nonce = nonce_of(j->req);
	if (count < 1 || count > RF_OCSP_CERTS_MAX || nonce < 0)
		return emit(j, OCSP_RESPONSE_STATUS_MALFORMEDREQUEST, to);
	for (int i = 0; i < count; i++)
		if (!ours(j->o, OCSP_onereq_get0_id(OCSP_request_onereq_get0(j->req, i))))
			return emit(j, OCSP_RESPONSE_STATUS_UNAUTHORIZED, to);
	OWN(OCSP_BASICRESP, free_basic) *basic = OCSP_BASICRESP_new();
	if (!basic)
		return rf_fail(j->e, RF_E_NOMEM, "no memory for the OCSP response");
	j->basic = basic;
	for (int i = 0; i < count; i++)
		if (!add_answer(j, OCSP_onereq_get0_id(OCSP_request_onereq_get0(j->req, i))))
			return rf_ossl_fail(j->e, RF_E_CRYPTO, "cannot build the OCSP response");
	if ((nonce && OCSP_copy_nonce(basic, j->req) != 1) || !sign(j))
		return rf_ossl_fail(j->e, RF_E_CRYPTO, "cannot sign the OCSP response");
	int rc = emit(j, OCSP_RESPONSE_STATUS_SUCCESSFUL, to);
	if (rc == RF_OK && !nonce)
		*ret_max_age = j->o->valid_for;
	return rc;
}

int rf_ocsp_answer(const struct rf_ocsp *o, struct rf_str request, int64_t now, struct rf_buf *to,
		   unsigned *ret_max_age, struct rf_err *e)
{
	const unsigned char *p = (const unsigned char *)request.p;
	struct job j = { .o = o, .now = now, .e = e };
	OWN(OCSP_REQUEST, free_request) *req =
		request.n && request.n <= RF_OCSP_REQUEST_MAX ? d2i_OCSP_REQUEST(NULL, &p, (long)request.n) : NULL;
	*ret_max_age = 0;
	if (!req || p != (const unsigned char *)request.p + request.n) {
		rf_ossl_fail(e, RF_E_SYNTAX, "the OCSP request cannot be read");
		return emit(&j, OCSP_RESPONSE_STATUS_MALFORMEDREQUEST, to);
	}
	j.req = req;
	return respond(&j, to, ret_max_age);
}

int rf_ocsp_answer_get(const struct rf_ocsp *o, struct rf_str path, int64_t now, struct rf_buf *to,
		       unsigned *ret_max_age, struct rf_err *e)
{
	char text[RF_OCSP_REQUEST_MAX * 2], der[RF_OCSP_REQUEST_MAX];
	struct rf_str request = { NULL, 0 };
	while (path.n && path.p[0] == '/')
		path = rf_str_skip(path, 1);
	if (path.n <= sizeof text) {
		ssize_t n = rf_unb64((struct rf_str){ text, rf_unpercent(path, text) }, der, sizeof der);
		if (n > 0)
			request = (struct rf_str){ der, (size_t)n };
	}
	return rf_ocsp_answer(o, request, now, to, ret_max_age, e);
}
