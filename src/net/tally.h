/* net/tally: how many of something each key holds at this time, with a limit, in a bounded table.
 *
 * For connections an address or a device may have at once. Owned by one thread.
 */
#pragma once
#include "base/map.h"

struct rf_tally_entry;

struct rf_tally {
	struct rf_map map;
	struct rf_tally_entry *entries, *free, *next;
	uint32_t fresh;         /* from `next` on */
	uint64_t refused, full; /* RF_E_RATE and RF_E_FULL answered */
};

/* At most `keys` keys that hold something. RF_E_NOMEM. */
int rf_tally_init(struct rf_tally *t, uint32_t keys);
void rf_tally_fini(struct rf_tally *t);
/* One more for `key`: RF_OK and *ret to give back with rf_tally_put; RF_E_RATE when it holds `limit` already;
 * RF_E_FULL when the table has no room for another key. A key of more than 40 bytes is replaced by its hash. */
int rf_tally_get(struct rf_tally *t, struct rf_str key, uint32_t limit, struct rf_tally_entry **ret);
void rf_tally_put(struct rf_tally *t, struct rf_tally_entry *e); /* harmless for NULL */
