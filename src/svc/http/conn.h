/* svc/http/conn: what the files of this service share: a connection, a request, an edge. Private to
 * svc/http.
 *
 * A connection holds no buffer and no request while it is idle. Its life is a table of steps (conn.c);
 * those of a request are spread over the files that this header lists, each a function that returns
 * the next step.
 */
#pragma once
#include "base/arena.h"
#include "policy/verdict.h"
#include "records/counters.h"
#include "shield/feed.h"
#include "svc/http/compress.h"
#include "svc/http/edge.h"
#include "svc/http/flow.h"

enum { LOCALS_MAX = 1024 };

#define RF_HTTP_STEPS(X) \
	X(HEAD) X(IDENTIFY) X(JUDGE) X(FORWARD) X(RELAY) X(LOCAL) X(ANSWER) X(RECORD) X(LINGER)

enum step {
#define X(name) STEP_##name,
	RF_HTTP_STEPS(X)
#undef X
	STEP_COUNT,
	STEP_WAIT,  /* stay, until the next event */
	STEP_CLOSE, /* end the connection now */
};

/* What a connection waits for; each has a time, a counter and words (wait.c). */
#define RF_HTTP_WAITS(X) \
	X(NONE) X(IDLE) X(HEAD) X(BODY) X(ORIGIN) X(RESPONSE) X(RESPONSE_BODY) X(WRITE) \
	X(WRITE_ORIGIN) X(TUNNEL) X(LINGER) X(LOCAL) X(QUEUE)

enum wait {
#define X(name) WAIT_##name,
	RF_HTTP_WAITS(X)
#undef X
};

struct waiting { /* one of the two directions */
	uint64_t until;
	enum wait what;
	uint64_t seen; /* progress when it was set */
};

/* Why a request is not simply forwarded. */
struct refusal {
	int status;            /* of the answer; 0: none, the request goes on */
	enum rf_reason reason;
	const char *words;     /* more exact than those of the reason */
	bool set;
	const struct rf_error_body *body; /* the operator's; NULL: ours */
	const struct rf_response *response; /* of a rule */
};

struct rf_http_conn {
	struct rf_client client;    /* first: svc/front makes and frees it */
	struct rf_http_edge *edge;
	struct request *req;        /* NULL while idle */
	struct waiting wait[2];     /* [0] also for what is not a body */
	uint8_t step;
	bool slow;                  /* it has held up those who shared a connection to an origin with it */
	uint32_t requests, lingered;
	uint64_t idle_ns, head_ns;  /* as the app of the last request wants them; 0: the edge's */
};

struct request {
	struct rf_node free;
	struct rf_http_conn *conn;
	struct rf_arena arena;
	const struct rf_snap *snap;       /* pinned */
	const struct rf_host *at_host;    /* of the configuration; NULL: none is meant */
	const struct rf_app *app;         /* its app, or NULL */
	struct rf_feed_host *fed;         /* told to the detection of floods; NULL: not yet */
	struct rf_http_scan scan, oscan;
	struct rf_http_head head, answer; /* as the client sent it; as the origin did */
	uint64_t ray, began, sent_at, body_since;
	int64_t wall;
	const struct rf_class *class;
	struct refusal refusal;
	unsigned retry_after;             /* seconds, with a refusal for a rate */
	bool instead;                     /* a rule answers, which is no refusal: refusal says with what */
	struct rf_str location;           /* of a redirection */
	int64_t body_bytes;               /* of the body that rules see */
	int compress;                     /* 0, 1, -1: as the app says */
	uint32_t sample;                  /* one of so many is recorded; 0, 1: each */
	struct rf_skipped skipped;        /* by rules, for the phases to come */
	unsigned nlate;                   /* to be counted when the answer is there */
	struct rf_late_count *late;
	bool counted;                     /* in device->use.requests */
	bool class_counted;               /* among those of class_slot */
	uint16_t class_slot;
	bool forwarding, answered;        /* up and down are in use; the head of an answer was written */
	bool upgraded, local, expect_sent;
	bool broken;                      /* it ended without (all of) its answer */
	bool origin_deaf;                 /* the origin takes no more of the request, but may answer */
	bool stale_retry;                 /* the kept-alive connection had died: try a new one */
	bool interim;                     /* a 1xx is being written */
	bool peeking;                     /* rules want to see the body */
	bool sampled;                     /* a sample of it is kept */
	struct rf_buf sample_text;        /* that sample, without its record */
	unsigned interims;
	enum rf_coding decode;            /* of the request body */
	enum rf_http_reject reject;
	/* What rules decided, kept for the record. */
	const struct rf_rule *rule;
	struct rf_str logged, host, path, query; /* host in lower case; path and query as the origin sees them */
	const char *cert_status, *cert_reason;
	const char *would;                /* report mode: why it would have been refused */
	/* To the origin. */
	struct rf_origin_group *group;
	const struct rf_origin *origin;
	struct rf_upstream *up;
	struct rf_pool_wait queue;
	bool queued;
	struct lane *lane;                /* that it shares with others (lane.h) */
	uint64_t seat, ahead;             /* there; how many were before it */
	bool alone;                       /* it goes its own way from now on */
	uint64_t tried;
	unsigned attempts;
	struct rf_str out_line, out_rest; /* head for the origin: line and Host; all else */
	struct rf_inbuf oin;
	struct rf_flow fup, fdown;
	uint16_t origin_status;
	uint64_t origin_ns;
	struct rf_str origin_url;
	/* Our own answer. */
	struct rf_str out;                /* what is left to write of it */
	uint16_t status;
	struct rf_local_request *q;
	struct rf_buf local_body;
	const struct rf_claims *claims;   /* of tokens, once a rule has asked */
	size_t claims_n;
	struct rf_buf seen;               /* the front of the body, for rules; one byte more than they see */
	struct rf_buf plain;              /* the same without the content coding that the origin will see */
	bool decoded;                     /* plain is made */
	struct rf_str agent;              /* kept where the head is not */
	uint64_t out_at;                  /* of the stream when it began */
};

enum { RF_SAMPLE_CLASSES = 64 };

struct rf_http_edge {
	struct rf_front *front;
	struct rf_loop *loop;             /* the front's, as is the next */
	struct rf_bufpool *bufs;
	struct rf_pool *pool;
	struct rf_limits *limits;         /* of all workers */
	struct rf_http_conf conf;
	struct rf_limiter *address_rate;  /* of requests by address, made at first use (limits.c) */
	void (*sample)(void *arg, struct rf_str line);
	uint32_t samples[RF_SAMPLE_CLASSES + 1], sample_minute; /* taken in this minute by class; the last: of no device */
	void (*local)(void *arg, struct rf_local_request *q);
	struct rf_feed *feed;             /* NULL: floods are not looked for */
	void *arg;
	struct rf_node free_requests;
	unsigned free_count;
	struct rf_buf scratch;            /* for headers */
	unsigned locals;                  /* requests that the local service has */
	uint32_t requests;                /* under way */
	struct rf_map lane_sets;          /* lane.c */
	struct rf_node free_lanes;
	unsigned lanes;            /* that are in use */
	unsigned free_lane_count;
};

/* conn.c */
void conn_run(struct rf_http_conn *c);

/* step_*: what to do next. */
enum step step_head(struct rf_http_conn *c);      /* head.c */
enum step step_identify(struct rf_http_conn *c);  /* request.c */
enum step step_judge(struct rf_http_conn *c);     /* request.c */
enum step step_forward(struct rf_http_conn *c);   /* forward.c */
enum step step_relay(struct rf_http_conn *c);     /* relay.c */
enum step step_local(struct rf_http_conn *c);     /* local.c */
enum step step_answer(struct rf_http_conn *c);    /* answer.c */
enum step step_record(struct rf_http_conn *c);    /* report.c */
enum step step_linger(struct rf_http_conn *c);    /* answer.c */

/* head.c */
struct request *request_new(struct rf_http_conn *c);
void request_free(struct request *q);

/* wait.c */
void wait_for(struct rf_http_conn *c, int direction, enum wait what, uint64_t ns);
/* The same, but only begun anew when `progress` has changed since. */
void wait_while(struct rf_http_conn *c, int direction, enum wait what, uint64_t ns, uint64_t progress);
void wait_fire(struct rf_timer *t);

/* relay.c: wait for more of the request's body, as long as the app allows */
void wait_body(struct rf_http_conn *c);
/* The whole request was sent: next comes its answer. */
void relay_begins(struct rf_http_conn *c);

/* answer.c: refuse the request. Always returns STEP_ANSWER, or STEP_RECORD where an answer has begun already. */
enum step refuse(struct rf_http_conn *c, int status, enum rf_reason reason, const char *words);
/* A rule answers with this status, and a location or a response. As refuse, but nobody was refused. */
enum step answer_instead(struct rf_http_conn *c, int status, struct rf_str location, const struct rf_response *response);

/* forward.c */
void upstream_event(struct rf_upstream *u);
void upstream_drop(struct request *q, bool keep);
/* Nobody wants what the origin still says. */
void upstream_leave(struct request *q);
/* The origin has failed us: another attempt where that is safe, else 502 or 504. `stale`: a kept-alive
 * connection that was closed before a byte of a response, which says nothing about the origin. */
enum step origin_failed(struct rf_http_conn *c, int status, enum rf_reason reason, const char *words, bool stale);

/* headers.c: build q->out_rest (once) and q->out_line (for each origin). RF_E_NOMEM, RF_E_TOO_LARGE. */
int headers_rest(struct request *q, const struct rf_verdict *v);
int headers_line(struct request *q, const struct rf_origin *o);
/* The head for the client, from that of the origin, with the edits of a verdict (NULL: none). `interim`: a 1xx. p NULL
 * without memory. */
struct rf_str headers_answer(struct request *q, const struct rf_http_head *h, bool interim, bool chunk,
			     enum rf_coding coding, const struct rf_verdict *v);

/* facts.c */
extern const struct rf_facts_ops facts_ops;

/* body.c: what rules see of a body */
bool body_wanted(const struct request *q); /* does a rule of its zone ask for it? */
bool sample_wanted(struct rf_http_conn *c);      /* sample.c: is there room for one more of its class? */
void sample_take(struct rf_http_conn *c);        /* JUDGE: the body is as much seen as it will be */
void sample_give(struct rf_http_conn *c, const struct rf_record *r); /* it is over */
enum step body_peek(struct rf_http_conn *c); /* JUDGE: it is as much seen as rules may */
bool body_fact(struct rf_http_conn *c, struct rf_arena *a, enum rf_field f, struct rf_val *ret);

/* request.c: the client's body broke off, or breaks its framing or bounds */
enum step body_error(struct rf_http_conn *c, int r);

/* judge.c: what rules decide over a request and the answer to it */
enum step judge_settings(struct rf_http_conn *c); /* STEP_WAIT: go on */
enum step judge_request(struct rf_http_conn *c);  /* STEP_FORWARD: it may pass */
/* The head of the origin's answer is there. STEP_WAIT: it may pass, with what *ret_v says (NULL: as it is), until the next
 * request is judged. */
enum step judge_answer(struct rf_http_conn *c, const struct rf_verdict **ret_v);
void judge_counts(struct rf_http_conn *c); /* the answer is there, or will not be */

/* limits.c: RF_OK, or RF_E_RATE and the seconds to wait */
int limits_rate(struct rf_http_conn *c, const struct rf_class *class, unsigned *ret_wait_s);
int limits_throttle(struct rf_http_conn *c, unsigned *ret_wait_s);
int limits_address(struct rf_http_conn *c, unsigned *ret_wait_s);
bool limits_requests_enter(struct request *q, uint16_t slot, uint32_t max);
void limits_requests_leave(struct request *q);
void limits_fini(struct rf_http_edge *e);

/* local.c */
bool local_path(const struct request *q);
void local_gone(struct rf_http_conn *c);

/* flood.c: what the detection of floods is told: before the request is judged, and when it is over */
void flood_see(struct rf_http_conn *c);
void flood_end(struct rf_http_conn *c, const struct rf_record *r);

static inline uint64_t conn_now(const struct rf_http_conn *c) { return rf_loop_now(c->edge->loop); }
