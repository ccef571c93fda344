/* shield/tables: the host's side of bpf/look.h, and what shield/prefixes is made of. Private to shield. */
#pragma once
#include "base/list.h"
#include "base/map.h"
#include "bpf/filter.h"
#include "shield/prefixes.h"

#define RF_OF const struct rf_tables *t,
#define RF_IN t,

RF_INLINE const struct rf_dir_chunk *rf_at_first(RF_OF __u32 i) { return &t->first[i]; }
RF_INLINE const struct rf_exact_bucket *rf_at_bucket(RF_OF __u32 i) { return &t->buckets[i]; }
RF_INLINE const struct rf_six_root *rf_at_root(RF_OF __u32 i) { return &t->root[i]; }

#include "bpf/look.h"

/* Exact prefixes (exact.c). */
/* RF_E_FULL: nothing has changed. Replaces the tag of one that is there. */
int exact_put(const struct rf_tables *t, struct rf_key k, uint16_t tag);
void exact_drop(const struct rf_tables *t, struct rf_key k);

/* IPv4 up to 24 bits (dir.c). A depth is the length of the prefix that an entry comes from, and one more; 0: from none. */
int dir_init(uint8_t **ret_depth);
void dir_fini(uint8_t *depth);
/* Every entry of ip/bits whose own prefix is not longer takes `tag`. */
void dir_set(const struct rf_tables *t, uint8_t *depth, uint32_t ip, unsigned bits, uint16_t tag);
/* Every entry that comes from ip/bits takes the tag of the prefix around it (0 and -1: there is none). */
void dir_clear(const struct rf_tables *t, uint8_t *depth, uint32_t ip, unsigned bits, uint16_t around, int around_bits);
/* Longer prefixes lie in the /24 of ip, or no more. */
void dir_mark(const struct rf_tables *t, uint32_t ip, bool longer);
