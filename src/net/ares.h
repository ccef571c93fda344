/* net/ares: a c-ares channel on a loop. For net/resolver, and for whoever asks for other records than addresses.
 *
 * c-ares keeps the protocol; its sockets are made, watched and closed here.
 */
#pragma once
#include <ares.h>
#include "base/err.h"
#include "loop/loop.h"

enum { RF_ARES_SOCKETS = 32 }; /* two for each server at most; beyond, c-ares sees EMFILE and goes on */

struct rf_ares {
	struct rf_loop *loop;
	ares_channel channel;
	struct rf_timer timer;
	struct rf_ares_link {
		struct rf_io io;
		struct rf_ares *a;
		bool drained; /* the latest recv found nothing */
	} links[RF_ARES_SOCKETS];
};

/* servers NULL: those of resolv.conf. */
int rf_ares_init(struct rf_ares *a, struct rf_loop *loop, const char *servers, uint32_t timeout_ms,
		 uint32_t tries, struct rf_err *e);
/* Ends every question with ARES_EDESTRUCTION. */
void rf_ares_fini(struct rf_ares *a);
/* Ask for A and AAAA; `done` may be called before this returns. */
void rf_ares_ask(struct rf_ares *a, const char *name, ares_addrinfo_callback done, void *arg);
/* Ask for records of another type (ares_nameser.h: T_SRV); `done` gets the whole answer, and may be called before this returns. */
void rf_ares_query(struct rf_ares *a, const char *name, int type, ares_callback done, void *arg);
