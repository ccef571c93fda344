/* monitor/nft_rules: rules of the phase packet (bpf/nft.h), as the engine hands them over, to a text for nft. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "bpf/nft.h"

/* Only operations, fields, chains and ranges that there are; that chains do not go round in circles is seen by the kernel. RF_E_INVALID. */
int rf_nft_rules_check(const struct rf_nft_op *v, size_t n, struct rf_err *e);

/* The names of its chains, and of the counters of rules. */
enum { RF_NFT_NAME = 24 };
const char *rf_nft_chain_name(uint32_t chain, char to[RF_NFT_NAME]);
const char *rf_nft_rule_name(uint64_t key, char to[RF_NFT_NAME]);
/* The key, or the number, of such a name. */
bool rf_nft_rule_named(struct rf_str name, uint64_t *ret);
bool rf_nft_chain_named(struct rf_str name, uint32_t *ret);
uint32_t rf_nft_rules_chains(const struct rf_nft_op *v, size_t n);

struct rf_nft_shown {         /* how frames are shown: to a group of the kernel's log */
	uint16_t group;           /* 0: they are not */
	uint16_t rule;            /* all that this rule's number, and one more, matches; 0: of none */
	uint32_t samples;         /* of what is recorded, a second */
};
enum { RF_NFT_CAPTURE_RATE = 4000 }; /* frames a second that a capture has at most, and as many at once */
/* A rule of a chain that shows frames, with why (RF_DROP_*), by which rule (a number, and one more; 0: none) and what for (RF_SAMPLE_*). */
void rf_nft_show_text(const struct rf_nft_shown *s, const char *chain, unsigned why, unsigned rule, unsigned kind, struct rf_buf *to);

/* Commands that add the chains and counters, and the rules; the first chain is that of number 0. They go on at the chain "after"; what is blocked
 * goes to "end_by_rule". All chains are empty before. */
void rf_nft_rules_text(const struct rf_nft_op *v, size_t n, const struct rf_nft_shown *s, struct rf_buf *to);
