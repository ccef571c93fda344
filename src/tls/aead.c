/* The way of a record: nonce set, header as additional data, content in one call, tag.
 *
 * Invariants: a cipher has one key at most, in the hands of one of the two libraries; both forget it with tls_aead_wipe. A tag is compared
 * in constant time.
 */
#include "tls/aead.h"
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#if __has_include(<intel-ipsec-mb.h>) /* meson.build links what it belongs to */
#include <intel-ipsec-mb.h>
#define BY_MB
#endif

struct tls_aead {
	EVP_CIPHER_CTX *ctx;      /* of libcrypto; NULL until it is needed */
	struct mb_key *mb;        /* of ipsec-mb; NULL until it is needed */
	enum tls_aead_kind kind;  /* of the key; TLS_AEADS: it has none */
	enum tls_aead_kind set;   /* what ctx is set to; TLS_AEADS: nothing */
};

static const char *const names[TLS_AEADS] = {
	[TLS_AES_128_GCM] = "AES-128-GCM", [TLS_AES_256_GCM] = "AES-256-GCM", [TLS_CHACHA20_POLY1305] = "ChaCha20-Poly1305",
};

/* --- by ipsec-mb --- */

#ifdef BY_MB

enum { MB_ALIGN = 64 };

struct mb_key {
	struct gcm_key_data key;
	struct gcm_context_data context;
};

/* Its functions for this processor; NULL where those are not faster, or do not pass its own tests. */
static void *mb_new(void)
{
	const uint64_t fast = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ;
	IMB_MGR *m = alloc_mb_mgr(0);
	if (!m)
		return NULL;
	init_mb_mgr_auto(m, NULL);
	bool tested = !(m->features & IMB_FEATURE_SELF_TEST) || (m->features & IMB_FEATURE_SELF_TEST_PASS);
	if (imb_get_errno(m) == 0 && tested && (m->features & fast) == fast)
		return m;
	free_mb_mgr(m);
	return NULL;
}

static void mb_free(void *mb)
{
	if (mb)
		free_mb_mgr(mb);
}

static bool by_mb(const struct tls_aeads *s, enum tls_aead_kind kind)
{
	return s->mb && kind != TLS_CHACHA20_POLY1305;
}

static bool mb_key(IMB_MGR *m, struct tls_aead *a, enum tls_aead_kind kind, const uint8_t *key)
{
	void *p = a->mb;
	if (!p && posix_memalign(&p, MB_ALIGN, (sizeof *a->mb + MB_ALIGN - 1) / MB_ALIGN * MB_ALIGN) != 0)
		return false;
	a->mb = p;
	if (kind == TLS_AES_128_GCM)
		IMB_AES128_GCM_PRE(m, key, &a->mb->key);
	else
		IMB_AES256_GCM_PRE(m, key, &a->mb->key);
	a->kind = kind;
	return true;
}

static bool mb_seal(IMB_MGR *m, struct tls_aead *a, const uint8_t *nonce, uint8_t *record, size_t n)
{
	struct mb_key *k = a->mb;
	uint8_t *body = record + TLS_HEADER;
	if (a->kind == TLS_AES_128_GCM)
		IMB_AES128_GCM_ENC(m, &k->key, &k->context, body, body, n, nonce, record, TLS_HEADER, body + n, TLS_TAG);
	else
		IMB_AES256_GCM_ENC(m, &k->key, &k->context, body, body, n, nonce, record, TLS_HEADER, body + n, TLS_TAG);
	return true;
}

static bool mb_open(IMB_MGR *m, struct tls_aead *a, const uint8_t *nonce, const uint8_t *record, size_t n, uint8_t *to)
{
	struct mb_key *k = a->mb;
	const uint8_t *body = record + TLS_HEADER;
	uint8_t tag[TLS_TAG];
	if (a->kind == TLS_AES_128_GCM)
		IMB_AES128_GCM_DEC(m, &k->key, &k->context, to, body, n, nonce, record, TLS_HEADER, tag, TLS_TAG);
	else
		IMB_AES256_GCM_DEC(m, &k->key, &k->context, to, body, n, nonce, record, TLS_HEADER, tag, TLS_TAG);
	return CRYPTO_memcmp(tag, body + n, TLS_TAG) == 0;
}

static void mb_wipe(struct tls_aead *a)
{
	if (a->mb)
		OPENSSL_cleanse(a->mb, sizeof *a->mb);
}

#else

static void *mb_new(void) { return NULL; }
static void mb_free(void *mb) { (void)mb; }
static bool by_mb(const struct tls_aeads *s, enum tls_aead_kind kind) { (void)s; (void)kind; return false; }
#define mb_key(m, a, kind, key) false
#define mb_seal(m, a, nonce, record, n) false
#define mb_open(m, a, nonce, record, n, to) false
static void mb_wipe(struct tls_aead *a) { (void)a; }

#endif

/* --- by libcrypto --- */

static bool evp_key(const struct tls_aeads *s, struct tls_aead *a, enum tls_aead_kind kind, const uint8_t *key, bool encrypt)
{
	const EVP_CIPHER *other = a->set == kind ? NULL : s->cipher[kind]; /* setting the same would allocate */
	if (!a->ctx && !(a->ctx = EVP_CIPHER_CTX_new()))
		return false;
	a->set = TLS_AEADS;
	if (!EVP_CipherInit_ex2(a->ctx, other, key, NULL, encrypt, NULL))
		return false;
	a->set = a->kind = kind;
	return true;
}

static bool evp_seal(EVP_CIPHER_CTX *ctx, const uint8_t *nonce, uint8_t *record, size_t n)
{
	int len = 0, end = 0;
	uint8_t *body = record + TLS_HEADER;
	return EVP_CipherInit_ex2(ctx, NULL, NULL, nonce, 1, NULL) && EVP_CipherUpdate(ctx, NULL, &len, record, TLS_HEADER) &&
	       EVP_CipherUpdate(ctx, body, &len, body, (int)n) && EVP_CipherFinal_ex(ctx, body + len, &end) && len + end == (int)n &&
	       EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TLS_TAG, body + n) > 0;
}

static bool evp_open(EVP_CIPHER_CTX *ctx, const uint8_t *nonce, const uint8_t *record, size_t n, uint8_t *to)
{
	int len = 0, end = 0;
	const uint8_t *body = record + TLS_HEADER;
	return EVP_CipherInit_ex2(ctx, NULL, NULL, nonce, 0, NULL) && EVP_CipherUpdate(ctx, NULL, &len, record, TLS_HEADER) &&
	       EVP_CipherUpdate(ctx, to, &len, body, (int)n) &&
	       EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TLS_TAG, (void *)(uintptr_t)(body + n)) > 0 &&
	       EVP_CipherFinal_ex(ctx, to + len, &end);
}

/* --- either --- */

bool tls_aeads_init(struct tls_aeads *s, OSSL_LIB_CTX *libctx)
{
	bool good = true;
	*s = (struct tls_aeads){ .mb = mb_new() };
	for (size_t i = 0; good && i < TLS_AEADS; i++)
		good = (s->cipher[i] = EVP_CIPHER_fetch(libctx, names[i], NULL)) != NULL;
	return good;
}

void tls_aeads_fini(struct tls_aeads *s)
{
	for (size_t i = 0; i < TLS_AEADS; i++)
		EVP_CIPHER_free(s->cipher[i]);
	mb_free(s->mb);
	*s = (struct tls_aeads){ 0 };
}

struct tls_aead *tls_aead_new(void)
{
	struct tls_aead *a = calloc(1, sizeof *a);
	if (a)
		*a = (struct tls_aead){ .kind = TLS_AEADS, .set = TLS_AEADS };
	return a;
}

void tls_aead_wipe(struct tls_aead *a)
{
	if (a->ctx)
		EVP_CIPHER_CTX_reset(a->ctx);
	mb_wipe(a);
	a->kind = a->set = TLS_AEADS;
}

void tls_aead_free(struct tls_aead *a)
{
	if (!a)
		return;
	tls_aead_wipe(a);
	EVP_CIPHER_CTX_free(a->ctx);
	free(a->mb);
	free(a);
}

bool tls_aead_key(const struct tls_aeads *s, struct tls_aead *a, enum tls_aead_kind kind, const uint8_t *key, bool encrypt)
{
	a->kind = TLS_AEADS;
	return by_mb(s, kind) ? mb_key(s->mb, a, kind, key) : evp_key(s, a, kind, key, encrypt);
}

bool tls_aead_seal(const struct tls_aeads *s, struct tls_aead *a, const uint8_t nonce[TLS_IV], uint8_t *record, size_t n)
{
	if (a->kind == TLS_AEADS)
		return false;
	return by_mb(s, a->kind) ? mb_seal(s->mb, a, nonce, record, n) : evp_seal(a->ctx, nonce, record, n);
}

bool tls_aead_open(const struct tls_aeads *s, struct tls_aead *a, const uint8_t nonce[TLS_IV], const uint8_t *record, size_t n,
		   uint8_t *to)
{
	if (a->kind == TLS_AEADS)
		return false;
	return by_mb(s, a->kind) ? mb_open(s->mb, a, nonce, record, n, to) : evp_open(a->ctx, nonce, record, n, to);
}
