/* wire/proxy: the PROXY protocol, versions 1 and 2.
 *
 * The first bytes tell the version. Version 1 is a line of at most 107 bytes with strict numbers;
 * version 2 is a fixed head, addresses by family, then type-length-values that must fill the rest
 * exactly. A CRC32C, where there is one, must be right.
 *
 * Not here: who may send such a header (the listener's list of trusted peers).
 */
#include "wire/proxy.h"
#include "base/cur.h"
#include "base/err.h"
#include "tbl/limits.h"

static const struct rf_str signature = { "\r\n\r\n\0\r\nQUIT\n", 12 };

enum { V1_MAX = 107, V2_HEAD = 16, UNIX_PATH = 108 };

enum {
	TLV_ALPN = 0x01, TLV_AUTHORITY = 0x02, TLV_CRC32C = 0x03, TLV_NOOP = 0x04, TLV_UNIQUE_ID = 0x05, TLV_SSL = 0x20,
	TLV_SSL_VERSION = 0x21, TLV_SSL_CN = 0x22, TLV_SSL_CIPHER = 0x23, TLV_SSL_SIG = 0x24, TLV_SSL_KEY = 0x25,
	TLV_NETNS = 0x30
};

uint32_t rf_crc32c(uint32_t crc, const void *p, size_t n)
{
	const uint8_t *b = p;
	crc = ~crc;
	for (size_t i = 0; i < n; i++) {
		crc ^= b[i];
		for (int k = 0; k < 8; k++)
			crc = crc >> 1 ^ (0x82f63b78u & (0 - (crc & 1)));
	}
	return ~crc;
}

static bool v1_address(struct rf_str s, int family, struct rf_ip *ret)
{
	bool colon = rf_str_find(s, ':') < s.n;
	return colon == (family == 6) && rf_ip_parse(s, ret);
}

static bool v1_port(struct rf_str s, uint16_t *ret)
{
	uint64_t n;
	if (s.n > 5 || (s.n > 1 && s.p[0] == '0') || !rf_str_u64(s, &n) || n > 65535)
		return false;
	*ret = (uint16_t)n;
	return true;
}

/* "PROXY TCP4 src dst sport dport", without CRLF. */
static int v1_line(struct rf_str line, struct rf_proxy *p)
{
	struct rf_str part[6], rest = line;
	size_t n = 0;
	while (n < 6 && rf_str_split(&rest, ' ', &part[n]))
		n++;
	if (n >= 2 && rf_str_eq(part[1], RF_STR("UNKNOWN")))
		return RF_OK; /* whatever follows is to be ignored */
	int family = n < 2 ? 0 : rf_str_eq(part[1], RF_STR("TCP4")) ? 4 : rf_str_eq(part[1], RF_STR("TCP6")) ? 6 : 0;
	if (n != 6 || rest.p || !family || !v1_address(part[2], family, &p->src) ||
	    !v1_address(part[3], family, &p->dst) || !v1_port(part[4], &p->src_port) || !v1_port(part[5], &p->dst_port))
		return RF_E_INVALID;
	p->kind = RF_PROXY_TCP;
	return RF_OK;
}

static int parse_v1(struct rf_str in, struct rf_proxy *p)
{
	size_t n = in.n < V1_MAX ? in.n : V1_MAX;
	size_t lf = rf_str_find((struct rf_str){ in.p, n }, '\n');
	if (lf == n)
		return in.n >= V1_MAX ? RF_E_INVALID : RF_E_AGAIN;
	if (in.p[lf - 1] != '\r')
		return RF_E_INVALID;
	p->version = 1;
	p->size = lf + 1;
	return v1_line((struct rf_str){ in.p, lf - 1 }, p);
}

static struct rf_ip address(struct rf_cur *c, uint8_t family)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct rf_ip ip = { .family = family };
	struct rf_str s = rf_cur_take(c, family == 4 ? 4 : 16);
	if (!s.p)
		return (struct rf_ip){ 0 };
	memcpy(ip.b, s.p, s.n);
	if (family == 6 && memcmp(ip.b, mapped, sizeof mapped) == 0) {
		ip = (struct rf_ip){ .family = 4 };
		memcpy(ip.b, s.p + 12, 4);
	}
	return ip;
}

/* Up to the first NUL; abstract sockets keep all their bytes. */
static struct rf_str unix_path(struct rf_cur *c)
{
	struct rf_str s = rf_cur_take(c, UNIX_PATH);
	if (s.p && s.p[0])
		s.n = rf_str_find(s, '\0');
	return s;
}

static int addresses(struct rf_cur *c, uint8_t code, struct rf_proxy *p)
{
	static const enum rf_proxy_kind kinds[4][3] = {
		[1] = { RF_PROXY_UNKNOWN, RF_PROXY_TCP, RF_PROXY_UDP },
		[2] = { RF_PROXY_UNKNOWN, RF_PROXY_TCP, RF_PROXY_UDP },
		[3] = { RF_PROXY_UNKNOWN, RF_PROXY_UNIX_STREAM, RF_PROXY_UNIX_DGRAM },
	};
	uint8_t family = code >> 4, transport = code & 15;
	if (family > 3 || transport > 2)
		return RF_E_UNSUPPORTED;
	p->kind = kinds[family][transport];
	if (p->kind == RF_PROXY_UNKNOWN)
		return RF_OK;
	if (family == 3) {
		p->src_path = unix_path(c);
		p->dst_path = unix_path(c);
	} else {
		p->src = address(c, family == 1 ? 4 : 6);
		p->dst = address(c, family == 1 ? 4 : 6);
		p->src_port = rf_cur_u16(c);
		p->dst_port = rf_cur_u16(c);
	}
	return rf_cur_ok(c) ? RF_OK : RF_E_INVALID;
}

bool rf_proxy_tlv_next(struct rf_str *rest, uint8_t *ret_type, struct rf_str *ret_value)
{
	struct rf_cur c = rf_cur_over(rest->p, rest->n);
	uint8_t type = rf_cur_u8(&c);
	struct rf_str value = rf_cur_take(&c, rf_cur_u16(&c));
	if (!rf_cur_ok(&c))
		return false;
	*rest = rf_str_skip(*rest, 3 + value.n);
	*ret_type = type;
	*ret_value = value;
	return true;
}

static int ssl(struct rf_str value, struct rf_proxy *p)
{
	struct rf_cur c = rf_cur_over(value.p, value.n);
	p->has_ssl = true;
	p->ssl_client = rf_cur_u8(&c);
	p->ssl_verify = rf_cur_u32(&c);
	if (!rf_cur_ok(&c))
		return RF_E_INVALID;
	struct rf_str rest = rf_str_skip(value, 5), v;
	uint8_t type;
	while (rf_proxy_tlv_next(&rest, &type, &v)) {
		struct rf_str *to = type == TLV_SSL_VERSION ? &p->ssl_version : type == TLV_SSL_CN ? &p->ssl_cn :
			type == TLV_SSL_CIPHER ? &p->ssl_cipher : type == TLV_SSL_SIG ? &p->ssl_sig :
			type == TLV_SSL_KEY ? &p->ssl_key : NULL;
		if (to && to->p)
			return RF_E_INVALID;
		if (to)
			*to = v;
	}
	return rest.n ? RF_E_INVALID : RF_OK;
}

/* The sum over the header with its own four bytes as zero. */
static int checksum(struct rf_str header, struct rf_str value, struct rf_proxy *p)
{
	struct rf_cur c = rf_cur_over(value.p, value.n);
	uint32_t want = rf_cur_u32(&c), crc;
	if (value.n != 4 || p->checked)
		return RF_E_INVALID;
	size_t before = (size_t)(value.p - header.p);
	crc = rf_crc32c(0, header.p, before);
	crc = rf_crc32c(crc, "\0\0\0", 4);
	crc = rf_crc32c(crc, value.p + 4, header.n - before - 4);
	p->checked = crc == want;
	return p->checked ? RF_OK : RF_E_INVALID;
}

static int one_tlv(struct rf_str header, uint8_t type, struct rf_str v, struct rf_proxy *p)
{
	struct rf_str *to = type == TLV_ALPN ? &p->alpn : type == TLV_AUTHORITY ? &p->authority :
		type == TLV_UNIQUE_ID ? &p->unique_id : type == TLV_NETNS ? &p->netns : NULL;
	if (type == TLV_CRC32C)
		return checksum(header, v, p);
	if (type == TLV_SSL)
		return p->has_ssl ? RF_E_INVALID : ssl(v, p);
	if (!to) /* TLV_NOOP and types that others define */
		return RF_OK;
	if (to->p || (type == TLV_UNIQUE_ID && v.n > 128))
		return RF_E_INVALID;
	*to = v;
	return RF_OK;
}

static int all_tlvs(struct rf_str header, struct rf_proxy *p)
{
	struct rf_str rest = p->tlvs, v;
	uint8_t type;
	while (rf_proxy_tlv_next(&rest, &type, &v)) {
		int r = one_tlv(header, type, v, p);
		if (r)
			return r;
	}
	return rest.n ? RF_E_INVALID : RF_OK;
}

static int parse_v2(struct rf_str in, struct rf_proxy *p)
{
	struct rf_cur c = rf_cur_over(in.p, in.n);
	rf_cur_take(&c, signature.n);
	uint8_t command = rf_cur_u8(&c), family = rf_cur_u8(&c);
	size_t n = rf_cur_u16(&c);
	if (in.n > 12 && ((uint8_t)in.p[12] >> 4 != 2 || (in.p[12] & 15) > 1))
		return RF_E_UNSUPPORTED;
	if (!rf_cur_ok(&c))
		return RF_E_AGAIN;
	p->size = V2_HEAD + n;
	if (p->size > RF_LIMIT_PROXY_HEAD)
		return RF_E_TOO_LARGE;
	if (in.n < p->size)
		return RF_E_AGAIN;
	p->version = 2;
	p->local = (command & 15) == 0;
	struct rf_cur body = rf_cur_sub(&c, n);
	if (p->local) /* families of LOCAL are to be ignored, with all that follows */
		return RF_OK;
	int r = addresses(&body, family, p);
	if (r || p->kind == RF_PROXY_UNKNOWN) /* without both there is nothing to know where TLVs start */
		return r;
	p->tlvs = rf_cur_take(&body, rf_cur_left(&body));
	return all_tlvs((struct rf_str){ in.p, p->size }, p);
}

static bool begins(struct rf_str in, struct rf_str with)
{
	size_t n = in.n < with.n ? in.n : with.n;
	return n == 0 || memcmp(in.p, with.p, n) == 0;
}

int rf_proxy_parse(struct rf_str in, struct rf_proxy *ret)
{
	static const struct rf_str v1 = { "PROXY ", 6 };
	struct rf_proxy p = { 0 };
	int r = RF_E_SYNTAX;
	if (begins(in, v1))
		r = in.n < v1.n ? RF_E_AGAIN : parse_v1(in, &p);
	else if (begins(in, signature))
		r = in.n < signature.n ? RF_E_AGAIN : parse_v2(in, &p);
	if (r == RF_OK)
		*ret = p;
	return r;
}
