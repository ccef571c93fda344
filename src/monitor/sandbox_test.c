/* The sandbox from inside: what is forbidden fails or kills, what the engine needs goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/test_child.h"
#include "monitor/request.h"
#include "monitor/sandbox.h"

static char dir[64], data[128];

static struct rf_plan *plan(void)
{
	struct rf_plan *p = calloc(1, sizeof *p);
	rf_arena_init(&p->arena, 4096);
	p->user = "nobody";
	p->writable[p->writable_count++] = (struct rf_plan_path){ data, true };
	return p;
}

static int make_dir(void **state)
{
	(void)state;
	struct rf_err e;
	strcpy(dir, "/tmp/rf-sandbox-XXXXXX");
	if (!mkdtemp(dir) || chmod(dir, 0777) != 0)
		return -1;
	snprintf(data, sizeof data, "%s/a/data", dir);
	struct rf_plan *p = plan();
	int r = rf_sandbox_dirs(p, &e);
	rf_plan_free(p);
	return r;
}

static int drop_dir(void **state)
{
	char command[128];
	test_child_end(state);
	snprintf(command, sizeof command, "rm -r '%s'", dir);
	return system(command);
}

static bool landlock;

/* Run `what` in a child in the sandbox: its status, or minus the signal. */
static int inside(int (*what)(void))
{
	if (test_fork() == 0) {
		struct rf_sandbox_report got;
		struct rf_err e;
		struct rf_plan *p = plan();
		int r = rf_sandbox_enter(p, &got, &e);
		if (r != RF_OK)
			fprintf(stderr, "%s\n", e.text);
		landlock = r == RF_OK && got.landlock;
		_exit(r != RF_OK ? 100 : !got.seccomp ? 101 : what());
	}
	return test_child_wait();
}

static int run_a_program(void)
{
	execl("/bin/true", "true", (char *)NULL);
	return 1;
}

static int run_a_program_by_fd(void)
{
	syscall(SYS_execveat, AT_FDCWD, "/bin/true", (char *[]){ NULL }, (char *[]){ NULL }, 0);
	return 1;
}

static int mount_something(void)
{
	syscall(SYS_mount, "none", "/tmp", "tmpfs", 0, NULL);
	return 1;
}

static void forbidden_calls_kill(void **state)
{
	(void)state;
	assert_int_equal(inside(run_a_program), -SIGSYS);
	assert_int_equal(inside(run_a_program_by_fd), -SIGSYS);
	assert_int_equal(inside(mount_something), -SIGSYS);
}

static int report[2];

static int reported(void)
{
	rf_sandbox_report_to(report[1]);
	syscall(SYS_mount, "none", "/tmp", "tmpfs", 0, NULL);
	return 1;
}

static void violation_is_told(void **state)
{
	(void)state;
	struct rf_request r;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, report), 0);
	assert_int_equal(inside(reported), -SIGSYS);
	assert_int_equal(rf_request_recv(report[0], &r, NULL, NULL), RF_OK);
	assert_int_equal(r.kind, RF_REQUEST_VIOLATION);
	assert_string_equal(rf_sandbox_syscall((int)r.arg), "mount");
	close(report[0]);
	close(report[1]);
}

static int opens(const char *path, int flags) /* 0, or errno */
{
	int fd = open(path, flags | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static int files(void)
{
	char path[256];
	snprintf(path, sizeof path, "%s/new", data);
	if (opens(path, O_WRONLY | O_CREAT) != 0 || opens(path, O_RDONLY) != 0 || unlink(path) != 0)
		return 1;
	if (opens("/etc/hosts", O_RDONLY) != 0 || opens("/dev/urandom", O_RDONLY) != 0)
		return 2;
	if (!landlock)
		return 0;
	snprintf(path, sizeof path, "%s/outside", dir);
	if (opens(path, O_WRONLY | O_CREAT) != EACCES || opens("/etc/hosts", O_WRONLY) != EACCES)
		return 3;
	if (opens("/etc/fstab", O_RDONLY) == 0 || opens("/var/log", O_RDONLY | O_DIRECTORY) != EACCES)
		return 4;
	return 0;
}

static void writes_only_in_its_directory(void **state)
{
	(void)state;
	assert_int_equal(inside(files), 0);
}

static int sockets(void)
{
	int tcp = socket(AF_INET, SOCK_STREAM, 0), six = socket(AF_INET6, SOCK_STREAM, 0), local = socket(AF_UNIX, SOCK_STREAM, 0);
	if (tcp < 0 || local < 0 || (six < 0 && errno != EAFNOSUPPORT))
		return 1;
	static const int families[] = { AF_PACKET, AF_NETLINK, AF_VSOCK, AF_ALG, 3, 9 };
	for (size_t i = 0; i < sizeof families / sizeof *families; i++)
		if (socket(families[i], SOCK_RAW, 0) >= 0 || errno != EAFNOSUPPORT)
			return 2 + (int)i;
	return 0;
}

static void sockets_of_three_families(void **state)
{
	(void)state;
	assert_int_equal(inside(sockets), 0);
}

static void *nothing(void *arg) { return arg; }

static int privileges(void)
{
	struct rlimit core;
	pthread_t t;
	gid_t groups[8];
	if (pthread_create(&t, NULL, nothing, NULL) != 0 || pthread_join(t, NULL) != 0)
		return 1; /* threads may be started */
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return 2;
	if (getuid() == 0 || geteuid() == 0 || getgid() == 0)
		return 3;
	getrlimit(RLIMIT_CORE, &core);
	if (setpriority(PRIO_PROCESS, 0, 19) != 0)
		return 7; /* a thread makes way */
	return core.rlim_max != 0 ? 5 : getgroups(8, groups) > 0 ? 6 : 0;
}

static void no_privileges(void **state)
{
	(void)state;
	if (getuid() != 0)
		skip();
	assert_int_equal(inside(privileges), 0);
}

static void dirs_must_belong_to_the_user(void **state)
{
	(void)state;
	struct rf_err e = { 0 };
	if (getuid() != 0)
		skip();
	struct rf_plan *p = plan();
	assert_int_equal(chown(data, 0, 0), 0);
	assert_int_equal(rf_sandbox_dirs(p, &e), RF_E_DENIED);
	assert_non_null(strstr(e.text, "chown nobody"));
	p->user = "no-such-user";
	assert_int_equal(rf_sandbox_dirs(p, &e), RF_E_NOT_FOUND);
	rf_plan_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(forbidden_calls_kill, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(violation_is_told, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(writes_only_in_its_directory, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(sockets_of_three_families, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(no_privileges, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(dirs_must_belong_to_the_user, make_dir, drop_dir),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
