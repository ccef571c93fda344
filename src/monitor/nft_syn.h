/* monitor/nft_syn: SYN cookies where nft is in the kernel filter's place: the kernel's SYNPROXY, in a table of its own.
 *
 *   SYN to a listener of this machine -> more of them than the rate? -> flood there for ten seconds -> not tracked -> answered with a cookie
 *   ACK that belongs to no connection, in a flood -> its cookie checked -> SYNPROXY begins the connection with the listener
 *
 * It takes connection tracking, which is on while the table is there, and sees all of this machine's traffic.
 */
#pragma once
#include "monitor/nft_policy.h"

#define RF_NFT_SYN_TABLE "inet ringfence"

/* What the kernel's TCP says to clients, which a cookie must say as well. */
struct rf_nft_tcp { unsigned scale; bool sack, stamps; };
struct rf_nft_tcp rf_nft_tcp_now(void);

/* Can it be? RF_E_UNSUPPORTED with the reason, RF_E_INVALID in nft's words. */
int rf_nft_syn_probe(struct rf_err *e);
/* Commands for the table, or those that take it away; then those of each interface. */
void rf_nft_syn_text(const struct rf_nft_head *h, struct rf_buf *to);
int rf_nft_syn_hook_text(const struct rf_nft_head *h, const struct rf_nft_tcp *tcp, const char *interface, unsigned mtu, struct rf_buf *to,
	struct rf_err *e);
/* Frames: SYNs answered, and cookies that came back, good and bad; from the start of this network namespace. False: the kernel does not say. */
bool rf_nft_syn_counts(uint64_t *ret_cookies, uint64_t *ret_good, uint64_t *ret_bad);
/* The kernel must not take an ACK of a connection that it does not know for one. RF_E_IO. */
int rf_nft_syn_strict(struct rf_err *e);
