/* ctl/captures: the frames that the kernel filter shows: records of those that it dropped or a rule logged, and captures. */
#pragma once
#include "ctl/control.h"

struct rf_captures;
struct rf_ring;

enum { RF_CAPTURE_PACKETS = 10000, RF_CAPTURE_SECONDS = 3600 };

/* `ring` takes the records, NULL: none are made. NULL without memory. */
struct rf_captures *rf_captures_new(struct rf_ctl *c, struct rf_ring *ring);
void rf_captures_free(struct rf_captures *t); /* NULL is harmless */

/* Begin to keep the frames that {"rule"} (an id or ref) or {"reason"} hits: "packet_limit" of them, for "time_limit" seconds. One at a
 * time; the last few are kept. RF_E_CONFLICT, RF_E_UNSUPPORTED without a kernel filter, RF_E_NOT_FOUND. */
int rf_captures_start(struct rf_captures *t, const json_t *body, json_t **ret, struct rf_err *e);
/* {id, status, rule, reason, packet_limit, time_limit, packets, submitted}, the newest first; or one of them. */
json_t *rf_captures_list(struct rf_captures *t);
int rf_captures_get(struct rf_captures *t, const char *id, json_t **ret, struct rf_err *e);
int rf_captures_stop(struct rf_captures *t, const char *id, json_t **ret, struct rf_err *e);
/* Its frames from the `from`th on: [{at_ns, size, data (base64), rule, reason}], at most RF_CAPTURE_PAGE; or all as a pcapng file. */
enum { RF_CAPTURE_PAGE = 500 };
int rf_captures_frames(struct rf_captures *t, const char *id, size_t from, json_t **ret, struct rf_err *e);
int rf_captures_file(struct rf_captures *t, const char *id, struct rf_buf *to, struct rf_err *e);
