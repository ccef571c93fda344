/* tls/aead: a keyed cipher that protects the records of a direction [RFC 8446 5.2].
 *
 * libcrypto does them all. AES-GCM is done by ipsec-mb where the build has it and the processor has AES and carry-less multiplication:
 * a record of 128 bytes takes a seventh of the time, as nothing is looked up by name.
 *
 * Private to src/tls. Not here: nonces, sequence numbers and what is in a record (record).
 */
#pragma once
#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TLS_HEADER = 5, TLS_TAG = 16, TLS_KEY_MAX = 32, TLS_IV = 12 };

enum tls_aead_kind { TLS_AES_128_GCM, TLS_AES_256_GCM, TLS_CHACHA20_POLY1305, TLS_AEADS };

struct tls_aead; /* one cipher; its key may change */

struct tls_aeads { /* what the ciphers of a worker share */
	EVP_CIPHER *cipher[TLS_AEADS];
	void *mb; /* NULL: libcrypto does AES-GCM */
};

/* False without memory or without these algorithms; fini is right after that too. Ciphers must be gone before fini. */
bool tls_aeads_init(struct tls_aeads *s, OSSL_LIB_CTX *libctx);
void tls_aeads_fini(struct tls_aeads *s);

struct tls_aead *tls_aead_new(void); /* without a key; NULL without memory */
void tls_aead_free(struct tls_aead *a); /* wipes the key; NULL is harmless */
void tls_aead_wipe(struct tls_aead *a); /* no key any more */
/* It has this key from now on, for one of the two directions. False when that fails, and it has none then. */
bool tls_aead_key(const struct tls_aeads *s, struct tls_aead *a, enum tls_aead_kind kind, const uint8_t *key, bool encrypt);

/* Protect the n bytes at record + TLS_HEADER in place, with the header as additional data; the tag comes behind them. */
bool tls_aead_seal(const struct tls_aeads *s, struct tls_aead *a, const uint8_t nonce[TLS_IV], uint8_t *record, size_t n);
/* Open the n bytes at record + TLS_HEADER, with the tag behind them, into `to`: the same place, or apart from it. False when the record is
 * not genuine: what is at `to` then is to be wiped. */
bool tls_aead_open(const struct tls_aeads *s, struct tls_aead *a, const uint8_t nonce[TLS_IV], const uint8_t *record, size_t n,
		   uint8_t *to);
