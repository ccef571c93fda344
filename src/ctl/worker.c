/* ctl/worker: assembles a data-path thread and carries the control thread's messages to it.
 *
 * Made on the control thread, run on its own; from then on only messages reach it. A message that cannot be
 * allocated for a revocation would fail open, so the worker keeps one spare that means "look at everything".
 */
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>
#include "ctl/worker.h"
#include "base/way.h"
#include "ctl/worker_ports.h"
#include "net/addr.h"
#include "net/listener.h"
#include "records/counters.h"
#include "records/log.h"
#include "shield/shield.h"

enum { BUFFERS_CACHED = 256 };

struct listening {
	struct rf_listener listener;
	struct rf_front_listener facts; /* outlives the connections that it accepted */
	struct rf_prefix *trusted;
	struct rf_worker *worker;
	struct rf_node node;           /* of worker->listening or ->retired */
};

struct rf_worker_message {
	struct rf_msg msg;
	struct rf_worker *worker;
	void (*act)(struct rf_worker_message *m);
	char device[RF_ID_LEN + 1];
	uint64_t bound_ns;
	struct rf_front_conf front;
	struct rf_http_conf conf;
	struct rf_worker_ports_conf ports;
	struct rf_node listening;      /* the new ones */
	struct rf_worker_port port;
	struct rf_ip at;
};

struct rf_worker {
	struct rf_ctl *ctl;
	struct rf_loop *loop;
	struct rf_tls *tls;
	struct rf_resolver *resolver;
	struct rf_pool *pool;
	struct rf_front *front;
	struct rf_http_edge *edge;
	struct rf_worker_ports *ports;
	struct rf_bufpool bufs;
	struct rf_registry *registry;
	struct rf_ring *ring;
	const struct rf_watch *watch;
	struct rf_samples *samples;
	void (*local)(void *arg, struct rf_local_request *q);
	void *local_arg;
	void (*reply_socket)(void *arg, struct rf_worker *w, const struct rf_ip *at, uint16_t port);
	void *reply_arg;
	unsigned draining;             /* parts that are not done */
	struct rf_node listening, retired;
	struct rf_msg *done;
	pthread_t thread;
	unsigned index;
	bool started;
	_Atomic bool all_pending;      /* the spare is under way */
	struct rf_worker_message spare;
};

/* --- what TLS asks --- */

static const struct rf_trust *tls_trust(void *arg)
{
	(void)arg;
	return rf_snap_now()->trust;
}

static bool tls_denied(void *arg, const struct rf_tls_peer *p)
{
	struct rf_worker *w = arg;
	return rf_identity_denied(w->registry, p);
}

static uint64_t tls_denials(void *arg)
{
	struct rf_worker *w = arg;
	return rf_registry_denials(w->registry);
}

/* --- settings --- */

static struct rf_front_conf front_conf_of(const struct rf_ctl *c)
{
	const struct rf_boot *b = c->boot;
	size_t workers = c->worker_count ? c->worker_count : 1;
	struct rf_front_conf conf = rf_front_conf_default;
	conf.connections = (uint32_t)((b->limits_connections + workers - 1) / workers);
	conf.connections_per_address = (uint32_t)b->limits_connections_per_address;
	conf.handshakes = (uint32_t)b->limits_handshakes;
	conf.handshakes_per_address = (uint32_t)b->limits_handshakes_per_address;
	conf.handshake_ns = b->timeout_handshake;
	conf.rule_memory = b->limits_request_memory;
	return conf;
}

static struct rf_http_conf conf_of(const struct rf_ctl *c)
{
	const struct rf_boot *b = c->boot;
	struct rf_http_conf conf = rf_http_conf_default;
	conf.heads = rf_http_limits_default;
	conf.heads.head = (uint32_t)b->limits_header_bytes;
	conf.heads.headers = (uint16_t)b->limits_headers;
	conf.requests_per_connection = (uint32_t)b->limits_requests_per_connection;
	conf.requests_per_address = (uint32_t)b->limits_requests_per_address;
	conf.request_memory = b->limits_request_memory;
	conf.max_body = b->limits_body_bytes;
	conf.rule_body = b->limits_rule_body;
	conf.head_ns = b->timeout_header;
	conf.body_ns = b->timeout_body;
	conf.idle_ns = b->timeout_idle;
	conf.response_ns = b->timeout_response;
	conf.write_ns = b->timeout_body;
	conf.tunnel_ns = b->timeout_tunnel;
	conf.min_body_rate = (uint32_t)b->min_body_rate;
	conf.samples_rate = (uint32_t)b->samples_rate;
	conf.samples_body = (size_t)b->samples_body;
	conf.samples_secrets = b->samples_secrets;
	return conf;
}

static int tls_version(int choice)
{
	static const int versions[] = { TLS1_VERSION, TLS1_1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION };
	return versions[choice];
}

/* --- listeners --- */

static void on_accept(struct rf_listener *l, int fd, const struct rf_addr *peer)
{
	struct listening *at = RF_CONTAINER(l, struct listening, listener);
	rf_front_accept(at->worker->front, &at->facts, fd, peer);
}

static struct listening *listening_new(struct rf_worker *w, const struct rf_worker_listener *from)
{
	const struct rf_boot_listener *b = from->boot;
	struct listening *at = calloc(1, sizeof *at);
	if (!at || !(at->trusted = calloc(b->trusted.n + 1, sizeof *at->trusted))) {
		free(at);
		return NULL;
	}
	if (b->trusted.n)
		memcpy(at->trusted, b->trusted.v, b->trusted.n * sizeof *at->trusted);
	struct rf_addr bound = rf_listener_addr(from->fd);
	at->worker = w;
	at->listener.io.fd = from->fd;
	at->facts = (struct rf_front_listener){ .service = &rf_http_service, .service_arg = w->edge,
		.tls = b->protocol == RF_PROTO_HTTPS, .min_version = tls_version(b->min_version), .proxy = b->proxy_protocol,
		.trusted = at->trusted, .trusted_count = b->trusted.n, .ip = b->address.ip,
		.port = bound.len ? rf_addr_port(&bound) : b->address.port,
	};
	return at;
}

static void listening_free(struct listening *at)
{
	if (at->listener.loop)
		rf_listener_close(&at->listener);
	else if (at->listener.io.fd >= 0)
		close(at->listener.io.fd);
	free(at->trusted);
	free(at);
}

static void adopt(struct rf_worker_message *m)
{
	struct rf_worker *w = m->worker;
	RF_LIST_EACH(it, &w->listening) {
		struct listening *at = RF_CONTAINER(it, struct listening, node);
		rf_listener_close(&at->listener);
		rf_list_del(it);
		rf_list_push(&w->retired, it);
	}
	RF_LIST_EACH(it, &m->listening) {
		struct listening *at = RF_CONTAINER(it, struct listening, node);
		rf_list_del(it);
		rf_list_push(&w->listening, it);
		rf_listener_adopt(&at->listener, w->loop, at->listener.io.fd, on_accept);
	}
	rf_front_conf(w->front, &m->front);
	rf_http_edge_conf(w->edge, &m->conf);
	rf_worker_ports_conf(w->ports, &m->ports);
}

/* --- messages --- */

static void run(struct rf_loop *loop, struct rf_msg *msg)
{
	(void)loop;
	struct rf_worker_message *m = RF_CONTAINER(msg, struct rf_worker_message, msg);
	struct rf_worker *w = m->worker;
	if (m == &w->spare)
		atomic_store(&w->all_pending, false);
	m->act(m);
	if (m != &w->spare)
		free(m);
}

static struct rf_worker_message *message_new(struct rf_worker *w, void (*act)(struct rf_worker_message *m))
{
	struct rf_worker_message *m = calloc(1, sizeof *m);
	if (m) {
		m->msg.run = run;
		m->worker = w;
		m->act = act;
		rf_list_init(&m->listening);
	}
	return m;
}

static void recheck(struct rf_worker_message *m)
{
	rf_front_recheck(m->worker->front);
	rf_worker_ports_recheck(m->worker->ports);
}

static void port_open(struct rf_worker_message *m)
{
	if (rf_worker_ports_open(m->worker->ports, &m->port) != RF_OK)
		rf_log(RF_LOG_ERROR, "ports", "a socket of ports is not served: no memory or descriptor");
}

static void port_close(struct rf_worker_message *m)
{
	rf_worker_ports_close(m->worker->ports, m->port.key);
}

static void port_reply(struct rf_worker_message *m)
{
	rf_worker_ports_reply(m->worker->ports, &m->at, m->port.port, m->port.fd);
}

static void sever(struct rf_worker_message *m)
{
	rf_front_sever(m->worker->front, rf_str_z(m->device));
}

void rf_worker_recheck(struct rf_worker *w)
{
	if (!atomic_exchange(&w->all_pending, true))
		rf_loop_post(w->loop, &w->spare.msg);
}

void rf_worker_sever(struct rf_worker *w, const char *device_id)
{
	struct rf_worker_message *m = message_new(w, sever);
	if (!m) {
		rf_worker_recheck(w); /* it also ends connections of devices whose state has become revoked */
		return;
	}
	memcpy(m->device, device_id, strnlen(device_id, RF_ID_LEN));
	rf_loop_post(w->loop, &m->msg);
}

int rf_worker_port_open(struct rf_worker *w, const struct rf_worker_port *p)
{
	struct rf_worker_message *m = message_new(w, port_open);
	if (!m) {
		close(p->fd);
		return RF_E_NOMEM;
	}
	m->port = *p;
	rf_loop_post(w->loop, &m->msg);
	return RF_OK;
}

void rf_worker_port_close(struct rf_worker *w, uint32_t key)
{
	struct rf_worker_message *m = message_new(w, port_close);
	if (!m)
		return; /* it stays open; the snapshot has nothing there, and connections end at once */
	m->port.key = key;
	rf_loop_post(w->loop, &m->msg);
}

void rf_worker_port_reply(struct rf_worker *w, const struct rf_ip *at, uint16_t port, int fd)
{
	struct rf_worker_message *m = message_new(w, port_reply);
	if (!m) {
		if (fd >= 0)
			close(fd);
		return;
	}
	m->at = *at;
	m->port = (struct rf_worker_port){ .fd = fd, .port = port };
	rf_loop_post(w->loop, &m->msg);
}

int rf_worker_listen_make(struct rf_worker *w, const struct rf_worker_listener *v, size_t n, struct rf_worker_message **ret)
{
	struct rf_worker_message *m = message_new(w, adopt);
	bool good = m;
	for (size_t i = 0; i < n; i++) {
		struct listening *at = good ? listening_new(w, &v[i]) : NULL;
		if (at)
			rf_list_push(&m->listening, &at->node);
		else
			close(v[i].fd);
		good = good && at;
	}
	if (!good) {
		rf_worker_listen_drop(m);
		return RF_E_NOMEM;
	}
	m->front = front_conf_of(w->ctl);
	m->conf = conf_of(w->ctl);
	m->ports = rf_worker_ports_conf_of(w->ctl->boot, w->ctl->worker_count);
	*ret = m;
	return RF_OK;
}

void rf_worker_listen_go(struct rf_worker_message *m) { rf_loop_post(m->worker->loop, &m->msg); }

void rf_worker_listen_drop(struct rf_worker_message *m)
{
	if (!m)
		return;
	RF_LIST_EACH(it, &m->listening)
		listening_free(RF_CONTAINER(it, struct listening, node));
	free(m);
}

static void drained(void *arg)
{
	struct rf_worker *w = arg;
	if (--w->draining == 0)
		rf_loop_stop(w->loop);
}

static void drain(struct rf_worker_message *m)
{
	struct rf_worker *w = m->worker;
	RF_LIST_EACH(it, &w->listening)
		rf_listener_close(&RF_CONTAINER(it, struct listening, node)->listener);
	w->draining = 2;
	rf_worker_ports_drain(w->ports, m->bound_ns, drained, w);
	rf_front_drain(w->front, m->bound_ns, drained, w);
}

void rf_worker_drain(struct rf_worker *w, uint64_t bound_ns, struct rf_msg *done)
{
	struct rf_worker_message *m = message_new(w, drain);
	w->done = done;
	if (!m) {
		rf_loop_stop(w->loop); /* without memory for a message there is none for good manners */
		return;
	}
	m->bound_ns = bound_ns;
	rf_loop_post(w->loop, &m->msg);
}

/* --- life --- */

static void *life(void *arg)
{
	struct rf_worker *w = arg;
	rf_way_first();
	rf_counters_attach();
	rf_registry_thread_start();
	rf_loop_run(w->loop);
	rf_registry_thread_stop();
	rf_counters_detach();
	if (w->done)
		rf_loop_post(w->ctl->loop, w->done);
	return NULL;
}

static int make_tls(struct rf_worker *w, struct rf_err *e)
{
	const struct rf_boot *b = w->ctl->boot;
	struct rf_tls_conf conf = {
		.host = rf_front_tls_host, .trust = tls_trust, .denied = tls_denied, .denials = tls_denials, .arg = w,
		.session_cache = (unsigned)b->session_cache, .chain_cache = (unsigned)b->chain_cache,
		.session_timeout_s = (uint32_t)(b->session_timeout / RF_NS_S), .clock = w->ctl->clock,
	};
	w->tls = rf_tls_new(&conf, e);
	return w->tls ? RF_OK : e->code;
}

static void emit(void *arg, const struct rf_record *rec)
{
	struct rf_worker *w = arg;
	if (!w->watch || rf_watch_on(w->watch))
		rf_record_emit(w->ring, rec);
}

static void keep_sample(void *arg, struct rf_str line)
{
	struct rf_worker *w = arg;
	rf_samples_put(w->samples, line);
}

static bool barred(void *arg, const struct rf_ip *src)
{
	const struct rf_worker *w = arg;
	return rf_shield_judge(w->ctl->shield, src) == RF_SHIELD_DENY;
}

static void hand_over(void *arg, struct rf_local_request *q)
{
	struct rf_worker *w = arg;
	w->local(w->local_arg, q);
}

static void reply_socket(void *arg, const struct rf_ip *at, uint16_t port)
{
	struct rf_worker *w = arg;
	w->reply_socket(w->reply_arg, w, at, port);
}

static int make_ports(struct rf_worker *w, const struct rf_worker_spec *spec, struct rf_err *e)
{
	uint64_t seed = 0;
	if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
		return rf_fail(e, RF_E_IO, "no random numbers");
	struct rf_worker_ports_spec s = {
		.loop = w->loop, .front = w->front, .edge = w->edge, .pool = w->pool, .resolver = w->resolver, .emit = spec->ring ? emit : NULL,
		.barred = barred, .reply_socket = spec->reply_socket ? reply_socket : NULL, .arg = w, .seed = seed,
	};
	w->ports = rf_worker_ports_new(&s, w->ctl->boot, w->ctl->worker_count);
	return w->ports ? RF_OK : rf_fail(e, RF_E_NOMEM, "no memory for a worker");
}

static int make_front(struct rf_worker *w, const struct rf_worker_spec *spec, struct rf_err *e)
{
	struct rf_front_conf conf = front_conf_of(w->ctl);
	uint64_t seed = 0;
	if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
		return rf_fail(e, RF_E_IO, "no random numbers");
	struct rf_front_spec s = {
		.loop = w->loop, .tls = w->tls, .bufs = &w->bufs, .conf = &conf, .identity = spec->identity, .snap = rf_snap_now,
		.emit = spec->ring ? emit : NULL, .barred = barred, .arg = w, .feed = spec->feed,
		.homes = w->ctl->shield ? rf_shield_homes(w->ctl->shield) : NULL, .seed = seed,
	};
	w->front = rf_front_new(&s);
	return w->front ? RF_OK : rf_fail(e, RF_E_NOMEM, "no memory for a worker");
}

static int make_edge(struct rf_worker *w, const struct rf_worker_spec *spec, struct rf_err *e)
{
	struct rf_http_conf conf = conf_of(w->ctl);
	struct rf_http_edge_spec s = {
		.front = w->front, .pool = w->pool, .conf = &conf, .limits = w->ctl->limits,
		.sample = spec->samples ? keep_sample : NULL, .local = spec->local ? hand_over : NULL, .feed = spec->feed, .arg = w,
	};
	w->edge = rf_http_edge_new(&s);
	return w->edge ? RF_OK : rf_fail(e, RF_E_NOMEM, "no memory for a worker");
}

static int build(struct rf_worker *w, const struct rf_worker_spec *spec, struct rf_err *e)
{
	if (!(w->loop = rf_loop_epoll(e)))
		return e->code;
	rf_loop_hook(w->loop, rf_registry_quiet, NULL);
	if (make_tls(w, e) != RF_OK || !(w->resolver = rf_resolver_new(w->loop, NULL, e)))
		return e->code;
	if (!(w->pool = rf_pool_new(w->loop, w->tls, w->resolver)))
		return rf_fail(e, RF_E_NOMEM, "no memory for a worker");
	int rc = make_front(w, spec, e);
	if (rc == RF_OK)
		rc = make_edge(w, spec, e);
	return rc == RF_OK ? make_ports(w, spec, e) : rc;
}

int rf_worker_new(const struct rf_worker_spec *spec, struct rf_worker **ret, struct rf_err *e)
{
	struct rf_worker *w = calloc(1, sizeof *w);
	if (!w)
		return rf_fail(e, RF_E_NOMEM, "no memory for a worker");
	w->ctl = spec->ctl;
	w->index = spec->index;
	w->registry = spec->identity.registry;
	w->ring = spec->ring;
	w->watch = spec->watch;
	w->samples = spec->samples;
	w->local = spec->local;
	w->local_arg = spec->local_arg;
	w->reply_socket = spec->reply_socket;
	w->reply_arg = spec->reply_arg;
	w->spare = (struct rf_worker_message){ .msg = { .run = run }, .worker = w, .act = recheck };
	rf_list_init(&w->listening);
	rf_list_init(&w->retired);
	rf_bufpool_init(&w->bufs, UINT32_MAX, BUFFERS_CACHED);
	int rc = build(w, spec, e);
	if (rc != RF_OK) {
		rf_worker_free(w);
		return rc;
	}
	*ret = w;
	return RF_OK;
}

int rf_worker_start(struct rf_worker *w, struct rf_err *e)
{
	if (pthread_create(&w->thread, NULL, life, w) != 0)
		return rf_fail(e, RF_E_NOMEM, "no thread for worker %u", w->index);
	w->started = true;
	return RF_OK;
}

void rf_worker_free(struct rf_worker *w)
{
	if (!w)
		return;
	if (w->started)
		pthread_join(w->thread, NULL);
	RF_LIST_EACH(it, &w->listening)
		listening_free(RF_CONTAINER(it, struct listening, node));
	rf_worker_ports_free(w->ports);
	rf_front_free(w->front);
	rf_http_edge_free(w->edge);
	if (w->pool)
		rf_pool_free(w->pool);
	if (w->resolver)
		rf_resolver_free(w->resolver);
	RF_LIST_EACH(it, &w->retired)
		listening_free(RF_CONTAINER(it, struct listening, node));
	rf_tls_free(w->tls);
	if (w->loop)
		rf_loop_free(w->loop);
	rf_bufpool_fini(&w->bufs);
	free(w);
}
