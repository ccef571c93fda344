/* svc/http/unwanted: the answer to a request whose client has gone, read away, so that those behind it on the connection get theirs. */
#pragma once
#include "svc/http/conn.h"

struct unwanted { /* zeroed: of no request */
	bool begun;             /* its head was read */
	struct rf_http_scan scan;
	struct rf_arena arena;
	struct rf_flow flow;
};

/* Another answer, of which nothing was read yet. */
void unwanted_start(struct unwanted *u);
/* The same, but go on where the request stopped that has relayed it. False: the connection ends with this answer, or it is too large. */
bool unwanted_go_on(struct unwanted *u, const struct request *q, struct rf_stream *from, struct rf_inbuf *in);
/* Read what is there of the answer to a request with this method. RF_OK at its end; RF_E_AGAIN; else the connection is of no use any more:
 * it ended or ends with the answer, or that is malformed or too large. */
int unwanted_read(struct unwanted *u, struct rf_http_edge *e, struct rf_stream *from, struct rf_inbuf *in, enum rf_http_method method);
void unwanted_fini(struct unwanted *u);
