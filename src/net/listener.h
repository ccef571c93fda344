/* net/listener: a listening socket on a loop, accepting in batches.
 *
 * The socket comes from the monitor (rf_listener_adopt) or from rf_listener_open.
 * When descriptors or memory run out it stops accepting for RF_LISTENER_REST_NS and
 * counts; connections wait in the kernel's queue meanwhile.
 */
#pragma once
#include "base/err.h"
#include "loop/loop.h"

#define RF_LISTENER_REST_NS (100 * RF_NS_MS)

struct rf_listener {
	struct rf_io io;
	struct rf_loop *loop;
	/* Takes fd. May close the listener, but must leave its memory. */
	void (*on_accept)(struct rf_listener *l, int fd, const struct rf_addr *peer);
	struct rf_timer rest;
	struct rf_task more;
	bool resting;
	uint64_t accepted, exhausted, aborted; /* connections; rests; died before they were accepted */
};

/* Take over a listening descriptor, which is closed on failure: RF_E_FULL, RF_E_NOMEM. Sets all of *l.
 * Accepted TCP connections have TCP_NODELAY. */
int rf_listener_adopt(struct rf_listener *l, struct rf_loop *loop, int fd,
		      void (*on_accept)(struct rf_listener *l, int fd, const struct rf_addr *peer));
void rf_listener_close(struct rf_listener *l); /* harmless when closed */

/* Open, bind and listen on `count` sockets of one address, one a worker. Connections are spread by the source
 * address, so that a device comes back to the worker that holds its TLS session. Port 0: the
 * same free port for all. A Unix socket: count 1, mode 0600 at most, replacing a stale one.
 * fds are the caller's. RF_E_IO with a reason for the operator, and no descriptor is left open then. */
int rf_listener_open_group(const struct rf_addr *at, int count, int *ret_fds, struct rf_err *e);
/* The same spreading for a group of `count` that somebody else opened; fd is any of it. -1 with errno. */
int rf_listener_spread(int fd, unsigned count);
static inline int rf_listener_open(const struct rf_addr *at, int *ret_fd, struct rf_err *e)
{
	return rf_listener_open_group(at, 1, ret_fd, e);
}
/* Where a descriptor is bound; len 0 where that cannot be told. */
struct rf_addr rf_listener_addr(int fd);
