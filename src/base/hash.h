/* base/hash: SipHash-2-4, keyed so that peers cannot choose collisions.
 *
 * One key a process, drawn at start (rf_hash_seed); tests leave it zero and get stable values.
 */
#pragma once
#include "base/str.h"

void rf_hash_seed(const uint8_t key[16]);
uint64_t rf_hash(struct rf_str s);
/* The same under a key of the caller's, for hashes that outlive the process. */
uint64_t rf_hash_keyed(const uint8_t key[16], struct rf_str s);
/* A few multiplications, for texts that no peer chooses, and digests of what an administrator says. Keyed too. */
uint64_t rf_hash_quick(struct rf_str s);
/* 128 bits, which may stand for the text itself: SipHash-2-4-128 with the same key. */
void rf_hash128(struct rf_str s, uint64_t ret[2]);
