/* wire/hello: the ClientHello of TLS [RFC 8446 4.1.2].
 *
 * Records are put together, the fixed fields are read with a cursor, then every extension is walked once:
 * a table says which of them are kept and what form they must have.
 *
 * Invariants: lists of 16-bit numbers that are kept have an even, non-zero length; vectors fill
 * their extensions exactly.
 */
#include "wire/hello.h"
#include "base/cur.h"
#include "base/err.h"
#include "tbl/limits.h"

enum {
	RECORD_HANDSHAKE = 22, HELLO = 1, RECORD_MAX = 16384,
	EXT_SNI = 0, EXT_GROUPS = 10, EXT_FORMATS = 11, EXT_SIGALGS = 13, EXT_ALPN = 16, EXT_TICKET = 35, EXT_PSK = 41,
	EXT_EARLY_DATA = 42, EXT_VERSIONS = 43
};

/* The content of the next record, which is of the handshake. */
static int record(struct rf_cur *c, struct rf_str *ret)
{
	if (rf_cur_left(c) && *c->at != RECORD_HANDSHAKE)
		return RF_E_SYNTAX;
	rf_cur_u8(c);
	uint8_t major = rf_cur_u8(c);
	rf_cur_u8(c);
	size_t n = rf_cur_u16(c);
	if (!rf_cur_ok(c))
		return RF_E_AGAIN;
	if (major != 3 || n == 0 || n > RECORD_MAX)
		return RF_E_SYNTAX;
	*ret = rf_cur_take(c, n);
	return rf_cur_ok(c) ? RF_OK : RF_E_AGAIN;
}

/* The size of the message, once all its bytes are there; *ret_in_one when the first record holds it. */
static int measure(struct rf_str in, size_t *ret_size, struct rf_str *ret_in_one)
{
	struct rf_cur c = rf_cur_over(in.p, in.n);
	struct rf_str part, first = { NULL, 0 };
	uint8_t head[4];
	size_t have = 0, want = sizeof head;
	while (have < want) {
		int r = record(&c, &part);
		if (r)
			return r;
		for (size_t i = 0; i < part.n && have + i < sizeof head; i++)
			head[have + i] = (uint8_t)part.p[i];
		first = first.p ? first : part;
		have += part.n;
		if (head[0] != HELLO)
			return RF_E_SYNTAX;
		if (have >= sizeof head)
			want = sizeof head + ((size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3]);
		if (want > RF_LIMIT_HELLO_BYTES)
			return RF_E_TOO_LARGE;
	}
	*ret_size = want;
	*ret_in_one = first.n >= want ? (struct rf_str){ first.p, want } : (struct rf_str){ NULL, 0 };
	return RF_OK;
}

int rf_hello_from_records(struct rf_str in, struct rf_arena *arena, struct rf_str *ret_message)
{
	struct rf_str in_one, part;
	size_t size;
	int r = measure(in, &size, &in_one);
	if (r || in_one.p) {
		if (!r)
			*ret_message = in_one;
		return r;
	}
	struct rf_cur c = rf_cur_over(in.p, in.n);
	char *whole = rf_arena_alloc(arena, size);
	if (!whole)
		return RF_E_NOMEM;
	for (size_t have = 0; have < size && record(&c, &part) == RF_OK; have += part.n)
		memcpy(whole + have, part.p, part.n < size - have ? part.n : size - have);
	*ret_message = (struct rf_str){ whole, size };
	return RF_OK;
}

bool rf_hello_ext_next(struct rf_str *rest, uint16_t *ret_type, struct rf_str *ret_body)
{
	struct rf_cur c = rf_cur_over(rest->p, rest->n);
	uint16_t type = rf_cur_u16(&c);
	struct rf_str body = rf_cur_take(&c, rf_cur_u16(&c));
	if (!rf_cur_ok(&c))
		return false;
	*rest = rf_str_skip(*rest, 4 + body.n);
	*ret_type = type;
	*ret_body = body;
	return true;
}

bool rf_hello_alpn_next(struct rf_str *rest, struct rf_str *ret_name)
{
	struct rf_cur c = rf_cur_over(rest->p, rest->n);
	struct rf_str name = rf_cur_take(&c, rf_cur_u8(&c));
	if (!rf_cur_ok(&c))
		return false;
	*rest = rf_str_skip(*rest, 1 + name.n);
	*ret_name = name;
	return true;
}

/* A vector of items with a length in `prefix` bytes that fills s. */
static bool vector(struct rf_str s, unsigned prefix, unsigned item, struct rf_str *ret)
{
	struct rf_cur c = rf_cur_over(s.p, s.n);
	struct rf_str v = rf_cur_take(&c, (size_t)rf_cur_be(&c, prefix));
	if (!rf_cur_ok(&c) || rf_cur_left(&c) || v.n == 0 || v.n % item)
		return false;
	*ret = v;
	return true;
}

/* server_name_list with one host_name [RFC 6066 3]. */
static bool server_name(struct rf_str body, struct rf_str *ret)
{
	struct rf_str list, name;
	if (!vector(body, 2, 1, &list) || list.p[0] != 0 || !vector(rf_str_skip(list, 1), 2, 1, &name) || name.n > 255)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		unsigned char c = rf_lower((unsigned char)name.p[i]);
		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_' && c != '.')
			return false;
	}
	*ret = name;
	return true;
}

static bool protocols(struct rf_str body, struct rf_str *ret)
{
	struct rf_str list, rest, name;
	if (!vector(body, 2, 1, &list))
		return false;
	rest = list;
	while (rf_hello_alpn_next(&rest, &name))
		if (name.n == 0)
			return false;
	*ret = list;
	return rest.n == 0;
}

static int extension(uint16_t type, struct rf_str body, struct rf_hello *h)
{
	static const struct {
		uint8_t type, prefix, item;
		size_t at;
	} lists[] = {
		{ EXT_GROUPS, 2, 2, offsetof(struct rf_hello, groups) },
		{ EXT_FORMATS, 1, 1, offsetof(struct rf_hello, formats) },
		{ EXT_SIGALGS, 2, 2, offsetof(struct rf_hello, sigalgs) },
		{ EXT_VERSIONS, 1, 2, offsetof(struct rf_hello, versions) },
	};
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
		struct rf_str *to = (struct rf_str *)((char *)h + lists[i].at);
		if (type == lists[i].type)
			return !to->p && vector(body, lists[i].prefix, lists[i].item, to) ? RF_OK : RF_E_INVALID;
	}
	if (type == EXT_SNI)
		return !h->sni.p && server_name(body, &h->sni) ? RF_OK : RF_E_INVALID;
	if (type == EXT_ALPN)
		return !h->alpn.p && protocols(body, &h->alpn) ? RF_OK : RF_E_INVALID;
	h->early_data = h->early_data || type == EXT_EARLY_DATA;
	h->psk = h->psk || type == EXT_PSK;
	h->ticket = h->ticket || type == EXT_TICKET;
	return RF_OK;
}

static int all_extensions(struct rf_hello *h)
{
	struct rf_str rest = h->extensions, body;
	uint16_t type;
	uint64_t seen = 0; /* of the types below 64, where all that are kept are */
	while (rf_hello_ext_next(&rest, &type, &body)) {
		if (type < 64 && seen >> type & 1)
			return RF_E_INVALID; /* [RFC 8446 4.2] */
		seen |= type < 64 ? 1ull << type : 0;
		int r = extension(type, body, h);
		if (r)
			return r;
		h->ext_count++;
	}
	return rest.n ? RF_E_INVALID : RF_OK;
}

static uint16_t highest(const struct rf_hello *h)
{
	uint16_t best = 0;
	if (!h->versions.p)
		return h->legacy_version;
	for (size_t i = 0; i < rf_hello_count(h->versions); i++) {
		uint16_t v = rf_hello_u16(h->versions, i);
		if (v > best && !rf_hello_is_grease(v))
			best = v;
	}
	return best;
}

int rf_hello_parse(struct rf_str message, struct rf_hello *ret)
{
	struct rf_hello h = { 0 };
	struct rf_cur c = rf_cur_over(message.p, message.n);
	uint8_t type = rf_cur_u8(&c);
	size_t size = (size_t)rf_cur_u24(&c);
	if (message.n && type != HELLO)
		return RF_E_SYNTAX;
	if (!rf_cur_ok(&c) || rf_cur_left(&c) < size)
		return RF_E_AGAIN;
	struct rf_cur b = rf_cur_sub(&c, size);
	h.legacy_version = rf_cur_u16(&b);
	h.random = rf_cur_take(&b, 32);
	h.session_id = rf_cur_take(&b, rf_cur_u8(&b));
	h.ciphers = rf_cur_take(&b, rf_cur_u16(&b));
	h.compression = rf_cur_take(&b, rf_cur_u8(&b));
	if (rf_cur_left(&b)) /* a client of TLS 1.2 may leave all of them out [RFC 5246 7.4.1.2] */
		h.extensions = rf_cur_take(&b, rf_cur_u16(&b));
	if (!rf_cur_ok(&b) || rf_cur_left(&b) || rf_cur_left(&c) || h.session_id.n > 32 || h.ciphers.n == 0 ||
	    h.ciphers.n % 2 || h.compression.n == 0)
		return RF_E_INVALID;
	int r = all_extensions(&h);
	if (r)
		return r;
	h.version = highest(&h);
	*ret = h;
	return RF_OK;
}
