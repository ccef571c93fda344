/* ctl/build_site: zones, classes and apps, with the certificates, hosts and origins of each.
 *
 * Read in the order in which they refer to each other: classes (by slot), zones, then for each zone its server
 * certificates, host associations and settings, and its apps. Everything lands in one site; origin groups
 * take over the health of those of the old site.
 */
#include <stdio.h>
#include <stdlib.h>
#include "base/hash.h"
#include "base/room.h"
#include "ctl/build_site_in.h"

enum { TEXT = 300, CERTS_MAX = 10000 };

int rf_making_no_memory(struct making *m)
{
	return rf_fail(m->e, RF_E_NOMEM, "no memory for the apps of a snapshot");
}

/* --- classes --- */

/* Bits of the roots that are named; our own CA is "device_ca". Unknown ids stand for roots that were deleted. */
static uint64_t root_bits(const struct rf_trust *trust, const json_t *names)
{
	uint64_t bits = 0;
	for (size_t i = 0; i < json_array_size(names); i++) {
		struct rf_str name = doc_at(names, i);
		int root = rf_str_eq(name, RF_STR("device_ca")) || name.n == 0 ? rf_trust_find(trust, RF_TRUST_OWN)
			   : name.n ? rf_trust_find(trust, name.p) : -1;
		if (root >= 0)
			bits |= 1ull << root;
	}
	return bits;
}

static int class_bind(struct making *m, const json_t *doc, struct rf_class *c)
{
	c->bind = doc_is(doc, "bind", "fingerprint") ? RF_BIND_FINGERPRINT
		  : doc_is(doc, "bind", "template") ? RF_BIND_TEMPLATE : RF_BIND_SKI;
	return c->bind == RF_BIND_TEMPLATE ? rf_cert_tmpl_compile(doc_str(doc, "bind_template"), &c->bind_template, m->e)
					   : RF_OK;
}

static void class_rate(const json_t *rate, struct rf_class *c)
{
	int64_t requests = doc_int(rate, "requests", 0);
	if (requests <= 0)
		return;
	c->request_rate_ns = (uint64_t)doc_int(rate, "period_ms", 1000) * RF_NS_MS / (uint64_t)requests;
	c->request_burst = (uint32_t)doc_int(rate, "burst", 10);
}

static int each_class(const struct rf_object *o, void *arg)
{
	struct making *m = arg;
	uint16_t slot;
	struct rf_class *c = RF_ARENA_NEW(&m->site->arena, struct rf_class);
	if (!c)
		return rf_making_no_memory(m);
	if (rf_registry_class_slot(m->c->devices, o->id, &slot) != RF_OK || slot >= m->site->class_slots)
		return rf_fail(m->e, RF_E_FULL, "too many classes");
	memcpy(c->id, o->id, sizeof c->id);
	c->name = rf_arena_dup(&m->site->arena, rf_str_z(o->name));
	c->roots = root_bits(m->trust, json_object_get(o->doc, "roots"));
	if (!json_array_size(json_object_get(o->doc, "roots")))
		c->roots = root_bits(m->trust, NULL) | 1ull << rf_trust_find(m->trust, RF_TRUST_OWN);
	c->first_sight = doc_bool(o->doc, "first_sight", false);
	c->max_connections = (uint32_t)doc_int(o->doc, "max_connections", 0);
	c->max_requests = (uint32_t)doc_int(o->doc, "max_requests", 0);
	c->class_max_requests = (uint32_t)doc_int(o->doc, "class_max_requests", 0);
	c->class_max_connections = (uint32_t)doc_int(o->doc, "class_max_connections", 0);
	c->flood_exempt = doc_bool(o->doc, "flood_exempt", false);
	class_rate(json_object_get(o->doc, "rate"), c);
	m->site->classes[slot] = c;
	return class_bind(m, o->doc, c);
}

static int claim_slot(const struct rf_object *o, void *arg)
{
	struct making *m = arg;
	uint16_t slot;
	return rf_registry_class_slot(m->c->devices, o->id, &slot) == RF_OK ? RF_OK
	       : rf_fail(m->e, RF_E_FULL, "too many classes");
}

static int classes(struct making *m)
{
	struct rf_store_query all = { 0 };
	int rc = rf_store_list(m->c->store, RF_KIND_CLASS, &all, claim_slot, m, NULL, m->e);
	if (rc != RF_OK)
		return rc;
	size_t slots = rf_registry_class_slots(m->c->devices);
	m->site->classes = rf_arena_array(&m->site->arena, slots + 1, sizeof *m->site->classes);
	if (!m->site->classes)
		return rf_making_no_memory(m);
	m->site->class_slots = slots;
	return rf_store_list(m->c->store, RF_KIND_CLASS, &all, each_class, m, NULL, m->e);
}

/* --- what belongs to a zone --- */

static int each_cert(const struct rf_object *o, void *arg)
{
	struct making *m = arg;
	if (m->cert_count == CERTS_MAX)
		return rf_fail(m->e, RF_E_FULL, "at most %d certificates a zone", CERTS_MAX);
	struct server_cert *v = realloc(m->certs, (m->cert_count + 1) * sizeof *v);
	if (!v)
		return rf_making_no_memory(m);
	m->certs = v;
	struct server_cert *cert = &v[m->cert_count];
	*cert = (struct server_cert){ .priority = doc_int(o->doc, "priority", 0) };
	int rc = rf_keypair_from_pem(doc_str(o->doc, "certificate"), doc_str(o->doc, "private_key"), &cert->pair, m->e);
	if (rc != RF_OK)
		return rc;
	cert->doc = json_incref(o->doc);
	memcpy(cert->id, o->id, sizeof cert->id);
	m->cert_count++;
	return RF_OK;
}

static int each_association(const struct rf_object *o, void *arg)
{
	struct making *m = arg;
	struct rf_str host = doc_str(o->doc, "hostname");
	json_t *roots = host.n ? json_object_get(m->roots_of, host.p) : NULL;
	if (host.n && !roots)
		json_object_set_new(m->roots_of, host.p, roots = json_array());
	struct rf_str root = doc_str(o->doc, "mtls_certificate_id");
	if (roots)
		json_array_append_new(roots, json_stringn(root.p, root.n));
	return RF_OK;
}

static int each_setting(const struct rf_object *o, void *arg)
{
	struct making *m = arg;
	if (doc_bool(o->doc, "client_certificate_forwarding", false))
		json_object_set_new(m->forward, o->name, json_true());
	return RF_OK;
}

static void zone_fini(struct making *m)
{
	for (size_t i = 0; i < m->cert_count; i++) {
		rf_keypair_put(m->certs[i].pair);
		json_decref(m->certs[i].doc);
	}
	free(m->certs);
	m->certs = NULL;
	m->cert_count = 0;
	json_decref(m->roots_of);
	json_decref(m->forward);
	m->roots_of = m->forward = NULL;
}

/* --- apps --- */

static bool covers(struct rf_str pattern, struct rf_str host)
{
	if (!rf_str_starts(pattern, RF_STR("*.")))
		return rf_str_ieq(pattern, host);
	struct rf_str parent = rf_str_skip(host, rf_str_find(host, '.'));
	return rf_str_ieq(rf_str_skip(pattern, 1), parent) || rf_str_ieq(pattern, host);
}

/* The certificate of each key type that fits a host: the highest priority, then the latest end. */
static struct rf_keypair *choose(const struct making *m, struct rf_str host, bool ecdsa)
{
	const struct server_cert *best = NULL;
	for (size_t i = 0; i < m->cert_count; i++) {
		const struct server_cert *c = &m->certs[i];
		const json_t *names = json_object_get(c->doc, "hosts");
		bool fits = false;
		for (size_t k = 0; k < json_array_size(names) && !fits; k++)
			fits = covers(doc_at(names, k), host);
		if (!fits || rf_keypair_is_ecdsa(c->pair) != ecdsa)
			continue;
		if (!best || c->priority > best->priority ||
		    (c->priority == best->priority && rf_keypair_not_after(c->pair) > rf_keypair_not_after(best->pair)))
			best = c;
	}
	return best ? rf_keypair_get(best->pair) : NULL;
}

static struct rf_error_body bodies(struct making *m, const json_t *doc, const char *json, const char *html)
{
	return (struct rf_error_body){ rf_arena_dup(&m->site->arena, doc_str(doc, json)),
				       rf_arena_dup(&m->site->arena, doc_str(doc, html)) };
}

static uint64_t ms(const json_t *doc, const char *key)
{
	return (uint64_t)doc_int(doc, key, 0) * RF_NS_MS;
}

static int headers(struct making *m, const json_t *list, struct rf_app *a)
{
	size_t n = json_array_size(list);
	a->headers = rf_arena_array(&m->site->arena, n + 1, sizeof *a->headers);
	if (!a->headers)
		return rf_making_no_memory(m);
	for (size_t i = 0; i < n; i++, a->header_count++) {
		const json_t *h = json_array_get(list, i);
		a->headers[i].name = rf_arena_dup(&m->site->arena, doc_str(h, "name"));
		int rc = rf_cert_tmpl_compile(doc_str(h, "value"), &a->headers[i].value, m->e);
		if (rc != RF_OK)
			return rc;
	}
	return RF_OK;
}

static int strings(struct making *m, const json_t *list, const struct rf_str **ret, size_t *ret_n)
{
	size_t n = json_array_size(list);
	struct rf_str *v = rf_arena_array(&m->site->arena, n + 1, sizeof *v);
	if (!v)
		return rf_making_no_memory(m);
	for (size_t i = 0; i < n; i++)
		v[i] = rf_arena_dup(&m->site->arena, doc_at(list, i));
	*ret = v;
	*ret_n = n;
	return RF_OK;
}

/* "https://[::1]:8443" in its parts; the API has checked the grammar. */
static void endpoint(const json_t *doc, struct rf_origin_spec *o)
{
	struct rf_str url = doc_str(doc, "url"), port;
	bool tls = rf_str_starts(url, RF_STR("https://"));
	url = rf_str_skip(url, tls ? 8 : 7);
	url.n = rf_str_find(url, '/');
	size_t close = url.n && url.p[0] == '[' ? rf_str_find(url, ']') : 0;
	size_t colon = close + rf_str_find(rf_str_skip(url, close), ':');
	uint64_t number = tls ? 443 : 80;
	port = rf_str_skip(url, colon + 1);
	rf_str_u64(port, &number);
	o->host = close ? (struct rf_str){ url.p + 1, close - 1 } : (struct rf_str){ url.p, colon };
	o->port = (uint16_t)number;
	o->tls = !tls ? RF_ORIGIN_PLAIN : doc_bool(doc, "verify", true) ? RF_ORIGIN_TLS : RF_ORIGIN_TLS_UNVERIFIED;
	o->tls_name = doc_str(doc, "tls_name");
	o->weight = (unsigned)doc_int(doc, "weight", 1);
	o->backup = doc_bool(doc, "backup", false);
	o->pipeline = (unsigned)doc_int(doc, "pipeline", 0);
}

static struct rf_health_spec health(const json_t *doc)
{
	if (!json_is_object(doc))
		return (struct rf_health_spec){ 0 };
	return (struct rf_health_spec){
		.interval_ns = ms(doc, "interval_ms"), .timeout_ns = ms(doc, "timeout_ms"),
		.path = doc_str(doc, "path"), .host = doc_str(doc, "host"),
		.expect_low = (unsigned)doc_int(doc, "expect_low", 200),
		.expect_high = (unsigned)doc_int(doc, "expect_high", 399),
		.rise = (unsigned)doc_int(doc, "rise", 2), .fall = (unsigned)doc_int(doc, "fall", 3),
	};
}

struct rf_keypair *rf_making_origin_keypair(const struct making *m, const json_t *doc)
{
	struct rf_str id = doc_str(doc, "origin_certificate_id");
	for (size_t i = 0; id.n && i < m->cert_count; i++)
		if (rf_str_eq(id, rf_str_z(m->certs[i].id)))
			return m->certs[i].pair;
	return NULL;
}

int rf_making_trust(struct making *m, const json_t *doc, struct rf_trust **ret)
{
	struct rf_trust_root root = { .id = "origins", .pem = doc_str(doc, "origin_ca") };
	if (root.pem.n)
		return rf_trust_new(&root, 1, ret, m->e);
	*ret = m->origin_trust ? rf_trust_get(m->origin_trust) : NULL;
	return RF_OK;
}

enum rf_balance rf_making_balance(const json_t *doc)
{
	return doc_is(doc, "balance", "least_conn") ? RF_BALANCE_LEAST_CONN
	       : doc_is(doc, "balance", "device") ? RF_BALANCE_DEVICE : RF_BALANCE_ROUND_ROBIN;
}

static const struct rf_app *app_before(const struct making *m, const char *id)
{
	for (size_t i = 0; m->old && i < m->old->app_count; i++)
		if (strcmp(m->old->apps[i]->id, id) == 0)
			return m->old->apps[i];
	return NULL;
}

static int origins(struct making *m, const struct rf_object *o, struct rf_app *a)
{
	const json_t *list = json_object_get(o->doc, "origins");
	size_t n = json_array_size(list);
	struct rf_origin_spec *specs = rf_arena_array(&m->site->arena, n + 1, sizeof *specs);
	struct rf_trust *trust = NULL;
	if (!specs)
		return rf_making_no_memory(m);
	for (size_t i = 0; i < n; i++)
		endpoint(json_array_get(list, i), &specs[i]);
	int rc = rf_making_trust(m, o->doc, &trust);
	if (rc != RF_OK)
		return rc;
	const struct rf_boot *boot = m->c->boot;
	struct rf_origin_group_spec g = {
		.origins = specs, .count = n, .trust = trust, .keypair = rf_making_origin_keypair(m, o->doc),
		.balance = rf_making_balance(o->doc),
		.health = health(json_object_get(o->doc, "health")),
		.passive_fails = (unsigned)doc_int(o->doc, "passive_fails", 5),
		.passive_hold_ns = ms(o->doc, "passive_hold_ms"),
		.connect_timeout_ns = ms(o->doc, "connect_timeout_ms"),
		.idle_timeout_ns = ms(o->doc, "origin_idle_timeout_ms"),
		.max_idle = (unsigned)doc_int(o->doc, "origin_max_idle", 64),
		.max_connections = (unsigned)doc_int(o->doc, "origin_max_connections", 0),
		.max_queue = (unsigned)boot->limits_origin_queue,
	};
	if (!g.connect_timeout_ns)
		g.connect_timeout_ns = boot->timeout_connect;
	if (!g.max_connections)
		g.max_connections = (unsigned)boot->limits_origin_connections;
	memcpy(g.id, a->id, sizeof g.id);
	const struct rf_app *was = app_before(m, a->id);
	rc = rf_origin_group_new(&g, was ? was->origins : NULL, &a->origins, m->e);
	rf_trust_put(trust);
	return rc;
}

uint64_t rf_making_roots(const struct making *m, const json_t *own, const json_t *hosts)
{
	uint64_t bits = root_bits(m->trust, own);
	bool any = json_array_size(own) > 0;
	for (size_t i = 0; i < json_array_size(hosts); i++) {
		const json_t *roots = json_object_get(m->roots_of, doc_at(hosts, i).p);
		any |= json_array_size(roots) > 0;
		bits |= root_bits(m->trust, roots);
	}
	return any ? bits : 1ull << rf_trust_find(m->trust, RF_TRUST_OWN);
}

static bool forwards(const struct making *m, const json_t *doc)
{
	const json_t *hosts = json_object_get(doc, "hosts");
	for (size_t i = 0; i < json_array_size(hosts); i++)
		if (json_object_get(m->forward, doc_at(hosts, i).p))
			return true;
	return doc_bool(doc, "forward_certificate", false);
}

void rf_making_settings(struct making *m, const json_t *doc, struct rf_app *a)
{
	a->auth = doc_is(doc, "client_auth", "off") ? RF_AUTH_OFF
		  : doc_is(doc, "client_auth", "report") ? RF_AUTH_REPORT : RF_AUTH_ENFORCE;
	a->refuse_handshake = doc_bool(doc, "refuse_handshake", false) && a->auth == RF_AUTH_ENFORCE;
	a->roots = rf_making_roots(m, json_object_get(doc, "roots"), json_object_get(doc, "hosts"));
	a->deny_status = (unsigned)doc_int(doc, "deny_status", 403);
	a->deny_body = bodies(m, doc, "deny_json", "deny_html");
	a->error_body = bodies(m, doc, "error_json", "error_html");
	a->forward_rfc9440 = doc_bool(doc, "forward_rfc9440", true);
	a->forward_der = forwards(m, doc);
	a->preserve_host = doc_bool(doc, "preserve_host", true);
	a->websocket = doc_bool(doc, "websocket", true);
	a->compress = doc_bool(doc, "compress", true);
	a->decompress_requests = doc_bool(doc, "decompress_requests", false);
	a->max_body = (uint64_t)doc_int(doc, "max_body", 100 << 20);
	a->header_timeout_ns = ms(doc, "header_timeout_ms");
	a->body_timeout_ns = ms(doc, "body_timeout_ms");
	a->response_timeout_ns = ms(doc, "response_timeout_ms");
	a->idle_timeout_ns = ms(doc, "idle_timeout_ms");
	a->min_body_rate = (uint32_t)doc_int(doc, "min_body_rate", 0);
	a->retries = (unsigned)doc_int(doc, "retries", 1);
}

enum { OWN_LEFT = 30 * 86400 };

/* A certificate of our own CA for hosts that have none, so that an app serves at once: its clients trust the root of
 * their bundle. Kept while the hosts stay and it has time left. */
static int own_certificate(struct making *m, const json_t *list, struct rf_keypair *was, uint64_t was_own, struct rf_keypair **ret,
			   uint64_t *ret_own)
{
	struct rf_san sans[RF_CA_SANS_MAX];
	size_t n = json_array_size(list) < RF_CA_SANS_MAX ? json_array_size(list) : RF_CA_SANS_MAX;
	RF_BUF_AUTO names = { 0 };
	for (size_t i = 0; i < n; i++) {
		sans[i] = (struct rf_san){ RF_SAN_DNS, doc_at(list, i) };
		rf_buf_add(&names, sans[i].value);
		rf_buf_addc(&names, ' ');
	}
	int64_t now = m->c->clock.wall(m->c->clock.ctx) / (int64_t)RF_NS_S;
	*ret_own = rf_hash(rf_buf_str(&names)) | 1;
	if (was && was_own == *ret_own && rf_keypair_not_after(was) > now + OWN_LEFT) {
		*ret = rf_keypair_get(was);
		return RF_OK;
	}
	struct rf_issue req = { .days = RF_CTL_OWN_DAYS, .cn = RF_STR("Ringfence edge"), .sans = sans, .san_count = n, .server = true };
	return rf_ctl_own_keypair(m->c, &req, ret, m->e);
}

/* The certificate that the boot file gives a listener is for hosts that have none of their own. */
static bool listener_certificate(const struct making *m, struct rf_keypair **ret)
{
	const struct rf_boot *b = m->c->boot;
	struct rf_keypair *pair = m->c->priv->fallback;
	for (size_t i = 0; i < b->listener_count; i++)
		if (b->listeners[i].certificate[0]) {
			ret[rf_keypair_is_ecdsa(pair) ? 0 : 1] = rf_keypair_get(pair);
			return true;
		}
	return false;
}

int rf_making_keypairs(struct making *m, const json_t *list, struct rf_keypair *const *was, uint64_t was_own, struct rf_keypair **ret,
		       uint64_t *ret_own)
{
	for (int k = 0; k < 2 && json_array_size(list); k++)
		ret[k] = choose(m, doc_at(list, 0), k == 0);
	if (ret[0] || ret[1] || listener_certificate(m, ret))
		return RF_OK;
	return own_certificate(m, list, was ? was[0] : NULL, was_own, ret, ret_own);
}

static int hosts(struct making *m, const struct rf_object *o, struct rf_app *a)
{
	const json_t *list = json_object_get(o->doc, "hosts");
	for (size_t i = 0; i < json_array_size(list); i++) {
		char lower[TEXT], pointer[32];
		struct rf_str host = doc_at(list, i);
		if (host.n >= sizeof lower)
			return rf_fail(m->e, RF_E_RANGE, "a host name is too long");
		for (size_t k = 0; k < host.n; k++)
			lower[k] = (char)rf_lower((unsigned char)host.p[k]);
		host.p = lower;
		snprintf(pointer, sizeof pointer, "/hosts/%zu", i);
		int rc = rf_site_host(m->site, host, a);
		if (rc == RF_E_EXISTS)
			return rf_fail_ptr(m->e, rc, pointer, "another app serves the host %.*s", RF_ARG(host));
		if (rc != RF_OK)
			return rf_making_no_memory(m);
	}
	const struct rf_app *was = app_before(m, a->id);
	return rf_making_keypairs(m, list, was ? was->keypair : NULL, was ? was->own_cert : 0, a->keypair, &a->own_cert);
}

int rf_making_app(struct making *m, const char *id, struct rf_str name, struct rf_app **ret)
{
	struct rf_app *a = RF_ARENA_NEW(&m->site->arena, struct rf_app);
	if (!a || !RF_ROOM(m->site->apps, m->apps_cap, m->site->app_count))
		return rf_making_no_memory(m);
	m->site->apps[m->site->app_count++] = a;
	memcpy(a->id, id, sizeof a->id);
	a->name = rf_arena_dup(&m->site->arena, name);
	a->zone = m->zone;
	*ret = a;
	return RF_OK;
}

static int each_app(const struct rf_object *o, void *arg)
{
	struct making *m = arg;
	struct rf_app *a;
	if (!doc_bool(o->doc, "enabled", true))
		return RF_OK;
	int rc = rf_making_app(m, o->id, rf_str_z(o->name), &a);
	if (rc != RF_OK)
		return rc;
	rf_making_settings(m, o->doc, a);
	rc = headers(m, json_object_get(o->doc, "headers"), a);
	if (rc == RF_OK)
		rc = strings(m, json_object_get(o->doc, "idempotent_paths"), &a->idempotent_paths, &a->idempotent_count);
	if (rc == RF_OK)
		rc = hosts(m, o, a);
	return rc == RF_OK ? origins(m, o, a) : rc;
}

static int zone_parts(struct making *m, const struct rf_object *o)
{
	struct rf_store *store = m->c->store;
	struct rf_store_query of_zone = { .parent = o->id };
	int rc = rf_store_list(store, RF_KIND_SERVER_CERT, &of_zone, each_cert, m, NULL, m->e);
	if (rc == RF_OK)
		rc = rf_store_list(store, RF_KIND_HOSTNAME_ASSOCIATION, &of_zone, each_association, m, NULL, m->e);
	if (rc == RF_OK)
		rc = rf_store_list(store, RF_KIND_ACCESS_SETTING, &of_zone, each_setting, m, NULL, m->e);
	if (rc == RF_OK && !doc_bool(o->doc, "paused", false))
		rc = rf_store_list(store, RF_KIND_APP, &of_zone, each_app, m, NULL, m->e);
	if (rc == RF_OK && !doc_bool(o->doc, "paused", false))
		rc = rf_store_list(store, RF_KIND_PORT, &of_zone, rf_making_port, m, NULL, m->e);
	return rc;
}

static int each_zone(const struct rf_object *o, void *arg)
{
	struct making *m = arg;
	m->zone = RF_ARENA_NEW(&m->site->arena, struct rf_zone);
	if (!m->zone || !RF_ROOM(m->site->zones, m->zones_cap, m->site->zone_count))
		return rf_making_no_memory(m);
	m->zone->index = m->site->zone_count;
	m->site->zones[m->site->zone_count++] = m->zone;
	memcpy(m->zone->id, o->id, sizeof m->zone->id);
	m->zone->name = rf_arena_dup(&m->site->arena, rf_str_z(o->name));
	m->roots_of = json_object();
	m->forward = json_object();
	int rc = m->roots_of && m->forward ? zone_parts(m, o) : rf_making_no_memory(m);
	zone_fini(m);
	return rc;
}

/* Into the arena, so that the site owns one thing only. */
static int settle(struct making *m, void *array, size_t n)
{
	void **v = *(void ***)array;
	void **kept = rf_arena_array(&m->site->arena, n + 1, sizeof *kept);
	if (kept && n)
		memcpy(kept, v, n * sizeof *kept);
	free(v);
	*(void ***)array = kept;
	return kept ? RF_OK : rf_making_no_memory(m);
}

static int origin_cas(struct making *m)
{
	RF_BUF_AUTO pem = { 0 };
	struct rf_trust_root root = { .id = "origins" };
	const char *path = m->c->boot->system_ca;
	if (!path[0])
		return RF_OK;
	int rc = rf_ctl_read_file(m->c, path, &pem, m->e);
	root.pem = rf_buf_str(&pem);
	return rc == RF_OK ? rf_trust_new(&root, 1, &m->origin_trust, m->e) : rc;
}

int rf_build_site(struct rf_ctl *c, const struct rf_site *old, const struct rf_trust *trust, struct rf_site **ret,
		  struct rf_err *e)
{
	struct making m = { .c = c, .old = old, .trust = trust, .site = rf_site_new(), .e = e };
	struct rf_store_query all = { 0 };
	if (!m.site)
		return rf_making_no_memory(&m);
	m.site->fallback = rf_keypair_get(c->priv->fallback);
	m.site->geo = rf_geo_get(c->priv->geo);
	m.site->tokens = rf_tokens_get(c->priv->tokens);
	m.site->place_name = rf_arena_dup(&m.site->arena, rf_str_z(c->boot->place_name));
	m.site->place_region = rf_arena_dup(&m.site->arena, rf_str_z(c->boot->place_region));
	int rc = origin_cas(&m);
	if (rc == RF_OK)
		rc = classes(&m);
	if (rc == RF_OK)
		rc = rf_store_list(c->store, RF_KIND_ZONE, &all, each_zone, &m, NULL, e);
	rf_trust_put(m.origin_trust);
	size_t apps = m.site->app_count, ports = m.site->port_count;
	if (settle(&m, &m.site->zones, m.site->zone_count) != RF_OK || settle(&m, &m.site->apps, apps) != RF_OK ||
	    settle(&m, &m.site->port, ports) != RF_OK) {
		m.site->app_count = m.site->apps ? apps : 0;
		m.site->port_count = m.site->port ? ports : 0;
		rc = e->code;
	}
	if (rc == RF_OK)
		rc = rf_making_ports(&m);
	if (rc != RF_OK) {
		rf_site_put(m.site);
		return rc;
	}
	*ret = m.site;
	return RF_OK;
}
