/* ctl/frame_attack: one flood of frames as it is kept and told. Private to ctl/frame_attacks. */
#pragma once
#include <jansson.h>
#include "ctl/control.h"
#include "shield/frame_flood.h"
#include "shield/frame_stops.h"

struct rf_frame_attack {
	enum rf_vector vector;
	char id[RF_ID_LEN + 1];
	struct rf_frame_flood flood;
	struct rf_frame_tally tally;
	int64_t began_ns, ended_ns;
	bool acts;                /* stops may be put in force */
	unsigned stops;           /* of it, in force */
	struct rf_stop stop[RF_STOPS];
	const char *inaction;     /* why nothing stops what passes; NULL: something does */
	uint64_t addresses;       /* as a process before found them */
	int64_t to_wall;          /* what CLOCK_MONOTONIC lacks, of its samples */
};

/* The counter that stopped the most; RF_DROP_PASS: none. */
enum rf_drop rf_frame_attack_counter(const struct rf_frame_attack *a);
const char *rf_frame_attack_reason(const struct rf_frame_attack *a); /* the word of that counter */
const char *rf_frame_attack_protocol(const struct rf_frame_attack *a); /* "TCP", ...; "" where it has several */
const struct rf_frame_end *rf_frame_attack_target(const struct rf_frame_attack *a); /* the main one; NULL: none is known */

/* As it is stored and told. NULL without memory. */
json_t *rf_frame_attack_doc(const struct rf_frame_attack *a);
/* The data of the documented alert. NULL without memory. */
json_t *rf_frame_attack_alert(const struct rf_frame_attack *a);
/* Go on with one that a process before has stored. */
void rf_frame_attack_resume(struct rf_frame_attack *a, const char *id, const json_t *doc);
