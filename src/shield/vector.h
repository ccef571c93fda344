/* shield/vector: what kind of flood a frame would be part of (tbl/vectors.def). */
#pragma once
#include "base/ip.h"
#include "bpf/filter.h"

enum rf_vector {
#define RF_VECTOR(name, word, kind, port, doc) RF_VECTOR_##name,
#include "tbl/vectors.def"
#undef RF_VECTOR
	RF_VECTORS
};

enum rf_vector_kind {
	RF_FRAMES_TCP, RF_FRAMES_UDP, RF_FRAMES_ICMP, RF_FRAMES_FRAGMENT, RF_FRAMES_OTHER,
	RF_FRAMES_MALFORMED, RF_FRAMES_REFLECTION, RF_FRAMES_COUNTER,
};

struct rf_vector_info {
	const char *word, *doc;
	enum rf_vector_kind kind;
	uint16_t port;            /* source port of a reflection; 0: of none */
};

const struct rf_vector_info *rf_vector_info(enum rf_vector v);
/* How flags of TCP tell it; zero of others. */
void rf_vector_flags(enum rf_vector v, uint8_t *ret_mask, uint8_t *ret_flags);
/* RF_VECTORS: there is none. */
enum rf_vector rf_vector_find(struct rf_str word);

/* RF_VECTORS where it is part of none: its source is allowed or a device of ours (shield/fleet), it belongs to a connection of this
 * machine, is only routed by it, or the network cannot do without it [RFC 4861]. */
enum rf_vector rf_vector_of(const struct rf_glimpse *g);
/* The filter let it pass. */
bool rf_vector_passed(const struct rf_glimpse *g);

/* Addresses of a frame as they are in its headers. */
struct rf_ip rf_vector_ip(uint8_t family, const uint32_t at[4]);
