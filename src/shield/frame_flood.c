/* shield/frame_flood: see frame_flood.h.
 *
 *   a second's frames ─► no flood: over a threshold? ─► START, else into the means
 *                    ─► a flood: into its figures; quiet for long enough? ─► END
 */
#include "shield/frame_flood.h"

static uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }

static void learn(double *mean, uint64_t frames) { *mean += ((double)frames - *mean) / RF_FRAME_MEMORY_S; }

static bool begins(struct rf_frame_flood *f, const struct rf_frame_conf *conf, const struct rf_frame_second *s)
{
	uint64_t usual_stopped = (uint64_t)f->mean_stopped, usual = (uint64_t)f->mean, all = s->stopped + s->passed;
	uint64_t limit_stopped = larger(RF_FRAME_FLOOR, conf->factor * usual_stopped), limit = larger(conf->floor, conf->factor * usual);
	bool by_stopped = s->stopped >= limit_stopped;
	if (!by_stopped && all < limit) {
		learn(&f->mean_stopped, s->stopped);
		learn(&f->mean, all);
		return false;
	}
	*f = (struct rf_frame_flood){ .on = true, .mean_stopped = f->mean_stopped, .mean = f->mean, .limit_stopped = limit_stopped, .limit = limit,
				      .usual = by_stopped ? usual_stopped : usual, .threshold = by_stopped ? limit_stopped : limit };
	return true;
}

enum rf_frame_event rf_frame_flood_tick(struct rf_frame_flood *f, const struct rf_frame_conf *conf, const struct rf_frame_second *s)
{
	bool was = f->on;
	if (!was && !begins(f, conf, s))
		return RF_FRAME_NOTHING;
	f->rate = s->stopped + s->passed;
	f->bandwidth = s->bytes;
	f->peak = larger(f->peak, f->rate);
	f->peak_bandwidth = larger(f->peak_bandwidth, s->bytes);
	f->stopped += s->stopped;
	f->passed += s->passed;
	f->bytes += s->bytes;
	f->quiet = s->stopped < f->limit_stopped && f->rate < f->limit ? f->quiet + 1 : 0;
	f->on = f->quiet < RF_FRAME_QUIET_S;
	f->age += was;
	if (!f->on || !was)
		return was ? RF_FRAME_END : RF_FRAME_START;
	return f->age % RF_FRAME_UPDATE_S ? RF_FRAME_NOTHING : RF_FRAME_UPDATE;
}
