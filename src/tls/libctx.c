#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/provider.h>
#include <stdbool.h>
#include <string.h>
#include "tls/libctx.h"

enum { FEW = 16 };

static OSSL_PROVIDER *whole; /* the default provider, in libcrypto's default context */

/* Keys of certificates; of key exchange; of the MACs that TLS computes as keys. RSA-PSS: certificates with
 * such keys are not accepted by the CA's policy, but an origin may show one. */
static const char *const certificate_keys[] = { "EC", "RSA", "ED25519", "RSA-PSS", NULL };
static const char *const all_keys[] = { "EC", "RSA", "ED25519", "RSA-PSS", "X25519", "HMAC", NULL };

/* The first name of an algorithm ("EC:id-ecPublicKey:1.2.840.10045.2.1") among these? */
static bool named(const OSSL_ALGORITHM *a, const char *const *names)
{
	size_t n = strcspn(a->algorithm_names, ":");
	for (; *names; names++)
		if (strlen(*names) == n && strncmp(a->algorithm_names, *names, n) == 0)
			return true;
	return false;
}

static bool decoder(const OSSL_ALGORITHM *a)
{
	return strstr(a->property_definition, "input=der,structure=SubjectPublicKeyInfo") && named(a, certificate_keys);
}

static bool keymgmt(const OSSL_ALGORITHM *a)
{
	return named(a, all_keys);
}

static const OSSL_ALGORITHM *some(const OSSL_ALGORITHM *all, bool (*keep)(const OSSL_ALGORITHM *), OSSL_ALGORITHM to[FEW + 1])
{
	size_t n = 0;
	for (; all && all->algorithm_names && n < FEW; all++)
		if (keep(all))
			to[n++] = *all;
	to[n] = (OSSL_ALGORITHM){ 0 };
	return to;
}

static const OSSL_ALGORITHM *query(void *provctx, int operation, int *no_cache)
{
	static OSSL_ALGORITHM decoders[FEW + 1], keymgmts[FEW + 1];
	const OSSL_ALGORITHM *all = OSSL_PROVIDER_query_operation(whole, operation, no_cache);
	(void)provctx;
	if (operation == OSSL_OP_DECODER)
		return some(all, decoder, decoders);
	return operation == OSSL_OP_KEYMGMT ? some(all, keymgmt, keymgmts) : all;
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
	ctx = whole ? OSSL_LIB_CTX_new() : NULL;
	if (ctx && OSSL_PROVIDER_add_builtin(ctx, "ringfence", init) == 1 && OSSL_PROVIDER_load(ctx, "ringfence"))
		return ctx;
	OSSL_LIB_CTX_free(ctx);
	ctx = NULL;
	return NULL;
}
