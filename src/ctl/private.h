/* ctl/private: what the files of the control thread share and nobody else sees. */
#pragma once
#include "ctl/build.h"

struct touch;
struct rf_devices;
struct rf_crl_fetcher;

struct rf_ctl_private {
	struct rf_parts parts;     /* in force */
	struct touch *touched;     /* of the open transaction */
	size_t touched_count, touched_cap;
	struct rf_devices *devices;
	struct rf_crl_fetcher *crl; /* NULL until it runs */
	void (*site_changed)(struct rf_ctl *c); /* apps and origins: checks of health follow; NULL */
};

/* Account, registry, first snapshot. The store, registry, CA and boot of *c are set. */
int rf_ctl_init(struct rf_ctl *c, struct rf_err *e);
void rf_ctl_fini(struct rf_ctl *c);

/* Build these parts anew from the state as it is and publish them: lists of revocation have come, a file has changed. */
int rf_ctl_rebuild(struct rf_ctl *c, unsigned what, struct rf_err *e);
