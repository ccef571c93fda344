/* monitor/cookies: what SYN cookies need beside the kernel filter: the kernel's helpers, and the program at TC that makes the
 * connections (bpf/cookie.bpf.c).
 *
 * Like the filter it stays where it is attached when this process ends.
 */
#pragma once
#include "base/err.h"

struct rf_cookie_prog;

/* Load the program over the maps that are pinned in `dir`, where the kernel has what it calls (monitor/kernel). RF_E_UNSUPPORTED with
 * the kernel's reason. */
int rf_cookies_open(const char *dir, struct rf_cookie_prog **ret, struct rf_err *e);
void rf_cookies_close(struct rf_cookie_prog *c); /* NULL is harmless; what is attached stays */

/* Put it on the interface of this index, in the place of an older one. RF_E_UNSUPPORTED. */
int rf_cookies_attach(struct rf_cookie_prog *c, unsigned index, struct rf_err *e);
void rf_cookies_detach(unsigned index); /* harmless where it is not */
