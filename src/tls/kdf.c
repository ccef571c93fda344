/* tls/kdf: HMAC, HKDF and labels over two digests, and the shape in which a provider offers them.
 *
 * libssl gives all parameters with the call that derives; nothing is kept between two of them. Secrets on the stack are wiped.
 */
#include "tls/kdf.h"
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <string.h>

enum { BLOCK_MAX = 128, LABEL_MAX = 255, CONTEXT_MAX = 255, INFO_MAX = 2 + 1 + LABEL_MAX + 1 + CONTEXT_MAX };

static struct { const char *name, *other; size_t n, block; EVP_MD *md; } hashes[TLS_HASHES] = {
	[TLS_SHA256] = { "SHA256", "SHA2-256", 32, 64, NULL },
	[TLS_SHA384] = { "SHA384", "SHA2-384", 48, 128, NULL },
};

static _Thread_local void (*listener)(void *arg, bool of_client, const uint8_t *secret, size_t n);
static _Thread_local void *listener_arg;

bool tls_kdf_init(void)
{
	for (size_t i = 0; i < TLS_HASHES; i++)
		if (!hashes[i].md && !(hashes[i].md = EVP_MD_fetch(NULL, hashes[i].name, NULL)))
			return false;
	return true;
}

size_t tls_hash_n(enum tls_hash h)
{
	return hashes[h].n;
}

void tls_kdf_listen(void (*sink)(void *arg, bool of_client, const uint8_t *secret, size_t n), void *arg)
{
	listener = sink;
	listener_arg = arg;
}

/* One pass of HMAC: the key with `pad`, then the pieces [RFC 2104 2]. key.n <= the block. */
static bool pass(EVP_MD_CTX *c, enum tls_hash h, struct rf_str key, uint8_t pad, const struct rf_str *v, size_t count, uint8_t *to)
{
	uint8_t block[BLOCK_MAX];
	memset(block, pad, hashes[h].block);
	for (size_t i = 0; i < key.n; i++)
		block[i] ^= (uint8_t)key.p[i];
	bool good = EVP_DigestInit_ex2(c, hashes[h].md, NULL) && EVP_DigestUpdate(c, block, hashes[h].block);
	for (size_t i = 0; good && i < count; i++)
		good = !v[i].n || EVP_DigestUpdate(c, v[i].p, v[i].n);
	OPENSSL_cleanse(block, sizeof block);
	return good && EVP_DigestFinal_ex(c, to, NULL);
}

static bool hmac(EVP_MD_CTX *c, enum tls_hash h, struct rf_str key, const struct rf_str *v, size_t count, uint8_t *to)
{
	uint8_t inner[TLS_SECRET_MAX];
	struct rf_str whole = { (const char *)inner, hashes[h].n };
	bool good = key.n <= hashes[h].block && pass(c, h, key, 0x36, v, count, inner) && pass(c, h, key, 0x5c, &whole, 1, to);
	OPENSSL_cleanse(inner, sizeof inner);
	return good;
}

/* [RFC 5869 2.3] */
static bool expand(EVP_MD_CTX *c, enum tls_hash h, struct rf_str secret, struct rf_str info, uint8_t *to, size_t n)
{
	uint8_t block[TLS_SECRET_MAX], count = 0;
	size_t len = hashes[h].n;
	bool good = n <= 255 * len;
	for (size_t at = 0; good && at < n; at += len) {
		count++;
		struct rf_str v[] = { { (const char *)block, at ? len : 0 }, info, { (const char *)&count, 1 } };
		good = hmac(c, h, secret, v, 3, block);
		if (good)
			memcpy(to + at, block, n - at < len ? n - at : len);
	}
	OPENSSL_cleanse(block, sizeof block);
	return good;
}

/* "tls13 " and `label` may come in two parts. */
static bool expand_label(EVP_MD_CTX *c, enum tls_hash h, struct rf_str secret, const struct rf_str label[2], struct rf_str context,
			 uint8_t *to, size_t n)
{
	uint8_t info[INFO_MAX];
	size_t at = 0, label_n = label[0].n + label[1].n;
	if (label_n > LABEL_MAX || context.n > CONTEXT_MAX || n > UINT16_MAX)
		return false;
	info[at++] = (uint8_t)(n >> 8);
	info[at++] = (uint8_t)n;
	info[at++] = (uint8_t)label_n;
	for (int i = 0; i < 2; i++) {
		if (label[i].n)
			memcpy(info + at, label[i].p, label[i].n);
		at += label[i].n;
	}
	info[at++] = (uint8_t)context.n;
	if (context.n)
		memcpy(info + at, context.p, context.n);
	return expand(c, h, secret, (struct rf_str){ (const char *)info, at + context.n }, to, n);
}

bool tls_expand_label(EVP_MD_CTX *scratch, enum tls_hash h, const uint8_t *secret, struct rf_str label, struct rf_str context,
		      uint8_t *to, size_t n)
{
	struct rf_str parts[2] = { label, { NULL, 0 } };
	return expand_label(scratch, h, (struct rf_str){ (const char *)secret, hashes[h].n }, parts, context, to, n);
}

/* --- as a provider offers it --- */

/* What libssl asks for. */
struct asked {
	int mode;
	int hash; /* enum tls_hash; -1 */
	struct rf_str key, salt, label[2], data;
};

static bool is(const OSSL_PARAM *p, const char *key)
{
	return !strcmp(p->key, key);
}

static int hash_of(const OSSL_PARAM *p)
{
	for (int i = 0; i < TLS_HASHES; i++)
		if (p->data && (!OPENSSL_strcasecmp(p->data, hashes[i].name) || !OPENSSL_strcasecmp(p->data, hashes[i].other)))
			return i;
	return -1;
}

static void read_param(const OSSL_PARAM *p, struct asked *a)
{
	struct rf_str value = { p->data, p->data ? p->data_size : 0 };
	if (is(p, OSSL_KDF_PARAM_MODE)) {
		if (!OSSL_PARAM_get_int(p, &a->mode))
			a->mode = -1;
	} else if (is(p, OSSL_KDF_PARAM_DIGEST)) {
		a->hash = hash_of(p);
	} else if (is(p, OSSL_KDF_PARAM_KEY)) {
		a->key = value;
	} else if (is(p, OSSL_KDF_PARAM_SALT)) {
		a->salt = value;
	} else if (is(p, OSSL_KDF_PARAM_PREFIX)) {
		a->label[0] = value;
	} else if (is(p, OSSL_KDF_PARAM_LABEL)) {
		a->label[1] = value;
	} else if (is(p, OSSL_KDF_PARAM_DATA)) {
		a->data = value;
	}
}

/* The next secret of the schedule: HKDF-Extract with what is derived from the one before as salt [RFC 8446 7.1]. */
static bool extract(EVP_MD_CTX *c, const struct asked *a, uint8_t *to)
{
	static const char zeros[TLS_SECRET_MAX];
	enum tls_hash h = (enum tls_hash)a->hash;
	uint8_t empty[TLS_SECRET_MAX], salt[TLS_SECRET_MAX] = { 0 };
	struct rf_str nothing = { (const char *)empty, hashes[h].n };
	struct rf_str key = a->key.n ? a->key : (struct rf_str){ zeros, hashes[h].n };
	bool good = !a->salt.n || (EVP_DigestInit_ex2(c, hashes[h].md, NULL) && EVP_DigestFinal_ex(c, empty, NULL) &&
				   expand_label(c, h, a->salt, a->label, nothing, salt, hashes[h].n));
	good = good && hmac(c, h, (struct rf_str){ (const char *)salt, hashes[h].n }, &key, 1, to);
	OPENSSL_cleanse(salt, sizeof salt);
	return good;
}

static void tell(const struct asked *a, const uint8_t *secret, size_t n)
{
	bool of_client = rf_str_eq(a->label[1], RF_STR("c ap traffic"));
	if (listener && (of_client || rf_str_eq(a->label[1], RF_STR("s ap traffic"))))
		listener(listener_arg, of_client, secret, n);
}

static int derive(void *ctx, unsigned char *to, size_t n, const OSSL_PARAM params[])
{
	struct asked a = { .mode = -1, .hash = -1 };
	for (; params && params->key; params++)
		read_param(params, &a);
	if (a.hash < 0)
		return 0;
	if (a.mode == EVP_KDF_HKDF_MODE_EXTRACT_ONLY)
		return n == hashes[a.hash].n && extract(ctx, &a, to);
	if (a.mode != EVP_KDF_HKDF_MODE_EXPAND_ONLY || !a.key.n ||
	    !expand_label(ctx, (enum tls_hash)a.hash, a.key, a.label, a.data, to, n))
		return 0;
	tell(&a, to, n);
	return 1;
}

static void *newctx(void *provctx)
{
	(void)provctx;
	return EVP_MD_CTX_new();
}

static void freectx(void *ctx)
{
	EVP_MD_CTX_free(ctx);
}

const OSSL_DISPATCH tls_kdf_functions[] = {
	{ OSSL_FUNC_KDF_NEWCTX, (void (*)(void))newctx },
	{ OSSL_FUNC_KDF_FREECTX, (void (*)(void))freectx },
	{ OSSL_FUNC_KDF_DERIVE, (void (*)(void))derive },
	{ 0, NULL },
};
