/* ctl/attack_hellos: floods of TLS handshakes, of MQTT CONNECTs, of connections and of UDP sessions: an attack for each port, and fewer of one address while it lasts.
 *
 *   workers' rows of ports: begun less completed ─► shield/hellos ─► START: the bound of the row, an attack ─► END: as configured again
 *
 * One that completes in a later tick than it began in is taken off then.
 */
#include <stdio.h>
#include <stdlib.h>
#include "ctl/attacks.h"
#include "ctl/private.h"
#include "records/counters.h"
#include "shield/detect_store.h"
#include "shield/hellos.h"

static const struct kind {
	const char *vector, *counter, *measure;
	uint32_t bound;           /* of one address, while it lasts */
	bool strangers;           /* those that were not here before are bounded together, too, by the threshold */
	enum rf_counter attacks, refused;
} kinds[] = {
	[RF_FEED_HANDSHAKES] = { "tls_handshake_flood", "incomplete_handshakes_per_second", "fewer TLS handshakes of one address at once",
				 RF_HELLOS_BOUND, false, RF_C_ATTACKS_TLS, RF_C_LIMIT_HANDSHAKES_ADDRESS },
	[RF_FEED_CONNECTS] = { "mqtt_connect_flood", "mqtt_connects_per_second", "fewer MQTT connections a second of one address that is no known device's",
			       RF_CONNECTS_BOUND, false, RF_C_ATTACKS_MQTT, RF_C_L4_CONNECTS },
	[RF_FEED_CONNECTIONS] = { "tcp_connection_flood", "connections_per_second", "fewer connections a second of addresses that are new there",
				  RF_CONNECTS_BOUND, true, RF_C_ATTACKS_TCP, RF_C_L4_CROWDED },
	[RF_FEED_SESSIONS] = { "udp_session_flood", "sessions_per_second", "fewer sessions a second of addresses that are new there",
			       RF_CONNECTS_BOUND, true, RF_C_ATTACKS_UDP, RF_C_UDP_CROWDED },
};

struct port {
	uint32_t key;             /* of rf_feed_port; 0: free */
	const struct kind *kind;
	struct rf_hellos hellos;
	int64_t open;             /* begun less completed, not given to `hellos` yet; below 0: more were completed */
	uint32_t number;          /* of the attack, for counting addresses */
	uint64_t refused;         /* by the bound, before the attack */
	struct rf_attack attack;  /* its flood is NULL: none is on */
};

struct seen {
	uint64_t begun, done;
};

struct rf_attack_hellos {
	struct rf_ctl *c;
	struct rf_attacks *a;
	unsigned workers;
	uint32_t number;
	struct port ports[RF_FEED_PORTS];
	struct seen *seen;        /* a row a worker */
};

static struct port *port_of(struct rf_attack_hellos *h, uint32_t key)
{
	for (unsigned i = 0; i < RF_FEED_PORTS; i++) {
		struct port *p = &h->ports[i];
		if (!p->key) {
			p->key = key;
			p->kind = &kinds[key >> 16];
		}
		if (p->key == key)
			return p;
	}
	return NULL;
}

static void take(struct rf_attack_hellos *h, struct rf_feed_port *row, struct seen *seen)
{
	uint8_t registers[RF_HLL];
	uint32_t key = atomic_load_explicit(&row->key, memory_order_acquire);
	struct port *p = key ? port_of(h, key) : NULL;
	if (!p)
		return;
	uint64_t done = atomic_load_explicit(&row->done, memory_order_relaxed), begun = atomic_load_explicit(&row->begun, memory_order_relaxed);
	p->open += (int64_t)(begun - seen->begun) - (int64_t)(done - seen->done);
	*seen = (struct seen){ begun, done };
	uint32_t each = p->hellos.threshold / h->workers; /* of what a worker may let in */
	atomic_store_explicit(&row->strangers, p->attack.measure && p->kind->strangers ? each + !each : 0, memory_order_relaxed);
	atomic_store_explicit(&row->bound, p->attack.measure ? p->kind->bound : 0, memory_order_relaxed);
	struct rf_flood *f = p->attack.flood;
	if (rf_feed_ask(&row->addresses, f ? p->number : 0, registers))
		for (unsigned i = 0; i < RF_HLL; i++)
			f->addresses[i] = f->addresses[i] < registers[i] ? registers[i] : f->addresses[i];
}

static void begin(struct rf_attack_hellos *h, struct port *p)
{
	bool acts = h->c->boot->floods_mode == RF_FLOODS_BLOCK;
	struct rf_flood *f = calloc(1, sizeof *f);
	if (!f)
		return; /* the next tick says no START: it goes unreported, and unbounded, as it would without memory for its bound */
	snprintf(f->host, sizeof f->host, "port:%u", p->key & 0xffff);
	f->began_ns = h->c->clock.wall(h->c->clock.ctx);
	f->usual = p->hellos.was;
	f->threshold = p->hellos.threshold;
	f->inaction = acts ? NULL : "floods.mode does not say block";
	p->number = ++h->number ? h->number : ++h->number;
	p->refused = rf_counter_sum(p->kind->refused);
	p->attack = (struct rf_attack){ .vector = p->kind->vector, .counter = p->kind->counter, .port = (uint16_t)p->key, .frames = p->key >> 16 != RF_FEED_HANDSHAKES,
					.flood = f, .rules = json_array(), .measure = acts ? p->kind->measure : NULL };
	rf_count(p->kind->attacks);
}

static void follow(struct port *p)
{
	struct rf_flood *f = p->attack.flood;
	f->rate = p->hellos.rate;
	f->peak = p->hellos.peak;
	f->requests = p->hellos.count;
	p->attack.stopped = rf_counter_sum(p->kind->refused) - p->refused;
}

static void finish(struct rf_attack_hellos *h, struct port *p)
{
	p->attack.flood->ended_ns = h->c->clock.wall(h->c->clock.ctx);
	p->attack.ended = true;
	rf_attack_tell(h->a, &p->attack, RF_FLOOD_END);
	json_decref(p->attack.rules);
	free(p->attack.flood);
	p->attack = (struct rf_attack){ 0 };
}

static void tick(struct rf_attack_hellos *h, struct port *p, const struct rf_detect_conf *conf)
{
	uint64_t incomplete = p->open > 0 ? (uint64_t)p->open : 0;
	p->open = p->open < 0 ? p->open : 0;
	enum rf_hellos_event e = rf_hellos_tick(&p->hellos, conf, incomplete);
	if (e == RF_HELLOS_START)
		begin(h, p);
	if (!p->attack.flood)
		return;
	follow(p);
	if (e == RF_HELLOS_END)
		finish(h, p);
	else if (e != RF_HELLOS_NOTHING)
		rf_attack_tell(h->a, &p->attack, e == RF_HELLOS_START ? RF_FLOOD_START : RF_FLOOD_UPDATE);
}

void rf_attack_hellos_tick(struct rf_attack_hellos *h, const struct rf_detect_conf *conf)
{
	for (unsigned w = 0; w < h->workers; w++) {
		struct rf_feed *f = rf_attacks_feed(h->a, w);
		for (unsigned i = 0; i < RF_FEED_PORTS; i++)
			take(h, &f->ports[i], &h->seen[w * RF_FEED_PORTS + i]);
	}
	for (unsigned i = 0; i < RF_FEED_PORTS; i++)
		if (h->ports[i].key)
			tick(h, &h->ports[i], conf);
}

size_t rf_attack_hellos_usual(const struct rf_attack_hellos *h, struct rf_usual_port *to)
{
	size_t n = 0;
	for (unsigned i = 0; i < RF_FEED_PORTS; i++)
		if (h->ports[i].key)
			to[n++] = (struct rf_usual_port){ h->ports[i].key, h->ports[i].hellos.usual };
	return n;
}

void rf_attack_hellos_take_up(struct rf_attack_hellos *h, const struct rf_usual_port *from, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct port *p = from[i].key && from[i].key >> 16 < sizeof kinds / sizeof *kinds ? port_of(h, from[i].key) : NULL;
		if (p)
			p->hellos.usual = from[i].usual;
	}
}

struct rf_attack *rf_attack_hellos_find(struct rf_attack_hellos *h, const char *id)
{
	for (unsigned i = 0; i < RF_FEED_PORTS; i++)
		if (h->ports[i].attack.flood && strcmp(h->ports[i].attack.id, id) == 0)
			return &h->ports[i].attack;
	return NULL;
}

unsigned rf_attack_hellos_active(const struct rf_attack_hellos *h)
{
	unsigned n = 0;
	for (unsigned i = 0; i < RF_FEED_PORTS; i++)
		n += h->ports[i].attack.flood != NULL;
	return n;
}

struct rf_attack_hellos *rf_attack_hellos_new(struct rf_ctl *c, struct rf_attacks *a, unsigned workers)
{
	struct rf_attack_hellos *h = calloc(1, sizeof *h);
	if (h && !(h->seen = calloc((size_t)workers * RF_FEED_PORTS + 1, sizeof *h->seen))) {
		free(h);
		return NULL;
	}
	if (h) {
		h->c = c;
		h->a = a;
		h->workers = workers;
	}
	return h;
}

void rf_attack_hellos_free(struct rf_attack_hellos *h)
{
	if (!h)
		return;
	for (unsigned i = 0; i < RF_FEED_PORTS; i++) {
		json_decref(h->ports[i].attack.rules);
		free(h->ports[i].attack.flood);
	}
	free(h->seen);
	free(h);
}
