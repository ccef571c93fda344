/* monitor/nft: the policy of the shield in nftables, on interfaces where there is no kernel filter: the program nft is run for each change.
 *
 * The table outlives this process, so that a restart opens no gate; each change is one transaction, and a failed one leaves all as it
 * was. Not here: what is in the text (nft_policy).
 */
#pragma once
#include "monitor/nft_policy.h"

/* Run nft with these commands. RF_E_UNSUPPORTED: there is none, RF_E_TIMEOUT,
 * RF_E_INVALID with nft's words. */
int rf_nft_run(struct rf_str commands, struct rf_err *e);
