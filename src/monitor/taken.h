/* monitor/taken: ports at which other programs of this machine receive, so that an app does not take their place unasked. */
#pragma once
#include "monitor/ports.h"

/* Bits of the ports, TCP and then UDP, at which a socket that is none of `own` listens, or receives from anybody, at this address
 * (unspecified: at any of its family). `dir` has the kernel's tables: "/proc/self/net". RF_E_IO: a table cannot be read. */
int rf_ports_taken(const char *dir, const struct rf_ip *at, const struct rf_port_sockets *own, uint64_t words[2 * 1024]);
