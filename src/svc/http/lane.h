/* svc/http/lane: requests of several clients that share one connection to an origin, in order [RFC 9112 9.3.2].
 *
 * Only where the operator says so of an origin (rf_origin_spec.pipeline), and only requests that may be repeated without harm:
 * GET and HEAD without a body, and without anything that changes the connection. A request that has joined waits in the step
 * FORWARD until its turn comes; then the connection is lent to it as if it were its own (q->up, q->oin), and it relays.
 *
 * Not here: choosing the origin, connections (egress/pool), the relay itself.
 */
#pragma once
#include "svc/http/conn.h"

enum { RF_LANE_MOST = 64 /* requests that may be under way on one connection; tbl/resources.def says it too */ };

/* May this request share a connection to q->origin? */
bool lane_takes(const struct rf_http_conn *c);
/* Join a lane to q->origin. RF_OK: wait; RF_E_FULL, RF_E_TOO_LARGE, RF_E_NOMEM: the request goes its own way. */
int lane_join(struct rf_http_conn *c);
/* The answer in front is over. Behind it the next one begins; bytes where none may be end the lane. */
void lane_done(struct request *q);
/* The answer in front broke, or the connection may not go on after it. Those behind go elsewhere. */
void lane_broken(struct request *q);
/* What the origin says is no HTTP. True: it stands among the answers of others, so that it may be the rest of one; and the origin
 * gets no lanes for a while. */
bool lane_distrust(struct request *q);
/* Nobody waits for the answer to this request any more; when its turn comes, it is read away. */
void lane_leave(struct request *q);
/* No request may be left. */
void lanes_fini(struct rf_http_edge *e);
