/* api/ports: TCP and UDP ports of the edge and ranges of them, in the documented shape, with members of our own.
 *
 * What the members mean together is checked here: transport, lengths of ranges, origins. Whether two stand at the same port and
 * address, and whether the edge itself listens there, the build of the snapshot finds out (ctl/build_port).
 */
#include <stdio.h>
#include <stdlib.h>
#include "api/apps.h"
#include "api/classes.h"
#include "api/roots.h"
#include "base/ip.h"
#include "svc/port.h"
#include "wire/portspec.h"

struct ports {
	struct rf_api_call *c;
	json_t *doc;
	bool udp;
	struct rf_port_range at;
};

static unsigned length(struct rf_port_range r)
{
	return r.high - r.low + 1u;
}

static bool is(const struct ports *p, const char *member, const char *word)
{
	return strcmp(rf_json_text(p->doc, member), word) == 0;
}

/* A port of the HTTP edge: one port of TCP, whose origins speak HTTP. */
static int check_http(const struct ports *p)
{
	struct rf_api_call *c = p->c;
	bool tls = is(p, "traffic_type", "https");
	if (p->udp || length(p->at) > 1)
		return rf_api_fail(c, RF_E_INVALID, "/traffic_type", "HTTP has one port of TCP; ranges and UDP have direct");
	if (!tls && !is(p, "tls", "off"))
		return rf_api_fail(c, RF_E_INVALID, "/tls", "traffic_type http is clear text on both sides; https has TLS");
	if (!tls && !is(p, "client_auth", "off"))
		return rf_api_fail(c, RF_E_INVALID, "/client_auth", "certificates are asked for in TLS; traffic_type http has none");
	if (!is(p, "proxy_protocol", "off"))
		return rf_api_fail(c, RF_E_INVALID, "/proxy_protocol", "origins of HTTP are told by headers");
	return is(p, "guard", "none") ? RF_OK : rf_api_fail(c, RF_E_INVALID, "/guard", "HTTP is read as such");
}

/* What one of the two transports only has. */
static int check_transport(const struct ports *p)
{
	struct rf_api_call *c = p->c;
	const char *header = rf_json_text(p->doc, "proxy_protocol");
	if (p->udp && !is(p, "tls", "off"))
		return rf_api_fail(c, RF_E_INVALID, "/tls", "TLS is for TCP; a UDP port has tls off");
	if (p->udp && (is(p, "proxy_protocol", "v1") || is(p, "proxy_protocol", "v2")))
		return rf_api_fail(c, RF_E_INVALID, "/proxy_protocol", "%s is for TCP; a UDP port has simple or off", header);
	if (!p->udp && is(p, "proxy_protocol", "simple"))
		return rf_api_fail(c, RF_E_INVALID, "/proxy_protocol", "simple is for UDP; a TCP port has v1, v2 or off");
	bool datagrams = is(p, "guard", "coap") || is(p, "guard", "dtls"), both = is(p, "guard", "none") || is(p, "guard", "dns");
	if (!both && datagrams != p->udp)
		return rf_api_fail(c, RF_E_INVALID, "/guard", "%s is a protocol over %s", rf_json_text(p->doc, "guard"), datagrams ? "UDP" : "TCP");
	if (!p->udp && json_integer_value(json_object_get(p->doc, "amplification")))
		return rf_api_fail(c, RF_E_INVALID, "/amplification", "TCP proves the client's address before it answers; a TCP port has 0");
	if (p->udp && json_object_get(p->doc, "health"))
		return rf_api_fail(c, RF_E_INVALID, "/health", "origins are checked by connecting; UDP has no connections");
	if (!is(p, "traffic_type", "direct"))
		return check_http(p);
	if (is(p, "tls", "off") && !is(p, "client_auth", "off"))
		return rf_api_fail(c, RF_E_INVALID, "/client_auth", "certificates are asked for where TLS ends; with tls off it does not end here");
	if (is(p, "tls", "off") || !is(p, "guard", "tls"))
		return RF_OK;
	return rf_api_fail(c, RF_E_INVALID, "/guard", "the TLS of clients ends here; guard tls is for what passes as it is");
}

/* The port or range of an endpoint, against that of the edge. */
static int check_range(const struct ports *p, struct rf_port_range r, const char *pointer)
{
	if (!r.low || length(r) == length(p->at))
		return RF_OK;
	return rf_api_fail(p->c, RF_E_INVALID, pointer, "%u ports at the origin for %u at the edge: the ranges must be equally long",
		length(r), length(p->at));
}

/* A range of the edge begins at one port of all origins. */
static int check_endpoint(const struct ports *p, const char *text, const char *pointer, struct rf_port_range *first)
{
	struct rf_endpoint e;
	struct rf_ip ip;
	if (!rf_endpoint_parse(rf_str_z(text), &e))
		return rf_api_fail(p->c, RF_E_SYNTAX, pointer, "\"%s\" is no endpoint", text);
	if (rf_ip_parse(e.host, &ip) && !rf_ip_one_host(&ip))
		return rf_api_fail(p->c, RF_E_INVALID, pointer, "%s is the address of no single host", text);
	if (e.udp != p->udp)
		return rf_api_fail(p->c, RF_E_INVALID, pointer, "%s is %s, and protocol is %s", text, e.udp ? "UDP" : "TCP", p->udp ? "UDP" : "TCP");
	struct rf_port_range r = e.ports.low ? e.ports : p->at;
	int rc = check_range(p, r, pointer);
	if (rc == RF_OK && first->low && first->low != r.low && length(p->at) > 1)
		rc = rf_api_fail(p->c, RF_E_INVALID, pointer, "the origins of a range have the same ports: %u here, %u before", r.low, first->low);
	if (!first->low)
		*first = r;
	return rc;
}

static int check_endpoints(const struct ports *p)
{
	static const char *const members[] = { "origin_direct", "origins" };
	struct rf_port_range first = { 0 };
	char pointer[64];
	int rc = RF_OK;
	for (size_t k = 0; k < 2; k++) {
		const json_t *list = json_object_get(p->doc, members[k]);
		for (size_t i = 0; i < json_array_size(list) && rc == RF_OK; i++) {
			const json_t *one = json_array_get(list, i);
			const char *text = k ? rf_json_text(one, "url") : json_string_value(one);
			snprintf(pointer, sizeof pointer, "/%s/%zu%s", members[k], i, k ? "/url" : "");
			rc = check_endpoint(p, text, pointer, &first);
		}
	}
	return rc;
}

/* 22 or "3000-4000". */
static int check_origin_port(const struct ports *p)
{
	const json_t *v = json_object_get(p->doc, "origin_port");
	struct rf_port_range r;
	char number[24];
	if (!v)
		return RF_OK;
	snprintf(number, sizeof number, "%lld", (long long)json_integer_value(v));
	struct rf_str text = json_is_integer(v) ? rf_str_z(number) : rf_str_z(json_is_string(v) ? json_string_value(v) : "");
	if (!rf_port_range_parse(text, &r))
		return rf_api_fail(p->c, RF_E_TYPE, "/origin_port", "must be a port from 1 to 65535, or a range such as \"3000-4000\"");
	return check_range(p, r, "/origin_port");
}

static int check_name(const struct ports *p)
{
	const json_t *dns = json_object_get(p->doc, "origin_dns");
	if (!dns && json_object_get(p->doc, "origin_port"))
		return rf_api_fail(p->c, RF_E_INVALID, "/origin_port", "belongs to origin_dns; the endpoints of others have their ports in them");
	if (!dns || strcmp(rf_json_text(dns, "type"), "SRV") != 0)
		return check_origin_port(p);
	if (length(p->at) > 1)
		return rf_api_fail(p->c, RF_E_INVALID, "/origin_dns/type", "records of SRV bring one port each, and protocol has %u", length(p->at));
	return json_object_get(p->doc, "origin_port") ?
		rf_api_fail(p->c, RF_E_INVALID, "/origin_port", "records of SRV bring their ports; leave it out") : RF_OK;
}

static int check_origins(const struct ports *p)
{
	size_t direct = json_array_size(json_object_get(p->doc, "origin_direct")), own = json_array_size(json_object_get(p->doc, "origins"));
	bool named = json_object_get(p->doc, "origin_dns") != NULL;
	if ((direct > 0) + (own > 0) + named != 1)
		return rf_api_fail(p->c, direct || own || named ? RF_E_INVALID : RF_E_MISSING, direct || !own ? "/origin_direct" : "/origins",
			"give the origins once: origin_direct, origin_dns or origins");
	int rc = check_endpoints(p);
	return rc == RF_OK ? check_name(p) : rc;
}

static int check_edge_ips(const struct ports *p)
{
	json_t *edge = json_object_get(p->doc, "edge_ips"), *ips = json_object_get(edge, "ips"), *v;
	bool fixed = strcmp(rf_json_text(edge, "type"), "static") == 0;
	size_t i;
	if (fixed && !json_array_size(ips))
		return rf_api_fail(p->c, RF_E_MISSING, "/edge_ips/ips", "static needs the addresses");
	if (!fixed && json_array_size(ips))
		return rf_api_fail(p->c, RF_E_INVALID, "/edge_ips/ips", "addresses are of type static");
	json_array_foreach(ips, i, v) {
		struct rf_ip ip;
		char text[RF_IP_TEXT];
		if (rf_ip_parse(rf_str_z(json_string_value(v)), &ip))
			json_string_set(v, rf_ip_str(&ip, text));
	}
	return RF_OK;
}

static int check_dns(const struct ports *p)
{
	json_t *v = json_object_get(json_object_get(p->doc, "dns"), "name");
	char name[256];
	snprintf(name, sizeof name, "%s", json_string_value(v));
	for (char *z = name; *z; z++)
		*z = (char)rf_lower((unsigned char)*z);
	json_string_set(v, name);
	return rf_host_in_zone(p->c, name, "/dns/name");
}

/* "ssh.example.com/tcp/22": what it is called where nobody gives a name. */
static const char *named(const json_t *doc)
{
	static char name[320];
	snprintf(name, sizeof name, "%s/%s", rf_json_text(json_object_get(doc, "dns"), "name"), rf_json_text(doc, "protocol"));
	return name;
}

static int prepare(struct rf_api_call *c, struct rf_object *o, const json_t *old)
{
	static int (*const checks[])(const struct ports *p) = { check_dns, check_transport, check_origins, check_edge_ips };
	struct ports p = { .c = c, .doc = o->doc };
	size_t count = 0;
	struct rf_store_query all = { 0 };
	int rc = rf_protocol_parse(rf_str_z(rf_json_text(o->doc, "protocol")), &p.udp, &p.at) ? RF_OK :
		rf_api_fail(c, RF_E_SYNTAX, "/protocol", "is no protocol");
	for (size_t i = 0; i < sizeof checks / sizeof *checks && rc == RF_OK; i++)
		rc = checks[i](&p);
	if (rc == RF_OK)
		rc = rf_origin_tls_check(c, o->doc);
	if (rc == RF_OK)
		rc = rf_roots_exist(c, o->doc);
	if (rc == RF_OK && !old)
		rc = rf_store_count(c->store, RF_KIND_PORT, &all, &count, &c->err);
	if (rc == RF_OK && count >= RF_PORTS_MAX)
		rc = rf_fail(&c->err, RF_E_FULL, "there are %zu apps of ports, and no more are taken", count);
	if (!rf_json_text(o->doc, "name")[0] || (old && strcmp(rf_json_text(o->doc, "name"), named(old)) == 0))
		json_object_set_new(o->doc, "name", json_string(named(o->doc)));
	snprintf(o->name, sizeof o->name, "%s", rf_json_text(o->doc, "name"));
	return rc;
}

static const struct rf_api_crud resource = { .kind = RF_KIND_PORT, .shape = RF_RES_PORT, .in_zone = true, .prepare = prepare };

/* --- a list in another order than that of creation --- */

static const struct { const char *name, *object, *member; } orders[] = {
	{ "created_on", NULL, NULL }, { "modified_on", NULL, "modified_on" }, { "app_id", NULL, "id" }, { "protocol", NULL, "protocol" },
	{ "dns", "dns", "name" },
};
enum { ORDERS = sizeof orders / sizeof *orders };

struct row { const char *key; json_t *shown; };

struct sorting {
	struct rf_api_call *c;
	size_t order, n;
	struct row *v;
};

static int take_row(const struct rf_object *o, void *arg)
{
	struct sorting *s = arg;
	json_t *j = rf_api_plain(RF_RES_PORT, o);
	struct row *v = j ? realloc(s->v, (s->n + 1) * sizeof *v) : NULL;
	if (!v) {
		json_decref(j);
		return rf_fail(&s->c->err, RF_E_NOMEM, "memory is exhausted");
	}
	s->v = v;
	const json_t *of = orders[s->order].object ? json_object_get(j, orders[s->order].object) : j;
	v[s->n++] = (struct row){ rf_json_text(of, orders[s->order].member), j };
	return RF_OK;
}

static int by_key(const void *a, const void *b)
{
	return strverscmp(((const struct row *)a)->key, ((const struct row *)b)->key); /* tcp/22 before tcp/1000 */
}

static int sorted(struct rf_api_call *c, struct sorting *s)
{
	struct rf_store_query all = { .parent = c->zone.id };
	const char *direction = rf_api_param(c, "direction");
	bool down = direction && strcmp(direction, "desc") == 0;
	size_t page, per;
	int rc = rf_api_page(c, RF_API_PER_PAGE, &page, &per);
	if (rc == RF_OK)
		rc = rf_store_list(c->store, RF_KIND_PORT, &all, take_row, s, NULL, &c->err);
	if (rc != RF_OK)
		return rc;
	json_t *array = json_array();
	if (s->n)
		qsort(s->v, s->n, sizeof *s->v, by_key);
	for (size_t i = (page - 1) * per; i < s->n && i < page * per; i++)
		json_array_append(array, s->v[down ? s->n - 1 - i : i].shown);
	rc = rf_api_info(c, page, per, json_array_size(array), s->n);
	if (rc == RF_OK)
		return rf_api_result(c, array, 0);
	json_decref(array);
	return rc;
}

int rf_api_ports_list(struct rf_api_call *c)
{
	struct rf_store_query q = { 0 };
	struct sorting s = { .c = c };
	const char *order = rf_api_param(c, "order");
	while (order && s.order < ORDERS && strcmp(orders[s.order].name, order) != 0)
		s.order++;
	if (s.order == ORDERS)
		return rf_fail(&c->err, RF_E_INVALID, "order is created_on, modified_on, app_id, protocol or dns");
	if (!orders[s.order].member)
		return rf_crud_list(c, &resource, &q, RF_API_PER_PAGE);
	int rc = sorted(c, &s);
	for (size_t i = 0; i < s.n; i++)
		json_decref(s.v[i].shown);
	free(s.v);
	return rc;
}

int rf_api_ports_create(struct rf_api_call *c) { return rf_crud_create(c, &resource); }
int rf_api_ports_get(struct rf_api_call *c) { return rf_crud_get(c, &resource); }
int rf_api_ports_put(struct rf_api_call *c) { return rf_crud_put(c, &resource); }

/* Origins that are given in one way take the place of those given in another. */
int rf_api_ports_edit(struct rf_api_call *c)
{
	static const char *const ways[] = { "origin_direct", "origin_dns", "origins" };
	bool any = false;
	for (size_t i = 0; i < 3; i++)
		any |= json_object_get(c->body, ways[i]) && !json_is_null(json_object_get(c->body, ways[i]));
	for (size_t i = 0; i < 3 && any; i++)
		if (!json_object_get(c->body, ways[i]))
			json_object_set_new(c->body, ways[i], json_null());
	if (any && json_is_null(json_object_get(c->body, "origin_dns")) && !json_object_get(c->body, "origin_port"))
		json_object_set_new(c->body, "origin_port", json_null());
	return rf_crud_edit(c, &resource);
}


int rf_api_ports_delete(struct rf_api_call *c)
{
	int rc = rf_crud_delete(c, &resource);
	return rc == RF_OK ? rf_api_result_id(c, c->params.id) : rc;
}
