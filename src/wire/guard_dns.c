/* wire/guard_dns: queries of DNS over TCP [RFC 1035 4.1, 4.2.2; RFC 7766 8].
 *
 *   length (2) | id (2) | flags (2) | counts (4 x 2) | question: name, type (2), class (2) | ...
 *
 * Not here: resource records behind the first question (EDNS, signatures, updates), which pass.
 */
#include "wire/guard_int.h"

enum { HEADER = 12, NAME_MAX_BYTES = 255, LABEL_MAX = 63 };
enum { OP_QUERY = 0, OP_STATUS = 2, OP_NOTIFY = 4, OP_UPDATE = 5, OP_STATEFUL = 6 };
enum { FLAG_RESPONSE = 0x8000, FLAG_ZERO = 0x0040, RCODE = 0x000f };

static int flags(struct rf_guard *g, uint16_t f, const uint16_t counts[4])
{
	unsigned op = f >> 11 & 15;
	if (f & FLAG_RESPONSE)
		return guard_bad(g, "a DNS client sends an answer");
	if (op == 1 || op == 3 || op > OP_STATEFUL)
		return guard_bad(g, "a DNS operation that does not exist");
	if (f & (FLAG_ZERO | RCODE))
		return guard_bad(g, "bits of a DNS query's header are set that must be zero");
	if (counts[0] > 1)
		return guard_bad(g, "a DNS query with more than one question");
	if (op == OP_QUERY && counts[1])
		return guard_bad(g, "a DNS query that holds answers");
	if (op == OP_STATEFUL && (counts[0] || counts[1] || counts[2] || counts[3])) /* [RFC 8490 5.4] */
		return guard_bad(g, "a stateful DNS message with records");
	return RF_OK;
}

/* The name of the first question, uncompressed: there is nothing before it to point to. `left`: of the message. */
static int question(struct rf_guard *g, struct rf_str in, size_t left)
{
	size_t at = 0;
	for (uint8_t label = 1; label; at += 1 + (size_t)label) {
		if (at >= left)
			return guard_bad(g, "the question of a DNS query ends within its name");
		if (at >= in.n)
			return RF_E_AGAIN;
		label = (uint8_t)in.p[at];
		if (label > LABEL_MAX || at + 1 + label > NAME_MAX_BYTES)
			return guard_bad(g, "the name in a DNS query is no name");
	}
	return left < at + 4 ? guard_bad(g, "the question of a DNS query has no type and class") : RF_OK;
}

int guard_dns(struct rf_guard *g, struct rf_str in, uint64_t *ret_size)
{
	struct rf_cur c = rf_cur_over(in.p, in.n);
	uint16_t length = rf_cur_u16(&c), counts[4];
	if (rf_cur_ok(&c) && length < HEADER)
		return guard_bad(g, "a DNS message is shorter than its header");
	rf_cur_u16(&c); /* id */
	uint16_t f = rf_cur_u16(&c);
	for (int i = 0; i < 4; i++)
		counts[i] = rf_cur_u16(&c);
	if (!rf_cur_ok(&c))
		return RF_E_AGAIN;
	int r = flags(g, f, counts);
	if (r == RF_OK && counts[0])
		r = question(g, rf_str_skip(in, 2 + HEADER), (size_t)length - HEADER);
	if (r == RF_OK)
		*ret_size = 2 + (uint64_t)length;
	return r;
}
