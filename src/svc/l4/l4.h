/* svc/l4: TCP connections to any port of the edge, relayed to the origins of that port: one worker's.
 *
 * The worker has a struct rf_front (svc/front), which begins and ends connections, and one struct rf_l4. A listening socket
 * whose connections are for ports has rf_l4_service in its struct rf_front_listener, with the rf_l4 as service_arg, and `any`:
 * where a connection came to says which port of the snapshot it meets (svc/port). Revocation, bars and a drain reach
 * connections through the front; what a change of ports asks for, rf_l4_recheck does.
 *
 * All calls belong to the worker's thread.
 *
 * Not here: UDP (svc/l4/udp), which ports there are (ctl), sockets (net/listener).
 */
#pragma once
#include "egress/pool.h"
#include "svc/front.h"

struct rf_l4;

/* Bounds and times of one worker. Times in nanoseconds. */
struct rf_l4_conf {
	uint64_t idle_ns;      /* without a byte in either direction, where the port says nothing */
	uint64_t pause_ns;     /* after which the first bytes are judged, though few, where rules look at them */
	uint64_t progress_ns;  /* between records of a connection that goes on; 0: none */
	unsigned tubes;        /* directions that the kernel moves at once, unseen */
};

extern const struct rf_l4_conf rf_l4_conf_default;

/* front and pool outlive it. conf is copied; NULL: the default. NULL without memory. */
struct rf_l4 *rf_l4_new(struct rf_front *front, struct rf_pool *pool, const struct rf_l4_conf *conf);
/* Ends what is left at once. NULL is harmless. */
void rf_l4_free(struct rf_l4 *l);

/* For rf_front_listener.service, with service_arg the struct rf_l4. */
extern const struct rf_service rf_l4_service;

/* Ports, trust or devices have changed: connections of ports that are there no more end, and those whose certificate does not open
 * their port any more; the others follow their port's new settings. The number ended. */
size_t rf_l4_recheck(struct rf_l4 *l);
