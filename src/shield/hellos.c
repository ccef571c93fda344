/* shield/hellos: see hellos.h. */
#include "shield/hellos.h"

enum { ABOVE = 2, CALM = 20, UPDATE = 40 }; /* ticks, as of floods of requests */

static enum rf_hellos_event begin(struct rf_hellos *h, const struct rf_detect_conf *conf, uint64_t incomplete)
{
	h->on = true;
	h->was = (uint32_t)(h->usual.mean + 0.5);
	h->threshold = rf_usual_threshold(&h->usual, conf);
	h->peak = h->rate;
	h->count = incomplete;
	h->age = h->calm = 0;
	return RF_HELLOS_START;
}

static enum rf_hellos_event go_on(struct rf_hellos *h, uint64_t incomplete)
{
	h->count += incomplete;
	h->peak = h->rate > h->peak ? h->rate : h->peak;
	h->calm = h->rate > h->threshold ? 0 : h->calm + 1;
	h->age++;
	if (h->calm < CALM)
		return h->age % UPDATE ? RF_HELLOS_NOTHING : RF_HELLOS_UPDATE;
	h->on = false;
	h->above = 0;
	return RF_HELLOS_END;
}

enum rf_hellos_event rf_hellos_tick(struct rf_hellos *h, const struct rf_detect_conf *conf, uint64_t incomplete)
{
	uint64_t rate = 0;
	h->ticks[h->tick++ % RF_HELLOS_SECOND] = incomplete < UINT32_MAX / RF_HELLOS_SECOND ? (uint32_t)incomplete : UINT32_MAX / RF_HELLOS_SECOND;
	for (unsigned i = 0; i < RF_HELLOS_SECOND; i++)
		rate += h->ticks[i];
	h->rate = (uint32_t)rate;
	if (h->on)
		return go_on(h, incomplete);
	h->above = h->rate > rf_usual_threshold(&h->usual, conf) ? h->above + 1 : 0;
	if (h->above >= ABOVE && conf->sense != RF_FLOOD_OFF && rf_usual_learned(&h->usual, conf))
		return begin(h, conf, incomplete);
	if (h->tick % RF_HELLOS_SECOND == 0)
		rf_usual_learn(&h->usual, conf, h->rate);
	return RF_HELLOS_NOTHING;
}
