/* net/datagram: UDP sockets on a loop, read in batches into rooms that all sockets of one use share.
 *
 * An idle socket costs its struct and the kernel's memory, no buffer. What arrives as segments of one size (UDP_GRO) is handed
 * over as one message; what is sent as such leaves by one call where the kernel can (UDP_SEGMENT), else one by one.
 */
#pragma once
#include "loop/loop.h"
#include "base/str.h"

struct rf_datagram;

enum { RF_DATAGRAM_MAX = 65535 };

/* What the sockets of one use have in common. Outlives them. */
struct rf_datagram_use {
	struct rf_loop *loop;
	/* A message; its bytes are valid until the call returns. May close any socket, and must leave the memory of this one. */
	void (*message)(struct rf_datagram *s, const struct rf_dgram *m);
	/* Somebody says that the peer of a connected socket cannot be reached (RF_E_RESET), or the socket fails. The same. */
	void (*error)(struct rf_datagram *s, int error);
	bool deaf; /* nothing is read: it is left to another process that has the same sockets */
	/* set by rf_datagram_use_init */
	struct rf_dgram batch[RF_DGRAMS_MAX];
	char *rooms;
	struct rf_node waiting; /* sockets that had more than their turn */
	struct rf_task more;
};

struct rf_datagram {
	struct rf_io io;
	struct rf_datagram_use *use;
	struct rf_node more;
};

/* RF_E_NOMEM. */
int rf_datagram_use_init(struct rf_datagram_use *u, struct rf_loop *loop, void (*message)(struct rf_datagram *s, const struct rf_dgram *m),
			 void (*error)(struct rf_datagram *s, int error));
void rf_datagram_use_fini(struct rf_datagram_use *u); /* every socket is closed */

/* Take over a bound descriptor, which is closed on failure: RF_E_FULL, RF_E_NOMEM. Sets all of *s. Each message tells
 * where it arrived. */
int rf_datagram_adopt(struct rf_datagram *s, struct rf_datagram_use *u, int fd);
/* A socket connected to `to`. RF_E_FULL, RF_E_RESET, RF_E_IO, and it is closed then. Sets all of *s. */
int rf_datagram_connect(struct rf_datagram *s, struct rf_datagram_use *u, const struct rf_addr *to);
void rf_datagram_close(struct rf_datagram *s); /* harmless when closed */

/* Send the datagrams of `data` (of m->segment bytes each, but for the last; 0: one), each behind `prefix`, to m->peer from
 * m->local. How many were lost, 0 where all went; *ret_error (may be NULL) says why. */
unsigned rf_datagram_send(struct rf_datagram *s, const struct rf_dgram *m, struct rf_str prefix, struct rf_str data, int *ret_error);

/* How many datagrams a message holds: at least one, which may be empty. */
static inline unsigned rf_dgram_count(const struct rf_dgram *m)
{
	return m->segment ? (unsigned)((m->n + m->segment - 1) / m->segment) : 1;
}
