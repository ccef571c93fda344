/* svc/l4/udp_client: datagrams from clients.
 *
 *   message -> of a device that attacks? -> whose session is it? -> still welcome? -> guard -> counted -> to the origin
 *                      | none
 *                      app at this place? -> guard -> bar -> flood -> rate -> rules -> answers can leave? -> bounds -> session
 *
 * What is cheap to refuse is refused first: a datagram to no app costs a search, one past the rate of new sessions a little more.
 */
#include "shield/homes.h"
#include "svc/l4/crowd.h"
#include "svc/l4/udp_in.h"

static bool key_of(const struct rf_dgram *m, struct key *ret)
{
	struct rf_ip client = rf_addr_ip(&m->peer), edge = rf_addr_ip(&m->local);
	if (!client.family || !edge.family)
		return false;
	*ret = (struct key){ .client_port = rf_addr_port(&m->peer), .edge_port = rf_addr_port(&m->local),
			     .client_family = client.family, .edge_family = edge.family };
	memcpy(ret->client, client.b, sizeof ret->client);
	memcpy(ret->edge, edge.b, sizeof ret->edge);
	return ret->client_port; /* 0: it wants no answer, and none could be sent [RFC 768] */
}

static const struct rf_port *port_at(const struct rf_snap *snap, const struct key *k)
{
	struct rf_ip edge = ip_of(k->edge_family, k->edge);
	return rf_ports_find(snap->site->ports, RF_TRANSPORT_UDP, &edge, k->edge_port);
}

static void drop(enum rf_counter why, const struct rf_dgram *m)
{
	rf_count_n(why, rf_dgram_count(m));
}

static bool in_rate(struct rf_l4_udp *u)
{
	if (!u->conf.session_rate || rf_bucket_take(&u->bucket, &u->rate, now_of(u), 1, NULL) == RF_OK)
		return true;
	rf_count(RF_C_LIMIT_UDP_SESSION_RATE);
	return false;
}

static bool welcome(struct rf_l4_udp *u, const struct rf_snap *snap, const struct rf_port *p, const struct key *k)
{
	const struct rf_rule *rule = NULL;
	if (key_barred(u, p->ip_firewall, k)) { /* before the rate, which is for those who may come */
		report_refused(u, p, k, END_BARRED, NULL);
		return false;
	}
	struct rf_ip client = ip_of(k->client_family, k->client);
	if (u->crowd && crowd_bars(u->crowd, p->low, &client, false, now_of(u))) { /* before the rate too, which it would use up */
		rf_count(RF_C_UDP_CROWDED);
		return false;
	}
	if (!in_rate(u))
		return false;
	if (rules_pass(u, snap, p, k, &rule))
		return true;
	report_refused(u, p, k, END_RULE, rule);
	return false;
}

static struct session *begin(struct rf_l4_udp_socket *by, const struct rf_snap *snap, const struct rf_port *p, const struct key *k,
			     const struct rf_dgram *m)
{
	struct rf_l4_udp *u = by->udp;
	if (!welcome(u, snap, p, k))
		return NULL;
	struct rf_l4_udp_socket *via = via_of(u, by, k);
	struct app *a = via ? app_of(u, snap, p) : NULL;
	struct session *s = a ? session_new(u, k, p, a) : NULL;
	if (!s)
		return NULL;
	via_set(s, via);
	s->mapped = m->peer.sa.sa_family == AF_INET6 && k->client_family == 4;
	s->scope = m->peer.sa.sa_family == AF_INET6 ? m->peer.v6.sin6_scope_id : 0;
	return s;
}

/* Under a snapshot that it has not seen. */
static bool holds_anew(struct session *s, const struct rf_snap *snap)
{
	struct rf_l4_udp *u = s->udp;
	const struct rf_port *p = port_at(snap, &s->key);
	const struct rf_rule *rule;
	uint64_t id = s->id;
	if (!p || strcmp(p->id, s->app->id) != 0) {
		session_end(s, END_APP_GONE);
		return false;
	}
	bool known = app_of(u, snap, p);
	if (!s->used || s->id != id) /* its app has other origins, and it was waiting for one of before */
		return false;
	if (!known || !rules_pass(u, snap, p, &s->key, &rule)) {
		session_end(s, known ? END_RULE : END_MEMORY);
		return false;
	}
	s->generation = snap->generation;
	session_time(s);
	return true;
}

bool session_holds(struct session *s)
{
	const struct rf_snap *snap = s->udp->snap();
	if (s->generation != snap->generation && !holds_anew(s, snap))
		return false;
	if (!key_barred(s->udp, s->app->ip_firewall, &s->key))
		return true;
	session_end(s, END_BARRED);
	return false;
}

static bool guarded(enum rf_port_guard guard)
{
	return guard != RF_PORT_GUARD_NONE;
}

/* Answers leave by the socket that the last datagram came by, where that can; else by the one of before while it is open. */
static void follow(struct session *s, struct rf_l4_udp_socket *by)
{
	struct rf_l4_udp_socket *via = s->via;
	if (by->port == s->key.edge_port)
		via = by;
	else if (!via_open(via) && !(via && via->asked))
		via = via_of(s->udp, by, &s->key);
	if (via && via != s->via)
		via_set(s, via);
}

/* A message, or one of its datagrams where they must be looked at one by one. */
static void take(struct rf_l4_udp_socket *by, const struct key *k, const struct rf_dgram *m)
{
	struct rf_l4_udp *u = by->udp;
	const struct rf_snap *snap = u->snap();
	struct session *s = session_find(u, k);
	if (s && !session_holds(s))
		return;
	const struct rf_port *p = s ? NULL : port_at(snap, k);
	if (!s && !p) {
		drop(RF_C_UDP_DROP_NO_APP, m);
		return;
	}
	enum rf_port_guard guard = s ? s->app->guard : p->guard;
	if (m->segment && guarded(guard)) {
		struct rf_dgram one = *m;
		one.segment = 0;
		for (size_t at = 0; at < m->n; at += m->segment) {
			one.p = m->p + at;
			one.n = m->n - at < m->segment ? m->n - at : m->segment;
			take(by, k, &one);
		}
		return;
	}
	if (!sane(guard, (struct rf_str){ m->p, m->n }, RF_SANITY_CLIENT, !s)) {
		drop(RF_C_UDP_DROP_GUARD, m);
		return;
	}
	if (!s && !(s = begin(by, snap, p, k, m))) {
		drop(RF_C_UDP_DROP_REFUSED, m);
		return;
	}
	follow(s, by);
	session_touch(s, true);
	s->bytes_in += m->n;
	s->count_in += rf_dgram_count(m);
	rf_count_n(RF_C_UDP_IN, rf_dgram_count(m));
	rf_count_n(RF_C_UDP_BYTES_IN, m->n);
	origin_send(s, m);
}

static bool attacks(struct rf_l4_udp *u, const struct key *k, const struct rf_dgram *m)
{
	struct rf_ip client = ip_of(k->client_family, k->client), edge = ip_of(k->edge_family, k->edge);
	return u->homes && rf_homes_ask(u->homes, &client, &edge, k->edge_port, false, rf_dgram_count(m), now_of(u)) != RF_OK;
}

void client_message(struct rf_datagram *d, const struct rf_dgram *m)
{
	struct rf_l4_udp_socket *by = RF_CONTAINER(d, struct rf_l4_udp_socket, d);
	struct key k;
	if (m->cut || !key_of(m, &k))
		drop(RF_C_UDP_DROP_BROKEN, m);
	else if (attacks(by->udp, &k, m))
		drop(RF_C_UDP_DROP_FLEET, m);
	else
		take(by, &k, m);
}

void client_error(struct rf_datagram *d, int error)
{
	(void)d, (void)error; /* an unconnected socket hears of no peer; what failed to leave was counted there */
}
