/* ctl/local_est: enrolment over the state.
 *
 *   simpleenroll    token found by its hash -> device of its class -> certificate -> stored and bound to the device, the token
 *                   marked as used: one transaction, in force before the answer
 *   simplereenroll  the certificate shown is one that we keep, not revoked, its key bound to a device that is not revoked
 *                   -> certificate with the same names -> stored and bound; after its end the device goes into quarantine
 *
 * Invariants: a transaction is open between `spend` and the end of `store` or `unspend`, and at no other time. What the
 * TLS layer says of a certificate is not enough to renew: it must be in the state, byte for byte.
 */
#include <openssl/x509.h>
#include <stdio.h>
#include "api/x509.h"
#include "base/enc.h"
#include "ctl/doc.h"
#include "ctl/local_own.h"
#include "pki/credkey.h"
#include "pki/est.h"
#include "pki/token.h"
#include "records/counters.h"
#include "records/log.h"

enum { KEYS_MAX = 8, CN_MAX = 64, DAY_S = 86400 }; /* KEYS_MAX: keys of a device that enrolment has bound; the oldest go */

struct job {
	struct rf_local *l;
	struct rf_ctl *c;
	struct rf_err e;          /* of a transaction that could not be made */
	struct rf_object device;  /* renew: as it is; its document is changed by store */
	struct rf_object token;   /* spent in this transaction */
	char urn[48];             /* SAN of a first certificate; "urn:uuid:" of the device's id */
	bool open;
};

static int broken(struct job *j, int rc)
{
	rf_log(RF_LOG_ERROR, "est", "an enrolment could not be kept: %s", j->e.text);
	return rc;
}

static void undo(struct job *j)
{
	if (j->open)
		rf_ctl_abort(j->c);
	j->open = false;
}

static int put(struct job *j, enum rf_kind kind, struct rf_object *o, struct rf_err *e)
{
	if (!o->doc)
		return rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	int rc = rf_store_put(j->c->store, kind, o, 0, e);
	return rc == RF_OK ? rf_ctl_touch(j->c, kind, o->id, e) : rc;
}

static json_t *time_json(struct job *j)
{
	char at[RF_RFC3339_SIZE];
	return json_string(rf_rfc3339(local_now(j->l) * (int64_t)RF_NS_S, 0, at));
}

/* --- first enrolment --- */

/* The common name that a CSR asks for; "" when it has none that can be shown to people. */
static void cn_of(struct rf_str subject, char to[CN_MAX + 1])
{
	const unsigned char *p = (const unsigned char *)subject.p;
	unsigned char *utf8 = NULL;
	X509_NAME *name = d2i_X509_NAME(NULL, &p, (long)subject.n);
	int at = name ? X509_NAME_get_index_by_NID(name, NID_commonName, -1) : -1;
	int n = at < 0 ? -1 : ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
	bool good = n > 0 && n <= CN_MAX;
	for (int i = 0; i < n && good; i++)
		good = utf8[i] >= 0x20 && utf8[i] != 0x7f;
	snprintf(to, CN_MAX + 1, "%.*s", good ? n : 0, good ? (char *)utf8 : "");
	OPENSSL_free(utf8);
	X509_NAME_free(name);
}

static bool usable(struct job *j, const json_t *token)
{
	int64_t until = 0;
	RF_OBJECT_AUTO class = { 0 };
	struct rf_str class_id = doc_str(token, "class_id"), expires = doc_str(token, "expires_on");
	struct rf_err e;
	if (doc_str(token, "used_on").n || (expires.n && rf_rfc3339_parse(expires.p, &until) != 0) ||
	    (expires.n && until <= local_now(j->l)))
		return false;
	if (!class_id.n || rf_store_get(j->c->store, RF_KIND_CLASS, class_id.p, &class, &e) == RF_OK)
		return true;
	rf_log(RF_LOG_WARN, "est", "a provisioning token is refused because its class %s is no more", class_id.p);
	return false;
}

static int find_token(struct job *j, struct rf_str text)
{
	uint8_t hash[RF_TOKEN_HASH];
	char name[2 * RF_TOKEN_HASH + 1];
	if (rf_token_hash(RF_TOKEN_PROVISION, text, hash) != RF_OK)
		return RF_E_UNAUTH;
	rf_hex(hash, sizeof hash, name);
	int rc = rf_store_find(j->c->store, RF_KIND_PROVISIONING_TOKEN, j->c->account_id, name, &j->token, &j->e);
	if (rc != RF_OK && rc != RF_E_NOT_FOUND)
		return broken(j, rc);
	return rc == RF_OK && usable(j, j->token.doc) ? RF_OK : RF_E_UNAUTH;
}

static int make_device(struct job *j, struct rf_str csr_subject)
{
	const json_t *t = j->token.doc;
	struct rf_str name = doc_str(t, "device_name"), class_id = doc_str(t, "class_id");
	json_t *tags = json_object_get(t, "tags");
	char cn[CN_MAX + 1];
	struct rf_object *d = &j->device;
	cn_of(csr_subject, cn);
	memcpy(d->parent, j->c->account_id, sizeof d->parent);
	snprintf(d->name, sizeof d->name, "%s", name.n ? name.p : cn[0] ? cn : "device");
	d->doc = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:O?, s:s}", "name", d->name, "state", "active", "model", "", "firmware", "", "owner", "",
			   "reason", "enrolled", "tags", tags, "class_id", class_id.p);
	if (d->doc && !tags)
		json_object_set_new(d->doc, "tags", json_array());
	if (d->doc && !class_id.n)
		json_object_del(d->doc, "class_id");
	return put(j, RF_KIND_DEVICE, d, &j->e);
}

static int use_token(struct job *j)
{
	json_object_set_new(j->token.doc, "used_on", time_json(j));
	json_object_set_new(j->token.doc, "device_id", json_string(j->device.id));
	return put(j, RF_KIND_PROVISIONING_TOKEN, &j->token, &j->e);
}

static void grant_first(struct job *j, struct rf_est_grant *ret)
{
	const char *id = j->device.id;
	snprintf(ret->device, sizeof ret->device, "%s", id);
	snprintf(ret->cn, sizeof ret->cn, "%.*s", CN_MAX, strlen(j->device.name) <= CN_MAX ? j->device.name : id);
	snprintf(j->urn, sizeof j->urn, "urn:uuid:%.8s-%.4s-%.4s-%.4s-%.12s", id, id + 8, id + 12, id + 16, id + 20);
	ret->sans[0] = (struct rf_san){ RF_SAN_URI, rf_str_z(j->urn) }; /* [RFC 4122 3] */
	ret->san_count = 1;
	ret->days = (unsigned)doc_int(j->token.doc, "validity_days", 365);
}

static int spend(void *ctx, struct rf_str token, struct rf_str csr_subject, struct rf_est_grant *ret)
{
	struct job *j = ctx;
	int rc = find_token(j, token);
	if (rc != RF_OK)
		return rc;
	rc = rf_ctl_begin(j->c, "est", &j->e);
	j->open = rc == RF_OK;
	if (rc == RF_OK)
		rc = make_device(j, csr_subject);
	if (rc == RF_OK)
		rc = use_token(j);
	if (rc != RF_OK) {
		undo(j);
		return broken(j, rc);
	}
	grant_first(j, ret);
	return RF_OK;
}

static void unspend(void *ctx, struct rf_str token, const struct rf_est_grant *g)
{
	(void)token, (void)g;
	undo(ctx);
}

/* --- renewal --- */

static void credential_name(const struct rf_cert *cert, char to[320])
{
	struct rf_credkey key;
	char hex[2 * RF_CREDKEY_MAX + 1] = "";
	if (rf_credkey_ski(rf_str_z(cert->ski), &key) == RF_OK)
		rf_hex(key.b, key.n, hex);
	snprintf(to, 320, "ski:%s", hex);
}

/* Is this certificate, byte for byte, one that we issued and have not revoked? */
static bool kept(struct job *j, const struct rf_cert *cert, struct rf_object *ret)
{
	char serial[sizeof cert->serial];
	for (size_t i = 0; i < sizeof serial; i++)
		serial[i] = (char)rf_lower((unsigned char)cert->serial[i]);
	return rf_store_find(j->c->store, RF_KIND_CLIENT_CERT, NULL, serial, ret, &j->e) == RF_OK &&
	       rf_str_eq(doc_str(ret->doc, "fingerprint_sha256"), rf_str_z(cert->sha256)) && doc_is(ret->doc, "status", "active");
}

/* The device that the certificate's key is bound to. */
static bool device_of(struct job *j, const struct rf_est_request *r)
{
	RF_OBJECT_AUTO credential = { 0 };
	char name[320];
	credential_name(r->peer_cert, name);
	if (rf_store_find(j->c->store, RF_KIND_CREDENTIAL, NULL, name, &credential, &j->e) != RF_OK)
		return false;
	if (r->device.n && !rf_str_eq(r->device, rf_str_z(credential.parent)))
		return false;
	return rf_store_get(j->c->store, RF_KIND_DEVICE, credential.parent, &j->device, &j->e) == RF_OK &&
	       !doc_is(j->device.doc, "state", "revoked");
}

static int renew(void *ctx, const struct rf_est_request *r, bool expired, struct rf_est_grant *ret)
{
	struct job *j = ctx;
	RF_OBJECT_AUTO old = { 0 };
	if (!kept(j, r->peer_cert, &old) || !device_of(j, r))
		return RF_E_DENIED;
	int rc = rf_ctl_begin(j->c, "est", &j->e);
	if (rc != RF_OK)
		return broken(j, rc);
	j->open = true;
	snprintf(ret->device, sizeof ret->device, "%s", j->device.id);
	int64_t days = (r->peer_cert->not_after - r->peer_cert->not_before - RF_CA_BACKDATE + DAY_S / 2) / DAY_S;
	ret->days = days < 1 ? 1 : days > RF_CA_DAYS_MAX ? RF_CA_DAYS_MAX : (unsigned)days;
	if (expired)
		rf_log(RF_LOG_WARN, "est", "device %s renews a certificate that has expired: into quarantine", j->device.id);
	return RF_OK;
}

static int quarantine(struct job *j, struct rf_err *e)
{
	json_object_set_new(j->device.doc, "state", json_string("quarantined"));
	json_object_set_new(j->device.doc, "reason", json_string("renewed after its certificate had expired"));
	return put(j, RF_KIND_DEVICE, &j->device, e);
}

/* --- what both keep --- */

struct keys {
	char id[KEYS_MAX * 4][RF_ID_LEN + 1]; /* oldest first */
	size_t n;
};

static int each_key(const struct rf_object *o, void *arg)
{
	struct keys *k = arg;
	if (k->n < KEYS_MAX * 4 && doc_is(o->doc, "comment", "issued here"))
		memcpy(k->id[k->n++], o->id, sizeof k->id[0]);
	return RF_OK;
}

/* Keys of earlier certificates do not pile up. */
static int drop_old_keys(struct job *j, const char *device, struct rf_err *e)
{
	struct keys k = { .n = 0 };
	struct rf_store_query q = { .parent = device, .match = { { "kind", "ski" } } };
	int rc = rf_store_list(j->c->store, RF_KIND_CREDENTIAL, &q, each_key, &k, NULL, e);
	for (size_t i = 0; rc == RF_OK && i + KEYS_MAX < k.n; i++)
		rc = rf_store_del(j->c->store, RF_KIND_CREDENTIAL, k.id[i], 0, e);
	return rc == RF_OK ? rf_ctl_touch(j->c, RF_KIND_DEVICE, device, e) : rc;
}

/* A key names one device: one that another has is refused. */
static int bind_key(struct job *j, const char *device, const struct rf_cert *cert, struct rf_err *e)
{
	RF_OBJECT_AUTO there = { 0 };
	RF_OBJECT_AUTO o = { 0 };
	credential_name(cert, o.name);
	int rc = rf_store_find(j->c->store, RF_KIND_CREDENTIAL, NULL, o.name, &there, e);
	if (rc == RF_OK)
		return strcmp(there.parent, device) == 0 ? RF_OK
			: rf_fail(e, RF_E_CONFLICT, "this key belongs to another device already: make a new one");
	if (rc != RF_E_NOT_FOUND)
		return rc;
	snprintf(o.parent, sizeof o.parent, "%s", device);
	o.doc = json_pack("{s:s, s:s, s:s}", "kind", "ski", "value", cert->ski, "comment", "issued here");
	rc = put(j, RF_KIND_CREDENTIAL, &o, e);
	return rc == RF_OK ? drop_old_keys(j, device, e) : rc;
}

static int keep_certificate(struct job *j, const struct rf_est_grant *g, const struct rf_cert *cert, struct rf_err *e)
{
	RF_OBJECT_AUTO o = { .doc = rf_client_cert_doc(cert, j->c->ca, "", g->device, "", g->days) };
	memcpy(o.parent, j->c->account_id, sizeof o.parent);
	snprintf(o.name, sizeof o.name, "%s", doc_str(o.doc, "serial_number").p);
	return put(j, RF_KIND_CLIENT_CERT, &o, e);
}

static int store(void *ctx, const struct rf_est_grant *g, struct rf_cert *cert, bool expired, struct rf_err *e)
{
	struct job *j = ctx;
	int rc = keep_certificate(j, g, cert, e);
	if (rc == RF_OK)
		rc = bind_key(j, g->device, cert, e);
	if (rc == RF_OK && expired)
		rc = quarantine(j, e);
	if (rc == RF_OK) {
		rc = rf_ctl_commit(j->c, false, e);
		j->open = false;
	}
	if (rc != RF_OK)
		undo(j);
	return rc;
}

/* --- the request --- */

/* The token of "Bearer TOKEN" or of "Basic base64(anything:TOKEN)". */
static struct rf_str token_of(struct rf_str authorization, char to[256])
{
	size_t space = rf_str_find(authorization, ' ');
	struct rf_str scheme = { authorization.p, space }, value = rf_str_trim(rf_str_skip(authorization, space));
	if (rf_str_ieq(scheme, RF_STR("Bearer")))
		return value;
	ssize_t n = rf_str_ieq(scheme, RF_STR("Basic")) ? rf_unb64(value, to, 256) : -1;
	struct rf_str pair = { to, n > 0 ? (size_t)n : 0 };
	return rf_str_skip(pair, rf_str_find(pair, ':') + 1);
}

static enum rf_est_peer peer_of(const struct rf_local *l, const struct rf_local_request *q)
{
	if (!q->cert || q->cert_revoked || !q->cert_trusted)
		return RF_EST_NONE;
	if (q->cert_verified)
		return RF_EST_VALID;
	return local_now(l) > q->cert->not_after ? RF_EST_EXPIRED : RF_EST_NONE;
}

static void send_back(struct rf_local_request *q, struct rf_est_response *r)
{
	q->status = r->status;
	q->answer_type = rf_str_z(r->content_type);
	q->answer = r->body;
	r->body = (struct rf_buf){ 0 };
	if (r->base64)
		rf_buf_printf(&q->headers, "Content-Transfer-Encoding: base64\r\n");
	if (r->retry_after)
		rf_buf_printf(&q->headers, "Retry-After: %u\r\n", r->retry_after);
	if (r->authenticate)
		rf_buf_printf(&q->headers, "WWW-Authenticate: Basic realm=\"enrolment\", charset=\"UTF-8\"\r\n"
					   "WWW-Authenticate: Bearer realm=\"enrolment\"\r\n");
}

void local_est(struct rf_local *l, struct rf_local_request *q, struct rf_str path)
{
	static const struct rf_est_ops ops = { .spend = spend, .renew = renew, .store = store, .unspend = unspend };
	struct job j = { .l = l, .c = l->c };
	struct rf_est_response answer;
	char basic[256];
	struct rf_err e = { 0 };
	if (!q->tls) {
		local_text(q, 403, "enrolment is over TLS only [RFC 7030 3.3]");
		return;
	}
	if (rf_str_eq(q->method, RF_STR("POST")) && !local_may_sign(l, q))
		return;
	struct rf_est_request r = { .method = q->method, .path = path, .content_type = q->content_type, .body = q->body,
				    .token = token_of(q->authorization, basic), .peer = peer_of(l, q), .peer_cert = q->cert,
				    .device = rf_str_z(q->device) };
	int rc = rf_est_handle(l->c->ca, &ops, &j, &r, local_now(l), &answer, &e);
	undo(&j); /* a renewal that was granted and could not be issued */
	if (rc == RF_OK && answer.issued)
		rf_count(answer.reenrolled ? RF_C_RENEWED : RF_C_ISSUED);
	if (rc == RF_OK && answer.issued)
		rf_log(RF_LOG_INFO, "est", "device %s (%s) has %s", j.device.id, j.device.name,
		       answer.reenrolled ? "renewed its certificate" : "enrolled with a provisioning token");
	else if (rc != RF_OK)
		rf_log(RF_LOG_INFO, "est", "refused: %s", e.text);
	send_back(q, &answer);
	rf_est_response_fini(&answer);
	rf_object_fini(&j.device);
	rf_object_fini(&j.token);
}
