/* pki/cert: see cert.h.
 *
 * DER is copied once into the object, then walked from front to back: every field becomes a slice of
 * the copy or a short text beside it. The two digests and the walk are all that a handshake pays.
 *
 * Invariant: all slices point into the object itself, so it can be freed in one step.
 *
 * Not here: verification (tls), names as text (pki/certname), templates (pki/certtmpl).
 */
#include "pki/cert.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include "base/enc.h"
#include "pki/der.h"
#include "pki/ossl.h"
#include "pki/pem.h"

static const struct rf_str OID_SKI = RF_STR("\x55\x1d\x0e"), OID_SAN = RF_STR("\x55\x1d\x11"),
			   OID_BASIC = RF_STR("\x55\x1d\x13"), OID_AKI = RF_STR("\x55\x1d\x23");

static const struct {
	struct rf_str oid; /* of the algorithm, or of the curve */
	const char *name;
} KEYS[] = {
	{ RF_STR("\x2a\x86\x48\xce\x3d\x03\x01\x07"), "EC P-256" },
	{ RF_STR("\x2b\x81\x04\x00\x22"), "EC P-384" },
	{ RF_STR("\x2b\x81\x04\x00\x23"), "EC P-521" },
	{ RF_STR("\x2b\x65\x70"), "Ed25519" },
	{ RF_STR("\x2b\x65\x71"), "Ed448" },
};

/* Hex of an INTEGER without the octet that only says "positive". */
static void int_text(struct rf_str v, char *to)
{
	if ((uint8_t)v.p[0] < 0x80) {
		size_t lead = v.n > 1 && v.p[0] == 0;
		rf_hex_upper(v.p + lead, v.n - lead, to);
		return;
	}
	uint8_t magnitude[RF_CERT_SERIAL_MAX];
	unsigned carry = 1;
	for (size_t i = v.n; i-- > 0;) { /* two's complement */
		carry += (uint8_t)~v.p[i];
		magnitude[i] = (uint8_t)carry;
		carry >>= 8;
	}
	*to++ = '-';
	rf_hex_upper(magnitude, v.n, to);
}

static void ski_text(struct rf_str id, char *to)
{
	if (id.n && id.n <= RF_CERT_SKI_MAX)
		rf_hex_upper(id.p, id.n, to);
}

/* AuthorityKeyIdentifier [RFC 5280 4.2.1.1]. */
static bool read_aki(struct rf_cert *c, struct rf_str value)
{
	struct rf_cur at = rf_cur_over(value.p, value.n);
	struct rf_cur in = rf_der_into(rf_der_want(&at, RF_DER_SEQ));
	struct rf_str id = { NULL, 0 }, serial = { NULL, 0 };
	while (rf_cur_left(&in)) {
		struct rf_tlv t = rf_der_next(&in);
		if (t.tag == 0x80)
			id = t.body;
		else if (t.tag == 0x82)
			serial = t.body;
	}
	if (!rf_cur_ok(&in) || !rf_cur_ok(&at) || id.n > RF_CERT_SKI_MAX || serial.n > RF_CERT_SERIAL_MAX)
		return false;
	ski_text(id, c->issuer_ski);
	if (serial.n)
		int_text(serial, c->issuer_serial);
	return true;
}

static bool read_ski(struct rf_cert *c, struct rf_str value)
{
	struct rf_cur at = rf_cur_over(value.p, value.n);
	struct rf_str id = rf_der_want(&at, RF_DER_OCTETS).body;
	ski_text(id, c->ski);
	return rf_cur_ok(&at) && id.n && id.n <= RF_CERT_SKI_MAX;
}

static bool read_basic(struct rf_cert *c, struct rf_str value)
{
	struct rf_cur at = rf_cur_over(value.p, value.n);
	struct rf_cur in = rf_der_into(rf_der_want(&at, RF_DER_SEQ));
	if (rf_der_is(&in, RF_DER_BOOL)) {
		struct rf_str b = rf_der_next(&in).body;
		c->ca = b.n == 1 && b.p[0] != 0;
	}
	return rf_cur_ok(&at) && rf_cur_ok(&in);
}

static bool read_sans(struct rf_cert *c, struct rf_str value)
{
	struct rf_cur at = rf_cur_over(value.p, value.n);
	c->sans = rf_der_want(&at, RF_DER_SEQ).body;
	struct rf_cur in = rf_cur_over(c->sans.p, c->sans.n);
	while (rf_cur_left(&in))
		rf_der_next(&in);
	return rf_cur_ok(&at) && rf_cur_ok(&in);
}

static bool read_extensions(struct rf_cert *c, struct rf_cur *at)
{
	enum { SKI = 1, SAN = 2, BASIC = 4, AKI = 8 };
	unsigned seen = 0, bit;
	bool critical, good = true;
	while (rf_cur_left(at) && good) {
		struct rf_str value, oid = rf_der_ext(at, &critical, &value);
		if (rf_str_eq(oid, OID_SKI)) {
			bit = SKI;
			good = read_ski(c, value);
		} else if (rf_str_eq(oid, OID_SAN)) {
			bit = SAN;
			good = read_sans(c, value);
		} else if (rf_str_eq(oid, OID_BASIC)) {
			bit = BASIC;
			good = read_basic(c, value);
		} else if (rf_str_eq(oid, OID_AKI)) {
			bit = AKI;
			good = read_aki(c, value);
		} else {
			bit = 0;
		}
		good = good && !(seen & bit); /* no extension twice [RFC 5280 4.2] */
		seen |= bit;
	}
	return good && rf_cur_ok(at);
}

static void key_text(struct rf_cert *c, struct rf_str algorithm, struct rf_str curve, struct rf_str key)
{
	static const struct rf_str rsa = RF_STR("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01");
	for (size_t i = 0; i < sizeof KEYS / sizeof *KEYS; i++)
		if (rf_str_eq(KEYS[i].oid, algorithm) || rf_str_eq(KEYS[i].oid, curve)) {
			snprintf(c->key, sizeof c->key, "%s", KEYS[i].name);
			return;
		}
	snprintf(c->key, sizeof c->key, "unknown");
	if (!rf_str_eq(algorithm, rsa))
		return;
	struct rf_cur at = rf_cur_over(key.p, key.n);
	struct rf_cur in = rf_der_into(rf_der_want(&at, RF_DER_SEQ));
	struct rf_str m = rf_der_int(&in);
	m = rf_str_skip(m, m.n && m.p[0] == 0);
	if (m.n)
		snprintf(c->key, sizeof c->key, "RSA %u",
			 (unsigned)(8 * m.n) - (unsigned)__builtin_clz((uint8_t)m.p[0] | 1u) + 24);
}

/* SubjectPublicKeyInfo; *ret_bits is the key itself, for the SKI. */
static bool read_key(struct rf_cert *c, struct rf_cur *tbs, struct rf_str *ret_bits)
{
	struct rf_cur spki = rf_der_into(rf_der_want(tbs, RF_DER_SEQ));
	struct rf_cur alg = rf_der_into(rf_der_want(&spki, RF_DER_SEQ));
	struct rf_str algorithm = rf_der_want(&alg, RF_DER_OID).body, curve = { NULL, 0 };
	struct rf_str bits = rf_der_want(&spki, RF_DER_BITS).body;
	if (rf_der_is(&alg, RF_DER_OID))
		curve = rf_der_next(&alg).body;
	if (!rf_cur_ok(&alg) || !rf_cur_ok(&spki) || bits.n < 1)
		return false;
	*ret_bits = rf_str_skip(bits, 1);
	key_text(c, algorithm, curve, *ret_bits);
	return true;
}

static bool read_tbs(struct rf_cert *c, struct rf_cur *tbs, struct rf_str *ret_bits)
{
	if (rf_der_is(tbs, 0xa0))
		rf_der_next(tbs); /* version: says only which of the fields below may be there */
	c->serial_der = rf_der_int(tbs);
	rf_der_want(tbs, RF_DER_SEQ); /* algorithm, for whoever verifies */
	c->issuer = rf_der_want(tbs, RF_DER_SEQ).all;
	struct rf_cur validity = rf_der_into(rf_der_want(tbs, RF_DER_SEQ));
	c->not_before = rf_der_time(&validity);
	c->not_after = rf_der_time(&validity);
	c->subject = rf_der_want(tbs, RF_DER_SEQ).all;
	if (!rf_cur_ok(&validity) || !read_key(c, tbs, ret_bits))
		return false;
	for (uint8_t tag = 0x81; tag <= 0x82; tag++) /* unique identifiers, long out of use */
		if (rf_der_is(tbs, tag))
			rf_der_next(tbs);
	if (!rf_cur_left(tbs))
		return rf_cur_ok(tbs);
	struct rf_cur wrap = rf_der_into(rf_der_want(tbs, 0xa3));
	struct rf_cur list = rf_der_into(rf_der_want(&wrap, RF_DER_SEQ));
	return rf_cur_ok(&wrap) && read_extensions(c, &list) && rf_cur_ok(tbs) && !rf_cur_left(tbs);
}

static int walk(struct rf_cert *c, struct rf_err *e)
{
	struct rf_str bits = { NULL, 0 };
	unsigned char digest[SHA256_DIGEST_LENGTH];
	struct rf_cur at = rf_cur_over(c->der.p, c->der.n);
	struct rf_cur in = rf_der_into(rf_der_want(&at, RF_DER_SEQ));
	struct rf_cur tbs = rf_der_into(rf_der_want(&in, RF_DER_SEQ));
	rf_der_want(&in, RF_DER_SEQ);
	rf_der_want(&in, RF_DER_BITS);
	if (!rf_cur_ok(&at) || rf_cur_left(&at) || !rf_cur_ok(&in) || rf_cur_left(&in))
		return rf_fail(e, RF_E_CERT, "the certificate is not well-formed DER");
	if (!read_tbs(c, &tbs, &bits))
		return rf_fail(e, RF_E_CERT, "a field or extension of the certificate is not well-formed");
	if (c->serial_der.n > RF_CERT_SERIAL_MAX)
		return rf_fail(e, RF_E_CERT, "the serial number is longer than %d octets", RF_CERT_SERIAL_MAX);
	int_text(c->serial_der, c->serial);
	c->ski_computed = !c->ski[0];
	if (c->ski_computed)
		rf_hex_upper(SHA1((const unsigned char *)bits.p, bits.n, digest), SHA_DIGEST_LENGTH, c->ski);
	rf_hex(SHA256((const unsigned char *)c->der.p, c->der.n, digest), SHA256_DIGEST_LENGTH, c->sha256);
	rf_hex(SHA1((const unsigned char *)c->der.p, c->der.n, digest), SHA_DIGEST_LENGTH, c->sha1);
	return RF_OK;
}

static struct rf_cert *cert_new(size_t n, unsigned char **room)
{
	struct rf_cert *c = calloc(1, sizeof *c + n);
	if (!c)
		return NULL;
	*room = (unsigned char *)(c + 1);
	c->der = (struct rf_str){ (char *)*room, n };
	atomic_init(&c->refs, 1);
	return c;
}

static void add_issuer(struct rf_cert *c, X509 *issuer)
{
	const ASN1_OCTET_STRING *id = X509_get0_subject_key_id(issuer);
	const ASN1_INTEGER *serial = X509_get0_serialNumber(issuer);
	if (!c->issuer_ski[0] && id)
		ski_text((struct rf_str){ (const char *)ASN1_STRING_get0_data(id), (size_t)ASN1_STRING_length(id) },
			 c->issuer_ski);
	int n = ASN1_STRING_length(serial);
	if (n <= 0 || n > RF_CERT_SERIAL_MAX)
		return;
	bool negative = ASN1_STRING_type(serial) == V_ASN1_NEG_INTEGER;
	c->issuer_serial[0] = '-';
	rf_hex_upper(ASN1_STRING_get0_data(serial), (size_t)n, c->issuer_serial + negative);
}

int rf_cert_from_x509(X509 *x, X509 *issuer, size_t der_max, struct rf_cert **ret, struct rf_err *e)
{
	unsigned char *room;
	int n = i2d_X509(x, NULL);
	if (n <= 0)
		return rf_ossl_fail(e, RF_E_CERT, "the certificate cannot be encoded");
	if ((size_t)n > (der_max ? der_max : RF_CERT_DER_MAX))
		return rf_fail(e, RF_E_TOO_LARGE, "the certificate has %d bytes, more than %zu", n,
			       der_max ? der_max : RF_CERT_DER_MAX);
	struct rf_cert *c = cert_new((size_t)n, &room);
	if (!c)
		return rf_fail(e, RF_E_NOMEM, "no memory for the certificate");
	i2d_X509(x, &room);
	int rc = walk(c, e);
	if (rc != RF_OK) {
		free(c);
		return rc;
	}
	if (issuer)
		add_issuer(c, issuer);
	*ret = c;
	return RF_OK;
}

int rf_cert_from_der(struct rf_str der, struct rf_cert **ret, struct rf_err *e)
{
	unsigned char *room;
	if (der.n > RF_CERT_DER_MAX)
		return rf_fail(e, RF_E_TOO_LARGE, "the certificate has %zu bytes, more than %d", der.n,
			       RF_CERT_DER_MAX);
	struct rf_cert *c = cert_new(der.n, &room);
	if (!c)
		return rf_fail(e, RF_E_NOMEM, "no memory for the certificate");
	if (der.n)
		memcpy(room, der.p, der.n);
	int rc = walk(c, e);
	if (rc == RF_OK)
		*ret = c;
	else
		free(c);
	return rc;
}

void rf_cert_put(struct rf_cert *c)
{
	if (c && atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1)
		free(c);
}

char *rf_cert_time(int64_t epoch, char to[RF_CERT_TIME])
{
	static const char MONTHS[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t t = (time_t)epoch;
	struct tm tm = { 0 };
	gmtime_r(&t, &tm);
	snprintf(to, RF_CERT_TIME, "%.3s %2d %02d:%02d:%02d %d GMT", MONTHS + 3 * tm.tm_mon, tm.tm_mday, tm.tm_hour,
		 tm.tm_min, tm.tm_sec, tm.tm_year + 1900);
	return to;
}

struct rf_str rf_cert_rfc9440(const struct rf_cert *c, struct rf_arena *a)
{
	RF_BUF_AUTO b = { 0 };
	rf_buf_addc(&b, ':');
	rf_b64_add(&b, c->der);
	rf_buf_addc(&b, ':');
	return b.bad ? (struct rf_str){ NULL, 0 } : rf_arena_dup(a, rf_buf_str(&b));
}

void rf_cert_pem(const struct rf_cert *c, struct rf_buf *to)
{
	rf_pem_wrap(to, "CERTIFICATE", c->der);
}
