/* egress/pool: one worker's connections to origins, made, kept alive and handed out.
 *
 * The way of a connection: rf_pool_take -> resolve -> connect (the next address where one fails) ->
 * (what rf_pool_open sends first) -> TLS -> ready -> in use -> rf_pool_give -> idle -> taken again, or closed by time, by the origin or
 * by the bound on idle ones. Its owner is told of every event by `on_event`, asks rf_upstream_ready
 * until that is RF_OK, and from then on uses `stream` as its own.
 *
 * Bounds: a group's max_connections and max_idle for each endpoint, max_queue of requests that wait for a
 * connection; RF_E_FULL past them. Owned by one thread.
 *
 * Not here: which endpoint (egress/origin), HTTP (svc/http).
 */
#pragma once
#include "base/map.h"
#include "egress/origin.h"
#include "net/resolver.h"

struct rf_pool;
struct rf_pool_slot;

enum { RF_POOL_TRIES = 8 }; /* addresses of a name that one connect tries */

struct rf_pool_stats {
	uint64_t connects, reuses, connect_failures, tls_failures, resolve_failures, idle_closed, queue_full;
	uint64_t open, idle;
};

struct rf_upstream {
	struct rf_stream stream;
	void (*on_event)(struct rf_upstream *u); /* the owner's; NULL while idle */
	void *arg;
	bool reused;             /* has served a request before: may have died unseen */
	int error;               /* RF_E_* once connecting has failed */
	const char *why;         /* and in words */
	bool unresolved;         /* it was no address that failed, but looking for one */
	struct rf_str url;       /* of the endpoint; valid while it is held */
	/* the pool's */
	struct rf_pool *pool;
	struct rf_pool_slot *slot;
	struct rf_origin_group *group; /* referenced while connecting */
	const struct rf_origin *origin;
	struct rf_node node;           /* of the slot's idle or resolving ones */
	struct rf_timer timer;
	struct rf_str first;           /* of rf_pool_open: what is yet to be sent of it */
	uint16_t port;
	bool own;                      /* of rf_pool_open: never kept */
	struct rf_ip addrs[RF_POOL_TRIES];
	uint8_t addr_count, addr_at, phase;
	uint64_t idle_until;
};

/* A request that waits for a connection of a full endpoint. Zero it before use. */
struct rf_pool_wait {
	struct rf_node node;
	void (*ready)(struct rf_pool_wait *w); /* try rf_pool_take again; unlinked when called */
	struct rf_pool_slot *slot; /* the pool's */
};

/* resolver NULL: only literal addresses. NULL without memory. */
struct rf_pool *rf_pool_new(struct rf_loop *loop, struct rf_tls *tls, struct rf_resolver *resolver);
/* Which addresses are never connected to, beside those that are no host's: `id` is the group's. Asked of each address. */
void rf_pool_bar(struct rf_pool *p, bool (*barred)(void *arg, const char *id, const struct rf_addr *to), void *arg);
/* Nothing may be in use any more. */
void rf_pool_free(struct rf_pool *p);
void rf_pool_stats(const struct rf_pool *p, struct rf_pool_stats *ret);

/* A connection to `o`: kept alive (unless `fresh`), or a new one that is still connecting. RF_E_NOMEM;
 * RF_E_FULL when the endpoint has as many as it may: wait with rf_pool_queue. An error to connect is
 * told by rf_upstream_ready. */
int rf_pool_take(struct rf_pool *p, const struct rf_origin *o, bool fresh, void (*on_event)(struct rf_upstream *u),
		 void *arg, struct rf_upstream **ret);
/* A new connection that serves one owner and is closed when it is given back: at this port of the endpoint's (0: its own), with
 * `first` sent before all else, TLS included; that must live until it is ready. Errors as above. */
int rf_pool_open(struct rf_pool *p, const struct rf_origin *o, uint16_t port, struct rf_str first,
		 void (*on_event)(struct rf_upstream *u), void *arg, struct rf_upstream **ret);
/* RF_OK, RF_E_AGAIN while it connects, or the error. */
int rf_upstream_ready(struct rf_upstream *u);
/* Give it back: kept for the next request when `keep` says that the last one ended cleanly, else closed. */
void rf_pool_give(struct rf_upstream *u, bool keep);

/* RF_E_FULL when too many wait already. `w` is linked until `ready` is called or rf_pool_unqueue. */
int rf_pool_queue(struct rf_pool *p, const struct rf_origin *o, struct rf_pool_wait *w);
void rf_pool_unqueue(struct rf_pool_wait *w); /* harmless when not queued */
