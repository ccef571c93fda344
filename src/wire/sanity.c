/* wire/sanity: DNS, CoAP and DTLS, each a walk over the datagram with a cursor whose first error sticks. */
#include "wire/sanity.h"
#include "base/cur.h"

/* --- DNS --- */

enum { DNS_HEADER = 12, DNS_NAME = 255, LABEL_MAX = 63 };
enum { DNS_QUERY = 0, DNS_STATUS = 2, DNS_NOTIFY = 4, DNS_UPDATE = 5 };
enum { QR = 0x8000, Z = 0x0040 };

/* A name, which may end in a pointer to an earlier place [RFC 1035 4.1.4]. */
static bool name(struct rf_cur *c, const uint8_t *message, bool pointers)
{
	for (size_t n = 0; n < DNS_NAME;) {
		size_t here = (size_t)(c->at - message);
		uint8_t length = rf_cur_u8(c);
		if (length >> 6 == 3) {
			size_t to = (size_t)(length & 0x3f) << 8 | rf_cur_u8(c);
			return pointers && rf_cur_ok(c) && to >= DNS_HEADER && to < here;
		}
		if (length > LABEL_MAX || !rf_cur_ok(c))
			return false;
		if (!length)
			return true;
		rf_cur_take(c, length);
		n += length + 1u;
	}
	return false;
}

static bool question(struct rf_cur *c, const uint8_t *message)
{
	if (!name(c, message, false))
		return false;
	rf_cur_u32(c); /* type, class */
	return rf_cur_ok(c);
}

static bool record(struct rf_cur *c, const uint8_t *message)
{
	if (!name(c, message, true))
		return false;
	rf_cur_take(c, 8); /* type, class, TTL */
	rf_cur_take(c, rf_cur_u16(c));
	return rf_cur_ok(c);
}

/* May a client send a message of this kind with so many records? */
static bool asks(unsigned opcode, const uint16_t counts[4])
{
	switch (opcode) {
	case DNS_QUERY: /* IXFR has its old SOA as authority [RFC 1995 3] */
		return !counts[1] && counts[2] <= 1;
	case DNS_STATUS:
		return !counts[1] && !counts[2];
	case DNS_NOTIFY: /* [RFC 1996 3.7] */
		return counts[0] == 1 && counts[1] <= 1;
	case DNS_UPDATE: /* [RFC 2136 2.3] */
		return counts[0] == 1;
	default:
		return false;
	}
}

bool rf_sane_dns(struct rf_str message, enum rf_sanity_side from)
{
	struct rf_cur c = rf_cur_over(message.p, message.n);
	const uint8_t *start = c.at;
	uint16_t counts[4];
	rf_cur_u16(&c);
	uint16_t flags = rf_cur_u16(&c);
	for (int i = 0; i < 4; i++)
		counts[i] = rf_cur_u16(&c);
	if (!rf_cur_ok(&c) || !(flags & QR) != (from == RF_SANITY_CLIENT) || flags & Z || counts[0] > 1) /* [RFC 9619 4] */
		return false;
	if (from == RF_SANITY_CLIENT && (flags & 0xf || !asks(flags >> 11 & 0xf, counts)))
		return false;
	if (counts[0] && !question(&c, start))
		return false;
	for (unsigned i = counts[1] + counts[2] + counts[3]; i; i--)
		if (!record(&c, start))
			return false;
	return !rf_cur_left(&c);
}

/* --- CoAP --- */

enum { TOKEN_MAX = 8, PAYLOAD = 0xff };

/* The extended part of an option's delta or length [RFC 7252 3.1]. */
static uint32_t extended(struct rf_cur *c, unsigned nibble)
{
	if (nibble == 15)
		c->bad = true;
	return nibble == 13 ? rf_cur_u8(c) + 13u : nibble == 14 ? rf_cur_u16(c) + 269u : nibble;
}

bool rf_sane_coap(struct rf_str message)
{
	struct rf_cur c = rf_cur_over(message.p, message.n);
	uint8_t head = rf_cur_u8(&c), code = rf_cur_u8(&c);
	unsigned token = head & 0xf, class = code >> 5;
	rf_cur_u16(&c);
	if (!rf_cur_ok(&c) || head >> 6 != 1 || token > TOKEN_MAX)
		return false;
	if (!code) /* empty [RFC 7252 4.1] */
		return message.n == 4 && !token;
	if (class == 1 || class == 3 || class > 5) /* [RFC 7252 12.1] */
		return false;
	rf_cur_take(&c, token);
	for (uint32_t number = 0; rf_cur_left(&c);) {
		uint8_t option = rf_cur_u8(&c);
		if (option == PAYLOAD)
			return rf_cur_left(&c) > 0;
		number += extended(&c, option >> 4);
		rf_cur_take(&c, extended(&c, option & 0xf));
		if (number > UINT16_MAX)
			return false;
	}
	return rf_cur_ok(&c);
}

/* --- DTLS --- */

enum { HANDSHAKE = 22, CID = 25, ACK = 26, FIRST_TYPE = 20, CLIENT_HELLO = 1, RECORD_MAX = (1 << 14) + 2048, CIPHER_MIN = 16 };

/* A record of DTLS 1.3 behind a unified header, 001CSLEE [RFC 9147 4]; ret_last: it takes the rest of the datagram. */
static bool unified(struct rf_cur *c, uint8_t head, bool *ret_last)
{
	bool cid = head & 0x10, length = head & 4;
	if (cid) { /* of a length that only the two ends know */
		*ret_last = true;
		return rf_cur_left(c) > CIPHER_MIN;
	}
	rf_cur_take(c, head & 8 ? 2 : 1); /* sequence number */
	size_t n = length ? rf_cur_u16(c) : rf_cur_left(c);
	*ret_last = !length;
	rf_cur_take(c, n);
	return rf_cur_ok(c) && n >= CIPHER_MIN && n <= RECORD_MAX;
}

/* May this message, in clear, open a session? */
static bool hello(struct rf_str fragment, uint16_t epoch)
{
	struct rf_cur c = rf_cur_over(fragment.p, fragment.n);
	uint8_t type = rf_cur_u8(&c);
	uint32_t length = rf_cur_u24(&c);
	rf_cur_u16(&c); /* the message's number */
	uint32_t at = rf_cur_u24(&c), n = rf_cur_u24(&c);
	return !epoch && type == CLIENT_HELLO && at + n <= length && rf_cur_left(&c) >= n && rf_cur_ok(&c);
}

static bool plain(struct rf_cur *c, uint8_t type, bool first, bool *ret_last)
{
	uint16_t version = rf_cur_u16(c), epoch = rf_cur_u16(c);
	if ((version != 0xfeff && version != 0xfefd) || type < FIRST_TYPE || type > ACK)
		return false;
	rf_cur_take(c, 6); /* sequence number */
	if (type == CID) {
		*ret_last = true;
		return rf_cur_left(c) > CIPHER_MIN;
	}
	struct rf_str fragment = rf_cur_take(c, rf_cur_u16(c));
	return fragment.n && fragment.n <= RECORD_MAX && (!first || (type == HANDSHAKE && hello(fragment, epoch)));
}

bool rf_sane_dtls(struct rf_str datagram, bool first)
{
	struct rf_cur c = rf_cur_over(datagram.p, datagram.n);
	bool last = false, good = datagram.n > 0;
	while (good && !last && rf_cur_left(&c)) {
		uint8_t head = rf_cur_u8(&c);
		if (head >> 5 == 1)
			good = (!first || head & 0x10) && unified(&c, head, &last);
		else
			good = plain(&c, head, first, &last);
		first = false;
	}
	return good && rf_cur_ok(&c);
}
