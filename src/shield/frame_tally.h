/* shield/frame_tally: what the glimpsed frames of one kind (shield/vector) were: how many, from where, to where.
 *
 *   glimpse ─► rf_frame_tally_add: this second's counts, who sends what passes; who sends any, since the flood began
 *   a second ─► rf_frame_tally_second: its counts ─► the caller's decision ─► rf_frame_tally_next: without a flood the rest goes too
 *
 * Counts are of all frames: a glimpse stands for so many. Fixed memory.
 */
#pragma once
#include "shield/feed.h"
#include "shield/sketch.h"
#include "shield/vector.h"

enum { RF_TALLY_SOURCES = 64, RF_TALLY_TOP = 16, RF_TALLY_KEPT = 16, RF_TALLY_NET4 = 24, RF_TALLY_NET6 = 48 };

struct rf_frame_end {
	struct rf_ip ip;
	uint16_t port;            /* 0: it has none */
	uint8_t proto;
};

/* Who sends, and to whom; what stands beside a list belongs to it row by row. */
struct rf_frame_who {
	uint64_t frames, glimpses;
	uint8_t addresses[RF_HLL];
	struct rf_top source[RF_TALLY_SOURCES], network[RF_TALLY_TOP], asn[RF_TALLY_TOP], country[RF_TALLY_TOP];
	struct rf_top host[RF_TALLY_TOP], target[RF_TALLY_TOP]; /* addresses of ours; with port and protocol */
	struct rf_top port[RF_TALLY_TOP]; /* of sources, and one more; of ICMP its type */
	struct rf_ip ip[RF_TALLY_SOURCES], net[RF_TALLY_TOP], own[RF_TALLY_TOP];
	struct rf_frame_end end[RF_TALLY_TOP];
};

struct rf_frame_tally {
	uint64_t passed, stopped, bytes; /* since rf_frame_tally_second */
	uint64_t reason[RF_DROP_COUNT];  /* since the flood began, of those that were stopped */
	struct rf_frame_who all;         /* since it began */
	struct rf_frame_who through;     /* this second, of those that passed */
	unsigned kept;
	struct rf_glimpse sample[RF_TALLY_KEPT];
};

/* `asn`, `country` (two letters as a number) of its source: 0 where not known. */
void rf_frame_tally_add(struct rf_frame_tally *t, const struct rf_glimpse *g, uint32_t asn, uint32_t country);
/* What it has counted since it was last asked. */
void rf_frame_tally_second(struct rf_frame_tally *t, uint64_t *ret_stopped, uint64_t *ret_passed, uint64_t *ret_bytes);
/* A second is over; `on`: a flood is. */
void rf_frame_tally_next(struct rf_frame_tally *t, bool on);

/* So many frames more from a source, from a network (of RF_TALLY_NET4 or 6 bits), to a target. */
void rf_frame_who_source(struct rf_frame_who *w, const struct rf_ip *ip, uint64_t frames);
void rf_frame_who_network(struct rf_frame_who *w, const struct rf_ip *net, uint64_t frames);
void rf_frame_who_target(struct rf_frame_who *w, const struct rf_frame_end *end, uint64_t frames);

/* Which row of a list surely has the most, and how many for sure; `n` where all are empty. */
unsigned rf_frame_heaviest(const struct rf_top *v, unsigned n, uint64_t *ret_sure);
/* An estimate of how many addresses sent. */
uint64_t rf_frame_addresses(const struct rf_frame_who *w, bool *ret_least);
