/* monitor/plan: what the engine may ask of the monitor: the listeners, the files, and its sandbox.
 *
 * Made from the boot file (ctl/plan) by the monitor at its start and at each reload. The engine names an entry by its index only.
 */
#pragma once
#include <sys/types.h>
#include "base/arena.h"
#include "base/ip.h"

enum { RF_PLAN_INTERFACES_MAX = 16 };
enum { RF_PLAN_LISTENERS_MAX = 80, RF_PLAN_FILES_MAX = 256, RF_PLAN_PATHS_MAX = 48, RF_PLAN_SOCKETS_MAX = 128 };

/* How frames are filtered; the order of the words of shield.mode. BEST: the first of the others that works. */
enum rf_gate_want { RF_GATE_BEST, RF_GATE_NATIVE, RF_GATE_GENERIC, RF_GATE_NFT };

struct rf_plan_listener {
	const char *name;
	const char *path;  /* of a Unix socket; NULL: ip and port */
	const char *group; /* of the Unix socket, "" : the engine's */
	struct rf_ip ip;
	uint16_t port;
	unsigned sockets;  /* of one SO_REUSEPORT group, one a worker; 1 for a Unix socket */
	int backlog;
	bool ports;        /* of apps: not opened with the plan but port by port, or steered to (monitor/ports); port 0, or that of what is routed to it */
	bool transparent;  /* of those: connections to addresses of others come here too */
};

struct rf_plan_path { const char *path; bool owned; }; /* made when absent; owned: must belong to the engine's user */

struct rf_plan {
	struct rf_plan_listener listeners[RF_PLAN_LISTENERS_MAX];
	size_t listener_count;
	const char *files[RF_PLAN_FILES_MAX]; /* that the engine may have opened, for reading */
	size_t file_count;
	const char *user;                     /* whom the engine becomes when the monitor is root */
	struct rf_plan_path writable[RF_PLAN_PATHS_MAX]; /* trees that the engine may write to */
	size_t writable_count;
	const char *readable[RF_PLAN_PATHS_MAX]; /* files and trees that the engine may read besides the usual */
	size_t readable_count;
	const char *interfaces[RF_PLAN_INTERFACES_MAX]; /* on which the kernel filter stands */
	size_t interface_count;
	enum rf_gate_want gate;               /* how */
	bool cookies;                         /* SYN cookies are wanted */
	uint32_t without;                     /* what of the kernel is not to be used: bits of enum rf_kernel_thing */
	const char *filter_dir;               /* of bpffs: where it and the steering of ports are pinned */
	uint64_t ports_allowed[65536 / 64];   /* what listeners of ports may have */
	bool steer;                           /* ports by the kernel, where it can */
	const char *run_dir;                  /* made when absent, for the monitor alone; "": none */
	const char *pid_file;                 /* "": none */
	uint64_t drain_ns;
	bool unconfined;                      /* no sandbox: for debuggers and tools such as valgrind, which need other calls */
	uint64_t descriptors;                 /* RLIMIT_NOFILE, 0: leave it */
	struct rf_arena arena;                /* owns the strings */
	struct rf_str text;                   /* the configuration that it was made from, which the engine gets at a reload */
	void *config;                         /* the same as the maker's own object, for the engine that is forked with this plan */
	void (*free_config)(void *config);    /* may be NULL */
};

void rf_plan_free(struct rf_plan *p); /* NULL is harmless */
