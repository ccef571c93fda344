/* tls/fingerprint: a kept ClientHello -> its parts (wire/hello) -> a text or list of numbers -> a digest.
 *
 * Made when a rule asks, never for its own sake. Not here: keeping the message (tls/server).
 */
#include <openssl/evp.h>
#include "base/enc.h"
#include "base/err.h"
#include "tls/fingerprint.h"
#include "wire/hello.h"

static int digest(const char *name, struct rf_str in, unsigned char out[EVP_MAX_MD_SIZE], size_t *ret_n)
{
	return EVP_Q_digest(NULL, name, NULL, in.p, in.n, out, ret_n) ? RF_OK : RF_E_CRYPTO;
}

static int ja3(const struct rf_hello *h, struct rf_buf *to)
{
	RF_BUF_AUTO text = { 0 };
	unsigned char md[EVP_MAX_MD_SIZE];
	size_t n;
	int rc = rf_hello_ja3(h, &text);
	if (rc == RF_OK)
		rc = digest("MD5", rf_buf_str(&text), md, &n);
	for (size_t i = 0; rc == RF_OK && i < n; i++)
		rf_buf_printf(to, "%02x", md[i]);
	return rc;
}

static void sha256(void *ctx, struct rf_str in, uint8_t out[32])
{
	unsigned char md[EVP_MAX_MD_SIZE] = { 0 };
	size_t n;
	*(int *)ctx = digest("SHA256", in, md, &n);
	memcpy(out, md, 32);
}

static int ja4(const struct rf_hello *h, struct rf_buf *to)
{
	int hashed = RF_OK;
	int rc = rf_hello_ja4(h, false, sha256, &hashed, to);
	return rc == RF_OK ? hashed : rc;
}

static int sha1(struct rf_str in, struct rf_buf *to)
{
	unsigned char md[EVP_MAX_MD_SIZE];
	size_t n;
	int rc = digest("SHA1", in, md, &n);
	if (rc == RF_OK)
		rf_b64_add(to, (struct rf_str){ (const char *)md, n });
	return rc;
}

static int extensions(const struct rf_hello *h, bool little, struct rf_buf *to)
{
	RF_BUF_AUTO types = { 0 };
	struct rf_str rest = h->extensions, body;
	uint16_t type;
	while (rf_hello_ext_next(&rest, &type, &body)) {
		rf_buf_addc(&types, (char)(little ? type & 0xff : type >> 8));
		rf_buf_addc(&types, (char)(little ? type >> 8 : type & 0xff));
	}
	return types.bad ? RF_E_NOMEM : sha1(rf_buf_str(&types), to);
}

int rf_tls_print(struct rf_str hello, enum rf_print which, struct rf_buf *to)
{
	struct rf_hello h;
	int rc = rf_hello_parse(hello, &h);
	if (rc != RF_OK)
		return rc;
	switch (which) {
	case RF_PRINT_JA3: rc = ja3(&h, to); break;
	case RF_PRINT_JA4: rc = ja4(&h, to); break;
	case RF_PRINT_CIPHERS: rc = sha1(h.ciphers, to); break;
	default: rc = extensions(&h, which == RF_PRINT_EXTENSIONS_LE, to);
	}
	return rc == RF_OK && to->bad ? RF_E_NOMEM : rc;
}
