/* records/log_in: the writer's end of the operational log. */
#pragma once
#include "base/buf.h"
#include "records/log.h"
#include "records/ring.h"

struct rf_log_line {
	int64_t at; /* wall clock, ns */
	enum rf_log_level level;
	const char *subsystem;
	char text[RF_LOG_LINE_MAX]; /* cut */
};

/* From now on lines are queued for a writer that `wake` wakes; NULL: to standard error again. */
void rf_log_attach(struct rf_ring_wake *wake);
bool rf_log_take(struct rf_log_line *ret);
void rf_log_line_text(struct rf_buf *out, const struct rf_log_line *l); /* without line end */
void rf_log_line_json(struct rf_buf *out, const struct rf_log_line *l);
