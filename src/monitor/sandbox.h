/* monitor/sandbox: the engine gives up what it does not need, for good.
 *
 * As root: becomes the plan's user, without supplementary groups and capabilities. Always: no new privileges, no core dumps,
 * Landlock (reads the listed trees only, writes its own), seccomp (a list of system calls; no execve, no fork, no ptrace; sockets of
 * inet, inet6 and unix only; a violation ends the process). Call before any thread is started.
 */
#pragma once
#include "base/err.h"
#include "monitor/plan.h"

struct rf_sandbox_report { bool dropped, landlock, seccomp; }; /* what is in force */

int rf_sandbox_enter(const struct rf_plan *plan, struct rf_sandbox_report *ret, struct rf_err *e);
/* Where a violation is reported before it kills. */
void rf_sandbox_report_to(int monitor_fd);
/* Make the plan's directories, owned by its user; by the monitor. */
int rf_sandbox_dirs(const struct rf_plan *plan, struct rf_err *e);
/* Name of a system call, "?" when unknown. */
const char *rf_sandbox_syscall(int number);
