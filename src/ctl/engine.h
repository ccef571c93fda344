/* ctl/engine: the unprivileged half of the daemon, from birth in the sandbox to its end. */
#pragma once
#include "ctl/boot.h"

/* Serve until the monitor says drain or is gone. Takes over `boot`. The exit status of the process. */
int rf_engine_run(int monitor_fd, struct rf_boot *boot);
