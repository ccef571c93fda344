/* records/metrics: the counters as Prometheus text (exposition format 0.0.4). */
#pragma once
#include "base/buf.h"

#define RF_METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* All of it, appended. Any thread. */
void rf_metrics_write(struct rf_buf *out);
