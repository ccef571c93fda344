/* wire/guard_mqtt: control packets of MQTT 3.1, 3.1.1 and 5 as a client may send them.
 *
 * CONNECT comes first and once, its fixed part is read whole; of the others the fixed header [MQTT 3.1.1 2.2]: type, flags and
 * remaining length, which must be one that the type can have.
 */
#include "wire/guard_int.h"

enum { CONNECT = 1, AUTH = 15, LENGTH_BYTES = 4, ANY = -1 };
enum { FLAG_RESERVED = 1, FLAG_WILL = 4, FLAG_WILL_QOS = 0x18, FLAG_WILL_RETAIN = 0x20, FLAG_PASSWORD = 0x40, FLAG_NAME = 0x80 };

#define PACKET_ANY 268435455u /* the longest remaining length that four bytes can say */

static const struct {
	bool client;     /* may a client send it? */
	int flags;       /* that it must have; ANY: its own to choose */
	uint32_t least, most[2]; /* remaining length; most before MQTT 5, and in it */
} packets[16] = {
	[3] = { true, ANY, 2, { PACKET_ANY, PACKET_ANY } },  /* PUBLISH */
	[4] = { true, 0, 2, { 2, PACKET_ANY } },             /* PUBACK */
	[5] = { true, 0, 2, { 2, PACKET_ANY } },             /* PUBREC */
	[6] = { true, 2, 2, { 2, PACKET_ANY } },             /* PUBREL */
	[7] = { true, 0, 2, { 2, PACKET_ANY } },             /* PUBCOMP */
	[8] = { true, 2, 5, { PACKET_ANY, PACKET_ANY } },    /* SUBSCRIBE */
	[10] = { true, 2, 4, { PACKET_ANY, PACKET_ANY } },   /* UNSUBSCRIBE */
	[12] = { true, 0, 0, { 0, 0 } },                     /* PINGREQ */
	[14] = { true, 0, 0, { 0, PACKET_ANY } },            /* DISCONNECT */
	[AUTH] = { true, 0, 0, { 0, PACKET_ANY } },
};

/* A variable byte integer in the fewest bytes [MQTT 5 1.5.5]. */
static int remaining(struct rf_guard *g, struct rf_cur *c, uint32_t *ret)
{
	uint32_t n = 0;
	for (unsigned i = 0; i < LENGTH_BYTES; i++) {
		uint8_t b = rf_cur_u8(c);
		if (!rf_cur_ok(c))
			return RF_E_AGAIN;
		n |= (uint32_t)(b & 127) << 7 * i;
		if (b & 128)
			continue;
		if (i && !b)
			return guard_bad(g, "the length of an MQTT packet is not written in the fewest bytes");
		*ret = n;
		return RF_OK;
	}
	return guard_bad(g, "the length of an MQTT packet takes more than four bytes");
}

static int connect_flags(struct rf_guard *g, uint8_t flags)
{
	bool will = flags & FLAG_WILL;
	if (flags & FLAG_RESERVED)
		return guard_bad(g, "the reserved flag of MQTT CONNECT is set");
	if ((flags & FLAG_WILL_QOS) == FLAG_WILL_QOS || (!will && flags & (FLAG_WILL_QOS | FLAG_WILL_RETAIN)))
		return guard_bad(g, "the will of MQTT CONNECT contradicts itself");
	if (g->level < 5 && flags & FLAG_PASSWORD && !(flags & FLAG_NAME))
		return guard_bad(g, "MQTT CONNECT has a password and no name");
	return RF_OK;
}

/* Protocol name, level, flags and keep-alive [MQTT 3.1.1 3.1.2]. */
static int connect_head(struct rf_guard *g, struct rf_cur *c, uint32_t length)
{
	struct rf_cur probe = *c;
	uint16_t n = rf_cur_u16(&probe);
	if (rf_cur_ok(&probe) && n != 4 && n != 6)
		return guard_bad(g, "MQTT CONNECT names another protocol");
	struct rf_str name = rf_cur_take(&probe, n);
	g->level = rf_cur_u8(&probe);
	uint8_t flags = rf_cur_u8(&probe);
	rf_cur_u16(&probe); /* keep-alive */
	if (!rf_cur_ok(&probe))
		return length < 12 ? guard_bad(g, "MQTT CONNECT is too short") : RF_E_AGAIN;
	bool old = rf_str_eq(name, RF_STR("MQIsdp")) && g->level == 3;
	if (!old && !(rf_str_eq(name, RF_STR("MQTT")) && (g->level == 4 || g->level == 5)))
		return guard_bad(g, "MQTT CONNECT is of no known version");
	if (length < (uint32_t)n + 8) /* a client identifier's length follows, in MQTT 5 behind properties */
		return guard_bad(g, "MQTT CONNECT is too short");
	return connect_flags(g, flags);
}

int guard_mqtt(struct rf_guard *g, struct rf_str in, uint64_t *ret_size)
{
	struct rf_cur c = rf_cur_over(in.p, in.n);
	uint8_t first = rf_cur_u8(&c), type = first >> 4, flags = first & 15;
	bool begins = !g->frames;
	uint32_t length;
	if (begins && first != CONNECT << 4)
		return guard_bad(g, "the first MQTT packet is no CONNECT");
	if (!begins && (!packets[type].client || (type == AUTH && g->level < 5)))
		return guard_bad(g, "an MQTT packet of a type that clients do not send");
	if (!begins && packets[type].flags != ANY && packets[type].flags != flags)
		return guard_bad(g, "the reserved flags of an MQTT packet are wrong");
	if (!begins && packets[type].flags == ANY && (flags & 6) == 6)
		return guard_bad(g, "an MQTT PUBLISH of a quality of service that does not exist");
	int r = remaining(g, &c, &length);
	if (r)
		return r;
	size_t head = in.n - rf_cur_left(&c);
	if (begins)
		r = connect_head(g, &c, length);
	else if (length < packets[type].least || length > packets[type].most[g->level == 5])
		r = guard_bad(g, "an MQTT packet of a length that its type cannot have");
	if (r)
		return r;
	*ret_size = head + length;
	return RF_OK;
}
