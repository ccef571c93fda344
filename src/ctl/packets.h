/* ctl/packets: rules of the phase packet, from the snapshot into the kernel. */
#pragma once
#include "ctl/control.h"
#include "policy/rule.h"

struct rf_packets;

struct rf_packets *rf_packets_new(void); /* NULL without memory */
void rf_packets_free(struct rf_packets *p); /* NULL is harmless; what is in the kernel stays */

/* TRY: could it be? KEEP: those that the kernel cannot have are left out, and said; only nft takes some without others. */
enum rf_packets_how { RF_PACKETS_TRY, RF_PACKETS_PUT, RF_PACKETS_KEEP };
/* Bring the kernel in line with these rules (NULL: none) and lists. Where there is no kernel filter, nor nft, rules are compiled and in
 * force nowhere. RF_E_UNSUPPORTED, RF_E_TOO_LARGE, with a pointer to the rule: those before are still in force. */
int rf_packets_follow(struct rf_ctl *c, const struct rf_phase_set *set, const struct rf_lists *lists, enum rf_packets_how how, struct rf_err *e);
/* Lists have changed: once more, where a rule in force asks for one. */
int rf_packets_lists_changed(struct rf_ctl *c, struct rf_err *e);
/* For nft: the operations of the rules that are to be in force; and what becomes of them where it refuses all. */
struct rf_nft_op;
const struct rf_nft_op *rf_packets_ops(const struct rf_ctl *c, size_t *ret_n);
void rf_packets_without(struct rf_ctl *c, const char *why);
/* What nft counted of a rule, all in all, by its key. */
void rf_packets_told(const struct rf_ctl *c, uint64_t key, uint64_t frames, uint64_t bytes);
/* Is this rule left out? Why; NULL: it is not. */
const char *rf_packets_left_out(const struct rf_ctl *c, struct rf_str id);
/* {"rules", "in_force", "reason"}, and where some are left out the first of them, "left_out": [{"id", "reason"}]; NULL without memory. */
json_t *rf_packets_status(const struct rf_ctl *c);
/* Why rules of the phase are not in force; NULL: they are. */
const char *rf_packets_missing(const struct rf_ctl *c);
