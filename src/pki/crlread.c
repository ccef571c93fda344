/* pki/crlread: reading CRLs (declared in pki/crl.h).
 *
 * PEM is unwrapped; the DER is walked in place: header, extensions (which may refuse the list), then the
 * signature is verified over the bytes as received, and only then the entries are copied into the sorted
 * list. libcrypto's own CRL objects are not used: a million entries would take ten times the memory.
 *
 * Invariant: no entry is believed before the signature is.
 */
#include <stdlib.h>
#include <openssl/pem.h>
#include "pki/crl_own.h"
#include "pki/der.h"
#include "pki/ossl.h"

static const struct rf_str OID_NUMBER = RF_STR("\x55\x1d\x14"), OID_DELTA = RF_STR("\x55\x1d\x1b"),
			   OID_IDP = RF_STR("\x55\x1d\x1c"), OID_REASON = RF_STR("\x55\x1d\x15"),
			   OID_CERT_ISSUER = RF_STR("\x55\x1d\x1d");

struct parts {
	struct rf_str tbs, alg, signature, issuer, revoked;
	int64_t this_update, next_update;
	uint64_t number, base;
	bool has_number, delta;
};

static int broken(struct rf_err *e)
{
	return rf_fail(e, RF_E_SYNTAX, "the CRL is not well-formed DER");
}

/* IssuingDistributionPoint [RFC 5280 5.2.5]: only lists that speak for every certificate of their issuer, or at
 * least for all that are not CAs, can be looked up by serial alone. */
static int read_idp(struct rf_str value, struct rf_err *e)
{
	struct rf_cur at = rf_cur_over(value.p, value.n), in = rf_der_into(rf_der_want(&at, RF_DER_SEQ));
	while (rf_cur_left(&in)) {
		struct rf_tlv t = rf_der_next(&in);
		bool set = t.body.n == 1 && t.body.p[0] != 0;
		if (t.tag == 0x84 && set)
			return rf_fail(e, RF_E_UNSUPPORTED,
				       "indirect CRLs are not supported: upload the issuer's own");
		if (t.tag == 0x83 || t.tag == 0xa3)
			return rf_fail(e, RF_E_UNSUPPORTED, "the CRL covers only some reasons of revocation");
		if ((t.tag == 0x82 || t.tag == 0x85) && set)
			return rf_fail(e, RF_E_UNSUPPORTED, "the CRL covers only CAs or attribute certificates");
	}
	return rf_cur_ok(&in) && rf_cur_ok(&at) ? RF_OK : broken(e);
}

static int read_extensions(struct rf_cur *list, struct parts *p, struct rf_err *e)
{
	while (rf_cur_left(list)) {
		bool critical;
		int rc = RF_OK;
		struct rf_str value, oid = rf_der_ext(list, &critical, &value);
		struct rf_cur at = rf_cur_over(value.p, value.n);
		if (rf_str_eq(oid, OID_NUMBER)) {
			p->number = rf_der_u64(&at);
			p->has_number = true;
		} else if (rf_str_eq(oid, OID_DELTA)) {
			p->base = rf_der_u64(&at);
			p->delta = true;
		} else if (rf_str_eq(oid, OID_IDP)) {
			rc = read_idp(value, e);
		} else if (critical) {
			rc = rf_fail(e, RF_E_UNSUPPORTED, "the CRL has a critical extension that is not known");
		}
		if (rc != RF_OK)
			return rc;
		if (!rf_cur_ok(&at))
			return rf_fail(e, RF_E_SYNTAX, "a CRL number is not an integer of at most 64 bits");
	}
	if (!rf_cur_ok(list))
		return broken(e);
	if (p->delta && (!p->has_number || p->number <= p->base))
		return rf_fail(e, RF_E_INVALID, "the delta CRL has no number above its base");
	return RF_OK;
}

static int read_parts(struct rf_str der, struct parts *p, struct rf_err *e)
{
	struct rf_cur at = rf_cur_over(der.p, der.n), in = rf_der_into(rf_der_want(&at, RF_DER_SEQ));
	struct rf_tlv tbs_all = rf_der_want(&in, RF_DER_SEQ);
	struct rf_cur tbs = rf_der_into(tbs_all), list = rf_cur_over(NULL, 0);
	p->tbs = tbs_all.all;
	p->alg = rf_der_want(&in, RF_DER_SEQ).all;
	p->signature = rf_der_want(&in, RF_DER_BITS).body;
	if (rf_der_is(&tbs, RF_DER_INT) && rf_der_u64(&tbs) != 1)
		return broken(e);
	struct rf_str alg = rf_der_want(&tbs, RF_DER_SEQ).all;
	p->issuer = rf_der_want(&tbs, RF_DER_SEQ).all;
	p->this_update = rf_der_time(&tbs);
	if (rf_der_is(&tbs, RF_DER_UTC) || rf_der_is(&tbs, RF_DER_GENERALIZED))
		p->next_update = rf_der_time(&tbs);
	if (rf_der_is(&tbs, RF_DER_SEQ))
		p->revoked = rf_der_next(&tbs).body;
	if (rf_der_is(&tbs, 0xa0)) {
		struct rf_cur wrap = rf_der_into(rf_der_next(&tbs));
		list = rf_der_into(rf_der_want(&wrap, RF_DER_SEQ));
		list.bad |= !rf_cur_ok(&wrap);
	}
	if (!rf_cur_ok(&at) || rf_cur_left(&at) || !rf_cur_ok(&in) || rf_cur_left(&in) || !rf_cur_ok(&tbs) ||
	    rf_cur_left(&tbs) || !rf_str_eq(alg, p->alg) || p->signature.n < 2 || p->signature.p[0] != 0)
		return broken(e);
	return read_extensions(&list, p, e);
}

static int verify(const struct parts *p, X509 *ca, struct rf_err *e)
{
	const unsigned char *at = (const unsigned char *)p->issuer.p;
	RF_OWN(X509_NAME) *issuer = d2i_X509_NAME(NULL, &at, (long)p->issuer.n);
	if (!issuer || X509_NAME_cmp(issuer, X509_get_subject_name(ca)) != 0)
		return rf_ossl_fail(e, RF_E_CERT, "the CRL was issued by another CA");
	if (!(X509_get_key_usage(ca) & KU_CRL_SIGN))
		return rf_fail(e, RF_E_CERT, "the key usage of the CA does not allow it to sign CRLs");
	at = (const unsigned char *)p->alg.p;
	RF_OWN(X509_ALGOR) *alg = d2i_X509_ALGOR(NULL, &at, (long)p->alg.n);
	at = (const unsigned char *)p->tbs.p;
	RF_OWN(ASN1_TYPE) *tbs = d2i_ASN1_TYPE(NULL, &at, (long)p->tbs.n); /* keeps the bytes as they are */
	RF_OWN(ASN1_BIT_STRING) *sig = ASN1_BIT_STRING_new();
	EVP_PKEY *key = X509_get0_pubkey(ca);
	if (!alg || !tbs || !sig || !key || !ASN1_STRING_set(sig, p->signature.p + 1, (int)p->signature.n - 1) ||
	    ASN1_item_verify(ASN1_ITEM_rptr(ASN1_ANY), alg, sig, tbs, key) != 1)
		return rf_ossl_fail(e, RF_E_CERT, "the CRL is not signed by this CA");
	return RF_OK;
}

static int entry_extensions(struct rf_cur *in, struct rf_crl_entry *to, struct rf_err *e)
{
	struct rf_cur list = rf_der_into(rf_der_want(in, RF_DER_SEQ));
	while (rf_cur_left(&list)) {
		bool critical;
		struct rf_str value, oid = rf_der_ext(&list, &critical, &value);
		if (rf_str_eq(oid, OID_REASON)) {
			struct rf_cur at = rf_cur_over(value.p, value.n);
			struct rf_str v = rf_der_want(&at, RF_DER_ENUM).body;
			to->reason = v.n == 1 ? (uint8_t)v.p[0] : RF_REASON_UNSPECIFIED;
		} else if (rf_str_eq(oid, OID_CERT_ISSUER)) {
			return rf_fail(e, RF_E_UNSUPPORTED,
				       "indirect CRLs are not supported: upload the issuer's own");
		} else if (critical) {
			return rf_fail(e, RF_E_UNSUPPORTED,
				       "an entry of the CRL has a critical extension that is not known");
		}
	}
	return rf_cur_ok(&list) ? RF_OK : broken(e);
}

static int read_entry(struct rf_cur *list, struct rf_crl_entry *to, struct rf_err *e)
{
	struct rf_cur in = rf_der_into(rf_der_want(list, RF_DER_SEQ));
	struct rf_str serial = rf_der_int(&in);
	to->revoked_at = rf_crl_date(rf_der_time(&in));
	if (!rf_cur_ok(&in) || serial.n > RF_CRL_SERIAL_MAX)
		return rf_fail(
			e, RF_E_SYNTAX,
			"an entry of the CRL is not well-formed, or its serial is longer than 20 octets");
	memcpy(to->serial, serial.p, serial.n);
	to->serial_len = (uint8_t)serial.n;
	return rf_cur_left(&in) ? entry_extensions(&in, to, e) : RF_OK;
}

static int read_entries(const struct parts *p, struct rf_crl **ret, struct rf_err *e)
{
	size_t room = 0;
	struct rf_cur list = rf_cur_over(p->revoked.p, p->revoked.n);
	for (; rf_cur_left(&list); room++)
		rf_der_next(&list);
	if (!rf_cur_ok(&list))
		return broken(e);
	if (room > RF_CRL_ENTRIES_MAX)
		return rf_fail(e, RF_E_TOO_LARGE, "a CRL has at most %u entries", RF_CRL_ENTRIES_MAX);
	struct rf_crl *c = rf_crl_new(room, p->issuer);
	if (!c)
		return rf_fail(e, RF_E_NOMEM, "no memory for the CRL");
	list = rf_cur_over(p->revoked.p, p->revoked.n);
	for (; c->count < room; c->count++) {
		int rc = read_entry(&list, &rf_crl_own_entries(c)[c->count], e);
		if (rc != RF_OK) {
			rf_crl_put(c);
			return rc;
		}
	}
	rf_crl_settle(c);
	*ret = c;
	return RF_OK;
}

int rf_crl_read(struct rf_str der, X509 *ca, struct rf_crl **ret, struct rf_err *e)
{
	struct parts p = { 0 };
	struct rf_crl *c = NULL;
	int rc = read_parts(der, &p, e);
	if (rc == RF_OK && ca)
		rc = verify(&p, ca, e);
	if (rc == RF_OK)
		rc = read_entries(&p, &c, e);
	if (rc != RF_OK)
		return rc;
	c->this_update = p.this_update;
	c->next_update = p.next_update;
	c->number = p.number;
	c->has_number = p.has_number;
	c->base = p.base;
	c->delta = p.delta;
	*ret = c;
	return RF_OK;
}

int rf_crl_parse(struct rf_str text, X509 *ca, struct rf_crl **ret, struct rf_err *e)
{
	char *name = NULL, *header = NULL;
	unsigned char *data = NULL;
	long n = 0;
	if (!ca)
		return rf_fail(e, RF_E_MISSING, "a CRL is only read together with its CA");
	if (text.n > RF_CRL_BYTES_MAX)
		return rf_fail(e, RF_E_TOO_LARGE, "a CRL is at most %u bytes", RF_CRL_BYTES_MAX);
	if (text.n && text.p[0] == 0x30)
		return rf_crl_read(text, ca, ret, e);
	RF_OWN(BIO) *bio = rf_ossl_bio(text);
	int rc;
	if (!bio || !PEM_read_bio(bio, &name, &header, &data, &n))
		rc = rf_ossl_fail(e, RF_E_SYNTAX, "neither a PEM nor a DER CRL");
	else if (strcmp(name, PEM_STRING_X509_CRL) != 0)
		rc = rf_fail(e, RF_E_SYNTAX, "a CRL expected, not %.40s", name);
	else
		rc = rf_crl_read((struct rf_str){ (char *)data, (size_t)n }, ca, ret, e);
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_free(data);
	return rc;
}
