/* shield/frame_flood: one counter of refused frames, second by second: when it says a flood, and how large it is.
 *
 * What is usual is a mean that forgets over RF_FRAME_MEMORY_S seconds and stands still during a flood; a second with
 * RF_FRAME_FACTOR times as many frames, and no fewer than RF_FRAME_FLOOR, begins one. RF_FRAME_QUIET_S seconds below the threshold
 * that it began with end it.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { RF_FRAME_FLOOR = 1000, RF_FRAME_FACTOR = 3, RF_FRAME_QUIET_S = 10, RF_FRAME_MEMORY_S = 600 };

enum rf_frame_event { RF_FRAME_NOTHING, RF_FRAME_START, RF_FRAME_END };

struct rf_frame_flood {
	bool on;
	unsigned quiet;            /* seconds below the threshold */
	double mean;               /* frames a second outside of floods */
	uint64_t usual, threshold; /* of the flood that is on or was last */
	uint64_t rate, peak;       /* frames a second: now, at most */
	uint64_t bandwidth, peak_bandwidth; /* bytes a second */
	uint64_t frames, bytes;    /* since it began */
};

/* What a further second had. At END the figures stay until the next START. */
enum rf_frame_event rf_frame_flood_tick(struct rf_frame_flood *f, uint64_t frames, uint64_t bytes);
