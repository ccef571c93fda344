/* svc/l4/conn: the life of a TCP connection to a port.
 *
 *   front: accept -> arrive (which port?) -> PROXY header -> barred? -> TLS handshake -> welcome
 *     welcome: who is it? -> rules of `connection` -> FIRST (rules want first bytes) -> ORIGIN -> RELAY -> record -> freed
 *                                                  \_______________________________/
 *
 * Every event (of the client, of the origin, of time) runs it: the step's function is called and names the next one, until one
 * waits or the connection is over.
 *
 * Where rules look at the first bytes, nothing of the client reaches an origin before they were judged. Where the port's client may
 * be silent at first, an origin is opened meanwhile and may speak; else none is opened.
 *
 * An end of one side is passed on when all before it was; a reset of one side is a reset of the other, at once.
 *
 * Invariants: in l4->conns exactly from `arrive` at a port to `release`. up.to is NULL until an origin is open and the rules were asked.
 */
#include "svc/l4/conn.h"
#include <openssl/x509v3.h>
#include <stdlib.h>

enum { FIRST_ENOUGH = 8 }; /* bytes that tell one protocol from another */

const struct rf_l4_conf rf_l4_conf_default = {
	.idle_ns = 3600 * RF_NS_S,
	.pause_ns = 200 * RF_NS_MS,
	.progress_ns = 60 * RF_NS_S,
	.tubes = 128,
};

/* --- the end --- */

enum step l4_over(struct conn *n, enum l4_status status, const char *why)
{
	if (!n->ended)
		n->status = status;
	n->ended = true;
	rf_client_end(&n->client, why ? why : l4_statuses[n->status].words);
	return STEP_CLOSE;
}

enum step l4_refused(struct conn *n, enum rf_reason reason, const char *words)
{
	rf_client_refuse(&n->client, reason, words);
	return STEP_CLOSE;
}

enum step l4_broken(struct conn *n, const struct relay *d, int error)
{
	bool writing = d->broken == RELAY_TO, client = writing == (d == &n->down);
	if (error == RF_E_INVALID && d->guard) {
		rf_count(RF_C_L4_GUARD);
		return l4_refused(n, RF_REASON_GUARD, d->guard->why);
	}
	enum l4_status status = l4_status_broken(client ? L4_CLIENT : L4_ORIGIN, error);
	rf_stream_doom(&n->client.stream);
	if (n->upstream)
		rf_stream_doom(&n->upstream->stream);
	return l4_over(n, status, NULL);
}

/* --- steps --- */

/* Let the rules look at the first bytes. STEP_WAIT: there are too few yet. STEP_RELAY: it may pass. */
static enum step look_first(struct conn *n)
{
	struct rf_str got = relay_waiting(&n->up);
	if (got.n < FIRST_ENOUGH && !n->up.eof && !n->paused) {
		if (got.n && !n->pause_until)
			n->pause_until = l4_now(n) + n->l4->conf.pause_ns;
		return STEP_WAIT;
	}
	n->judged = true;
	n->pause_until = 0;
	return rf_client_judge(&n->client, got) == RF_OK ? STEP_RELAY : l4_over(n, L4_FILTERED, NULL);
}

static enum step step_first(struct conn *n)
{
	int r = relay_pump(&n->up);
	if (r != RF_E_AGAIN)
		return l4_broken(n, &n->up, r);
	enum step s = look_first(n);
	return s == STEP_RELAY ? STEP_ORIGIN : s;
}

/* A dead socket whose bytes nobody takes, so that reading does not tell. */
static bool dead(struct relay *from_it, const struct relay *to_it)
{
	bool is = from_it->from->hup && from_it->stuck && !to_it->done;
	if (is)
		from_it->broken = RELAY_FROM;
	return is;
}

static enum step step_relay(struct conn *n)
{
	struct relay *both[2] = { &n->up, &n->down };
	if (!n->judged) {
		int r = relay_pump(&n->up);
		if (r != RF_E_AGAIN)
			return l4_broken(n, &n->up, r);
		enum step s = look_first(n);
		if (s == STEP_CLOSE)
			return s;
	}
	if (n->judged)
		n->up.to = &n->upstream->stream;
	for (int i = 0; i < 2; i++) {
		both[i]->last = both[!i]->done;
		int r = both[i]->done ? RF_OK : relay_pump(both[i]);
		if (r && r != RF_E_AGAIN)
			return l4_broken(n, both[i], r);
	}
	l4_times_moved(n);
	l4_mqtt_see(n);
	if (n->up.done && n->down.done)
		return l4_over(n, L4_NORMAL, NULL);
	if (dead(&n->up, &n->down))
		return l4_broken(n, &n->up, RF_E_RESET);
	if (dead(&n->down, &n->up))
		return l4_broken(n, &n->down, RF_E_RESET);
	if (n->up.more || n->down.more)
		rf_client_later(&n->client);
	return STEP_WAIT;
}

static enum step (*const steps[STEP_COUNT])(struct conn *) = {
	[STEP_FIRST] = step_first,
	[STEP_ORIGIN] = l4_step_origin,
	[STEP_RELAY] = step_relay,
};

void l4_run(struct conn *n)
{
	struct rf_client *c = &n->client;
	if (c->running)
		return;
	c->running = true;
	enum step next;
	do {
		next = c->dead ? STEP_CLOSE : steps[n->step](n);
		if (next < STEP_COUNT)
			n->step = (uint8_t)next;
	} while (next < STEP_COUNT);
	if (rf_client_ran(c))
		l4_times_arm(n);
}

static void client_event(struct rf_stream *s)
{
	l4_run(RF_CONTAINER(s, struct conn, client.stream));
}

/* --- what the front asks --- */

static bool turned_away(struct rf_client *c, enum rf_reason reason)
{
	c->refused = true;
	c->end_reason = reason;
	c->end = rf_reason_words(reason);
	return false;
}

static bool arrive(struct rf_client *c)
{
	struct conn *n = l4_conn(c);
	const struct rf_snap *snap = c->front->snap();
	const struct rf_port *port = rf_ports_find(snap->site->ports, RF_TRANSPORT_TCP, &c->dst, c->dst_port);
	n->l4 = c->listener->service_arg;
	if (!port) {
		rf_stream_doom(&c->stream); /* as a port without a listener answers */
		return turned_away(c, RF_REASON_NO_PORT);
	}
	n->site = rf_site_get(snap->site);
	n->port = port;
	rf_list_push(&n->l4->conns, &n->all);
	if (!rf_port_enter(port)) {
		rf_count(RF_C_L4_PORT_FULL);
		return turned_away(c, RF_REASON_CONNECTIONS);
	}
	n->use = rf_port_use_get(port->use);
	c->tls = port->tls != RF_PORT_TLS_OFF;
	c->unbarred = !port->ip_firewall;
	return true;
}

static const struct rf_policy *policy(struct rf_client *c, const struct rf_snap *snap)
{
	const struct conn *n = l4_conn(c);
	const struct rf_zone *zone = n->port->zone;
	for (size_t i = 0; zone && i < snap->site->zone_count; i++) /* the site may be another by now */
		if (!strcmp(snap->site->zones[i]->id, zone->id))
			return &snap->zone_policy[snap->site->zones[i]->index];
	return &snap->policy;
}

/* Is one of the port's certificates for this name? Clients that were told to connect to an address send that as a name, against
 * [RFC 6066 3]: they mean none. */
static bool named(const struct rf_port *p, struct rf_str sni)
{
	struct rf_ip literal;
	if (!sni.n || rf_ip_parse(sni, &literal))
		return true;
	for (int i = 0; i < 2; i++)
		if (p->keypair[i] && X509_check_host(rf_keypair_leaf(p->keypair[i]), sni.p, sni.n, 0, NULL) == 1)
			return true;
	return false;
}

static bool host(struct rf_client *c, struct rf_str sni, struct rf_tls_host *ret)
{
	struct conn *n = l4_conn(c);
	const struct rf_port *p = n->port;
	bool keys = p->keypair[0] || p->keypair[1];
	if (!keys || !named(p, sni)) {
		n->status = keys ? L4_BAD_SNI : L4_TLS_CONFIG;
		n->ended = true;
		return false;
	}
	*ret = (struct rf_tls_host){
		.keypair = { p->keypair[0], p->keypair[1] }, .ask_client = p->auth != RF_AUTH_OFF,
		.refuse_handshake = p->refuse_handshake, .roots = p->roots,
		.keep_hello = rf_front_wants_hello(policy(c, c->front->snap())),
	};
	return true;
}

/* Does its certificate open the port? False: it was refused. */
static bool who_may(struct conn *n)
{
	struct rf_client *c = &n->client;
	enum rf_reason reason;
	if (n->port->tls == RF_PORT_TLS_OFF || n->port->auth == RF_AUTH_OFF)
		return true;
	const char *against = rf_client_against(c, n->port->roots, &reason);
	if (against && n->port->auth == RF_AUTH_ENFORCE) {
		rf_client_refuse(c, reason, against);
		return false;
	}
	if (against && !n->would) /* once a connection, however often it is looked at */
		rf_count_refused(reason, true);
	n->would = against;
	return true;
}

static void lay_relays(struct conn *n)
{
	struct rf_front *f = n->client.front;
	n->up = (struct relay){ .from = &n->client.stream, .bufs = f->bufs, .tubes = &n->l4->tubes };
	n->down = (struct relay){ .to = &n->client.stream, .bufs = f->bufs, .tubes = &n->l4->tubes };
	static const enum rf_guard_kind kinds[] = { /* the API refuses those of UDP */
		[RF_PORT_GUARD_SSH] = RF_GUARD_SSH, [RF_PORT_GUARD_MQTT] = RF_GUARD_MQTT, [RF_PORT_GUARD_MODBUS] = RF_GUARD_MODBUS,
		[RF_PORT_GUARD_DNS] = RF_GUARD_DNS, [RF_PORT_GUARD_TLS] = RF_GUARD_TLS,
	};
	if (n->port->guard == RF_PORT_GUARD_NONE || (size_t)n->port->guard >= sizeof kinds / sizeof *kinds)
		return;
	rf_guard_init(&n->guard, kinds[n->port->guard]);
	n->up.guard = &n->guard;
}

/* At a port that is guarded as MQTT its CONNECT counts, not the connection. */
static bool crowded(struct conn *n)
{
	const struct rf_tls_info *info = rf_client_tls(&n->client);
	bool known = n->client.device && info && info->verified;
	if (!n->l4->crowd || n->guard.kind == RF_GUARD_MQTT || !crowd_bars(n->l4->crowd, n->port->low, &n->client.src, known, l4_now(n)))
		return false;
	rf_count(RF_C_L4_CROWDED);
	return true;
}

static void welcome(struct rf_client *c)
{
	struct conn *n = l4_conn(c);
	c->stream.on_event = client_event;
	c->timer.fire = l4_times_fire;
	lay_relays(n);
	if (!who_may(n))
		return;
	if (c->over) {
		rf_client_refuse(c, RF_REASON_CONNECTIONS, NULL);
		return;
	}
	enum rf_reason attacks;
	if (rf_client_visit(c, &attacks)) {
		rf_client_refuse(c, attacks, NULL);
		return;
	}
	if (crowded(n)) {
		rf_client_refuse(c, RF_REASON_CONNECTIONS, "it is new here, in a flood of connections to this port");
		return;
	}
	if (l4_mqtt_crowded(n)) {
		rf_client_refuse(c, RF_REASON_CONNECTIONS, "too many MQTT connections a second of one address, in a flood of them");
		return;
	}
	bool wants = rf_client_wants_first(c);
	if (!wants && rf_client_judge(c, (struct rf_str){ 0 })) {
		rf_client_end(c, NULL);
		return;
	}
	n->judged = !wants;
	n->step = wants && n->port->first_byte_ns ? STEP_FIRST : STEP_ORIGIN;
	l4_times_begin(n);
	l4_run(n);
}

/* Nobody can tell when a stream of bytes has said what it wanted to: those that are here, also on their way to an origin, go on until
 * the drain's bound, so that an upgrade loses none. */
static void drain(struct rf_client *c, bool late) { (void)c, (void)late; }

static void release(struct rf_client *c)
{
	struct conn *n = l4_conn(c);
	if (!n->port)
		return;
	relay_fini(&n->up);
	relay_fini(&n->down);
	l4_origin_drop(n);
	rf_origin_group_put(n->group);
	rf_buf_fini(&n->text);
	if (n->use)
		rf_port_leave(n->use);
	rf_port_use_put(n->use);
	rf_list_del(&n->all);
	rf_site_put(n->site);
}

const struct rf_service rf_l4_service = {
	.size = sizeof(struct conn), .arrive = arrive, .host = host, .policy = policy, .welcome = welcome, .drain = drain,
	.report = l4_tell_end, .release = release, .judges = true,
};

/* --- what changes meanwhile --- */

/* Follow the port to the newest snapshot. False: it is there no more. */
static bool follow(struct conn *n, struct rf_site *site)
{
	const struct rf_client *c = &n->client;
	const struct rf_port *now = rf_ports_find(site->ports, RF_TRANSPORT_TCP, &c->dst, c->dst_port);
	if (!now || strcmp(now->id, n->port->id) != 0)
		return false;
	struct rf_site *old = n->site;
	n->site = rf_site_get(site);
	n->port = now;
	n->client.unbarred = !now->ip_firewall;
	rf_site_put(old);
	return true;
}

size_t rf_l4_recheck(struct rf_l4 *l)
{
	size_t ended = 0;
	const struct rf_snap *snap = l->front->snap();
	RF_LIST_EACH(node, &l->conns) {
		struct conn *n = RF_CONTAINER(node, struct conn, all);
		if (n->site != snap->site && !follow(n, snap->site)) {
			rf_client_refuse(&n->client, RF_REASON_NO_PORT, "its port is offered no more");
			ended++;
		} else if (n->client.welcomed) {
			rf_client_refresh(&n->client, snap);
			ended += !who_may(n);
		}
	}
	return ended;
}

struct rf_l4 *rf_l4_new(struct rf_front *front, struct rf_pool *pool, const struct rf_l4_conf *conf)
{
	struct rf_l4 *l = calloc(1, sizeof *l);
	if (!l)
		return NULL;
	*l = (struct rf_l4){ .front = front, .pool = pool, .conf = conf ? *conf : rf_l4_conf_default };
	rf_list_init(&l->conns);
	if (front->feed && !(l->crowd = crowd_new(front->feed, RF_FEED_CONNECTIONS))) {
		free(l);
		return NULL;
	}
	tubes_init(&l->tubes, l->conf.tubes);
	return l;
}

void rf_l4_free(struct rf_l4 *l)
{
	if (!l)
		return;
	RF_LIST_EACH(node, &l->conns)
		rf_client_end(&RF_CONTAINER(node, struct conn, all)->client, "the edge has stopped");
	tubes_fini(&l->tubes);
	rf_rate_table_fini(&l->connects);
	crowd_free(l->crowd);
	free(l);
}
