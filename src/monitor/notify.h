/* monitor/notify: state for the service manager, as datagrams to $NOTIFY_SOCKET (sd_notify(3)). */
#pragma once
#include <stdint.h>

/* Lines such as "READY=1\nSTATUS=serving". Without a service manager nothing happens. */
void rf_notify(const char *lines);
/* Nanoseconds between signs of life that the service manager wants, 0: none. */
uint64_t rf_notify_watchdog(void);
