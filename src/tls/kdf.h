/* tls/kdf: the key schedule of TLS 1.3 [RFC 8446 7.1], as libssl asks our provider for it, and for records.
 *
 * libcrypto's own builds a MAC anew for each of the twenty derivations of a handshake; this one does the same hashing
 * without that. And it tells a listener the traffic secrets, with which a connection leaves libssl (takeover).
 *
 * Private to src/tls.
 */
#pragma once
#include <openssl/core.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/str.h"

enum tls_hash { TLS_SHA256, TLS_SHA384, TLS_HASHES };
enum { TLS_SECRET_MAX = 48 };

/* The digests, from libcrypto's default context; before anything else here. False without memory. */
bool tls_kdf_init(void);
size_t tls_hash_n(enum tls_hash h); /* bytes of its output */

/* HKDF-Expand-Label(secret, label, context, n) [RFC 8446 7.1]; `label` with its prefix, e.g. "tls13 key". `scratch` is used up.
 * False when libcrypto fails or something is too long; `to` is then undefined. */
bool tls_expand_label(EVP_MD_CTX *scratch, enum tls_hash h, const uint8_t *secret, struct rf_str label, struct rf_str context,
		      uint8_t *to, size_t n);

/* Until the next call, on this thread: tell `sink` each first application traffic secret that is derived. NULL: nobody. */
void tls_kdf_listen(void (*sink)(void *arg, bool of_client, const uint8_t *secret, size_t n), void *arg);

/* For the provider: the algorithm TLS13-KDF. */
extern const OSSL_DISPATCH tls_kdf_functions[];
