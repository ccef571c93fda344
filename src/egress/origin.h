/* egress/origin: what an app stands in front of: groups of endpoints, their health, and pools of
 * connections.
 *
 * A group is immutable and refcounted, made with the snapshot; the health and load of its endpoints are shared
 * atomics that live on across snapshots as long as the endpoint's URL stays (rf_origin_group_new takes
 * the old group to inherit from). Idle connections are kept by each worker (struct rf_pool in egress/pool.h).
 */
#pragma once
#include <stdatomic.h>
#include "net/resolver.h"
#include "tls/tls.h"

enum rf_origin_tls { RF_ORIGIN_PLAIN, RF_ORIGIN_TLS, RF_ORIGIN_TLS_UNVERIFIED };
enum rf_balance { RF_BALANCE_ROUND_ROBIN, RF_BALANCE_LEAST_CONN, RF_BALANCE_DEVICE /* by hash of the device */ };

struct rf_origin_spec {   /* one endpoint, as configured: "http://127.0.0.1:9000", "https://api.internal" */
	struct rf_str host;   /* name or address */
	uint16_t port;
	enum rf_origin_tls tls;
	struct rf_str tls_name; /* SNI and verified name; "" : host */
	unsigned weight;        /* 1..1000, 0: draining */
	bool backup;            /* used only when no other is healthy */
};

struct rf_health_spec {  /* active checks; interval_ns 0: none */
	uint64_t interval_ns, timeout_ns;
	struct rf_str path, host;
	unsigned expect_low, expect_high; /* status range, 200..399 */
	unsigned rise, fall;
};

struct rf_origin_group_spec {
	char id[33];          /* of the app */
	const struct rf_origin_spec *origins;
	size_t count;
	enum rf_balance balance;
	struct rf_health_spec health;
	unsigned passive_fails;         /* consecutive failures that take an endpoint out; 0: never */
	uint64_t passive_hold_ns;       /* and for how long */
	uint64_t connect_timeout_ns, idle_timeout_ns;
	unsigned max_idle;              /* kept-alive connections a worker and endpoint */
	unsigned max_connections;       /* a worker and endpoint; 0: no bound */
	const struct rf_trust *trust;   /* to verify origins with; NULL: system store */
	const struct rf_keypair *keypair; /* mutual TLS to the origin */
};

struct rf_origin_group;
struct rf_origin; /* an endpoint: URL, resolved addresses, health, load */

int rf_origin_group_new(const struct rf_origin_group_spec *spec, const struct rf_origin_group *inherit,
			struct rf_origin_group **ret, struct rf_err *e);
struct rf_origin_group *rf_origin_group_get(const struct rf_origin_group *g);
void rf_origin_group_put(struct rf_origin_group *g);
