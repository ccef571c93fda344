/* shield/nflog: frames that nft shows, out of a group of the kernel's log (nfnetlink_log): as struct rf_shown, like those of the kernel filter. */
#pragma once
#include "base/err.h"
#include "bpf/filter.h"

/* One frame of a message of `n` bytes; at_ns is left to the caller. False: it is none of ours. The prefix says why, by which rule and
 * what for: "WHY RULE KIND". */
bool rf_nflog_read(const void *message, size_t n, struct rf_shown *ret);

/* Take what waits, at most `most` frames; says how many, and in *ret_missed whether the kernel had no room for some. */
unsigned rf_nflog_take(int fd, unsigned most, uint64_t now_ns, void (*each)(void *ctx, const void *shown), void *ctx, bool *ret_missed);
