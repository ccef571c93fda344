#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdatomic.h>
#include <stdlib.h>
#include "pki/pem.h"
#include "tls/keypair.h"

struct rf_keypair {
	_Atomic unsigned refs;
	EVP_PKEY *key;
	STACK_OF(X509) *certs; /* leaf first */
	X509 **chain;          /* the rest */
	size_t chain_count;
	int64_t not_after;
	bool ecdsa;
};

static EVP_PKEY *read_key(struct rf_str pem)
{
	BIO *bio = pem.n <= INT32_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)"") : NULL;
	BIO_free(bio);
	return key;
}

static int64_t epoch(const ASN1_TIME *t)
{
	struct tm tm;
	return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static int fill(struct rf_keypair *k, struct rf_err *e)
{
	X509 *leaf = sk_X509_value(k->certs, 0);
	int rc = rf_x509_match(leaf, k->key, e);
	if (rc != RF_OK)
		return rc;
	k->chain_count = (size_t)sk_X509_num(k->certs) - 1;
	k->chain = calloc(k->chain_count + 1, sizeof *k->chain);
	if (!k->chain)
		return rf_fail(e, RF_E_NOMEM, "no memory for a certificate chain");
	for (size_t i = 0; i < k->chain_count; i++)
		k->chain[i] = sk_X509_value(k->certs, (int)i + 1);
	k->ecdsa = EVP_PKEY_get_base_id(k->key) == EVP_PKEY_EC;
	k->not_after = epoch(X509_get0_notAfter(leaf));
	return RF_OK;
}

int rf_keypair_from_pem(struct rf_str chain_pem, struct rf_str key_pem, struct rf_keypair **ret, struct rf_err *e)
{
	struct rf_keypair *k = calloc(1, sizeof *k);
	if (!k)
		return rf_fail(e, RF_E_NOMEM, "no memory for a certificate");
	atomic_init(&k->refs, 1);
	int rc = rf_pem_certs(chain_pem, &k->certs, e);
	if (rc == RF_OK && !(k->key = read_key(key_pem)))
		rc = rf_fail(e, RF_E_CERT, "the private key is not an unencrypted PEM key (BEGIN PRIVATE KEY)");
	if (rc == RF_OK)
		rc = fill(k, e);
	if (rc != RF_OK) {
		rf_keypair_put(k);
		return rc;
	}
	*ret = k;
	return RF_OK;
}

struct rf_keypair *rf_keypair_get(const struct rf_keypair *k)
{
	struct rf_keypair *shared = (struct rf_keypair *)k;
	atomic_fetch_add(&shared->refs, 1);
	return shared;
}

void rf_keypair_put(struct rf_keypair *k)
{
	if (!k || atomic_fetch_sub(&k->refs, 1) != 1)
		return;
	EVP_PKEY_free(k->key);
	sk_X509_pop_free(k->certs, X509_free);
	free(k->chain);
	free(k);
}

bool rf_keypair_is_ecdsa(const struct rf_keypair *k) { return k->ecdsa; }
int64_t rf_keypair_not_after(const struct rf_keypair *k) { return k->not_after; }
X509 *rf_keypair_leaf(const struct rf_keypair *k) { return sk_X509_value(k->certs, 0); }
EVP_PKEY *rf_keypair_key(const struct rf_keypair *k) { return k->key; }

size_t rf_keypair_chain(const struct rf_keypair *k, X509 *const **ret)
{
	*ret = k->chain;
	return k->chain_count;
}
