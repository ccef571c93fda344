/* records/metrics: the counters as Prometheus text (exposition format 0.0.4), with gauges read when asked. */
#pragma once
#include "base/buf.h"
#include "base/err.h"

enum { RF_GAUGES_MAX = 64 };
#define RF_METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* A value that is read when the metrics are: `read` runs on the thread that calls rf_metrics_write. The strings must
 * outlive the process's use; gauges of one name must be added one after the other. At start-up, on one thread.
 * RF_E_FULL. */
int rf_metrics_gauge(const char *name, const char *labels, const char *help, double (*read)(void *arg), void *arg);

/* All of it, appended. Any thread. */
void rf_metrics_write(struct rf_buf *out);
