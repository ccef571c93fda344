/* monitor/sandbox: see sandbox.h.
 *
 * Order: no new privileges -> Landlock rules are opened (as whoever we are) -> capabilities and groups and user go -> Landlock in force ->
 * seccomp. Each step takes away; none is undone on error: the process must end then.
 *
 * A forbidden system call is not executed; the handler of SIGSYS tells the monitor its number and lets the signal kill. Those that an
 * intruder wants (execve, ptrace) kill at once.
 */
#include "monitor/sandbox.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "monitor/landlock.h"
#include "monitor/request.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static const char *const allowed[] = {
	/* bytes */
	"read", "readv", "pread64", "preadv", "preadv2", "write", "writev", "pwrite64", "pwritev", "pwritev2", "lseek", "splice",
	"tee", "sendfile", "copy_file_range",
	/* files beneath what Landlock leaves */
	"open", "openat", "openat2", "close", "close_range", "stat", "fstat", "lstat", "newfstatat", "statx", "statfs", "fstatfs", "access",
	"faccessat", "faccessat2", "readlink", "readlinkat", "getcwd", "getdents64", "ftruncate", "fallocate", "fsync", "fdatasync",
	"sync_file_range", "unlink", "unlinkat", "rename", "renameat", "renameat2", "mkdir", "mkdirat", "rmdir", "fchmod", "fchmodat", "fchown",
	"chmod", "umask", "flock", "utimensat", "fadvise64", "memfd_create", "fcntl", "dup", "dup2", "dup3", "pipe", "pipe2",
	/* memory */
	"mmap", "munmap", "mremap", "mprotect", "madvise", "mincore", "brk", "mlock", "mlock2", "munlock", "membarrier",
	/* threads and time */
	"futex", "set_robust_list", "get_robust_list", "rseq", "set_tid_address", "sched_yield", "sched_getaffinity", "sched_setaffinity",
	"sched_getparam", "sched_getscheduler", "sched_setattr", "setpriority", "getcpu", "gettid", "getpid", "getppid", "exit", "exit_group", "restart_syscall",
	"clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "timerfd_create", "timerfd_settime",
	"timerfd_gettime", "tgkill", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait", "rt_sigpending",
	"sigaltstack", "signalfd4",
	/* waiting */
	"epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd2", "poll", "ppoll", "select", "pselect6",
	/* sockets; socket(2) itself is filtered by family */
	"connect", "bind", "listen", "accept", "accept4", "getsockname", "getpeername", "setsockopt", "getsockopt", "sendto", "recvfrom",
	"sendmsg", "recvmsg", "sendmmsg", "recvmmsg", "shutdown", "socketpair",
	/* who am I */
	"getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid", "getgroups", "uname", "sysinfo", "getrusage", "getrlimit",
	"prlimit64", "getpriority", "prctl", "arch_prctl", "getrandom",
};

static const char *const sanitizers[] = {
	"ptrace", "clone", "getdents", "wait4", "waitid", "kill", "personality", "process_vm_readv", "getpgrp", "sched_setscheduler", "tkill",
};

static const char *const fatal[] = { "execve", "execveat", "ptrace", "process_vm_writev", "bpf", "init_module", "finit_module" };

static int report_fd = -1;

const char *rf_sandbox_syscall(int number)
{
	static char name[64];
	char *found = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);
	snprintf(name, sizeof name, "%s", found ? found : "?");
	free(found);
	return name;
}

void rf_sandbox_report_to(int monitor_fd)
{
	report_fd = monitor_fd;
}

/* The signal's default action, once the handler has returned to the same instruction, kills. */
static void violation(int sig, siginfo_t *info, void *context)
{
	(void)context;
	struct rf_request r = { .magic = RF_REQUEST_MAGIC, .kind = RF_REQUEST_VIOLATION, .arg = (uint32_t)info->si_syscall };
	if (report_fd >= 0)
		send(report_fd, &r, sizeof r, MSG_NOSIGNAL | MSG_DONTWAIT);
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t only;
	sigaction(sig, &dfl, NULL);
	sigemptyset(&only);
	sigaddset(&only, sig);
	syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), sig);
	sigprocmask(SIG_UNBLOCK, &only, NULL);
}

static int allow_names(scmp_filter_ctx c, uint32_t action, const char *const *names, size_t count)
{
	int r = 0;
	for (size_t i = 0; i < count && r == 0; i++) {
		int number = seccomp_syscall_resolve_name(names[i]);
		if (number != __NR_SCMP_ERROR && number >= 0)
			r = seccomp_rule_add(c, action, number, 0);
	}
	return r;
}

/* System calls whose arguments decide. Sockets of other families fail as on a kernel without them; clone3 cannot be looked into
 * and fails so that libc takes clone. */
static int allow_some(scmp_filter_ctx c)
{
	static const int families[] = { AF_UNIX, AF_INET, AF_INET6 };
	static const unsigned long ioctls[] = { FIONBIO, FIONREAD, FIOCLEX, TIOCGWINSZ, 0x5401 /* TCGETS, of isatty */ };
	const unsigned long thread = CLONE_VM | CLONE_THREAD | CLONE_SIGHAND;
	int r = seccomp_rule_add(c, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	for (size_t i = 0; i < 3 && r == 0; i++)
		r = seccomp_rule_add(c, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i]));
	for (scmp_datum_t family = 0; family < AF_INET6 && r == 0; family++) /* one comparison of an argument a rule */
		if (family != AF_UNIX && family != AF_INET)
			r = seccomp_rule_add(c, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, family));
	if (r == 0)
		r = seccomp_rule_add(c, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_GT, AF_INET6));
	for (size_t i = 0; i < sizeof ioctls / sizeof *ioctls && r == 0; i++)
		r = seccomp_rule_add(c, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, ioctls[i]));
	if (r == 0 && !SANITIZED)
		r = seccomp_rule_add(c, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, thread, thread));
	return r;
}

static int filter(struct rf_err *e)
{
	struct sigaction on = { .sa_sigaction = violation, .sa_flags = SA_SIGINFO };
	sigaction(SIGSYS, &on, NULL);
	scmp_filter_ctx c = seccomp_init(SCMP_ACT_TRAP);
	if (!c)
		return rf_fail(e, RF_E_NOMEM, "memory for the filter of system calls is exhausted");
	int r = allow_names(c, SCMP_ACT_ALLOW, allowed, sizeof allowed / sizeof *allowed);
	if (r == 0)
		r = allow_some(c);
	if (r == 0 && SANITIZED)
		r = allow_names(c, SCMP_ACT_ALLOW, sanitizers, sizeof sanitizers / sizeof *sanitizers);
	for (size_t i = 0; i < sizeof fatal / sizeof *fatal && r == 0; i++)
		if (!SANITIZED || strcmp(fatal[i], "ptrace") != 0)
			r = allow_names(c, SCMP_ACT_KILL_PROCESS, &fatal[i], 1);
	if (r == 0)
		r = seccomp_load(c);
	seccomp_release(c);
	return r == 0 ? RF_OK : rf_fail(e, RF_E_UNSUPPORTED, "the filter of system calls cannot be put in force: %s", strerror(-r));
}

static int drop_capabilities(struct rf_err *e)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &head, none) != 0)
		return rf_fail(e, RF_E_IO, "capabilities cannot be given up: %s", strerror(errno));
	return RF_OK;
}

static int become(const char *user, bool *ret_dropped, struct rf_err *e)
{
	if (geteuid() != 0)
		return drop_capabilities(e);
	const struct passwd *pw = getpwnam(user);
	if (!pw)
		return rf_fail(e, RF_E_NOT_FOUND, "there is no user %s; create it (adduser --system --group %s) or set `user`", user, user);
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	if (setgroups(0, NULL) != 0 || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) != 0 ||
	    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) != 0)
		return rf_fail(e, RF_E_IO, "the engine cannot become user %s: %s", user, strerror(errno));
	*ret_dropped = pw->pw_uid != 0;
	return drop_capabilities(e);
}

int rf_sandbox_enter(const struct rf_plan *plan, struct rf_sandbox_report *ret, struct rf_err *e)
{
	struct rf_sandbox_report done = { 0 };
	struct rlimit none = { 0, 0 };
	int rules = -1, r;
	setrlimit(RLIMIT_CORE, &none);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return rf_fail(e, RF_E_UNSUPPORTED, "this kernel lacks PR_SET_NO_NEW_PRIVS");
	if ((r = rf_landlock_make(plan, &rules, e)) != RF_OK)
		return r;
	r = become(plan->user, &done.dropped, e);
	if (r == RF_OK && rules >= 0)
		r = rf_landlock_enter(rules, e);
	done.landlock = r == RF_OK && rules >= 0;
	if (rules >= 0)
		close(rules);
	prctl(PR_SET_DUMPABLE, SANITIZED, 0, 0, 0); /* the leak checker traces its own process */
	if (r == RF_OK)
		r = filter(e);
	if (r != RF_OK)
		return r;
	done.seccomp = true;
	*ret = done;
	return RF_OK;
}

/* `path` and what is missing above it. */
static int make_path(const char *z, mode_t mode, bool *ret_made, struct rf_err *e)
{
	char path[4096];
	if ((size_t)snprintf(path, sizeof path, "%s", z) >= sizeof path)
		return rf_fail(e, RF_E_TOO_LARGE, "the path %s is too long", z);
	for (char *at = path + 1; *at; at++)
		if (*at == '/') {
			*at = 0;
			if (mkdir(path, 0755) != 0 && errno != EEXIST)
				return rf_fail(e, RF_E_IO, "the directory %s cannot be made: %s", path, strerror(errno));
			*at = '/';
		}
	*ret_made = mkdir(path, mode) == 0;
	return *ret_made || errno == EEXIST ? RF_OK : rf_fail(e, RF_E_IO, "the directory %s cannot be made: %s", path, strerror(errno));
}

static int make_one(const struct rf_plan_path *p, const struct passwd *pw, struct rf_err *e)
{
	const char *path = p->path;
	struct stat st;
	bool made;
	int r = make_path(path, 0750, &made, e);
	if (r != RF_OK)
		return r;
	if (made && pw && chown(path, pw->pw_uid, pw->pw_gid) != 0)
		return rf_fail(e, RF_E_IO, "the directory %s cannot be given to %s: %s", path, pw->pw_name, strerror(errno));
	if (pw && p->owned && (stat(path, &st) != 0 || st.st_uid != pw->pw_uid))
		return rf_fail(e, RF_E_DENIED, "the directory %s must belong to the user %s (chown %s %s)", path, pw->pw_name,
			       pw->pw_name, path);
	return RF_OK;
}

int rf_sandbox_dirs(const struct rf_plan *plan, struct rf_err *e)
{
	const struct passwd *pw = geteuid() == 0 ? getpwnam(plan->user) : NULL;
	if (geteuid() == 0 && !pw)
		return rf_fail(e, RF_E_NOT_FOUND, "there is no user %s; create it (adduser --system --group %s) or set `user`",
			       plan->user, plan->user);
	bool made;
	int r = plan->run_dir && *plan->run_dir ? make_path(plan->run_dir, 0755, &made, e) : RF_OK;
	for (size_t i = 0; i < plan->writable_count && r == RF_OK; i++)
		r = make_one(&plan->writable[i], pw, e);
	return r;
}
