/* svc/front: the beginning of every TCP connection, before a service has it; and its end.
 *
 *   accept -> arrive -> PROXY header -> barred? tallies -> TLS handshake -> who is it? -> rules of `connection` -> welcome
 *
 * One struct rf_front a worker, shared by its services; all calls belong to the worker's thread. A service
 *  - puts a struct rf_client first in its own connection, and says by a struct rf_service how large that is and what it wants
 *    to be told; the front makes it (all zero), and frees it;
 *  - names that table in the struct rf_front_listener of its sockets, and gives what they accept to rf_front_accept;
 *  - in `welcome` sets client->stream.on_event and, where it has times, client->timer.fire. From then on stream, timer (not
 *    set then) and client->in (empty) are its own, and all that it reads and writes goes through the stream, TLS or not;
 *  - does its work between running = true and rf_client_ran, so that an end that is asked for meanwhile waits for it;
 *  - ends a connection by rf_client_end, for a reason in words, or rf_client_refuse. `report` may add to the record, then
 *    `release` gives back what the service holds; stream, timer, buffer and device are the front's to give back.
 * What a service must not do is to free a client, or to touch it after one of the functions that say so.
 *
 * Who the client is (device, who) stands from `welcome` on, and can change with each rf_client_refresh. Revocation, bars and a
 * drain reach every client through the front.
 *
 * Not here: listening sockets (net/listener), what the connection is for (svc/x).
 */
#pragma once
#include "net/inbuf.h"
#include "net/rate.h"
#include "net/tally.h"
#include "policy/verdict.h"
#include "records/record.h"
#include "svc/identity.h"

struct rf_feed;
struct rf_homes;
struct rf_front;
struct rf_client;

/* What a service is told, and asked. A table that outlives its connections. */
struct rf_service {
	size_t size;               /* of its connection, whose first member is the struct rf_client */
	/* It is accepted, addresses are the socket's, nothing was read: which port or host is it? May change tls, min_version,
	 * proxy and unbarred. false: nothing is offered there, and it ends (rf_client_end and rf_client_refuse are not for here:
	 * set end, and refused with end_reason). NULL: as the listener says. */
	bool (*arrive)(struct rf_client *c);
	/* A ClientHello is there, with this SNI ("" when absent): as rf_tls_conf.host. NULL where no listener of it has TLS. */
	bool (*host)(struct rf_client *c, struct rf_str sni, struct rf_tls_host *ret);
	/* Whose rules of the phase `connection` does it meet? NULL: those of the account. */
	const struct rf_policy *(*policy)(struct rf_client *c, const struct rf_snap *snap);
	/* Handshake and rules are behind it. May end it. */
	void (*welcome)(struct rf_client *c);
	/* The worker ends: end it when what is under way is done, or now where nothing is. Asked twice: who has connected and is
	 * still to begin may do so until `late`. */
	void (*drain)(struct rf_client *c, bool late);
	/* It is over: finish what is under way, add to its record. Texts must live until `release`. NULL: nothing to add.
	 * Called for those that were never welcome, too. */
	void (*report)(struct rf_client *c, struct rf_record *r);
	/* Give back what the service holds of it. NULL: nothing. Called for those that were never welcome, too. */
	void (*release)(struct rf_client *c);
	/* The service asks for the rules of `connection` itself, once in or after `welcome`, by rf_client_judge: because they may
	 * want to see the first bytes. */
	bool judges;
};

/* What a listener says about the connections that it accepts. Outlives them. */
struct rf_front_listener {
	const struct rf_service *service;
	void *service_arg;                /* for the service */
	bool tls;
	int min_version;                  /* of TLS, as libssl writes it; 0: TLS 1.2 */
	bool proxy;                       /* a PROXY header comes first [PROXY protocol, HAProxy 2.x] */
	bool any;                         /* it stands for many addresses and ports: ask the socket where it was accepted */
	const struct rf_prefix *trusted;  /* peers whose PROXY header and forwarding headers are believed */
	size_t trusted_count;
	struct rf_ip ip;                  /* the edge's address, where nothing says another */
	uint16_t port;
};

/* A client's connection: what every service has of it. */
struct rf_client {
	struct rf_stream stream;
	struct rf_front *front;
	const struct rf_front_listener *listener;
	struct rf_inbuf in;         /* of the service, after the PROXY header; dropped at the end */
	struct rf_timer timer;      /* of the service from `welcome` on; stopped at the end */
	struct rf_node all;         /* of front->clients */
	struct rf_node turn;        /* of front->hellos (a step of its handshake is due) or ->turns */
	struct rf_node place;       /* of front->handshaking, by age, while `greeting`; of front->live while it has a device */
	struct rf_device *device;   /* referenced; NULL: none known */
	const char *who;            /* words against it; NULL: a known and welcome device */
	uint64_t who_generation;    /* of the snapshot under which `who` was found */
	struct rf_tally_entry *tally_conn, *tally_hs;
	uint64_t id, began;
	const char *end;            /* why it ended, for its record; static text */
	const struct rf_rule *rule; /* of `connection`, which refused it; NULL: none did. As long as what is running now */
	char *logged;               /* ids of rules of `connection` that only log, comma separated; NULL: none matched */
	struct rf_ip src, dst;      /* as a trusted PROXY header says, else the socket's */
	enum rf_reason who_reason, end_reason;
	uint16_t src_port, dst_port;
	uint16_t class_slot;        /* counted among the connections of this class; UINT16_MAX: none */
	uint16_t min_version;       /* of TLS */
	bool over : 1;              /* its device or class has too many connections: for the service to refuse */
	bool counted : 1;           /* in device->use.connections */
	bool tls : 1, proxy : 1;    /* what comes first */
	bool unbarred : 1;          /* also from barred sources */
	bool greeting : 1, handshaken : 1, welcomed : 1; /* in its TLS handshake; past it; the service's */
	bool running : 1, dead : 1; /* inside the service's work; to end when that is done */
	bool last : 1;              /* the service ends it after what is under way (a quarantine asks for it) */
	bool refused : 1;           /* end_reason says why */
	bool homed : 1;             /* front->homes knows that its device is at src */
};

/* Bounds and times of one worker; 0 means no bound where the comment says so. Times in nanoseconds. */
struct rf_front_conf {
	uint32_t connections;              /* at once, of all services */
	uint32_t connections_per_address;  /* 0: no bound */
	uint32_t handshakes;               /* under way at once; the oldest makes room */
	uint32_t handshakes_per_address;   /* 0: no bound */
	uint32_t handshakes_per_turn;      /* most steps of handshakes between two looks at the other connections; 0: 1 */
	uint64_t handshake_turn_ns;        /* once they have taken so long, no further one is begun before the next look */
	uint64_t handshake_ns;             /* for a PROXY header, and for a handshake */
	size_t rule_memory;                /* arena of the rules of one connection */
};

extern const struct rf_front_conf rf_front_conf_default;

struct rf_front_stats { /* now, and since the start */
	uint32_t connections, handshakes;
	uint64_t accepted, severed, evicted, bytes_in, bytes_out;
};

/* What the services of a worker share. They read the first part; the rest is private to svc/front*. */
struct rf_front {
	struct rf_loop *loop;
	struct rf_tls *tls;                /* NULL: no listener has TLS */
	struct rf_bufpool *bufs;
	struct rf_front_conf conf;
	struct rf_identity_env identity;
	const struct rf_snap *(*snap)(void);                  /* rf_snap_now */
	void (*emit)(void *arg, const struct rf_record *rec); /* to the worker's ring; NULL: no records */
	bool (*barred)(void *arg, const struct rf_ip *src);   /* may nobody connect from there? NULL: anybody may */
	void *arg;
	struct rf_feed *feed;              /* to the detection of floods; NULL: none */
	struct rf_homes *homes;            /* where devices are; NULL: nobody asks */
	struct rf_facts facts;             /* of what is being judged */
	struct rf_verdict verdict;
	struct rf_front_stats stats;
	bool draining;
	/* private */
	struct rf_node clients, handshaking, hellos, turns;
	struct rf_task turn_task;
	struct rf_node *live;              /* buckets of connections by device */
	size_t live_mask, live_count;
	struct rf_node live_one;           /* the only bucket at first */
	struct rf_tally by_address, hs_by_address;
	struct rf_rate_table throttled;    /* devices whose use says so; made at first use, for this rate */
	uint32_t throttled_most;
	uint64_t next_id;
	uint32_t holds;                    /* of what outlives its connection */
	struct rf_timer drain_timer, grace_timer;
	struct rf_task drain_task;
	void (*drained)(void *arg);
	void *drained_arg;
};

struct rf_front_spec {
	struct rf_loop *loop;
	struct rf_tls *tls;
	struct rf_bufpool *bufs;
	const struct rf_front_conf *conf;  /* copied; NULL: the default */
	struct rf_identity_env identity;
	const struct rf_snap *(*snap)(void);
	void (*emit)(void *arg, const struct rf_record *rec);
	bool (*barred)(void *arg, const struct rf_ip *src);
	void *arg;
	struct rf_feed *feed;              /* what is told of handshakes to the detection of floods; NULL: nothing */
	struct rf_homes *homes;            /* is told where devices are; NULL: nobody is */
	uint64_t seed;                     /* of ids: different for every worker and start */
};

/* NULL without memory. */
struct rf_front *rf_front_new(const struct rf_front_spec *spec);
/* Ends what is left at once. NULL is harmless. The services must still be there. */
void rf_front_free(struct rf_front *f);
void rf_front_conf(struct rf_front *f, const struct rf_front_conf *conf); /* in force from now on */

/* Take over an accepted descriptor. RF_E_FULL past a bound, RF_E_NOMEM: it is closed and counted. */
int rf_front_accept(struct rf_front *f, const struct rf_front_listener *l, int fd, const struct rf_addr *peer);

/* End every connection of a device now, whatever is under way. The number ended. */
size_t rf_front_sever(struct rf_front *f, struct rf_str device_id);
/* Look again at every connection after trust, lists, bars or denied certificates have changed: those whose certificate was good
 * and is now revoked or of no trusted root end, and those whose source is barred. The number ended. */
size_t rf_front_recheck(struct rf_front *f);
/* Refuse new connections, let each service drain its own; `done` is called when nothing is left and nothing held, or
 * `bound_ns` has passed (the rest is ended then). Who is not welcome yet has two seconds of that to be. */
void rf_front_drain(struct rf_front *f, uint64_t bound_ns, void (*done)(void *arg), void *arg);
/* Something that outlives its connection keeps a drain from being over. */
void rf_front_hold(struct rf_front *f);
void rf_front_let_go(struct rf_front *f);

uint64_t rf_front_id(struct rf_front *f); /* never the same twice on one worker */
/* Sixteen hexadecimal digits, in `to`. */
struct rf_str rf_front_id_text(uint64_t id, char to[17]);

/* For rf_tls_conf.host, where all server handshakes are those of clients. */
bool rf_front_tls_host(void *arg, struct rf_stream *s, struct rf_str sni, struct rf_tls_host *ret);
/* Does a rule ask for a fingerprint of the ClientHello? For rf_tls_host.keep_hello. */
bool rf_front_wants_hello(const struct rf_policy *p);

/* End it for this reason (static text; kept where one is known already): at once, and then *c is gone; inside the service's work
 * when rf_client_ran comes to it. */
void rf_client_end(struct rf_client *c, const char *why);
/* The same, refused: for the record, and counted by reason. words NULL: those of the reason. */
void rf_client_refuse(struct rf_client *c, enum rf_reason reason, const char *words);
/* The service's work is done: true where the connection goes on; else it was freed. */
bool rf_client_ran(struct rf_client *c);
/* Call stream.on_event at the end of this turn, after the other connections. */
void rf_client_later(struct rf_client *c);

/* Evaluate the rules of the phase `connection`, once. RF_OK: it may pass. RF_E_DENIED: end_reason says why, and the service ends it.
 * What `tcp.payload.first` is then, `first` says (empty: nothing). */
int rf_client_judge(struct rf_client *c, struct rf_str first);
/* Count the rules that a verdict has hit, by action and each for itself. */
void rf_front_count_hits(const struct rf_verdict *v);
/* Do those rules look at the first bytes? */
bool rf_client_wants_first(struct rf_client *c);

/* Before something is decided by who it is: look at its certificate again, and find its device again where that may lead elsewhere
 * now. device and who may change. Cheap; once a request. */
void rf_client_refresh(struct rf_client *c, const struct rf_snap *snap);
/* Why this client may not use what only devices with a certificate of these roots may use; NULL: it may. */
const char *rf_client_against(const struct rf_client *c, uint64_t roots, enum rf_reason *ret);
/* Connections of all devices of a class now, by its slot; of any thread. */
uint32_t rf_class_connections(uint16_t slot);
/* NULL where no device or no class is known. */
const struct rf_class *rf_client_class(const struct rf_client *c, const struct rf_snap *snap);
/* A rule moves its device to quarantine, in force before this returns; sets last. */
void rf_client_quarantine(struct rf_client *c, const struct rf_rule *rule);
/* May it do something once more, where its device is throttled? RF_E_RATE: not before *ret_wait_ns. */
int rf_client_throttle(struct rf_client *c, uint64_t *ret_wait_ns);
/* It has come to a port, where one connection is what a request is elsewhere: counted, and not RF_OK for a reason, where its device, or
 * that of its address, attacks. */
int rf_client_visit(struct rf_client *c, enum rf_reason *ret);
/* May its source not connect (any more)? */
bool rf_client_barred(const struct rf_client *c);

/* What is known of the connection for rules, for a service's own rf_facts_ops; false: absent, or no field of a connection.
 * `snap` is the one that is evaluated. */
bool rf_client_fact(struct rf_client *c, const struct rf_snap *snap, struct rf_arena *a, enum rf_field f, struct rf_val *ret);

/* Fill in what all records of a client say: addresses, device, TLS, certificate. Texts are the client's and the snapshot's.
 * `roots` are those accepted where it was (UINT64_MAX: any). */
void rf_client_record(const struct rf_client *c, const struct rf_snap *snap, uint64_t roots, struct rf_record *r);

/* What the handshake proved; NULL before it is done, and without TLS. */
static inline const struct rf_tls_info *rf_client_tls(const struct rf_client *c)
{
	return c->handshaken ? rf_tls_info(&c->stream) : NULL;
}

static inline uint64_t rf_client_now(const struct rf_client *c) { return rf_loop_now(c->front->loop); }
