/* shield/vector: see vector.h. */
#include "shield/vector.h"

enum { SYN = RF_TCP_SYN, ACK = RF_TCP_ACK, RST = RF_TCP_RST, NEIGHBOUR_FIRST = 133, NEIGHBOUR_LAST = 137 /* [RFC 4861 4] */ };

static const struct rf_vector_info infos[RF_VECTORS] = {
#define RF_VECTOR(name, word, kind, port, doc) [RF_VECTOR_##name] = { word, doc, RF_FRAMES_##kind, port },
#include "tbl/vectors.def"
#undef RF_VECTOR
};

/* The first that fits. */
static const struct segment { enum rf_vector vector; uint8_t mask, flags; } segments[] = {
	{ RF_VECTOR_SYN, SYN | ACK, SYN }, { RF_VECTOR_SYN_ACK, SYN | ACK, SYN | ACK }, { RF_VECTOR_RST, RST, RST },
	{ RF_VECTOR_ACK, SYN | RST, 0 } };

const struct rf_vector_info *rf_vector_info(enum rf_vector v) { return &infos[v]; }

void rf_vector_flags(enum rf_vector v, uint8_t *ret_mask, uint8_t *ret_flags)
{
	*ret_mask = *ret_flags = 0;
	for (size_t i = 0; i < sizeof segments / sizeof *segments; i++) {
		if (segments[i].vector != v)
			continue;
		*ret_mask = segments[i].mask;
		*ret_flags = segments[i].flags;
	}
}

enum rf_vector rf_vector_find(struct rf_str word)
{
	unsigned v = 0;
	while (v < RF_VECTORS && !rf_str_eq(word, rf_str_z(infos[v].word)))
		v++;
	return (enum rf_vector)v;
}

bool rf_vector_passed(const struct rf_glimpse *g) { return g->why <= RF_DROP_LAST_PASS; }

static enum rf_vector of_tcp(uint8_t flags)
{
	for (size_t i = 0; i < sizeof segments / sizeof *segments; i++)
		if ((flags & segments[i].mask) == segments[i].flags)
			return segments[i].vector;
	return RF_VECTORS;
}

static enum rf_vector of_udp(const struct rf_glimpse *g)
{
	for (unsigned v = 0; v < RF_VECTORS; v++)
		if (infos[v].kind == RF_FRAMES_REFLECTION && infos[v].port == g->sport)
			return (enum rf_vector)v;
	return g->why == RF_DROP_REFLECTION ? RF_VECTOR_REFLECTION : RF_VECTOR_UDP;
}

static enum rf_vector of_icmp6(uint16_t type) { return type >= NEIGHBOUR_FIRST && type <= NEIGHBOUR_LAST ? RF_VECTORS : RF_VECTOR_ICMP; }

static const bool no_flood[RF_DROP_COUNT] = { [RF_DROP_ALLOWED] = true, [RF_DROP_NOT_IP] = true, [RF_DROP_COOKIE_GOOD] = true,
	[RF_DROP_FLEET] = true, [RF_DROP_FLEET_PORT] = true, [RF_DROP_FLEET_BOT] = true };

enum rf_vector rf_vector_of(const struct rf_glimpse *g)
{
	if (no_flood[g->why < RF_DROP_COUNT ? g->why : RF_DROP_PASS])
		return RF_VECTORS;
	if (rf_vector_passed(g) && (g->socket == RF_SOCKET_CONNECTED || g->socket == RF_SOCKET_ELSEWHERE))
		return RF_VECTORS;
	if (!g->family)
		return RF_VECTOR_MALFORMED;
	if (g->part)
		return RF_VECTOR_FRAGMENT;
	switch (g->proto) {
	case RF_PROTO_TCP: return of_tcp(g->tcp_flags);
	case RF_PROTO_UDP: return of_udp(g);
	case RF_PROTO_ICMP: return RF_VECTOR_ICMP;
	case RF_PROTO_ICMP6: return of_icmp6(g->sport);
	default: return RF_VECTOR_OTHER;
	}
}

struct rf_ip rf_vector_ip(uint8_t family, const uint32_t at[4])
{
	struct rf_ip ip = { .family = family };
	memcpy(ip.b, at, family == 4 ? 4 : 16);
	return ip;
}
