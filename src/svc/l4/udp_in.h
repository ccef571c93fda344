/* svc/l4/udp_in: what the files of UDP sessions share. Private to svc/l4/udp*. */
#pragma once
#include "base/map.h"
#include "net/addr.h"
#include "net/datagram.h"
#include "net/rate.h"
#include "net/tally.h"
#include "policy/verdict.h"
#include "records/counters.h"
#include "svc/l4/udp.h"
#include "wire/sanity.h"
#include "wire/spp.h"

enum { CHUNK = 256 /* sessions that are made at a time */, WALK = 512 /* sessions looked at between two turns */ };

/* A socket that clients' datagrams come by, or that answers leave from, or both. */
struct rf_l4_udp_socket {
	struct rf_datagram d;
	struct rf_l4_udp *udp;
	struct rf_node node;       /* of udp->sockets or udp->replies (least recently used first) */
	struct rf_map_node by_at;  /* of a reply socket */
	char at[19];               /* its address and port, with the family */
	struct rf_node waiting;    /* sessions, until it is open */
	uint16_t port;             /* from which it can answer; 0: none */
	bool reply, asked, orphan; /* opened to answer; is being opened; nobody's but its sessions' */
	uint64_t failed_at;        /* could not be opened; 0: never */
	uint32_t sessions;
};

struct app;

/* An endpoint of an app, as this worker sees it. */
struct target {
	struct rf_watch watch;
	struct app *app;
	const struct rf_origin *origin;
	bool watching;
	struct rf_node waiting;    /* sessions, until its name is answered */
};

/* An app, as the snapshot `generation` has it. */
struct app {
	struct rf_map_node by_id;
	struct rf_l4_udp *udp;
	char id[33];
	char *name;
	uint64_t generation;
	struct rf_port_use *use;       /* a reference */
	struct rf_origin_group *group; /* a reference */
	struct target *targets;        /* one an endpoint of the group */
	size_t target_count;
	uint64_t idle_ns;
	uint16_t low, high, origin_low;
	uint32_t amplification;
	enum rf_port_guard guard;
	bool header, ip_firewall;
	uint32_t sessions;
};

struct key { /* without holes: it is hashed and compared as bytes */
	uint8_t client[16], edge[16];
	uint16_t client_port, edge_port;
	uint8_t client_family, edge_family, zero[2];
};

struct session {
	struct rf_datagram origin; /* connected; closed while waiting, and after a failure until the next datagram */
	struct rf_l4_udp *udp;
	struct session *next;      /* of the same place in the table, or free */
	struct rf_node age;        /* of udp->fresh or ->settled: least recently used first */
	struct rf_timer timer;     /* idle; set anew when it fires early */
	struct key key;
	struct app *app;
	struct rf_l4_udp_socket *via;  /* by which answers leave; NULL: none now */
	struct rf_origin_group *group; /* a reference, while `to` is not NULL */
	const struct rf_origin *to;
	struct rf_node waiting;
	struct rf_dgram *held;     /* first message, with its bytes behind it */
	struct rf_tally_entry *tally;
	uint64_t tried;            /* endpoints of tried_of that have failed this session */
	const struct rf_origin_group *tried_of; /* to compare only */
	uint32_t failures;
	uint8_t failed_by;         /* the last of them: enum end, if it is the session's */
	uint64_t id, began, last, generation;
	uint64_t bytes_in, bytes_out, count_in, count_out;
	uint32_t scope;            /* of a link-local client */
	bool used, mapped, settled, answered, begun, recorded;
};

struct rf_l4_udp {
	struct rf_loop *loop;
	struct rf_resolver *resolver;
	struct rf_l4_udp_conf conf;
	const struct rf_snap *(*snap)(void);
	void (*emit)(void *arg, const struct rf_record *rec);
	bool (*barred)(void *arg, const struct rf_ip *src);
	struct rf_homes *homes;
	struct crowd *crowd;           /* NULL: nobody looks for floods */
	void (*reply_socket)(void *arg, const struct rf_ip *at, uint16_t port);
	void *arg;
	bool (*leads_back)(void *arg, const char *id, const struct rf_addr *to);
	void *leads_back_arg;
	uint64_t next_id;
	struct rf_datagram_use clients, origins;
	struct session **table;        /* by key; mask + 1 places */
	size_t mask;
	struct session **chunks, *free;
	size_t chunk_count;
	uint32_t sessions, established, waiting, most; /* most: what the tables were made for */
	struct rf_node fresh, settled;
	struct rf_tally by_address;
	struct rf_rate rate, record_rate;
	struct rf_bucket bucket, record_bucket;
	size_t held;                   /* bytes */
	struct rf_map apps;
	struct rf_node sockets, replies;
	struct rf_map by_at;
	uint32_t reply_count;
	struct rf_task walk;
	size_t walked;                 /* sessions looked at in this walk */
	struct rf_timer drain_timer;
	uint64_t drain_until;
	void (*drained)(void *arg);
	void *drained_arg;
	uint64_t begun, made_room;
	struct rf_facts facts;
	struct rf_verdict verdict;
};

/* Why a session ended, or was refused (udp_report.c has status and words). */
enum end {
	END_IDLE, END_ROOM, END_APP_GONE, END_BARRED, END_RULE, END_ORIGIN_REFUSED, END_ORIGIN_NONE, END_NO_REPLY,
	END_MEMORY, END_DRAIN, END_CLOSED, END_NAME_NONE, END_NAME_FAILED, END_ORIGIN_BARRED,
};

static inline uint64_t now_of(const struct rf_l4_udp *u) { return rf_loop_now(u->loop); }
struct rf_ip ip_of(uint8_t family, const uint8_t b[16]);
static inline struct rf_ip client_of(const struct session *s) { return ip_of(s->key.client_family, s->key.client); }
static inline struct rf_ip edge_of(const struct session *s) { return ip_of(s->key.edge_family, s->key.edge); }

/* udp_session.c: the table of sessions */
int table_init(struct rf_l4_udp *u);
void table_fini(struct rf_l4_udp *u);
struct session *session_find(const struct rf_l4_udp *u, const struct key *k);
/* One more of an app, whose port is p, which may cost another its place. NULL: there is no room (counted). */
struct session *session_new(struct rf_l4_udp *u, const struct key *k, const struct rf_port *p, struct app *a);
/* It is over: recorded, and everything given back. */
void session_end(struct session *s, enum end why);
/* It waits in this list, and in no other; NULL: it does not wait. */
void session_waits(struct session *s, struct rf_node *list);
void session_touch(struct session *s, bool by_client); /* a datagram has passed */
void session_time(struct session *s); /* how long it may be idle has changed */

/* udp_client.c: from clients */
void client_message(struct rf_datagram *d, const struct rf_dgram *m);
void client_error(struct rf_datagram *d, int error);
/* Look again at its app, its source and the rules. false: it has ended. */
bool session_holds(struct session *s);

/* udp_origin.c: to origins and back. Sending may end the session. */
void origin_send(struct session *s, const struct rf_dgram *m);
void origin_proceed(struct session *s); /* what it waited for is there, or will not be */
void origin_close(struct session *s);
void origin_message(struct rf_datagram *d, const struct rf_dgram *m);
void origin_error(struct rf_datagram *d, int error);
void held_drop(struct session *s);

/* udp_app.c */
/* The app of a port, as the snapshot says. NULL without memory. */
struct app *app_of(struct rf_l4_udp *u, const struct rf_snap *snap, const struct rf_port *p);
void apps_sweep(struct rf_l4_udp *u); /* forget those without a session */
uint16_t origin_port(const struct session *s, const struct rf_origin *o);
/* The address of an endpoint for a session. RF_OK; RF_E_AGAIN: the session waits for it; RF_E_NOT_FOUND: its name has none; RF_E_DENIED:
 * it is no host's, or the app's own; else the name was not looked up. */
int target_addr(struct session *s, const struct rf_origin *o, struct rf_addr *ret);

/* udp_judge.c */
bool sane(enum rf_port_guard guard, struct rf_str datagram, enum rf_sanity_side from, bool first);
/* Do the rules of `connection` let this client send? *ret_rule is the one that does not (NULL: there was an error in one). */
bool rules_pass(struct rf_l4_udp *u, const struct rf_snap *snap, const struct rf_port *p, const struct key *k,
		const struct rf_rule **ret_rule);
bool key_barred(const struct rf_l4_udp *u, bool ip_firewall, const struct key *k);

/* udp_via.c: sockets */
/* By which a datagram to this place is answered; the one it came by where that can. NULL: there is none. */
struct rf_l4_udp_socket *via_of(struct rf_l4_udp *u, struct rf_l4_udp_socket *by, const struct key *k);
void via_set(struct session *s, struct rf_l4_udp_socket *v); /* v may be NULL */
static inline bool via_open(const struct rf_l4_udp_socket *v) { return v && v->d.io.fd >= 0; }
void vias_fini(struct rf_l4_udp *u);

/* udp_report.c */
void report_begin(struct session *s);
void report_end(struct session *s, enum end why);
/* A client that was not let in. rule NULL: no rule did it. */
void report_refused(struct rf_l4_udp *u, const struct rf_port *p, const struct key *k, enum end why, const struct rf_rule *rule);
