/* ctl/patch_watch: what virtual patches match, and how the devices fare that they stop.
 *
 * Every record goes by once, on the thread of the writer: it brings the baseline of its device up to date (32 bytes a
 * device) and counts for the patches that it names. The control thread asks from time to time which patch makes healthy
 * devices suffer. All by the times of records and the clock that is given: the same records give the same answer.
 *
 * Healthy: a device that asked RF_WATCH_KNOWN times or more and nearly always succeeded, before the patch first stopped it.
 * Suffers: since then it succeeds less than half as often as it used to, or has gone silent, or goes on repeating requests
 * that used to succeed. A device is looked at for ten windows after a patch stops it, then left in peace.
 *
 * All of it can be saved and loaded (patch_watch_keep.c), so that a restart neither forgets how devices used to fare nor what a
 * patch has counted. Time that nobody watched does not pass: a fleet that was not served for an hour was not silent.
 *
 * Not here: moving the patch, files (ctl/patches).
 */
#pragma once
#include "device/registry.h"
#include "policy/patch.h"
#include "records/record.h"

enum {
	RF_WATCH_DEVICES = 1 << 20,  /* baselines kept */
	RF_WATCH_STOPPED = 4096,     /* devices of a patch that are told apart */
	RF_WATCH_CLASSES = 32,       /* of a patch that are counted apart */
	RF_WATCH_KNOWN = 10,
};

struct rf_watch;

struct rf_watch_halt {
	bool enabled;
	uint32_t devices, percent, window_s;
};

/* A patch as it stands. */
struct rf_watch_spec {
	char id[RF_ID_LEN + 1];
	enum rf_patch_state state;
	int64_t since_s;
	size_t moves;  /* so far: two within a second are told apart */
	struct rf_watch_halt halt;
};

/* Append all of it as it is, of any thread; nothing where nothing is known. Devices that have not asked for RF_WATCH_IDLE_S are left out. */
enum { RF_WATCH_IDLE_S = 30 * 86400 };
void rf_watch_save(struct rf_watch *w, int64_t now_ns, struct rf_buf *to);
/* Take what rf_watch_save wrote, on this kind of machine, into a watch that has seen no record and follows nothing yet; then
 * rf_watch_follow keeps the counts of those patches that stand as they stood. RF_E_SYNTAX: it is damaged or of another version,
 * RF_E_CONFLICT: the watch is not new; nothing is taken. */
int rf_watch_load(struct rf_watch *w, struct rf_str from, int64_t now_ns);

struct rf_watch *rf_watch_new(size_t devices_max, int64_t now_ns);
void rf_watch_free(struct rf_watch *w);

/* A record, of any thread. */
void rf_watch_record(struct rf_watch *w, const struct rf_record *rec);

/* Follow these patches and no others; one that was moved begins to count anew. RF_E_NOMEM: those before it are followed. */
int rf_watch_follow(struct rf_watch *w, const struct rf_watch_spec *v, size_t n);

/* Are there patches at all, live or not? Where there are none, nobody needs records for them. Any thread. */
bool rf_watch_on(const struct rf_watch *w);

/* Call `each` for a patch that must fall back, with the reason in words; each once until it is followed anew. */
void rf_watch_judge(struct rf_watch *w, int64_t now_ns, void (*each)(void *arg, const char *id, const char *why), void *arg);

/* {matched, stopped, devices, healthy, suffering, classes: [{class, matched, stopped}], since}; nothing where it is not
 * followed. */
void rf_watch_json(struct rf_watch *w, const char *id, int64_t now_ns, json_t *object);
