/* svc/http/edge: the strict streaming reverse proxy of one worker: what it is given, and how it is told.
 *
 * The worker makes one struct rf_http_edge, accepts connections into it, and frees it after a drain.
 * All calls belong to the worker's thread; the control thread posts messages to the worker's loop to
 * make them.
 *
 * Not here: listening sockets (net/listener), snapshots (svc/snapshot), the local service (ctl).
 */
#pragma once
#include "egress/pool.h"
#include "net/bufpool.h"
#include "net/tally.h"
#include "records/record.h"
#include "svc/identity.h"
#include "wire/http1.h"

struct rf_http_edge;
struct rf_http_conn;
struct rf_feed;

/* What a listener says about the connections that it accepts. Outlives them. */
struct rf_http_listener {
	bool tls;
	int min_version;                  /* of TLS, as libssl writes it; 0: TLS 1.2 */
	bool proxy;                       /* a PROXY header comes first [PROXY protocol, HAProxy 2.x] */
	const struct rf_prefix *trusted;  /* peers whose PROXY header and forwarding headers are believed */
	size_t trusted_count;
	struct rf_ip ip;                  /* the edge's address, where the PROXY header says no other */
	uint16_t port;
};

/* Bounds and times of one worker; 0 means no bound where the comment says so. Times in nanoseconds. */
struct rf_http_conf {
	struct rf_http_limits heads;       /* of requests and of origins' responses */
	uint32_t connections;              /* at once */
	uint32_t connections_per_address;  /* 0: no bound */
	uint32_t handshakes;               /* under way at once; the oldest makes room */
	uint32_t handshakes_per_address;   /* 0: no bound */
	uint32_t handshakes_per_turn;      /* most steps of handshakes between two looks at the other connections; 0: 1 */
	uint64_t handshake_turn_ns;        /* once they have taken so long, no further one is begun before the next look */
	uint32_t requests_per_connection;  /* 0: no bound */
	uint32_t requests_per_address;     /* a second; 0: no bound */
	size_t request_memory;             /* arena of one request */
	size_t local_body;                 /* body of a request to the local service */
	size_t rule_body;                  /* bytes of a body that rules can see, where a rule asks for them */
	size_t decompressed_body;          /* a request body may grow to this when decompressed */
	uint64_t max_body;                 /* request body where the app says nothing; 0: no bound */
	uint64_t handshake_ns, head_ns, body_ns, idle_ns, response_ns, write_ns, tunnel_ns, linger_ns, local_ns;
	uint32_t min_body_rate;            /* bytes a second where the app says nothing; 0: any */
	uint32_t samples_rate;             /* samples of requests of one class a minute */
	size_t samples_body;               /* bytes of a body in a sample */
	bool samples_secrets;              /* unmasked */
};

extern const struct rf_http_conf rf_http_conf_default;

/* A request for the service that the control thread answers. Made by the edge, given to `local`, which
 * must call rf_http_local_answer exactly once, from any thread, after filling the answer. */
struct rf_local_request {
	struct rf_msg msg;                 /* the edge's */
	struct rf_http_edge *edge;         /* the edge's */
	struct rf_http_conn *conn;         /* the edge's; NULL once the client has gone */
	struct rf_loop *loop;              /* the edge's */
	/* Asked; all valid until the answer is given. */
	struct rf_str method, host, path, query, content_type, authorization, accept, body;
	struct rf_ip src;
	bool tls, cert_verified, cert_revoked;
	bool cert_trusted;                 /* it chains to a root, whatever its dates and lists say */
	bool answered;                     /* the edge's */
	struct rf_cert *cert;              /* referenced; NULL: none was shown */
	char device[RF_ID_LEN + 1];        /* "" where none is known */
	/* Answered. */
	int status;
	struct rf_str answer_type;         /* static text */
	struct rf_buf answer;              /* the body */
	struct rf_buf headers;             /* more header lines, each with its CRLF */
	void *mem;                         /* the edge's: owns the texts above */
};

struct rf_http_edge_spec {
	struct rf_loop *loop;
	struct rf_tls *tls;                /* NULL: no listener has TLS */
	struct rf_bufpool *bufs;
	struct rf_pool *pool;
	const struct rf_http_conf *conf;   /* copied */
	struct rf_limits *limits;          /* counters of rate limits, shared by all workers; NULL: none is ever reached */
	struct rf_identity_env identity;
	const struct rf_snap *(*snap)(void);        /* rf_snap_now */
	void (*emit)(void *arg, const struct rf_record *rec); /* to the worker's ring; NULL: no records */
	void (*sample)(void *arg, struct rf_str line);        /* keep a sample of a request; NULL: none are made */
	bool (*barred)(void *arg, const struct rf_ip *src); /* may nobody connect from there? NULL: anybody may */
	void (*local)(void *arg, struct rf_local_request *q); /* NULL: such paths are refused with 404 */
	struct rf_feed *feed;              /* what is told to the detection of floods; NULL: nothing */
	void *arg;
	uint64_t seed;                     /* of connection and request ids: different for every worker and start */
};

/* NULL without memory. */
struct rf_http_edge *rf_http_edge_new(const struct rf_http_edge_spec *spec);
/* Closes what is left at once. The local service must have answered all that it was given, and the loop have run since. */
void rf_http_edge_free(struct rf_http_edge *e);
void rf_http_edge_conf(struct rf_http_edge *e, const struct rf_http_conf *conf); /* in force from now on */

/* Take over an accepted descriptor. RF_E_FULL past a bound, RF_E_NOMEM: it is closed and counted. */
int rf_http_accept(struct rf_http_edge *e, const struct rf_http_listener *l, int fd, const struct rf_addr *peer);

/* Give the answer of a local request back; it belongs to the edge again. From any thread. */
void rf_http_local_answer(struct rf_local_request *q);

/* End every connection of a device now, requests under way included. The number ended. */
size_t rf_http_sever(struct rf_http_edge *e, struct rf_str device_id);
/* Look again at every connection after trust, lists or denied certificates have changed: those whose
 * certificate was good at the handshake and is now revoked or of no trusted root end. */
size_t rf_http_recheck(struct rf_http_edge *e);

/* Answer what is under way with `Connection: close`, close what is idle, refuse new connections;
 * `done` is called when nothing is left or `bound_ns` has passed (the rest is closed then). */
void rf_http_drain(struct rf_http_edge *e, uint64_t bound_ns, void (*done)(void *arg), void *arg);

struct rf_http_stats { /* now, and since the start */
	uint32_t connections, handshakes, requests;
	uint64_t accepted, severed, evicted, bytes_in, bytes_out;
};
void rf_http_stats(const struct rf_http_edge *e, struct rf_http_stats *ret);
