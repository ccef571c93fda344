/* ctl/alerts: posts alerts to the webhook of the boot file, on a thread of its own.
 *
 * An alert that cannot be delivered is tried again RF_ALERT_TRIES times, each after a longer pause. While RF_ALERTS_WAITING wait, a
 * further one is lost, and counted.
 */
#pragma once
#include <jansson.h>
#include "ctl/control.h"

enum { RF_ALERTS_WAITING = 64, RF_ALERT_TRIES = 6 };

struct rf_alerts;

int rf_alerts_start(struct rf_ctl *c, struct rf_alerts **ret, struct rf_err *e);
/* What waits is given up. NULL is harmless. */
void rf_alerts_stop(struct rf_alerts *a);
/* The boot file may have changed. */
void rf_alerts_kick(struct rf_alerts *a);
/* Returns at once. Without a webhook, with NULL for either: nothing. */
void rf_alerts_post(struct rf_alerts *a, const json_t *alert);
