/* ctl/explain: see explain.h.
 *
 *   device found -> its newest certificate judged as a handshake would -> facts of the request with both -> the checks of the edge
 *   in their order -> the rules -> which of them comes first
 *
 * Invariant: the order of checks[] is that of svc/http/request: host, certificate, root, class, device, limits, body.
 *
 * Not here: the tests of rules (rulestry.c).
 */
#include <stdio.h>
#include <stdlib.h>
#include "base/jw.h"
#include "ctl/doc.h"
#include "ctl/explain.h"
#include "ctl/packets.h"
#include "ctl/private.h"
#include "device/pace.h"
#include "pki/pem.h"
#include "policy/explain.h"
#include "policy/ruletest.h"
#include "svc/front.h"
#include "svc/http/edge.h"
#include "svc/identity.h"
#include "tls/peer.h"

enum { MEMORY = 4 << 20 };

enum result { PASSED, REFUSED, REPORTED, NOT_ASKED };

struct job {
	struct rf_ctl *c;
	struct rf_err *e;
	const struct rf_snap *snap;
	int64_t now_s;
	const json_t *request;     /* as given */
	/* found */
	struct rf_object object;   /* the device in the state */
	struct rf_device *device;  /* in the registry; NULL: none */
	const struct rf_class *class;
	const struct rf_app *app;
	struct rf_peer_cache *cache;
	struct rf_tls_peer *peer;  /* of its certificate; NULL: none is kept here */
	struct rf_tls_info info;
	bool assumed;              /* its certificate is not kept here, and taken for a good one of its class */
	/* judged */
	json_t *checks;
	const char *layer, *words; /* of the first refusal; NULL: none */
	const char *would;         /* of the first that is only reported */
	int status;
};

/* --- who --- */

static int find_device(struct job *j, const char *name)
{
	struct rf_err e;
	if (!name[0])
		return RF_OK;
	int rc = strlen(name) == RF_ID_LEN ? rf_store_get(j->c->store, RF_KIND_DEVICE, name, &j->object, &e) : RF_E_NOT_FOUND;
	if (rc == RF_E_NOT_FOUND)
		rc = rf_store_find(j->c->store, RF_KIND_DEVICE, j->c->account_id, name, &j->object, &e);
	if (rc != RF_OK)
		return rf_fail_ptr(j->e, rc == RF_E_NOT_FOUND ? RF_E_INVALID : rc, "/device", "there is no device \"%.200s\"", name);
	j->device = rf_device_find(j->c->devices, rf_str_z(j->object.id));
	if (j->device)
		j->class = rf_snap_class(j->snap, rf_device_class_slot(j->device));
	return RF_OK;
}

static int newest(const struct rf_object *o, void *arg)
{
	json_t **doc = arg;
	*doc = json_incref(o->doc);
	return 1;
}

/* The certificate that our CA issued last for the device, through the same code as a handshake. */
static int load_certificate(struct job *j)
{
	struct rf_store_query q = { .match = { { "device_id", j->object.id } }, .limit = 1, .descending = true };
	struct rf_store_query keys = { .parent = j->object.id };
	size_t bound = 0;
	json_t *doc = NULL;
	X509 *x = NULL;
	if (!j->object.id[0])
		return RF_OK;
	int rc = rf_store_list(j->c->store, RF_KIND_CLIENT_CERT, &q, newest, &doc, NULL, j->e);
	if (rc == 1) {
		rc = rf_pem_cert(doc_str(doc, "certificate"), &x, j->e);
		j->cache = rc == RF_OK ? rf_peer_cache_new(1) : NULL;
		if (j->cache)
			rc = rf_peer_verify(j->cache, j->snap->trust, x, NULL, &j->peer, j->e);
	}
	X509_free(x);
	json_decref(doc);
	if (rc != RF_OK)
		return rc;
	if (j->peer)
		rf_peer_judge(j->peer, j->now_s, rf_identity_denied(j->c->devices, j->peer), &j->info);
	else
		rc = rf_store_count(j->c->store, RF_KIND_CREDENTIAL, &keys, &bound, j->e);
	j->assumed = !j->peer && bound > 0;
	return rc;
}

/* --- the checks --- */

static enum result verdict(struct job *j, enum result r, const char *layer, const char *words, int status)
{
	if (r == REFUSED && j->app && j->app->auth == RF_AUTH_REPORT && strcmp(layer, "limit") != 0) {
		if (!j->would)
			j->would = words;
		return REPORTED;
	}
	if (r == REFUSED && !j->words) {
		j->layer = layer;
		j->words = words;
		j->status = status;
	}
	return r;
}

static enum result refuse(struct job *j, enum rf_reason reason, const char **ret)
{
	*ret = rf_reason_words(reason);
	return verdict(j, REFUSED, rf_reason_layer(reason), *ret, j->app && j->app->deny_status ? (int)j->app->deny_status : 403);
}

static enum result check_host(struct job *j, const char **ret)
{
	if (j->app)
		return PASSED;
	*ret = rf_reason_words(RF_REASON_NO_HOST);
	return verdict(j, REFUSED, rf_reason_layer(RF_REASON_NO_HOST), *ret, 421);
}

static enum result check_certificate(struct job *j, const char **ret)
{
	if (!j->app || j->app->auth == RF_AUTH_OFF)
		return NOT_ASKED;
	if (j->assumed) {
		*ret = "taken for valid: it is of an uploaded root and not known before it is shown";
		return PASSED;
	}
	if (!j->peer)
		return refuse(j, RF_REASON_CERT_NONE, ret);
	if (j->info.status == RF_CERT_VALID) {
		*ret = j->info.stale_roots & j->info.roots & j->app->roots ? j->info.stale : "";
		return PASSED;
	}
	enum result r = refuse(j, j->info.why, ret);
	*ret = j->info.reason;
	return r;
}

static enum result check_root(struct job *j, const char **ret)
{
	if (!j->app || j->app->auth == RF_AUTH_OFF || (!j->peer && !j->assumed))
		return NOT_ASKED;
	uint64_t roots = j->peer ? j->info.roots : j->class ? j->class->roots : 0;
	if ((j->assumed && !roots) || roots & j->app->roots)
		return PASSED;
	return refuse(j, j->peer ? rf_tls_unvouched(&j->info, j->app->roots) : RF_REASON_CERT_UNKNOWN_CA, ret);
}

static enum result check_class(struct job *j, const char **ret)
{
	if (!j->app || j->app->auth == RF_AUTH_OFF || !j->peer || !j->class || !j->class->roots)
		return NOT_ASKED;
	if (j->class->roots & j->info.roots)
		return PASSED;
	enum rf_reason why = rf_tls_unvouched(&j->info, j->class->roots);
	enum result r = refuse(j, why, ret);
	if (why == RF_REASON_CERT_UNKNOWN_CA)
		*ret = "the certificate's CA does not stand for devices of this class";
	return r;
}

static enum result check_device(struct job *j, const char **ret)
{
	if (!j->app || j->app->auth == RF_AUTH_OFF)
		return NOT_ASKED;
	if (!j->device)
		return refuse(j, RF_REASON_DEVICE_UNKNOWN, ret);
	switch (rf_device_state(j->device)) {
	case RF_DEVICE_REVOKED:
		return refuse(j, RF_REASON_DEVICE_REVOKED, ret);
	case RF_DEVICE_QUARANTINED:
		return refuse(j, RF_REASON_DEVICE_QUARANTINED, ret);
	default:
		return PASSED;
	}
}

static enum result at_most(struct job *j, uint32_t now, uint32_t max, enum rf_reason reason, const char **ret)
{
	if (!max)
		return NOT_ASKED;
	if (now < max)
		return PASSED;
	*ret = rf_reason_words(reason);
	return verdict(j, REFUSED, rf_reason_layer(reason), *ret, 429);
}

static enum result check_connections(struct job *j, const char **ret)
{
	if (!j->device || !j->class)
		return NOT_ASKED;
	return at_most(j, rf_device_use(j->device)->connections, j->class->max_connections, RF_REASON_CONNECTIONS, ret);
}

static enum result check_requests(struct job *j, const char **ret)
{
	if (!j->device || !j->class)
		return NOT_ASKED;
	return at_most(j, rf_device_use(j->device)->requests, j->class->max_requests, RF_REASON_REQUESTS, ret);
}

static enum result check_class_connections(struct job *j, const char **ret)
{
	if (!j->device || !j->class)
		return NOT_ASKED;
	uint32_t now = rf_class_connections(rf_device_class_slot(j->device));
	return at_most(j, now, j->class->class_max_connections, RF_REASON_CONNECTIONS, ret);
}

static enum result check_class_requests(struct job *j, const char **ret)
{
	if (!j->device || !j->class)
		return NOT_ASKED;
	uint32_t now = rf_http_class_requests(rf_device_class_slot(j->device));
	return at_most(j, now, j->class->class_max_requests, RF_REASON_REQUESTS, ret);
}

static enum result check_rate(struct job *j, const char **ret)
{
	if (!j->device || !j->class || !j->class->request_rate_ns)
		return NOT_ASKED;
	uint64_t wait, now = j->c->clock.mono(j->c->clock.ctx);
	if (rf_pace_look(&rf_device_use(j->device)->paid, j->class->request_rate_ns, j->class->request_burst, now, &wait) == RF_OK)
		return PASSED;
	*ret = rf_reason_words(RF_REASON_RATE);
	return verdict(j, REFUSED, rf_reason_layer(RF_REASON_RATE), *ret, 429);
}

static enum result check_body(struct job *j, const char **ret)
{
	uint64_t bound = j->app && j->app->max_body ? j->app->max_body : j->c->boot->limits_body_bytes;
	if (!bound)
		return NOT_ASKED;
	if (doc_str(j->request, "body").n <= bound)
		return PASSED;
	*ret = rf_reason_words(RF_REASON_BODY_SIZE);
	return verdict(j, REFUSED, rf_reason_layer(RF_REASON_BODY_SIZE), *ret, 413);
}

static const struct {
	const char *phase, *check;
	enum result (*run)(struct job *j, const char **ret);
} checks[] = {
	{ "tls", "host", check_host },              { "tls", "client certificate", check_certificate },
	{ "tls", "root", check_root },              { "device", "root of its class", check_class },
	{ "device", "state", check_device },        { "limit", "connections", check_connections },
	{ "limit", "connections of its class", check_class_connections },
	{ "limit", "requests at once", check_requests }, { "limit", "requests of its class at once", check_class_requests },
	{ "limit", "request rate", check_rate },    { "limit", "body", check_body },
};

static int judge(struct job *j)
{
	static const char *const names[] = { [PASSED] = "passed", [REFUSED] = "refused", [REPORTED] = "reported",
					     [NOT_ASKED] = "not_asked" };
	for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
		const char *words = "";
		bool over = j->words != NULL;
		enum result r = checks[i].run(j, &words);
		json_t *one = json_pack("{s:s, s:s, s:s, s:[]}", "phase", checks[i].phase, "check", checks[i].check, "result",
					over ? "not_reached" : names[r], "because");
		if (words[0] && !over)
			json_array_append_new(json_object_get(one, "because"), json_pack("{s:s}", "expression", words));
		if (json_array_append_new(j->checks, one) != 0)
			return rf_fail(j->e, RF_E_NOMEM, "memory is exhausted");
	}
	return RF_OK;
}

/* --- what is said of device and certificate --- */

static json_t *text(struct rf_str s)
{
	json_t *v = json_stringn(s.n ? s.p : "", s.n);
	return v ? v : json_string("");
}

static json_t *device_json(const struct job *j)
{
	const struct rf_device_text *t = j->device ? rf_device_text(j->device) : NULL;
	json_t *tags = json_array();
	if (!t) {
		json_decref(tags);
		return NULL;
	}
	for (size_t i = 0; i < t->tag_count; i++)
		json_array_append_new(tags, text(t->tags[i]));
	json_t *d = json_pack("{s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:I}", "id", rf_device_id(j->device), "name", text(t->name),
			      "state", rf_device_state_name(rf_device_state(j->device)), "model", text(t->model), "owner",
			      text(t->owner), "tags", tags, "class", text(j->class ? j->class->name : RF_STR("")), "created",
			      (json_int_t)rf_device_created(j->device));
	if (d && t->firmware.n)
		json_object_set_new(d, "firmware", text(t->firmware));
	if (d && !j->class)
		json_object_del(d, "class");
	if (d && j->peer)
		json_object_set_new(d, "ski", json_string(j->peer->cert->ski));
	return d;
}

static const char *status_of(const struct job *j)
{
	if (!j->peer)
		return j->assumed ? "valid" : "none";
	return j->info.verified && j->info.revoked ? "revoked" : j->info.status == RF_CERT_VALID ? "valid" : "invalid";
}

static json_t *tls_json(const struct job *j)
{
	struct rf_arena a;
	bool plain = doc_is(j->request, "scheme", "http"), there = j->peer || j->assumed;
	json_t *t = json_pack("{s:o, s:b, s:b, s:b, s:s, s:s}", "sni", text(plain ? RF_STR("") : doc_str(j->request, "host")),
			      "cert_presented", there, "cert_verified", j->peer ? j->info.verified : j->assumed, "cert_revoked",
			      j->peer && j->info.verified && j->info.revoked, "client.status", status_of(j), "client.reason",
			      j->peer ? j->info.reason : "");
	if (!t || !j->peer)
		return t;
	const struct rf_cert *cert = j->peer->cert;
	rf_arena_init(&a, 65536);
	json_object_set_new(t, "cert_subject_dn", text(rf_cert_subject(cert, RF_DN_RFC2253, &a)));
	json_object_set_new(t, "cert_issuer_dn", text(rf_cert_issuer(cert, RF_DN_RFC2253, &a)));
	rf_arena_fini(&a);
	json_object_set_new(t, "cert_serial", json_string(cert->serial));
	json_object_set_new(t, "cert_ski", json_string(cert->ski));
	json_object_set_new(t, "cert_fingerprint_sha256", json_string(cert->sha256));
	return t;
}

/* `known` with what the operator says instead put over it. */
static void put_over(json_t *to, const char *key, json_t *known, const json_t *given)
{
	if (!known)
		return;
	if (json_is_object(given))
		json_object_update(known, (json_t *)(uintptr_t)given);
	json_object_set_new(to, key, known);
}

static json_t *geo_value(const struct rf_val *v)
{
	return v->tag == RF_V_BOOL ? json_boolean(v->b) : v->tag == RF_V_INT ? json_integer(v->i) : text(v->s);
}

/* What the databases of addresses say about where the request comes from and goes to, by the names of fields; empty without. */
static json_t *geo_json(const struct job *j)
{
	struct rf_ip src = { 0 }, dst = { 0 };
	struct rf_arena a;
	json_t *o = json_object();
	rf_ip_parse(doc_str(j->request, "src"), &src);
	rf_ip_parse(doc_str(j->request, "dst"), &dst);
	rf_arena_init(&a, 65536);
	for (unsigned f = 0; f < RF_FIELD_COUNT; f++) {
		struct rf_val v;
		if (rf_geo_fact(j->snap->site->geo, rf_geo_of_dst((enum rf_field)f) ? &dst : &src, (enum rf_field)f, &a, &v))
			json_object_set_new(o, rf_fields[f].name, geo_value(&v));
	}
	rf_arena_fini(&a);
	return o;
}

static json_t *request_json(const struct job *j)
{
	json_t *r = json_copy((json_t *)(uintptr_t)j->request);
	json_t *given = json_incref(json_object_get(r, "device")), *tls = json_incref(json_object_get(r, "tls"));
	json_t *fields = json_object_get(r, "fields");
	if (!fields || json_is_object(fields))
		put_over(r, "fields", geo_json(j), fields);
	put_over(r, "device", given && !json_is_object(given) ? NULL : device_json(j), given);
	put_over(r, "tls", tls && !json_is_object(tls) ? NULL : tls_json(j), tls);
	json_decref(given);
	json_decref(tls);
	return r;
}

/* --- rules --- */

/* A rule of a request is not reached where a check has refused the request before. */
void rf_explain_cut(json_t *rules)
{
	size_t i;
	json_t *one;
	json_array_foreach(rules, i, one)
		if (!doc_is(one, "phase", "connection") && !doc_is(one, "phase", "packet")) {
			json_object_set_new(one, "result", json_string("not_reached"));
			json_object_set_new(one, "because", json_array());
		}
}

/* Of the connection, or of its packets. */
static bool by_connection(const struct rf_verdict *v)
{
	return v->outcome == RF_BLOCK && v->rule && v->rule->phase <= RF_PHASE_CONNECTION;
}

static enum rf_reason reason_of(const struct rf_verdict *v)
{
	if (v->why == RF_WHY_LIMIT)
		return RF_REASON_RULE_LIMIT;
	if (v->why == RF_WHY_QUARANTINE)
		return RF_REASON_RULE_QUARANTINE;
	if (v->rule && v->rule->phase >= RF_PHASE_HTTP_RESPONSE_MANAGED)
		return RF_REASON_RULE_RESPONSE;
	return by_connection(v) ? RF_REASON_RULE_CONNECTION : RF_REASON_RULE;
}

static json_t *outcome(const struct job *j, const struct rf_verdict *v)
{
	bool first = by_connection(v), refused = j->words && !first, blocked = v->outcome == RF_BLOCK && !refused;
	bool answered = v->outcome == RF_ANSWER && !refused;
	json_t *o = json_pack("{s:s, s:s, s:s}", "outcome", refused || blocked ? "refused" : answered ? "answered" : "forwarded",
			      "layer", refused ? j->layer : blocked ? rf_reason_layer(reason_of(v)) : answered ? "rule" : "", "reason",
			      refused ? j->words : blocked ? rf_reason_words(reason_of(v)) : "");
	if (o && refused)
		json_object_set_new(o, "status", json_integer(j->status));
	if (o && (blocked || answered) && !first)
		json_object_set_new(o, "status", json_integer(rf_verdict_status(v)));
	if (o && (blocked || answered) && v->rule)
		json_object_set_new(o, "rule", text(v->rule->id.n ? v->rule->id : v->rule->ref));
	if (o && answered && v->location.n)
		json_object_set_new(o, "location", text(v->location));
	if (o && j->app)
		json_object_set_new(o, "app", text(j->app->name));
	if (o && j->would)
		json_object_set_new(o, "would_refuse", json_string(j->would));
	return o;
}

static json_t *identity_json(const struct job *j)
{
	json_t *o = json_object(), *device = device_json(j);
	if (device)
		json_object_set_new(o, "device", device);
	json_object_set_new(o, "certificate", json_string(status_of(j)));
	if (j->peer && j->info.reason[0])
		json_object_set_new(o, "certificate_reason", json_string(j->info.reason));
	return o;
}

static void note_patches(const struct job *j, json_t *rules)
{
	const struct rf_parts *p = &j->c->priv->parts;
	json_t *notes = json_object();
	for (size_t i = 0; notes && i < p->patch_count; i++)
		if (p->patches[i].count)
			json_object_set_new(notes, p->patches[i].id, json_pack("{s:s}", "state", rf_patch_state_name(p->patches[i].watch.state)));
	rf_explain_note(rules, notes);
	json_decref(notes);
}

static int write(struct job *j, const struct rf_policy *p, struct rf_facts *f, json_t **ret)
{
	RF_BUF_AUTO b = { 0 };
	struct rf_verdict *v = malloc(sizeof *v);
	struct rf_jw jw = rf_jw_on(&b);
	if (!v)
		return rf_fail(j->e, RF_E_NOMEM, "memory is exhausted");
	rf_jw_open(&jw, NULL, '{');
	const struct rf_counting counting = { j->c->limits, j->c->clock.mono(j->c->clock.ctx), true };
	rf_explain(p, f, &counting, rf_packets_missing(j->c), v, &jw, "rules");
	rf_explain_verdict(v, &jw, "verdict");
	rf_jw_close(&jw, '}');
	json_t *said = b.bad ? NULL : json_loadb(b.p, b.n, 0, NULL);
	if (j->words && !by_connection(v))
		rf_explain_cut(json_object_get(said, "rules"));
	note_patches(j, json_object_get(said, "rules"));
	*ret = said ? json_pack("{s:o, s:o, s:O, s:O, s:O, s:o}", "identity", identity_json(j), "address", geo_json(j), "checks", j->checks, "rules",
				json_object_get(said, "rules"), "verdict", json_object_get(said, "verdict"), "outcome",
				outcome(j, v)) : NULL;
	json_decref(said);
	free(v);
	return *ret ? RF_OK : rf_fail(j->e, RF_E_NOMEM, "memory is exhausted");
}

static int explain(struct job *j, json_t **ret)
{
	struct rf_arena a;
	struct rf_facts *f = malloc(sizeof *f);
	json_t *request = request_json(j);
	int rc = f && request ? RF_OK : rf_fail(j->e, RF_E_NOMEM, "memory is exhausted");
	rf_arena_init(&a, MEMORY);
	if (rc == RF_OK)
		rc = rf_json_facts(request, "/request", &a, j->snap->lists, j->now_s * (int64_t)RF_NS_S, f, j->e);
	if (rc == RF_OK)
		rc = write(j, rf_snap_policy(j->snap, j->app), f, ret);
	rf_arena_fini(&a);
	json_decref(request);
	free(f);
	return rc;
}

static void find_app(struct job *j)
{
	char host[256];
	struct rf_str s = doc_str(j->request, "host");
	s.n = rf_str_find(s, ':');
	if (s.n >= sizeof host)
		return;
	for (size_t i = 0; i < s.n; i++)
		host[i] = (char)rf_lower((unsigned char)s.p[i]);
	j->app = rf_snap_app(j->snap, (struct rf_str){ host, s.n });
}

int rf_ctl_explain(struct rf_ctl *c, const json_t *body, json_t **ret, struct rf_err *e)
{
	struct job j = { .c = c, .e = e, .snap = rf_snap_now(), .request = json_object_get(body, "request"),
			 .now_s = c->clock.wall(c->clock.ctx) / (int64_t)RF_NS_S, .checks = json_array(),
			 .info = { .reason = "", .stale = "" } };
	if (!json_is_object(j.request)) {
		json_decref(j.checks);
		return rf_fail_ptr(e, RF_E_TYPE, "/request", "a request should be an object");
	}
	find_app(&j);
	int rc = find_device(&j, doc_str(body, "device").p);
	if (rc == RF_OK)
		rc = load_certificate(&j);
	if (rc == RF_OK)
		rc = judge(&j);
	if (rc == RF_OK)
		rc = explain(&j, ret);
	rf_peer_put(j.peer);
	rf_peer_cache_free(j.cache);
	rf_object_fini(&j.object);
	json_decref(j.checks);
	return rc;
}
