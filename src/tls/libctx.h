/* tls/libctx: the library context of TLS: libcrypto's default provider, less what certificates do not need.
 *
 * OpenSSL 3.0 reads the public key of each certificate that a peer shows by trying every decoder and key type it has:
 * building that list costs 1.2 million instructions a certificate, a third of a mutual handshake. Our provider passes all
 * operations of the default one through, and of its decoders and key types only those that TLS here uses.
 */
#pragma once
#include <openssl/types.h>

/* One a process, made at the first call (not in several threads at once). NULL, which is libcrypto's default context,
 * where it can't be made: slower, not less safe. */
OSSL_LIB_CTX *rf_tls_libctx(void);
