/* ctl/engine: what exists, in which order it comes up, and in which it goes.
 *
 *   log and records -> loop -> registry -> store -> CA -> control (first snapshot) -> API -> workers ->
 *   listeners -> revocation lists -> ready ... drain: workers, then everything in reverse
 *
 * Each step is a row of `steps`; a failure undoes the rows before it. While it runs, the monitor speaks by notices
 * (reload, drain), the API by calls, the workers by messages.
 */
#include <stdio.h>
#include "base/way.h"
#include "ctl/alerts.h"
#include "ctl/captures.h"
#include "ctl/crl.h"
#include "ctl/engine.h"
#include "ctl/engine_in.h"
#include "ctl/pack_fetch.h"
#include "ctl/plan.h"
#include "ctl/port_gate.h"
#include "ctl/wall.h"
#include "monitor/client.h"

enum { ALIVE_S = 5 };

/* --- reload --- */

/* All is made by the boot file of now; then the state is swapped, which can be refused, and after that nothing can. */
static int follow_boot(struct engine *g, const struct rf_boot *before, struct rf_err *e)
{
	struct serving made;
	struct rf_err unused;
	int rc = rf_ca_base_url(g->ctl.ca, g->ctl.boot->ca_base_url, e);
	if (rc == RF_OK)
		rc = serving_make(g, before, &made, e);
	bool ready = rc == RF_OK;
	if (ready)
		rc = rf_ctl_reload_state(&g->ctl, e);
	if (rc == RF_OK)
		serving_go(g, &made);
	else if (ready)
		serving_drop(g, &made);
	if (rc != RF_OK)
		rf_ca_base_url(g->ctl.ca, before->ca_base_url, &unused);
	return rc;
}

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
	rc = follow_boot(g, old, e);
	if (rc != RF_OK) {
		g->ctl.boot = old;
		g->ctl.priv->plan = g->plan = old_plan;
		rf_boot_free(new);
	} else if (old != g->started)
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

/* In the midst of what takes long: the thread that says so by the timer is at work. What fails, fails there again. */
static void still_alive(void *arg)
{
	struct engine *g = arg;
	struct rf_err unused;
	(void)rf_monitor_alive(g->monitor_fd, &unused);
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
	if (rc == RF_OK) {
		say_alive(&g->alive);
		rf_way_tell(still_alive, g, ALIVE_S * RF_NS_S);
	}
	return rc;
}

static void monitor_down(struct engine *g)
{
	rf_way_tell(NULL, NULL, 0);
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
	{ "applies", applies_up, applies_down },
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
	*g = (struct engine){ .monitor_fd = monitor_fd, .notices = -1, .api_fd = -1 };
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
