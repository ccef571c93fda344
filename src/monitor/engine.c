/* monitor/engine: the child of the monitor: birth, requests, end.
 *
 * An engine is started at once when one dies. When engines die young (RESTART_CALM_NS) more than DEATHS_AT_ONCE times in a row, the
 * wait doubles from RESTART_WAIT_MIN_NS to RESTART_WAIT_MAX_NS. Before any engine has ever been ready, an exit with a status is
 * a fault of the configuration and ends the monitor; so do DEATHS_BEFORE_GIVING_UP deaths by signal.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "monitor/monitor_in.h"
#include "monitor/taken.h"
#include "monitor/notify.h"
#include "monitor/sandbox.h"

void rf_mon_engine_init(struct engine *g)
{
	*g = (struct engine){ .fd = -1, .notices = -1, .notices_theirs = -1, .violation = -1 };
}

static void shut(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Only the standard descriptors and `fd` stay open. */
static void close_others(int fd)
{
	if (fd > 3)
		close_range(3, (unsigned)fd - 1, 0);
	close_range((unsigned)fd + 1, ~0u, 0);
}

static bool confined(const struct monitor *m)
{
	return !m->conf->no_sandbox && !m->plan->unconfined;
}

/* The child: what remains of root goes here. Does not return. */
static void live(struct monitor *m, int fd, pid_t parent)
{
	static const int defaults[] = { SIGTERM, SIGCHLD, SIGALRM, SIGUSR1 }, ignored[] = { SIGPIPE, SIGHUP, SIGINT, SIGUSR2 };
	struct rf_sandbox_report got = { 0 };
	struct rf_err e;
	char text[700];
	sigset_t none;
	close_others(fd);
	for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++)
		signal(defaults[i], SIG_DFL);
	for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
		signal(ignored[i], SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	rf_sandbox_report_to(fd);
	if (confined(m) && rf_sandbox_enter(m->plan, &got, &e) != RF_OK) {
		rf_mon_say(m, 'e', "sandbox: %s", rf_err_str(&e, text, sizeof text));
		exit(EXIT_FAILURE);
	}
	if (confined(m) && !got.landlock && !m->served)
		rf_mon_say(m, 'w', "this kernel has no Landlock: the engine's files are guarded by their permissions only");
	prctl(PR_SET_PDEATHSIG, SIGTERM); /* after the change of user, which resets it */
	if (getppid() != parent)
		exit(EXIT_FAILURE);
	int status = m->conf->engine(m->conf->arg, m->plan, fd);
	fflush(NULL);
	if (confined(m))
		_exit(status); /* a leak checker at exit would trace this process, which hangs in the sandbox */
	exit(status);
}

static int pairs(int requests[2], int notices[2])
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, requests) != 0)
		return -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, notices) == 0) {
		fcntl(requests[0], F_SETFL, O_NONBLOCK);
		return 0;
	}
	close(requests[0]);
	close(requests[1]);
	return -1;
}

static void start_later(struct monitor *m, uint64_t wait)
{
	m->restart_at = rf_mon_mono(m) + wait;
}

void rf_mon_engine_start(struct monitor *m)
{
	int requests[2], notices[2];
	pid_t parent = getpid();
	m->restart_at = 0;
	if (pairs(requests, notices) != 0) {
		rf_mon_say(m, 'e', "the engine cannot be started: %s; trying again", strerror(errno));
		start_later(m, RF_NS_S);
		return;
	}
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0)
		live(m, requests[1], parent);
	close(requests[1]);
	if (pid < 0) {
		rf_mon_say(m, 'e', "the engine cannot be started: %s; trying again", strerror(errno));
		close(requests[0]);
		close(notices[0]);
		close(notices[1]);
		start_later(m, RF_NS_S);
		return;
	}
	m->now = (struct engine){ .pid = pid, .fd = requests[0], .notices = notices[0], .notices_theirs = notices[1],
				  .born = rf_mon_mono(m), .violation = -1 };
}

bool rf_mon_engine_notice(struct engine *g, enum rf_notice what)
{
	struct rf_request q = { .magic = RF_REQUEST_MAGIC, .arg = what };
	return g->notices >= 0 && rf_request_send(g->notices, &q, NULL, 0) == RF_OK;
}

void rf_mon_engine_drain(struct monitor *m, struct engine *g)
{
	if (!g->pid || g->draining)
		return;
	g->draining = true;
	g->kill_at = rf_mon_mono(m) + m->plan->drain_ns + KILL_GRACE_NS;
	if (!rf_mon_engine_notice(g, RF_NOTICE_DRAIN))
		kill(g->pid, SIGTERM);
}

static void describe(const struct engine *g, int code, int value, char *to, size_t room)
{
	if (code == CLD_EXITED)
		snprintf(to, room, "ended with status %d", value);
	else if (value == SIGSYS && g->violation >= 0)
		snprintf(to, room, "was ended for a forbidden system call, %s", rf_sandbox_syscall(g->violation));
	else if (value == SIGSYS)
		snprintf(to, room, "was ended for a forbidden system call (execve, ptrace or the like)");
	else
		snprintf(to, room, "died by signal %d (%s)", value, strsignal(value));
}

static uint64_t restart_wait(unsigned deaths)
{
	if (deaths <= DEATHS_AT_ONCE)
		return 0;
	unsigned doublings = deaths - DEATHS_AT_ONCE - 1;
	uint64_t wait = doublings < 8 ? RESTART_WAIT_MIN_NS << doublings : RESTART_WAIT_MAX_NS;
	return wait < RESTART_WAIT_MAX_NS ? wait : RESTART_WAIT_MAX_NS;
}

/* A reload that the dead engine had begun never happened. */
static void forget_next(struct monitor *m)
{
	if (!m->next)
		return;
	rf_plan_free(m->next);
	m->next = NULL;
	rf_sockets_trim(&m->sockets, m->plan);
}

static void died(struct monitor *m, const struct engine *was, int code, int value)
{
	char how[160];
	uint64_t now = rf_mon_mono(m), age = now - was->born;
	describe(was, code, value, how, sizeof how);
	m->deaths = age < RESTART_CALM_NS ? m->deaths + 1 : 1;
	if (!m->served && (code == CLD_EXITED || m->deaths >= DEATHS_BEFORE_GIVING_UP)) {
		rf_mon_say(m, 'e', "the engine %s before it served; giving up", how);
		m->status = EXIT_FAILURE;
		m->done = true;
		return;
	}
	uint64_t wait = restart_wait(m->deaths);
	rf_mon_say(m, 'e', "the engine (process %d) %s after %.1f s; %s", (int)was->pid, how, (double)age / (double)RF_NS_S,
	    wait ? "it dies again and again, so the next one starts a little later" : "starting it again");
	if (wait)
		start_later(m, wait);
	else
		rf_mon_engine_start(m);
}

void rf_mon_engine_ended(struct monitor *m, struct engine *g, int code, int value)
{
	for (int i = 0; i < REQUESTS_LEFT && g->fd >= 0; i++) /* a violation may wait to be read */
		rf_mon_engine_request(m, g);
	shut(&g->fd);
	struct engine was = *g;
	shut(&g->notices);
	shut(&g->notices_theirs);
	rf_mon_engine_init(g);
	if (g == &m->old) {
		rf_mon_say(m, 'i', "the engine before (process %d) has ended", (int)was.pid);
		return;
	}
	forget_next(m);
	if (!m->stopping)
		died(m, &was, code, value);
}

/* --- requests: each fills the answer and gives at most RF_PLAN_SOCKETS_MAX descriptors --- */

struct answer {
	struct rf_request r;
	int fds[RF_PLAN_SOCKETS_MAX];
	size_t count;
	int close_after; /* -1 */
	int given;       /* a descriptor that came with the request; -1 */
};

static const struct rf_plan *plan_now(const struct monitor *m) { return m->next ? m->next : m->plan; }

static void refuse(struct answer *a, int code, const char *text)
{
	a->r.code = code;
	snprintf(a->r.text, sizeof a->r.text, "%.*s", RF_REQUEST_TEXT - 1, text);
}

static void on_watch(struct monitor *m, struct engine *g, const struct rf_request *q, struct answer *a)
{
	(void)m;
	(void)q;
	if (g->notices_theirs < 0) {
		refuse(a, RF_E_EXISTS, "the socket of notices was given already");
		return;
	}
	a->fds[a->count++] = a->close_after = g->notices_theirs;
	g->notices_theirs = -1;
}

static void on_listen(struct monitor *m, struct engine *g, const struct rf_request *q, struct answer *a)
{
	(void)g;
	const struct rf_plan_listener *l = &plan_now(m)->listeners[q->arg];
	a->count = rf_sockets_of(&m->sockets, l, a->fds);
	snprintf(a->r.text, sizeof a->r.text, "%s", l->name);
}

static void on_filter(struct monitor *m, struct engine *g, const struct rf_request *q, struct answer *a)
{
	(void)g;
	(void)q;
	for (unsigned i = 0; m->filter && i < RF_FILTER_MAP_COUNT; i++)
		a->fds[a->count++] = rf_filter_map(m->filter, i);
	if (m->nft.on && m->nft.group)
		a->fds[a->count++] = m->nft.log;
	const char *why;
	a->r.arg = (m->filter && rf_filter_cookies(m->filter, &why) ? RF_FILTER_HAS_COOKIES : 0) | (m->nft.on ? RF_FILTER_IS_NFT : 0);
	rf_mon_gate_text(m, a->r.text, sizeof a->r.text);
}

static void on_gate(struct monitor *m, struct engine *g, const struct rf_request *q, struct answer *a)
{
	(void)g;
	(void)q;
	rf_mon_gate_text(m, a->r.text, sizeof a->r.text);
}

static void on_standing(struct monitor *m, struct engine *g, const struct rf_request *q, struct answer *a)
{
	(void)g;
	(void)q;
	int fd = rf_mon_gate_standing(m);
	if (fd >= 0)
		a->fds[a->count++] = a->close_after = fd;
}

static void on_rules(struct monitor *m, struct engine *g, const struct rf_request *q, struct answer *a)
{
	struct rf_err e = { 0 };
	if (g != &m->now) {
		refuse(a, RF_E_CONFLICT, "another engine is taking over");
		return;
	}
	a->r.arg = UINT32_MAX;
	int r = m->filter ? rf_filter_rules(m->filter, a->given, !q->arg, &a->r.arg, &e) : rf_fail(&e, RF_E_UNSUPPORTED, "there is no kernel filter");
	if (r != RF_OK) {
		a->r.code = r;
		snprintf(a->r.text, sizeof a->r.text, "%.*s", RF_REQUEST_TEXT - 1, e.text);
	}
}

static void on_policy(struct monitor *m, struct engine *g, const struct rf_request *q, struct answer *a)
{
	(void)q;
	struct rf_err e = { 0 };
	int r = g == &m->now ? rf_mon_nft_policy(m, a->given, &e) : rf_fail(&e, RF_E_CONFLICT, "another engine is taking over");
	if (r != RF_OK)
		refuse(a, r, e.text);
	if (g->alive)
		g->alive = rf_mon_mono(m); /* it waited for us */
}

static void on_homes(struct monitor *m, struct engine *g, const struct rf_request *q, struct answer *a)
{
	(void)q;
	struct rf_err e = { 0 };
	int r = g == &m->now ? rf_mon_nft_homes(m, a->given, &e) : rf_fail(&e, RF_E_CONFLICT, "another engine is taking over");
	if (r != RF_OK)
		refuse(a, r, e.text);
}

/* Bytes as a file without a name; -1: there is no memory. */
static int as_file(struct rf_str text)
{
	int fd = memfd_create("answer", MFD_CLOEXEC);
	size_t at = 0;
	while (fd >= 0 && at < text.n) {
		ssize_t n = write(fd, text.p + at, text.n - at);
		if (n <= 0)
			shut(&fd);
		else
			at += (size_t)n;
	}
	return fd;
}

static void on_counts(struct monitor *m, struct engine *g, const struct rf_request *q, struct answer *a)
{
	(void)g;
	(void)q;
	int fd = m->nft.on ? rf_mon_nft_counts() : -1;
	if (fd >= 0)
		a->fds[a->count++] = a->close_after = fd;
}

static void on_steer(struct monitor *m, struct engine *g, const struct rf_request *q, struct answer *a)
{
	(void)g;
	(void)q;
	if (m->steer)
		a->fds[a->count++] = rf_steer_ports(m->steer);
	rf_mon_ports_text(m, plan_now(m), a->r.text, sizeof a->r.text);
}

static void on_steered(struct monitor *m, struct engine *g, const struct rf_request *q, struct answer *a)
{
	(void)g;
	a->count = m->steer ? rf_port_sockets_group(&m->ports, q->arg, a->fds) : 0;
}

static void on_bind(struct monitor *m, struct engine *g, const struct rf_request *q, struct answer *a)
{
	(void)g;
	struct rf_err e = { 0 };
	int r = rf_port_sockets_bind(&m->ports, plan_now(m), rf_port_name(q->arg), &e);
	if (r != RF_OK)
		refuse(a, r, e.text);
	else
		a->count = rf_port_sockets_of(&m->ports, plan_now(m), rf_port_name(q->arg), a->fds);
}

static void on_unbind(struct monitor *m, struct engine *g, const struct rf_request *q, struct answer *a)
{
	(void)a;
	if (g == &m->now) /* one that drains has no say in it */
		rf_port_sockets_unbind(&m->ports, plan_now(m), rf_port_name(q->arg));
}

static void on_reply(struct monitor *m, struct engine *g, const struct rf_request *q, struct answer *a)
{
	(void)g;
	struct rf_err e = { 0 };
	struct rf_ip at;
	int fd, r = RF_E_SYNTAX;
	if (rf_ip_parse(rf_str_z(q->text), &at))
		r = rf_port_reply(&m->ports, plan_now(m), rf_port_name(q->arg), &at, &fd, &e);
	if (r != RF_OK)
		refuse(a, r, e.text);
	else
		a->fds[a->count++] = a->close_after = fd;
}

static void on_taken(struct monitor *m, struct engine *g, const struct rf_request *q, struct answer *a)
{
	(void)g;
	static uint64_t words[2 * 1024];
	if (!m->steer)
		return;
	int r = rf_ports_taken("/proc/self/net", &plan_now(m)->listeners[q->arg].ip, &m->ports, words);
	int fd = r == RF_OK ? as_file((struct rf_str){ (const char *)words, sizeof words }) : -1;
	if (fd < 0)
		refuse(a, RF_E_IO, "it cannot be seen which ports other programs have");
	else
		a->fds[a->count++] = a->close_after = fd;
}

static void on_open(struct monitor *m, struct engine *g, const struct rf_request *q, struct answer *a)
{
	(void)g;
	const char *path = plan_now(m)->files[q->arg];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0) {
		a->r.code = errno == ENOENT ? RF_E_NOT_FOUND : RF_E_IO;
		snprintf(a->r.text, sizeof a->r.text, "%.300s cannot be opened: %s", path, strerror(errno));
		return;
	}
	a->fds[a->count++] = a->close_after = fd;
	snprintf(a->r.text, sizeof a->r.text, "%s", path);
}

static void on_ready(struct monitor *m, struct engine *g, const struct rf_request *q, struct answer *a)
{
	(void)q;
	(void)a;
	if (g->ready)
		return;
	g->ready = true;
	char text[128];
	snprintf(text, sizeof text, "READY=1\nSTATUS=serving with process %d", (int)g->pid);
	rf_notify(text);
	rf_mon_say(m, 'i', "the engine (process %d) serves after %.0f ms", (int)g->pid,
	    (double)(rf_mon_mono(m) - g->born) / (double)RF_NS_MS);
	m->served = true;
	if (g != &m->now)
		return;
	rf_mon_gate_filled(m);
	rf_mon_engine_drain(m, &m->old);
	rf_mon_nft_yield(m);
}

static void on_replan(struct monitor *m, struct engine *g, const struct rf_request *q, struct answer *a)
{
	(void)q;
	struct rf_plan *next = NULL;
	struct rf_err e = { 0 };
	char text[RF_REQUEST_TEXT];
	if (g != &m->now) {
		refuse(a, RF_E_CONFLICT, "another engine is taking over");
		return;
	}
	forget_next(m);
	int r = m->conf->plan(m->conf->arg, &next, &e);
	if (r == RF_OK)
		r = rf_sockets_ensure(&m->sockets, next, &e);
	int fd = r == RF_OK ? as_file(next->text) : -1;
	if (r == RF_OK && fd < 0)
		r = rf_fail(&e, RF_E_NOMEM, "memory is exhausted");
	if (r != RF_OK) {
		rf_plan_free(next);
		rf_sockets_trim(&m->sockets, m->plan);
		refuse(a, r, rf_err_str(&e, text, sizeof text));
		return;
	}
	rf_notify("RELOADING=1\nSTATUS=reloading");
	m->next = next;
	a->fds[a->count++] = a->close_after = fd;
}

static void on_reloaded(struct monitor *m, struct engine *g, const struct rf_request *q, struct answer *a)
{
	if (g != &m->now) {
		refuse(a, RF_E_CONFLICT, "another engine is taking over");
		return;
	}
	if (!q->arg) {
		forget_next(m);
		rf_mon_say(m, 'e', "the reload failed and the state before stays in force: %s", q->text);
	} else if (m->next) {
		rf_plan_free(m->plan);
		m->plan = m->next;
		m->next = NULL;
		rf_sockets_trim(&m->sockets, m->plan);
		rf_mon_ports_follow(m, m->plan);
		if (m->filter || m->nft.on)
			rf_mon_gate_follow(m, m->plan);
		rf_mon_say(m, 'i', "reloaded");
	}
	rf_notify("READY=1\nSTATUS=serving");
}

static void on_alive(struct monitor *m, struct engine *g, const struct rf_request *q, struct answer *a)
{
	(void)q;
	(void)a;
	g->alive = rf_mon_mono(m);
}

static void on_status(struct monitor *m, struct engine *g, const struct rf_request *q, struct answer *a)
{
	(void)m;
	(void)g;
	(void)a;
	char text[RF_REQUEST_TEXT + 16];
	snprintf(text, sizeof text, "STATUS=%s", q->text);
	rf_notify(text);
}

static void on_violation(struct monitor *m, struct engine *g, const struct rf_request *q, struct answer *a)
{
	(void)a;
	g->violation = (int)q->arg;
	if (g->refused++ < REFUSALS_SAID)
		rf_mon_say(m, 'e', "the sandbox stopped the system call %s of process %d", rf_sandbox_syscall(g->violation), (int)g->pid);
}

static void (*const handlers[RF_REQUEST_COUNT])(struct monitor *, struct engine *, const struct rf_request *, struct answer *) = {
	[RF_REQUEST_STEER] = on_steer, [RF_REQUEST_STEERED] = on_steered, [RF_REQUEST_BIND] = on_bind, [RF_REQUEST_UNBIND] = on_unbind,
	[RF_REQUEST_REPLY] = on_reply, [RF_REQUEST_TAKEN] = on_taken, [RF_REQUEST_POLICY] = on_policy, [RF_REQUEST_HOMES] = on_homes,
	[RF_REQUEST_COUNTS] = on_counts,
	[RF_REQUEST_WATCH] = on_watch, [RF_REQUEST_LISTEN] = on_listen, [RF_REQUEST_FILTER] = on_filter, [RF_REQUEST_GATE] = on_gate, [RF_REQUEST_STANDING] = on_standing,
	[RF_REQUEST_RULES] = on_rules, [RF_REQUEST_OPEN] = on_open, [RF_REQUEST_READY] = on_ready,
	[RF_REQUEST_REPLAN] = on_replan, [RF_REQUEST_RELOADED] = on_reloaded, [RF_REQUEST_ALIVE] = on_alive,
	[RF_REQUEST_STATUS] = on_status, [RF_REQUEST_VIOLATION] = on_violation,
};

void rf_mon_engine_request(struct monitor *m, struct engine *g)
{
	struct rf_request q, checked;
	struct answer a = { .r = { .magic = RF_REQUEST_MAGIC }, .close_after = -1, .given = -1 };
	size_t given = 1;
	int r = rf_request_recv(g->fd, &q, &a.given, &given);
	if (!given)
		a.given = -1;
	if (r == RF_E_AGAIN)
		return;
	if (r != RF_OK && r != RF_E_SYNTAX) { /* it closed its end: it is dying, and its end is told by SIGCHLD */
		shut(&g->fd);
		return;
	}
	if (r == RF_OK)
		r = rf_request_check(&q, sizeof q, plan_now(m), &checked);
	if (r == RF_OK)
		handlers[checked.kind](m, g, &checked, &a);
	else {
		refuse(&a, r, "the monitor refuses such a request");
		if (g->refused++ < REFUSALS_SAID)
			rf_mon_say(m, 'w', "the engine (process %d) sent a request that is not in the table: %s", (int)g->pid, rf_code_sentence(r));
	}
	if (r != RF_OK || checked.kind != RF_REQUEST_VIOLATION)
		rf_request_send(g->fd, &a.r, a.fds, a.count);
	shut(&a.close_after);
	shut(&a.given);
}
