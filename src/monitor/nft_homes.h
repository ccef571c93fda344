/* monitor/nft_homes: addresses of devices of ours that nft lets alone, slows or holds: from records of the engine to a text for nft.
 *
 * One verdict map a family says what becomes of a source, in the chain of the fleet (monitor/nft_policy). Records are looked at first, as
 * all that comes from the engine.
 */
#pragma once
#include "base/buf.h"
#include "base/err.h"

enum { RF_NFT_HOMES_MAX = 16384, RF_NFT_SHARES = 4 };

struct rf_nft_home {
	uint8_t family, state, share, unused; /* 4 or 6; RF_HOME_EXEMPT, _HELD, _SLOW, or 0: nothing is done; so many devices share what is let through */
	uint8_t address[16];
};

struct rf_nft_homes { struct rf_nft_home *v; size_t n; }; /* malloced, sorted */

/* From a sealed file of records. RF_E_INVALID with what is wrong, RF_E_TOO_LARGE, RF_E_NOMEM. */
int rf_nft_homes_read(int fd, struct rf_nft_homes *ret, struct rf_err *e);
void rf_nft_homes_fini(struct rf_nft_homes *h);
/* To *h those of `left` whose addresses it does not have; those to which nothing is done go from it. RF_E_NOMEM. */
int rf_nft_homes_merge(struct rf_nft_homes *h, const struct rf_nft_homes *left);
bool rf_nft_homes_same(const struct rf_nft_homes *a, const struct rf_nft_homes *b);

/* Their maps, and the chains that these lead to: what leaves this machine is slowed or held, and what goes to it is not. */
void rf_nft_homes_chains(struct rf_buf *to);
/* What asks the maps, as rules of the chain `fleet`. */
void rf_nft_homes_rules(struct rf_buf *to);
/* The maps hold these and no others from then on. */
void rf_nft_homes_text(const struct rf_nft_homes *h, struct rf_buf *to);
