/* tls/trust: the set of roots that client certificates may chain to, with their revocation lists.
 *
 * Immutable and refcounted; the control thread builds a new one when a root or a list changes.
 * One set for all hosts: which roots a host accepts is a bit set over it, so that a chain is
 * verified once whatever host is asked for. At most 64 roots.
 */
#pragma once
#include <openssl/x509.h>
#include "base/err.h"
#include "pki/cert.h"
#include "pki/crl.h"

enum { RF_TRUST_MAX = 64 };
struct rf_trust;

enum rf_crl_mode {
	RF_CRL_NONE,   /* no list is expected of this root */
	RF_CRL_OPEN,   /* a missing or expired list is reported, and certificates pass */
	RF_CRL_CLOSED, /* a missing or expired list refuses every certificate of this root */
};

struct rf_trust_root {
	char id[33];             /* of the mtls_certificate; RF_TRUST_OWN for our own device CA */
	struct rf_str pem;       /* root and, after it, intermediates to complete chains with */
	enum rf_crl_mode crl_mode;
	struct rf_crl *const *crls; /* of the root and of its intermediates; referenced by the trust set */
	size_t crl_count;
};

/* The id of our own device CA among the roots. */
#define RF_TRUST_OWN "00000000000000000000000000000000"

int rf_trust_new(const struct rf_trust_root *roots, size_t count, struct rf_trust **ret, struct rf_err *e);
struct rf_trust *rf_trust_get(const struct rf_trust *t);
void rf_trust_put(struct rf_trust *t);
uint64_t rf_trust_generation(const struct rf_trust *t); /* unique in the process, for cache keys */
const char *rf_trust_id(const struct rf_trust *t, int root);
int rf_trust_find(const struct rf_trust *t, const char *id); /* index or -1 */

struct rf_trust_verdict {
	int error;          /* X509_V_OK, or why no chain was found; times are not looked at */
	int root;           /* index of the anchor, -1; the first where the same CA was uploaded twice */
	uint64_t roots;     /* all roots that hold this anchor or have issued it, as bits */
	int64_t valid_from, valid_until; /* of the chain found, or of the leaf */
	bool revoked;       /* its issuer says so on a list, whichever root that was given with */
	uint64_t crl_expected;            /* those of roots that expect lists of this chain */
	uint64_t crl_closed;              /* those of crl_expected that do not vouch without fresh ones */
	int64_t crl_until[RF_TRUST_MAX];  /* by root of crl_expected: fresh until then, seconds since 1970; -1: one is missing */
};

/* Build and check the chain of `leaf`. `others`: what the peer sent beside it, may be NULL. */
int rf_trust_verify(const struct rf_trust *t, X509 *leaf, STACK_OF(X509) *others, struct rf_trust_verdict *ret);

X509_STORE *rf_trust_store(const struct rf_trust *t); /* borrowed: to verify origins with */
