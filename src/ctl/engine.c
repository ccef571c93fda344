/* ctl/engine: what exists, in which order it comes up, and in which it goes.
 *
 *   log and records -> loop -> registry -> store -> CA -> control (first snapshot) -> API -> workers ->
 *   listeners -> revocation lists -> ready ... drain: workers, then everything in reverse
 *
 * Each step is a row of `steps`; a failure undoes the rows before it. While it runs, the monitor speaks by notices
 * (reload, drain), the API by calls, the workers by messages.
 */
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>
#include <urcu-qsbr.h>
#include "api/api.h"
#include "api/edge.h"
#include "api/server.h"
#include "api/state.h"
#include "base/hash.h"
#include "ctl/alerts.h"
#include "ctl/attacks.h"
#include "ctl/captures.h"
#include "ctl/crl.h"
#include "ctl/devices.h"
#include "ctl/engine.h"
#include "ctl/frame_attacks.h"
#include "ctl/local.h"
#include "ctl/pack_fetch.h"
#include "ctl/patches.h"
#include "ctl/patch_replay.h"
#include "ctl/plan.h"
#include "ctl/port_gate.h"
#include "ctl/port_names.h"
#include "ctl/private.h"
#include "ctl/wall.h"
#include "ctl/worker.h"
#include "egress/health.h"
#include "monitor/client.h"
#include "monitor/filter.h"
#include "net/listener.h"
#include "records/writer.h"
#include "shield/shield.h"

enum { MAX_DEVICES = 4000000, ALIVE_S = 5 };

struct worker_end { /* a worker's thread has ended its loop */
	struct rf_msg msg;
	struct engine *engine;
};

struct engine {
	struct rf_ctl ctl;
	int monitor_fd, notices;
	struct rf_io notice_io;
	struct rf_timer alive;
	struct rf_writer *writer;
	struct rf_watch *watch;
	struct rf_samples *samples;
	struct rf_plan *plan;
	struct rf_health *health;
	struct rf_local *local;
	struct rf_api_edge edge;
	struct rf_api *api;
	struct rf_api_server *server;
	struct rf_tls *tls;
	struct rf_resolver *resolver;
	struct rf_keypair *api_pair;
	struct rf_boot *started; /* as it was when this engine began: what a restart would change is told by it */
	struct worker_end *ends;  /* one a worker */
	size_t ended_count;
	bool draining;
};

/* The engine is one a process; reload needs it from struct rf_ctl, which its callers have. */
static struct engine *engine_of(struct rf_ctl *c)
{
	return RF_CONTAINER(c, struct engine, ctl);
}

/* --- records and log --- */

static void watch_record(void *watch, const struct rf_record *rec)
{
	rf_watch_record(watch, rec);
}

static int records_up(struct engine *g, struct rf_err *e)
{
	const struct rf_boot *b = g->ctl.boot;
	struct rf_writer_conf conf = {
		.file = b->records_file, .stdout_mode = b->records_stdout, .syslog = b->records_syslog, .log_file = b->log_file,
		.recent = b->records_recent, .ring_bytes = b->records_ring, .rings = rf_boot_workers(b) + 1,
		.clock = g->ctl.clock, .stdout_fd = 1, .stderr_fd = 2,
	};
	rf_log_level(NULL, (enum rf_log_level)b->log_level);
	int rc = rf_writer_new(&conf, &g->writer, e);
	if (rc != RF_OK)
		return rc;
	if (!(g->watch = rf_watch_new(RF_WATCH_DEVICES, g->ctl.clock.wall(g->ctl.clock.ctx))))
		return rf_fail(e, RF_E_NOMEM, "no memory to watch patches");
	rf_writer_tap(g->writer, watch_record, g->watch);
	return rf_writer_start(g->writer, e);
}

static void records_down(struct engine *g)
{
	rf_writer_free(g->writer);
	rf_watch_free(g->watch);
}

/* --- loop, registry, store, CA, control --- */

static int loop_up(struct engine *g, struct rf_err *e)
{
	uint8_t key[16];
	if (getrandom(key, sizeof key, 0) != sizeof key)
		return rf_fail(e, RF_E_IO, "no random numbers");
	rf_hash_seed(key);
	rf_counters_attach();
	rf_registry_thread_start();
	g->ctl.loop = rf_loop_epoll(e);
	if (!g->ctl.loop)
		return e->code;
	rf_loop_hook(g->ctl.loop, rf_registry_quiet, NULL);
	return RF_OK;
}

static void loop_down(struct engine *g)
{
	rf_loop_free(g->ctl.loop);
	rf_registry_thread_stop();
	rf_counters_detach();
}

static int registry_up(struct engine *g, struct rf_err *e)
{
	g->ctl.devices = rf_registry_new(MAX_DEVICES);
	return g->ctl.devices ? RF_OK : rf_fail(e, RF_E_NOMEM, "no memory for the device registry");
}

/* --- the shield --- */

static int shield_up(struct engine *g, struct rf_err *e)
{
	uint64_t secret;
	if (getrandom(&secret, sizeof secret, 0) != sizeof secret)
		return rf_fail(e, RF_E_IO, "no random numbers");
	g->ctl.shield = rf_shield_new(secret | 1);
	return g->ctl.shield ? RF_OK : rf_fail(e, RF_E_NOMEM, "no memory for the shield");
}

static void shield_down(struct engine *g)
{
	rf_shield_free(g->ctl.shield);
}

/* Once the policy is whole: what the kernel holds from before stays in force until then. */
static int filter_up(struct engine *g, struct rf_err *e)
{
	int fds[RF_FILTER_MAP_COUNT];
	char where[RF_REQUEST_TEXT];
	size_t count = 0;
	uint32_t can = 0;
	struct rf_ctl *c = &g->ctl;
	int rc = rf_monitor_filter(g->monitor_fd, fds, RF_FILTER_MAP_COUNT, &count, &can, where, sizeof where, e);
	if (rc == RF_OK && count)
		rc = rf_shield_enter(c->shield, fds, count, can & RF_FILTER_HAS_COOKIES, e);
	if (rc == RF_OK)
		rf_ctl_keep_packets(c);
	c->priv->nft = rc == RF_OK && can & RF_FILTER_IS_NFT;
	if (rc != RF_OK || !(count || c->priv->nft))
		return rc;
	rf_wall_follow(c);
	if (c->priv->nft) {
		rf_wall_gate(c, where);
		rf_wall_count(c);
	}
	rf_log(RF_LOG_INFO, "shield", "the kernel filter follows the access rules: %s", where);
	return rc;
}

static void registry_down(struct engine *g)
{
	rf_registry_free(g->ctl.devices);
}

/* A path of the boot file, or its default below data_dir. */
static const char *or_below(const char *set, const char *dir, const char *name, char *to, size_t room)
{
	if (!set[0])
		snprintf(to, room, "%s/%s", dir, name);
	return set[0] ? set : to;
}

static int limits_up(struct engine *g, struct rf_err *e)
{
	g->ctl.limits = rf_limits_new(g->ctl.boot->limits_rate_counters);
	return g->ctl.limits ? RF_OK : rf_fail(e, RF_E_NOMEM, "no memory for the counters of rate limits");
}

static void limits_down(struct engine *g)
{
	rf_limits_free(g->ctl.limits);
	g->ctl.limits = NULL;
}

static int store_up(struct engine *g, struct rf_err *e)
{
	char path[4096];
	const struct rf_boot *b = g->ctl.boot;
	return rf_store_open(or_below(b->store_file, b->data_dir, "state.db", path, sizeof path), &g->ctl.clock,
			     &g->ctl.store, e);
}

static void store_down(struct engine *g)
{
	rf_store_close(g->ctl.store);
}

static int64_t now_s(const struct engine *g)
{
	return g->ctl.clock.wall(g->ctl.clock.ctx) / (int64_t)RF_NS_S;
}

static int ca_up(struct engine *g, struct rf_err *e)
{
	char path[4096];
	const struct rf_boot *b = g->ctl.boot;
	struct rf_ca_conf conf = {
		.dir = or_below(b->ca_dir, b->data_dir, "ca", path, sizeof path), .name = b->ca_name,
		.key_uri = b->ca_key[0] ? b->ca_key : NULL, .base_url = b->ca_base_url[0] ? b->ca_base_url : NULL,
	};
	return rf_ca_open(&conf, now_s(g), &g->ctl.ca, e);
}

static void ca_down(struct engine *g)
{
	rf_ca_free(g->ctl.ca);
}

static int plan_up(struct engine *g, struct rf_err *e)
{
	return rf_plan_from_boot(g->ctl.boot, rf_boot_workers(g->ctl.boot), &g->plan, e);
}

static void plan_down(struct engine *g)
{
	rf_plan_free(g->plan);
}

static int control_up(struct engine *g, struct rf_err *e)
{
	return rf_ctl_init(&g->ctl, g->monitor_fd, g->plan, e);
}

static void control_down(struct engine *g)
{
	rf_snap_publish(NULL);
	rf_ctl_fini(&g->ctl);
	rcu_barrier();
}

/* --- TLS of the control thread: the API's server side, checks of origins --- */

/* The API's own key and certificate: of the boot file, else one of our CA. */
static int api_keypair(struct engine *g, struct rf_err *e)
{
	const struct rf_boot *b = g->ctl.boot;
	struct rf_keypair *made = NULL;
	int rc = RF_OK;
	struct rf_san sans[] = { { RF_SAN_DNS, RF_STR("localhost") }, { RF_SAN_IP, RF_STR("127.0.0.1") }, { RF_SAN_IP, RF_STR("::1") } };
	struct rf_issue own = { .days = RF_CTL_OWN_DAYS, .cn = RF_STR("Ringfence API"), .sans = sans, .san_count = 3, .server = true };
	if (b->api_certificate[0])
		rc = rf_ctl_keypair_files(&g->ctl, b->api_certificate, b->api_key, &made, e);
	else
		rc = rf_ctl_own_keypair(&g->ctl, &own, &made, e);
	if (rc != RF_OK)
		return rc;
	rf_keypair_put(g->api_pair);
	g->api_pair = made;
	return RF_OK;
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

static int tls_up(struct engine *g, struct rf_err *e)
{
	struct rf_tls_conf conf = { .host = api_host, .trust = api_trust, .arg = g, .session_cache = 1000, .chain_cache = 1,
				    .session_timeout_s = 3600, .clock = g->ctl.clock };
	int rc = api_keypair(g, e);
	if (rc != RF_OK)
		return rc;
	g->tls = rf_tls_new(&conf, e);
	return g->tls ? RF_OK : e->code;
}

static void tls_down(struct engine *g)
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

static int health_up(struct engine *g, struct rf_err *e)
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

static void health_down(struct engine *g)
{
	if (g->ctl.priv)
		g->ctl.priv->site_changed = NULL;
	if (g->health)
		rf_health_free(g->health);
	if (g->resolver)
		rf_resolver_free(g->resolver);
}

/* --- ports --- */

static int ports_up(struct engine *g, struct rf_err *e)
{
	int rc = rf_port_names_new(&g->ctl, NULL, &g->ctl.priv->port_names, e);
	if (rc == RF_OK)
		rf_port_names_follow(g->ctl.priv->port_names);
	return rc;
}

static void ports_down(struct engine *g)
{
	if (!g->ctl.priv)
		return;
	rf_port_names_free(g->ctl.priv->port_names);
	g->ctl.priv->port_names = NULL;
}

static int gate_up(struct engine *g, struct rf_err *e)
{
	return rf_port_gate_new(&g->ctl, g->monitor_fd, &g->ctl.priv->port_gate, e);
}

static void gate_down(struct engine *g)
{
	if (!g->ctl.priv)
		return;
	rf_port_gate_free(g->ctl.priv->port_gate);
	g->ctl.priv->port_gate = NULL;
}

/* --- workers --- */

static int local_up(struct engine *g, struct rf_err *e)
{
	return rf_local_new(&g->ctl, &g->local, e);
}

static void local_down(struct engine *g)
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

static int workers_up(struct engine *g, struct rf_err *e)
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

static void captures_down(struct engine *g)
{
	if (!g->ctl.priv)
		return;
	rf_captures_free(g->ctl.priv->captures);
	g->ctl.priv->captures = NULL;
}

static void drain_within(struct engine *g, uint64_t bound_ns)
{
	if (g->draining)
		return;
	g->draining = true;
	captures_down(g); /* who takes over reads the frames */
	for (size_t i = 0; i < g->ctl.worker_count; i++) {
		g->ends[i] = (struct worker_end){ .msg.run = ended, .engine = g };
		if (g->ctl.workers[i])
			rf_worker_drain(g->ctl.workers[i], bound_ns, &g->ends[i].msg);
	}
}

static void drain(struct engine *g)
{
	drain_within(g, g->ctl.boot->drain_timeout);
}

/* After a drain the threads have ended their loops; after a failed start they end at once. */
static void workers_down(struct engine *g)
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

/* --- samples, patches --- */

static int samples_up(struct engine *g, struct rf_err *e)
{
	return g->ctl.boot->records_samples[0] ? rf_samples_new(&g->ctl, &g->samples, e) : RF_OK;
}

static void samples_down(struct engine *g)
{
	rf_samples_free(g->samples);
}

static int patches_up(struct engine *g, struct rf_err *e)
{
	struct rf_ring *own = rf_writer_ring(g->writer, rf_boot_workers(g->ctl.boot));
	g->ctl.priv->replays = rf_replays_new(&g->ctl, g->ctl.boot->records_recent ? rf_writer_recent(g->writer) : NULL);
	if (!g->ctl.priv->replays)
		return rf_fail(e, RF_E_NOMEM, "no memory for replays");
	return rf_patches_start(&g->ctl, g->watch, own, &g->ctl.priv->patches, e);
}

static void patches_down(struct engine *g)
{
	if (!g->ctl.priv)
		return;
	rf_patches_stop(g->ctl.priv->patches);
	g->ctl.priv->patches = NULL;
	rf_replays_free(g->ctl.priv->replays);
	g->ctl.priv->replays = NULL;
}

/* --- floods --- */

static int alerts_up(struct engine *g, struct rf_err *e)
{
	return rf_alerts_start(&g->ctl, &g->ctl.priv->alerts, e);
}

static void alerts_down(struct engine *g)
{
	if (!g->ctl.priv)
		return;
	rf_alerts_stop(g->ctl.priv->alerts);
	g->ctl.priv->alerts = NULL;
}

static int attacks_up(struct engine *g, struct rf_err *e)
{
	unsigned workers = rf_boot_workers(g->ctl.boot);
	struct rf_ring *ring = rf_writer_ring(g->writer, workers);
	int rc = rf_attacks_new(&g->ctl, workers, ring, &g->ctl.priv->attacks, e);
	if (rc == RF_OK)
		rc = rf_frame_attacks_new(&g->ctl, ring, &g->ctl.priv->frame_attacks, e);
	if (rc == RF_OK && !(g->ctl.priv->captures = rf_captures_new(&g->ctl, ring)))
		rc = rf_fail(e, RF_E_NOMEM, "no memory for captures");
	return rc;
}

static void attacks_down(struct engine *g)
{
	if (!g->ctl.priv)
		return;
	captures_down(g);
	rf_frame_attacks_free(g->ctl.priv->frame_attacks);
	g->ctl.priv->frame_attacks = NULL;
	rf_attacks_free(g->ctl.priv->attacks);
	g->ctl.priv->attacks = NULL;
}

/* --- listeners --- */

/* Socket i of a listener goes to worker i; a listener with fewer sockets than workers is shared. */
static int fetch(struct engine *g, size_t index, int fds[RF_PLAN_SOCKETS_MAX], struct rf_err *e)
{
	size_t n = 0;
	int rc = rf_monitor_listen(g->monitor_fd, (unsigned)index, g->plan->listeners[index].name, fds, RF_PLAN_SOCKETS_MAX, &n, e);
	if (rc != RF_OK)
		return rc;
	/* A device comes back to the worker that has its session; behind a proxy all would come to one. */
	if (n > 1 && !g->ctl.boot->listeners[index].proxy_protocol && rf_listener_spread(fds[0], (unsigned)n) != 0)
		rf_log(RF_LOG_WARN, "engine", "listener %s: connections cannot be spread by their source: %s",
		       g->plan->listeners[index].name, strerror(errno));
	for (size_t i = n; i < g->ctl.worker_count; i++)
		if ((fds[i] = dup(fds[i % n])) < 0)
			rc = rf_fail(e, RF_E_FULL, "no descriptor for a listener");
	for (size_t i = g->ctl.worker_count; i < n; i++)
		close(fds[i]);
	return rc;
}

static int listen_all(struct engine *g, struct rf_err *e)
{
	const struct rf_boot *b = g->ctl.boot;
	size_t workers = g->ctl.worker_count;
	struct rf_worker_listener *v = calloc(workers * b->listener_count + 1, sizeof *v);
	int rc = v ? RF_OK : rf_fail(e, RF_E_NOMEM, "no memory for listeners");
	size_t have = 0;
	for (size_t i = 0; rc == RF_OK && i < b->listener_count; i++) {
		int fds[RF_PLAN_SOCKETS_MAX];
		if (b->listeners[i].protocol == RF_PROTO_PORTS) /* ctl/port_gate */
			continue;
		rc = fetch(g, i, fds, e);
		for (size_t w = 0; rc == RF_OK && w < workers; w++)
			v[w * b->listener_count + have] = (struct rf_worker_listener){ fds[w], &b->listeners[i] };
		have++;
	}
	for (size_t w = 0; rc == RF_OK && w < workers; w++)
		if (rf_worker_listen(g->ctl.workers[w], &v[w * b->listener_count], have) != RF_OK)
			rc = rf_fail(e, RF_E_NOMEM, "no memory for the listeners of worker %zu", w);
	free(v);
	return rc;
}

static int listeners_up(struct engine *g, struct rf_err *e)
{
	int rc = listen_all(g, e);
	if (rc == RF_OK)
		rf_port_gate_follow(g->ctl.priv->port_gate);
	return rc;
}

/* --- the API --- */

static int api_up(struct engine *g, struct rf_err *e)
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

static void api_down(struct engine *g)
{
	rf_api_free(g->api);
}

static int api_listen(struct engine *g, int index, enum rf_api_listen kind, struct rf_err *e)
{
	int fd = -1;
	size_t n = 0;
	if (index < 0)
		return RF_OK;
	int rc = rf_monitor_listen(g->monitor_fd, (unsigned)index, g->plan->listeners[index].name, &fd, 1, &n, e);
	return rc == RF_OK ? rf_api_server_listen(g->server, fd, kind, e) : rc;
}

static gid_t admin_group(const char *name)
{
	struct group *gr = name[0] ? getgrnam(name) : NULL;
	return gr ? gr->gr_gid : (gid_t)-1;
}

static int server_up(struct engine *g, struct rf_err *e)
{
	const struct rf_boot *b = g->ctl.boot;
	struct rf_api_server_conf conf = { .loop = g->ctl.loop, .api = g->api, .tls = g->tls,
					   .connections = (unsigned)b->limits_api_connections,
					   .admin_gid = admin_group(b->api_group) };
	g->server = rf_api_server_new(&conf, e);
	int rc = g->server ? api_listen(g, rf_plan_listener_api_socket(b), RF_API_UNIX, e) : e->code;
	return rc == RF_OK ? api_listen(g, rf_plan_listener_api(b), RF_API_TLS, e) : rc;
}

static void server_down(struct engine *g)
{
	if (g->server)
		rf_api_server_free(g->server);
}

/* --- lists of revocation --- */

static int crl_up(struct engine *g, struct rf_err *e)
{
	return rf_crl_fetcher_start(&g->ctl, &g->ctl.priv->crl, e);
}

static void crl_down(struct engine *g)
{
	rf_crl_fetcher_stop(g->ctl.priv->crl);
	g->ctl.priv->crl = NULL;
}

static int merge_up(struct engine *g, struct rf_err *e)
{
	g->ctl.priv->merge = rf_rule_merge_new(&g->ctl);
	rf_rule_merge_look(g->ctl.priv->merge);
	return g->ctl.priv->merge ? RF_OK : rf_fail(e, RF_E_NOMEM, "no memory for the merging of rules");
}

static void merge_down(struct engine *g)
{
	rf_rule_merge_free(g->ctl.priv->merge);
	g->ctl.priv->merge = NULL;
}

static int packs_up(struct engine *g, struct rf_err *e)
{
	return rf_pack_fetcher_start(&g->ctl, g->api, &g->ctl.priv->packs, e);
}

static void packs_down(struct engine *g)
{
	rf_pack_fetcher_stop(g->ctl.priv->packs);
	g->ctl.priv->packs = NULL;
}

/* --- reload --- */

/* With the boot file that the monitor has read and checked. Old boot and plan are kept until all has been built. */
static int apply_boot(struct engine *g, struct rf_str text, struct rf_buf *later, struct rf_err *e)
{
	struct rf_boot *old = g->ctl.boot, *new = NULL;
	struct rf_plan *old_plan = g->plan, *new_plan = NULL;
	int rc = rf_boot_parse(text, "the boot file", &new, e);
	if (rc == RF_OK)
		rf_boot_restart_needed(g->started, new, later);
	if (rc == RF_OK)
		rc = rf_plan_from_boot(new, (unsigned)g->ctl.worker_count, &new_plan, e);
	if (rc != RF_OK) {
		rf_boot_free(new);
		return rc;
	}
	g->ctl.boot = new;
	g->ctl.priv->plan = g->plan = new_plan;
	rc = rf_ctl_reload_state(&g->ctl, e);
	if (rc == RF_OK)
		rc = listen_all(g, e);
	if (rc == RF_OK)
		rc = api_keypair(g, e);
	if (rc != RF_OK) {
		g->ctl.boot = old;
		g->ctl.priv->plan = g->plan = old_plan;
	}
	if (rc != RF_OK)
		rf_boot_free(new);
	else if (old != g->started)
		rf_boot_free(old);
	rf_plan_free(rc == RF_OK ? old_plan : new_plan);
	return rc;
}

int rf_ctl_reload(struct rf_ctl *c, struct rf_buf *later, struct rf_err *e)
{
	struct engine *g = engine_of(c);
	RF_BUF_AUTO text = { 0 };
	struct rf_err unused;
	char why[700];
	int rc = rf_monitor_replan(g->monitor_fd, &text, e);
	if (rc == RF_OK) {
		rc = apply_boot(g, rf_buf_str(&text), later, e);
		rf_monitor_reloaded(g->monitor_fd, rc == RF_OK, rc == RF_OK ? "" : rf_err_str(e, why, sizeof why), &unused);
	}
	rf_count(rc == RF_OK ? RF_C_RELOADS : RF_C_RELOADS_BAD);
	if (rc != RF_OK) {
		rf_log(RF_LOG_ERROR, "reload", "nothing was changed: %s", rf_err_str(e, why, sizeof why));
		return rc;
	}
	rf_log_level(NULL, (enum rf_log_level)c->boot->log_level);
	rf_writer_reopen(g->writer);
	rf_wall_follow(c);
	rf_port_gate_follow(c->priv->port_gate);
	rf_crl_fetcher_kick(c->priv->crl);
	rf_pack_fetcher_kick(c->priv->packs);
	rf_alerts_kick(c->priv->alerts);
	rf_log(RF_LOG_INFO, "reload", "boot file, certificates, roots, lists and rules are in force");
	if (later->n)
		rf_log(RF_LOG_WARN, "reload", "changed, but in force after a restart only: %s", rf_buf_z(later));
	return RF_OK;
}

/* --- the monitor --- */

static void reload(struct engine *g)
{
	RF_BUF_AUTO later = { 0 };
	struct rf_err e;
	(void)rf_ctl_reload(&g->ctl, &later, &e); /* it logs */
}

static void on_notice(struct rf_io *io, unsigned events)
{
	struct engine *g = RF_CONTAINER(io, struct engine, notice_io);
	enum rf_notice notice;
	int rc;
	(void)events;
	while ((rc = rf_monitor_notice(g->notices, &notice)) == RF_OK)
		if (notice == RF_NOTICE_DRAIN)
			drain(g);
		else
			reload(g);
	if (rc != RF_E_AGAIN)
		drain(g);
}

static void say_alive(struct rf_timer *t)
{
	struct engine *g = RF_CONTAINER(t, struct engine, alive);
	struct rf_err e;
	if (rf_monitor_alive(g->monitor_fd, &e) != RF_OK)
		drain(g);
	rf_timer_set(g->ctl.loop, t, rf_loop_now(g->ctl.loop) + ALIVE_S * RF_NS_S);
}

static int monitor_up(struct engine *g, struct rf_err *e)
{
	int rc = rf_monitor_watch(g->monitor_fd, &g->notices, e);
	if (rc != RF_OK)
		return rc;
	g->notice_io = (struct rf_io){ .fd = g->notices, .ready = on_notice };
	if (rf_loop_add(g->ctl.loop, &g->notice_io) != RF_OK)
		return rf_fail(e, RF_E_FULL, "the monitor cannot be watched");
	rc = rf_monitor_ready(g->monitor_fd, e);
	g->alive.fire = say_alive;
	if (rc == RF_OK)
		say_alive(&g->alive);
	return rc;
}

static void monitor_down(struct engine *g)
{
	rf_timer_stop(g->ctl.loop, &g->alive);
	rf_loop_close(g->ctl.loop, &g->notice_io);
}

/* --- life --- */

static const struct step {
	const char *name;
	int (*up)(struct engine *g, struct rf_err *e);
	void (*down)(struct engine *g); /* also after its own `up` failed half-way; NULL: nothing to undo */
} steps[] = {
	{ "records", records_up, records_down },   { "loop", loop_up, loop_down },
	{ "registry", registry_up, registry_down }, { "limits", limits_up, limits_down },
	{ "store", store_up, store_down },
	{ "ca", ca_up, ca_down },                  { "plan", plan_up, plan_down },
	{ "shield", shield_up, shield_down },
	{ "control", control_up, control_down },   { "filter", filter_up, NULL },
	{ "tls", tls_up, tls_down },
	{ "health", health_up, health_down },      { "ports", ports_up, ports_down },
	{ "api", api_up, api_down },
	{ "samples", samples_up, samples_down },
	{ "local", local_up, local_down },         { "patches", patches_up, patches_down },
	{ "alerts", alerts_up, alerts_down },      { "attacks", attacks_up, attacks_down },
	{ "port sockets", gate_up, gate_down },    { "workers", workers_up, workers_down },
	{ "listeners", listeners_up, NULL },
	{ "server", server_up, server_down },      { "crl", crl_up, crl_down },
	{ "merge", merge_up, merge_down },
	{ "packs", packs_up, packs_down },
	{ "monitor", monitor_up, monitor_down },
};

static void announce(struct engine *g)
{
	struct rf_err e;
	char line[160];
	snprintf(line, sizeof line, "serving %zu apps to %zu devices with %zu workers", rf_snap_now()->site->app_count,
		 rf_registry_count(g->ctl.devices), g->ctl.worker_count);
	rf_log(RF_LOG_INFO, "engine", "%s; account %s", line, g->ctl.account_id);
	rf_monitor_status(g->monitor_fd, line, &e);
}

int rf_engine_run(int monitor_fd, struct rf_boot *boot)
{
	static struct engine engine;
	struct engine *g = &engine;
	size_t up = 0, count = sizeof steps / sizeof *steps;
	struct rf_err e = { 0 };
	char text[700];
	int rc = RF_OK;
	*g = (struct engine){ .monitor_fd = monitor_fd, .notices = -1 };
	g->ctl.boot = g->started = boot;
	g->ctl.clock = rf_clock_system;
	g->ctl.started_mono = g->ctl.clock.mono(g->ctl.clock.ctx);
	for (; rc == RF_OK && up < count; up++)
		rc = steps[up].up(g, &e);
	if (rc == RF_OK) {
		announce(g);
		rf_loop_run(g->ctl.loop);
	} else {
		rf_log(RF_LOG_ERROR, steps[up - 1].name, "%s", rf_err_str(&e, text, sizeof text));
	}
	while (up--)
		if (steps[up].down)
			steps[up].down(g);
	if (g->ctl.boot != g->started)
		rf_boot_free(g->ctl.boot);
	rf_boot_free(g->started);
	return rc == RF_OK ? 0 : 1;
}
