/* ctl/wall: the shield as the boot file has it. */
#pragma once
#include "ctl/control.h"

/* Bring c->shield in line with the settings of c->boot: the way of the operator, rates, and ports of reflection. At the start, once
 * the shield has its tables, and after a reload. */
void rf_wall_follow(struct rf_ctl *c);

enum { RF_WALL_TEXT = 480 };
/* Where the kernel filter stands now, "eth0 native, eth1 absent; SYN cookies: filter"; empty: nowhere. */
void rf_wall_gate(const struct rf_ctl *c, char to[RF_WALL_TEXT]);
