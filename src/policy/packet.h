/* policy/packet: the facts of one packet, for the rules of the packet phase. */
#pragma once
#include "policy/facts.h"
#include "wire/packet.h"

/* The value of a field of the packet phase; false where the packet has none. Borrows from the packet's bytes. */
bool rf_packet_fact(const struct rf_packet *p, enum rf_field f, struct rf_val *ret);

extern const struct rf_facts_ops rf_packet_ops; /* ctx: a struct rf_packet */
