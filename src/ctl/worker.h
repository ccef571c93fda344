/* ctl/worker: one thread of the data path: its loop, TLS, pools, edge and listeners.
 *
 * The control thread makes and ends workers and speaks to them only by messages.
 */
#pragma once
#include "ctl/control.h"
#include "records/ring.h"
#include "svc/http/edge.h"
#include "svc/identity.h"

struct rf_worker_spec {
	struct rf_ctl *ctl;
	unsigned index;
	struct rf_ring *ring;
	const struct rf_identity_env *identity;
	void (*local)(void *arg, struct rf_local_request *q);
	void *local_arg;
	const int *fds;           /* its socket of each listener of the boot file; taken over */
	size_t fd_count;
};

/* Build it without starting: any error is told before a thread runs. */
int rf_worker_new(const struct rf_worker_spec *spec, struct rf_worker **ret, struct rf_err *e);
int rf_worker_start(struct rf_worker *w, struct rf_err *e);
/* After its thread has ended. */
void rf_worker_free(struct rf_worker *w);

/* Messages; each returns at once. */
void rf_worker_sever(struct rf_worker *w, const char *device_id);
void rf_worker_recheck(struct rf_worker *w);
void rf_worker_conf(struct rf_worker *w, const struct rf_http_conf *conf);
void rf_worker_listen(struct rf_worker *w, const int *fds, size_t count); /* the listeners after a reload */
/* Drain and end the thread; `done` is posted to the control loop once. */
void rf_worker_drain(struct rf_worker *w, uint64_t bound_ns, struct rf_msg *done);

struct rf_loop *rf_worker_loop(struct rf_worker *w);
