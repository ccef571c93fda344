/* shield/fleet: our own devices as attackers: one that scans, floods, or sends what a known bot sends, is throttled, then quarantined.
 *
 *   sample of a known device ─► a row of suspects, the heaviest ones ─► each tick its exact count of requests
 *     ─► far above its own average and that of its class ─► THROTTLE ─► goes on all the same ─► QUARANTINE
 *     ─► calm again ─► RELEASE
 *   sample that a row of tbl/bots.def matches, or a deed of its frames (shield/homes) ─► THROTTLE ─► a further one in a later tick ─► QUARANTINE
 *
 * A subject is a device by its id, or an address that is nobody's alone ("address:192.0.2.1"), which is throttled at most. One thread; time
 * is ticks of RF_FLOOD_TICK_NS.
 *
 * Not here: how a device is throttled or quarantined, what is told of it (ctl/attack_fleet).
 */
#pragma once
#include "shield/deed.h"
#include "shield/feed.h"
#include "shield/usual.h"

enum {
	RF_FLEET_SUSPECTS = 256,  /* subjects with the most requests, or with deeds, that are looked at; the lightest makes room */
	RF_FLEET_NAME = 64,
	RF_FLEET_CLASSES = 64,    /* whose averages are kept; of further ones a device's own average counts alone */
	RF_FLEET_FACTOR = 10,     /* above its own average and its class's */
	RF_FLEET_THROTTLE = 5,    /* requests a second of one that is throttled */
};

enum rf_fleet_act { RF_FLEET_DO_THROTTLE, RF_FLEET_DO_RELEASE, RF_FLEET_DO_QUARANTINE };

struct rf_fleet_use {
	uint64_t requests;        /* so far */
	uint32_t class_slot;
	bool exempt;              /* its class is */
	bool address;             /* it is no device, and at most throttled */
};

struct rf_fleet_ops {
	/* False: it is not known, or not active. */
	bool (*use)(void *arg, const char *subject, struct rf_fleet_use *ret);
	/* THROTTLE comes first; RELEASE or QUARANTINE follows, once. */
	void (*act)(void *arg, const char *subject, enum rf_fleet_act what, const struct rf_fleet_deed *deed);
	/* Each tick of one that is throttled. */
	void (*rate)(void *arg, const char *subject, uint32_t rate);
	void *arg;
};

struct rf_fleet;
/* NULL without memory. */
struct rf_fleet *rf_fleet_new(const struct rf_fleet_ops *ops);
void rf_fleet_free(struct rf_fleet *f);
void rf_fleet_sample(struct rf_fleet *f, const struct rf_sample *s);
/* It does this in this tick. */
void rf_fleet_offends(struct rf_fleet *f, const char *subject, const struct rf_fleet_deed *deed);
/* After samples and deeds. `quarantines`: else a suspect stays throttled. Nothing is a flood before conf->learn_ns have passed. */
void rf_fleet_tick(struct rf_fleet *f, const struct rf_detect_conf *conf, bool quarantines);
/* Which bot sends this; NULL: none known. */
const char *rf_fleet_bot(const struct rf_sample *s);
