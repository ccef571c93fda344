/* monitor/monitor_in: the monitor's own state, shared by monitor.c, engine.c and upgrade.c; nobody else includes it. */
#pragma once
#include <net/if.h>
#include "monitor/filter.h"
#include "monitor/monitor.h"
#include "monitor/nft_homes.h"
#include "monitor/nft_policy.h"
#include "monitor/ports.h"
#include "monitor/request.h"
#include "monitor/sockets.h"
#include "monitor/steer.h"

struct engine {
	pid_t pid;         /* 0: none */
	int fd;            /* requests, our side; -1 */
	int notices, notices_theirs; /* both ends until WATCH has given theirs away; -1 */
	bool ready, draining, killed;
	uint64_t born, alive, kill_at; /* alive 0: never said so; kill_at 0: no */
	unsigned refused;  /* requests that are not in the table */
	int violation;     /* system call that the sandbox stopped, -1 */
};

enum gate_state { GATE_ABSENT, GATE_NATIVE, GATE_GENERIC, GATE_NFT, GATE_FAILED };
struct gate { /* an interface of the plan, and the kernel filter there */
	char name[IF_NAMESIZE];
	enum gate_state state;
	bool said;
	char why[160];     /* the filter, or nft, is not on it, or only in generic mode */
	unsigned index;    /* of the interface that nft has; 0: none */
};

struct monitor {
	const struct rf_monitor_conf *conf;
	struct rf_plan *plan, *next; /* next: between REPLAN and RELOADED */
	struct rf_sockets sockets;
	struct rf_filter *filter;    /* NULL: none was wanted, or the kernel takes none */
	struct gate gates[RF_PLAN_INTERFACES_MAX];
	size_t gate_count;
	struct rf_port_sockets ports;
	struct rf_steer *steer;      /* NULL: the kernel steers no ports */
	struct rf_ip places[RF_STEER_PLACES]; /* addresses at which it does; family 0: a free one */
	enum rf_gate_want gate_want;
	bool gate_cookies;
	struct rf_kernel kernel;     /* what it gives */
	char gate_why[200];          /* the filter does not stand, where it was wanted and does not */
	bool gate_turns;             /* nft is to take its place while an engine serves */
	bool gate_waits;             /* for the policy: until then a filter of another version stays as it is */
	struct {
		bool on;             /* nft is in the filter's place */
		char why[200];
		char why_not[200];   /* it is not here, where it was wanted and is not */
		bool known;          /* there is a policy */
		bool cookies;        /* SYNPROXY is there */
		char no_cookies[200]; /* why not */
		uint16_t group;      /* of the kernel's log, to which it shows frames; 0: none */
		int log;             /* the socket of that group, if there is one */
		struct rf_nft_policy policy;
		bool homes_known;    /* the engine has said them; until then those of before stand */
		struct rf_nft_homes homes, left; /* left: of an engine before, as far as this one knows nothing of them, until then */
		pid_t homes_of;      /* the engine that said them */
		uint64_t left_until;
	} nft;
	int links;                   /* tells of interfaces that come and go; -1 */
	struct engine now, old;      /* old: drains after an upgrade, or serves until the new one is ready */
	int signals;
	pid_t checker;               /* runs the new program's own check before an upgrade */
	bool stopping, done, served; /* served: an engine was ready at least once */
	int status;
	uint64_t restart_at, watchdog_ns, watchdog_at;
	unsigned deaths;             /* in a row, each within RESTART_CALM_NS of its birth */
};

enum { DEATHS_AT_ONCE = 3, DEATHS_BEFORE_GIVING_UP = 5, REQUESTS_LEFT = 64, REFUSALS_SAID = 10 };
#define HOMES_LEFT_NS (600 * RF_NS_S) /* as RF_HOMES_KEPT_NS */
#define RESTART_CALM_NS (2 * RF_NS_S)
#define RESTART_WAIT_MIN_NS (50 * RF_NS_MS)
#define RESTART_WAIT_MAX_NS (5 * RF_NS_S)
#define KILL_GRACE_NS (2 * RF_NS_S)

void rf_mon_say(struct monitor *m, char level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
uint64_t rf_mon_mono(const struct monitor *m);

/* engine.c */
void rf_mon_engine_init(struct engine *g);
void rf_mon_engine_start(struct monitor *m);                      /* fork; failure is tried again later */
void rf_mon_engine_request(struct monitor *m, struct engine *g);  /* something is to read on g->fd */
void rf_mon_engine_ended(struct monitor *m, struct engine *g, int code, int value);
void rf_mon_engine_drain(struct monitor *m, struct engine *g);
bool rf_mon_engine_notice(struct engine *g, enum rf_notice what);

/* gate.c */
void rf_mon_gate_begin(struct monitor *m);
void rf_mon_gate_end(struct monitor *m);
void rf_mon_gate_follow(struct monitor *m, const struct rf_plan *plan); /* after a reload */
void rf_mon_gate_ensure(struct monitor *m);
void rf_mon_gate_filled(struct monitor *m);               /* the engine serves: its policy is in the tables */
void rf_mon_gate_links(struct monitor *m);                /* something is to read on m->links */
void rf_mon_gate_turn(struct monitor *m);                 /* another engine comes for nft, once it can */
int rf_mon_gate_standing(const struct monitor *m);        /* a file of lines, see rf_monitor_standing; -1: no memory */
void rf_mon_gate_text(const struct monitor *m, char *to, size_t room); /* "eth0 native, eth1 absent" */

/* gate_nft.c */
bool rf_mon_nft_begin(struct monitor *m, const char *why);            /* nft is in the filter's place, if it is here; why not the filter */
void rf_mon_nft_end(struct monitor *m);
void rf_mon_nft_ensure(struct monitor *m);
int rf_mon_nft_policy(struct monitor *m, int fd, struct rf_err *e);   /* a sealed file; on failure what was in force stays so */
int rf_mon_nft_homes(struct monitor *m, int fd, struct rf_err *e);    /* the same for addresses of devices */
void rf_mon_nft_detach(struct monitor *m, const char *interface);
int rf_mon_nft_counts(void);                                          /* a file of struct rf_nft_counted; -1: nothing is known */
void rf_mon_nft_yield(struct monitor *m);                             /* what stood from the other way goes, once this one has its policy */

/* steering.c */
void rf_mon_ports_follow(struct monitor *m, const struct rf_plan *plan); /* at the start, and after a reload */
void rf_mon_ports_end(struct monitor *m);
void rf_mon_ports_text(const struct monitor *m, const struct rf_plan *plan, char *to, size_t room); /* "0:3,1:5": place and listener */

/* upgrade.c */
void rf_mon_upgrade_check(struct monitor *m);             /* SIGUSR2 */
void rf_mon_upgrade_checked(struct monitor *m, bool ok);  /* exec; returns only on failure */
void rf_mon_upgrade_adopt(struct monitor *m);             /* sockets and engine of the program before, or of the service manager */
