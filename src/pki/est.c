/* pki/est: see est.h.
 *
 * simpleenroll:   content type -> base64 -> CSR (key policy, self signature) -> channel binding -> token spent ->
 *                 certificate -> stored -> sent.
 * simplereenroll: the same with the client certificate for the token, and the subject must stay.
 *
 * Invariants: a token is spent only for a CSR that is good, and given back when nothing was stored; nothing is
 * sent that is not stored.
 */
#include "pki/est.h"
#include <openssl/crypto.h>
#include <openssl/pkcs7.h>
#include "base/enc.h"
#include "pki/ossl.h"

#define CERTS_ONLY "application/pkcs7-mime; smime-type=certs-only"

struct job {
	const struct rf_ca *ca;
	const struct rf_est_ops *ops;
	void *ctx;
	const struct rf_est_request *r;
	int64_t now;
	struct rf_est_response *to;
	struct rf_err *e;
};

/* In one line: base64 is without line feeds here [RFC 8951 3.2, RFC 4648 3.1], and not every client skips them. */
static int send_der(struct job *j, const char *type, struct rf_str der)
{
	rf_b64_add(&j->to->body, der);
	if (j->to->body.bad)
		return rf_fail(j->e, RF_E_NOMEM, "no memory for the answer");
	j->to->status = 200;
	j->to->content_type = type;
	j->to->base64 = true;
	return RF_OK;
}

/* A "certs-only" CMC Simple PKI Response: SignedData without content and signers [RFC 7030 4.1.3]. */
static int send_certs(struct job *j, X509 *const *certs, size_t count)
{
	unsigned char *der = NULL;
	int n = 0;
	PKCS7 *p7 = PKCS7_new();
	bool built = p7 && PKCS7_set_type(p7, NID_pkcs7_signed) && PKCS7_content_new(p7, NID_pkcs7_data) &&
		     PKCS7_set_detached(p7, 1);
	for (size_t i = 0; i < count && built; i++)
		built = PKCS7_add_certificate(p7, certs[i]);
	if (built)
		n = i2d_PKCS7(p7, &der);
	PKCS7_free(p7);
	if (n <= 0)
		return rf_ossl_fail(j->e, RF_E_NOMEM, "cannot build the answer");
	int rc = send_der(j, CERTS_ONLY, (struct rf_str){ (char *)der, (size_t)n });
	OPENSSL_free(der);
	return rc;
}

static int cacerts(struct job *j)
{
	X509 *certs[] = { rf_ca_cert(j->ca), rf_ca_root(j->ca) };
	return send_certs(j, certs, 2);
}

/* CsrAttrs: an EC key on P-256, signed with ecdsa-with-SHA256 [RFC 7030 4.5.2]. */
static int csrattrs(struct job *j)
{
	return send_der(j, "application/csrattrs",
			RF_STR("\x30\x21"
			       "\x30\x15\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x31\x0a\x06\x08\x2a\x86\x48\xce"
			       "\x3d\x03\x01\x07"
			       "\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"));
}

/* White space is skipped wherever it is, and Content-Transfer-Encoding is not looked at [RFC 8951 3.1]. */
static int read_csr(struct job *j, struct rf_csr **ret)
{
	char text[RF_EST_BODY_MAX], der[RF_EST_BODY_MAX];
	struct rf_str type = { j->r->content_type.p, rf_str_find(j->r->content_type, ';') };
	size_t n = 0;
	if (!rf_str_ieq(rf_str_trim(type), RF_STR("application/pkcs10")))
		return rf_fail(j->e, RF_E_MEDIA, "the content type must be application/pkcs10");
	if (j->r->body.n > sizeof text)
		return rf_fail(j->e, RF_E_TOO_LARGE, "the body is larger than %d bytes", RF_EST_BODY_MAX);
	for (size_t i = 0; i < j->r->body.n; i++)
		if (!memchr(" \t\r\n", j->r->body.p[i], 4))
			text[n++] = j->r->body.p[i];
	ssize_t len = rf_unb64((struct rf_str){ text, n }, der, sizeof der);
	if (len <= 0)
		return rf_fail(j->e, RF_E_SYNTAX, "the body must be a PKCS#10 request in base64");
	return rf_csr_parse((struct rf_str){ der, (size_t)len }, ret, j->e);
}

/* Who puts a channel binding into the CSR is held to it [RFC 7030 3.5]; without one there is none to check. */
static int check_binding(struct job *j, const struct rf_csr *csr)
{
	struct rf_str got = rf_csr_challenge(csr), want = j->r->tls_unique;
	if (got.n == 0 || (got.n == want.n && CRYPTO_memcmp(got.p, want.p, want.n) == 0))
		return RF_OK;
	return rf_fail(j->e, RF_E_INVALID,
		       want.n ? "the challengePassword is not this connection's tls-unique"
			      : "this connection has no tls-unique that a challengePassword could be checked "
				"with: leave it out");
}

static int send_issued(struct job *j, const struct rf_est_grant *g, struct rf_cert *c)
{
	const unsigned char *p = (const unsigned char *)c->der.p;
	int rc = j->ops->store(j->ctx, g, c, j->to->quarantine, j->e);
	if (rc != RF_OK)
		return rc;
	RF_OWN(X509) *x = d2i_X509(NULL, &p, (long)c->der.n);
	return x ? send_certs(j, &x, 1) : rf_ossl_fail(j->e, RF_E_NOMEM, "no memory for the answer");
}

static int issue(struct job *j, const struct rf_csr *csr, const struct rf_est_grant *g)
{
	struct rf_issue req = {
		.days = g->days, .cn = rf_str_z(g->cn), .sans = g->sans, .san_count = g->san_count
	};
	struct rf_cert *c = NULL;
	int rc = rf_ca_issue_csr(j->ca, csr, &req, j->now, &c, j->e);
	if (rc == RF_OK)
		rc = send_issued(j, g, c);
	if (rc == RF_OK)
		j->to->issued = c;
	else
		rf_cert_put(c);
	return rc;
}

static int refused(struct job *j, int rc, const struct rf_est_grant *g, const char *why)
{
	if (rc == RF_E_AGAIN) {
		j->to->retry_after = g->retry_after ? g->retry_after : 60;
		return rf_fail(j->e, rc, "not decided yet");
	}
	return rf_fail(j->e, rc, "%s", why);
}

static int simpleenroll(struct job *j)
{
	struct rf_csr *csr = NULL;
	struct rf_est_grant g = { 0 };
	if (j->r->token.n == 0)
		return rf_fail(j->e, RF_E_UNAUTH, "a first enrolment needs a provisioning token");
	int rc = read_csr(j, &csr);
	if (rc != RF_OK)
		return rc;
	rc = check_binding(j, csr);
	if (rc == RF_OK) {
		rc = j->ops->spend(j->ctx, j->r->token, rf_csr_subject(csr), &g);
		if (rc != RF_OK) {
			refused(j, rc, &g, "the provisioning token is not valid, or is spent");
		} else {
			rc = issue(j, csr, &g);
			if (rc != RF_OK)
				j->ops->unspend(j->ctx, j->r->token, &g);
		}
	}
	rf_csr_free(csr);
	return rc;
}

/* [RFC 7030 4.2.2]: the subject of the request is that of the certificate to renew. */
static int check_subject(struct job *j, const struct rf_csr *csr)
{
	struct rf_str a = rf_csr_subject(csr), b = j->r->peer_cert->subject;
	const unsigned char *pa = (const unsigned char *)a.p, *pb = (const unsigned char *)b.p;
	RF_OWN(X509_NAME) *na = d2i_X509_NAME(NULL, &pa, (long)a.n), *nb = d2i_X509_NAME(NULL, &pb, (long)b.n);
	if (!na || !nb || X509_NAME_cmp(na, nb) != 0)
		return rf_fail(j->e, RF_E_INVALID, "the subject of the CSR is not that of the certificate in use");
	return RF_OK;
}

/* A renewal keeps the names that the device is known by. */
static int keep_sans(struct job *j, struct rf_arena *a, struct rf_est_grant *g)
{
	const struct rf_cert *old = j->r->peer_cert;
	struct rf_cur at = rf_cur_over(old->sans.p, old->sans.n);
	struct rf_san san;
	unsigned ips = 0;
	if (g->san_count)
		return RF_OK;
	while (rf_cert_san_next(&at, &san)) {
		if (san.kind == RF_SAN_OTHER)
			continue;
		if (g->san_count == RF_CA_SANS_MAX)
			return rf_fail(j->e, RF_E_TOO_LARGE, "the certificate has more than %d SANs",
				       RF_CA_SANS_MAX);
		if (san.kind == RF_SAN_IP && !rf_cert_san(old, RF_SAN_IP, ips++, a, &san.value))
			return rf_fail(j->e, RF_E_NOMEM, "no memory for the SANs");
		g->sans[g->san_count++] = san;
	}
	return RF_OK;
}

static int renew(struct job *j, const struct rf_csr *csr, struct rf_arena *a)
{
	struct rf_est_grant g = { 0 };
	bool expired = j->r->peer == RF_EST_EXPIRED;
	int rc = check_subject(j, csr);
	if (rc == RF_OK)
		rc = check_binding(j, csr);
	if (rc != RF_OK)
		return rc;
	rc = j->ops->renew(j->ctx, j->r, expired, &g);
	if (rc != RF_OK)
		return refused(j, rc, &g, "the certificate in use is not one of a known device");
	rc = keep_sans(j, a, &g);
	j->to->quarantine = expired;
	return rc == RF_OK ? issue(j, csr, &g) : rc;
}

static int simplereenroll(struct job *j)
{
	struct rf_csr *csr = NULL;
	struct rf_arena a;
	if (j->r->peer == RF_EST_NONE || !j->r->peer_cert)
		return rf_fail(j->e, RF_E_DENIED, "a renewal needs the certificate to renew as client certificate");
	int rc = read_csr(j, &csr);
	if (rc != RF_OK)
		return rc;
	rf_arena_init(&a, 16384);
	rc = renew(j, csr, &a);
	if (rc == RF_OK)
		j->to->reenrolled = true;
	rf_arena_fini(&a);
	rf_csr_free(csr);
	return rc;
}

static const struct {
	const char *name, *method;
	int (*run)(struct job *j);
} OPERATIONS[] = {
	{ "cacerts", "GET", cacerts },
	{ "csrattrs", "GET", csrattrs },
	{ "simpleenroll", "POST", simpleenroll },
	{ "simplereenroll", "POST", simplereenroll },
};

/* "simpleenroll", or "LABEL/simpleenroll" [RFC 7030 3.2.2]. */
static int dispatch(struct job *j)
{
	struct rf_str path = j->r->path;
	size_t slash = rf_str_find(path, '/');
	if (slash > 0 && slash < path.n)
		path = rf_str_skip(path, slash + 1);
	for (size_t i = 0; i < sizeof OPERATIONS / sizeof *OPERATIONS; i++) {
		if (!rf_str_eq(path, rf_str_z(OPERATIONS[i].name)))
			continue;
		if (!rf_str_eq(j->r->method, rf_str_z(OPERATIONS[i].method)))
			return rf_fail(j->e, RF_E_METHOD, "%s is asked for with %s", OPERATIONS[i].name,
				       OPERATIONS[i].method);
		return OPERATIONS[i].run(j);
	}
	return rf_fail(j->e, RF_E_NOT_FOUND, "there is no such EST operation");
}

int rf_est_handle(const struct rf_ca *ca, const struct rf_est_ops *ops, void *ctx, const struct rf_est_request *r,
		  int64_t now, struct rf_est_response *ret, struct rf_err *e)
{
	struct job j = { ca, ops, ctx, r, now, ret, e };
	*ret = (struct rf_est_response){ 0 };
	int rc = dispatch(&j);
	if (rc == RF_OK)
		return rc;
	rf_buf_fini(&ret->body);
	ret->quarantine = ret->base64 = false;
	ret->status = rc == RF_E_AGAIN ? 202 : rf_code_http(rc); /* 202: ask again later [RFC 7030 4.2.3] */
	ret->authenticate = ret->status == 401;
	ret->content_type = "text/plain; charset=utf-8";
	rf_buf_printf(&ret->body, "%s\n", ret->status < 500 ? e->text : rf_code_sentence(rc));
	return rc;
}

void rf_est_response_fini(struct rf_est_response *r)
{
	rf_buf_fini(&r->body);
	rf_cert_put(r->issued);
	r->issued = NULL;
}
