/* pki/cert: the facts of an X.509 certificate that rules, headers and records need.
 *
 * A struct rf_cert is immutable and shared by threads with rf_cert_get and rf_cert_put. It is one
 * allocation: the DER and what is cheap to know. Texts that cost more (distinguished names, names of
 * SANs, single RDNs) are made on demand in the arena of whoever asks, and live as long as it; nothing
 * is cached in the object. tls and everything above may include this file.
 *
 * The walker is strict DER: what libcrypto reads leniently (BER) is refused here, so that a fact
 * is never read in two ways.
 */
#pragma once
#include <openssl/types.h>
#include <stdatomic.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/cur.h"
#include "base/err.h"

#define RF_CERT_DER_MAX 16384
#define RF_CERT_SERIAL_MAX 32 /* octets; RFC 5280 4.1.2.2 asks for 20, longer ones exist in the field */
#define RF_CERT_SKI_MAX 64    /* octets; the digests in use are of 20 to 64 */
#define RF_CERT_TIME 32

struct rf_cert {
	struct rf_str der;
	struct rf_str subject, issuer; /* Name, DER */
	struct rf_str serial_der;      /* content octets of the INTEGER: the key for rf_crl_find */
	struct rf_str sans;            /* content of GeneralNames, for rf_cert_san_next; empty without SAN */
	int64_t not_before, not_after; /* seconds since 1970 */
	char serial[2 * RF_CERT_SERIAL_MAX + 2]; /* upper hex without sign octet; "-" in front when negative */
	char issuer_serial[2 * RF_CERT_SERIAL_MAX + 2]; /* of the issuer's certificate; "" when not known */
	char ski[2 * RF_CERT_SKI_MAX + 1];              /* upper hex, never "" */
	char issuer_ski[2 * RF_CERT_SKI_MAX + 1];       /* upper hex; "" when not known */
	char sha256[65], sha1[41];                      /* of the DER, lower hex */
	char key[24];                                   /* "EC P-256", "RSA 2048", "Ed25519", "unknown" */
	bool ski_computed; /* no SKI extension: SHA-1 of the subjectPublicKey bits [RFC 5280 4.2.1.2 (1)] */
	bool ca;           /* basicConstraints with cA true */
	_Atomic unsigned refs;
};

enum rf_dn_style {
	RF_DN_DEFAULT, /* "CN=James Royal, O=Access, C=US": most specific first, spaced */
	RF_DN_RFC2253, /* "CN=James Royal,O=Access,C=US" */
	RF_DN_LEGACY,  /* "/C=US/O=Access/CN=James Royal" */
};

enum rf_san_kind { RF_SAN_EMAIL, RF_SAN_DNS, RF_SAN_URI, RF_SAN_IP, RF_SAN_OTHER };

struct rf_san {
	enum rf_san_kind kind;
	struct rf_str value; /* text; for RF_SAN_IP the 4 or 16 bytes from rf_cert_san_next, text for rf_ca_issue */
};

/* Facts of x. `issuer`: the certificate that signed it where known (adds issuer_serial, and issuer_ski
 * when x has no AKI), or NULL. `der_max` 0 means RF_CERT_DER_MAX. The caller owns one reference of *ret.
 * Errors: RF_E_TOO_LARGE, RF_E_CERT with what is wrong, RF_E_NOMEM. */
int rf_cert_from_x509(X509 *x, X509 *issuer, size_t der_max, struct rf_cert **ret, struct rf_err *e);
/* The same from DER, which must be one certificate and nothing behind it. */
int rf_cert_from_der(struct rf_str der, struct rf_cert **ret, struct rf_err *e);

static inline struct rf_cert *rf_cert_get(struct rf_cert *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}
void rf_cert_put(struct rf_cert *c); /* NULL is fine */

/* Names as text; the empty string without memory or for a Name that libcrypto cannot read. */
struct rf_str rf_cert_subject(const struct rf_cert *c, enum rf_dn_style style, struct rf_arena *a);
struct rf_str rf_cert_issuer(const struct rf_cert *c, enum rf_dn_style style, struct rf_arena *a);

/* The index-th attribute of the given short name ("cn", "o", "ou", ..., see rf_cert_attr_names) in the
 * order of the certificate, as UTF-8. False when there is none. */
bool rf_cert_attr(const struct rf_cert *c, bool of_issuer, struct rf_str name, unsigned index, struct rf_arena *a,
		  struct rf_str *ret);
extern const char *const rf_cert_attr_names[]; /* ends with NULL */

/* Walk the SANs: start with rf_cur_over(c->sans.p, c->sans.n). Values point into the certificate and
 * are what its holder wrote: they may contain NUL or control bytes. */
bool rf_cert_san_next(struct rf_cur *at, struct rf_san *ret);
/* The index-th SAN of a kind, addresses as text. False when there is none. */
bool rf_cert_san(const struct rf_cert *c, enum rf_san_kind kind, unsigned index, struct rf_arena *a,
		 struct rf_str *ret);

/* "Mar 21 13:35:00 2022 GMT" */
char *rf_cert_time(int64_t epoch, char to[RF_CERT_TIME]);

/* ":base64:" of the DER [RFC 9440 2.1]; empty without memory. */
struct rf_str rf_cert_rfc9440(const struct rf_cert *c, struct rf_arena *a);
void rf_cert_pem(const struct rf_cert *c, struct rf_buf *to);
