/* shield/frame_flood: frames of one kind, second by second: when they are a flood, and how large it is.
 *
 * Two rates are watched: of those that were stopped, and of all that belong to no connection. What is usual of each is a mean that forgets
 * over RF_FRAME_MEMORY_S seconds and stands still during a flood; a second with `factor` times as many frames, and no fewer than the
 * floor, begins one. RF_FRAME_QUIET_S seconds below the thresholds that it began with end it.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { RF_FRAME_FLOOR = 1000 /* of frames that were stopped */, RF_FRAME_QUIET_S = 10, RF_FRAME_MEMORY_S = 600, RF_FRAME_UPDATE_S = 10 };

enum rf_frame_event { RF_FRAME_NOTHING, RF_FRAME_START, RF_FRAME_UPDATE, RF_FRAME_END };

struct rf_frame_conf {
	unsigned factor;           /* over what is usual */
	uint64_t floor;            /* frames a second, of all */
};

struct rf_frame_second {
	uint64_t stopped, passed, bytes;
};

struct rf_frame_flood {
	bool on;
	unsigned quiet, age;       /* seconds below the thresholds; since it began */
	double mean_stopped, mean; /* frames a second outside of floods; of all */
	uint64_t limit_stopped, limit; /* thresholds of the flood that is on or was last */
	uint64_t usual, threshold; /* of the rate that was over its */
	uint64_t rate, peak;       /* frames a second, of all: now, at most */
	uint64_t bandwidth, peak_bandwidth; /* bytes a second */
	uint64_t stopped, passed, bytes; /* since it began */
};

/* What a further second had. UPDATE: every RF_FRAME_UPDATE_S. At END the figures stay until the next START. */
enum rf_frame_event rf_frame_flood_tick(struct rf_frame_flood *f, const struct rf_frame_conf *conf, const struct rf_frame_second *s);
