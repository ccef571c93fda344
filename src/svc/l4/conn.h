/* svc/l4/conn: what the files of the TCP service share: a connection and its worker's part. Private to svc/l4.
 *
 * The life of a connection is a table of steps (conn.c); times that pass are in times.c, records in report.c.
 */
#pragma once
#include "base/buf.h"
#include "net/rate.h"
#include "svc/l4/crowd.h"
#include "svc/l4/l4.h"
#include "svc/l4/relay.h"
#include "svc/l4/status.h"

enum step {
	STEP_FIRST,  /* rules want to see the first bytes before there is an origin */
	STEP_ORIGIN, /* one is chosen, connected and told who the client is */
	STEP_RELAY,
	STEP_COUNT,
	STEP_WAIT,   /* stay, until the next event */
	STEP_CLOSE,  /* end the connection now */
};

struct rf_l4 {
	struct rf_front *front;
	struct rf_pool *pool;
	struct rf_l4_conf conf;
	struct tubes tubes;
	struct rf_rate_table connects;   /* of MQTT, by address, while there is a flood of them; entries NULL: there was none */
	struct crowd *crowd;             /* NULL: nobody looks for floods */
	struct rf_node conns;
};

struct conn {
	struct rf_client client;         /* first: the front makes and frees it */
	struct rf_l4 *l4;
	struct rf_node all;              /* of l4->conns */
	struct rf_site *site;            /* referenced: port is in it */
	const struct rf_port *port;      /* NULL: it came to a place where nothing stands */
	struct rf_port_use *use;         /* referenced and entered */
	struct relay up, down;           /* from the client, to the client */
	struct rf_guard guard;
	uint8_t step;
	bool judged;                     /* the rules of `connection` were asked */
	bool queued;                     /* waits for a place at the origin */
	bool paused;                     /* the client sends no more first bytes for now */
	bool opened;                     /* to an origin, and recorded so */
	bool named;                      /* `text` says to which */
	bool connected;                  /* its MQTT CONNECT is counted */
	bool up_last;                    /* the last bytes went to the origin */
	bool ended;                      /* `status` says how */
	enum l4_status status;
	const char *would;               /* why it would be refused, in report mode */
	struct rf_origin_group *group;   /* referenced */
	const struct rf_origin *origin;
	struct rf_upstream *upstream;
	struct rf_pool_wait queue;
	uint64_t tried;                  /* endpoints of the group, a bit each */
	struct rf_buf text;              /* the PROXY header until the origin is open; then, of a range, where the origin is */
	/* Times; 0: none. */
	uint64_t first_until, pause_until, queue_until, progress_at, armed, moved_at;
	uint64_t seen, seen_down;        /* bytes moved, in all and to the client, when that was last looked at */
};

static inline struct conn *l4_conn(struct rf_client *c) { return RF_CONTAINER(c, struct conn, client); }
static inline uint64_t l4_now(const struct conn *n) { return rf_client_now(&n->client); }

/* conn.c */
void l4_run(struct conn *n);
/* What is left to do for a connection that ends so: the status (the first one counts) and the words for its record. */
enum step l4_over(struct conn *n, enum l4_status status, const char *why);
enum step l4_refused(struct conn *n, enum rf_reason reason, const char *words);
/* The end of one side by an error is a reset for the other. */
enum step l4_broken(struct conn *n, const struct relay *d, int error);

/* mqtt.c */
/* Does an address that is no known device's connect too often, while there is a flood of CONNECTs to the port? */
bool l4_mqtt_crowded(struct conn *n);
/* Count its CONNECT, once it was seen. */
void l4_mqtt_see(struct conn *n);

/* origin.c */
enum step l4_step_origin(struct conn *n);
void l4_origin_drop(struct conn *n);

/* header.c: what the origin is told before all else, in n->text. RF_E_NOMEM, RF_E_INVALID. */
int l4_header(struct conn *n);

/* times.c */
void l4_times_begin(struct conn *n); /* welcome */
void l4_times_arm(struct conn *n);
void l4_times_fire(struct rf_timer *t);
void l4_times_moved(struct conn *n); /* bytes may have moved */

/* report.c */
void l4_tell_open(struct conn *n);
void l4_tell_progress(struct conn *n);
void l4_tell_end(struct rf_client *c, struct rf_record *r);
