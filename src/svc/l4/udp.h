/* svc/l4/udp: UDP ports of the edge, on one worker: sessions between a client's address and port and an origin.
 *
 * A datagram to an address and port of the edge belongs to the session of (client, edge), or begins one: barred source, rules
 * of `connection`, guard, bounds, then an origin, to which the session has a connected socket of its own. Answers leave from
 * exactly the address and port that the client sent to. A session ends when it has been idle for as long as its app says.
 *
 * Who has been answered and has sent again is established. One that is not yet makes room for every newcomer, the oldest first, and an
 * established one only after RF_L4_UDP_SETTLED_NS without a datagram: a flood of sources that are not real never pushes out those that are.
 *
 * All calls belong to the worker's thread.
 *
 * Not here: opening sockets (ctl), which ports there are (svc/port).
 */
#pragma once
#include "net/resolver.h"
#include "records/record.h"
#include "svc/snapshot.h"

struct rf_feed;
struct rf_homes;
struct rf_l4_udp;
struct rf_l4_udp_socket;

#define RF_L4_UDP_SETTLED_NS (10 * RF_NS_S)

/* Bounds of one worker. */
struct rf_l4_udp_conf {
	uint32_t sessions;             /* at once; no more than at the start */
	uint32_t sessions_per_address; /* of one IPv4 address, or one /64 of IPv6; 0: no bound */
	uint32_t session_rate;         /* new ones a second; 0: any */
	uint32_t reply_sockets;        /* sockets to answer from, kept open */
	uint32_t records_rate;         /* sessions a second that are recorded; all are counted */
	size_t held_bytes;             /* of first datagrams, while an origin's name is looked up or a socket is opened */
	size_t rule_memory;            /* arena of the rules of one session */
};

extern const struct rf_l4_udp_conf rf_l4_udp_conf_default;

struct rf_l4_udp_spec {
	struct rf_loop *loop;
	struct rf_resolver *resolver;  /* NULL: origins are literal addresses */
	const struct rf_l4_udp_conf *conf; /* copied; NULL: the default */
	const struct rf_snap *(*snap)(void);                  /* rf_snap_now */
	void (*emit)(void *arg, const struct rf_record *rec); /* to the worker's ring; NULL: no records */
	bool (*barred)(void *arg, const struct rf_ip *src);   /* may nobody send from there? NULL: anybody may */
	struct rf_homes *homes;        /* where devices are: those in quarantine are not heard, those that attack hardly; NULL: all are */
	/* Open a socket that is bound to this address and port, and give it to rf_l4_udp_reply, at once or later. NULL: there is
	 * none, and only sockets that are bound to a port can answer from it. */
	void (*reply_socket)(void *arg, const struct rf_ip *at, uint16_t port);
	void *arg;
	/* Is this address of an endpoint of the group `id` the app's own port? Nothing is sent there. NULL: none is. */
	bool (*leads_back)(void *arg, const char *id, const struct rf_addr *to);
	void *leads_back_arg;
	struct rf_feed *feed;          /* to the detection of floods; NULL: none */
	uint64_t seed;                 /* of ids: different for every worker and start */
};

/* NULL without memory. */
struct rf_l4_udp *rf_l4_udp_new(const struct rf_l4_udp_spec *spec);
void rf_l4_udp_free(struct rf_l4_udp *u); /* ends what is left. NULL is harmless */
void rf_l4_udp_conf(struct rf_l4_udp *u, const struct rf_l4_udp_conf *conf); /* in force from now on */

/* Receive on this descriptor, which is closed on failure: RF_E_FULL, RF_E_NOMEM. `port`: the one that it is bound to, from which
 * it can answer at every address; 0: datagrams to any port are steered to it. */
int rf_l4_udp_listen(struct rf_l4_udp *u, int fd, uint16_t port, struct rf_l4_udp_socket **ret);
/* Receive there no more; its sessions go on by the socket that their client's next datagram comes by. */
void rf_l4_udp_unlisten(struct rf_l4_udp_socket *s);
/* What reply_socket has asked for; the descriptor is taken over. -1: it could not be opened. */
void rf_l4_udp_reply(struct rf_l4_udp *u, const struct rf_ip *at, uint16_t port, int fd);

/* After apps, rules or bars have changed: end the sessions whose app is gone, whose source is barred or which a rule now blocks.
 * Those with traffic see to it themselves with their next datagram; this finds the others, over the next turns. */
void rf_l4_udp_recheck(struct rf_l4_udp *u);
/* Leave what clients send to the engine that comes after, which has the same sockets; pass on what origins answer, and end each session
 * once it is quiet. `done` is called when none is left or `bound_ns` has passed (the rest is ended then). */
void rf_l4_udp_drain(struct rf_l4_udp *u, uint64_t bound_ns, void (*done)(void *arg), void *arg);

struct rf_l4_udp_stats { /* now, and since the start */
	uint32_t sessions, established, waiting, reply_sockets;
	uint64_t begun, made_room;
};
void rf_l4_udp_stats(const struct rf_l4_udp *u, struct rf_l4_udp_stats *ret);
