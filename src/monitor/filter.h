/* monitor/filter: the kernel filter (bpf/filter.bpf.c): loaded, pinned, attached to network interfaces.
 *
 * Program, links and maps are pinned below a directory of bpffs, so that they outlive this process: a restart finds
 * them, puts the new program in the place of the old one, and the gate never opens. Only rf_filter_detach ends it.
 *
 * Not here: what stands in the maps (shield/), which the engine writes by mapping them.
 */
#pragma once
#include "base/err.h"
#include "bpf/filter.h"
#include "monitor/kernel.h"
#include "monitor/plan.h"

struct rf_filter;

enum rf_filter_mode { RF_FILTER_NATIVE, RF_FILTER_GENERIC }; /* in the driver, or after the kernel's own buffer is made */

enum { RF_FILTER_USES = 1u << RF_KERNEL_FOR_FILTER | 1u << RF_KERNEL_FOR_NATIVE | 1u << RF_KERNEL_FOR_COOKIES }; /* of rf_kernel_probe */

/* Load it, with the maps that are pinned in `dir` where they still fit; *ret_fresh: their policy is empty. `k` was probed for
 * RF_FILTER_USES. RF_E_UNSUPPORTED with what the kernel has not, or its reason. */
int rf_filter_open(const char *dir, const struct rf_kernel *k, struct rf_filter **ret, bool *ret_fresh, struct rf_err *e);
/* Forget it; what is attached stays so. NULL is harmless. */
void rf_filter_close(struct rf_filter *f);

/* Whether SYN cookies work with this kernel; else what is missing, borrowed. */
bool rf_filter_cookies(const struct rf_filter *f, const char **ret_why_not);

/* Attach to an interface, or replace an older program of ours there; with SYN cookies where they are wanted and work. RF_E_NOT_FOUND: no
 * such interface now. RF_E_EXISTS: a program that is not ours is there. */
int rf_filter_attach(struct rf_filter *f, const char *interface, enum rf_gate_want want, bool cookies, enum rf_filter_mode *ret,
		     struct rf_err *e);
/* A virtual cable: it loses what a native program sends back unless one stands at its other end too. */
bool rf_filter_is_cable(const char *interface);
/* Is there a pinned link of an earlier process on it? */
bool rf_filter_stands(const struct rf_filter *f, const char *interface);
/* Let everything through that interface again; harmless where nothing is attached. */
void rf_filter_detach(struct rf_filter *f, const char *interface);

/* The same for what is pinned in `dir`, without a filter. */
void rf_filter_release(const char *dir, const char *interface);

/* Put the program of rules in a sealed file in the place of the one before; -1: no rules. `try`: only see whether the kernel takes it.
 * On failure the one before stays, and *ret_at is the instruction that the error is about. */
int rf_filter_rules(struct rf_filter *f, int program, bool only_try, uint32_t *ret_at, struct rf_err *e);

int rf_filter_map(const struct rf_filter *f, unsigned which); /* RF_FILTER_MAP_*: a descriptor, borrowed */
int rf_filter_program(const struct rf_filter *f);             /* the same */
