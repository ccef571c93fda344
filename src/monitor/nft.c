/* monitor/nft: see nft.h.
 *
 *   commands -> file without a name -> nft's standard input; what it says -> another such file
 */
#include "monitor/nft.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LIMIT_MS = 10000, SAID_MAX = 65536 };

static int file_of(struct rf_str text)
{
	int fd = memfd_create("nft", MFD_CLOEXEC);
	while (fd >= 0 && text.n) {
		ssize_t n = write(fd, text.p, text.n);
		if (n <= 0) {
			close(fd);
			return -1;
		}
		text = rf_str_skip(text, (size_t)n);
	}
	if (fd >= 0)
		lseek(fd, 0, SEEK_SET);
	return fd;
}

static pid_t start(int in, int out)
{
	static const char *const places[] = { "/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft" };
	char *const args[] = { (char[]){ "nft" }, (char[]){ "-f" }, (char[]){ "-" }, NULL }, *const none[] = { NULL };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t how;
	sigset_t no_signals;
	pid_t pid = -1;
	sigemptyset(&no_signals);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, in, 0);
	posix_spawn_file_actions_adddup2(&files, out, 1);
	posix_spawn_file_actions_adddup2(&files, out, 2);
	posix_spawnattr_init(&how);
	posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigmask(&how, &no_signals);
	for (size_t i = 0; i < sizeof places / sizeof *places && pid < 0; i++)
		if (posix_spawn(&pid, places[i], &files, &how, args, none) != 0)
			pid = -1;
	posix_spawnattr_destroy(&how);
	posix_spawn_file_actions_destroy(&files);
	return pid;
}

/* Its status as of waitpid; -1: it took too long and was ended. */
static int end_of(pid_t pid)
{
	int status, fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	bool late = fd >= 0 && poll(&p, 1, LIMIT_MS) == 0;
	if (late)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (fd >= 0)
		close(fd);
	return late ? -1 : status;
}

static void said(int out, struct rf_buf *to)
{
	char piece[4096];
	ssize_t n;
	for (off_t at = 0; at < SAID_MAX && (n = pread(out, piece, sizeof piece, at)) > 0; at += n)
		rf_buf_add(to, (struct rf_str){ piece, (size_t)n });
}

/* The first line that nft says is why; the rest shows the command. */
static int failed(struct rf_buf *words, struct rf_err *e)
{
	const char *text = rf_buf_z(words), *at = strstr(text, "Error: ");
	at = at ? at : text;
	return rf_fail(e, RF_E_INVALID, "nft refuses the policy: %.*s", (int)(strcspn(at, "\n") < 200 ? strcspn(at, "\n") : 200), at);
}

static int run(int in, int out, struct rf_err *e)
{
	RF_BUF_AUTO words = { 0 };
	pid_t pid = in < 0 || out < 0 ? -1 : start(in, out);
	if (pid < 0)
		return in < 0 || out < 0 ? rf_fail(e, RF_E_NOMEM, "memory is exhausted") :
			rf_fail(e, RF_E_UNSUPPORTED, "the program nft is not here (package nftables)");
	int status = end_of(pid);
	if (status == -1)
		return rf_fail(e, RF_E_TIMEOUT, "nft did not end within %d seconds", LIMIT_MS / 1000);
	said(out, &words);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? RF_OK : failed(&words, e);
}

int rf_nft_run(struct rf_str commands, struct rf_err *e)
{
	int in = file_of(commands), out = file_of((struct rf_str){ "", 0 });
	int rc = run(in, out, e);
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	return rc;
}
