/* svc/l4/udp_judge: who may send to an app, and what: bars, rules of the phase `connection`, guards.
 *
 * Rules know what can be known of a datagram's sender: addresses, ports, place. There is no device, no TLS and no TCP.
 */
#include "device/facts.h"
#include "policy/geo.h"
#include "svc/front.h"
#include "svc/l4/udp_in.h"

struct asked {
	const struct rf_snap *snap;
	const struct key *key;
	struct rf_ip client, edge;
};

static bool get(void *ctx, struct rf_arena *a, enum rf_field f, struct rf_val *ret)
{
	const struct asked *q = ctx;
	switch (f) {
	case RF_F_IP_SRC: *ret = rf_val_ip(q->client); return true;
	case RF_F_IP_DST: case RF_F_EDGE_IP: *ret = rf_val_ip(q->edge); return true;
	case RF_F_UDP_SRCPORT: *ret = rf_val_int(q->key->client_port); return true;
	case RF_F_UDP_DSTPORT: case RF_F_EDGE_PORT: *ret = rf_val_int(q->key->edge_port); return true;
	case RF_F_SSL: case RF_F_CLIENT_TCP: case RF_F_CERT_PRESENTED: case RF_F_CERT_VERIFIED: case RF_F_CERT_REVOKED:
		*ret = rf_val_bool(false);
		return true;
	case RF_F_CERT_STATUS: *ret = rf_val_str(RF_STR("none")); return true;
	case RF_F_COLO_NAME: *ret = rf_val_str(q->snap->site->place_name); return true;
	case RF_F_COLO_REGION: *ret = rf_val_str(q->snap->site->place_region); return true;
	default:
		return rf_geo_fact(q->snap->site->geo, rf_geo_of_dst(f) ? &q->edge : &q->client, f, a, ret) ||
		       rf_device_fact(NULL, RF_STR(""), a, f, ret);
	}
}

bool rules_pass(struct rf_l4_udp *u, const struct rf_snap *snap, const struct rf_port *p, const struct key *k,
		const struct rf_rule **ret_rule)
{
	static const struct rf_facts_ops ops = { get, NULL };
	const struct rf_policy *policy = p->zone ? &snap->zone_policy[p->zone->index] : &snap->policy;
	if (!policy->phase[RF_PHASE_CONNECTION] && (!policy->bars || !p->ip_firewall))
		return true;
	struct asked q = { snap, k, ip_of(k->client_family, k->client), ip_of(k->edge_family, k->edge) };
	struct rf_arena a;
	rf_arena_init(&a, u->conf.rule_memory);
	rf_facts_init(&u->facts, &ops, &q, &a, snap->lists, rf_loop_wall(u->loop));
	rf_verdict_init(&u->verdict);
	rf_connection_eval(policy, p->ip_firewall, &u->facts, &u->verdict, NULL);
	rf_arena_fini(&a);
	rf_front_count_hits(&u->verdict);
	*ret_rule = u->verdict.rule;
	return u->verdict.outcome != RF_BLOCK;
}

bool key_barred(const struct rf_l4_udp *u, bool ip_firewall, const struct key *k)
{
	struct rf_ip ip = ip_of(k->client_family, k->client);
	return ip_firewall && u->barred && u->barred(u->arg, &ip);
}

bool sane(enum rf_port_guard guard, struct rf_str datagram, enum rf_sanity_side from, bool first)
{
	switch (guard) {
	case RF_PORT_GUARD_DNS: return rf_sane_dns(datagram, from);
	case RF_PORT_GUARD_COAP: return rf_sane_coap(datagram);
	case RF_PORT_GUARD_DTLS: return rf_sane_dtls(datagram, first && from == RF_SANITY_CLIENT);
	default: return true;
	}
}
