/* monitor/nft_counts: what the counters of our table in nftables have, and which chains it has, asked of the kernel by netlink: the program
 * nft would read all sets first, which takes seconds where they are large.
 */
#pragma once
#include "base/err.h"
#include "base/str.h"

/* Each counter; each chain. Of those of all tables where the kernel asks no further: names that are not ours are not told apart. RF_E_IO. */
int rf_nft_counts(void (*each)(void *ctx, struct rf_str name, uint64_t frames, uint64_t bytes), void *ctx);
int rf_nft_chains(void (*each)(void *ctx, struct rf_str name), void *ctx);
