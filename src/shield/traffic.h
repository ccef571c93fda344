/* shield/traffic: what one address sends, tick by tick: whether it scans or floods.
 *
 * Looked at are counts that only grow (of SYNs, of datagrams and pings, of all other frames) and bits of destinations by hash. A scan is
 * many different destinations within RF_TRAFFIC_WINDOW ticks, fewer of them where they are ports that bots scan; a flood is a rate
 * above its floor and far above the address's own average.
 *
 * Not here: whose the address is (shield/homes), what is done about it (shield/fleet).
 */
#pragma once
#include "shield/deed.h"
#include "shield/usual.h"

enum {
	RF_TRAFFIC_RATES = 3,      /* SYNs; datagrams and pings; other frames */
	RF_TRAFFIC_WINDOW = 40,    /* ticks, at least half of it, in which destinations are counted */
	RF_TRAFFIC_TELNET = 3,     /* different ones at ports that bots scan, which make a scan */
	RF_TRAFFIC_FACTOR = 10,    /* above its average */
	RF_TRAFFIC_WORDS = 8,      /* of bits of destinations */
};

struct rf_traffic_conf {
	uint32_t floors[RF_TRAFFIC_RATES]; /* a second; below it nothing is a flood; 0: such floods are not looked for */
	uint32_t targets;          /* different destinations that make a scan; 0: not looked for */
};

struct rf_traffic {
	uint64_t then[RF_TRAFFIC_RATES][4]; /* of the counts, at the last ticks */
	struct rf_usual usual[RF_TRAFFIC_RATES];
	uint64_t targets[2][RF_TRAFFIC_WORDS], scanned[2]; /* of the half window under way, and the one before */
	uint8_t above[RF_TRAFFIC_RATES];
	uint8_t ticks;             /* of the half window under way */
	uint8_t place;             /* in `then` */
};

/* What has come since the tick before: counts as they stand now, and new bits. */
struct rf_traffic_seen {
	uint64_t counts[RF_TRAFFIC_RATES];
	uint64_t scanned, targets[RF_TRAFFIC_WORDS];
	uint64_t scans, bots;      /* frames since the tick before: to ports that bots scan; that only a bot sends */
};

/* It begins to be watched, at these counts. */
void rf_traffic_begin(struct rf_traffic *t, const struct rf_traffic_seen *now);
/* One more tick. True: it attacks, and *ret says how; of several ways the plainest. `learned`: floods are looked for already. */
bool rf_traffic_tick(struct rf_traffic *t, const struct rf_traffic_conf *conf, const struct rf_detect_conf *floods, bool learned,
		     const struct rf_traffic_seen *now, struct rf_fleet_deed *ret);
