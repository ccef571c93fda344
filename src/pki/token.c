/* pki/token: see token.h. */
#include "pki/token.h"
#include <openssl/rand.h>
#include <openssl/sha.h>
#include "base/enc.h"

int rf_token_new(const char prefix[5], char text[RF_TOKEN_SIZE], uint8_t hash[RF_TOKEN_HASH])
{
	uint8_t random[32];
	RF_BUF_AUTO b = { 0 };
	if (RAND_priv_bytes(random, sizeof random) != 1)
		return RF_E_CRYPTO;
	rf_buf_add(&b, rf_str_z(prefix));
	rf_b64url_add(&b, (struct rf_str){ (char *)random, sizeof random });
	OPENSSL_cleanse(random, sizeof random);
	if (b.bad || b.n != RF_TOKEN_SIZE - 1)
		return RF_E_NOMEM;
	memcpy(text, b.p, b.n);
	text[b.n] = '\0';
	OPENSSL_cleanse(b.p, b.cap);
	SHA256((const unsigned char *)text, RF_TOKEN_SIZE - 1, hash);
	return RF_OK;
}

static bool token_char(char c)
{
	unsigned char l = rf_lower((unsigned char)c);
	return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

int rf_token_hash(const char prefix[5], struct rf_str text, uint8_t hash[RF_TOKEN_HASH])
{
	if (text.n != RF_TOKEN_SIZE - 1 || !rf_str_starts(text, rf_str_z(prefix)))
		return RF_E_SYNTAX;
	for (size_t i = 0; i < text.n; i++)
		if (!token_char(text.p[i]))
			return RF_E_SYNTAX;
	SHA256((const unsigned char *)text.p, text.n, hash);
	return RF_OK;
}
