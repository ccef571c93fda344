/* svc/front_own: what the files of the front share. Private to svc/front*, svc/hello, svc/who, svc/live. */
#pragma once
#include "svc/front.h"

/* hello.c */
void hello_begin(struct rf_client *c); /* it may be gone afterwards */
void hello_leave(struct rf_client *c); /* the handshake is over, one way or the other */
void hello_turn(struct rf_task *t);

/* who.c */
void who_identify(struct rf_client *c, const struct rf_snap *snap);
void who_leave(struct rf_client *c);
/* Does an access rule of the zone stand against a connection that stands? Then it is its rule. */
bool who_shut_out(struct rf_client *c);

/* live.c: connections by device */
void live_add(struct rf_client *c);
void live_del(struct rf_client *c);
struct rf_client *live_find(struct rf_front *f, struct rf_str device_id); /* any one of them that is not dead */

/* client_record.c: the connection is over */
void report_client(struct rf_client *c);
