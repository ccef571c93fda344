/* shield/hellos: floods of what begins on a port and is not completed (TLS handshakes; MQTT CONNECTs, connections and UDP sessions, all), against what is usual.
 *
 * The caller gives their number each RF_FLOOD_TICK_NS. While a flood is on, nothing is learned.
 */
#pragma once
#include "shield/usual.h"

enum {
	RF_HELLOS_BOUND = 4,      /* handshakes of one address at once while a flood is on */
	RF_CONNECTS_BOUND = 2,    /* CONNECTs, or connections, of one address a second while a flood is on */
	RF_HELLOS_SECOND = 4,     /* ticks */
};

struct rf_hellos {
	struct rf_usual usual;
	uint32_t ticks[RF_HELLOS_SECOND];
	unsigned tick, above, calm, age;
	bool on;
	uint32_t rate, peak, was, threshold; /* a second; was: usual, when it began */
	uint64_t count;           /* since it began */
};

enum rf_hellos_event { RF_HELLOS_NOTHING, RF_HELLOS_START, RF_HELLOS_UPDATE, RF_HELLOS_END };
enum rf_hellos_event rf_hellos_tick(struct rf_hellos *h, const struct rf_detect_conf *conf, uint64_t incomplete);
