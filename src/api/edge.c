/* api/edge: the API's questions to the control thread, the registry and the recent records.
 *
 * All run on the control thread; records are read under their own lock and copied.
 *
 * Not here: explanations and tests of rules (ctl/explain).
 */
#include "api/edge.h"
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/near.h"
#include "bpf/filter.h"
#include "ctl/access.h"
#include "ctl/attacks.h"
#include "ctl/crl.h"
#include "ctl/devices.h"
#include "ctl/explain.h"
#include "ctl/frame_attacks.h"
#include "ctl/record_find.h"
#include "ctl/port_gate.h"
#include "ctl/private.h"
#include "ctl/wall.h"
#include "records/format.h"
#include "records/metrics.h"
#include "records/recent.h"
#include "ctl/packets.h"
#include "shield/homes.h"
#include "shield/shield.h"

static bool ready(void *ctx, const char **ret_why)
{
	const struct rf_api_edge *e = ctx;
	*ret_why = e->draining && *e->draining ? "draining" : "no snapshot is in force yet";
	return !(e->draining && *e->draining) && rf_snap_now() != NULL;
}

static int64_t now_s(const struct rf_ctl *c)
{
	return c->clock.wall(c->clock.ctx) / (int64_t)RF_NS_S;
}

static json_t *time_json(int64_t s)
{
	char at[RF_RFC3339_SIZE];
	return s ? json_string(rf_rfc3339(s * (int64_t)RF_NS_S, 0, at)) : json_null();
}

static int64_t ends(const X509 *x)
{
	struct tm tm;
	return x && ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static json_t *address(const struct rf_boot_address *a)
{
	char ip[RF_IP_TEXT], all[RF_IP_TEXT + 16];
	rf_ip_str(&a->ip, ip);
	snprintf(all, sizeof all, a->ip.family == 6 ? "[%s]:%u" : "%s:%u", ip, a->port);
	return json_string(all);
}

static json_t *listeners(const struct rf_boot *b)
{
	static const char *const protocols[] = { [RF_PROTO_HTTPS] = "https", [RF_PROTO_HTTP] = "http", [RF_PROTO_PORTS] = "ports" };
	json_t *all = json_array();
	for (size_t i = 0; i < b->listener_count; i++) {
		const struct rf_boot_listener *l = &b->listeners[i];
		json_array_append_new(all, json_pack("{s:s, s:o, s:s, s:b}", "name", l->name, "address", address(&l->address),
						     "protocol", protocols[l->protocol], "proxy_protocol", l->proxy_protocol));
	}
	return all;
}

struct live_sum {
	json_int_t devices, connected, connections, requests;
};

static bool add_live(struct rf_device *d, void *arg)
{
	struct live_sum *s = arg;
	const struct rf_device_use *u = rf_device_use(d);
	s->devices++;
	s->connected += u->connections > 0;
	s->connections += u->connections;
	s->requests += u->requests;
	return true;
}

static json_t *live_json(struct rf_ctl *c)
{
	struct live_sum s = { 0 };
	rf_registry_each(c->devices, add_live, &s);
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "devices", s.devices, "devices_connected", s.connected,
			 "device_connections", s.connections, "requests_in_flight", s.requests, "connections",
			 (json_int_t)(rf_counter_sum(RF_C_CONN_ACCEPTED) - rf_counter_sum(RF_C_CONN_CLOSED)), "records_dropped",
			 (json_int_t)rf_counter_sum(RF_C_RECORDS_DROPPED));
}

static json_t *ca_json(const struct rf_ctl *c)
{
	return json_pack("{s:o, s:o, s:I}", "expires_on", time_json(ends(rf_ca_cert(c->ca))), "root_expires_on",
			 time_json(ends(rf_ca_root(c->ca))), "days_left",
			 (json_int_t)((ends(rf_ca_cert(c->ca)) - now_s(c)) / 86400));
}

static json_t *warnings(const struct rf_boot *b)
{
	json_t *all = json_array();
	for (size_t i = 0; i < b->warning_count; i++)
		json_array_append_new(all, json_string(b->warnings[i]));
	return all;
}

static int status(void *ctx, json_t *object, struct rf_err *e)
{
	struct rf_ctl *c = ((struct rf_api_edge *)ctx)->ctl;
	const struct rf_snap *s = rf_snap_now();
	uint64_t up = c->clock.mono(c->clock.ctx) - c->started_mono;
	json_t *crls = json_array();
	int rc = rf_crl_status(c, crls, e);
	const struct { const char *name; json_t *value; } rows[] = {
		{ "uptime_s", json_integer((json_int_t)(up / RF_NS_S)) },
		{ "workers", json_integer((json_int_t)c->worker_count) },
		{ "generation", json_integer(s ? (json_int_t)s->generation : 0) },
		{ "devices_known", json_integer((json_int_t)rf_registry_count(c->devices)) },
		{ "live", live_json(c) }, { "crls", crls }, { "device_ca", ca_json(c) }, { "listeners", listeners(c->boot) },
		{ "ports", c->priv && c->priv->port_gate ? rf_port_gate_status(c->priv->port_gate) : json_object() },
		{ "shield", c->priv ? rf_wall_standing(c) : json_object() }, { "warnings", warnings(c->boot) },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (json_object_set_new(object, rows[i].name, rows[i].value) != 0 && rc == RF_OK)
			rc = rf_fail(e, RF_E_NOMEM, "memory is exhausted");
	return rc;
}

/* --- metrics --- */

static double g_devices(struct rf_ctl *c) { return (double)rf_registry_count(c->devices); }
static double g_workers(struct rf_ctl *c) { return (double)c->worker_count; }
static double g_generation(struct rf_ctl *c) { (void)c; return (double)rf_snap_now()->generation; }
static double g_ca_end(struct rf_ctl *c) { return (double)ends(rf_ca_cert(c->ca)); }

static double g_uptime(struct rf_ctl *c)
{
	return (double)(c->clock.mono(c->clock.ctx) - c->started_mono) / 1e9;
}

static double g_connections(struct rf_ctl *c)
{
	(void)c;
	return (double)(rf_counter_sum(RF_C_CONN_ACCEPTED) - rf_counter_sum(RF_C_CONN_CLOSED));
}

static double g_crls_stale(struct rf_ctl *c)
{
	json_t *crls = json_array();
	struct rf_err e;
	size_t n = 0;
	if (rf_crl_status(c, crls, &e) == RF_OK)
		for (size_t i = 0; i < json_array_size(crls); i++)
			n += strcmp(json_string_value(json_object_get(json_array_get(crls, i), "state")), "fresh") != 0;
	json_decref(crls);
	return (double)n;
}

/* Of all lists: what `of` says of each. */
static double of_lists(size_t (*of)(const struct rf_list *l))
{
	const struct rf_lists *t = rf_snap_now()->lists;
	double sum = 0;
	for (int slot = 0; slot < RF_LISTS; slot++)
		sum += rf_lists_at(t, slot) ? (double)of(rf_lists_at(t, slot)) : 0;
	return sum;
}

static double g_attacks(struct rf_ctl *c)
{
	return rf_attacks_active(c->priv->attacks) + rf_frame_attacks_active(c->priv->frame_attacks);
}

static double g_list_entries(struct rf_ctl *c)
{
	(void)c;
	return of_lists(rf_list_count);
}

static double g_list_bytes(struct rf_ctl *c)
{
	(void)c;
	return of_lists(rf_list_bytes);
}

static const struct {
	const char *name, *help;
	double (*read)(struct rf_ctl *c);
} gauges[] = {
	{ "ringfence_attacks_active", "Floods that are on", g_attacks },
	{ "ringfence_list_entries", "Entries of named lists, all together", g_list_entries },
	{ "ringfence_list_bytes", "Memory of named lists", g_list_bytes },
	{ "ringfence_devices", "Devices in the registry", g_devices },
	{ "ringfence_connections", "Connections of clients that are open", g_connections },
	{ "ringfence_workers", "Worker threads", g_workers },
	{ "ringfence_uptime_seconds", "Time since the start", g_uptime },
	{ "ringfence_snapshot_generation", "Number of the snapshot in force", g_generation },
	{ "ringfence_ca_expiry_timestamp_seconds", "End of the device CA's intermediate certificate, since 1970", g_ca_end },
	{ "ringfence_crls_not_fresh", "Revocation lists of uploaded roots that are missing or have expired", g_crls_stale },
};

/* --- the shield --- */

static const char *const drop_words[] = {
#define RF_DROP(name, word, doc) word,
#include "tbl/drops.def"
#undef RF_DROP
};

/* What devices of ours do is seen by addresses; and what of it is not seen here. */
static json_t *fleet(struct rf_ctl *c)
{
	struct rf_homes_stats n;
	const char *unseen = rf_shield_in_kernel(c->shield) ? "" : c->priv->nft ?
		"nft holds fleet.networks to fleet.ports, and devices that are throttled or in quarantine; scans, floods and bots are not seen" :
		"no kernel filter: what devices send elsewhere through the edge is not seen";
	rf_homes_stats(rf_shield_homes(c->shield), &n);
	return json_pack("{s:I, s:I, s:I, s:I, s:s}", "addresses", (json_int_t)n.homes, "shared", (json_int_t)n.shared, "watched",
		(json_int_t)n.watched, "lost", (json_int_t)n.lost, "unseen", unseen);
}

static json_t *shield(void *ctx)
{
	struct rf_ctl *c = ((struct rf_api_edge *)ctx)->ctl;
	struct rf_filter_counts n;
	json_t *frames = json_object(), *bytes = json_object();
	rf_wall_count(c);
	rf_shield_counts(c->shield, &n);
	for (int i = 0; i < RF_DROP_COUNT; i++) {
		json_object_set_new(frames, drop_words[i], json_integer((json_int_t)n.frames[i]));
		json_object_set_new(bytes, drop_words[i], json_integer((json_int_t)n.bytes[i]));
	}
	char gate[RF_WALL_TEXT];
	rf_wall_gate(c, gate);
	return json_pack("{s:b, s:s, s:s, s:I, s:o, s:o, s:o, s:o}", "in_kernel", c->priv->nft || rf_shield_in_kernel(c->shield), "interfaces",
		c->boot->shield_interfaces, "gate", gate, "access_rules", (json_int_t)rf_access_count(c->priv->access), "frames", frames,
		"bytes", bytes, "packet_rules", rf_packets_status(c), "fleet", fleet(c));
}

/* What filters each interface, so that one which nothing filters can be an alert. */
static void interface_metrics(const struct rf_ctl *c, struct rf_buf *to)
{
	json_t *standing = rf_wall_standing(c);
	const json_t *v;
	size_t i;
	rf_buf_printf(to, "# HELP ringfence_shield_interface How the network interface is filtered: native, generic, nft, absent, failed, none\n"
		"# TYPE ringfence_shield_interface gauge\n");
	json_array_foreach(json_object_get(standing, "interfaces"), i, v) {
		const char *name = json_string_value(json_object_get(v, "name"));
		if (!strpbrk(name, "\"\\")) /* of none that there is, and no label */
			rf_buf_printf(to, "ringfence_shield_interface{interface=\"%s\",mode=\"%s\"} 1\n", name,
				json_string_value(json_object_get(v, "mode")));
	}
	json_decref(standing);
}

static void shield_metrics(struct rf_ctl *c, struct rf_buf *to)
{
	struct rf_filter_counts n;
	rf_shield_counts(c->shield, &n);
	for (int what = 0; what < 2; what++) {
		const char *unit = what ? "bytes" : "frames";
		rf_buf_printf(to, "# HELP ringfence_shield_%s_total What the kernel filter saw, by what became of it\n"
			"# TYPE ringfence_shield_%s_total counter\n", unit, unit);
		for (int i = 0; i < RF_DROP_COUNT; i++)
			rf_buf_printf(to, "ringfence_shield_%s_total{action=\"%s\",reason=\"%s\"} %llu\n", unit,
				i <= RF_DROP_LAST_PASS ? "pass" : i == RF_DROP_COOKIE ? "answer" : "drop", drop_words[i],
				(unsigned long long)(what ? n.bytes[i] : n.frames[i]));
	}
	rf_buf_printf(to, "# HELP ringfence_shield_unshown_total Frames for records and captures that found no room\n"
		"# TYPE ringfence_shield_unshown_total counter\nringfence_shield_unshown_total %llu\n", (unsigned long long)n.unshown);
	struct rf_homes_stats homes;
	rf_homes_stats(rf_shield_homes(c->shield), &homes);
	rf_buf_printf(to, "# HELP ringfence_fleet_addresses Addresses at which devices are known\n# TYPE ringfence_fleet_addresses gauge\n"
		"ringfence_fleet_addresses %u\n# HELP ringfence_fleet_addresses_lost_total Addresses of devices that found no room\n"
		"# TYPE ringfence_fleet_addresses_lost_total counter\nringfence_fleet_addresses_lost_total %u\n", homes.homes, homes.lost);
	rf_buf_printf(to, "# HELP ringfence_shield_unseen_total Frames that the detection of floods did not see, for want of room\n"
		"# TYPE ringfence_shield_unseen_total counter\nringfence_shield_unseen_total %llu\n", (unsigned long long)n.unseen);
	interface_metrics(c, to);
	rf_api_edge_packet_metrics(c, to);
}

static void metrics(void *ctx, struct rf_buf *to)
{
	rf_metrics_write(to);
	if (((struct rf_api_edge *)ctx)->ctl->shield)
		shield_metrics(((struct rf_api_edge *)ctx)->ctl, to);
	for (size_t i = 0; i < sizeof gauges / sizeof *gauges; i++)
		rf_buf_printf(to, "# HELP %s %s\n# TYPE %s gauge\n%s %.3f\n", gauges[i].name, gauges[i].help, gauges[i].name,
			      gauges[i].name, gauges[i].read(((struct rf_api_edge *)ctx)->ctl));
}

/* --- devices --- */

static void live(void *ctx, const char *device_id, json_t *object)
{
	char at[RF_RFC3339_SIZE];
	struct rf_device *d = rf_device_find(((struct rf_api_edge *)ctx)->ctl->devices, rf_str_z(device_id));
	if (!d)
		return;
	const struct rf_device_use *use = rf_device_use(d);
	const struct { const char *name; uint64_t value; } rows[] = {
		{ "connections", use->connections }, { "requests", use->requests }, { "requests_total", use->requests_total },
		{ "refused_total", use->refused_total }, { "bytes_in", use->bytes_in }, { "bytes_out", use->bytes_out },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		json_object_set_new(object, rows[i].name, json_integer((json_int_t)rows[i].value));
	int64_t seen = use->last_seen_s;
	if (seen)
		json_object_set_new(object, "last_seen", json_string(rf_rfc3339(seen * (int64_t)RF_NS_S, 0, at)));
}

static json_t *addresses(void *ctx, const char *device_id)
{
	struct rf_shield *s = ((struct rf_api_edge *)ctx)->ctl->shield;
	struct rf_homes_at v[RF_HOMES_SHOWN];
	json_t *array = json_array();
	unsigned n = s ? rf_homes_of(rf_shield_homes(s), device_id, v) : 0;
	for (unsigned i = 0; i < n; i++) {
		char text[RF_IP_TEXT];
		json_array_append_new(array, json_pack("{s:s, s:i, s:b, s:b}", "address", rf_ip_str(&v[i].ip, text), "connections", (int)v[i].live,
			"bound", v[i].bound, "own", v[i].own));
	}
	return array;
}

static int unknown(void *ctx, size_t limit, json_t *array, struct rf_err *e)
{
	return rf_devices_unknown(((struct rf_api_edge *)ctx)->ctl->priv->devices, limit, array, e);
}

/* --- records --- */

struct filtering {
	struct rf_recent_filter f;
	int64_t from_s;     /* "since" as a time: only records from then on; 0: any */
	json_t *kept;       /* oldest first */
	bool bad;
};

static const char *const filter_names[] = { "since", "before", "kind", "device", "class", "action", "host", "rule" };

static struct rf_str *text_filter(struct rf_recent_filter *f, const char *name)
{
	const struct { const char *name, *json; struct rf_str *to; } rows[] = {
		{ "device", "DeviceID", &f->device }, { "device", "DeviceName", &f->device }, { "class", "Class", &f->class_name },
		{ "action", "Action", &f->action },   { "host", "Host", &f->host },           { "rule", "PolicyID", &f->rule_id },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (strcmp(rows[i].name, name) == 0 || strcmp(rows[i].json, name) == 0)
			return rows[i].to;
	return NULL;
}

static int one_filter(struct filtering *g, const char *name, const char *value, struct rf_err *e)
{
	static const char *const kinds[] = { [RF_REC_CONNECTION] = "connection", [RF_REC_REQUEST] = "request", [RF_REC_EVENT] = "event",
		[RF_REC_ATTACK] = "attack", [RF_REC_PACKET] = "packet" };
	static const char *const actions[] = { "allow", "block", "log", "error" };
	struct rf_str *to = text_filter(&g->f, name);
	char pointer[64];
	bool known = to != &g->f.action;
	snprintf(pointer, sizeof pointer, "/%.50s", name);
	for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
		known |= strcmp(actions[i], value) == 0;
	if (!known)
		return rf_fail_ptr(e, RF_E_INVALID, pointer, "should be allow, block, log or error");
	if (to) {
		*to = rf_str_z(value);
		return RF_OK;
	}
	if (strcmp(name, "since") == 0 || strcmp(name, "before") == 0) {
		bool since = name[0] == 's';
		if (rf_str_u64(rf_str_z(value), since ? &g->f.since : &g->f.before) ||
		    (since && rf_rfc3339_parse(value, &g->from_s) == 0))
			return RF_OK;
		return rf_fail_ptr(e, RF_E_INVALID, pointer, since ? "should be an ID of a record or a time" : "should be an ID of a record");
	}
	bool kind = strcmp(name, "kind") == 0 || strcmp(name, "type") == 0 || strcmp(name, "Type") == 0;
	for (size_t i = 0; kind && i < sizeof kinds / sizeof *kinds; i++)
		if (strcasecmp(value, kinds[i]) == 0) {
			g->f.kind = (int)i;
			return RF_OK;
		}
	if (kind)
		return rf_fail_ptr(e, RF_E_INVALID, pointer, "should be connection, request, event, attack or packet");
	const char *near = rf_near(rf_str_z(name), filter_names, sizeof filter_names / sizeof *filter_names);
	return rf_fail_ptr(e, RF_E_UNKNOWN, pointer, near ? "records cannot be filtered by this; did you mean %s?"
			   : "records cannot be filtered by this", near);
}

static void keep(void *arg, uint64_t id, const struct rf_record *rec)
{
	struct filtering *g = arg;
	RF_BUF_AUTO b = { 0 };
	if (g->from_s && rec->at < g->from_s * (int64_t)RF_NS_S)
		return;
	rf_record_json(&b, rec, id);
	json_t *one = b.bad ? NULL : json_loadb(b.p, b.n, 0, NULL);
	if (!one || json_array_append_new(g->kept, one) != 0)
		g->bad = true;
}

static int records(void *ctx, const json_t *filter, size_t limit, json_t *array, struct rf_err *e)
{
	struct rf_recent *recent = ((struct rf_api_edge *)ctx)->recent;
	struct filtering g = { .f = { .kind = -1, .limit = limit, .newest = true }, .kept = json_array() };
	const char *name;
	json_t *value;
	int rc = recent ? RF_OK : rf_fail(e, RF_E_UNSUPPORTED, "no records are kept (records.recent is 0)");
	json_object_foreach((json_t *)(uintptr_t)filter, name, value)
		if (rc == RF_OK)
			rc = one_filter(&g, name, json_string_value(value) ? json_string_value(value) : "", e);
	g.f.newest = !g.f.since; /* who follows by id misses nothing */
	if (rc == RF_OK)
		rf_recent_read(recent, &g.f, keep, &g);
	for (size_t i = json_array_size(g.kept); rc == RF_OK && i-- > 0;)
		g.bad |= json_array_append(array, json_array_get(g.kept, i)) != 0;
	json_decref(g.kept);
	return rc == RF_OK && g.bad ? rf_fail(e, RF_E_NOMEM, "memory is exhausted") : rc;
}

/* --- judging --- */

static int explain(void *ctx, const char *account_id, const json_t *body, json_t **ret, struct rf_err *e)
{
	(void)account_id;
	return rf_ctl_explain(((struct rf_api_edge *)ctx)->ctl, body, ret, e);
}

static int record(void *ctx, const char *ray, json_t **ret, struct rf_err *e)
{
	struct rf_api_edge *g = ctx;
	return rf_record_find(g->ctl->boot, g->recent, ray, ret, e);
}

static int explain_past(void *ctx, const json_t *line, const json_t *told, json_t **ret, struct rf_err *e)
{
	return rf_ctl_explain_past(((struct rf_api_edge *)ctx)->ctl, line, told, ret, e);
}

static int rules_test(void *ctx, const char *account_id, const json_t *body, json_t **ret, struct rf_err *e)
{
	(void)account_id;
	return rf_ctl_rules_test(((struct rf_api_edge *)ctx)->ctl, body, ret, e);
}

static int rules_lint(void *ctx, const char *account_id, const json_t *body, json_t **ret, struct rf_err *e)
{
	(void)account_id, (void)body;
	return rf_ctl_rules_lint(((struct rf_api_edge *)ctx)->ctl, ret, e);
}

struct rf_api_hooks rf_api_edge_hooks(struct rf_api_edge *e)
{
	return (struct rf_api_hooks){ .ctx = e, .ready = ready, .metrics = metrics, .status = status, .live = live,
				      .addresses = addresses,
				      .records = records, .unknown = unknown, .explain = explain, .record = record,
				      .explain_past = explain_past, .shield = shield,
				      .rules_test = rules_test, .rules_lint = rules_lint, .patches = &rf_api_edge_patches,
				      .packs = &rf_api_edge_packs, .attacks = &rf_api_edge_attacks, .packets = &rf_api_edge_packets,
				      .applies = &rf_api_edge_applies };
}
