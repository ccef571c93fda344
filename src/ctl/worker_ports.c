/* ctl/worker_ports: see worker_ports.h.
 *
 * A socket comes with a key and goes by it. TCP: accepted -> front -> svc/l4. UDP: svc/l4/udp has the descriptor.
 */
#include "ctl/worker_ports.h"
#include <stdlib.h>
#include <unistd.h>
#include "net/addr.h"
#include "net/listener.h"
#include "svc/http/edge.h"
#include "svc/l4/l4.h"

struct gate {
	struct rf_node node;
	struct rf_worker_ports *ports;
	uint32_t key;
	struct rf_listener listener;        /* of TCP */
	struct rf_l4_udp_socket *datagrams; /* NULL: TCP */
};

struct rf_worker_ports {
	struct rf_loop *loop;
	struct rf_front *front;
	struct rf_l4 *l4;
	struct rf_l4_udp *udp;
	struct rf_pool *pool;
	struct rf_front_listener facts[3];  /* of all TCP sockets, by enum rf_port_traffic; they outlive their connections */
	struct rf_node gates;
	struct rf_worker_ports_conf conf;
};

/* --- origins that are the edge itself --- */

static bool stands_at(const struct rf_worker_ports *p, const struct rf_ip *ip)
{
	bool loopback = ip->family == 4 ? ip->b[0] == 127 : rf_ip_eq(ip, &(struct rf_ip){ 6, { [15] = 1 } });
	for (size_t i = 0; i < p->conf.at_count; i++) {
		const struct rf_ip *at = &p->conf.at[i];
		if (rf_ip_eq(at, ip) || (loopback && at->family == ip->family && rf_ip_unspecified(at)))
			return true;
	}
	return false;
}

/* Is this, of an origin of the app `id`, the app's own port? What goes there would come back, again and again. */
static bool leads_back(void *arg, const char *id, const struct rf_addr *to)
{
	const struct rf_worker_ports *p = arg;
	struct rf_ip ip = rf_addr_ip(to);
	if (!stands_at(p, &ip))
		return false;
	for (int t = 0; t < RF_TRANSPORTS; t++) {
		const struct rf_port *port = rf_ports_find(rf_snap_now()->site->ports, (enum rf_transport)t, &ip, rf_addr_port(to));
		if (port && strcmp(port->id, id) == 0)
			return true;
	}
	return false;
}

/* --- sockets --- */

/* Who serves where it was accepted? Asked only where the answer is not always svc/l4. */
static enum rf_port_traffic traffic_of(int fd)
{
	const struct rf_site *site = rf_snap_now()->site;
	if (!site->ports_http)
		return RF_PORT_DIRECT;
	struct rf_addr at = rf_listener_addr(fd);
	struct rf_ip ip = rf_addr_ip(&at);
	const struct rf_port *p = rf_ports_find(site->ports, RF_TRANSPORT_TCP, &ip, rf_addr_port(&at));
	return p ? p->traffic : RF_PORT_DIRECT;
}

static void on_accept(struct rf_listener *l, int fd, const struct rf_addr *peer)
{
	struct rf_worker_ports *p = RF_CONTAINER(l, struct gate, listener)->ports;
	rf_front_accept(p->front, &p->facts[traffic_of(fd)], fd, peer);
}

static void gate_free(struct gate *g)
{
	if (g->datagrams)
		rf_l4_udp_unlisten(g->datagrams);
	else
		rf_listener_close(&g->listener);
	rf_list_del(&g->node);
	free(g);
}

int rf_worker_ports_open(struct rf_worker_ports *p, const struct rf_worker_port *what)
{
	struct gate *g = calloc(1, sizeof *g);
	if (!g) {
		close(what->fd);
		return RF_E_NOMEM;
	}
	g->ports = p;
	g->key = what->key;
	int rc = what->udp ? rf_l4_udp_listen(p->udp, what->fd, what->port, &g->datagrams) :
		rf_listener_adopt(&g->listener, p->loop, what->fd, on_accept);
	if (rc == RF_OK)
		rf_list_push(&p->gates, &g->node);
	else
		free(g);
	return rc;
}

void rf_worker_ports_close(struct rf_worker_ports *p, uint32_t key)
{
	RF_LIST_EACH(it, &p->gates) {
		struct gate *g = RF_CONTAINER(it, struct gate, node);
		if (g->key == key)
			gate_free(g);
	}
}

void rf_worker_ports_reply(struct rf_worker_ports *p, const struct rf_ip *at, uint16_t port, int fd)
{
	rf_l4_udp_reply(p->udp, at, port, fd);
}

size_t rf_worker_ports_recheck(struct rf_worker_ports *p)
{
	rf_l4_udp_recheck(p->udp);
	return rf_l4_recheck(p->l4);
}

void rf_worker_ports_drain(struct rf_worker_ports *p, uint64_t bound_ns, void (*done)(void *arg), void *arg)
{
	RF_LIST_EACH(it, &p->gates) /* datagrams too: who takes over has the same sockets, and what is read here is lost there */
		gate_free(RF_CONTAINER(it, struct gate, node));
	rf_l4_udp_drain(p->udp, bound_ns, done, arg);
}

/* --- settings --- */

struct rf_worker_ports_conf rf_worker_ports_conf_of(const struct rf_boot *b, size_t workers)
{
	struct rf_worker_ports_conf conf = { .udp = rf_l4_udp_conf_default };
	size_t n = workers ? workers : 1;
	conf.udp.sessions = (uint32_t)((b->limits_udp_sessions + n - 1) / n);
	conf.udp.sessions_per_address = (uint32_t)b->limits_udp_sessions_per_address;
	conf.udp.session_rate = (uint32_t)b->limits_udp_session_rate;
	conf.udp.rule_memory = b->limits_request_memory;
	for (size_t i = 0; i < b->listener_count; i++)
		if (b->listeners[i].protocol == RF_PROTO_PORTS && !b->listeners[i].address.port)
			conf.at[conf.at_count++] = b->listeners[i].address.ip;
	return conf;
}

void rf_worker_ports_conf(struct rf_worker_ports *p, const struct rf_worker_ports_conf *conf)
{
	p->conf = *conf;
	rf_l4_udp_conf(p->udp, &conf->udp);
}

struct rf_worker_ports *rf_worker_ports_new(const struct rf_worker_ports_spec *s, const struct rf_boot *b, size_t workers)
{
	struct rf_worker_ports *p = calloc(1, sizeof *p);
	if (!p)
		return NULL;
	p->conf = rf_worker_ports_conf_of(b, workers);
	struct rf_l4_udp_spec udp = {
		.loop = s->loop, .resolver = s->resolver, .conf = &p->conf.udp, .snap = rf_snap_now, .emit = s->emit, .barred = s->barred,
		.homes = s->front->homes, .feed = s->front->feed, .reply_socket = s->reply_socket, .arg = s->arg, .seed = s->seed,
		.leads_back = leads_back, .leads_back_arg = p,
	};
	rf_list_init(&p->gates);
	rf_pool_bar(s->pool, leads_back, p);
	p->loop = s->loop;
	p->pool = s->pool;
	p->front = s->front;
	p->l4 = rf_l4_new(s->front, s->pool, NULL);
	p->udp = rf_l4_udp_new(&udp);
	p->facts[RF_PORT_DIRECT] = (struct rf_front_listener){ .service = &rf_l4_service, .service_arg = p->l4, .any = true };
	p->facts[RF_PORT_HTTP] = (struct rf_front_listener){ .service = &rf_http_service, .service_arg = s->edge, .any = true };
	p->facts[RF_PORT_HTTPS] = (struct rf_front_listener){ .service = &rf_http_service, .service_arg = s->edge, .any = true, .tls = true };
	if (p->l4 && p->udp)
		return p;
	rf_worker_ports_free(p);
	return NULL;
}

void rf_worker_ports_free(struct rf_worker_ports *p)
{
	if (!p)
		return;
	RF_LIST_EACH(it, &p->gates)
		gate_free(RF_CONTAINER(it, struct gate, node));
	rf_l4_udp_free(p->udp);
	rf_l4_free(p->l4);
	rf_pool_bar(p->pool, NULL, NULL);
	free(p);
}
