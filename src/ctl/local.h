/* ctl/local: the service that answers at every host of the edge: enrolment, our CA's certificates, CRL and OCSP.
 *
 *   GET  /.well-known/est/[label/]cacerts, csrattrs     POST .../simpleenroll, simplereenroll   [RFC 7030], TLS only
 *   GET  /.well-known/pki/ca.crt, root.crt, crl, crl/delta, ocsp/BASE64         POST /.well-known/pki/ocsp
 *   GET  /healthz
 *
 * The way of a request: a worker hands it over -> a message to the control loop -> answered from the state, which EST changes in one
 * transaction -> a message back. How many can be under way is the edge's bound; how much is signed in a second is ours.
 */
#pragma once
#include "ctl/control.h"
#include "svc/http/edge.h"

struct rf_local;

enum { RF_LOCAL_SIGN_RATE = 1000, RF_LOCAL_SIGN_BURST = 2000 }; /* certificates, OCSP responses a second, all clients together */

/* On the control thread. */
int rf_local_new(struct rf_ctl *c, struct rf_local **ret, struct rf_err *e);
/* After every worker has ended and the loop has run its messages. NULL is harmless. */
void rf_local_free(struct rf_local *l);

/* For struct rf_worker_spec: from any worker's thread. `local`: a struct rf_local. */
void rf_local_handle(void *local, struct rf_local_request *q);
