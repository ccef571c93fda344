#include <openssl/evp.h>
#include "base/enc.h"
#include "base/ip.h"
#include "pki/credkey.h"

static int digest(struct rf_str a, struct rf_str b, struct rf_credkey *ret)
{
	unsigned n = 0;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) && EVP_DigestUpdate(ctx, a.p, a.n) &&
		    EVP_DigestUpdate(ctx, "", 1) && EVP_DigestUpdate(ctx, b.p, b.n) &&
		    EVP_DigestFinal_ex(ctx, ret->b, &n);
	EVP_MD_CTX_free(ctx);
	ret->n = (uint8_t)n;
	return good ? RF_OK : RF_E_NOMEM;
}

/* Octets of an even number of hex digits; -1 otherwise. */
static ssize_t octets(struct rf_str hex, uint8_t *to, size_t room)
{
	return hex.n ? rf_unhex(hex, to, room) : -1;
}

int rf_credkey_ski(struct rf_str hex, struct rf_credkey *ret)
{
	uint8_t raw[64];
	struct rf_credkey k = { 0 };
	ssize_t n = octets(hex, raw, sizeof raw);
	if (n <= 0)
		return RF_E_SYNTAX;
	if (n > RF_CREDKEY_MAX) {
		int rc = digest(RF_STR("ski"), (struct rf_str){ (const char *)raw, (size_t)n }, &k);
		if (rc != RF_OK)
			return rc;
	} else {
		memcpy(k.b, raw, (size_t)n);
		k.n = (uint8_t)n;
	}
	*ret = k;
	return RF_OK;
}

int rf_credkey_address(struct rf_str text, struct rf_credkey *ret)
{
	struct rf_ip ip;
	if (!rf_ip_parse(text, &ip) || rf_ip_unspecified(&ip))
		return RF_E_SYNTAX;
	*ret = (struct rf_credkey){ .b = { ip.family }, .n = ip.family == 4 ? 5 : 17 };
	memcpy(&ret->b[1], ip.b, ret->n - 1u);
	return RF_OK;
}

int rf_credkey_fingerprint(struct rf_str hex, struct rf_credkey *ret)
{
	struct rf_credkey k = { .n = 32 };
	if (octets(hex, k.b, sizeof k.b) != 32)
		return RF_E_SYNTAX;
	*ret = k;
	return RF_OK;
}

/* Hex digits in upper case without leading zeros; false on another byte or too many. */
static bool plain_hex(struct rf_str s, char to[130], size_t *ret_n)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = rf_lower((unsigned char)s.p[i]);
		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')) || n == 129)
			return false;
		if (n || c != '0')
			to[n++] = (char)c;
	}
	*ret_n = n;
	return s.n > 0;
}

int rf_credkey_serial(struct rf_str issuer_ski, struct rf_str serial, struct rf_credkey *ret)
{
	char a[130], b[130];
	size_t an, bn;
	if (serial.n && serial.p[0] == '-')
		return RF_E_SYNTAX;
	if (!plain_hex(issuer_ski, a, &an) || !plain_hex(serial, b, &bn))
		return RF_E_SYNTAX;
	struct rf_credkey k;
	int rc = digest((struct rf_str){ a, an }, (struct rf_str){ b, bn }, &k);
	if (rc == RF_OK)
		*ret = k;
	return rc;
}

int rf_credkey_name(struct rf_str root_id, struct rf_str name, struct rf_credkey *ret)
{
	struct rf_credkey k;
	int rc = name.n ? digest(root_id, name, &k) : RF_E_SYNTAX;
	if (rc == RF_OK)
		*ret = k;
	return rc;
}
