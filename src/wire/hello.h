/* wire/hello: the ClientHello of TLS, and what it tells about the client [RFC 8446 4.1.2].
 *
 * Slices borrow from the input. Lists of 16-bit numbers stay as they are on the wire: see
 * rf_hello_count and rf_hello_u16.
 */
#pragma once
#include "base/arena.h"
#include "base/buf.h"

struct rf_hello {
	uint16_t legacy_version;
	uint16_t version;          /* highest that is offered, GREASE left out */
	struct rf_str random, session_id;
	struct rf_str ciphers;     /* 16-bit numbers */
	struct rf_str compression;
	struct rf_str extensions;  /* the whole block, for rf_hello_ext_next */
	uint16_t ext_count;
	/* p NULL where the extension is absent */
	struct rf_str sni;         /* host name, checked to have only letters, digits, '-', '_' and '.' */
	struct rf_str alpn;        /* 8-bit length and name, for rf_hello_alpn_next */
	struct rf_str groups, sigalgs, versions; /* 16-bit numbers */
	struct rf_str formats;     /* bytes */
	bool early_data, psk, ticket;
};

/* Parse a handshake message: type 1, 24-bit length, body. RF_OK; RF_E_AGAIN when incomplete;
 * RF_E_SYNTAX when it is another message; RF_E_INVALID when lengths do not add up, an extension
 * comes twice or has a wrong form. */
int rf_hello_parse(struct rf_str message, struct rf_hello *ret);

/* The handshake message out of records [RFC 8446 5.1] at the start of `in`: a slice of `in` where it lies in one
 * record, else put together in the arena. Errors as above, and RF_E_NOMEM, RF_E_TOO_LARGE. */
int rf_hello_from_records(struct rf_str in, struct rf_arena *arena, struct rf_str *ret_message);

static inline size_t rf_hello_count(struct rf_str list) { return list.n / 2; }
static inline uint16_t rf_hello_u16(struct rf_str list, size_t i)
{
	return (uint16_t)((uint8_t)list.p[2 * i] << 8 | (uint8_t)list.p[2 * i + 1]);
}
/* Values that are there to be ignored [RFC 8701 2]. */
static inline bool rf_hello_is_grease(uint16_t v) { return (v & 0x0f0f) == 0x0a0a && v >> 8 == (v & 0xff); }

bool rf_hello_ext_next(struct rf_str *rest, uint16_t *ret_type, struct rf_str *ret_body);
bool rf_hello_alpn_next(struct rf_str *rest, struct rf_str *ret_name);

/* Append the JA3 string (before MD5): "version,ciphers,extensions,groups,formats". RF_E_NOMEM. */
int rf_hello_ja3(const struct rf_hello *h, struct rf_buf *out);

/* A digest of 32 bytes: SHA-256 for JA4. */
typedef void rf_hello_digest(void *ctx, struct rf_str in, uint8_t out[32]);
/* Append the JA4 fingerprint over TCP (or QUIC), "t13d1516h2_8daaf6152771_e5627efa2ab1"; without a digest the raw
 * form (JA4_r). RF_E_TOO_LARGE past RF_LIMIT_HELLO_ITEMS, RF_E_NOMEM. */
int rf_hello_ja4(const struct rf_hello *h, bool quic, rf_hello_digest *sha256, void *ctx, struct rf_buf *out);
