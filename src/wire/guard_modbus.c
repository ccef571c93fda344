/* wire/guard_modbus: requests of Modbus/TCP [Modbus Messaging on TCP/IP 3.1.3].
 *
 *   transaction (2) | protocol (2) = 0 | length of what follows (2) | unit (1) | function (1) | data
 *
 * The length must be one that the function code's request can have [Modbus Application Protocol 6].
 */
#include "wire/guard_int.h"

enum { BEFORE_LENGTH = 6, LEAST = 2, MOST = 254, EXCEPTION = 0x80 };

/* What the length may be, by function code; most 0: any. */
static const struct { uint8_t least, most; } lengths[EXCEPTION] = {
	[1] = { 6, 6 }, [2] = { 6, 6 }, [3] = { 6, 6 }, [4] = { 6, 6 }, [5] = { 6, 6 }, [6] = { 6, 6 },
	[7] = { 2, 2 }, [8] = { 4, MOST }, [11] = { 2, 2 }, [12] = { 2, 2 },
	[15] = { 8, MOST }, [16] = { 9, MOST }, [17] = { 2, 2 }, [20] = { 10, MOST }, [21] = { 12, MOST },
	[22] = { 8, 8 }, [23] = { 13, MOST }, [24] = { 4, 4 }, [43] = { 3, MOST },
};

int guard_modbus(struct rf_guard *g, struct rf_str in, uint64_t *ret_size)
{
	struct rf_cur c = rf_cur_over(in.p, in.n);
	rf_cur_u16(&c); /* transaction: the client's own */
	uint16_t protocol = rf_cur_u16(&c);
	if (rf_cur_ok(&c) && protocol)
		return guard_bad(g, "the protocol of a Modbus header is not 0");
	uint16_t length = rf_cur_u16(&c);
	if (rf_cur_ok(&c) && (length < LEAST || length > MOST))
		return guard_bad(g, "the length of a Modbus header is out of bounds");
	rf_cur_u8(&c); /* unit: the device behind a gateway */
	uint8_t function = rf_cur_u8(&c);
	if (!rf_cur_ok(&c))
		return RF_E_AGAIN;
	if (!function || function >= EXCEPTION)
		return guard_bad(g, "a Modbus function code that no request has");
	if (lengths[function].most && (length < lengths[function].least || length > lengths[function].most))
		return guard_bad(g, "a Modbus request of a length that its function cannot have");
	*ret_size = (uint64_t)BEFORE_LENGTH + length;
	return RF_OK;
}
