/* shield/usual: see usual.h. */
#include "shield/usual.h"
#include <math.h>
#include "base/clock.h"

enum { SLOW_S = 300 /* of the mean, once learned */ };

bool rf_usual_learned(const struct rf_usual *u, const struct rf_detect_conf *conf)
{
	return (uint64_t)u->seconds * RF_NS_S >= conf->learn_ns;
}

uint32_t rf_usual_threshold(const struct rf_usual *u, const struct rf_detect_conf *conf)
{
	static const double factors[] = { [RF_FLOOD_HIGH] = 3, [RF_FLOOD_MEDIUM] = 5, [RF_FLOOD_LOW] = 10, [RF_FLOOD_OFF] = 10 };
	double factor = factors[conf->sense], t = u->mean * factor;
	if (t < u->mean + 2 * factor * u->deviation)
		t = u->mean + 2 * factor * u->deviation;
	return t < conf->floor ? conf->floor : t < UINT32_MAX ? (uint32_t)t : UINT32_MAX;
}

void rf_usual_learn(struct rf_usual *u, const struct rf_detect_conf *conf, uint32_t rate)
{
	double part = rf_usual_learned(u, conf) ? 1.0 / SLOW_S : 1.0 / (u->seconds + 1);
	part = part < 1.0 / SLOW_S ? 1.0 / SLOW_S : part;
	double off = fabs(rate - u->mean);
	u->mean += (rate - u->mean) * part;
	u->deviation += (off - u->deviation) * part;
	u->seconds += u->seconds < UINT32_MAX;
}
