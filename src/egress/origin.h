/* egress/origin: what an app stands in front of: groups of endpoints, their health, and which one is next.
 *
 * A group is immutable and refcounted, made with the snapshot; the health and load of its endpoints
 * are shared atomics (struct rf_origin_live) that live on across snapshots as long as the endpoint
 * stays the same: URL, TLS settings and keys (rf_origin_group_new takes the old group to inherit
 * from). Idle connections are kept by each worker under the live part (egress/pool.h), so that a
 * change of keys never reuses an old connection.
 *
 * Not here: connections (egress/pool), active checks (egress/health).
 */
#pragma once
#include <stdatomic.h>
#include "tls/tls.h"

enum rf_origin_tls { RF_ORIGIN_PLAIN, RF_ORIGIN_TLS, RF_ORIGIN_TLS_UNVERIFIED };
enum rf_balance { RF_BALANCE_ROUND_ROBIN, RF_BALANCE_LEAST_CONN, RF_BALANCE_DEVICE /* by hash of the device */ };

struct rf_origin_spec {   /* one endpoint, as configured: "http://127.0.0.1:9000", "https://api.internal" */
	struct rf_str host;   /* name or address */
	uint16_t port;
	enum rf_origin_tls tls;
	struct rf_str tls_name; /* SNI and verified name; "" : host */
	unsigned weight;        /* 1..1000, 0: draining */
	unsigned backup;        /* 0: used first; else when none of a lower number is healthy */
	unsigned pipeline;      /* requests that may be under way at once on a connection; 0, 1: one by one */
};

struct rf_health_spec {  /* active checks; interval_ns 0: none */
	bool connect;           /* a connection is enough, with TLS where the endpoint has it: nothing is sent, path to expect_high mean nothing */
	struct rf_str first;    /* of connect: sent before all else, TLS included; lives as long as the program */
	uint64_t interval_ns, timeout_ns;
	struct rf_str path, host;
	unsigned expect_low, expect_high; /* status range, 200..399 */
	unsigned rise, fall;
};

struct rf_origin_group_spec {
	char id[33];          /* of the app */
	const char *scheme;   /* of URLs in records, lives as long as the program: "tcp"; NULL: http or https */
	const struct rf_origin_spec *origins;
	size_t count;         /* 1..RF_ORIGINS_MAX */
	enum rf_balance balance;
	struct rf_health_spec health;
	unsigned passive_fails;         /* consecutive failures that take an endpoint out; 0: never */
	uint64_t passive_hold_ns;       /* and for how long */
	uint64_t connect_timeout_ns, idle_timeout_ns;
	unsigned max_idle;              /* kept-alive connections a worker and endpoint */
	unsigned max_connections;       /* a worker and endpoint; 0: no bound */
	unsigned max_queue;             /* requests that wait for one of them, a worker and endpoint */
	struct rf_trust *trust;         /* to verify origins with; NULL: system store */
	const struct rf_keypair *keypair; /* mutual TLS to the origin */
};

enum { RF_ORIGINS_MAX = 64 }; /* endpoints of a group: one bit each in the set of those already tried */

/* What workers and checks find out about an endpoint. */
struct rf_origin_live {
	_Atomic uint32_t refs;
	_Atomic uint32_t load;      /* requests in flight, all workers */
	_Atomic uint32_t fails;     /* consecutive, seen by requests */
	_Atomic uint64_t held_until; /* loop time before which requests avoid it; 0: not held */
	_Atomic bool down;          /* by active checks */
	_Atomic uint32_t streak;    /* of active checks that contradict `down` */
	_Atomic uint64_t requests_total, failures_total;
};

struct rf_origin { /* an endpoint; read-only outside egress */
	struct rf_origin_spec spec;
	struct rf_str authority; /* "api.internal" or "127.0.0.1:9000": the Host that it expects */
	struct rf_str url;       /* "https://api.internal", for records */
	const struct rf_origin_group *group;
	struct rf_origin_live *live;
	unsigned index;
};

struct rf_origin_group {
	struct rf_origin_group_spec spec; /* strings are the group's own */
	struct rf_origin *origins;
	_Atomic uint32_t refs, turn;
	struct rf_trust *trust;
	struct rf_keypair *keypair;
	char *text;
};

/* RF_E_RANGE for no or too many endpoints, RF_E_NOMEM. */
int rf_origin_group_new(const struct rf_origin_group_spec *spec, const struct rf_origin_group *inherit,
			struct rf_origin_group **ret, struct rf_err *e);
struct rf_origin_group *rf_origin_group_get(const struct rf_origin_group *g);
void rf_origin_group_put(struct rf_origin_group *g);

/* The endpoint for the next request, of those not in the bit set `tried`. `key` is the hash of the
 * device for RF_BALANCE_DEVICE. Endpoints that checks hold for down are never used; those that
 * requests have found failing only when there is no other. NULL: none can be used. */
const struct rf_origin *rf_origin_choose(struct rf_origin_group *g, uint64_t key, uint64_t now, uint64_t tried);

/* Tell how a request fared (passive health). True when this failure took the endpoint out. */
bool rf_origin_report(const struct rf_origin *o, bool ok, uint64_t now);
/* Tell how an active check fared. True when the endpoint changed between up and down. */
bool rf_origin_checked(const struct rf_origin *o, bool ok);

struct rf_origin_live *rf_origin_live_get(struct rf_origin_live *l);
void rf_origin_live_put(struct rf_origin_live *l);
