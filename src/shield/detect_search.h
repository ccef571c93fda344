/* shield/detect_search: what separates the requests of a flood from the usual ones. Private to shield. */
#pragma once
#include "shield/detect.h"

/* A request of the flood's time, or a usual one. */
struct rf_seen {
	const struct rf_traits *traits;
	uint32_t source, weight;
};

struct rf_search {
	const struct rf_seen *now;
	size_t n;
	const struct rf_seen *usual[2]; /* of known devices, of others */
	size_t usual_n[2];
	double excess;            /* share of `now` that is beyond what is usual */
};

/* *ret gets the terms without their values (sources: hashes). False: nothing separates them well enough. */
bool rf_search_run(const struct rf_search *s, struct rf_signature *ret, unsigned *ret_share, unsigned *ret_usual);
