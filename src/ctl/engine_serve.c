/* ctl/engine_serve: TLS of the control thread, checks of origins, ports, workers, listeners, the API: what meets the network. */
#include <errno.h>
#include <grp.h>
#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>
#include "api/api.h"
#include "api/server.h"
#include "api/state.h"
#include "ctl/attacks.h"
#include "ctl/captures.h"
#include "ctl/devices.h"
#include "ctl/engine_in.h"
#include "ctl/local.h"
#include "ctl/plan.h"
#include "ctl/port_gate.h"
#include "ctl/port_names.h"
#include "ctl/worker.h"
#include "egress/health.h"
#include "monitor/client.h"
#include "net/listener.h"
#include "shield/homes.h"
#include "shield/shield.h"

/* --- TLS of the control thread: the API's server side, checks of origins --- */

/* The API's own key and certificate: of the boot file, else one of our CA. */
static int api_keypair(struct engine *g, struct rf_keypair **ret, struct rf_err *e)
{
	const struct rf_boot *b = g->ctl.boot;
	struct rf_san sans[] = { { RF_SAN_DNS, RF_STR("localhost") }, { RF_SAN_IP, RF_STR("127.0.0.1") }, { RF_SAN_IP, RF_STR("::1") } };
	struct rf_issue own = { .days = RF_CTL_OWN_DAYS, .cn = RF_STR("Ringfence API"), .sans = sans, .san_count = 3, .server = true };
	return b->api_certificate[0] ? rf_ctl_keypair_files(&g->ctl, b->api_certificate, b->api_key, ret, e) :
				       rf_ctl_own_keypair(&g->ctl, &own, ret, e);
}

static bool api_host(void *arg, struct rf_stream *s, struct rf_str sni, struct rf_tls_host *ret)
{
	(void)s, (void)sni;
	struct engine *g = arg;
	*ret = (struct rf_tls_host){ .keypair = { g->api_pair } };
	return true;
}

static const struct rf_trust *api_trust(void *arg)
{
	(void)arg;
	return rf_snap_now()->trust;
}

int tls_up(struct engine *g, struct rf_err *e)
{
	struct rf_tls_conf conf = { .host = api_host, .trust = api_trust, .arg = g, .session_cache = 1000, .chain_cache = 1,
				    .session_timeout_s = 3600, .clock = g->ctl.clock };
	int rc = api_keypair(g, &g->api_pair, e);
	if (rc != RF_OK)
		return rc;
	g->tls = rf_tls_new(&conf, e);
	return g->tls ? RF_OK : e->code;
}

void tls_down(struct engine *g)
{
	rf_tls_free(g->tls);
	rf_keypair_put(g->api_pair);
}

/* --- checks of origins --- */

static void site_changed(struct rf_ctl *c)
{
	struct engine *g = engine_of(c);
	const struct rf_site *site = rf_snap_now()->site;
	struct rf_origin_group **v = calloc(site->app_count + site->port_count + 1, sizeof *v);
	size_t n = 0;
	for (size_t i = 0; v && i < site->app_count; i++)
		v[n++] = site->apps[i]->origins;
	for (size_t i = 0; v && i < site->port_count; i++)
		if (site->port[i]->traffic == RF_PORT_DIRECT) /* else an app has them */
			v[n++] = site->port[i]->origins;
	if (!v || rf_health_watch(g->health, v, n) != RF_OK)
		rf_log(RF_LOG_ERROR, "health", "some origins are not checked: no memory");
	free(v);
	if (c->priv->port_names)
		rf_port_names_follow(c->priv->port_names);
	if (c->priv->port_gate)
		rf_port_gate_apply(c->priv->port_gate);
}

static void origin_changed(void *arg, const struct rf_origin *o, bool up)
{
	(void)arg;
	rf_log(up ? RF_LOG_INFO : RF_LOG_WARN, "health", "origin %.*s is %s", RF_ARG(o->url), up ? "up" : "down");
}

int health_up(struct engine *g, struct rf_err *e)
{
	g->resolver = rf_resolver_new(g->ctl.loop, NULL, e);
	if (!g->resolver)
		return e->code;
	g->health = rf_health_new(g->ctl.loop, g->tls, g->resolver);
	if (!g->health)
		return rf_fail(e, RF_E_NOMEM, "no memory for checks of origins");
	rf_health_tell(g->health, origin_changed, NULL);
	g->ctl.priv->site_changed = site_changed;
	site_changed(&g->ctl);
	return RF_OK;
}

void health_down(struct engine *g)
{
	if (g->ctl.priv)
		g->ctl.priv->site_changed = NULL;
	if (g->health)
		rf_health_free(g->health);
	if (g->resolver)
		rf_resolver_free(g->resolver);
}

/* --- ports --- */

int ports_up(struct engine *g, struct rf_err *e)
{
	int rc = rf_port_names_new(&g->ctl, NULL, &g->ctl.priv->port_names, e);
	if (rc == RF_OK)
		rf_port_names_follow(g->ctl.priv->port_names);
	return rc;
}

void ports_down(struct engine *g)
{
	if (!g->ctl.priv)
		return;
	rf_port_names_free(g->ctl.priv->port_names);
	g->ctl.priv->port_names = NULL;
}

int gate_up(struct engine *g, struct rf_err *e)
{
	return rf_port_gate_new(&g->ctl, g->monitor_fd, &g->ctl.priv->port_gate, e);
}

void gate_down(struct engine *g)
{
	if (!g->ctl.priv)
		return;
	rf_port_gate_free(g->ctl.priv->port_gate);
	g->ctl.priv->port_gate = NULL;
}

/* --- workers --- */

int local_up(struct engine *g, struct rf_err *e)
{
	return rf_local_new(&g->ctl, &g->local, e);
}

void local_down(struct engine *g)
{
	rf_local_free(g->local);
}

static int worker_up(struct engine *g, unsigned i, struct rf_err *e)
{
	struct rf_worker_spec spec = {
		.ctl = &g->ctl, .index = i, .ring = rf_writer_ring(g->writer, i),
		.watch = rf_writer_wanted(g->writer) ? NULL : g->watch, .samples = g->samples,
		.feed = rf_attacks_feed(g->ctl.priv->attacks, i),
		.identity = { .registry = g->ctl.devices, .event = rf_devices_event, .arg = g->ctl.priv->devices },
		.local = rf_local_handle, .local_arg = g->local, .reply_socket = rf_port_gate_ask, .reply_arg = g->ctl.priv->port_gate,
	};
	int rc = rf_worker_new(&spec, &g->ctl.workers[i], e);
	return rc == RF_OK ? rf_worker_start(g->ctl.workers[i], e) : rc;
}

int workers_up(struct engine *g, struct rf_err *e)
{
	unsigned n = rf_boot_workers(g->ctl.boot);
	g->ctl.workers = calloc(n, sizeof *g->ctl.workers);
	g->ends = calloc(n, sizeof *g->ends);
	if (!g->ctl.workers || !g->ends)
		return rf_fail(e, RF_E_NOMEM, "no memory for workers");
	g->ctl.worker_count = n;
	for (unsigned i = 0; i < n; i++) {
		int rc = worker_up(g, i, e);
		if (rc != RF_OK)
			return rc;
	}
	return RF_OK;
}

static void ended(struct rf_loop *loop, struct rf_msg *m)
{
	struct engine *g = RF_CONTAINER(m, struct worker_end, msg)->engine;
	if (++g->ended_count == g->ctl.worker_count)
		rf_loop_stop(loop);
}

static void drain_within(struct engine *g, uint64_t bound_ns)
{
	if (g->draining)
		return;
	g->draining = true;
	rf_homes_retire(rf_shield_homes(g->ctl.shield));
	captures_down(g);
	for (size_t i = 0; i < g->ctl.worker_count; i++) {
		g->ends[i] = (struct worker_end){ .msg.run = ended, .engine = g };
		if (g->ctl.workers[i])
			rf_worker_drain(g->ctl.workers[i], bound_ns, &g->ends[i].msg);
	}
}

void drain(struct engine *g)
{
	drain_within(g, g->ctl.boot->drain_timeout);
}

/* After a drain the threads have ended their loops; after a failed start they end at once. */
void workers_down(struct engine *g)
{
	drain_within(g, 0);
	rf_registry_quiet(NULL, false); /* joining waits: others must not wait for this thread's quiet point */
	for (size_t i = 0; i < g->ctl.worker_count; i++)
		rf_worker_free(g->ctl.workers[i]);
	rf_registry_quiet(NULL, true);
	free(g->ctl.workers);
	free(g->ends);
	g->ctl.workers = NULL;
	g->ctl.worker_count = 0;
}

/* --- listeners --- */

/* Socket i of a listener goes to worker i; a listener with fewer sockets than workers is shared. */
static int fetch(struct engine *g, size_t index, int fds[RF_PLAN_SOCKETS_MAX], struct rf_err *e)
{
	size_t n = 0, have;
	int rc = rf_monitor_listen(g->monitor_fd, (unsigned)index, g->plan->listeners[index].name, fds, RF_PLAN_SOCKETS_MAX, &n, e);
	if (rc != RF_OK)
		return rc;
	/* A device comes back to the worker that has its session; behind a proxy all would come to one. */
	if (n > 1 && !g->ctl.boot->listeners[index].proxy_protocol && rf_listener_spread(fds[0], (unsigned)n) != 0)
		rf_log(RF_LOG_WARN, "engine", "listener %s: connections cannot be spread by their source: %s",
		       g->plan->listeners[index].name, strerror(errno));
	for (size_t i = g->ctl.worker_count; i < n; i++)
		close(fds[i]);
	for (have = n < g->ctl.worker_count ? n : g->ctl.worker_count; have < g->ctl.worker_count; have++)
		if ((fds[have] = dup(fds[have % n])) < 0)
			break;
	if (have == g->ctl.worker_count)
		return RF_OK;
	while (have--)
		close(fds[have]);
	return rf_fail(e, RF_E_FULL, "no descriptor for a listener");
}

/* Of worker w, listener by listener: v[w * listeners + i]. */
static int fetch_all(struct engine *g, struct rf_worker_listener *v, size_t *ret, struct rf_err *e)
{
	const struct rf_boot *b = g->ctl.boot;
	size_t have = 0, workers = g->ctl.worker_count;
	int rc = RF_OK;
	for (size_t i = 0; rc == RF_OK && i < b->listener_count; i++) {
		int fds[RF_PLAN_SOCKETS_MAX];
		if (b->listeners[i].protocol == RF_PROTO_PORTS) /* ctl/port_gate */
			continue;
		rc = fetch(g, i, fds, e);
		for (size_t w = 0; rc == RF_OK && w < workers; w++)
			v[w * b->listener_count + have] = (struct rf_worker_listener){ fds[w], &b->listeners[i] };
		have += rc == RF_OK;
	}
	for (size_t w = 0; rc != RF_OK && w < workers; w++)
		for (size_t i = 0; i < have; i++)
			close(v[w * b->listener_count + i].fd);
	*ret = have;
	return rc;
}

static void listening_drop(struct engine *g, struct rf_worker_message **made)
{
	for (size_t w = 0; made && w < g->ctl.worker_count; w++)
		rf_worker_listen_drop(made[w]);
	free(made);
}

static void listening_go(struct engine *g, struct rf_worker_message **made)
{
	for (size_t w = 0; w < g->ctl.worker_count; w++)
		rf_worker_listen_go(made[w]);
	free(made);
}

static int listening_make(struct engine *g, struct rf_worker_message ***ret, struct rf_err *e)
{
	size_t workers = g->ctl.worker_count, each = g->ctl.boot->listener_count, have = 0;
	struct rf_worker_listener *v = calloc(workers * each + 1, sizeof *v);
	struct rf_worker_message **made = calloc(workers + 1, sizeof(struct rf_worker_message *));
	int rc = v && made ? fetch_all(g, v, &have, e) : rf_fail(e, RF_E_NOMEM, "no memory for listeners");
	bool fetched = rc == RF_OK;
	for (size_t w = 0; fetched && w < workers; w++)
		if (rf_worker_listen_make(g->ctl.workers[w], &v[w * each], have, &made[w]) != RF_OK)
			rc = rf_fail(e, RF_E_NOMEM, "no memory for the listeners of worker %zu", w);
	free(v);
	if (rc == RF_OK)
		*ret = made;
	else
		listening_drop(g, made);
	return rc;
}

int listeners_up(struct engine *g, struct rf_err *e)
{
	struct rf_worker_message **made = NULL;
	int rc = listening_make(g, &made, e);
	if (rc != RF_OK)
		return rc;
	listening_go(g, made);
	rf_port_gate_follow(g->ctl.priv->port_gate);
	return RF_OK;
}

/* --- the API --- */

int api_up(struct engine *g, struct rf_err *e)
{
	struct rf_api_conf conf = {
		.store = g->ctl.store, .clock = g->ctl.clock, .ca = g->ctl.ca, .version = RF_VERSION, .loop = g->ctl.loop,
		.rate = (unsigned)g->ctl.boot->api_rate,
		.body_max = (size_t)g->ctl.boot->limits_api_body_bytes,
		.state = rf_api_state_of(&g->ctl), .hooks = rf_api_edge_hooks(&g->edge),
	};
	g->edge = (struct rf_api_edge){ &g->ctl, rf_writer_recent(g->writer), &g->draining };
	g->api = rf_api_new(&conf, e);
	return g->api ? RF_OK : e->code;
}

void api_down(struct engine *g)
{
	rf_api_free(g->api);
}

/* *ret: its descriptor, -1 where there is none. */
static int api_listen(struct engine *g, int index, enum rf_api_listen kind, int *ret, struct rf_err *e)
{
	int fd = -1;
	size_t n = 0;
	*ret = -1;
	if (index < 0)
		return RF_OK;
	int rc = rf_monitor_listen(g->monitor_fd, (unsigned)index, g->plan->listeners[index].name, &fd, 1, &n, e);
	if (rc == RF_OK)
		rc = rf_api_server_listen(g->server, fd, kind, e);
	if (rc == RF_OK)
		*ret = fd;
	return rc;
}

static gid_t admin_group(const char *name)
{
	struct group *gr = name[0] ? getgrnam(name) : NULL;
	return gr ? gr->gr_gid : (gid_t)-1;
}

/* From here on memory for much comes and goes with calls of the API, and each new page costs as much as the work on it: such memory
 * is of the heap, which keeps it for the next call. */
enum { LARGE_LATER = 32 << 20 };

int server_up(struct engine *g, struct rf_err *e)
{
	mallopt(M_MMAP_THRESHOLD, LARGE_LATER);
	const struct rf_boot *b = g->ctl.boot;
	struct rf_api_server_conf conf = { .loop = g->ctl.loop, .api = g->api, .tls = g->tls,
					   .connections = (unsigned)b->limits_api_connections,
					   .admin_gid = admin_group(b->api_group) };
	g->server = rf_api_server_new(&conf, e);
	int unix_fd, rc = g->server ? api_listen(g, rf_plan_listener_api_socket(b), RF_API_UNIX, &unix_fd, e) : e->code;
	return rc == RF_OK ? api_listen(g, rf_plan_listener_api(b), RF_API_TLS, &g->api_fd, e) : rc;
}

void server_down(struct engine *g)
{
	if (g->server)
		rf_api_server_free(g->server);
}

/* --- another boot file --- */

static bool same_api(const struct rf_boot_address *a, const struct rf_boot_address *b)
{
	return rf_ip_eq(&a->ip, &b->ip) && a->port == b->port;
}

int serving_make(struct engine *g, const struct rf_boot *before, struct serving *ret, struct rf_err *e)
{
	struct serving s = { .api_fd = g->api_fd };
	int rc = api_keypair(g, &s.api_pair, e);
	if (rc == RF_OK)
		rc = listening_make(g, &s.listening, e);
	if (rc == RF_OK && !same_api(&g->ctl.boot->api_listen, &before->api_listen))
		rc = api_listen(g, rf_plan_listener_api(g->ctl.boot), RF_API_TLS, &s.api_fd, e);
	if (rc != RF_OK) {
		listening_drop(g, s.listening);
		rf_keypair_put(s.api_pair);
		return rc;
	}
	*ret = s;
	return RF_OK;
}

void serving_go(struct engine *g, struct serving *s)
{
	listening_go(g, s->listening);
	rf_keypair_put(g->api_pair);
	g->api_pair = s->api_pair;
	if (s->api_fd != g->api_fd)
		rf_api_server_close(g->server, g->api_fd);
	g->api_fd = s->api_fd;
}

void serving_drop(struct engine *g, struct serving *s)
{
	listening_drop(g, s->listening);
	rf_keypair_put(s->api_pair);
	if (s->api_fd != g->api_fd)
		rf_api_server_close(g->server, s->api_fd);
}
