/* loop/loop: one thread's event loop, as a small readiness interface with two implementations.
 *
 * rf_loop_epoll() is the real one. rf_loop_replay() (loop/replay.h) runs the same code on virtual
 * time against scripted peers, so that hours of keep-alive pass in milliseconds, without a socket.
 *
 * One turn: wait for readiness or the next timer; run `ready` of each io; messages from other
 * threads; due timers; then the tasks that were deferred; then the turn hook (quiet point).
 * `now` is read once a turn.
 *
 * Everything except rf_loop_post and rf_loop_stop belongs to the thread that runs the loop.
 *
 * Readiness is edge-triggered: an io is added once, for both directions, and its `ready` is
 * called when something may have changed. Read or write until RF_E_AGAIN.
 */
#pragma once
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/heap.h"
#include "base/list.h"

struct rf_loop;

enum {
	RF_IO_READ = 1,
	RF_IO_WRITE = 2,
	RF_IO_HUP = 4, /* error or both sides closed; comes with READ and WRITE */
	RF_IO_EOF = 8, /* the peer has ended its side: a short read is not the last one; comes with READ */
};

/* The memory is the owner's again when rf_loop_close returns, also within `ready` of another io. */
struct rf_io {
	int fd; /* -1 while not open */
	void (*ready)(struct rf_io *io, unsigned events);
	bool shared;   /* the descriptor is open elsewhere too (a listener that the monitor keeps) */
	bool mute;     /* no WRITE by itself: a datagram socket has one for every datagram that leaves */
	bool added;    /* the loop's: rf_loop_add has succeeded */
	unsigned slot; /* the loop's: 1 + place among the events of this turn that are yet to be run */
};

struct rf_timer {
	struct rf_heap_node node;
	void (*fire)(struct rf_timer *t);
};

struct rf_task { /* runs once at the end of the turn that deferred it; deferred by a task: of the next */
	struct rf_node node;
	void (*run)(struct rf_task *t);
};

struct rf_msg { /* from another thread; owned by the loop from rf_loop_post until `run` is called */
	struct rf_msg *next;
	void (*run)(struct rf_loop *loop, struct rf_msg *m);
};

struct rf_addr { /* an address of a socket; len 0: none */
	union {
		struct sockaddr sa;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
		struct sockaddr_storage any;
	};
	socklen_t len;
};

/* A loop over epoll. NULL and *e on failure. */
struct rf_loop *rf_loop_epoll(struct rf_err *e);
void rf_loop_free(struct rf_loop *loop);

/* Run until rf_loop_stop. A stop that came before makes it return after one turn. */
void rf_loop_run(struct rf_loop *loop);
/* One turn that waits at most `wait_ns`. */
void rf_loop_turn(struct rf_loop *loop, uint64_t wait_ns);
/* From any thread or signal handler: make rf_loop_run return after its turn. */
void rf_loop_stop(struct rf_loop *loop);

uint64_t rf_loop_now(const struct rf_loop *loop); /* monotonic, ns, of this turn */
uint64_t rf_loop_mono(struct rf_loop *loop);      /* the same clock read now, to measure what a turn takes */
int64_t rf_loop_wall(struct rf_loop *loop);       /* wall clock, ns since 1970, read now */

/* Called with `arg` at the end of every turn (online: true), and around each wait that may block: before it
 * with online == false, after it with true. For quiescent states. */
void rf_loop_hook(struct rf_loop *loop, void (*hook)(void *arg, bool online), void *arg);

/* Under load, let `ns` pass before each wait, so that more is there to do at once: a turn costs as much as an event, and whoever is
 * answered one by one is woken one by one. Only where so many events come that some come meanwhile, and the last turn had few. 0: never,
 * as it is at first. Loops that replay do not. */
void rf_loop_gather(struct rf_loop *loop, uint64_t ns);

/* Timers: setting one that is set moves it. Fires at the first turn with now >= at_ns, but never twice in
 * one turn. Equal times fire in no order. The epoll loop rounds waits up to milliseconds.
 * Memory for the heap is reserved by rf_loop_add and never fails here for one timer an io;
 * when it does fail, the timer fires in this turn (a missed timeout must never be a hang). */
void rf_timer_set(struct rf_loop *loop, struct rf_timer *t, uint64_t at_ns);
void rf_timer_stop(struct rf_loop *loop, struct rf_timer *t);

void rf_loop_defer(struct rf_loop *loop, struct rf_task *t); /* harmless when deferred already */
void rf_task_cancel(struct rf_task *t);

/* From any thread or signal handler. Messages of one thread run in its order. Nothing is allocated; how many
 * are under way is bounded by those who own them. A message posted by a message runs in the next turn. */
void rf_loop_post(struct rf_loop *loop, struct rf_msg *m);

/* Sockets, through the loop so that they can be scripted. All are non-blocking. */
/* io->fd and io->ready are set. RF_OK, RF_E_FULL, RF_E_NOMEM. An io that is ready gets an event at once. */
int rf_loop_add(struct rf_loop *loop, struct rf_io *io);
void rf_loop_close(struct rf_loop *loop, struct rf_io *io); /* remove and close; io->fd = -1; harmless at -1 */
/* > 0 bytes; RF_E_AGAIN, RF_E_EOF, RF_E_RESET (also a connection that timed out), RF_E_IO. n > 0. */
ssize_t rf_io_recv(struct rf_loop *loop, struct rf_io *io, void *p, size_t n);
/* As recv, never EOF; count <= IOV_MAX, and some byte to send. No SIGPIPE. */
ssize_t rf_io_send(struct rf_loop *loop, struct rf_io *io, const struct iovec *v, int count);
int rf_io_shutdown(struct rf_loop *loop, struct rf_io *io); /* no more writes from us */
/* Its close will be a reset, and what is not sent yet is lost. */
void rf_io_doom(struct rf_loop *loop, struct rf_io *io);
/* Up to n bytes from the socket into a pipe, or from a pipe into the socket, without a copy. > 0; as recv and send; RF_E_AGAIN
 * from either end of it. */
ssize_t rf_io_splice_in(struct rf_loop *loop, struct rf_io *io, int pipe, size_t n);
ssize_t rf_io_splice_out(struct rf_loop *loop, struct rf_io *io, int pipe, size_t n);
/* A new connection on listener io: fd in ret->fd (not added), peer in *ret_peer (len 0: unnamed Unix socket).
 * RF_E_AGAIN; RF_E_FULL when descriptors or memory are exhausted (the caller pauses accepting and counts);
 * RF_E_RESET when a connection died before it was accepted (call again); RF_E_IO. Options such as
 * TCP_NODELAY come from the listener. */
int rf_io_accept(struct rf_loop *loop, struct rf_io *listener, struct rf_io *ret, struct rf_addr *ret_peer);
/* Start to connect: io->fd is set and added; `ready` with WRITE or HUP tells the end; rf_io_error its result.
 * RF_E_FULL, RF_E_RESET (refused at once), RF_E_IO, and io->fd == -1 then. TCP_NODELAY is set. */
int rf_io_connect(struct rf_loop *loop, struct rf_io *io, const struct rf_addr *to);
/* Messages of UDP sockets. With `segment` one holds several datagrams of one peer, each of so many bytes but for the last. */
struct rf_dgram {
	struct rf_addr peer;  /* who sent it, or is to have it (len 0: whom the socket is connected to) */
	struct rf_addr local; /* where it arrived, or from where it is to come (len 0: as routed; the port is that of the socket) */
	char *p;              /* of `room` bytes where it is to be received */
	size_t n, room;
	uint16_t segment;
	bool cut;             /* it was longer than the room */
};

/* A UDP socket connected to `to`, as rf_io_connect, but without an event that tells: it may send at once. */
int rf_io_datagram(struct rf_loop *loop, struct rf_io *io, const struct rf_addr *to);
/* Have an adopted socket tell where each message arrived (where it cannot, `local` is empty), and hand over segments together. */
void rf_io_datagram_prepare(int fd);
/* Up to n messages (at most RF_DGRAMS_MAX) into their rooms: how many came, and there are no more where it is fewer than n;
 * RF_E_AGAIN; RF_E_RESET (somebody says that the peer of a connected socket cannot be reached), RF_E_IO. */
enum { RF_DGRAMS_MAX = 32, RF_SEGMENTS_MAX = 64 };
int rf_io_receive(struct rf_loop *loop, struct rf_io *io, struct rf_dgram *v, int n);
/* Send one message of these pieces to m->peer from m->local; m->p is not read. RF_OK; RF_E_AGAIN (no room; it is lost unless
 * sent again), RF_E_RESET (as above), RF_E_TOO_LARGE, RF_E_INVALID (also: segments that are larger than the path takes), RF_E_IO. */
int rf_io_transmit(struct rf_loop *loop, struct rf_io *io, const struct rf_dgram *m, const struct iovec *v, int count);
/* SO_ERROR as RF_OK, RF_E_RESET, RF_E_TIMEOUT or RF_E_IO. */
int rf_io_error(struct rf_loop *loop, struct rf_io *io);
