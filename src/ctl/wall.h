/* ctl/wall: the shield as the boot file has it. */
#pragma once
#include "ctl/control.h"

/* Bring c->shield in line with the settings of c->boot: the way of the operator, rates, and ports of reflection. At the start, once
 * the shield has its tables, and after a reload. */
void rf_wall_follow(struct rf_ctl *c);
