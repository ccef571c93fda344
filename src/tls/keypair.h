/* tls/keypair: a server or client certificate with its chain and key, ready to be shown.
 *
 * Immutable and refcounted; made on the control thread, used by every worker.
 */
#pragma once
#include "base/err.h"
#include "base/str.h"

struct rf_keypair;
typedef struct x509_st X509;
typedef struct evp_pkey_st EVP_PKEY;

/* From PEM: leaf first, then its chain (an explicit chain is never completed by guessing). The
 * key must belong to the leaf. */
int rf_keypair_from_pem(struct rf_str chain_pem, struct rf_str key_pem, struct rf_keypair **ret, struct rf_err *e);
struct rf_keypair *rf_keypair_get(const struct rf_keypair *k);
void rf_keypair_put(struct rf_keypair *k);

bool rf_keypair_is_ecdsa(const struct rf_keypair *k);
int64_t rf_keypair_not_after(const struct rf_keypair *k); /* seconds since 1970 */
X509 *rf_keypair_leaf(const struct rf_keypair *k);
EVP_PKEY *rf_keypair_key(const struct rf_keypair *k);
size_t rf_keypair_chain(const struct rf_keypair *k, X509 *const **ret); /* leaf excluded */
