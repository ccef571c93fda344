/* shield/frame_flood: see frame_flood.h.
 *
 *   a second's frames ─► no flood: over the threshold? ─► START, else into the mean
 *                    ─► a flood: into its figures; quiet for long enough? ─► END
 */
#include "shield/frame_flood.h"

static uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }

static bool begins(struct rf_frame_flood *f, uint64_t frames)
{
	uint64_t usual = (uint64_t)f->mean, threshold = larger(RF_FRAME_FLOOR, RF_FRAME_FACTOR * usual);
	if (frames < threshold) {
		f->mean += ((double)frames - f->mean) / RF_FRAME_MEMORY_S;
		return false;
	}
	*f = (struct rf_frame_flood){ .on = true, .mean = f->mean, .usual = usual, .threshold = threshold };
	return true;
}

enum rf_frame_event rf_frame_flood_tick(struct rf_frame_flood *f, uint64_t frames, uint64_t bytes)
{
	bool was = f->on;
	if (!was && !begins(f, frames))
		return RF_FRAME_NOTHING;
	f->rate = frames;
	f->bandwidth = bytes;
	f->peak = larger(f->peak, frames);
	f->peak_bandwidth = larger(f->peak_bandwidth, bytes);
	f->frames += frames;
	f->bytes += bytes;
	f->quiet = frames < f->threshold ? f->quiet + 1 : 0;
	f->on = f->quiet < RF_FRAME_QUIET_S;
	return !f->on ? RF_FRAME_END : was ? RF_FRAME_NOTHING : RF_FRAME_START;
}
