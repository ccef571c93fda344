/* loop/impl: what the implementations of a loop share. Private to this folder.
 *
 * An implementation embeds struct rf_loop as its first member, fills `ops` and calls
 * rf_loop_init. Everything that is not a system call is in loop.c.
 */
#pragma once
#include <stdatomic.h>
#include "loop/loop.h"

struct rf_loop_ops {
	/* Wait at most wait_ns (0: only look) and run `ready` of what is ready. Sets loop->now between the two. */
	void (*wait)(struct rf_loop *loop, uint64_t wait_ns);
	void (*wake)(struct rf_loop *loop); /* from any thread or signal handler: end a wait, or the next one */
	uint64_t (*mono)(struct rf_loop *loop);
	int64_t (*wall)(struct rf_loop *loop);
	void (*free)(struct rf_loop *loop);
	int (*add)(struct rf_loop *loop, struct rf_io *io);
	void (*close)(struct rf_loop *loop, struct rf_io *io);
	ssize_t (*recv)(struct rf_loop *loop, struct rf_io *io, void *p, size_t n);
	ssize_t (*send)(struct rf_loop *loop, struct rf_io *io, const struct iovec *v, int count);
	int (*shutdown)(struct rf_loop *loop, struct rf_io *io);
	void (*doom)(struct rf_loop *loop, struct rf_io *io);
	ssize_t (*splice_in)(struct rf_loop *loop, struct rf_io *io, int pipe, size_t n);
	ssize_t (*splice_out)(struct rf_loop *loop, struct rf_io *io, int pipe, size_t n);
	int (*accept)(struct rf_loop *loop, struct rf_io *listener, struct rf_io *ret, struct rf_addr *ret_peer);
	int (*connect)(struct rf_loop *loop, struct rf_io *io, const struct rf_addr *to); /* sets io->fd only */
	int (*error)(struct rf_loop *loop, struct rf_io *io);
	int (*datagram)(struct rf_loop *loop, struct rf_io *io, const struct rf_addr *to); /* sets io->fd only */
	int (*receive)(struct rf_loop *loop, struct rf_io *io, struct rf_dgram *v, int n);
	int (*transmit)(struct rf_loop *loop, struct rf_io *io, const struct rf_dgram *m, const struct iovec *v, int count);
};

struct rf_loop {
	const struct rf_loop_ops *ops;
	uint64_t now;
	struct rf_heap timers;
	struct rf_heap_node *overdue; /* timers for which the heap had no room, linked through `key` */
	size_t ios;                   /* added; the heap has room for as many timers */
	struct rf_node tasks;         /* to run at the end of this turn */
	struct rf_node running;       /* tasks of this turn that are yet to run */
	bool firing;                  /* timers are being fired: those set now wait for the next turn */
	void (*hook)(void *arg, bool online);
	void *hook_arg;
	uint64_t gather_ns;           /* what passes before a wait under load; 0: nothing */
	_Atomic(struct rf_msg *) posted; /* newest first */
	atomic_bool stop;
};

/* loop/datagram.c: the same over Linux */
int rf_datagram_open(struct rf_loop *loop, struct rf_io *io, const struct rf_addr *to);
int rf_datagram_receive(struct rf_loop *loop, struct rf_io *io, struct rf_dgram *v, int n);
int rf_datagram_transmit(struct rf_loop *loop, struct rf_io *io, const struct rf_dgram *m, const struct iovec *v, int count);

void rf_loop_init(struct rf_loop *loop, const struct rf_loop_ops *ops);
/* Free what rf_loop_init and later use took; the implementation frees itself. */
void rf_loop_fini(struct rf_loop *loop);
/* Nothing to run at this time: no task, message or due timer. */
bool rf_loop_idle(struct rf_loop *loop);
