#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/provider.h>
#include <stdbool.h>
#include <string.h>
#include "tls/kdf.h"
#include "tls/libctx.h"

enum { FEW = 24 };

static OSSL_PROVIDER *whole; /* the default provider, in libcrypto's default context */

/* Keys of certificates; of key exchange; of the MACs that TLS computes as keys. RSA-PSS: certificates with
 * such keys are not accepted by the CA's policy, but an origin may show one. */
static const char *const decoders[] = { "EC", "RSA", "ED25519", "RSA-PSS", NULL };
static const char *const keymgmts[] = { "EC", "RSA", "ED25519", "RSA-PSS", "X25519", "HMAC", NULL };
/* What our lists of suites can come to, older versions of TLS for devices included. */
static const char *const ciphers[] = { "AES-128-GCM", "AES-256-GCM", "ChaCha20-Poly1305", "AES-128-CBC", "AES-256-CBC",
	"AES-128-CBC-HMAC-SHA1", "AES-256-CBC-HMAC-SHA1", "AES-128-CBC-HMAC-SHA256", "AES-256-CBC-HMAC-SHA256",
	"AES-128-CCM", "AES-256-CCM", NULL };
static const char *const digests[] = { "SHA1", "SHA2-224", "SHA2-256", "SHA2-384", "SHA2-512", "SHA3-256", "SHA3-384", "SHA3-512",
	"MD5", "MD5-SHA1", NULL };
static const char *const macs[] = { "HMAC", NULL };
static const char *const kdfs[] = { "HKDF", "TLS1-PRF", NULL }; /* and our own of TLS 1.3 */
static const char *const exchanges[] = { "ECDH", "X25519", NULL };
static const char *const signatures[] = { "ECDSA", "RSA", "ED25519", "HMAC", NULL };

/* Each decoding of a key walks over every algorithm that was ever loaded: few algorithms make it cheap. Operations that are not
 * here have all of theirs. */
static struct narrowed {
	int operation;
	const char *const *names;
	OSSL_ALGORITHM kept[FEW + 1];
} narrowed[] = {
	{ OSSL_OP_DECODER, decoders, { { 0 } } },     { OSSL_OP_KEYMGMT, keymgmts, { { 0 } } },
	{ OSSL_OP_CIPHER, ciphers, { { 0 } } },       { OSSL_OP_DIGEST, digests, { { 0 } } },
	{ OSSL_OP_MAC, macs, { { 0 } } },             { OSSL_OP_KDF, kdfs, { { 0 } } },
	{ OSSL_OP_KEYEXCH, exchanges, { { 0 } } },    { OSSL_OP_SIGNATURE, signatures, { { 0 } } },
};

static const OSSL_ALGORITHM own_kdf = { "TLS13-KDF", "provider=ringfence", tls_kdf_functions, "key schedule of TLS 1.3" };

/* The first name of an algorithm ("EC:id-ecPublicKey:1.2.840.10045.2.1") among these? */
static bool named(const OSSL_ALGORITHM *a, const char *const *names)
{
	size_t n = strcspn(a->algorithm_names, ":");
	for (; *names; names++)
		if (strlen(*names) == n && strncmp(a->algorithm_names, *names, n) == 0)
			return true;
	return false;
}

static bool wanted(const OSSL_ALGORITHM *a, const struct narrowed *w)
{
	if (w->operation == OSSL_OP_DECODER && !strstr(a->property_definition, "input=der,structure=SubjectPublicKeyInfo"))
		return false;
	return named(a, w->names);
}

static void narrow(struct narrowed *w)
{
	int no_cache = 0;
	size_t n = 0;
	const OSSL_ALGORITHM *a = OSSL_PROVIDER_query_operation(whole, w->operation, &no_cache);
	if (w->operation == OSSL_OP_KDF)
		w->kept[n++] = own_kdf;
	for (; a && a->algorithm_names && n < FEW; a++)
		if (wanted(a, w))
			w->kept[n++] = *a;
	w->kept[n] = (OSSL_ALGORITHM){ 0 };
}

static const OSSL_ALGORITHM *query(void *provctx, int operation, int *no_cache)
{
	(void)provctx;
	*no_cache = 0;
	for (size_t i = 0; i < sizeof narrowed / sizeof *narrowed; i++)
		if (narrowed[i].operation == operation)
			return narrowed[i].kept;
	return OSSL_PROVIDER_query_operation(whole, operation, no_cache);
}

static int capabilities(void *provctx, const char *capability, OSSL_CALLBACK *cb, void *arg)
{
	(void)provctx;
	return OSSL_PROVIDER_get_capabilities(whole, capability, cb, arg);
}

static int init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out, void **provctx)
{
	static const OSSL_DISPATCH ours[] = {
		{ OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query },
		{ OSSL_FUNC_PROVIDER_GET_CAPABILITIES, (void (*)(void))capabilities },
		{ 0, NULL },
	};
	(void)handle, (void)in;
	*out = ours;
	*provctx = OSSL_PROVIDER_get0_provider_ctx(whole); /* what the default's implementations expect */
	return 1;
}

OSSL_LIB_CTX *rf_tls_libctx(void)
{
	static OSSL_LIB_CTX *ctx;
	if (ctx)
		return ctx;
	whole = OSSL_PROVIDER_load(NULL, "default");
	for (size_t i = 0; whole && i < sizeof narrowed / sizeof *narrowed; i++)
		narrow(&narrowed[i]);
	ctx = whole && tls_kdf_init() ? OSSL_LIB_CTX_new() : NULL;
	if (ctx && OSSL_PROVIDER_add_builtin(ctx, "ringfence", init) == 1 && OSSL_PROVIDER_load(ctx, "ringfence"))
		return ctx;
	OSSL_LIB_CTX_free(ctx);
	ctx = NULL;
	return NULL;
}
