/* monitor/pins: the directory of a bpf file system in which programs, maps and links outlive this process. */
#pragma once
#include "base/err.h"

/* Made where it is not there; /sys/fs/bpf is mounted where it is not. RF_E_INVALID, RF_E_UNSUPPORTED, RF_E_IO. */
int rf_pins_dir(const char *dir, struct rf_err *e);

/* From now on keep what libbpf and the verifier complain about. */
void rf_pins_listen(void);
/* ": " and the last complaint since rf_pins_listen; "" where there was none. */
const char *rf_pins_complaint(void);
