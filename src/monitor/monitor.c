/* monitor/monitor: see monitor.h.
 *
 * One loop over poll: signals (signalfd), requests of the engine, and times (start again, kill what does not drain,
 * kill what is silent, service manager's watchdog). It blocks nowhere else; only on_replan works longer, and it reads files.
 *
 * Not here: the life of an engine and its requests (engine.c), hand-over (upgrade.c), sockets (sockets.c).
 */
#include "monitor/monitor.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include "monitor/monitor_in.h"
#include "monitor/notify.h"
#include "monitor/sandbox.h"

void rf_plan_free(struct rf_plan *p)
{
	if (!p)
		return;
	if (p->free_config)
		p->free_config(p->config);
	rf_arena_fini(&p->arena);
	free(p);
}

void rf_mon_say(struct monitor *m, char level, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (m->conf->log)
		m->conf->log(m->conf->arg, level, text);
}

uint64_t rf_mon_mono(const struct monitor *m) { return m->conf->clock.mono(m->conf->clock.ctx); }

static void stop(struct monitor *m)
{
	if (m->stopping) { /* told twice: at once */
		m->now.kill_at = m->now.pid ? rf_mon_mono(m) : 0;
		m->old.kill_at = m->old.pid ? rf_mon_mono(m) : 0;
		return;
	}
	m->stopping = true;
	m->restart_at = 0;
	rf_notify("STOPPING=1\nSTATUS=draining");
	rf_mon_say(m, 'i', "stopping: requests under way may take %.0f s to end", (double)m->plan->drain_ns / (double)RF_NS_S);
	rf_sockets_close(&m->sockets, true);
	rf_mon_ports_end(m);
	rf_mon_engine_drain(m, &m->now);
	rf_mon_engine_drain(m, &m->old);
}

static void reload(struct monitor *m)
{
	if (!m->now.ready || m->stopping || !rf_mon_engine_notice(&m->now, RF_NOTICE_RELOAD))
		rf_mon_say(m, 'w', "no reload: no engine serves now");
}

static void reap(struct monitor *m)
{
	siginfo_t info = { 0 };
	while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) == 0 && info.si_pid) {
		if (info.si_pid == m->checker) {
			m->checker = 0;
			rf_mon_upgrade_checked(m, info.si_code == CLD_EXITED && info.si_status == 0);
		} else if (info.si_pid == m->now.pid)
			rf_mon_engine_ended(m, &m->now, info.si_code, info.si_status);
		else if (info.si_pid == m->old.pid)
			rf_mon_engine_ended(m, &m->old, info.si_code, info.si_status);
		info.si_pid = 0;
	}
}

static void on_signals(struct monitor *m)
{
	struct signalfd_siginfo s;
	while (read(m->signals, &s, sizeof s) == sizeof s)
		switch (s.ssi_signo) {
		case SIGHUP: reload(m); break;
		case SIGTERM: case SIGINT: stop(m); break;
		case SIGUSR2: rf_mon_upgrade_check(m); break;
		default: break; /* SIGCHLD: reaped every turn */
		}
}

static uint64_t silence_at(const struct engine *g)
{
	return g->pid && g->alive && !g->draining ? g->alive + RF_MONITOR_SILENCE_NS : 0;
}

static void kill_due(struct monitor *m, struct engine *g, uint64_t now)
{
	uint64_t silence = silence_at(g);
	if (!g->pid || g->killed)
		return;
	if (g->kill_at && now >= g->kill_at)
		rf_mon_say(m, 'w', "the engine (process %d) has not ended in time and is cut off", (int)g->pid);
	else if (silence && now >= silence)
		rf_mon_say(m, 'e', "the engine (process %d) gives no sign of life and is ended", (int)g->pid);
	else
		return;
	g->killed = true;
	kill(g->pid, SIGKILL);
}

static void on_time(struct monitor *m)
{
	uint64_t now = rf_mon_mono(m);
	kill_due(m, &m->now, now);
	kill_due(m, &m->old, now);
	if (m->restart_at && now >= m->restart_at && !m->stopping)
		rf_mon_engine_start(m);
	if (m->watchdog_ns && now >= m->watchdog_at) {
		rf_notify("WATCHDOG=1");
		m->watchdog_at = now + m->watchdog_ns;
	}
}

static void sooner(uint64_t *at, uint64_t candidate)
{
	if (candidate && candidate < *at)
		*at = candidate;
}

static int wait_ms(const struct monitor *m)
{
	uint64_t now = rf_mon_mono(m), at = now + 60 * RF_NS_S;
	sooner(&at, m->restart_at);
	sooner(&at, m->watchdog_ns ? m->watchdog_at : 0);
	for (int i = 0; i < 2; i++) {
		const struct engine *g = i ? &m->old : &m->now;
		sooner(&at, g->killed ? 0 : g->kill_at);
		sooner(&at, g->killed ? 0 : silence_at(g));
	}
	return at <= now ? 0 : (int)((at - now) / RF_NS_MS + 1);
}

static void turn(struct monitor *m)
{
	struct pollfd p[] = { { m->signals, POLLIN, 0 }, { m->now.fd, POLLIN, 0 }, { m->old.fd, POLLIN, 0 }, { m->links, POLLIN, 0 } };
	if (poll(p, sizeof p / sizeof *p, wait_ms(m)) < 0 && errno != EINTR)
		rf_mon_say(m, 'e', "poll: %s", strerror(errno));
	if (p[1].revents && m->now.fd >= 0)
		rf_mon_engine_request(m, &m->now);
	if (p[2].revents && m->old.fd >= 0)
		rf_mon_engine_request(m, &m->old);
	if (p[3].revents && m->links >= 0)
		rf_mon_gate_links(m);
	if (p[0].revents)
		on_signals(m);
	reap(m);
	on_time(m);
	rf_mon_gate_turn(m);
	if (m->stopping && !m->now.pid && !m->old.pid)
		m->done = true;
}

static int signals_begin(sigset_t *ret_before)
{
	static const int which[] = { SIGHUP, SIGTERM, SIGINT, SIGUSR2, SIGCHLD };
	sigset_t set;
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof which / sizeof *which; i++)
		sigaddset(&set, which[i]);
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, &set, ret_before);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void raise_descriptors(struct monitor *m)
{
	struct rlimit l;
	rlim_t want = m->plan->descriptors;
	if (!want || getrlimit(RLIMIT_NOFILE, &l) != 0 || l.rlim_cur >= want)
		return;
	struct rlimit more = { want, want > l.rlim_max ? want : l.rlim_max };
	if (setrlimit(RLIMIT_NOFILE, &more) == 0)
		return;
	more = (struct rlimit){ l.rlim_max, l.rlim_max };
	setrlimit(RLIMIT_NOFILE, &more);
	rf_mon_say(m, 'w', "%llu descriptors are wanted and only %llu allowed (LimitNOFILE=, ulimit -n): that many connections less",
	    (unsigned long long)want, (unsigned long long)l.rlim_max);
}

static void write_pid(struct monitor *m)
{
	FILE *f = *m->plan->pid_file ? fopen(m->plan->pid_file, "we") : NULL;
	if (f) {
		fprintf(f, "%d\n", (int)getpid());
		fclose(f);
	} else if (*m->plan->pid_file)
		rf_mon_say(m, 'w', "%s cannot be written: %s", m->plan->pid_file, strerror(errno));
}

static unsigned uses_of(const struct rf_plan *plan)
{
	unsigned uses = plan->interface_count ? RF_FILTER_USES : 0;
	for (size_t i = 0; i < plan->listener_count; i++)
		uses |= plan->steer && plan->listeners[i].ports ? 1u << RF_KERNEL_FOR_STEER : 0;
	return uses;
}

static int begin(struct monitor *m, struct rf_err *e)
{
	int r = m->conf->plan(m->conf->arg, &m->plan, e);
	if (r == RF_OK)
		r = rf_sandbox_dirs(m->plan, e);
	if (r != RF_OK)
		return r;
	raise_descriptors(m);
	rf_mon_upgrade_adopt(m);
	rf_sockets_trim(&m->sockets, m->plan);
	if ((r = rf_sockets_ensure(&m->sockets, m->plan, e)) != RF_OK)
		return r;
	rf_kernel_probe(uses_of(m->plan), m->plan->without, &m->kernel);
	rf_mon_ports_follow(m, m->plan);
	rf_mon_gate_begin(m);
	write_pid(m);
	m->watchdog_ns = rf_notify_watchdog();
	return RF_OK;
}

int rf_monitor_run(const struct rf_monitor_conf *conf)
{
	struct monitor *m = calloc(1, sizeof *m);
	struct rf_err e = { 0 };
	char text[800];
	sigset_t before;
	if (!m)
		return EXIT_FAILURE;
	m->conf = conf;
	m->links = -1;
	rf_mon_engine_init(&m->now);
	rf_mon_engine_init(&m->old);
	m->signals = signals_begin(&before);
	if (begin(m, &e) != RF_OK) {
		rf_mon_say(m, 'e', "%s", rf_err_str(&e, text, sizeof text));
		m->status = EXIT_FAILURE;
		m->done = true;
	} else
		rf_mon_engine_start(m);
	while (!m->done)
		turn(m);
	rf_sockets_close(&m->sockets, true);
	rf_mon_ports_end(m);
	rf_mon_gate_end(m);
	if (m->plan && *m->plan->pid_file)
		unlink(m->plan->pid_file);
	rf_plan_free(m->plan);
	rf_plan_free(m->next);
	close(m->signals);
	sigprocmask(SIG_SETMASK, &before, NULL);
	int status = m->status;
	free(m);
	return status;
}
