/* Packets. Beliefs: what is read lies within the bytes given; every field of the packet phase can be asked for. */
#include <stdlib.h>
#include "base/err.h"
#include "policy/packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(belief) do { if (!(belief)) abort(); } while (0)

static void inside(struct rf_str s, struct rf_str all)
{
	CHECK(!s.n || (s.p >= all.p && s.p + s.n <= all.p + all.n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rf_str in = { (const char *)data, size };
	struct rf_packet p;
	if (rf_packet_parse(in, &p) != RF_OK)
		return 0;
	inside(p.ip, in);
	inside(p.transport, p.ip);
	CHECK(p.hdr_len <= p.ip.n && !(p.fragment && p.has_ports));
	for (unsigned f = 0; f < RF_FIELD_COUNT; f++) {
		struct rf_val v = { 0 };
		if (!rf_packet_fact(&p, (enum rf_field)f, &v))
			continue;
		CHECK(rf_fields[f].planes & RF_ON_P);
		if (v.tag == RF_V_STR && rf_fields[f].type == RF_T_STR && f != RF_F_IP_PROTO)
			inside(v.s, in);
	}
	uint32_t bits;
	for (unsigned at = 0; at < 64; at += 7)
		CHECK(rf_bits(p.ip, at, at + 32, &bits) == ((at + 39) / 8 <= p.ip.n));
	return 0;
}
