/* wire/spp: one fixed header, read with a cursor and written byte by byte. */
#include "wire/spp.h"
#include "base/cur.h"
#include "base/err.h"

static struct rf_ip address(struct rf_cur *c)
{
	struct rf_ip ip = { .family = 6 };
	struct rf_str s = rf_cur_take(c, sizeof ip.b);
	if (s.n)
		memcpy(ip.b, s.p, s.n);
	return rf_ip_unmap(ip);
}

int rf_spp_parse(struct rf_str in, struct rf_spp *ret)
{
	struct rf_cur c = rf_cur_over(in.p, in.n);
	bool magic = rf_cur_u16(&c) == RF_SPP_MAGIC;
	struct rf_spp p = { .client = address(&c), .proxy = address(&c) };
	p.client_port = rf_cur_u16(&c);
	p.proxy_port = rf_cur_u16(&c);
	if (!magic || !rf_cur_ok(&c))
		return RF_E_SYNTAX;
	*ret = p;
	return RF_OK;
}

static char *put16(char *to, uint16_t v)
{
	to[0] = (char)(v >> 8);
	to[1] = (char)v;
	return to + 2;
}

static char *put_ip(char *to, const struct rf_ip *ip)
{
	memset(to, 0, 16);
	if (ip->family == 4) {
		memset(to + 10, 0xff, 2);
		memcpy(to + 12, ip->b, 4);
	} else if (ip->family == 6) {
		memcpy(to, ip->b, 16);
	}
	return to + 16;
}

void rf_spp_build(const struct rf_spp *p, char to[RF_SPP_SIZE])
{
	to = put16(to, RF_SPP_MAGIC);
	to = put_ip(to, &p->client);
	to = put_ip(to, &p->proxy);
	to = put16(to, p->client_port);
	put16(to, p->proxy_port);
}

struct rf_str rf_spp_strip(struct rf_str in, const char header[RF_SPP_SIZE])
{
	return rf_str_starts(in, (struct rf_str){ header, RF_SPP_SIZE }) ? rf_str_skip(in, RF_SPP_SIZE) : in;
}
