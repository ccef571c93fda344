/* pki/crlmake: writing CRLs (declared in pki/crl.h).
 *
 * The entries are written straight as DER, so that a list of a million costs its bytes and no objects;
 * the rest is put around them from the inside to the outside, and signed.
 */
#include <time.h>
#include "pki/crl_own.h"
#include "pki/ossl.h"
#include "pki/x509.h"

static void head(struct rf_buf *b, uint8_t tag, size_t n)
{
	unsigned bytes = n < 0x80 ? 0 : n < 0x100 ? 1 : n < 0x10000 ? 2 : n < 0x1000000 ? 3 : 4;
	rf_buf_addc(b, (char)tag);
	rf_buf_addc(b, (char)(bytes ? 0x80 | bytes : n));
	while (bytes-- > 0)
		rf_buf_addc(b, (char)(n >> 8 * bytes));
}

static void put(struct rf_buf *b, uint8_t tag, struct rf_str body)
{
	head(b, tag, body.n);
	rf_buf_add(b, body);
}

/* UTCTime before 2050, GeneralizedTime from then on [RFC 5280 5.1.2.4]. */
static void put_time(struct rf_buf *b, int64_t epoch)
{
	char text[32];
	struct tm tm = { 0 };
	time_t t = (time_t)epoch;
	gmtime_r(&t, &tm);
	bool utc = tm.tm_year >= 50 && tm.tm_year < 150;
	size_t n = strftime(text, sizeof text, utc ? "%y%m%d%H%M%SZ" : "%Y%m%d%H%M%SZ", &tm);
	put(b, utc ? 0x17 : 0x18, (struct rf_str){ text, n });
}

static void put_u64(struct rf_buf *b, uint64_t v)
{
	char text[9];
	size_t n = 0;
	for (int shift = 64; shift >= 0; shift -= 8) { /* with a zero octet above, so that the sign is positive */
		uint8_t octet = shift == 64 ? 0 : (uint8_t)(v >> shift);
		uint8_t below = shift == 0 ? 0x80 : (uint8_t)(v >> (shift - 8));
		if (n || octet || below >= 0x80)
			text[n++] = (char)octet;
	}
	put(b, 0x02, (struct rf_str){ text, n });
}

/* CRLEntry; the reason is left out when unspecified [RFC 5280 5.3.1]. */
static void put_entry(struct rf_buf *b, const struct rf_crl_entry *v)
{
	char room[64], reason[] = "\x30\x0c\x30\x0a\x06\x03\x55\x1d\x15\x04\x03\x0a\x01";
	struct rf_buf in = { .p = room, .cap = sizeof room, .bound = sizeof room }; /* never grows: 56 bytes at most */
	put(&in, 0x02, rf_crl_serial(v));
	put_time(&in, v->revoked_at);
	if (v->reason != RF_REASON_UNSPECIFIED) {
		rf_buf_add(&in, (struct rf_str){ reason, sizeof reason - 1 });
		rf_buf_addc(&in, (char)v->reason);
	}
	put(b, 0x30, rf_buf_str(&in));
	b->bad |= in.bad;
}

static void put_ext(struct rf_buf *b, const char oid_der[5], bool critical, struct rf_str value)
{
	RF_BUF_AUTO in = { 0 };
	rf_buf_add(&in, (struct rf_str){ oid_der, 5 });
	if (critical)
		rf_buf_add(&in, RF_STR("\x01\x01\xff"));
	put(&in, 0x04, value);
	put(b, 0x30, rf_buf_str(&in));
	b->bad |= in.bad;
}

static void put_extensions(struct rf_buf *b, const struct rf_crl_make *m)
{
	RF_BUF_AUTO list = { 0 }, value = { 0 }, seq = { 0 };
	const ASN1_OCTET_STRING *ski = X509_get0_subject_key_id(m->ca);
	if (ski) {
		RF_BUF_AUTO id = { 0 };
		put(&id, 0x80,
		    (struct rf_str){ (const char *)ASN1_STRING_get0_data(ski),
				     (size_t)ASN1_STRING_length(ski) });
		put(&value, 0x30, rf_buf_str(&id));
		put_ext(&list, "\x06\x03\x55\x1d\x23", false, rf_buf_str(&value)); /* authorityKeyIdentifier */
	}
	rf_buf_clear(&value);
	put_u64(&value, m->number);
	put_ext(&list, "\x06\x03\x55\x1d\x14", false, rf_buf_str(&value)); /* cRLNumber */
	if (m->delta) {
		rf_buf_clear(&value);
		put_u64(&value, m->base);
		put_ext(&list, "\x06\x03\x55\x1d\x1b", true, rf_buf_str(&value)); /* deltaCRLIndicator */
	}
	put(&seq, 0x30, rf_buf_str(&list));
	put(b, 0xa0, rf_buf_str(&seq));
	b->bad |= list.bad || value.bad || seq.bad;
}

/* AlgorithmIdentifier of a signature by the key [RFC 5758 3.2, RFC 4055 5]. */
static bool put_algorithm(struct rf_buf *b, const EVP_PKEY *key)
{
	const EVP_MD *md = rf_key_digest(key);
	unsigned char *der = NULL;
	int type = EVP_PKEY_get_base_id(key), nid = type;
	RF_OWN(X509_ALGOR) *alg = X509_ALGOR_new();
	if (md && !OBJ_find_sigid_by_algs(&nid, EVP_MD_get_type(md), type))
		return false;
	if (!alg ||
	    !X509_ALGOR_set0(alg, OBJ_nid2obj(nid), type == EVP_PKEY_RSA ? V_ASN1_NULL : V_ASN1_UNDEF, NULL))
		return false;
	int n = i2d_X509_ALGOR(alg, &der);
	if (n > 0)
		rf_buf_add(b, (struct rf_str){ (char *)der, (size_t)n });
	OPENSSL_free(der);
	return n > 0;
}

static void put_tbs(struct rf_buf *to, const struct rf_crl_make *m, struct rf_str algorithm)
{
	RF_BUF_AUTO b = { 0 }, list = { 0 };
	unsigned char *name = NULL;
	int n = i2d_X509_NAME(X509_get_subject_name(m->ca), &name);
	rf_buf_add(&b, RF_STR("\x02\x01\x01")); /* version 2 */
	rf_buf_add(&b, algorithm);
	rf_buf_add(&b, (struct rf_str){ (char *)name, n > 0 ? (size_t)n : 0 });
	OPENSSL_free(name);
	put_time(&b, m->now);
	put_time(&b, m->now + m->valid_for);
	for (size_t i = 0; i < m->count; i++)
		put_entry(&list, &m->entries[i]);
	if (m->count) /* absent when empty [RFC 5280 5.1.2.6] */
		put(&b, 0x30, rf_buf_str(&list));
	put_extensions(&b, m);
	put(to, 0x30, rf_buf_str(&b));
	to->bad |= b.bad || list.bad || n <= 0;
}

static bool put_signature(struct rf_buf *b, EVP_PKEY *key, struct rf_str tbs)
{
	unsigned char sig[1024];
	size_t n = sizeof sig;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool done = ctx && EVP_PKEY_get_size(key) <= (int)sizeof sig &&
		    EVP_DigestSignInit(ctx, NULL, rf_key_digest(key), NULL, key) == 1 &&
		    EVP_DigestSign(ctx, sig, &n, (const unsigned char *)tbs.p, tbs.n) == 1;
	EVP_MD_CTX_free(ctx);
	if (!done)
		return false;
	head(b, 0x03, n + 1);
	rf_buf_addc(b, 0);
	rf_buf_add(b, (struct rf_str){ (char *)sig, n });
	return true;
}

int rf_crl_build(const struct rf_crl_make *m, struct rf_buf *der, struct rf_err *e)
{
	RF_BUF_AUTO algorithm = { 0 }, in = { 0 };
	if (m->count > RF_CRL_ENTRIES_MAX)
		return rf_fail(e, RF_E_TOO_LARGE, "a CRL has at most %u entries", RF_CRL_ENTRIES_MAX);
	if (!put_algorithm(&algorithm, m->key))
		return rf_ossl_fail(e, RF_E_CRYPTO, "this kind of key cannot sign a CRL");
	put_tbs(&in, m, rf_buf_str(&algorithm));
	size_t tbs = in.n;
	rf_buf_add(&in, rf_buf_str(&algorithm));
	if (in.bad)
		return rf_fail(e, RF_E_NOMEM, "no memory for the CRL");
	if (!put_signature(&in, m->key, (struct rf_str){ in.p, tbs }))
		return rf_ossl_fail(e, RF_E_CRYPTO, "cannot sign the CRL");
	size_t before = der->n;
	put(der, 0x30, rf_buf_str(&in));
	if (in.bad || der->bad) {
		der->n = before;
		return rf_fail(e, RF_E_NOMEM, "no memory for the CRL");
	}
	return RF_OK;
}
