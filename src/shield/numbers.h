/* shield/numbers: under which number the kernel counts a rule of the phase packet, and what it has counted.
 *
 * The table of numbers lies in a map of the kernel beside the counters, so that counts go on over restarts of the daemon.
 * Owned by the control thread.
 */
#pragma once
#include "base/err.h"
#include "bpf/facts.h"

enum { RF_NUMBERS_WORDS = RF_PACKET_RULES / 64 };

struct rf_numbers {
	struct rf_rule_ids *ids;
	struct rf_rule_counts *counts; /* a line for each processor; NULL: there is no kernel filter */
	int lines;                     /* of counts */
};

struct rf_number_set { uint64_t bits[RF_NUMBERS_WORDS]; };

/* Over two maps; RF_E_NOMEM. The descriptors stay the caller's. */
int rf_numbers_init(struct rf_numbers *n, int ids, int counts);
/* In memory of its own, where something else counts: rf_numbers_told. RF_E_NOMEM. */
int rf_numbers_init_own(struct rf_numbers *n);
void rf_numbers_fini(struct rf_numbers *n);
/* The number of a rule, or a free one, counted from 0, which it then has. RF_E_FULL. Added to *used. */
int rf_numbers_take(const struct rf_numbers *n, struct rf_str id, struct rf_number_set *used, unsigned *ret);
/* Numbers that are not among these become free: nothing counts under them. */
void rf_numbers_keep(const struct rf_numbers *n, const struct rf_number_set *used);
/* RF_E_NOT_FOUND. */
int rf_numbers_find(const struct rf_numbers *n, struct rf_str id, unsigned *ret);
/* The rule of a number; "" where it has none. */
struct rf_str rf_numbers_rule(const struct rf_numbers *n, unsigned number);
/* So much was counted under a number, all in all. */
void rf_numbers_told(const struct rf_numbers *n, unsigned number, uint64_t frames, uint64_t bytes);
void rf_numbers_counted(const struct rf_numbers *n, unsigned number, uint64_t *ret_frames, uint64_t *ret_bytes);
