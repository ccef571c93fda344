/* wire/guard: do a client's bytes look like the protocol that they should be? Judged as they stream past.
 *
 * A guard sees what a client sends, in order and piece by piece, and says how much of it may pass. It keeps
 * nothing but where it stands: what it has not judged yet because the head of a frame is not whole stays with the
 * caller, who gives it again with more behind it. Bodies of frames pass unseen.
 *
 *   SSH      the identification line [RFC 4253 4.2], then a first packet that begins a key exchange; the rest passes
 *   MQTT     CONNECT first, of 3.1, 3.1.1 or 5; then each packet's type, flags and remaining length
 *   Modbus   each MBAP header: protocol 0, length, function code and the length that the code asks for
 *   DNS      each length and header, and the first question's name [RFC 1035 4.1, 4.2.2]
 *   TLS      a whole ClientHello, then each record's type, version and length [RFC 8446 5.1]
 *
 * Not here: what happens to who breaks the rules (svc/l4).
 */
#pragma once
#include "base/str.h"

enum rf_guard_kind { RF_GUARD_NONE, RF_GUARD_SSH, RF_GUARD_MQTT, RF_GUARD_MODBUS, RF_GUARD_DNS, RF_GUARD_TLS, RF_GUARDS };

enum { RF_GUARD_HELD = 16384 }; /* bytes of a head that wait for the rest of it, at most */

struct rf_guard {
	enum rf_guard_kind kind;
	uint8_t level;     /* MQTT: of the protocol, 3 to 5 */
	uint64_t left;     /* of the frame at hand, to pass unseen */
	uint64_t frames;   /* begun */
	const char *why;   /* what is wrong, after RF_E_INVALID; static words */
};

static inline void rf_guard_init(struct rf_guard *g, enum rf_guard_kind kind)
{
	*g = (struct rf_guard){ .kind = kind };
}

/* Look at what has not been let pass yet. *ret_pass bytes from its front may pass; the rest must be given again, with more.
 * RF_OK; RF_E_INVALID (g->why): what follows the *ret_pass bytes breaks the protocol, and the guard is used up. */
int rf_guard_feed(struct rf_guard *g, struct rf_str in, size_t *ret_pass);

/* The protocol's name, "" for none. */
const char *rf_guard_name(enum rf_guard_kind kind);
