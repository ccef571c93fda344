/* ctl/patches: virtual patches on the running edge: their own tests, the devices that they concern, the watch over those
 * that they stop, and what is exposed.
 *
 * A walk over the registry costs some hundred nanoseconds a device and patch, on the control thread.
 */
#pragma once
#include "ctl/control.h"
#include "ctl/patch_watch.h"
#include "records/ring.h"

struct rf_patches;

enum { RF_PATCHES_LOOK_S = 1, RF_PATCHES_FLEET_MAX = 200000 /* devices beyond which a list of patches does not count them */ };

/* Begin to watch: records go to `watch`, which outlives this; what happens by itself is told in `ring` (NULL: not). */
int rf_patches_start(struct rf_ctl *c, struct rf_watch *watch, struct rf_ring *ring, struct rf_patches **ret, struct rf_err *e);
void rf_patches_stop(struct rf_patches *p);
/* Patches have changed: watch those that are in force now. */
void rf_patches_changed(struct rf_patches *p);

/* Look now: patches under which healthy devices suffer go back to report. The timer does it every RF_PATCHES_LOOK_S. */
void rf_patches_look(struct rf_patches *p);

/* {attacks, harmless, failed: [{kind, index, why}]}. An error: a request cannot be read; it points to it. */
int rf_patches_test(struct rf_ctl *c, const json_t *doc, json_t **ret, struct rf_err *e);
/* {concerned, fixed, needed, canary, unknown_firmware}. */
int rf_patches_fleet(struct rf_ctl *c, const json_t *doc, const char *id, json_t **ret, struct rf_err *e);
void rf_patches_live(struct rf_ctl *c, const char *id, json_t *object);

/* An array: for each CVE (or name of a patch without one) {cve, title, severity, patches, exposed, protected, fixed,
 * unknown_firmware, exposed_since, protected_since, devices}. unknown_firmware counts devices that are also exposed or
 * protected. At most RF_EXPOSURE_DEVICES of each are listed, and an equal part of RF_EXPOSURE_LISTED where
 * there are many, the exposed first. */
enum { RF_EXPOSURE_DEVICES = 1000, RF_EXPOSURE_LISTED = 20000 };
int rf_patches_exposure(struct rf_ctl *c, bool devices, json_t **ret, struct rf_err *e);
