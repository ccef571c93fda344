/* ctl/engine_state: records, loop, registry, store, CA, plan, shield, control: what is kept, and what decides by it. */
#include <jansson.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <urcu-qsbr.h>
#include "base/hash.h"
#include "base/way.h"
#include "ctl/applies.h"
#include "ctl/captures.h"
#include "ctl/engine_in.h"
#include "ctl/plan.h"
#include "ctl/wall.h"
#include "ctl/worker.h"
#include "monitor/client.h"
#include "monitor/filter.h"
#include "shield/homes.h"
#include "shield/shield.h"

enum {
	MAX_DEVICES = 4000000,
	LARGE = 256 << 10, /* bytes that are mapped, of what is made at start and stays: of tables the kernel gives what is used */
	KEPT = 256 << 20,  /* bytes free at the heap's end: what rules took, others take again; giving it back is one long stretch */
};

/* --- records and log --- */

static void watch_record(void *watch, const struct rf_record *rec)
{
	rf_watch_record(watch, rec);
}

int records_up(struct engine *g, struct rf_err *e)
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

void records_down(struct engine *g)
{
	rf_writer_free(g->writer);
	rf_watch_free(g->watch);
}

/* --- loop, registry, store, CA, control --- */

/* Of trees of JSON, which are read and freed in one call. */
static void *take(size_t n)
{
	rf_way_give();
	return malloc(n);
}

static void give(void *p)
{
	rf_way_give();
	free(p);
}

int loop_up(struct engine *g, struct rf_err *e)
{
	uint8_t key[16];
	if (getrandom(key, sizeof key, 0) != sizeof key)
		return rf_fail(e, RF_E_IO, "no random numbers");
	rf_hash_seed(key);
	mallopt(M_MMAP_THRESHOLD, LARGE);
	mallopt(M_TRIM_THRESHOLD, KEPT);
	rf_counters_attach();
	rf_way_gives();
	json_set_alloc_funcs(take, give);
	rf_registry_thread_start();
	g->ctl.loop = rf_loop_epoll(e);
	if (!g->ctl.loop)
		return e->code;
	rf_loop_hook(g->ctl.loop, rf_registry_quiet, NULL);
	return RF_OK;
}

void loop_down(struct engine *g)
{
	rf_loop_free(g->ctl.loop);
	rf_registry_thread_stop();
	rf_counters_detach();
}

int registry_up(struct engine *g, struct rf_err *e)
{
	g->ctl.devices = rf_registry_new(MAX_DEVICES);
	return g->ctl.devices ? RF_OK : rf_fail(e, RF_E_NOMEM, "no memory for the device registry");
}

/* --- the shield --- */

/* The address of a credential, and whose it is. */
static void on_address(void *arg, const char *device, struct rf_str key, bool bound)
{
	struct engine *g = arg;
	struct rf_ip ip = { .family = (uint8_t)key.p[0] };
	if (key.n != (ip.family == 4 ? 5 : 17))
		return;
	memcpy(ip.b, key.p + 1, key.n - 1);
	rf_homes_bind(rf_shield_homes(g->ctl.shield), &ip, device, bound, g->ctl.clock.mono(g->ctl.clock.ctx));
}

int shield_up(struct engine *g, struct rf_err *e)
{
	uint64_t secret;
	if (getrandom(&secret, sizeof secret, 0) != sizeof secret)
		return rf_fail(e, RF_E_IO, "no random numbers");
	g->ctl.shield = rf_shield_new(secret | 1);
	if (!g->ctl.shield)
		return rf_fail(e, RF_E_NOMEM, "no memory for the shield");
	rf_registry_watch(g->ctl.devices, RF_CRED_ADDRESS, on_address, g);
	return RF_OK;
}

void shield_down(struct engine *g)
{
	rf_registry_watch(g->ctl.devices, RF_CRED_ADDRESS, NULL, NULL);
	rf_shield_free(g->ctl.shield);
}

/* Once the policy is whole: what the kernel holds from before stays in force until then. */
int filter_up(struct engine *g, struct rf_err *e)
{
	int fds[RF_FILTER_MAP_COUNT];
	char where[RF_REQUEST_TEXT];
	size_t count = 0;
	uint32_t can = 0;
	struct rf_ctl *c = &g->ctl;
	int rc = rf_monitor_filter(g->monitor_fd, fds, RF_FILTER_MAP_COUNT, &count, &can, where, sizeof where, e);
	if (rc == RF_OK && count && !(can & RF_FILTER_IS_NFT))
		rc = rf_shield_enter(c->shield, fds, count, can & RF_FILTER_HAS_COOKIES, c->clock.mono(c->clock.ctx), e);
	c->priv->nft = rc == RF_OK && can & RF_FILTER_IS_NFT;
	c->priv->nft_log = c->priv->nft && count ? fds[0] : -1;
	if (c->priv->nft)
		rc = rf_shield_stand_in(c->shield);
	if (rc == RF_OK)
		rf_ctl_keep_packets(c);
	if (rc != RF_OK)
		return rc;
	rf_wall_follow(c);
	if (!(count || c->priv->nft))
		return RF_OK;
	if (c->priv->nft) {
		rf_wall_gate(c, where);
		rf_wall_count(c);
	}
	rf_log(RF_LOG_INFO, "shield", "the kernel filter follows the access rules: %s", where);
	return rc;
}

void registry_down(struct engine *g)
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

int limits_up(struct engine *g, struct rf_err *e)
{
	g->ctl.limits = rf_limits_new(g->ctl.boot->limits_rate_counters);
	return g->ctl.limits ? RF_OK : rf_fail(e, RF_E_NOMEM, "no memory for the counters of rate limits");
}

void limits_down(struct engine *g)
{
	rf_limits_free(g->ctl.limits);
	g->ctl.limits = NULL;
}

int store_up(struct engine *g, struct rf_err *e)
{
	char path[4096];
	const struct rf_boot *b = g->ctl.boot;
	int rc = rf_store_open(or_below(b->store_file, b->data_dir, "state.db", path, sizeof path), &g->ctl.clock, &g->ctl.store, e);
	return rc == RF_OK ? rf_store_apart(g->ctl.store, RF_STORE_LOG_PAGES, RF_STORE_LOG_MAX, e) : rc;
}

void store_down(struct engine *g)
{
	rf_store_close(g->ctl.store);
}

static int64_t now_s(const struct engine *g)
{
	return g->ctl.clock.wall(g->ctl.clock.ctx) / (int64_t)RF_NS_S;
}

int ca_up(struct engine *g, struct rf_err *e)
{
	char path[4096];
	const struct rf_boot *b = g->ctl.boot;
	struct rf_ca_conf conf = {
		.dir = or_below(b->ca_dir, b->data_dir, "ca", path, sizeof path), .name = b->ca_name,
		.key_uri = b->ca_key[0] ? b->ca_key : NULL, .base_url = b->ca_base_url[0] ? b->ca_base_url : NULL,
	};
	return rf_ca_open(&conf, now_s(g), &g->ctl.ca, e);
}

void ca_down(struct engine *g)
{
	rf_ca_free(g->ctl.ca);
}

int plan_up(struct engine *g, struct rf_err *e)
{
	return rf_plan_from_boot(g->ctl.boot, rf_boot_workers(g->ctl.boot), &g->plan, e);
}

void plan_down(struct engine *g)
{
	rf_plan_free(g->plan);
}

int control_up(struct engine *g, struct rf_err *e)
{
	int rc = rf_applies_overdue(g->ctl.store, &g->ctl.clock, e);
	return rc != RF_OK ? rc : rf_ctl_init(&g->ctl, g->monitor_fd, g->plan, e);
}

void control_down(struct engine *g)
{
	rf_snap_publish(NULL);
	rf_ctl_fini(&g->ctl);
	rcu_barrier();
}
