/* The monitor with an engine of this test's: it dies, is refused, reloads, drains, hands over; clients are never refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/test_child.h"
#include "monitor/client.h"
#include "monitor/monitor.h"
#include "monitor/sockets.h"

/* What the tests tell a monitor and its engines, through files in a directory of their own. */
static char dir[64];
static const char *program;

static bool said(const char *name)
{
	char path[128];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	return access(path, F_OK) == 0;
}

static void tell(const char *name, const char *text)
{
	char path[128];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void told(const char *name, char *to, size_t room)
{
	char path[128];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	FILE *f = fopen(path, "r");
	size_t n = f ? fread(to, 1, room - 1, f) : 0;
	to[n] = 0;
	if (f)
		fclose(f);
}

static bool log_has(const char *text)
{
	static char all[65536];
	told("log", all, sizeof all);
	return strstr(all, text) != NULL;
}

static void log_line(void *arg, char level, const char *text)
{
	(void)arg;
	char path[128];
	snprintf(path, sizeof path, "%s/log", dir);
	FILE *f = fopen(path, "a");
	if (f) {
		fprintf(f, "%c %s\n", level, text);
		fclose(f);
	}
}

static uint16_t port_of(const char *name)
{
	char text[16];
	told(name, text, sizeof text);
	return (uint16_t)atoi(text);
}

static int make_plan(void *arg, struct rf_plan **ret, struct rf_err *e)
{
	(void)arg;
	if (said("plan-is-bad"))
		return rf_fail_at(e, RF_E_UNKNOWN, 3, 1, "unknown setting \"lisseners\"");
	struct rf_plan *p = calloc(1, sizeof *p);
	rf_arena_init(&p->arena, 1 << 20);
	p->user = "nobody";
	p->drain_ns = 5 * RF_NS_S;
	p->pid_file = rf_arena_printf(&p->arena, "%s/pid", dir).p;
	p->files[p->file_count++] = rf_arena_printf(&p->arena, "%s/permitted", dir).p;
	p->text = RF_STR("workers: 2\n");
	static const char *const names[] = { "port", "port2" };
	for (size_t i = 0; i < (said("port2") ? 2 : 1); i++)
		p->listeners[p->listener_count++] = (struct rf_plan_listener){
			.name = names[i], .ip = { 4, { 127, 0, 0, 1 } }, .port = port_of(names[i]), .sockets = 2, .backlog = 64 };
	p->listeners[p->listener_count++] = (struct rf_plan_listener){
		.name = "local", .path = rf_arena_printf(&p->arena, "%s/sock", dir).p, .group = "", .sockets = 1, .backlog = 8 };
	*ret = p;
	return RF_OK;
}

static void on_reload(int fd)
{
	struct rf_err e;
	RF_BUF_AUTO text = { 0 };
	if (rf_monitor_replan(fd, &text, &e) != RF_OK)
		rf_monitor_reloaded(fd, false, e.text, &e);
	else
		rf_monitor_reloaded(fd, rf_str_eq(rf_buf_str(&text), RF_STR("workers: 2\n")), "the settings differ", &e);
}

/* Serves "pid\n" to who connects. */
static int fake_engine(void *arg, const struct rf_plan *plan, int fd)
{
	(void)arg;
	struct rf_err e;
	struct pollfd p[4] = { 0 };
	int fds[RF_PLAN_SOCKETS_MAX];
	size_t n;
	if (said("engine-fails"))
		return 3;
	if (said("engine-crashes"))
		kill(getpid(), SIGKILL);
	if (rf_monitor_watch(fd, &p[0].fd, &e) != RF_OK || rf_monitor_listen(fd, 0, "port", fds, 8, &n, &e) != RF_OK || n != 2 ||
	    rf_monitor_ready(fd, &e) != RF_OK || plan->listener_count < 2)
		return 1;
	p[1].fd = fds[0];
	p[2].fd = fds[1];
	for (int i = 0; i < 3; i++)
		p[i].events = POLLIN;
	for (;;) {
		enum rf_notice what;
		poll(p, 3, -1);
		int r = p[0].revents ? rf_monitor_notice(p[0].fd, &what) : RF_E_AGAIN;
		if (r == RF_E_EOF || (r == RF_OK && what == RF_NOTICE_DRAIN))
			return 0;
		if (r == RF_OK)
			on_reload(fd);
		for (int i = 1; i < 3; i++) {
			int c = p[i].revents ? accept(p[i].fd, NULL, NULL) : -1;
			if (c >= 0) {
				dprintf(c, "%d\n", (int)getpid());
				close(c);
			}
		}
	}
}

static int run_monitor(void)
{
	const char *argv[] = { program, "--monitor", dir, NULL };
	const char *check[] = { said("check-fails") ? "/bin/false" : "/bin/true", NULL };
	struct rf_monitor_conf conf = { .plan = make_plan, .engine = fake_engine, .log = log_line, .argv = argv, .check = check,
					.clock = rf_clock_system, .no_sandbox = true };
	return rf_monitor_run(&conf);
}

/* --- the tests' side --- */

static struct sockaddr_in address(uint16_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

/* A port that is free, and that no socket is given which asks for any. */
static void choose_port(const char *name)
{
	static unsigned turn;
	struct sockaddr_in a;
	char text[16];
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	do
		a = address((uint16_t)(10000 + ((unsigned)getpid() * 61 + turn++ * 7) % 20000));
	while (bind(fd, (struct sockaddr *)&a, sizeof a) != 0);
	close(fd);
	snprintf(text, sizeof text, "%u", ntohs(a.sin_port));
	tell(name, text);
}

/* The engine that answers on the port; -1: refused; 0: the engine went away with the connection (a client tries again). */
static pid_t ask(const char *name)
{
	struct sockaddr_in a = address(port_of(name));
	struct timeval limit = { .tv_sec = 20 };
	char text[32] = "";
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	bool refused = connect(fd, (struct sockaddr *)&a, sizeof a) != 0;
	if (!refused && recv(fd, text, sizeof text - 1, 0) <= 0)
		text[0] = 0;
	close(fd);
	return refused ? -1 : (pid_t)atoi(text);
}

static pid_t ask_until_other(pid_t before)
{
	uint64_t end = rf_clock_system.mono(NULL) + 20 * RF_NS_S;
	pid_t pid;
	do {
		pid = ask("port");
		assert_int_not_equal(pid, -1); /* never refused */
	} while ((pid == before || pid == 0) && rf_clock_system.mono(NULL) < end);
	return pid;
}

static void until(bool (*is)(const char *), const char *what)
{
	uint64_t end = rf_clock_system.mono(NULL) + 20 * RF_NS_S;
	while (!is(what) && rf_clock_system.mono(NULL) < end)
		poll(NULL, 0, 2);
	assert_true(is(what));
}

static void start(void)
{
	test_again("--monitor", dir, NULL);
}

static int make_dir(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/rf-monitor-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	choose_port("port");
	tell("permitted", "secret");
	return 0;
}

static int drop_dir(void **state)
{
	char command[128];
	test_child_end(state); /* where the test failed in between */
	snprintf(command, sizeof command, "rm -r '%s'", dir);
	return system(command);
}

static void killed_engine_is_replaced(void **state)
{
	(void)state;
	start();
	until(log_has, "serves after");
	pid_t first = ask("port");
	assert_true(first > 0);
	uint64_t at = rf_clock_system.mono(NULL);
	kill(first, SIGKILL);
	pid_t second = ask_until_other(first);
	assert_true(second > 0 && second != first);
	assert_true(rf_clock_system.mono(NULL) - at < 5 * RF_NS_S); /* loosely: the machine may be busy */
	assert_true(log_has("died by signal 9 (Killed)"));
	assert_true(said("pid") && said("sock"));
	kill(test_child, SIGTERM);
	assert_int_equal(test_child_wait(), 0);
	assert_false(said("pid"));
	assert_false(said("sock"));
	assert_int_equal(ask("port"), -1);
}

static void reload_keeps_the_old_on_error(void **state)
{
	(void)state;
	start();
	until(log_has, "serves after");
	pid_t first = ask("port");
	tell("plan-is-bad", "");
	kill(test_child, SIGHUP);
	until(log_has, "the reload failed and the state before stays in force: 3:1: unknown setting");
	assert_int_equal(ask("port"), first);
	char path[128];
	snprintf(path, sizeof path, "%s/plan-is-bad", dir);
	unlink(path);
	choose_port("port2");
	kill(test_child, SIGHUP);
	until(log_has, "i reloaded");
	struct sockaddr_in a = address(port_of("port2")); /* the new listener is open */
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	close(fd);
	assert_int_equal(ask("port"), first);
	kill(test_child, SIGINT);
	assert_int_equal(test_child_wait(), 0);
}

static void upgrade_without_a_refusal(void **state)
{
	(void)state;
	start();
	until(log_has, "serves after");
	pid_t first = ask("port");
	kill(test_child, SIGUSR2);
	pid_t second = ask_until_other(first);
	assert_true(second > 0 && second != first);
	until(log_has, "the engine before (process");
	assert_int_equal(waitpid(test_child, NULL, WNOHANG), 0); /* the same process as before */
	assert_int_equal(ask("port"), second);
	kill(test_child, SIGTERM);
	assert_int_equal(test_child_wait(), 0);
}

static void upgrade_to_what_does_not_check(void **state)
{
	(void)state;
	tell("check-fails", "");
	start();
	until(log_has, "serves after");
	pid_t first = ask("port");
	kill(test_child, SIGUSR2);
	until(log_has, "no upgrade: the new program does not accept");
	assert_int_equal(ask("port"), first);
	kill(test_child, SIGTERM);
	assert_int_equal(test_child_wait(), 0);
}

static void broken_starts_end(void **state)
{
	(void)state;
	tell("engine-fails", "");
	start();
	assert_int_equal(test_child_wait(), 1);
	assert_true(log_has("ended with status 3 before it served; giving up"));
	tell("plan-is-bad", "");
	start();
	assert_int_equal(test_child_wait(), 1);
	assert_true(log_has("e 3:1: unknown setting"));
}

static void crash_after_crash_waits(void **state)
{
	(void)state;
	start();
	until(log_has, "serves after");
	tell("engine-crashes", "");
	kill(ask("port"), SIGKILL);
	until(log_has, "it dies again and again");
	char path[128];
	snprintf(path, sizeof path, "%s/engine-crashes", dir);
	unlink(path);
	assert_true(ask("port") > 0); /* waited in the kernel all the while */
	kill(test_child, SIGTERM);
	assert_int_equal(test_child_wait(), 0);
}

static void address_in_use(void **state)
{
	(void)state;
	struct sockaddr_in a = address(port_of("port"));
	int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on); /* even then */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(listen(fd, 1), 0);
	start();
	assert_int_equal(test_child_wait(), 1);
	assert_true(log_has("another program has this address"));
	close(fd);
}

static void requests_outside_the_table(void **state)
{
	(void)state;
	struct rf_plan *plan;
	struct rf_err e;
	struct rf_request r = { .magic = RF_REQUEST_MAGIC }, got;
	assert_int_equal(make_plan(NULL, &plan, &e), RF_OK);
	const struct { uint32_t kind, arg; int code; } rows[] = {
		{ RF_REQUEST_LISTEN, 0, RF_OK }, { RF_REQUEST_LISTEN, 1, RF_OK }, { RF_REQUEST_LISTEN, 2, RF_E_RANGE },
		{ RF_REQUEST_LISTEN, UINT32_MAX, RF_E_RANGE }, { RF_REQUEST_OPEN, 0, RF_OK }, { RF_REQUEST_OPEN, 1, RF_E_RANGE },
		{ RF_REQUEST_RELOADED, 2, RF_E_RANGE }, { RF_REQUEST_READY, 1, RF_E_RANGE }, { RF_REQUEST_COUNT, 0, RF_E_UNKNOWN },
		{ UINT32_MAX, 0, RF_E_UNKNOWN },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		r.kind = rows[i].kind;
		r.arg = rows[i].arg;
		assert_int_equal(rf_request_check(&r, sizeof r, plan, &got), rows[i].code);
	}
	r.kind = RF_REQUEST_STATUS;
	r.arg = 0;
	strcpy(r.text, "a\nREADY=1");
	assert_int_equal(rf_request_check(&r, sizeof r, plan, &got), RF_OK);
	assert_string_equal(got.text, "a READY=1"); /* no line of its own to the service manager */
	assert_int_equal(rf_request_check(&r, sizeof r - 1, plan, &got), RF_E_SYNTAX);
	memset(r.text, 'x', sizeof r.text);
	assert_int_equal(rf_request_check(&r, sizeof r, plan, &got), RF_E_SYNTAX);
	r.magic = 0;
	assert_int_equal(rf_request_check(&r, sizeof r, plan, &got), RF_E_SYNTAX);
	rf_plan_free(plan);
}

static void adoption_knows_listening_sockets(void **state)
{
	(void)state;
	struct rf_sockets *s = calloc(1, sizeof *s);
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	socklen_t n = sizeof a;
	int fd = socket(AF_INET6, SOCK_STREAM, 0), fds[RF_PLAN_SOCKETS_MAX];
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
	assert_false(rf_sockets_adopt(s, fd)); /* not listening */
	assert_false(rf_sockets_adopt(s, 0));
	listen(fd, 1);
	getsockname(fd, (struct sockaddr *)&a, &n);
	assert_true(rf_sockets_adopt(s, fd));
	struct rf_plan_listener l = { .name = "six", .ip = { 6, { [15] = 1 } }, .port = ntohs(a.sin6_port), .sockets = 3 };
	assert_int_equal(rf_sockets_of(s, &l, fds), 1);
	struct rf_plan *plan = calloc(1, sizeof *plan);
	struct rf_err e;
	plan->listeners[plan->listener_count++] = l;
	assert_int_equal(rf_sockets_ensure(s, plan, &e), RF_OK); /* no group to join: stays one */
	assert_int_equal(s->count, 1);
	plan->listener_count = 0;
	rf_sockets_trim(s, plan);
	assert_int_equal(s->count, 0);
	rf_plan_free(plan);
	free(s);
}

int main(int argc, char **argv)
{
	static char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	program = n > 0 ? self : argv[0];
	if (argc == 3 && strcmp(argv[1], "--monitor") == 0) {
		snprintf(dir, sizeof dir, "%s", argv[2]);
		return run_monitor();
	}
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(killed_engine_is_replaced, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(reload_keeps_the_old_on_error, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(upgrade_without_a_refusal, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(upgrade_to_what_does_not_check, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(broken_starts_end, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(crash_after_crash_waits, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(address_in_use, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(requests_outside_the_table, make_dir, drop_dir),
		cmocka_unit_test(adoption_knows_listening_sockets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
