/* shield/deed: what a device of ours does that makes it an attacker. */
#pragma once
#include <stdint.h>

enum rf_deed {
#define RF_DEED(id, vector, counter, words) RF_DEED_##id,
#include "tbl/deeds.def"
#undef RF_DEED
	RF_DEEDS
};

struct rf_fleet_deed {
	enum rf_deed what;
	const char *bot;          /* which, where it does what a known bot does */
	uint32_t rate, usual, threshold; /* in what its row of tbl/deeds.def counts */
};
