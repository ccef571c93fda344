/* device/pace: a rate that each device is held to, exact over all workers.
 *
 * One number a device: when what it was let do is paid for, at so much time each. It may be as far ahead of now as so many cost that
 * it may do at once; then nothing more until time has passed. So a refill is a subtraction, and no timer or table exists.
 */
#pragma once
#include "base/err.h"

/* Let it act at `now_ns` (monotonic), and count that: RF_OK; or RF_E_RATE with the time until it may in *ret_wait_ns. `cost_ns` of each,
 * not 0, and at most `burst` at once (0 is 1). What another rate has left behind is cut to what this one knows. Any thread. */
int rf_pace_take(_Atomic uint64_t *paid, uint64_t cost_ns, uint32_t burst, uint64_t now_ns, uint64_t *ret_wait_ns);
/* The same without counting. */
int rf_pace_look(const _Atomic uint64_t *paid, uint64_t cost_ns, uint32_t burst, uint64_t now_ns, uint64_t *ret_wait_ns);
