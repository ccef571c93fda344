/* ctl/port_gate: see port_gate.h.
 *
 * Invariants: the map holds at each place what the snapshot in force has there, and nothing at places without a listener. A port is in
 * `open` exactly where its sockets are with the workers.
 *
 * Not here: what happens on a connection (svc/l4), which ports the boot file allows (the monitor checks).
 */
#include "ctl/port_gate.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "bpf/steer.h"
#include "ctl/worker.h"
#include "monitor/client.h"
#include "monitor/ports.h"
#include "records/log.h"

enum { MAP_WORDS = RF_STEER_PLACES * RF_STEER_PLACE_WORDS, GROUP_KEY = 0x80000000u };

struct port { /* with sockets of its own, where the kernel does not steer */
	struct rf_ip at;  /* the listener's */
	bool udp, routed; /* routed: for all that nftables hands over to it */
	uint16_t port;
	bool failed;
	uint32_t key;     /* of its sockets with the workers */
};

struct rf_port_gate {
	struct rf_ctl *c;
	int monitor_fd;
	uint64_t *map;    /* of wanted ports; NULL: the kernel does not steer */
	struct rf_ip places[RF_STEER_PLACES]; /* family 0: none */
	bool grouped;     /* workers have the sockets that are steered to */
	struct port open[RF_PORT_BOUND_MAX];
	size_t open_count;
	uint32_t next_key;
	size_t missed;    /* ports for which there is no room */
};

/* --- which ports --- */

static bool stands_at(const struct rf_port *p, const struct rf_ip *place)
{
	if (!p->address_count)
		return true;
	for (size_t i = 0; i < p->address_count; i++)
		if (p->addresses[i].family == place->family &&
		    (rf_ip_unspecified(place) || rf_ip_unspecified(&p->addresses[i]) || rf_ip_eq(&p->addresses[i], place)))
			return true;
	return false;
}

static void set_bits(uint64_t *words, unsigned low, unsigned high)
{
	for (unsigned i = low / 64; i <= high / 64; i++) {
		unsigned from = i == low / 64 ? low % 64 : 0, to = i == high / 64 ? high % 64 : 63;
		words[i] |= UINT64_MAX << from & UINT64_MAX >> (63 - to);
	}
}

void rf_port_gate_bits(const struct rf_site *site, const struct rf_ip *place, uint64_t words[2 * 1024])
{
	memset(words, 0, 2 * 1024 * sizeof *words);
	for (size_t i = 0; i < site->port_count; i++) {
		const struct rf_port *p = site->port[i];
		if (stands_at(p, place))
			set_bits(words + (p->transport == RF_TRANSPORT_UDP) * RF_STEER_PORT_WORDS, p->low, p->high);
	}
}

/* The i-th listener, where it is one of ports. */
static const struct rf_boot_listener *boot_listener(const struct rf_port_gate *g, size_t i)
{
	const struct rf_boot *b = g->c->boot;
	return i < b->listener_count && b->listeners[i].protocol == RF_PROTO_PORTS ? &b->listeners[i] : NULL;
}

/* --- steered by the kernel --- */

static void write_map(struct rf_port_gate *g)
{
	static uint64_t words[RF_STEER_PLACE_WORDS];
	const struct rf_site *site = rf_snap_now()->site;
	for (size_t place = 0; place < RF_STEER_PLACES; place++) {
		uint64_t *at = g->map + place * RF_STEER_PLACE_WORDS;
		if (g->places[place].family)
			rf_port_gate_bits(site, &g->places[place], words);
		else
			memset(words, 0, sizeof words);
		for (size_t i = 0; i < RF_STEER_PLACE_WORDS; i++)
			if (__atomic_load_n(&at[i], __ATOMIC_RELAXED) != words[i])
				__atomic_store_n(&at[i], words[i], __ATOMIC_RELEASE);
	}
}

static void forget_map(struct rf_port_gate *g)
{
	if (g->map)
		munmap(g->map, MAP_WORDS * sizeof *g->map);
	g->map = NULL;
}

/* "0:3,1:5": place 0 is listener 3 ... */
static void read_places(struct rf_port_gate *g, struct rf_str text)
{
	struct rf_str part;
	uint64_t place, listener;
	memset(g->places, 0, sizeof g->places);
	while (rf_str_split(&text, ',', &part)) {
		size_t colon = rf_str_find(part, ':');
		if (rf_str_u64((struct rf_str){ part.p, colon }, &place) && place < RF_STEER_PLACES && colon < part.n &&
		    rf_str_u64(rf_str_skip(part, colon + 1), &listener) && boot_listener(g, listener))
			g->places[place] = boot_listener(g, listener)->address.ip;
	}
}

static int map_ports(struct rf_port_gate *g, struct rf_err *e)
{
	char places[RF_REQUEST_TEXT];
	int fd = -1;
	forget_map(g);
	int rc = rf_monitor_steer(g->monitor_fd, &fd, places, sizeof places, e);
	if (rc != RF_OK || fd < 0)
		return rc;
	void *at = mmap(NULL, MAP_WORDS * sizeof *g->map, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (at == MAP_FAILED)
		return rf_fail(e, RF_E_NOMEM, "the map of steered ports cannot be mapped");
	g->map = at;
	read_places(g, rf_str_z(places));
	return RF_OK;
}

/* Socket i goes to worker i; where there are fewer, they are shared. */
static int give(struct rf_port_gate *g, const int *fds, size_t n, struct rf_worker_port what, struct rf_err *e)
{
	int rc = RF_OK;
	for (size_t i = 0; i < g->c->worker_count && n; i++) {
		what.fd = i < n ? fds[i] : dup(fds[i % n]);
		if (what.fd < 0 || rf_worker_port_open(g->c->workers[i], &what) != RF_OK)
			rc = rf_fail(e, RF_E_FULL, "no memory or descriptor for a port");
	}
	for (size_t i = g->c->worker_count; i < n; i++)
		close(fds[i]);
	return rc;
}

static int give_groups(struct rf_port_gate *g, struct rf_err *e)
{
	int rc = RF_OK;
	for (unsigned group = 0; group < RF_PORT_GROUPS && rc == RF_OK && !g->grouped; group++) {
		int fds[RF_PLAN_SOCKETS_MAX];
		size_t n = 0;
		rc = rf_monitor_steered(g->monitor_fd, group, fds, RF_PLAN_SOCKETS_MAX, &n, e);
		if (rc == RF_OK)
			rc = give(g, fds, n, (struct rf_worker_port){ .key = GROUP_KEY | group, .udp = group & 1 }, e);
	}
	g->grouped = rc == RF_OK;
	return rc;
}

static void take_groups(struct rf_port_gate *g)
{
	for (unsigned group = 0; group < RF_PORT_GROUPS && g->grouped; group++)
		for (size_t i = 0; i < g->c->worker_count; i++)
			rf_worker_port_close(g->c->workers[i], GROUP_KEY | group);
	g->grouped = false;
}

/* --- sockets of single ports --- */

/* As requests name it; false where the boot file has its listener no more. */
static bool name_of(const struct rf_port_gate *g, const struct port *p, uint32_t *ret)
{
	for (unsigned i = 0; i < g->c->boot->listener_count; i++) {
		const struct rf_boot_listener *l = boot_listener(g, i);
		if (l && rf_ip_eq(&l->address.ip, &p->at) && l->address.port == (p->routed ? p->port : 0)) {
			*ret = rf_port_arg((struct rf_port_name){ i, p->udp, p->port });
			return true;
		}
	}
	return false;
}

static void open_port(struct rf_port_gate *g, struct port *p)
{
	int fds[RF_PLAN_SOCKETS_MAX];
	size_t count = 0;
	uint32_t arg;
	char ip[RF_IP_TEXT];
	struct rf_err e = { 0 };
	int rc = name_of(g, p, &arg) ? rf_monitor_bind(g->monitor_fd, arg, fds, RF_PLAN_SOCKETS_MAX, &count, &e) : RF_E_NOT_FOUND;
	if (rc == RF_OK)
		rc = give(g, fds, count, (struct rf_worker_port){ .key = p->key, .udp = p->udp, .port = p->routed ? 0 : p->port }, &e);
	if (rc != RF_OK && !p->failed)
		rf_log(RF_LOG_ERROR, "ports", "%s port %u at %s is not open: %s", p->udp ? "UDP" : "TCP", p->port, rf_ip_str(&p->at, ip), e.text);
	p->failed = rc != RF_OK;
}

static void close_port(struct rf_port_gate *g, const struct port *p)
{
	struct rf_err e;
	uint32_t arg;
	for (size_t i = 0; i < g->c->worker_count; i++)
		rf_worker_port_close(g->c->workers[i], p->key);
	if (name_of(g, p, &arg)) /* else the monitor has closed it */
		rf_monitor_unbind(g->monitor_fd, arg, &e);
}

static void want(struct rf_port_gate *g, struct port wanted)
{
	size_t i = 0;
	while (i < g->open_count && !(g->open[i].port == wanted.port && g->open[i].udp == wanted.udp && g->open[i].routed == wanted.routed &&
				      rf_ip_eq(&g->open[i].at, &wanted.at)))
		i++;
	if (i == RF_PORT_BOUND_MAX) {
		g->missed++;
		return;
	}
	bool fresh = i == g->open_count;
	if (fresh) {
		wanted.key = g->next_key++ & ~GROUP_KEY;
		g->open[g->open_count++] = wanted;
	}
	if (fresh || g->open[i].failed)
		open_port(g, &g->open[i]);
}

static void want_listener(struct rf_port_gate *g, const struct rf_ip *at)
{
	const struct rf_site *site = rf_snap_now()->site;
	for (size_t i = 0; i < site->port_count; i++) {
		const struct rf_port *p = site->port[i];
		if (stands_at(p, at))
			for (unsigned port = p->low; port <= p->high; port++)
				want(g, (struct port){ .at = *at, .udp = p->transport == RF_TRANSPORT_UDP, .port = (uint16_t)port });
	}
}

static bool still(const struct rf_port_gate *g, const struct port *p)
{
	static uint64_t words[RF_STEER_PLACE_WORDS];
	uint32_t arg;
	if (!name_of(g, p, &arg) || p->routed)
		return name_of(g, p, &arg);
	rf_port_gate_bits(rf_snap_now()->site, &p->at, words);
	return !g->map && words[p->udp * RF_STEER_PORT_WORDS + p->port / 64] >> p->port % 64 & 1;
}

static void bind_ports(struct rf_port_gate *g)
{
	size_t kept = 0, missed = g->missed;
	for (size_t i = 0; i < g->open_count; i++) {
		if (still(g, &g->open[i]))
			g->open[kept++] = g->open[i];
		else
			close_port(g, &g->open[i]);
	}
	g->open_count = kept;
	g->missed = 0;
	for (unsigned i = 0; i < g->c->boot->listener_count; i++) {
		const struct rf_boot_listener *l = boot_listener(g, i);
		for (int udp = 0; l && l->address.port && udp < 2; udp++)
			want(g, (struct port){ .at = l->address.ip, .udp = udp, .routed = true, .port = l->address.port });
		if (l && !l->address.port && !g->map)
			want_listener(g, &l->address.ip);
	}
	if (g->missed && g->missed != missed)
		rf_log(RF_LOG_ERROR, "ports", "%zu ports are not open: this kernel does not steer, and sockets of single ports are at most %d", g->missed,
		       RF_PORT_BOUND_MAX);
}

/* --- other programs --- */

int rf_port_gate_free_for(const struct rf_port_gate *g, const struct rf_port *p, struct rf_err *e)
{
	static uint64_t words[RF_STEER_PLACE_WORDS];
	const uint64_t *taken = words + (p->transport == RF_TRANSPORT_UDP) * RF_STEER_PORT_WORDS;
	for (unsigned i = 0; g && g->map && i < g->c->boot->listener_count; i++) {
		const struct rf_boot_listener *l = boot_listener(g, i);
		if (!l || l->address.port || !stands_at(p, &l->address.ip))
			continue;
		int rc = rf_monitor_taken(g->monitor_fd, i, words, e);
		if (rc != RF_OK)
			return rc;
		for (unsigned port = p->low; port <= p->high; port++)
			if (taken[port / 64] >> port % 64 & 1)
				return rf_fail_ptr(e, RF_E_CONFLICT, "/protocol", "another program of this machine receives at %s port %u, "
						   "where the listener %s stands; to take its place, set take_over",
						   p->transport == RF_TRANSPORT_UDP ? "UDP" : "TCP", port, l->name);
	}
	return RF_OK;
}

/* --- answers --- */

struct question {
	struct rf_msg msg;
	struct rf_port_gate *gate;
	struct rf_worker *worker;
	struct rf_ip at;
	uint16_t port;
};

static void answer(struct rf_loop *loop, struct rf_msg *msg)
{
	struct question *q = RF_CONTAINER(msg, struct question, msg);
	struct rf_port_gate *g = q->gate;
	struct rf_err e = { 0 };
	int fd = -1, rc = RF_E_NOT_FOUND;
	(void)loop;
	for (unsigned i = 0; i < g->c->boot->listener_count && rc != RF_OK; i++) {
		const struct rf_boot_listener *l = boot_listener(g, i);
		if (l && l->address.ip.family == q->at.family && (rf_ip_unspecified(&l->address.ip) || rf_ip_eq(&l->address.ip, &q->at)))
			rc = rf_monitor_reply(g->monitor_fd, rf_port_arg((struct rf_port_name){ i, true, q->port }), &q->at, &fd, &e);
	}
	if (rc != RF_OK)
		rf_log(RF_LOG_WARN, "ports", "no answers from UDP port %u: %s", q->port, e.text);
	rf_worker_port_reply(q->worker, &q->at, q->port, rc == RF_OK ? fd : -1);
	free(q);
}

void rf_port_gate_ask(void *gate, struct rf_worker *w, const struct rf_ip *at, uint16_t port)
{
	struct rf_port_gate *g = gate;
	struct question *q = malloc(sizeof *q);
	if (!q) {
		rf_worker_port_reply(w, at, port, -1);
		return;
	}
	*q = (struct question){ .msg.run = answer, .gate = g, .worker = w, .at = *at, .port = port };
	rf_loop_post(g->c->loop, &q->msg);
}

/* --- life --- */

int rf_port_gate_new(struct rf_ctl *c, int monitor_fd, struct rf_port_gate **ret, struct rf_err *e)
{
	struct rf_port_gate *g = calloc(1, sizeof *g);
	if (!g)
		return rf_fail(e, RF_E_NOMEM, "no memory for the sockets of ports");
	g->c = c;
	g->monitor_fd = monitor_fd;
	*ret = g;
	return RF_OK;
}

void rf_port_gate_free(struct rf_port_gate *g)
{
	if (!g)
		return;
	forget_map(g);
	free(g);
}

void rf_port_gate_apply(struct rf_port_gate *g)
{
	if (g->map)
		write_map(g);
	bind_ports(g);
}

void rf_port_gate_follow(struct rf_port_gate *g)
{
	struct rf_err e = { 0 };
	int rc = map_ports(g, &e);
	if (rc == RF_OK && g->map)
		rc = give_groups(g, &e);
	else
		take_groups(g);
	if (rc != RF_OK)
		rf_log(RF_LOG_ERROR, "ports", "ports are not steered: %s", e.text);
	rf_port_gate_apply(g);
}

static const char *way(const struct rf_port_gate *g)
{
	bool any = false;
	for (size_t i = 0; i < g->c->boot->listener_count; i++)
		any |= boot_listener(g, i) != NULL;
	return g->map ? "steered" : any ? "bound" : "none";
}

json_t *rf_port_gate_status(const struct rf_port_gate *g)
{
	const struct rf_site *site = rf_snap_now()->site;
	json_t *listeners = json_array(), *failed = json_array();
	uint64_t ports = 0;
	for (size_t i = 0; i < site->port_count; i++)
		ports += site->port[i]->high - site->port[i]->low + 1u;
	for (size_t i = 0; i < g->c->boot->listener_count; i++)
		if (boot_listener(g, i))
			json_array_append_new(listeners, json_string(g->c->boot->listeners[i].name));
	for (size_t i = 0; i < g->open_count; i++) {
		char text[32];
		snprintf(text, sizeof text, "%s/%u", g->open[i].udp ? "udp" : "tcp", g->open[i].port);
		if (g->open[i].failed)
			json_array_append_new(failed, json_string(text));
	}
	return json_pack("{s:s, s:o, s:I, s:I, s:o, s:I}", "way", way(g), "listeners", listeners, "apps", (json_int_t)site->port_count, "ports",
			 (json_int_t)ports, "failed", failed, "missed", (json_int_t)g->missed);
}
