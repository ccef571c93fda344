/* shield/detect: finds floods of requests, and the smallest combination of traits that separates one from what is usual.
 *
 *   counts and samples of all workers ─► host: rate now, usual rate, two reservoirs of usual requests
 *        a tick ─► rate, or that of a class of statuses, above usual and floor ─► a flood begins ─► search (detect_search) over the last seconds' samples
 *               ─► a signature that hardly anything usual matches ─► SIGNATURE, the caller puts a rule in force
 *               ─► its rule has stopped matching ─► EXPIRED; the rate is usual again ─► END
 *
 * Of what is usual nothing is learned while a flood is on; samples are learned only some ticks late, so that the first moments of
 * a flood are not learned either. One thread; time is given.
 *
 * Not here: the compiled rule and its hits, what is stored and told (ctl/attacks).
 */
#pragma once
#include "shield/sketch.h"
#include "shield/trait.h"
#include "shield/usual.h"

enum {
	RF_DETECT_HOSTS = 256,    /* hosts that are watched at once; past it the longest idle one makes room, or `hosts_lost` */
	RF_DETECT_WINDOW = 4096,  /* samples of all hosts that a search can look at; older ones make room */
	RF_DETECT_BASE = 512,     /* usual requests kept of a host in each of two reservoirs: of known devices, of others */
	RF_DETECT_BASE_LEAST = 100, /* with fewer nothing is said about what is usual, and nothing is stopped */
	RF_DETECT_SHARE = 2,      /* thousandths of either reservoir that a signature may match */
	RF_FLOODS = 64,           /* at once; a host beyond it is counted in `floods_lost` */
	RF_FLOOD_RULES = 4,       /* signatures of one flood */
	RF_FLOOD_TOP = 16,        /* sources, networks, countries that are told */
	RF_FLOOD_KEPT = 16,       /* samples of what it consists of */
	RF_DETECT_DROPPED = 10000, /* signatures that are never raised again */
};

/* One signature of a flood. */
struct rf_flood_rule {
	struct rf_signature signature;
	unsigned share;           /* hundredths of the flood that it meant when it was found */
	unsigned usual;           /* thousandths of usual requests that it would match */
	bool live;
	uint64_t hits, seen_hits; /* as the caller has said; at the last match */
	uint64_t last_ns;
	void *owner;              /* the caller's */
};

struct rf_flood_sample {
	int64_t wall_ns;
	struct rf_sample s;
};

struct rf_flood {
	uint64_t number;          /* 1 upwards */
	char host[RF_FEED_NAME];
	bool on, told;            /* told: START was given */
	enum rf_measure by;       /* what it began by, and is measured by: usual, threshold, worst */
	uint16_t mix[6];          /* thousandths of usual requests by the class of their answer's status */
	int64_t began_ns, ended_ns; /* wall clock */
	uint32_t rate, peak;      /* requests a second */
	uint32_t usual, threshold, worst; /* a second of what it is measured by */
	uint64_t requests, bytes_in, bytes_out, status[6];
	uint64_t bandwidth, peak_bandwidth; /* bytes a second from clients */
	uint8_t addresses[RF_HLL]; /* rf_hll_count */
	struct rf_top source[RF_FLOOD_TOP], asn[RF_FLOOD_TOP], country[RF_FLOOD_TOP];
	struct rf_ip ip[RF_FLOOD_TOP]; /* of `source`, row by row */
	unsigned rules;
	struct rf_flood_rule rule[RF_FLOOD_RULES];
	const char *inaction;     /* why nothing is stopped; NULL: something is, or it is not known yet */
	unsigned kept;
	struct rf_flood_sample sample[RF_FLOOD_KEPT];
	void *owner;              /* the caller's */
};

enum rf_flood_event { RF_FLOOD_START, RF_FLOOD_SIGNATURE, RF_FLOOD_EXPIRED, RF_FLOOD_UPDATE, RF_FLOOD_END };

struct rf_detect_ops {
	/* `r` with SIGNATURE and EXPIRED. After END the flood is gone. START comes first. */
	void (*event)(void *arg, enum rf_flood_event what, struct rf_flood *f, struct rf_flood_rule *r);
	/* Network and country (two letters as a number, first * 256 + second) of an address, 0 where not known. */
	void (*place)(void *arg, const struct rf_ip *ip, uint32_t *ret_asn, uint32_t *ret_country);
	void *arg;
};

const char *rf_measure_name(enum rf_measure m);

struct rf_detect;
/* NULL without memory. `random` is not 0. */
struct rf_detect *rf_detect_new(const struct rf_detect_conf *conf, const struct rf_detect_ops *ops, uint64_t random);
void rf_detect_free(struct rf_detect *d);
void rf_detect_conf(struct rf_detect *d, const struct rf_detect_conf *conf);

/* What has come for a host since the last tick, of one worker. */
struct rf_detect_counts {
	uint64_t requests, bytes_in, bytes_out, status[6], answers[6];
};
void rf_detect_count(struct rf_detect *d, uint64_t host, struct rf_str name, const struct rf_detect_counts *n);
void rf_detect_sample(struct rf_detect *d, const struct rf_sample *s);
/* Registers of a worker for a host's flood. */
void rf_detect_addresses(struct rf_detect *d, uint64_t host, const uint8_t registers[RF_HLL]);
/* Is a flood on there? Its number; 0: none. */
uint64_t rf_detect_flood(const struct rf_detect *d, uint64_t host);
/* Samples that should be made of it a tick; 0: a few. */
uint32_t rf_detect_wanted(const struct rf_detect *d, uint64_t host);
/* Every RF_FLOOD_TICK_NS, after counts, samples, and hits of rules (in rule->hits). */
void rf_detect_tick(struct rf_detect *d, uint64_t mono_ns, int64_t wall_ns);

/* A signature that is not to be raised for this host, and that nothing within it is. RF_E_FULL. Of what it matches no flood is made. */
int rf_detect_drop(struct rf_detect *d, struct rf_str host, const struct rf_signature *g);
void rf_detect_undrop(struct rf_detect *d, struct rf_str host, const struct rf_signature *g);

void rf_detect_each(struct rf_detect *d, void (*each)(void *arg, struct rf_flood *f), void *arg);

struct rf_detect_stats {
	uint64_t samples, hosts_lost, floods_lost, floods;
	unsigned hosts, learned;  /* now; that know what is usual */
};
void rf_detect_stats(const struct rf_detect *d, struct rf_detect_stats *ret);
