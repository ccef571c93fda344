/* pki/crl: certificate revocation lists [RFC 5280 5], written and read.
 *
 * Reading gives a struct rf_crl: immutable, refcounted, sorted by serial; workers look serials up in it
 * without a lock. 28 bytes an entry. A base and a delta make a new list. An expired list still
 * answers: what that means is the fail mode of its root.
 */
#pragma once
#include <openssl/types.h>
#include <stdatomic.h>
#include "base/buf.h"
#include "base/err.h"

#define RF_CRL_BYTES_MAX (64u << 20)
#define RF_CRL_ENTRIES_MAX 1000000u
#define RF_CRL_SERIAL_MAX 21 /* octets of content: 20 [RFC 5280 4.1.2.2] and a sign octet */

/* CRLReason [RFC 5280 5.3.1]. */
enum {
	RF_REASON_UNSPECIFIED = 0,
	RF_REASON_KEY_COMPROMISE = 1,
	RF_REASON_CA_COMPROMISE = 2,
	RF_REASON_AFFILIATION = 3,
	RF_REASON_SUPERSEDED = 4,
	RF_REASON_CESSATION = 5,
	RF_REASON_HOLD = 6,
	RF_REASON_REMOVE = 8,
	RF_REASON_PRIVILEGE = 9,
	RF_REASON_AA_COMPROMISE = 10,
};

struct rf_crl_entry {
	uint8_t serial[RF_CRL_SERIAL_MAX]; /* content octets of the INTEGER */
	uint8_t serial_len;
	uint8_t reason;
	uint32_t revoked_at; /* seconds since 1970, clamped */
};

struct rf_crl {
	struct rf_str issuer;             /* Name, DER */
	int64_t this_update, next_update; /* seconds since 1970; next_update 0: none was given */
	uint64_t number;                  /* 0 when absent */
	uint64_t base;                    /* of a delta: the number it builds on */
	bool delta, has_number;
	size_t count;
	const struct rf_crl_entry *entries; /* ascending by serial */
	_Atomic unsigned refs;
};

enum rf_crl_state { RF_CRL_FRESH, RF_CRL_EXPIRED, RF_CRL_NOT_YET };

/* Parse PEM or DER and verify it against `ca`, which must be its issuer and may sign CRLs. Indirect CRLs, CRLs
 * for only some reasons or only for CAs or attribute certificates, and unknown critical extensions are
 * refused. The caller owns one reference. Errors: RF_E_TOO_LARGE, RF_E_SYNTAX, RF_E_UNSUPPORTED, RF_E_CERT. */
int rf_crl_parse(struct rf_str text, X509 *ca, struct rf_crl **ret, struct rf_err *e);

/* base with delta applied [RFC 5280 5.2.4]: a full list with the delta's number and times. */
int rf_crl_apply(const struct rf_crl *base, const struct rf_crl *delta, struct rf_crl **ret, struct rf_err *e);

static inline struct rf_crl *rf_crl_get(struct rf_crl *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}
void rf_crl_put(struct rf_crl *c); /* NULL is fine */

/* The entry of a serial (content octets: rf_cert.serial_der), or NULL: not on the list. */
const struct rf_crl_entry *rf_crl_find(const struct rf_crl *c, struct rf_str serial);

/* A list without nextUpdate counts as expired a day after thisUpdate. `now`: seconds since 1970. */
enum rf_crl_state rf_crl_state(const struct rf_crl *c, int64_t now);

/* Fill an entry from a serial in hex, as rf_cert.serial has it. RF_E_SYNTAX when it is none. */
int rf_crl_entry(struct rf_str serial_hex, int64_t revoked_at, unsigned reason, struct rf_crl_entry *ret);

struct rf_crl_make {
	X509 *ca;
	EVP_PKEY *key;
	const struct rf_crl_entry *entries; /* in any order; a delta may hold RF_REASON_REMOVE */
	size_t count;
	uint64_t number;
	uint64_t base;        /* of a delta; ignored otherwise */
	bool delta;
	int64_t now;          /* thisUpdate; wall time, seconds since 1970 */
	unsigned valid_for;   /* seconds until nextUpdate */
};

/* Append a signed CRL, DER. Errors: RF_E_TOO_LARGE, RF_E_CRYPTO, RF_E_NOMEM. */
int rf_crl_build(const struct rf_crl_make *m, struct rf_buf *der, struct rf_err *e);
