/* shield/traffic: see traffic.h.
 *
 * Destinations are counted by bits (linear counting): with n of m bits set there were about m ln(m / (m - n)). Two half windows make the
 * window, so that it slides at the price of a second set of bits.
 */
#include "shield/traffic.h"
#include <math.h>
#include <string.h>

enum { SECOND = 4, ABOVE = 2 };

static uint32_t distinct(const uint64_t *a, const uint64_t *b, unsigned words)
{
	unsigned set = 0, bits = words * 64;
	for (unsigned i = 0; i < words; i++)
		set += (unsigned)__builtin_popcountll(a[i] | b[i]);
	set = set < bits ? set : bits - 1;
	return (uint32_t)(bits * log((double)bits / (bits - set)) + 0.5);
}

void rf_traffic_begin(struct rf_traffic *t, const struct rf_traffic_seen *now)
{
	*t = (struct rf_traffic){ 0 };
	for (unsigned i = 0; i < RF_TRAFFIC_RATES; i++)
		for (unsigned k = 0; k < SECOND; k++)
			t->then[i][k] = now->counts[i];
}

static void slide(struct rf_traffic *t)
{
	if (++t->ticks < RF_TRAFFIC_WINDOW / 2)
		return;
	t->ticks = 0;
	memcpy(t->targets[1], t->targets[0], sizeof t->targets[1]);
	memset(t->targets[0], 0, sizeof t->targets[0]);
	t->scanned[1] = t->scanned[0];
	t->scanned[0] = 0;
}

static bool scans(struct rf_traffic *t, const struct rf_traffic_conf *conf, const struct rf_traffic_seen *now, struct rf_fleet_deed *ret)
{
	static const uint64_t none[RF_TRAFFIC_WORDS];
	bool more = distinct(now->targets, none, RF_TRAFFIC_WORDS) > conf->targets / 4; /* where all bits are set, none is new */
	for (unsigned i = 0; i < RF_TRAFFIC_WORDS; i++) {
		more |= (now->targets[i] & ~(t->targets[0][i] | t->targets[1][i])) != 0;
		t->targets[0][i] |= now->targets[i];
	}
	t->scanned[0] |= now->scanned;
	uint32_t scanned = distinct(&t->scanned[0], &t->scanned[1], 1), all = distinct(t->targets[0], t->targets[1], RF_TRAFFIC_WORDS);
	slide(t);
	if (now->bots) {
		*ret = (struct rf_fleet_deed){ .what = RF_DEED_BOT_FRAMES, .bot = "mirai", .rate = (uint32_t)now->bots, .threshold = 1 };
		return true;
	}
	if (now->scans && scanned >= RF_TRAFFIC_TELNET) {
		*ret = (struct rf_fleet_deed){ .what = RF_DEED_TELNET, .rate = scanned, .threshold = RF_TRAFFIC_TELNET };
		return true;
	}
	if (!more || !conf->targets || all < conf->targets)
		return false;
	*ret = (struct rf_fleet_deed){ .what = RF_DEED_SCAN, .rate = all, .threshold = conf->targets };
	return true;
}

static uint32_t limited(double v) { return v < UINT32_MAX ? (uint32_t)v : UINT32_MAX; }

static bool floods(struct rf_traffic *t, unsigned i, const struct rf_traffic_conf *conf, const struct rf_detect_conf *detect, bool learned,
		   uint64_t count, struct rf_fleet_deed *ret)
{
	static const enum rf_deed deeds[] = { RF_DEED_SYNS, RF_DEED_DATAGRAMS, RF_DEED_FRAMES };
	uint64_t *then = t->then[i];
	uint32_t rate = limited((double)(count - then[t->place]));
	uint32_t tick = limited((double)(count - then[(t->place + SECOND - 1) % SECOND]) * SECOND);
	uint32_t threshold = limited(t->usual[i].mean * RF_TRAFFIC_FACTOR);
	then[t->place] = count;
	threshold = threshold > conf->floors[i] ? threshold : conf->floors[i];
	bool is = learned && conf->floors[i] && rate > threshold && tick > threshold;
	t->above[i] = is ? t->above[i] + (t->above[i] < ABOVE) : 0;
	if (t->place == 0 && rate <= threshold)
		rf_usual_learn(&t->usual[i], detect, rate);
	if (t->above[i] < ABOVE)
		return false;
	*ret = (struct rf_fleet_deed){ .what = deeds[i], .rate = rate, .usual = limited(t->usual[i].mean + 0.5), .threshold = threshold };
	return true;
}

bool rf_traffic_tick(struct rf_traffic *t, const struct rf_traffic_conf *conf, const struct rf_detect_conf *detect, bool learned,
		     const struct rf_traffic_seen *now, struct rf_fleet_deed *ret)
{
	struct rf_fleet_deed one;
	bool found = scans(t, conf, now, ret);
	for (unsigned i = 0; i < RF_TRAFFIC_RATES; i++)
		if (floods(t, i, conf, detect, learned, now->counts[i], &one) && !found) {
			*ret = one;
			found = true;
		}
	t->place = (uint8_t)((t->place + 1) % SECOND);
	return found;
}
