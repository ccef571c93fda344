/* tls/peer: what a client certificate proved, and the cache of verified chains of one worker.
 *
 * A device that was seen before costs one SHA-256 over what it sent and a look-up instead of building and
 * checking its chain (~200 us). The key is that digest and the generation of the trust set; times are judged at every
 * use, so an entry never outlives its certificate. Least recently used entries leave at the bound.
 */
#pragma once
#include "tls/tls.h"

struct rf_peer_cache;

struct rf_peer_cache *rf_peer_cache_new(size_t bound);
void rf_peer_cache_free(struct rf_peer_cache *c);

/* The peer for this leaf and what came with it (may be NULL). The caller owns one reference.
 * RF_E_CERT (broken or huge encoding), RF_E_NOMEM. */
int rf_peer_verify(struct rf_peer_cache *c, const struct rf_trust *trust, X509 *leaf, STACK_OF(X509) *others,
		   struct rf_tls_peer **ret, struct rf_err *e);

/* The same peer under another trust set, when that has changed. Replaces *peer (reference included). */
int rf_peer_renew(struct rf_peer_cache *c, const struct rf_trust *trust, struct rf_tls_peer **peer, struct rf_err *e);

struct rf_tls_peer *rf_peer_get(struct rf_tls_peer *p);
void rf_peer_put(struct rf_tls_peer *p);

/* Fill verified, revoked, status, reason, peer, roots and what is stale of `info` from the peer at time now_s. */
void rf_peer_judge(const struct rf_tls_peer *p, int64_t now_s, bool denied, struct rf_tls_info *info);

void rf_peer_cache_stats(const struct rf_peer_cache *c, uint64_t *ret_hits, uint64_t *ret_misses);
