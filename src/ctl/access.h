/* ctl/access: from the access rules of the state to the shield. */
#pragma once
#include "ctl/control.h"

struct rf_access;

/* All rules of the state into c->shield. *ret is the caller's. */
int rf_access_load(struct rf_ctl *c, struct rf_access **ret, struct rf_err *e);
void rf_access_free(struct rf_access *a); /* NULL is harmless */
/* Bring the shield in line with what the store says of a rule now, within an open transaction or after it was rolled back.
 * RF_E_FULL, RF_E_NOMEM: as before. */
int rf_access_follow(struct rf_ctl *c, struct rf_access *a, const char *id, struct rf_err *e);
size_t rf_access_count(const struct rf_access *a);
