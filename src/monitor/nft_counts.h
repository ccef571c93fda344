/* monitor/nft_counts: what the counters of our table in nftables have, asked of the kernel by netlink: the program nft would read all
 * sets first, which takes seconds where they are large.
 */
#pragma once
#include "base/err.h"

/* ret[i]: frames and bytes of the counter words[i]; 0 where there is none. RF_E_IO. */
int rf_nft_counts(const char *const *words, size_t count, uint64_t (*ret)[2]);
