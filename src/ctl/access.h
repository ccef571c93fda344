/* ctl/access: from the access rules of the state to the shield. */
#pragma once
#include "ctl/control.h"

struct rf_access;

/* All rules of the state into c->shield. *ret is the caller's. */
int rf_access_load(struct rf_ctl *c, struct rf_access **ret, struct rf_err *e);
void rf_access_free(struct rf_access *a); /* NULL is harmless */
/* Follow a rule that was written or deleted. True where connections that stand may not stand any more. */
bool rf_access_sync(struct rf_ctl *c, struct rf_access *a, const char *id);
size_t rf_access_count(const struct rf_access *a);
