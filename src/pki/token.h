/* pki/token: bearer tokens: made once, shown once, stored as a hash.
 *
 * Text: a prefix that names the kind, then 32 random bytes as base64url. With 256 random bits a
 * plain SHA-256 is a sound hash for storage.
 */
#pragma once
#include "base/err.h"
#include "base/str.h"

#define RF_TOKEN_PROVISION "rfp_" /* lets a device enrol, once */
#define RF_TOKEN_API "rft_"       /* lets a person or program use the API */
#define RF_TOKEN_SIZE 48          /* 4 + 43 and a NUL */
#define RF_TOKEN_HASH 32

/* Draw a token. Errors: RF_E_CRYPTO when there is no randomness. */
int rf_token_new(const char prefix[5], char text[RF_TOKEN_SIZE], uint8_t hash[RF_TOKEN_HASH]);

/* The hash of a token as received; RF_E_SYNTAX unless it has the prefix and form of one. */
int rf_token_hash(const char prefix[5], struct rf_str text, uint8_t hash[RF_TOKEN_HASH]);
