/* ringfenced: start-up ladder and nothing else.
 *
 * arguments -> boot file -> monitor (src/monitor), which forks the engine (ctl/engine). --check and --dump stop after the boot file;
 * --reload and --upgrade signal the monitor that runs.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "ctl/boot.h"
#include "ctl/engine.h"
#include "ctl/plan.h"
#include "monitor/monitor.h"
#include "records/log.h"

#define DEFAULT_BOOT "/etc/ringfence/ringfence.yaml"

enum { EXIT_USAGE = 2 };
enum task { RUN, CHECK, DUMP, MANUAL, RELOAD, UPGRADE, VERSION, HELP, USAGE };

static const char help[] =
	"ringfenced: a private network for IoT devices, the daemon\n"
	"\n"
	"  ringfenced [-c FILE]            run, in the foreground, until SIGTERM\n"
	"  ringfenced -t|--check [-c FILE] read the boot file, say what is wrong with it\n"
	"  ringfenced --dump [-c FILE]     print all settings in force and where each is from\n"
	"  ringfenced --reload [-c FILE]   tell the running daemon to reload (as SIGHUP)\n"
	"  ringfenced --upgrade [-c FILE]  tell it to hand over to the program on disk (as SIGUSR2)\n"
	"  ringfenced --manual             print what every setting means\n"
	"  ringfenced --version | --help\n"
	"\n"
	"  -c, --config FILE   the boot file; default " DEFAULT_BOOT "\n"
	"\n"
	"Exit status: 0 all went as told, 1 failure, 2 usage or a wrong boot file.\n"
	"The command-line tool for everything else is ringfence(1).\n";

struct start {
	const char *path;
	unsigned workers; /* of the first plan, until a restart: each listener has a socket for each; 0: none was made yet */
};

static void complain(const struct rf_err *e)
{
	char text[900];
	fprintf(stderr, "ringfenced: %s\n", rf_err_str(e, text, sizeof text));
}

static enum task arguments(int argc, char **argv, const char **path)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' }, { "check", no_argument, NULL, 't' }, { "dump", no_argument, NULL, DUMP },
		{ "manual", no_argument, NULL, MANUAL }, { "reload", no_argument, NULL, RELOAD }, { "upgrade", no_argument, NULL, UPGRADE },
		{ "version", no_argument, NULL, VERSION }, { "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 },
	};
	enum task task = RUN;
	for (int c; (c = getopt_long(argc, argv, "c:th", options, NULL)) != -1;)
		switch (c) {
		case 'c': *path = optarg; break;
		case 't': task = CHECK; break;
		case 'h': return HELP;
		case DUMP: case MANUAL: case RELOAD: case UPGRADE: case VERSION: task = (enum task)c; break;
		default: return USAGE;
		}
	return optind == argc ? task : USAGE;
}

static int load(const char *path, struct rf_boot **ret)
{
	struct rf_err e = { 0 };
	if (rf_boot_load(path, ret, &e) == RF_OK)
		return EXIT_SUCCESS;
	complain(&e);
	return EXIT_USAGE;
}

static void print(struct rf_buf *b)
{
	fwrite(b->p, 1, b->n, stdout);
	rf_buf_fini(b);
}

static int check(const char *path, bool dump)
{
	struct rf_boot *b;
	struct rf_buf out = { 0 };
	int status = load(path, &b);
	if (status != EXIT_SUCCESS)
		return status;
	for (size_t i = 0; i < b->warning_count; i++)
		fprintf(stderr, "ringfenced: warning: %s\n", b->warnings[i]);
	if (dump)
		rf_boot_dump(b, &out);
	else
		rf_buf_printf(&out, "%s is good: %zu listeners\n", b->path, b->listener_count);
	print(&out);
	rf_boot_free(b);
	return EXIT_SUCCESS;
}

/* Signal the monitor whose process id is in run_dir. */
static int tell_running(const char *path, int signal_number)
{
	struct rf_boot *b;
	char file[4096];
	int pid = 0, status = load(path, &b);
	if (status != EXIT_SUCCESS)
		return status;
	snprintf(file, sizeof file, "%s/ringfenced.pid", b->run_dir);
	rf_boot_free(b);
	FILE *f = fopen(file, "re");
	if (!f || fscanf(f, "%d", &pid) != 1)
		pid = 0;
	if (f)
		fclose(f);
	if (pid > 1 && kill(pid, signal_number) == 0)
		return EXIT_SUCCESS;
	fprintf(stderr, "ringfenced: no daemon runs here (%s): %s\n", file, pid > 1 ? strerror(errno) : "no such file");
	return EXIT_FAILURE;
}

static void free_boot(void *boot) { rf_boot_free(boot); }

static int plan(void *arg, struct rf_plan **ret, struct rf_err *e)
{
	struct start *s = arg;
	struct rf_boot *b;
	int r = rf_boot_load(s->path, &b, e);
	if (r != RF_OK)
		return r;
	if (!s->workers)
		s->workers = rf_boot_workers(b);
	r = rf_plan_from_boot(b, s->workers, ret, e);
	if (r != RF_OK) {
		rf_boot_free(b);
		return r;
	}
	for (size_t i = 0; i < b->warning_count; i++)
		rf_log(RF_LOG_WARN, "boot", "%s", b->warnings[i]);
	(*ret)->config = b;
	(*ret)->free_config = free_boot;
	return RF_OK;
}

static int engine(void *arg, const struct rf_plan *p, int monitor_fd)
{
	const struct start *s = arg;
	struct rf_boot *b = p->config;
	b->workers = s->workers;
	return rf_engine_run(monitor_fd, b);
}

static void say(void *arg, char level, const char *text)
{
	(void)arg;
	rf_log(level == 'e' ? RF_LOG_ERROR : level == 'w' ? RF_LOG_WARN : RF_LOG_INFO, "monitor", "%s", text);
}

static int run(const char *path)
{
	static char program[4096];
	char *full = realpath(path, NULL);
	struct start s = { full ? full : path };
	ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
	const char *argv[] = { program, "--config", s.path, NULL }, *again[] = { program, "--check", "--config", s.path, NULL };
	struct rf_monitor_conf conf = { .plan = plan, .engine = engine, .arg = &s, .log = say, .argv = n > 0 ? argv : NULL,
					.check = again, .clock = rf_clock_system };
	int status = rf_monitor_run(&conf);
	free(full);
	return status;
}

int main(int argc, char **argv)
{
	const char *path = DEFAULT_BOOT;
	struct rf_buf out = { 0 };
	switch (arguments(argc, argv, &path)) {
	case RUN: return run(path);
	case CHECK: return check(path, false);
	case DUMP: return check(path, true);
	case RELOAD: return tell_running(path, SIGHUP);
	case UPGRADE: return tell_running(path, SIGUSR2);
	case MANUAL:
		rf_boot_manual(&out);
		print(&out);
		return EXIT_SUCCESS;
	case VERSION: puts("ringfenced " RF_VERSION); return EXIT_SUCCESS;
	case HELP: fputs(help, stdout); return EXIT_SUCCESS;
	case USAGE: break;
	}
	fputs("ringfenced: see ringfenced --help\n", stderr);
	return EXIT_USAGE;
}
