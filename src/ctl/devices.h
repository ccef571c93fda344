/* ctl/devices: the registry follows the state, and what workers saw first goes into the state. */
#pragma once
#include "ctl/control.h"
#include "svc/identity.h"

/* At the start: every device, credential and revoked certificate. */
int rf_devices_load(struct rf_ctl *c, struct rf_err *e);

/* After a commit: bring one device, or the denial of one certificate, in line with the state. The first says
 * whether live connections of the device must end. */
int rf_devices_sync(struct rf_ctl *c, const char *id, bool *ret_sever, struct rf_err *e);
int rf_devices_sync_certificate(struct rf_ctl *c, const char *id, struct rf_err *e);

/* Events of identities, from any worker: for struct rf_identity_env. At most RF_DEVICES_EVENTS_MAX wait; more are
 * counted and lost (false), which loses a device created on first sight only until it is seen again after a restart. */
enum { RF_DEVICES_EVENTS_MAX = 65536, RF_DEVICES_UNKNOWN_MAX = 1000 };
struct rf_devices;
struct rf_devices *rf_devices_new(struct rf_ctl *c);
void rf_devices_free(struct rf_devices *d); /* devices that wait are kept; no other thread knows it any more */
bool rf_devices_event(void *devices, const struct rf_identity_event *ev);

/* On the control loop: what waits goes into the state now. */
void rf_devices_keep(struct rf_devices *d);

/* Certificates that belong to no device, newest first, as JSON for the API. */
int rf_devices_unknown(struct rf_devices *d, size_t limit, json_t *array, struct rf_err *e);
