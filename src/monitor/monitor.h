/* monitor/monitor: the privileged parent.
 *
 * Opens the listening sockets and keeps them, forks the engine (no exec) into its sandbox, answers its requests
 * (monitor/request.def), starts it again when it dies: what came in meanwhile waits in the kernel. SIGHUP: reload. SIGTERM, SIGINT:
 * drain, then end (a second one: at once). SIGUSR2: hand over to the program as it is on disk now, which takes the same sockets;
 * the engine before drains once the new one is ready. Parses no byte from the network.
 */
#pragma once
#include "base/clock.h"
#include "base/err.h"
#include "monitor/plan.h"

#define RF_MONITOR_SILENCE_NS (30 * RF_NS_S)

struct rf_monitor_conf {
	/* Read the boot file anew and make a plan of it; the monitor frees it. */
	int (*plan)(void *arg, struct rf_plan **ret, struct rf_err *e);
	/* The engine: runs in the child, in the sandbox; returns the exit status. Ends at once on SIGTERM unless it handles it
	 * (its parent has died then, too). */
	int (*engine)(void *arg, const struct rf_plan *plan, int monitor_fd);
	void *arg;
	/* A line for the operator: 'e'rror, 'w'arning, 'i'nformation. */
	void (*log)(void *arg, char level, const char *text);
	const char *const *argv;  /* to start the program again for an upgrade; NULL: no upgrades */
	const char *const *check; /* run before it, must exit 0 */
	struct rf_clock clock;
	bool no_sandbox;          /* unit tests of the monitor itself */
};

/* Runs until told to end; the process's exit status (0: ended as told). Blocks signals of the calling process. */
int rf_monitor_run(const struct rf_monitor_conf *conf);
