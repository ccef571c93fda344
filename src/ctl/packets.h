/* ctl/packets: rules of the phase packet, from the snapshot into the kernel. */
#pragma once
#include "ctl/control.h"
#include "policy/rule.h"

struct rf_packets;

struct rf_packets *rf_packets_new(void); /* NULL without memory */
void rf_packets_free(struct rf_packets *p); /* NULL is harmless; what is in the kernel stays */

/* Bring the kernel in line with these rules (NULL: none) and lists; `only_try`: see whether it could be. Where there is no kernel filter, rules are
 * compiled and in force nowhere. RF_E_UNSUPPORTED, RF_E_TOO_LARGE, with a pointer to the rule: those before are still in force. */
int rf_packets_follow(struct rf_ctl *c, const struct rf_phase_set *set, const struct rf_lists *lists, bool only_try, struct rf_err *e);
/* Lists have changed: once more, where a rule in force asks for one. */
int rf_packets_lists_changed(struct rf_ctl *c, struct rf_err *e);
/* {"rules", "in_force", "reason"}; NULL without memory. */
json_t *rf_packets_status(const struct rf_ctl *c);
/* Why rules of the phase are not in force; NULL: they are. */
const char *rf_packets_missing(const struct rf_ctl *c);
