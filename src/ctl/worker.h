/* ctl/worker: one thread of the data path: its loop, TLS, pools, edge and listeners.
 *
 * The control thread makes and ends workers and speaks to them only by messages.
 */
#pragma once
#include "ctl/control.h"
#include "ctl/patch_watch.h"
#include "ctl/samples.h"
#include "records/ring.h"
#include "svc/http/edge.h"

/* The worker's socket of one listener of the boot file. */
struct rf_worker_listener {
	int fd;
	const struct rf_boot_listener *boot;
};

struct rf_worker_spec {
	struct rf_ctl *ctl;
	unsigned index;
	struct rf_ring *ring; /* NULL: nobody reads records */
	const struct rf_watch *watch; /* not NULL: records are only for it, while it is on */
	struct rf_samples *samples; /* NULL: none are kept */
	struct rf_feed *feed; /* to the detection of floods; outlives the worker; NULL: none */
	struct rf_identity_env identity;
	void (*local)(void *arg, struct rf_local_request *q); /* on the worker's thread */
	void *local_arg;
	/* A UDP socket is wanted to answer from; it comes by rf_worker_port_reply, at once or later. On the worker's thread. NULL: there is none. */
	void (*reply_socket)(void *arg, struct rf_worker *w, const struct rf_ip *at, uint16_t port);
	void *reply_arg;
};

/* Build it without starting: any error is told before a thread runs. */
int rf_worker_new(const struct rf_worker_spec *spec, struct rf_worker **ret, struct rf_err *e);
int rf_worker_start(struct rf_worker *w, struct rf_err *e);
/* Before it was started, or after `done` of its drain. NULL is harmless. */
void rf_worker_free(struct rf_worker *w);

/* Listening on these and on no others, with the bounds and times of the control thread's boot file, made but not begun. The
 * descriptors are taken over, and what *boot says is copied. RF_E_NOMEM: the descriptors are closed. Then one of: */
struct rf_worker_message;
int rf_worker_listen_make(struct rf_worker *w, const struct rf_worker_listener *v, size_t n, struct rf_worker_message **ret);
void rf_worker_listen_go(struct rf_worker_message *m);   /* from now on; cannot fail */
void rf_worker_listen_drop(struct rf_worker_message *m); /* not at all; NULL is harmless */

/* A socket of ports (ctl/port_gate), named by its key. */
struct rf_worker_port {
	int fd;
	uint32_t key;
	bool udp;
	uint16_t port;  /* that it is bound to; 0: many are steered to it */
};
/* Serve what comes by it; the descriptor is taken over. RF_E_NOMEM. */
int rf_worker_port_open(struct rf_worker *w, const struct rf_worker_port *p);
/* No more; what stands goes on. */
void rf_worker_port_close(struct rf_worker *w, uint32_t key);
/* A socket to answer datagrams from, taken over; -1: there is none. */
void rf_worker_port_reply(struct rf_worker *w, const struct rf_ip *at, uint16_t port, int fd);

/* Messages; each returns at once. */
void rf_worker_sever(struct rf_worker *w, const char *device_id);
void rf_worker_recheck(struct rf_worker *w);
/* Accept no more, end what is idle, bound the rest; `done` is posted to the control loop when the thread has ended its loop. */
void rf_worker_drain(struct rf_worker *w, uint64_t bound_ns, struct rf_msg *done);
