/* pki/certname: names of a certificate as text, on demand (declared in pki/cert.h).
 *
 * Distinguished names go through libcrypto's printer, because its escaping is what operators compare
 * with; single attributes and SANs are read from the DER. Everything lands in the caller's arena or
 * points into the certificate.
 */
#include <openssl/err.h>
#include <openssl/x509.h>
#include "base/ip.h"
#include "pki/cert.h"
#include "pki/der.h"
#include "pki/ossl.h"

static const struct attr {
	const char *name;
	struct rf_str oid;
} ATTRS[] = {
	{ "cn", RF_STR("\x55\x04\x03") },
	{ "sn", RF_STR("\x55\x04\x04") },
	{ "serialnumber", RF_STR("\x55\x04\x05") },
	{ "c", RF_STR("\x55\x04\x06") },
	{ "l", RF_STR("\x55\x04\x07") },
	{ "st", RF_STR("\x55\x04\x08") },
	{ "street", RF_STR("\x55\x04\x09") },
	{ "o", RF_STR("\x55\x04\x0a") },
	{ "ou", RF_STR("\x55\x04\x0b") },
	{ "title", RF_STR("\x55\x04\x0c") },
	{ "gn", RF_STR("\x55\x04\x2a") },
	{ "dnqualifier", RF_STR("\x55\x04\x2e") },
	{ "uid", RF_STR("\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01") },
	{ "dc", RF_STR("\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19") },
	{ "email", RF_STR("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01") },
};

const char *const rf_cert_attr_names[] = { "cn", "sn", "serialnumber", "c", "l", "st", "street", "o", "ou", "title",
	"gn", "dnqualifier", "uid", "dc", "email", NULL };

static struct rf_str name_text(struct rf_str der, enum rf_dn_style style, struct rf_arena *a)
{
	const unsigned char *p = (const unsigned char *)der.p;
	struct rf_str empty = { NULL, 0 };
	char *text = NULL;
	RF_OWN(X509_NAME) *name = d2i_X509_NAME(NULL, &p, (long)der.n);
	if (!name) {
		ERR_clear_error(); /* a worker's next TLS call must not find it */
		return empty;
	}
	if (style == RF_DN_LEGACY) {
		text = X509_NAME_oneline(name, NULL, 0);
		struct rf_str s = text ? rf_arena_dup(a, rf_str_z(text)) : empty;
		OPENSSL_free(text);
		return s;
	}
	unsigned long flags = XN_FLAG_RFC2253;
	if (style == RF_DN_DEFAULT)
		flags = (flags & ~(unsigned long)XN_FLAG_SEP_MASK) | XN_FLAG_SEP_CPLUS_SPC;
	RF_OWN(BIO) *bio = BIO_new(BIO_s_mem());
	if (!bio || X509_NAME_print_ex(bio, name, 0, flags) < 0) {
		ERR_clear_error();
		return empty;
	}
	long n = BIO_get_mem_data(bio, &text);
	return rf_arena_dup(a, (struct rf_str){ text, (size_t)n });
}

struct rf_str rf_cert_subject(const struct rf_cert *c, enum rf_dn_style style, struct rf_arena *a)
{
	return name_text(c->subject, style, a);
}

struct rf_str rf_cert_issuer(const struct rf_cert *c, enum rf_dn_style style, struct rf_arena *a)
{
	return name_text(c->issuer, style, a);
}

static size_t put_utf8(uint32_t u, char *to)
{
	static const uint8_t LEAD[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	if (u < 0x80) {
		to[0] = (char)u;
		return 1;
	}
	size_t n = u < 0x800 ? 2 : u < 0x10000 ? 3 : 4;
	for (size_t i = n - 1; i > 0; i--, u >>= 6)
		to[i] = (char)(0x80 | (u & 0x3f));
	to[0] = (char)(LEAD[n] | u);
	return n;
}

/* Latin-1, UCS-2 or UCS-4 of `width` bytes a character as UTF-8; what is no character as U+FFFD. */
static bool wide_text(struct rf_str s, size_t width, struct rf_arena *a, struct rf_str *ret)
{
	char *to = s.n % width ? NULL : rf_arena_alloc(a, s.n / width * 4 + 1);
	size_t n = 0;
	if (!to)
		return false;
	struct rf_cur at = rf_cur_over(s.p, s.n);
	while (rf_cur_left(&at)) {
		uint32_t u = (uint32_t)rf_cur_be(&at, (unsigned)width);
		n += put_utf8(u > 0x10ffff || (u >= 0xd800 && u < 0xe000) ? 0xfffd : u, to + n);
	}
	*ret = (struct rf_str){ to, n };
	return true;
}

/* A DirectoryString as UTF-8 [RFC 5280 4.1.2.4]. */
static bool attr_text(struct rf_tlv t, struct rf_arena *a, struct rf_str *ret)
{
	switch (t.tag) {
	case 0x0c: /* UTF8String */
	case 0x12: /* NumericString */
	case 0x13: /* PrintableString */
	case 0x16: /* IA5String */
		*ret = t.body;
		return true;
	case 0x14: /* TeletexString, in practice Latin-1 */
		return wide_text(t.body, 1, a, ret);
	case 0x1e: /* BMPString */
		return wide_text(t.body, 2, a, ret);
	case 0x1c: /* UniversalString */
		return wide_text(t.body, 4, a, ret);
	default:
		return false;
	}
}

static const struct attr *attr_of(struct rf_str name)
{
	for (size_t i = 0; i < sizeof ATTRS / sizeof *ATTRS; i++)
		if (rf_str_ieq(name, rf_str_z(ATTRS[i].name)))
			return &ATTRS[i];
	return NULL;
}

bool rf_cert_attr(const struct rf_cert *c, bool of_issuer, struct rf_str name, unsigned index, struct rf_arena *a,
		  struct rf_str *ret)
{
	const struct attr *attr = attr_of(name);
	struct rf_str der = of_issuer ? c->issuer : c->subject;
	struct rf_cur at = rf_cur_over(der.p, der.n), rdns = rf_der_into(rf_der_next(&at));
	while (attr && rf_cur_left(&rdns)) {
		struct rf_cur set = rf_der_into(rf_der_want(&rdns, RF_DER_SET));
		while (rf_cur_left(&set)) {
			struct rf_cur pair = rf_der_into(rf_der_want(&set, RF_DER_SEQ));
			struct rf_str oid = rf_der_want(&pair, RF_DER_OID).body;
			struct rf_tlv value = rf_der_next(&pair);
			if (rf_cur_ok(&pair) && rf_str_eq(oid, attr->oid) && index-- == 0)
				return attr_text(value, a, ret);
		}
	}
	return false;
}

bool rf_cert_san_next(struct rf_cur *at, struct rf_san *ret)
{
	if (!rf_cur_left(at))
		return false;
	struct rf_tlv t = rf_der_next(at);
	switch (t.tag) { /* GeneralName [RFC 5280 4.2.1.6] */
	case 0x81:
		ret->kind = RF_SAN_EMAIL;
		break;
	case 0x82:
		ret->kind = RF_SAN_DNS;
		break;
	case 0x86:
		ret->kind = RF_SAN_URI;
		break;
	case 0x87:
		ret->kind = t.body.n == 4 || t.body.n == 16 ? RF_SAN_IP : RF_SAN_OTHER;
		break;
	default:
		ret->kind = RF_SAN_OTHER;
	}
	ret->value = t.body;
	return rf_cur_ok(at);
}

static bool ip_text(struct rf_str bytes, struct rf_arena *a, struct rf_str *ret)
{
	char text[RF_IP_TEXT];
	struct rf_ip ip = { .family = bytes.n == 4 ? 4 : 6 };
	memcpy(ip.b, bytes.p, bytes.n);
	*ret = rf_arena_dup(a, rf_str_z(rf_ip_str(&ip, text)));
	return ret->p != NULL;
}

bool rf_cert_san(const struct rf_cert *c, enum rf_san_kind kind, unsigned index, struct rf_arena *a,
		 struct rf_str *ret)
{
	struct rf_cur at = rf_cur_over(c->sans.p, c->sans.n);
	struct rf_san san;
	while (rf_cert_san_next(&at, &san)) {
		if (san.kind != kind || index-- != 0)
			continue;
		if (kind == RF_SAN_IP)
			return ip_text(san.value, a, ret);
		*ret = san.value;
		return true;
	}
	return false;
}
