/* ctl/local_ca: certificates, CRLs and OCSP of our own device CA, as the state is at the moment of asking.
 *
 * A list is built when somebody asks for it, and kept until a certificate's status changes or half its validity has passed.
 * Deltas build on a full list that changes only once in half a validity, so that whoever has that or a later
 * one can apply them. The newest full list is kept in DATA_DIR/crl/own.crl: its number is where a restart goes on.
 *
 * OCSP responses are signed by a responder that the CA certifies for two weeks; its key is in memory alone. So what strangers ask for as
 * often as they like is never signed by the CA's key, nor sent to a token.
 *
 * Invariant: numbers of lists only grow, also when the clock steps back.
 */
#include <errno.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "base/room.h"
#include "ctl/doc.h"
#include "ctl/local_own.h"
#include "ctl/private.h"
#include "pki/file.h"
#include "pki/ocsp.h"
#include "pki/pem.h"
#include "records/counters.h"
#include "records/log.h"

enum { PATH = 4200, OCSP_VALID_MAX_S = 3600, RESPONDER_DAYS = 14, RESPONDER_NEW_S = 7 * 86400 };

/* --- our lists --- */

static unsigned validity(const struct rf_local *l)
{
	uint64_t s = l->c->boot->ca_crl_validity / RF_NS_S;
	return s > 60 ? (unsigned)s : 60;
}

struct gathering {
	struct rf_crl_entry *v;
	size_t n, cap;
	int64_t over_s; /* certificates that had ended by then are left out [RFC 5280 3.3] */
};

static int64_t time_of(const json_t *doc, const char *member)
{
	int64_t s = 0;
	return rf_rfc3339_parse(doc_str(doc, member).p, &s) == 0 ? s : 0;
}

static int gather(const struct rf_object *o, void *arg)
{
	struct gathering *g = arg;
	int64_t end = time_of(o->doc, "expires_on");
	if (end && end < g->over_s)
		return RF_OK;
	if (g->n == RF_CRL_ENTRIES_MAX)
		return RF_E_TOO_LARGE;
	if (!RF_ROOM(g->v, g->cap, g->n))
		return RF_E_NOMEM;
	if (rf_crl_entry(rf_str_z(o->name), time_of(o->doc, "revoked_on"), RF_REASON_UNSPECIFIED, &g->v[g->n]) == RF_OK)
		g->n++;
	return RF_OK;
}

static int by_serial(const void *a, const void *b)
{
	const struct rf_crl_entry *x = a, *y = b;
	return rf_str_cmp((struct rf_str){ (const char *)x->serial, x->serial_len },
			  (struct rf_str){ (const char *)y->serial, y->serial_len });
}

static int revoked(struct rf_local *l, struct gathering *g, struct rf_err *e)
{
	struct rf_store_query q = { .match = { { "status", "revoked" } } };
	*g = (struct gathering){ .over_s = local_now(l) - (int64_t)validity(l) };
	int rc = rf_store_list(l->c->store, RF_KIND_CLIENT_CERT, &q, gather, g, NULL, e);
	if (rc == RF_E_TOO_LARGE || rc == RF_E_NOMEM)
		rf_fail(e, rc, "there are too many revoked certificates for one list");
	if (rc == RF_OK && g->n)
		qsort(g->v, g->n, sizeof *g->v, by_serial);
	return rc;
}

static int build(struct rf_local *l, const struct rf_crl_entry *v, size_t n, uint64_t number, uint64_t base, struct rf_buf *to,
		 struct rf_err *e)
{
	struct rf_crl_make m = { .ca = rf_ca_cert(l->c->ca), .key = rf_ca_key(l->c->ca), .entries = v, .count = n,
				 .number = number, .base = base, .delta = base != 0, .now = local_now(l), .valid_for = validity(l) };
	rf_buf_clear(to);
	return rf_crl_build(&m, to, e);
}

/* What differs between two sorted lists: new entries, and those that are on hold no more. `to` has room for both. */
static size_t difference(const struct rf_crl_entry *a, size_t na, const struct rf_crl_entry *b, size_t nb, struct rf_crl_entry *to)
{
	size_t i = 0, k = 0, n = 0;
	while (i < na || k < nb) {
		int order = i == na ? 1 : k == nb ? -1 : by_serial(&a[i], &b[k]);
		if (order < 0) {
			to[n] = a[i++];
			to[n++].reason = RF_REASON_REMOVE;
		} else if (order > 0) {
			to[n++] = b[k++];
		} else {
			i++;
			k++;
		}
	}
	return n;
}

static int build_delta(struct rf_local *l, const struct gathering *g, uint64_t number, struct rf_buf *to, struct rf_err *e)
{
	const struct local_crls *c = &l->crls;
	struct rf_crl_entry *v = calloc(c->base_count + g->n + 1, sizeof *v);
	if (!v)
		return rf_fail(e, RF_E_NOMEM, "no memory for the list");
	size_t n = difference(c->base, c->base_count, g->v, g->n, v);
	int rc = build(l, v, n, number, c->base_number, to, e);
	free(v);
	return rc;
}

static void own_path(const struct rf_local *l, char to[PATH])
{
	snprintf(to, PATH, "%s/crl/own.crl", l->c->boot->data_dir);
}

static int keep(struct rf_local *l, struct rf_str der, struct rf_err *e)
{
	char path[PATH];
	own_path(l, path);
	return rf_file_put(path, 0600, der, e);
}

static uint64_t next_number(const struct rf_local *l)
{
	uint64_t now = (uint64_t)(l->c->clock.wall(l->c->clock.ctx) / (int64_t)RF_NS_US);
	return now > l->crls.number ? now : l->crls.number + 1;
}

/* Both lists for the present state. On failure the old ones stay, but are not given out any more. */
static int build_both(struct rf_local *l, uint64_t state, struct rf_err *e)
{
	struct local_crls *c = &l->crls;
	struct gathering g;
	RF_BUF_AUTO full = { 0 }, delta = { 0 };
	int64_t now = local_now(l);
	uint64_t number = next_number(l);
	bool rebase = !c->base_s || now < c->base_s || now >= c->base_s + (int64_t)validity(l) / 2;
	int rc = revoked(l, &g, e);
	if (rc == RF_OK)
		rc = build(l, g.v, g.n, number, 0, &full, e);
	if (rc == RF_OK)
		rc = keep(l, rf_buf_str(&full), e);
	if (rc == RF_OK && !rebase)
		rc = build_delta(l, &g, number, &delta, e);
	if (rc != RF_OK) {
		free(g.v);
		return rc;
	}
	if (rebase) {
		free(c->base);
		c->base = g.v;
		c->base_count = g.n;
		c->base_number = number;
		c->base_s = now;
	} else {
		free(g.v);
	}
	struct rf_buf old[] = { c->full, c->delta };
	c->full = full, c->delta = delta;
	full = old[0], delta = old[1];
	c->number = number;
	c->made_s = now;
	c->certificates = state;
	return RF_OK;
}

static int lists(struct rf_local *l, struct rf_err *e)
{
	const struct local_crls *c = &l->crls;
	uint64_t state = l->c->priv->certificates;
	int64_t now = local_now(l);
	if (c->made_s && c->certificates == state && now >= c->made_s && now < c->made_s + (int64_t)validity(l) / 2)
		return RF_OK;
	return build_both(l, state, e);
}

void local_crls_open(struct rf_local *l)
{
	char path[PATH];
	RF_BUF_AUTO der = { 0 };
	struct rf_crl *crl = NULL;
	struct rf_err e;
	snprintf(path, sizeof path, "%s/crl", l->c->boot->data_dir);
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		rf_log(RF_LOG_ERROR, "ca", "cannot make %s, without which there is no CRL: %s", path, strerror(errno));
	own_path(l, path);
	int rc = rf_file_get(path, RF_CRL_BYTES_MAX, false, &der, &e);
	if (rc == RF_OK)
		rc = rf_crl_parse(rf_buf_str(&der), rf_ca_cert(l->c->ca), &crl, &e);
	if (rc == RF_OK)
		l->crls.number = crl->number;
	else if (rc != RF_E_NOT_FOUND)
		rf_log(RF_LOG_WARN, "ca", "the last CRL, %s, cannot be read; numbers go on from the clock: %s", path, e.text);
	rf_crl_put(crl);
}

void local_crls_close(struct rf_local *l)
{
	free(l->crls.base);
	rf_buf_fini(&l->crls.full);
	rf_buf_fini(&l->crls.delta);
}

static void give_crl(struct rf_local *l, struct rf_local_request *q, bool delta)
{
	struct rf_err e;
	if (lists(l, &e) != RF_OK) {
		rf_log(RF_LOG_ERROR, "ca", "no CRL: %s", e.text);
		local_text(q, 503, "the list cannot be made at the moment");
		return;
	}
	const struct rf_buf *der = delta ? &l->crls.delta : &l->crls.full;
	if (!der->n) {
		local_text(q, 404, "nothing has changed since the last full list");
		return;
	}
	q->status = 200;
	q->answer_type = RF_STR("application/pkix-crl");
	rf_buf_add(&q->answer, rf_buf_str(der));
}

static void crl(struct rf_local *l, struct rf_local_request *q, struct rf_str rest)
{
	(void)rest;
	give_crl(l, q, false);
}

static void crl_delta(struct rf_local *l, struct rf_local_request *q, struct rf_str rest)
{
	(void)rest;
	give_crl(l, q, true);
}

/* --- OCSP --- */

static struct rf_ocsp_answer look_up(void *ctx, const char *serial)
{
	struct rf_local *l = ctx;
	struct rf_ocsp_answer a = { .status = RF_OCSP_UNKNOWN };
	RF_OBJECT_AUTO o = { 0 };
	char name[128];
	struct rf_err e;
	size_t n = 0;
	for (; serial[n] && n < sizeof name - 1; n++)
		name[n] = (char)rf_lower((unsigned char)serial[n]);
	name[n] = '\0';
	if (rf_store_find(l->c->store, RF_KIND_CLIENT_CERT, NULL, name, &o, &e) != RF_OK)
		return a;
	if (doc_is(o.doc, "status", "revoked"))
		return (struct rf_ocsp_answer){ RF_OCSP_REVOKED, time_of(o.doc, "revoked_on"), RF_REASON_UNSPECIFIED };
	a.status = RF_OCSP_GOOD;
	return a;
}

void local_responder_close(struct rf_local *l)
{
	X509_free(l->responder.cert);
	EVP_PKEY_free(l->responder.key);
}

/* Made when it is first needed, and anew after half its life, or where the clock has stepped back behind its beginning. */
static int responder(struct rf_local *l, struct rf_err *e)
{
	struct local_responder *r = &l->responder, made = { .made_s = local_now(l) };
	if (r->cert && made.made_s >= r->made_s && made.made_s < r->made_s + RESPONDER_NEW_S)
		return RF_OK;
	int rc = rf_ca_responder(l->c->ca, RESPONDER_DAYS, made.made_s, &made.cert, &made.key, e);
	if (rc != RF_OK)
		return rc;
	local_responder_close(l);
	*r = made;
	return RF_OK;
}

static void ocsp(struct rf_local *l, struct rf_local_request *q, struct rf_str rest)
{
	struct rf_ocsp o = { .ca = rf_ca_cert(l->c->ca),
			     .valid_for = validity(l) < OCSP_VALID_MAX_S ? validity(l) : OCSP_VALID_MAX_S, .lookup = look_up,
			     .ctx = l };
	unsigned max_age;
	struct rf_err e;
	bool post = rf_str_eq(q->method, RF_STR("POST"));
	if (post && !rf_str_ieq(rf_str_trim((struct rf_str){ q->content_type.p, rf_str_find(q->content_type, ';') }),
				RF_STR(RF_OCSP_REQUEST_TYPE))) {
		local_text(q, 415, "the content type must be " RF_OCSP_REQUEST_TYPE);
		return;
	}
	if (!local_may_sign(l, q))
		return;
	int rc = responder(l, &e);
	o.signer = l->responder.cert;
	o.key = l->responder.key;
	if (rc == RF_OK)
		rc = post ? rf_ocsp_answer(&o, q->body, local_now(l), &q->answer, &max_age, &e)
			  : rf_ocsp_answer_get(&o, rest, local_now(l), &q->answer, &max_age, &e);
	if (rc != RF_OK) {
		rf_log(RF_LOG_ERROR, "ca", "no OCSP response: %s", e.text);
		local_text(q, 503, "no response can be made at the moment");
		return;
	}
	q->status = 200;
	q->answer_type = RF_STR(RF_OCSP_RESPONSE_TYPE);
	rf_count(RF_C_OCSP);
}

/* --- certificates --- */

static void give_der(struct rf_local_request *q, X509 *x)
{
	unsigned char *der = NULL;
	int n = i2d_X509(x, &der);
	if (n <= 0) {
		local_text(q, 503, "memory is exhausted");
		return;
	}
	q->status = 200;
	q->answer_type = RF_STR("application/pkix-cert"); /* [RFC 2585 4.1]: DER */
	rf_buf_add(&q->answer, (struct rf_str){ (char *)der, (size_t)n });
	OPENSSL_free(der);
}

static void ca_crt(struct rf_local *l, struct rf_local_request *q, struct rf_str rest)
{
	(void)rest;
	give_der(q, rf_ca_cert(l->c->ca));
}

static void root_crt(struct rf_local *l, struct rf_local_request *q, struct rf_str rest)
{
	(void)rest;
	give_der(q, rf_ca_root(l->c->ca));
}

static void chain_pem(struct rf_local *l, struct rf_local_request *q, struct rf_str rest)
{
	(void)rest;
	q->status = rf_ca_chain_pem(l->c->ca, &q->answer) == RF_OK ? 200 : 503;
	q->answer_type = RF_STR("application/pem-certificate-chain");
}

static const struct {
	const char *path;
	bool tree, post;  /* more path may follow; POST without it */
	void (*run)(struct rf_local *l, struct rf_local_request *q, struct rf_str rest);
} resources[] = {
	{ "ca.crt", false, false, ca_crt },     { "root.crt", false, false, root_crt }, { "chain.pem", false, false, chain_pem },
	{ "crl", false, false, crl },           { "crl/delta", false, false, crl_delta }, { "ocsp", false, true, ocsp },
	{ "ocsp/", true, false, ocsp },
};

void local_pki(struct rf_local *l, struct rf_local_request *q, struct rf_str path)
{
	bool get = rf_str_eq(q->method, RF_STR("GET")) || rf_str_eq(q->method, RF_STR("HEAD"));
	for (size_t i = 0; i < sizeof resources / sizeof *resources; i++) {
		struct rf_str name = rf_str_z(resources[i].path);
		if (resources[i].tree ? !rf_str_starts(path, name) || path.n == name.n : !rf_str_eq(path, name))
			continue;
		if (resources[i].post ? !rf_str_eq(q->method, RF_STR("POST")) : !get) {
			local_text(q, 405, "the method is not allowed here");
			rf_buf_printf(&q->headers, "Allow: %s\r\n", resources[i].post ? "POST" : "GET, HEAD");
			return;
		}
		resources[i].run(l, q, rf_str_skip(path, name.n));
		return;
	}
	local_text(q, 404, "there are ca.crt, root.crt, chain.pem, crl, crl/delta and ocsp here");
}
