/* pki/credkey: the bytes under which a credential is kept in the device registry.
 *
 * Workers make them from a certificate, the API from what an operator writes; both end here, so that they
 * mean the same. At most 32 bytes each.
 */
#pragma once
#include "base/err.h"
#include "base/str.h"

enum { RF_CREDKEY_MAX = 32 };

struct rf_credkey {
	uint8_t b[RF_CREDKEY_MAX];
	uint8_t n;
};

static inline struct rf_str rf_credkey_str(const struct rf_credkey *k)
{
	return (struct rf_str){ (const char *)k->b, k->n };
}

/* Subject key identifier in hex; longer ones than 32 octets are hashed. RF_E_SYNTAX. */
int rf_credkey_ski(struct rf_str hex, struct rf_credkey *ret);
/* SHA-256 of the certificate, 64 hex digits. */
int rf_credkey_fingerprint(struct rf_str hex, struct rf_credkey *ret);
/* A serial of an issuer, both in hex; case and leading zeros make no difference. */
int rf_credkey_serial(struct rf_str issuer_ski, struct rf_str serial, struct rf_credkey *ret);
/* An address of IPv4 or IPv6. */
int rf_credkey_address(struct rf_str text, struct rf_credkey *ret);
/* The expanded template of a class, under the root that vouches for it. */
int rf_credkey_name(struct rf_str root_id, struct rf_str name, struct rf_credkey *ret);
