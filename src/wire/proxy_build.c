/* wire/proxy_build: headers of the PROXY protocol, for upstreams that want to know the client.
 *
 * One of version 2 is appended with its length and checksum left zero, which are then filled in.
 */
#include "base/err.h"
#include "wire/proxy.h"

static void be(struct rf_buf *b, uint64_t v, unsigned bytes)
{
	while (bytes--)
		rf_buf_addc(b, (char)(v >> 8 * bytes));
}

static void tlv(struct rf_buf *b, uint8_t type, struct rf_str v)
{
	if (!v.p)
		return;
	be(b, type, 1);
	be(b, v.n, 2);
	rf_buf_add(b, v);
}

static size_t tlv_size(struct rf_str v)
{
	return v.p ? 3 + v.n : 0;
}

static void ssl(struct rf_buf *b, const struct rf_proxy *p)
{
	const struct rf_str *parts[] = { &p->ssl_version, &p->ssl_cn, &p->ssl_cipher, &p->ssl_sig, &p->ssl_key };
	size_t n = 5;
	if (!p->has_ssl)
		return;
	for (unsigned i = 0; i < 5; i++)
		n += tlv_size(*parts[i]);
	be(b, 0x20, 1);
	be(b, n, 2);
	be(b, p->ssl_client, 1);
	be(b, p->ssl_verify, 4);
	for (unsigned i = 0; i < 5; i++)
		tlv(b, (uint8_t)(0x21 + i), *parts[i]);
}

/* Sixteen bytes whatever the family: IPv4 as mapped, when the other side is IPv6. */
static void address(struct rf_buf *b, const struct rf_ip *ip, bool v4)
{
	if (!v4 && ip->family == 4) {
		be(b, 0, 8);
		be(b, 0xffff, 4);
	}
	rf_buf_add(b, (struct rf_str){ (const char *)ip->b, v4 || ip->family == 4 ? 4 : 16 });
}

static void path(struct rf_buf *b, struct rf_str s)
{
	rf_buf_add(b, s);
	for (size_t i = s.n; i < 108; i++)
		rf_buf_addc(b, '\0');
}

static uint8_t family_code(const struct rf_proxy *p)
{
	bool v4 = p->src.family == 4 && p->dst.family == 4;
	switch (p->kind) {
	case RF_PROXY_TCP:
		return v4 ? 0x11 : 0x21;
	case RF_PROXY_UDP:
		return v4 ? 0x12 : 0x22;
	case RF_PROXY_UNIX_STREAM:
		return 0x31;
	case RF_PROXY_UNIX_DGRAM:
		return 0x32;
	default:
		return 0;
	}
}

static void addresses(struct rf_buf *b, const struct rf_proxy *p, uint8_t code)
{
	if (code >> 4 == 3) {
		path(b, p->src_path);
		path(b, p->dst_path);
	} else if (code) {
		address(b, &p->src, code >> 4 == 1);
		address(b, &p->dst, code >> 4 == 1);
		be(b, p->src_port, 2);
		be(b, p->dst_port, 2);
	}
}

static bool fits(const struct rf_proxy *p, uint8_t code)
{
	if (code >> 4 == 3)
		return p->src_path.n <= 108 && p->dst_path.n <= 108;
	return !code || (p->src.family && p->dst.family);
}

int rf_proxy_build(const struct rf_proxy *p, struct rf_buf *out)
{
	uint8_t code = p->local ? 0 : family_code(p);
	size_t start = out->n, sum = 0;
	if (!fits(p, code))
		return RF_E_INVALID;
	rf_buf_add(out, (struct rf_str){ "\r\n\r\n\0\r\nQUIT\n", 12 });
	be(out, p->local ? 0x20 : 0x21, 1);
	be(out, code, 1);
	be(out, 0, 2);
	addresses(out, p, code);
	if (code) {
		tlv(out, 0x01, p->alpn);
		tlv(out, 0x02, p->authority);
		tlv(out, 0x05, p->unique_id);
		ssl(out, p);
		tlv(out, RF_PROXY_TLV_SKI, p->ski);
		tlv(out, RF_PROXY_TLV_DEVICE, p->device);
	}
	if (code && p->checked) {
		tlv(out, 0x03, (struct rf_str){ "\0\0\0", 4 });
		sum = out->n - 4;
	}
	size_t n = out->n - start - 16;
	if (out->bad || n > UINT16_MAX) {
		out->n = start;
		return out->bad ? RF_E_NOMEM : RF_E_INVALID;
	}
	out->p[start + 14] = (char)(n >> 8);
	out->p[start + 15] = (char)n;
	uint32_t crc = sum ? rf_crc32c(0, out->p + start, out->n - start) : 0;
	for (unsigned i = 0; sum && i < 4; i++)
		out->p[sum + i] = (char)(crc >> (24 - 8 * i));
	return RF_OK;
}

/* An address as text, IPv4 as mapped where the other side is IPv6. */
static void address_text(struct rf_buf *b, const struct rf_ip *ip, bool v4)
{
	char text[RF_IP_TEXT];
	rf_buf_printf(b, "%s%s ", !v4 && ip->family == 4 ? "::ffff:" : "", rf_ip_str(ip, text));
}

int rf_proxy_build_line(const struct rf_proxy *p, struct rf_buf *out)
{
	bool tcp = p->kind == RF_PROXY_TCP && !p->local, v4 = p->src.family == 4 && p->dst.family == 4;
	size_t start = out->n;
	if (tcp && (!p->src.family || !p->dst.family))
		return RF_E_INVALID;
	rf_buf_add(out, tcp ? v4 ? RF_STR("PROXY TCP4 ") : RF_STR("PROXY TCP6 ") : RF_STR("PROXY UNKNOWN"));
	if (tcp) {
		address_text(out, &p->src, v4);
		address_text(out, &p->dst, v4);
		rf_buf_printf(out, "%u %u", p->src_port, p->dst_port);
	}
	rf_buf_add(out, RF_STR("\r\n"));
	if (out->bad)
		out->n = start;
	return out->bad ? RF_E_NOMEM : RF_OK;
}
