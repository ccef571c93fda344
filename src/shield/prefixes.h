/* shield/prefixes: addresses and prefixes with a meaning, in the tables that the kernel filter looks up.
 *
 * A tag is what a prefix means (bpf/filter.h); the longest prefix that holds an address counts. An IPv4 address costs one load
 * where no prefix of its /24 is longer than 24 bits, however many prefixes there are; what is longer, and IPv6, costs one or
 * two more for each length in use. Changes are seen by the kernel at once; a look-up that runs meanwhile sees the old
 * or the new state of the prefix that changes.
 *
 * Owned by one thread. The tables themselves are the caller's: maps of the kernel, or memory in tests.
 */
#pragma once
#include "base/err.h"
#include "base/ip.h"

struct rf_tables {
	struct rf_dir_chunk *first;    /* RF_DIR_CHUNKS; all zero at the start, as the others */
	struct rf_exact_bucket *buckets;     /* RF_EXACT_BUCKETS */
	struct rf_six_root *root;      /* one */
	struct rf_filter_conf *conf;   /* one; `secret` is set, six_all and four_longer are ours */
};

struct rf_prefixes;

/* Over empty tables, which must outlive it. NULL without memory. */
struct rf_prefixes *rf_prefixes_new(const struct rf_tables *t);
void rf_prefixes_free(struct rf_prefixes *p); /* leaves the tables as they are */

/* Give a prefix a tag, 1 to RF_TAG_MAX, in place of the one that it may have. RF_E_NOMEM; RF_E_FULL when the tables hold as
 * much as they can. Nothing has changed then. */
int rf_prefixes_set(struct rf_prefixes *p, const struct rf_prefix *at, uint16_t tag, struct rf_err *e);
/* RF_E_NOT_FOUND. */
int rf_prefixes_clear(struct rf_prefixes *p, const struct rf_prefix *at);
/* Go over to other tables, which may hold an older policy and have another `secret`: what both have stays without a gap. RF_E_FULL:
 * those hold less than they should, and the old ones are still in use. */
int rf_prefixes_move(struct rf_prefixes *p, const struct rf_tables *to);
/* Each prefix once, in no order, until one answers other than RF_OK. */
int rf_prefixes_each(const struct rf_prefixes *p, int (*each)(void *arg, const struct rf_prefix *at, uint16_t tag), void *arg);
/* As the kernel sees it; 0: none. */
uint16_t rf_prefixes_find(const struct rf_prefixes *p, const struct rf_ip *ip);
