/* ctl/build_port: TCP and UDP ports, and ranges of them, from their objects to what svc/l4 reads.
 *
 * The API has checked the shape (api/ports). A name of origins that has not been answered yet (ctl/port_names) stands as one endpoint
 * of weight 0, which is never chosen: the port is there, refuses, and does not fall to another app.
 */
#include <stdio.h>
#include "base/room.h"
#include "ctl/build_site_in.h"
#include "ctl/port_gate.h"
#include "ctl/port_names.h"
#include "records/log.h"
#include "svc/port.h"
#include "wire/portspec.h"

#define GUARD_FIRST_NS (10 * RF_NS_S)
#define UDP_IDLE_NS (60 * RF_NS_S)
#define HTTP_IDLE_NS (60 * RF_NS_S) /* of connections to origins, as apps of hosts have it by default */

enum { HTTP_IDLE_CONNECTIONS = 64 };

struct endpoints {
	struct rf_origin_spec v[RF_ORIGINS_MAX];
	size_t n;
};

/* The place of a word of the document in a list; 0 where it is none of them. */
static int word(const json_t *doc, const char *member, const char *const *words)
{
	for (int i = 0; words[i]; i++)
		if (doc_is(doc, member, words[i]))
			return i;
	return 0;
}

static uint64_t ms_or(const json_t *doc, const char *member, uint64_t otherwise)
{
	uint64_t ns = (uint64_t)doc_int(doc, member, 0) * RF_NS_MS;
	return ns ? ns : otherwise;
}

static enum rf_origin_tls origin_tls(const struct rf_port *p)
{
	return p->tls == RF_PORT_TLS_FULL ? RF_ORIGIN_TLS_UNVERIFIED : p->tls == RF_PORT_TLS_STRICT ? RF_ORIGIN_TLS : RF_ORIGIN_PLAIN;
}

static struct rf_origin_spec *add(struct endpoints *to, const struct rf_port *p, struct rf_str host, uint16_t port)
{
	if (to->n == RF_ORIGINS_MAX)
		return NULL;
	to->v[to->n] = (struct rf_origin_spec){ .host = host, .port = port, .tls = origin_tls(p), .weight = 1 };
	return &to->v[to->n++];
}

/* origin_direct and origins. The first one's port begins the range. */
static void listed(const json_t *list, struct rf_port *p, struct endpoints *to)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *one = json_array_get(list, i);
		struct rf_endpoint e;
		if (!rf_endpoint_parse(json_is_string(one) ? doc_at(list, i) : doc_str(one, "url"), &e))
			continue;
		uint16_t port = e.ports.low ? e.ports.low : p->low;
		struct rf_origin_spec *o = add(to, p, e.host, port);
		if (to->n == 1)
			p->origin_low = port;
		if (!o || json_is_string(one))
			continue;
		o->weight = (unsigned)doc_int(one, "weight", 1);
		o->backup = doc_bool(one, "backup", false);
		o->tls_name = doc_str(one, "tls_name");
	}
}

static uint16_t origin_port(const json_t *doc, uint16_t otherwise)
{
	const json_t *v = json_object_get(doc, "origin_port");
	struct rf_port_range r;
	if (json_is_integer(v))
		return (uint16_t)json_integer_value(v);
	return json_is_string(v) && rf_port_range_parse(doc_str(doc, "origin_port"), &r) ? r.low : otherwise;
}

/* The name that is looked up is also the one that the origin's certificate must have; a target of SRV has its own. */
static void named(const struct making *m, const json_t *doc, struct rf_port *p, struct endpoints *to)
{
	static const char *const types[] = { "A", "AAAA", "SRV", NULL };
	const json_t *dns = json_object_get(doc, "origin_dns");
	struct rf_str name = doc_str(dns, "name");
	const struct rf_port_named *v;
	p->origin_low = origin_port(doc, p->low);
	if (!doc_str(dns, "type").n) {
		add(to, p, name, p->origin_low);
		return;
	}
	enum rf_port_name_type type = (enum rf_port_name_type)word(dns, "type", types);
	size_t n = rf_port_names_find(m->c->priv->port_names, name, type, &v);
	for (size_t i = 0; i < n; i++) {
		struct rf_origin_spec *o = add(to, p, rf_str_z(v[i].host), v[i].port ? v[i].port : p->origin_low);
		if (!o)
			return;
		o->weight = v[i].weight;
		o->backup = v[i].backup;
		o->tls_name = type == RF_PORT_NAME_SRV ? RF_STR("") : name;
	}
	struct rf_origin_spec *none = n ? NULL : add(to, p, name, p->origin_low);
	if (none)
		none->weight = 0;
}

/* What says, to an origin that wants a header, that a connection is the edge's own [PROXY protocol 2.1, 2.2]. */
static struct rf_str own_header(enum rf_port_header header)
{
	return header == RF_PORT_HEADER_V1 ? RF_STR("PROXY UNKNOWN\r\n") :
		header == RF_PORT_HEADER_V2 ? RF_STR("\r\n\r\n\0\r\nQUIT\n\x20\0\0\0") : RF_STR("");
}

static struct rf_health_spec health(const json_t *doc, enum rf_port_header header)
{
	if (!json_is_object(doc))
		return (struct rf_health_spec){ 0 };
	return (struct rf_health_spec){
		.connect = true, .first = own_header(header), .interval_ns = ms_or(doc, "interval_ms", 10 * RF_NS_S), .timeout_ns = ms_or(doc, "timeout_ms", 2 * RF_NS_S),
		.rise = (unsigned)doc_int(doc, "rise", 2), .fall = (unsigned)doc_int(doc, "fall", 3),
	};
}

/* Both sites have their ports in the same order, so the place of the last one found is where to go on. */
static const struct rf_port *port_before(struct making *m, const char *id)
{
	size_t n = m->old ? m->old->port_count : 0;
	for (size_t i = 0; i < n; i++) {
		size_t at = (m->port_at + i) % n;
		if (strcmp(m->old->port[at]->id, id) == 0) {
			m->port_at = at + 1;
			return m->old->port[at];
		}
	}
	return NULL;
}

static int origins(struct making *m, const json_t *doc, struct rf_port *p, const struct rf_port *was)
{
	struct endpoints all = { .n = 0 };
	struct rf_trust *trust = NULL;
	const struct rf_boot *boot = m->c->boot;
	listed(json_object_get(doc, "origin_direct"), p, &all);
	listed(json_object_get(doc, "origins"), p, &all);
	if (json_object_get(doc, "origin_dns"))
		named(m, doc, p, &all);
	int rc = p->tls == RF_PORT_TLS_STRICT ? rf_making_trust(m, doc, &trust) : RF_OK;
	if (rc != RF_OK)
		return rc;
	bool http = p->traffic != RF_PORT_DIRECT;
	struct rf_origin_group_spec g = {
		.scheme = http ? NULL : p->transport == RF_TRANSPORT_UDP ? "udp" : "tcp", .origins = all.v, .count = all.n, .trust = trust, .keypair = rf_making_origin_keypair(m, doc),
		.balance = rf_making_balance(doc), .health = health(json_object_get(doc, "health"), p->header),
		.passive_fails = (unsigned)doc_int(doc, "passive_fails", 5), .passive_hold_ns = ms_or(doc, "passive_hold_ms", 10 * RF_NS_S),
		.connect_timeout_ns = ms_or(doc, "connect_timeout_ms", boot->timeout_connect),
		.idle_timeout_ns = http ? HTTP_IDLE_NS : p->idle_ns,
		.max_idle = http ? HTTP_IDLE_CONNECTIONS : 0, .max_connections = (unsigned)boot->limits_origin_connections, .max_queue = (unsigned)boot->limits_origin_queue,
	};
	memcpy(g.id, p->id, sizeof g.id);
	rc = rf_origin_group_new(&g, was ? was->origins : NULL, &p->origins, m->e);
	rf_trust_put(trust);
	return rc;
}

static int addresses(struct making *m, const json_t *edge, struct rf_port *p)
{
	const json_t *ips = json_object_get(edge, "ips");
	size_t n = json_array_size(ips);
	struct rf_ip *v = rf_arena_array(&m->site->arena, n + 1, sizeof *v);
	if (!v)
		return rf_making_no_memory(m);
	for (size_t i = 0; i < n; i++)
		if (rf_ip_parse(doc_at(ips, i), &v[p->address_count]))
			p->address_count++;
	if (doc_is(edge, "type", "dynamic") && !doc_is(edge, "connectivity", "all")) /* all of one family: its unspecified address */
		v[p->address_count++] = (struct rf_ip){ .family = doc_is(edge, "connectivity", "ipv6") ? 6 : 4 };
	p->addresses = v;
	return RF_OK;
}

static void settings(const struct making *m, const json_t *doc, struct rf_port *p)
{
	static const char *const traffic[] = { "direct", "http", "https", NULL };
	static const char *const tls[] = { "off", "flexible", "full", "strict", NULL }, *const headers[] = { "off", "v1", "v2", "simple", NULL },
				 *const guards[] = { "none", "ssh", "mqtt", "modbus", "dns", "tls", "coap", "dtls", NULL }, *const auths[] = { "off", "report", "enforce", NULL };
	p->traffic = (enum rf_port_traffic)word(doc, "traffic_type", traffic);
	p->tls = (enum rf_port_tls)word(doc, "tls", tls);
	if (p->traffic == RF_PORT_HTTPS && p->tls == RF_PORT_TLS_OFF)
		p->tls = RF_PORT_TLS_FLEXIBLE;
	p->header = (enum rf_port_header)word(doc, "proxy_protocol", headers);
	p->guard = (enum rf_port_guard)word(doc, "guard", guards);
	p->auth = word(doc, "client_auth", auths);
	p->refuse_handshake = doc_bool(doc, "refuse_handshake", false) && p->auth == RF_AUTH_ENFORCE;
	p->take_over = doc_bool(doc, "take_over", false);
	p->ip_firewall = doc_bool(doc, "ip_firewall", true);
	p->first_byte_ns = ms_or(doc, "first_byte_timeout_ms", p->guard != RF_PORT_GUARD_NONE ? GUARD_FIRST_NS : 0);
	p->idle_ns = ms_or(doc, "idle_timeout_ms", p->transport == RF_TRANSPORT_UDP ? UDP_IDLE_NS : m->c->boot->timeout_tunnel);
	p->max_connections = (uint32_t)doc_int(doc, "max_connections", 0);
	p->amplification = (uint32_t)doc_int(doc, "amplification", 0);
}

/* What a port shows and accepts where TLS ends here. */
static int certificates(struct making *m, const json_t *doc, struct rf_port *p, const struct rf_port *was)
{
	if (p->tls == RF_PORT_TLS_OFF)
		return RF_OK;
	json_t *hosts = json_pack("[O]", json_object_get(json_object_get(doc, "dns"), "name"));
	if (!hosts)
		return rf_making_no_memory(m);
	p->roots = rf_making_roots(m, json_object_get(doc, "roots"), hosts);
	int rc = rf_making_keypairs(m, hosts, was ? was->keypair : NULL, was ? was->own_cert : 0, p->keypair, &p->own_cert);
	json_decref(hosts);
	return rc;
}

/* For the HTTP edge it is an app of the host that it is published as. */
static int as_app(struct making *m, const struct rf_object *o, const struct rf_port *p)
{
	struct rf_app *a;
	int rc = rf_making_app(m, p->id, rf_str_z(o->name), &a);
	if (rc != RF_OK)
		return rc;
	rf_making_settings(m, o->doc, a);
	a->roots = p->roots ? p->roots : a->roots;
	a->idle_timeout_ns = 0;
	a->own_cert = p->own_cert;
	a->origins = rf_origin_group_get(p->origins);
	for (int i = 0; i < 2; i++)
		a->keypair[i] = p->keypair[i] ? rf_keypair_get(p->keypair[i]) : NULL;
	if (!a->keypair[0] && !a->keypair[1])
		a->keypair[0] = rf_keypair_get(m->site->fallback); /* clear text: never shown */
	m->site->ports_http = true;
	rc = rf_site_host(m->site, p->name, a);
	return rc == RF_E_EXISTS ? rf_fail_ptr(m->e, rc, "/dns/name", "an app serves the host %.*s already", RF_ARG(p->name)) :
		rc == RF_OK ? RF_OK : rf_making_no_memory(m);
}

int rf_making_port(const struct rf_object *o, void *making)
{
	struct making *m = making;
	struct rf_port_range at;
	bool udp;
	if (!doc_bool(o->doc, "enabled", true))
		return RF_OK;
	if (!rf_protocol_parse(doc_str(o->doc, "protocol"), &udp, &at))
		return rf_fail_ptr(m->e, RF_E_SYNTAX, "/protocol", "the app of ports %s has no protocol", o->id);
	struct rf_port *p = RF_ARENA_NEW(&m->site->arena, struct rf_port);
	if (!p || !RF_ROOM(m->site->port, m->ports_cap, m->site->port_count))
		return rf_making_no_memory(m);
	m->site->port[m->site->port_count++] = p;
	*p = (struct rf_port){ .zone = m->zone, .transport = udp ? RF_TRANSPORT_UDP : RF_TRANSPORT_TCP, .low = at.low, .high = at.high,
			       .name = rf_arena_dup(&m->site->arena, doc_str(json_object_get(o->doc, "dns"), "name")) };
	memcpy(p->id, o->id, sizeof p->id);
	settings(m, o->doc, p);
	const struct rf_port *was = port_before(m, p->id);
	if (!(p->use = rf_port_use_get(was ? was->use : NULL)))
		return rf_making_no_memory(m);
	int rc = addresses(m, json_object_get(o->doc, "edge_ips"), p);
	if (rc == RF_OK)
		rc = certificates(m, o->doc, p, was);
	if (rc == RF_OK)
		rc = origins(m, o->doc, p, was);
	return rc == RF_OK && p->traffic != RF_PORT_DIRECT ? as_app(m, o, p) : rc;
}

/* --- what the edge itself listens on --- */

/* Do an address that a port stands at and one of ours have something in common? */
static bool meet(const struct rf_ip *a, const struct rf_ip *b)
{
	return a->family == b->family && (rf_ip_unspecified(a) || rf_ip_unspecified(b) || rf_ip_eq(a, b));
}

/* Does it stand at this address, by a listener of protocol ports? */
static bool stands_at(const struct making *m, const struct rf_port *p, const struct rf_ip *ours)
{
	const struct rf_boot *b = m->c->boot;
	for (size_t i = 0; i < b->listener_count; i++) {
		const struct rf_boot_listener *l = &b->listeners[i];
		if (l->protocol != RF_PROTO_PORTS || l->address.port || !meet(&l->address.ip, ours))
			continue;
		if (!p->address_count)
			return true;
		for (size_t k = 0; k < p->address_count; k++)
			if (meet(&p->addresses[k], ours) && meet(&p->addresses[k], &l->address.ip))
				return true;
	}
	return false;
}

static const char *own_listener(const struct making *m, const struct rf_port *p, uint16_t *ret)
{
	const struct rf_boot *b = m->c->boot;
	for (size_t i = 0; i <= b->listener_count; i++) {
		const struct rf_boot_address *at = i < b->listener_count ? &b->listeners[i].address : &b->api_listen;
		if (at->ip.family && at->port >= p->low && at->port <= p->high && stands_at(m, p, &at->ip)) {
			*ret = at->port;
			return i < b->listener_count ? b->listeners[i].name : "api.listen";
		}
	}
	return NULL;
}

static bool touched(const struct making *m, const char *id)
{
	const struct rf_ctl_private *priv = m->c->priv;
	for (size_t i = 0; i < priv->touched_count; i++)
		if (priv->touched[i].kind == RF_KIND_PORT && strcmp(priv->touched[i].id, id) == 0)
			return true;
	return false;
}

/* Is it new, or elsewhere than before? */
static bool moved(const struct making *m, const struct rf_port *p)
{
	for (size_t i = 0; m->old && i < m->old->port_count; i++) {
		const struct rf_port *was = m->old->port[i];
		if (strcmp(was->id, p->id) != 0)
			continue;
		bool same = was->transport == p->transport && was->low <= p->low && was->high >= p->high && was->address_count == p->address_count;
		for (size_t k = 0; same && k < p->address_count; k++)
			same = rf_ip_eq(&was->addresses[k], &p->addresses[k]);
		return !same;
	}
	return true;
}

/* What is written now may not have it. Where the boot file came later, its listener has the port (monitor/ports), and that is said. */
static int check_own(struct making *m, const struct rf_port *p)
{
	uint16_t port = 0;
	const char *name = p->transport == RF_TRANSPORT_TCP ? own_listener(m, p, &port) : NULL;
	bool fresh = touched(m, p->id);
	if (!name)
		return fresh && !p->take_over && moved(m, p) ? rf_port_gate_free_for(m->c->priv->port_gate, p, m->e) : RF_OK;
	if (fresh)
		return rf_fail_ptr(m->e, RF_E_CONFLICT, "/protocol", "port %u belongs to the edge's own listener %s", port, name);
	rf_log(RF_LOG_WARN, "ports", "%.*s: port %u belongs to the edge's own listener %s", RF_ARG(p->name), port, name);
	return RF_OK;
}

int rf_making_ports(struct making *m)
{
	int rc = rf_ports_new(&m->site->arena, m->site->port, m->site->port_count, &m->site->ports, m->e);
	if (rc == RF_E_CONFLICT)
		snprintf(m->e->pointer, sizeof m->e->pointer, "/protocol");
	for (size_t i = 0; i < m->site->port_count && rc == RF_OK; i++)
		rc = check_own(m, m->site->port[i]);
	return rc;
}
