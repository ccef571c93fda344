/* ctl/patch_replay: a candidate over stored traffic: which requests it would have stopped, of which devices.
 *
 * Reads samples of requests (records.samples), the file of records (records.file) and the one before it (FILE.1), or, where
 * there is no file, the records in memory. In slices of a millisecond or two on the control thread, so that the API answers
 * meanwhile. Lines that cannot be read are counted and named, and never end it.
 */
#pragma once
#include "ctl/control.h"
#include "records/recent.h"

struct rf_replays;

enum {
	RF_REPLAYS_MAX = 4,            /* at once */
	RF_REPLAY_LINE_MAX = 256 << 10,
	RF_REPLAY_DEVICES = 100000,    /* told apart */
	RF_REPLAY_NAMES = 10000,       /* hosts, and paths, that are told apart */
	RF_REPLAY_SHOWN = 50,          /* of each in the answer */
	RF_REPLAY_BAD_SHOWN = 20,
};

struct rf_replays *rf_replays_new(struct rf_ctl *c, struct rf_recent *recent);
void rf_replays_free(struct rf_replays *r);

/* Begin one of the patch (one that runs is begun anew). body: {since, bytes}. RF_E_FULL: too many run. */
int rf_replay_start(struct rf_replays *r, const json_t *doc, const char *id, const json_t *body, json_t **ret, struct rf_err *e);
/* {status: running|done|cancelled, percent, lines, bad_lines, bad_at, requests, would_stop, already_blocked, cannot_know,
 * healthy_devices, devices, hosts, paths, unknown_fields, files, began}. RF_E_NOT_FOUND. */
int rf_replay_get(struct rf_replays *r, const char *id, json_t **ret, struct rf_err *e);
int rf_replay_cancel(struct rf_replays *r, const char *id, json_t **ret, struct rf_err *e);
/* One slice of each that runs; the timer does it. False: none runs. */
bool rf_replays_turn(struct rf_replays *r, uint64_t slice_ns);
