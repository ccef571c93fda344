/* ctl/plan: the monitor's plan as it follows from the boot file; both sides compute it, so that an index means the same to both.
 *
 * Listeners: those of the boot file in order, then the API's Unix socket, the API's TLS address (where set).
 */
#pragma once
#include "ctl/boot.h"
#include "monitor/plan.h"

/* workers: for so many has each listener a socket (a restart changes it, a reload does not). */
int rf_plan_from_boot(const struct rf_boot *b, unsigned workers, struct rf_plan **ret, struct rf_err *e);

/* Workers that the boot file asks for: its number, or one a processor; 1..128. */
unsigned rf_boot_workers(const struct rf_boot *b);
/* Index of a listener or file in the plan; -1: not in it. */
int rf_plan_listener_api_socket(const struct rf_boot *b);
int rf_plan_listener_api(const struct rf_boot *b);
int rf_plan_file(const struct rf_plan *p, const char *path);
