/* pki/pkcs11: private keys that stay in a token, through libcrypto's engine "pkcs11". */
#pragma once
#include <openssl/types.h>
#include "base/err.h"

/* The private key of a PKCS#11 URI; see rf_key_load. Errors: RF_E_UNSUPPORTED when the engine is not
 * installed, RF_E_NOT_FOUND when the token has no such key, RF_E_CONFLICT for a second module. */
int rf_pkcs11_key(const char *uri, EVP_PKEY **ret, struct rf_err *e);
