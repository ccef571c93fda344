/* monitor/upgrade: hand-over to the program as it is on disk now.
 *
 * SIGUSR2 -> the new program checks its configuration in a child -> exec in place: the process, its listening sockets and the engine
 * that serves stay. The new monitor starts an engine of its own on the same sockets; when that is ready, the old one drains. No
 * moment is without an engine that accepts.
 *
 * In the environment: RINGFENCE_FDS "4,5,6", the sockets; RINGFENCE_PORTS "0:7,4:8", the groups and sockets of ports; RINGFENCE_ENGINE "pid,requests,notices". The service manager's
 * LISTEN_FDS are taken over in the same way (sd_listen_fds(3)).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/buf.h"
#include "monitor/monitor_in.h"

extern char **environ;

static void keep_on_exec(int fd, bool keep)
{
	if (fd >= 0)
		fcntl(fd, F_SETFD, keep ? 0 : FD_CLOEXEC);
}

static void keep_all(struct monitor *m, bool keep)
{
	for (size_t i = 0; i < m->sockets.count; i++)
		keep_on_exec(m->sockets.v[i].fd, keep);
	for (size_t i = 0; i < m->ports.count; i++)
		keep_on_exec(m->ports.v[i].fd, keep);
	keep_on_exec(m->now.fd, keep);
	keep_on_exec(m->now.notices, keep);
}

void rf_mon_upgrade_check(struct monitor *m)
{
	if (!m->conf->argv || m->checker || m->stopping) {
		rf_mon_say(m, 'w', "no upgrade: %s", !m->conf->argv ? "not possible here" : m->stopping ? "stopping" : "one is under way");
		return;
	}
	if (!m->now.ready || m->old.pid) {
		rf_mon_say(m, 'w', "no upgrade: the engine of the last change is not done yet");
		return;
	}
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		sigset_t none;
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		execve(m->conf->check[0], (char *const *)(uintptr_t)m->conf->check, environ);
		_exit(127);
	}
	if (pid < 0)
		rf_mon_say(m, 'e', "no upgrade: %s", strerror(errno));
	else
		m->checker = pid;
}

void rf_mon_upgrade_checked(struct monitor *m, bool ok)
{
	RF_BUF_AUTO fds = { 0 };
	RF_BUF_AUTO ports = { 0 };
	char engine[64];
	if (!ok) {
		rf_mon_say(m, 'e', "no upgrade: the new program does not accept the configuration; the old one goes on");
		return;
	}
	if (m->stopping || !m->now.ready || m->old.pid)
		return;
	for (size_t i = 0; i < m->sockets.count; i++)
		rf_buf_printf(&fds, "%s%d", i ? "," : "", m->sockets.v[i].fd);
	for (size_t i = 0; i < m->ports.count; i++)
		rf_buf_printf(&ports, "%s%d:%d", i ? "," : "", m->ports.v[i].group, m->ports.v[i].fd);
	snprintf(engine, sizeof engine, "%d,%d,%d", (int)m->now.pid, m->now.fd, m->now.notices);
	keep_all(m, true);
	setenv("RINGFENCE_FDS", rf_buf_z(&fds), 1);
	setenv("RINGFENCE_PORTS", rf_buf_z(&ports), 1);
	setenv("RINGFENCE_ENGINE", engine, 1);
	rf_mon_say(m, 'i', "handing over to %s", m->conf->argv[0]);
	fflush(NULL);
	execve(m->conf->argv[0], (char *const *)(uintptr_t)m->conf->argv, environ);
	rf_mon_say(m, 'e', "no upgrade: %s: %s; the old program goes on", m->conf->argv[0], strerror(errno));
	unsetenv("RINGFENCE_FDS");
	unsetenv("RINGFENCE_PORTS");
	unsetenv("RINGFENCE_ENGINE");
	keep_all(m, false);
}

static void adopt_socket(struct monitor *m, int fd)
{
	keep_on_exec(fd, false);
	if (!rf_sockets_adopt(&m->sockets, fd))
		close(fd);
	else
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

/* "GROUP:DESCRIPTOR" */
static void adopt_port(struct monitor *m, struct rf_str text)
{
	uint64_t group, fd;
	size_t colon = rf_str_find(text, ':');
	if (!rf_str_u64((struct rf_str){ text.p, colon }, &group) || colon == text.n || !rf_str_u64(rf_str_skip(text, colon + 1), &fd) ||
	    fd < 3 || fd >= 1 << 20)
		return;
	keep_on_exec((int)fd, false);
	if (group > RF_PORT_BOUND || !rf_port_sockets_adopt(&m->ports, (unsigned)group, (int)fd))
		close((int)fd);
}

static void adopt_engine(struct monitor *m, const char *text)
{
	int pid, fd, notices;
	if (sscanf(text, "%d,%d,%d", &pid, &fd, &notices) != 3)
		return;
	keep_on_exec(fd, false);
	keep_on_exec(notices, false);
	m->old.pid = pid;
	m->old.fd = fd;
	m->old.notices = notices;
	m->old.ready = true;
	m->old.born = rf_mon_mono(m);
	m->served = true;
}

void rf_mon_upgrade_adopt(struct monitor *m)
{
	const char *fds = getenv("RINGFENCE_FDS"), *engine = getenv("RINGFENCE_ENGINE"), *count = getenv("LISTEN_FDS"),
		   *pid = getenv("LISTEN_PID"), *ports = getenv("RINGFENCE_PORTS");
	struct rf_str rest = rf_str_z(fds ? fds : ""), part;
	uint64_t n;
	while (rf_str_split(&rest, ',', &part))
		if (rf_str_u64(part, &n) && n > 2 && n < 1 << 20)
			adopt_socket(m, (int)n);
	rest = rf_str_z(ports ? ports : "");
	while (rf_str_split(&rest, ',', &part))
		adopt_port(m, part);
	if (engine)
		adopt_engine(m, engine);
	if (count && pid && strtol(pid, NULL, 10) == getpid() && rf_str_u64(rf_str_z(count), &n) && n < RF_SOCKETS_MAX)
		for (int fd = 3; fd < 3 + (int)n; fd++)
			adopt_socket(m, fd);
	static const char *const names[] = { "RINGFENCE_FDS", "RINGFENCE_PORTS", "RINGFENCE_ENGINE", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		unsetenv(names[i]);
}
