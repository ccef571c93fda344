/* ctl/control: the control thread's hub: state in, snapshot and registry out.
 *
 * The way of a write: rf_ctl_begin -> rf_store_put/del on ctl->store, each followed by rf_ctl_touch ->
 * rf_ctl_commit. Commit builds and checks a new snapshot from the uncommitted state where a touched kind needs one,
 * commits the store, publishes the snapshot, and brings registry, deny set and live connections in line; only
 * then does it return, so that what the API acknowledges is in force. On any error everything is as before.
 */
#pragma once
#include "ctl/boot.h"
#include "ctl/store.h"
#include "device/registry.h"
#include "loop/loop.h"
#include "pki/ca.h"
#include "svc/snapshot.h"

struct rf_shield;
struct rf_worker;

struct rf_ctl {
	struct rf_loop *loop;
	struct rf_clock clock;
	struct rf_boot *boot;
	struct rf_store *store;
	struct rf_registry *devices;
	struct rf_limits *limits;       /* counters of rate limits, of all workers */
	struct rf_shield *shield;
	struct rf_ca *ca;               /* our own device CA */
	struct rf_worker **workers;
	size_t worker_count;
	char account_id[RF_ID_LEN + 1]; /* made at the first start */
	uint64_t started_mono;
	struct rf_ctl_private *priv;    /* pending touches, compiled rulesets, CRLs: control.c */
};

int rf_ctl_begin(struct rf_ctl *c, const char *actor, struct rf_err *e);
/* Without a transaction: what workers have seen first is in the state. */
void rf_ctl_catch_up(struct rf_ctl *c);
/* Say what was written: what must follow depends on it. At most RF_CTL_TOUCH_MAX a transaction. */
int rf_ctl_touch(struct rf_ctl *c, enum rf_kind kind, const char *id, struct rf_err *e);
enum { RF_CTL_TOUCH_MAX = 100000 };
/* dry_run: check everything, then roll back and return RF_OK. */
int rf_ctl_commit(struct rf_ctl *c, bool dry_run, struct rf_err *e);
void rf_ctl_abort(struct rf_ctl *c); /* harmless when nothing is open */

/* SIGHUP and `ringfence reload`: boot file, certificates, keys, CAs, CRLs, lists: build all, then swap. The names of settings
 * that have changed since the start and wait for a restart are appended to *later, ", " between. */
int rf_ctl_reload(struct rf_ctl *c, struct rf_buf *later, struct rf_err *e);

/* End every live connection of the device (all workers); the number is counted in the metrics. */
void rf_ctl_sever(struct rf_ctl *c, const char *device_id);
