/* shield/feed: what a worker tells the detection of floods, at a few instructions a request.
 *
 *   a request -> its host's row: counted -> one of so many becomes a sample -> ring -> control thread (shield/detect)
 *
 * One thread writes (the worker), one reads (the control thread); neither waits. A few requests of each host and tick become
 * samples, more while the control thread wants them or their number grows; each says for how many it stands.
 */
#pragma once
#include <stdatomic.h>
#include "base/ip.h"

enum rf_piece {
#define RF_PIECE(id, most) RF_PIECE_##id,
#include "tbl/traits.def"
#undef RF_PIECE
	RF_PIECES
};

enum rf_measure {
#define RF_MEASURE(id, name, status, begins) RF_MEASURE_##id,
#include "tbl/measures.def"
#undef RF_MEASURE
	RF_MEASURES
};

#define RF_FLOOD_TICK_NS 250000000ull

enum {
	RF_FEED_HOSTS = 2048,     /* rows of a worker; a host beyond it is counted in `hosts_lost`, and not watched */
	RF_FEED_SAMPLES = 512,    /* slots of the ring, a power of two; past it samples are counted in `lost` */
	RF_FEED_WANTED = 96,      /* samples a tick of a host where something is up */
	RF_FEED_PORTS = 128,      /* rows of ports; those beyond it are not watched, and counted in `hosts_lost` */
	RF_FEED_NAME = 256,
	RF_SAMPLE_TEXT = 768,
	RF_SAMPLE_DEVICE = 33,
	RF_HLL = 1024,            /* registers of an estimate of addresses: its standard error is 3 % */
};

/* A request that stands for `weight` requests. Pieces lie one after another in `text`. */
struct rf_sample {
	uint64_t host;            /* hash of its row; 0: a visit to a port */
	uint32_t weight;
	uint16_t cut;             /* bits of pieces that were too long, or not known */
	uint16_t late;            /* bits of those among them that a rule may still see: what of a body has not come yet */
	uint16_t used;
	bool known;               /* of a device with a verified certificate */
	struct rf_ip src;
	uint16_t at[RF_PIECES], len[RF_PIECES];
	char device[RF_SAMPLE_DEVICE];
	char text[RF_SAMPLE_TEXT];
};

/* How many addresses, while the control thread wants to know. */
struct rf_feed_addresses {
	_Atomic uint32_t asked;   /* the control thread's: another number each time; 0: not now */
	uint32_t epoch;           /* for which registers are counted */
	_Atomic uint8_t registers[RF_HLL];
};

/* One host of the configuration on one worker. The worker writes, the control thread reads; but `addresses.asked` and `wanted`. */
struct rf_feed_host {
	uint64_t hash;
	char name[RF_FEED_NAME];
	_Atomic uint64_t requests, bytes_in, bytes_out, status[6]; /* status[0]: no answer */
	_Atomic uint64_t answers[6]; /* of the origin, by the class of their status; [0]: none */
	struct rf_feed_addresses addresses;
	_Atomic uint32_t wanted;  /* the control thread's: samples a tick; 0: a few */
	uint64_t tick;
	uint32_t in_tick, taken, interval, left;
};

enum rf_feed_kind {
	RF_FEED_HANDSHAKES,       /* of TLS; one that is completed is done */
	RF_FEED_CONNECTS,         /* of MQTT; none is done */
	RF_FEED_CONNECTIONS,      /* to the TCP port of an app, by the first of its range; none is done */
	RF_FEED_SESSIONS,         /* of the UDP port of an app, in the same way */
};

/* What begins on one port, of one kind. */
struct rf_feed_port {
	_Atomic uint32_t key;     /* kind << 16 | port; 0: free; set last */
	_Atomic uint64_t begun, done; /* the others are under way, or have failed */
	struct rf_feed_addresses addresses;
	_Atomic uint32_t bound;   /* the control thread's, of one address: handshakes at once, CONNECTs, connections or sessions a second; 0: as configured */
	_Atomic uint32_t strangers; /* beside it, of all that were not here before, on this worker: as many a second */
};

struct rf_feed {
	struct rf_feed_host *hosts;
	_Atomic uint32_t count;   /* of hosts; grows when a row is complete */
	uint16_t index[2 * RF_FEED_HOSTS]; /* 1 + row, by hash */
	struct rf_feed_host visits;       /* connections of devices to ports; in no table */
	struct rf_feed_port ports[RF_FEED_PORTS];
	struct rf_sample *ring;
	_Atomic uint32_t head, tail; /* of the ring: head is the writer's */
	_Atomic uint64_t lost, hosts_lost;
	uint64_t random;
};

/* `random` is not 0. False without memory. */
bool rf_feed_init(struct rf_feed *f, uint64_t random);
void rf_feed_fini(struct rf_feed *f);

/* --- the worker's --- */

/* The row of a host of the configuration, by a keyed hash of its name; NULL: there is no room. */
struct rf_feed_host *rf_feed_host(struct rf_feed *f, uint64_t hash, struct rf_str name);
/* Count a request. Not 0: it should become a sample of this weight. */
uint32_t rf_feed_count(struct rf_feed *f, struct rf_feed_host *h, uint64_t now_ns, const struct rf_ip *src);
/* A slot to fill, without pieces; NULL: the ring is full. Give it when it is filled. */
struct rf_sample *rf_feed_slot(struct rf_feed *f, const struct rf_feed_host *h, uint32_t weight);
void rf_feed_give(struct rf_feed *f);
/* A device, known by a verified certificate, has come to a port: one of so many becomes a sample of no host (0) and no pieces. */
void rf_feed_visit(struct rf_feed *f, uint64_t now_ns, const struct rf_ip *src, const char *device);
/* The row of a port; NULL: there is no room, or no `f`. */
struct rf_feed_port *rf_feed_port(struct rf_feed *f, enum rf_feed_kind kind, uint16_t port);
/* One more begins there; harmless for NULL. */
void rf_feed_begun(struct rf_feed_port *p, const struct rf_ip *src);
static inline uint32_t rf_feed_bound(struct rf_feed_port *p)
{
	return p ? atomic_load_explicit(&p->bound, memory_order_relaxed) : 0;
}

static inline void rf_feed_add(_Atomic uint64_t *to, uint64_t n)
{
	atomic_store_explicit(to, atomic_load_explicit(to, memory_order_relaxed) + n, memory_order_relaxed);
}

/* --- both --- */

/* Put a piece in; one that has no room is marked as cut. */
void rf_sample_put(struct rf_sample *s, enum rf_piece p, struct rf_str v);
/* It is not there yet. */
static inline void rf_sample_late(struct rf_sample *s, enum rf_piece p)
{
	s->cut |= (uint16_t)(1u << p);
	s->late |= (uint16_t)(1u << p);
}
/* One more name, "," between. */
void rf_sample_more(struct rf_sample *s, enum rf_piece p, struct rf_str name);
static inline struct rf_str rf_sample_piece(const struct rf_sample *s, enum rf_piece p)
{
	return (struct rf_str){ s->text + s->at[p], s->len[p] };
}

/* --- the control thread's --- */

/* Ask for addresses to be counted under a number that is not 0, or for 0 not to be. True: *ret has them, for this number. */
bool rf_feed_ask(struct rf_feed_addresses *a, uint32_t number, uint8_t ret[RF_HLL]);

/* The oldest sample, NULL: none. It is the reader's until rf_feed_done. */
const struct rf_sample *rf_feed_peek(struct rf_feed *f);
void rf_feed_done(struct rf_feed *f);
