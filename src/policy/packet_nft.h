/* policy/packet_nft: rules of the phase packet as chains for nft, where that is in the place of the kernel filter.
 *
 * The chains say the same as the evaluator does; a test in a network namespace holds them against it. What nft cannot ask (where the headers of
 * IPv6 end), or only by more levels of chains than the kernel has, is refused with the reason.
 */
#pragma once
#include "bpf/nft.h"
#include "policy/packet_code.h"

struct rf_packet_chains {
	struct rf_nft_op *ops;
	size_t n, rules;
};

/* Where a rule that nft cannot have is told; the others are compiled. */
struct rf_packet_refusals {
	void (*told)(void *ctx, const struct rf_rule *r, const struct rf_err *e);
	void *ctx;
};

/* As rf_packet_compile. `refusals` NULL: the first rule that nft cannot have fails all. */
int rf_packet_nft(const struct rf_phase_set *set, const struct rf_lists *lists, const struct rf_packet_numbers *numbers,
	const struct rf_packet_refusals *refusals, struct rf_packet_chains *ret, struct rf_err *e);
void rf_packet_chains_fini(struct rf_packet_chains *c);
/* Under which key a rule is counted. */
uint64_t rf_packet_nft_key(struct rf_str id);
