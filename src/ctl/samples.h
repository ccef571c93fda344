/* ctl/samples: samples of requests on disk, for replays: records.samples and what is said of it in tbl/settings.def.
 *
 * Workers hand lines over from any thread; the control thread appends them. Two files: when the present one has half of
 * records.samples_size it becomes FILE.1. A disk that does not take a line loses it, counted.
 */
#pragma once
#include "ctl/control.h"

struct rf_samples;

enum { RF_SAMPLES_WAITING = 256 /* lines on their way to the control thread */ };

/* "" in `to` where none are kept. */
void rf_samples_path(const struct rf_boot *b, char *to, size_t room);

int rf_samples_new(struct rf_ctl *c, struct rf_samples **ret, struct rf_err *e);
void rf_samples_free(struct rf_samples *s); /* when no worker runs any more */
/* Any thread: keep this line, without its end. It is copied, or dropped and counted. */
void rf_samples_put(struct rf_samples *s, struct rf_str line);
