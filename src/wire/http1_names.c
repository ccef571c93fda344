/* wire/http1_names: methods and header names to numbers and back.
 *
 * A header name is hashed over its length and four of its bytes to a slot that holds the one known
 * name it can be; a comparison of eight bytes at a time decides. The hash is made at build time
 * (gen_names.py), so a new row in tbl/headers.def is all that a new name takes.
 */
#include "wire/http1_names.h"
#include "wire/http1_names_hash.h"

static const struct rf_str names[RF_HDR_COUNT] = {
#define RF_HEADER(id, name, flags) [RF_HDR_##id] = { name, sizeof(name) - 1 },
#include "tbl/headers.def"
#undef RF_HEADER
};

enum { NONE = 0, ONE = RF_HDR_ONE, HOP = RF_HDR_HOP, E2E = RF_HDR_E2E, EDGE = RF_HDR_EDGE };

static const uint8_t name_flags[RF_HDR_COUNT] = {
#define RF_HEADER(id, name, flags) [RF_HDR_##id] = (flags),
#include "tbl/headers.def"
#undef RF_HEADER
};

enum { SAFE = RF_METHOD_SAFE, IDEM = RF_METHOD_IDEM };

static const struct {
	struct rf_str name;
	unsigned flags;
} methods[RF_HTTP_METHODS] = {
	[RF_HTTP_OTHER] = { { "", 0 }, 0 },
#define RF_METHOD(name, flags) [RF_HTTP_##name] = { { #name, sizeof(#name) - 1 }, (flags) },
#include "tbl/methods.def"
#undef RF_METHOD
};

enum rf_http_method rf_http_method_of(struct rf_str token)
{
	for (unsigned m = RF_HTTP_OTHER + 1; m < RF_HTTP_METHODS; m++)
		if (rf_str_eq(token, methods[m].name))
			return (enum rf_http_method)m;
	return RF_HTTP_OTHER;
}

const char *rf_http_method_name(enum rf_http_method m)
{
	return (unsigned)m < RF_HTTP_METHODS ? methods[m].name.p : "";
}

unsigned rf_http_method_flags(enum rf_http_method m)
{
	return (unsigned)m < RF_HTTP_METHODS ? methods[m].flags : 0;
}

static unsigned lower(const char *p, size_t i)
{
	return (unsigned char)p[i] | 0x20u; /* right for the letters, digits and '-' that known names have */
}

static uint64_t load64(const char *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof v);
	return v;
}

static uint32_t load32(const char *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof v);
	return v;
}

/* n bytes of a token against a known name, the last load overlapping the one before. Only letters and '-' differ
 * from what |0x20 gives. */
static bool same(const char *token, const char *known, size_t n)
{
	const uint64_t bit = 0x2020202020202020u;
	if (n >= 8) {
		for (size_t i = 0; i + 8 < n; i += 8)
			if ((load64(token + i) | bit) != load64(known + i))
				return false;
		return (load64(token + n - 8) | bit) == load64(known + n - 8);
	}
	if (n >= 4)
		return (load32(token) | (uint32_t)bit) == load32(known) &&
			(load32(token + n - 4) | (uint32_t)bit) == load32(known + n - 4);
	for (size_t i = 0; i < n; i++)
		if (lower(token, i) != (unsigned char)known[i])
			return false;
	return true;
}

enum rf_http_header_id rf_http_header_of(struct rf_str name)
{
	const uint16_t *mul = rf_http_names_mul;
	size_t n = name.n;
	if (n == 0 || n > 64)
		return RF_HDR_OTHER;
	unsigned slot = ((unsigned)n * mul[0] + lower(name.p, 0) * mul[1] + lower(name.p, n / 2) * mul[2] +
		lower(name.p, n - 1) * mul[3] + lower(name.p, n * 3 / 4) * mul[4]) % RF_HTTP_NAMES_SLOTS;
	uint8_t id = rf_http_names_slot[slot];
	return id && names[id].n == n && same(name.p, names[id].p, n) ? (enum rf_http_header_id)id : RF_HDR_OTHER;
}

struct rf_str rf_http_header_name(enum rf_http_header_id id)
{
	return (unsigned)id < RF_HDR_COUNT && id != RF_HDR_OTHER ? names[id] : RF_STR("");
}

unsigned rf_http_header_flags(enum rf_http_header_id id)
{
	return (unsigned)id < RF_HDR_COUNT ? name_flags[id] : 0;
}

static unsigned char fold(char c)
{
	return c == '_' ? '-' : rf_lower((unsigned char)c);
}

bool rf_http_name_alike(struct rf_str a, struct rf_str b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (fold(a.p[i]) != fold(b.p[i]))
			return false;
	return true;
}

bool rf_http_name_reserved(struct rf_str name)
{
	static const char *const reserved[] = { "host", "content-length", "transfer-encoding", "content-encoding", "connection",
		"proxy-connection", "keep-alive", "http2-settings", "te", "trailer", "upgrade", "expect", "via", "early-data",
		"forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-request-id", "client-cert",
		"client-cert-chain", "cf-client-cert-status", "cf-client-cert-reason", "cf-client-cert-ski",
		"cf-client-cert-der-base64", "cf-client-cert-sha256" };
	static const struct rf_str ours = RF_STR("ringfence-");
	for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
		if (rf_http_name_alike(name, rf_str_z(reserved[i])))
			return true;
	return name.n >= ours.n && rf_http_name_alike((struct rf_str){ name.p, ours.n }, ours);
}
