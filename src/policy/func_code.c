/* policy/func_code: base64, digests, and the message with a time and an HMAC. */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include "base/enc.h"
#include "policy/expr.h"
#include "policy/func.h"

enum { MAC_SIZE = 32, MAC_TEXT = 128, STAMP_DIGITS = 10 };

int fn_decode_base64(struct rf_facts *f, const struct rf_val *a, unsigned n, struct rf_val *ret)
{
	(void)n;
	size_t size = a[0].s.n / 4 * 3 + 3;
	if (size > RF_EXPR_RESULT)
		return RF_E_TOO_LARGE;
	char *to = rf_arena_alloc(f->arena, size);
	if (!to)
		return RF_E_NOMEM;
	ssize_t got = rf_unb64(a[0].s, to, size);
	if (got >= 0)
		*ret = rf_val_str((struct rf_str){ to, (size_t)got });
	return RF_OK;
}

int fn_encode_base64(struct rf_facts *f, const struct rf_val *a, unsigned n, struct rf_val *ret)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	static const char url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	struct rf_str options = n > 1 ? a[1].s : RF_STR(""), s = a[0].s;
	bool safe = rf_str_find(options, 'u') < options.n, pad = !safe || rf_str_find(options, 'p') < options.n;
	const char *digits = safe ? url : plain;
	size_t size = (s.n + 2) / 3 * 4, at = 0;
	char *to = size > RF_EXPR_RESULT ? NULL : rf_arena_alloc(f->arena, size);
	if (!to)
		return size > RF_EXPR_RESULT ? RF_E_TOO_LARGE : RF_E_NOMEM;
	for (size_t i = 0; i < s.n; i += 3) {
		size_t left = s.n - i;
		uint32_t v = (uint32_t)(uint8_t)s.p[i] << 16 | (left > 1 ? (uint32_t)(uint8_t)s.p[i + 1] << 8 : 0) |
			(left > 2 ? (uint8_t)s.p[i + 2] : 0);
		for (unsigned k = 0; k < 4; k++)
			if (k <= left)
				to[at++] = digits[v >> (18 - 6 * k) & 63];
			else if (pad)
				to[at++] = '=';
	}
	*ret = rf_val_str((struct rf_str){ to, at });
	return RF_OK;
}

int fn_sha256(struct rf_facts *f, const struct rf_val *a, unsigned n, struct rf_val *ret)
{
	(void)n;
	unsigned char *to = rf_arena_alloc(f->arena, MAC_SIZE);
	if (!to)
		return RF_E_NOMEM;
	if (!EVP_Digest(a[0].s.n ? a[0].s.p : "", a[0].s.n, to, NULL, EVP_sha256(), NULL))
		return RF_E_CRYPTO;
	*ret = rf_val_str((struct rf_str){ (char *)to, MAC_SIZE });
	return RF_OK;
}

int fn_uuidv4(struct rf_facts *f, const struct rf_val *a, unsigned n, struct rf_val *ret)
{
	(void)n;
	uint8_t b[16];
	char hex[33];
	if (a[0].s.n < sizeof b)
		return RF_OK; /* too little to make one: missing */
	memcpy(b, a[0].s.p, sizeof b);
	b[6] = (b[6] & 0x0f) | 0x40; /* [RFC 9562 5.4] */
	b[8] = (b[8] & 0x3f) | 0x80;
	rf_hex(b, sizeof b, hex);
	struct rf_str s = rf_arena_printf(f->arena, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8,
		 hex + 12, hex + 16, hex + 20);
	if (!s.p)
		return RF_E_NOMEM;
	*ret = rf_val_str(s);
	return RF_OK;
}

/* The bytes of a MAC in base64, percent-encoded or (safe) of the URL alphabet without padding. */
static bool read_mac(struct rf_str s, bool safe, uint8_t mac[MAC_SIZE])
{
	char t[MAC_TEXT + 2];
	uint8_t got[MAC_TEXT];
	if (s.n > MAC_TEXT)
		return false;
	size_t n = s.n;
	if (!safe) {
		n = rf_unpercent(s, t);
	} else {
		for (size_t i = 0; i < s.n; i++)
			t[i] = s.p[i] == '-' ? '+' : s.p[i] == '_' ? '/' : s.p[i];
		if (n % 4 == 3)
			t[n++] = '=';
	}
	if (rf_unb64((struct rf_str){ t, n }, got, sizeof got) != MAC_SIZE)
		return false;
	memcpy(mac, got, MAC_SIZE);
	return true;
}

static int mac_of(struct rf_facts *f, struct rf_str key, struct rf_str message, struct rf_str stamp,
	uint8_t mac[MAC_SIZE])
{
	size_t n = message.n + stamp.n;
	char *joined = rf_arena_alloc(f->arena, n);
	if (!joined)
		return RF_E_NOMEM;
	if (message.n)
		memcpy(joined, message.p, message.n);
	memcpy(joined + message.n, stamp.p, stamp.n);
	bool done = HMAC(EVP_sha256(), key.n ? key.p : "", (int)key.n, (unsigned char *)joined, n, mac, NULL);
	return done ? RF_OK : RF_E_CRYPTO;
}

/* message SEPARATOR timestamp '-' mac: found from the end, since the MAC holds no '-' unless it is of the
 * URL alphabet, which has a fixed length of 43. */
int fn_hmac(struct rf_facts *f, const struct rf_val *a, unsigned n, struct rf_val *ret)
{
	bool safe = n > 5 && a[5].s.n > 0;
	int64_t separator = n > 4 ? a[4].i : 0, stamp_at, now = a[3].i, ttl = a[2].i;
	struct rf_str s = a[1].s;
	size_t dash = safe ? (s.n > 44 ? s.n - 44 : s.n) : s.n;
	uint8_t want[MAC_SIZE], got[MAC_SIZE];
	uint64_t stamp;
	*ret = rf_val_bool(false);
	if (!safe)
		while (dash > 0 && s.p[dash - 1] != '-')
			dash--;
	dash -= !safe && dash > 0;
	stamp_at = (int64_t)dash - STAMP_DIGITS;
	if (dash >= s.n || s.p[dash] != '-' || separator < 0 || stamp_at < separator)
		return RF_OK;
	struct rf_str digits = { s.p + stamp_at, STAMP_DIGITS };
	if (!rf_str_u64(digits, &stamp) || !read_mac(rf_str_skip(s, dash + 1), safe, got))
		return RF_OK;
	int r = mac_of(f, a[0].s, (struct rf_str){ s.p, (size_t)(stamp_at - separator) }, digits, want);
	bool fresh = (int64_t)stamp <= now && now - (int64_t)stamp <= ttl;
	if (r == RF_OK)
		*ret = rf_val_bool(fresh && CRYPTO_memcmp(want, got, MAC_SIZE) == 0);
	return r;
}
