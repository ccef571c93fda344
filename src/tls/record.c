/* The way of a record: nonce from IV and sequence number -> a cipher with our key, lent -> header as additional data ->
 * content, its type and the tag.
 *
 * Invariants: a lent cipher and its half point at each other. A sequence number is used once: it moves on whatever
 * becomes of the record.
 */
#include "tls/record.h"
#include <openssl/crypto.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

struct tls_lent {
	struct tls_ciphers *of;
	struct rf_node use;
	struct tls_half *half; /* whose key it has; NULL */
	struct tls_aead *aead;
};

static const struct tls_suite suites[] = { /* [RFC 8446 B.4] */
	{ TLS1_3_CK_AES_128_GCM_SHA256, TLS_AES_128_GCM, TLS_SHA256, 16, 32 },
	{ TLS1_3_CK_AES_256_GCM_SHA384, TLS_AES_256_GCM, TLS_SHA384, 32, 48 },
	{ TLS1_3_CK_CHACHA20_POLY1305_SHA256, TLS_CHACHA20_POLY1305, TLS_SHA256, 32, 32 },
};

const struct tls_suite *tls_suite_of(uint32_t id)
{
	for (size_t i = 0; i < sizeof suites / sizeof *suites; i++)
		if (suites[i].id == id)
			return &suites[i];
	return NULL;
}

bool tls_ciphers_init(struct tls_ciphers *c, OSSL_LIB_CTX *libctx)
{
	*c = (struct tls_ciphers){ .max = TLS_LENT_MAX, .scratch = EVP_MD_CTX_new() };
	rf_list_init(&c->used);
	return tls_aeads_init(&c->aeads, libctx) && c->scratch;
}

static void lent_free(struct tls_lent *l)
{
	rf_list_del(&l->use);
	tls_aead_free(l->aead); /* wipes the key */
	free(l);
}

void tls_ciphers_fini(struct tls_ciphers *c)
{
	while (c->used.next && !rf_list_empty(&c->used))
		lent_free(RF_CONTAINER(rf_list_first(&c->used), struct tls_lent, use));
	tls_aeads_fini(&c->aeads);
	EVP_MD_CTX_free(c->scratch);
	*c = (struct tls_ciphers){ 0 };
}

static bool expand(struct tls_ciphers *c, const struct tls_half *h, struct rf_str label, uint8_t *to, size_t n)
{
	return tls_expand_label(c->scratch, h->suite->hash, h->secret, label, RF_STR(""), to, n);
}

/* The key is wiped, and the cipher is the first that others get. */
static void give_back(struct tls_half *h)
{
	struct tls_lent *l = h->lent;
	if (!l)
		return;
	h->lent = NULL;
	l->half = NULL;
	tls_aead_wipe(l->aead);
	rf_list_del(&l->use);
	rf_list_push_front(&l->of->used, &l->use);
}

bool tls_half_start(struct tls_ciphers *c, struct tls_half *h, const struct tls_suite *suite)
{
	h->suite = suite;
	give_back(h);
	return h->secret_n == suite->secret_n && expand(c, h, RF_STR("tls13 key"), h->key, suite->key_n) &&
	       expand(c, h, RF_STR("tls13 iv"), h->iv, TLS_IV);
}

bool tls_half_update(struct tls_ciphers *c, struct tls_half *h)
{
	uint8_t next[TLS_SECRET_MAX];
	bool good = expand(c, h, RF_STR("tls13 traffic upd"), next, h->suite->secret_n);
	if (good) {
		memcpy(h->secret, next, h->suite->secret_n);
		h->seq = 0;
	}
	OPENSSL_cleanse(next, sizeof next);
	return good && tls_half_start(c, h, h->suite);
}

void tls_half_fini(struct tls_half *h)
{
	give_back(h);
	OPENSSL_cleanse(h, sizeof *h);
}

/* --- lending --- */

static struct tls_lent *lent_new(struct tls_ciphers *c)
{
	struct tls_lent *l = calloc(1, sizeof *l);
	if (l && !(l->aead = tls_aead_new())) {
		free(l);
		l = NULL;
	}
	if (!l)
		return NULL;
	l->of = c;
	rf_list_push(&c->used, &l->use);
	c->count++;
	return l;
}

/* One that nobody has, or else the one that was not used for longest. */
static struct tls_lent *lend(struct tls_ciphers *c)
{
	struct rf_node *first = rf_list_first(&c->used);
	struct tls_lent *l = first ? RF_CONTAINER(first, struct tls_lent, use) : NULL;
	if ((!l || l->half) && c->count < c->max) {
		struct tls_lent *more = lent_new(c);
		l = more ? more : l;
	}
	if (l && l->half) { /* its key is about to be replaced */
		l->half->lent = NULL;
		l->half = NULL;
	}
	return l;
}

/* The cipher for the next record of h, and its nonce [RFC 8446 5.3]; NULL when that fails. */
static struct tls_aead *ready(struct tls_ciphers *c, struct tls_half *h, bool encrypt, uint8_t nonce[TLS_IV])
{
	memcpy(nonce, h->iv, TLS_IV);
	for (int i = 0; i < 8; i++)
		nonce[TLS_IV - 1 - i] ^= (uint8_t)(h->seq >> 8 * i);
	struct tls_lent *l = h->lent ? h->lent : lend(c);
	if (!l)
		return NULL;
	rf_list_del(&l->use);
	rf_list_push(&c->used, &l->use);
	if (l == h->lent)
		return l->aead;
	if (!tls_aead_key(&c->aeads, l->aead, h->suite->aead, h->key, encrypt))
		return NULL;
	c->keyed++;
	l->half = h;
	h->lent = l;
	return l->aead;
}

/* --- records --- */

size_t tls_seal(struct tls_ciphers *c, struct tls_half *h, enum tls_type type, uint8_t *to, size_t n)
{
	size_t length = n + 1 + TLS_TAG;
	uint8_t nonce[TLS_IV];
	struct tls_aead *a = h->seq < UINT64_MAX ? ready(c, h, true, nonce) : NULL; /* never wraps [RFC 8446 5.3] */
	to[0] = TLS_TYPE_DATA;
	to[1] = to[2] = 3; /* [RFC 8446 5.1] */
	to[3] = (uint8_t)(length >> 8);
	to[4] = (uint8_t)length;
	to[TLS_HEADER + n] = type;
	h->seq += h->seq < UINT64_MAX;
	return a && tls_aead_seal(&c->aeads, a, nonce, to, n + 1) ? TLS_HEADER + length : 0;
}

int tls_open(struct tls_ciphers *c, struct tls_half *h, const uint8_t *record, size_t length, uint8_t *to, struct tls_plain *ret)
{
	size_t n = length - TLS_TAG;
	if (n > TLS_PLAIN_MAX + 1) /* content, type and padding [RFC 8446 5.4] */
		return SSL_AD_RECORD_OVERFLOW;
	uint8_t nonce[TLS_IV];
	struct tls_aead *a = h->seq < UINT64_MAX ? ready(c, h, false, nonce) : NULL;
	if (!a)
		return SSL_AD_INTERNAL_ERROR;
	h->seq++;
	if (!tls_aead_open(&c->aeads, a, nonce, record, n, to)) {
		OPENSSL_cleanse(to, n);
		return SSL_AD_BAD_RECORD_MAC;
	}
	while (n && !to[n - 1]) /* padding [RFC 8446 5.4] */
		n--;
	if (!n)
		return SSL_AD_UNEXPECTED_MESSAGE;
	*ret = (struct tls_plain){ to[n - 1], n - 1 };
	return 0;
}
