/* tls/record: protection of TLS 1.3 records [RFC 8446 5.2], one direction of a connection at a time.
 *
 * A direction (struct tls_half) is its secrets and a sequence number, some 130 bytes. A keyed cipher, which is
 * a kilobyte, is lent to it by the worker's struct tls_ciphers when a record is made or opened, and taken away when
 * others need it more: a connection that is busy finds its own again, an idle one has none.
 *
 * Private to src/tls. Not here: what a record means (direct), when libssl hands over (takeover).
 */
#pragma once
#include "base/list.h"
#include "tls/aead.h"
#include "tls/kdf.h"

enum {
	TLS_PLAIN_MAX = 16384, /* bytes of content in a record [RFC 8446 5.1] */
	TLS_CIPHER_MAX = TLS_PLAIN_MAX + 256, /* what a header may announce [RFC 8446 5.2] */
	TLS_RECORD_MAX = TLS_HEADER + TLS_CIPHER_MAX,
	TLS_OVERHEAD = TLS_HEADER + 1 + TLS_TAG, /* of a record without padding */
	TLS_LENT_MAX = 256, /* keyed ciphers of a worker */
};

enum tls_type { TLS_TYPE_ALERT = 21, TLS_TYPE_HANDSHAKE = 22, TLS_TYPE_DATA = 23 };

struct tls_suite {
	uint32_t id; /* as libssl numbers it */
	enum tls_aead_kind aead;
	enum tls_hash hash;
	uint8_t key_n, secret_n;
};

struct tls_lent;

struct tls_half {
	const struct tls_suite *suite;
	struct tls_lent *lent; /* the cipher that has our key now; NULL */
	uint64_t seq;
	uint8_t secret_n;
	uint8_t secret[TLS_SECRET_MAX], key[TLS_KEY_MAX], iv[TLS_IV];
};

struct tls_ciphers {
	struct tls_aeads aeads;
	EVP_MD_CTX *scratch;
	struct rf_node used; /* of struct tls_lent, least recently first */
	unsigned count, max;
	uint64_t keyed;      /* times that a key was given to a cipher */
};

/* The suite of this number, NULL where it is none of TLS 1.3 that we know. */
const struct tls_suite *tls_suite_of(uint32_t id);

/* False without memory or without these algorithms; fini is right after that too. Halves must be gone before fini. */
bool tls_ciphers_init(struct tls_ciphers *c, OSSL_LIB_CTX *libctx);
void tls_ciphers_fini(struct tls_ciphers *c);

/* Start with h->secret: derive key and IV [RFC 8446 7.3]; seq stays. False when libcrypto fails. */
bool tls_half_start(struct tls_ciphers *c, struct tls_half *h, const struct tls_suite *suite);
/* The next generation of keys [RFC 8446 7.2]; seq is 0 again. */
bool tls_half_update(struct tls_ciphers *c, struct tls_half *h);
void tls_half_fini(struct tls_half *h); /* wipes it; harmless when zeroed */

/* Protect the n bytes at to + TLS_HEADER, n <= TLS_PLAIN_MAX, in place; there is room for n + TLS_OVERHEAD bytes at `to`.
 * The length of the record; 0 when libcrypto fails or the sequence numbers are used up, and the half is of no use then. */
size_t tls_seal(struct tls_ciphers *c, struct tls_half *h, enum tls_type type, uint8_t *to, size_t n);

/* What a record is found to be. */
struct tls_plain {
	uint8_t type; /* any value but 0 */
	size_t n;     /* bytes of content, <= TLS_PLAIN_MAX */
};

/* Open the whole record at `record`: its header and `length` bytes after it, TLS_TAG <= length <= TLS_CIPHER_MAX. The content
 * comes to `to`, which is record + TLS_HEADER or lies apart from it, with room for length - TLS_TAG bytes; what is there after a
 * failure is wiped. 0, or the alert with which the connection must end. */
int tls_open(struct tls_ciphers *c, struct tls_half *h, const uint8_t *record, size_t length, uint8_t *to, struct tls_plain *ret);
