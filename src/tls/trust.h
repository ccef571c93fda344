/* tls/trust: the set of roots that client certificates may chain to, with their revocation lists.
 *
 * Immutable and refcounted; the control thread builds a new one when a root or a list changes.
 * One set for all hosts: which roots a host accepts is a bit set over it, so that a chain is
 * verified once whatever host is asked for. At most 64 roots.
 */
#pragma once
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
	char id[33];             /* of the mtls_certificate; "" for our own device CA */
	struct rf_str pem;       /* root and, after it, intermediates to complete chains with */
	enum rf_crl_mode crl_mode;
	const struct rf_crl *const *crls; /* of the root and of its intermediates; referenced by the trust set */
	size_t crl_count;
};

int rf_trust_new(const struct rf_trust_root *roots, size_t count, struct rf_trust **ret, struct rf_err *e);
struct rf_trust *rf_trust_get(const struct rf_trust *t);
void rf_trust_put(struct rf_trust *t);
uint64_t rf_trust_generation(const struct rf_trust *t); /* unique in the process, for cache keys */
size_t rf_trust_count(const struct rf_trust *t);
const char *rf_trust_id(const struct rf_trust *t, int root);
int rf_trust_find(const struct rf_trust *t, const char *id); /* index or -1 */
