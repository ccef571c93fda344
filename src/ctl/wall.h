/* ctl/wall: the shield as the boot file has it. */
#pragma once
#include "ctl/control.h"

/* Bring c->shield in line with the settings of c->boot: the way of the operator, rates, and ports of reflection. At the start, once
 * the shield has its tables, and after a reload. What nft refuses is said in the log. */
void rf_wall_follow(struct rf_ctl *c);
/* Give nft the rules of c->shield, if it is in use and they have changed. On failure those before are in force. */
int rf_wall_publish(struct rf_ctl *c, struct rf_err *e);
/* Give nft the rules of the phase packet as they are to be now (ctl/packets), once it was given a policy at all. As above. */
int rf_wall_rules(struct rf_ctl *c, struct rf_err *e);
/* Show all frames that a rule matches, by its number and one more, and those of these reasons: rf_shield_capture, or nft. */
int rf_wall_capture(struct rf_ctl *c, unsigned rule, uint64_t reasons, struct rf_err *e);
/* Tell nft, if it is in use, which addresses of devices are let alone, slowed or held, where that has changed. */
void rf_wall_homes(struct rf_ctl *c);
/* Ask nft, if it is in use, what it counted, for rf_shield_counts. */
void rf_wall_count(const struct rf_ctl *c);

/* What filters frames, on each interface, and what the kernel has not: the shape SHIELD_STANDING. NULL without memory. */
json_t *rf_wall_standing(const struct rf_ctl *c);

enum { RF_WALL_TEXT = 480 };
/* Where the kernel filter stands now, "eth0 native, eth1 absent; SYN cookies: filter", or "eth0 nft (why)"; empty: nowhere. */
void rf_wall_gate(const struct rf_ctl *c, char to[RF_WALL_TEXT]);
