/* pki/key: private keys, from files or from a PKCS#11 token.
 *
 * A key is libcrypto's EVP_PKEY, so that TLS can use it as it is; EVP_PKEY_free wipes it. A key of
 * a token never leaves it: the EVP_PKEY then only refers to it.
 */
#pragma once
#include <openssl/types.h>
#include "base/buf.h"
#include "base/err.h"

#define RF_KEY_FILE_MAX 65536
#define RF_KEY_RSA_MIN 2048
#define RF_KEY_RSA_MAX 8192 /* larger ones cost a verifier milliseconds for nothing */

/* A fresh P-256 key; the caller frees it with EVP_PKEY_free. */
int rf_key_new(EVP_PKEY **ret, struct rf_err *e);

/* The key at `where`: a PEM file, which only its owner may read, or a PKCS#11 URI [RFC 7512] such as
 * "pkcs11:token=edge;object=ca?pin-source=/etc/ringfence/pin&module-path=/usr/lib/softhsm/libsofthsm2.so".
 * Without module-path the modules that p11-kit knows are asked; one module a process.
 * Blocks while the token works: not for workers. */
int rf_key_load(const char *where, EVP_PKEY **ret, struct rf_err *e);
bool rf_key_is_uri(const char *where);

/* The first private key of a PEM text, unencrypted. */
int rf_key_parse(struct rf_str pem, EVP_PKEY **ret, struct rf_err *e);

/* PKCS#8 PEM appended to `to`; wipe it with rf_buf_wipe (pki/file.h) afterwards. */
int rf_key_pem(const EVP_PKEY *key, struct rf_buf *to, struct rf_err *e);

/* Write PKCS#8 PEM to `path` with mode 0600, whole or not at all. */
int rf_key_save(const EVP_PKEY *key, const char *path, struct rf_err *e);

/* May a device have this public key? P-256 and P-384 by name, RSA of 2048 to 8192 bits; anything
 * else is RF_E_CERT with the reason. */
int rf_key_allowed(const EVP_PKEY *key, struct rf_err *e);
