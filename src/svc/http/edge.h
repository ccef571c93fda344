/* svc/http/edge: the strict streaming reverse proxy of one worker: what it is given, and how it is told.
 *
 * The worker makes one struct rf_http_edge over its front, names rf_http_service in its listeners, and frees it after
 * the front. All calls belong to the worker's thread.
 *
 * Not here: how connections begin and end (svc/front), snapshots (svc/snapshot), the local service (ctl).
 */
#pragma once
#include "egress/pool.h"
#include "svc/front.h"
#include "wire/http1.h"

struct rf_http_edge;
struct rf_http_conn;
struct rf_feed;

/* Bounds and times of one worker; 0 means no bound where the comment says so. Times in nanoseconds. */
struct rf_http_conf {
	struct rf_http_limits heads;       /* of requests and of origins' responses */
	uint32_t requests_per_connection;  /* 0: no bound */
	uint32_t requests_per_address;     /* a second; 0: no bound */
	size_t request_memory;             /* arena of one request */
	size_t local_body;                 /* body of a request to the local service */
	size_t rule_body;                  /* bytes of a body that rules can see, where a rule asks for them */
	size_t decompressed_body;          /* a request body may grow to this when decompressed */
	uint64_t max_body;                 /* request body where the app says nothing; 0: no bound */
	uint64_t head_ns, body_ns, idle_ns, response_ns, write_ns, tunnel_ns, linger_ns, local_ns;
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
	struct rf_front *front;            /* of the worker; freed before the edge */
	struct rf_pool *pool;
	const struct rf_http_conf *conf;   /* copied */
	struct rf_limits *limits;          /* counters of rate limits, shared by all workers; NULL: none is ever reached */
	void (*sample)(void *arg, struct rf_str line);        /* keep a sample of a request; NULL: none are made */
	void (*local)(void *arg, struct rf_local_request *q); /* NULL: such paths are refused with 404 */
	struct rf_feed *feed;              /* what is told to the detection of floods; NULL: nothing */
	void *arg;
};

/* For a listener, with the edge as its service_arg. */
extern const struct rf_service rf_http_service;

/* NULL without memory. */
struct rf_http_edge *rf_http_edge_new(const struct rf_http_edge_spec *spec);
/* After the front, which ends what is left. The local service must have answered all that it was given, and the loop have run
 * since. */
void rf_http_edge_free(struct rf_http_edge *e);
void rf_http_edge_conf(struct rf_http_edge *e, const struct rf_http_conf *conf); /* in force from now on */
uint32_t rf_http_requests(const struct rf_http_edge *e); /* under way */
/* Under way of all devices of a class with a bound on them, by its slot; of any thread. */
uint32_t rf_http_class_requests(uint16_t slot);

/* Give the answer of a local request back; it belongs to the edge again. From any thread. */
void rf_http_local_answer(struct rf_local_request *q);
