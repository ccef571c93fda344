/* monitor/nft_log: a group of the kernel's log to which nft shows frames: the socket is opened here, with the privilege that takes, and read by
 * the engine (shield/nflog), which needs none. */
#pragma once
#include "base/err.h"

/* The first free one of RF_NFT_LOG_GROUPS groups; the socket is the caller's. RF_E_UNSUPPORTED: the kernel has no such log; RF_E_FULL; RF_E_IO. */
enum { RF_NFT_LOG_FIRST = 21062, RF_NFT_LOG_GROUPS = 16 };
int rf_nft_log_open(int *ret_fd, uint16_t *ret_group, struct rf_err *e);
