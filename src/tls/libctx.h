/* tls/libctx: the library context of TLS: libcrypto's default provider, less what TLS here does not use.
 *
 * OpenSSL 3.0 reads the public key of each certificate that a peer shows by trying every decoder and key type it has, and by
 * copying the list of all algorithms that it has loaded, several times: more than a million instructions a certificate, a third
 * of a mutual handshake. Our provider passes the operations of the default one through, and of each only those algorithms that
 * TLS and its certificates use. The key schedule of TLS 1.3 is our own (tls/kdf).
 */
#pragma once
#include <openssl/types.h>

/* One a process, made at the first call (not in several threads at once). NULL, which is libcrypto's default context,
 * where it can't be made: slower, not less safe. */
OSSL_LIB_CTX *rf_tls_libctx(void);
