/* ctl/access: from the access rules of the state to the shield; rules about autonomous systems and countries by the operator's
 * databases of addresses. */
#pragma once
#include "ctl/control.h"

struct rf_access;

/* All rules of the state into c->shield; the databases are there. *ret is the caller's. */
int rf_access_load(struct rf_ctl *c, struct rf_access **ret, struct rf_err *e);
void rf_access_free(struct rf_access *a); /* NULL is harmless */
/* Bring the shield in line with what the store says of a rule now, within an open transaction or after it was rolled back; what
 * needs a database follows at rf_access_settle. RF_E_FULL, RF_E_NOMEM: as before. */
int rf_access_follow(struct rf_ctl *c, struct rf_access *a, const char *id, struct rf_err *e);
/* After the last of them. RF_E_MISSING: there is no database, RF_E_INVALID: it knows no such network, RF_E_FULL. */
int rf_access_settle(struct rf_ctl *c, struct rf_access *a, struct rf_err *e);
/* Other databases are in force: look up all networks anew. As rf_access_settle; the networks are as before then. */
int rf_access_refresh(struct rf_ctl *c, struct rf_access *a, struct rf_err *e);
/* What the rules need of the databases, 1u << RF_NEED_*. */
unsigned rf_access_needs(const struct rf_access *a);
size_t rf_access_count(const struct rf_access *a);
