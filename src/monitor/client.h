/* monitor/client: the engine's side of the monitor. Calls block until the monitor has answered (at most RF_MONITOR_ANSWER_S). */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "base/ip.h"
#include "monitor/request.h"

enum { RF_MONITOR_ANSWER_S = 30 };

/* The non-blocking socket of notices, for the loop. The caller owns it. */
int rf_monitor_watch(int fd, int *ret_notices, struct rf_err *e);
/* The next notice; RF_E_AGAIN: none; RF_E_EOF: the monitor is gone, drain. */
int rf_monitor_notice(int notices, enum rf_notice *ret);

/* Sockets of listener `index`, non-blocking and listening; give socket i to worker i % workers. RF_E_STALE when the monitor's
 * plan calls that listener otherwise (the boot file changed in between). The caller owns them. */
int rf_monitor_listen(int fd, unsigned index, const char *name, int *fds, size_t room, size_t *ret_count,
		      struct rf_err *e);
/* A permitted file, whatever its permissions. RF_E_STALE as above. */
int rf_monitor_open(int fd, unsigned index, const char *path, int *ret_fd, struct rf_err *e);

/* The maps of the kernel filter in the order of RF_FILTER_MAPS, *ret_count 0 where there is none, where it stands ("eth0
 * native, eth1 absent"), and what it can do, RF_FILTER_HAS_COOKIES and RF_FILTER_IS_NFT. The caller owns the descriptors. */
int rf_monitor_filter(int fd, int *fds, size_t room, size_t *ret_count, uint32_t *ret_can, char *where, size_t size, struct rf_err *e);
/* Where the kernel filter stands now; empty: nowhere. */
int rf_monitor_gate(int fd, char *where, size_t size, struct rf_err *e);

/* The same in full: a file, the caller's, with a line for each interface, for SYN cookies and for each thing that the kernel has not and
 * something here uses; its parts are apart by tabs: "filter" MODE WHY, "interface" NAME MODE WHY, "cookies" BY WHY, "missing" WORD FOR
 * INSTEAD. -1: the monitor has no memory. */
int rf_monitor_standing(int fd, int *ret_file, struct rf_err *e);

/* Put a policy for nft in force, a sealed file (monitor/nft_policy), whole or not at all. */
int rf_monitor_policy(int fd, int policy, struct rf_err *e);
/* The same for addresses of devices (monitor/nft_homes). */
int rf_monitor_homes(int fd, int homes, struct rf_err *e);
/* What nft counted: a file of struct rf_nft_counted, the caller's; -1 where it is not in use, or does not say. */
int rf_monitor_counts(int fd, int *ret_file, struct rf_err *e);

/* Put rules of the phase packet in force (`in_force`), or only have them tried: a program in a sealed file, -1: none. On failure *ret_at is
 * the instruction that the error is about, UINT32_MAX where it is about none. */
int rf_monitor_rules(int fd, int program, bool in_force, uint32_t *ret_at, struct rf_err *e);

/* The map of steered ports and its places ("0:3,1:5": place and listener); *ret_fd -1 where the kernel does not steer. */
int rf_monitor_steer(int fd, int *ret_fd, char *places, size_t size, struct rf_err *e);
/* Sockets, one a worker; none where there are none of that group. */
int rf_monitor_steered(int fd, unsigned group, int *fds, size_t room, size_t *ret_count, struct rf_err *e);
/* Those of one port, named as in monitor/ports. RF_E_FULL, RF_E_EXISTS, RF_E_DENIED. */
int rf_monitor_bind(int fd, uint32_t port, int *fds, size_t room, size_t *ret_count, struct rf_err *e);
/* Bits of the ports, TCP and then UDP, at which other programs receive at the address of a listener; none where the kernel does not steer. */
int rf_monitor_taken(int fd, unsigned listener, uint64_t words[2 * 1024], struct rf_err *e);
int rf_monitor_unbind(int fd, uint32_t port, struct rf_err *e);
/* A UDP socket that answers from that port of this address. */
int rf_monitor_reply(int fd, uint32_t port, const struct rf_ip *at, int *ret_fd, struct rf_err *e);

int rf_monitor_ready(int fd, struct rf_err *e);
/* The monitor reads the boot file again (the engine cannot); the error is the file's. Its settings are appended to *text
 * for rf_boot_parse. After RF_OK build all, then say rf_monitor_reloaded. */
int rf_monitor_replan(int fd, struct rf_buf *text, struct rf_err *e);
int rf_monitor_reloaded(int fd, bool ok, const char *why, struct rf_err *e);
int rf_monitor_alive(int fd, struct rf_err *e);
int rf_monitor_status(int fd, const char *line, struct rf_err *e);
