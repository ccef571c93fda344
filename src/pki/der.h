/* pki/der: reading DER in a straight line over an rf_cur [X.690 10].
 *
 * Strict: single-byte tags, definite and minimal lengths. As with the cursor the first error sticks,
 * so a walker reads all fields and asks rf_cur_ok() once.
 */
#pragma once
#include "base/cur.h"

enum {
	RF_DER_BOOL = 0x01, RF_DER_INT = 0x02, RF_DER_BITS = 0x03, RF_DER_OCTETS = 0x04, RF_DER_OID = 0x06,
	RF_DER_ENUM = 0x0a, RF_DER_SEQ = 0x30, RF_DER_SET = 0x31, RF_DER_UTC = 0x17, RF_DER_GENERALIZED = 0x18,
};

struct rf_tlv {
	uint8_t tag;
	struct rf_str body; /* content octets */
	struct rf_str all;  /* with tag and length */
};

/* The next element; all zero with the cursor bad where there is none. */
struct rf_tlv rf_der_next(struct rf_cur *c);
/* As rf_der_next, and bad unless it has this tag. */
struct rf_tlv rf_der_want(struct rf_cur *c, uint8_t tag);
/* Is there a next element with this tag? Moves nothing. */
static inline bool rf_der_is(const struct rf_cur *c, uint8_t tag)
{
	return rf_cur_left(c) && *c->at == tag;
}
static inline struct rf_cur rf_der_into(struct rf_tlv t) { return rf_cur_over(t.body.p, t.body.n); }

/* The content of an INTEGER that is encoded in the fewest octets [X.690 8.3.2]; else the cursor is bad. */
struct rf_str rf_der_int(struct rf_cur *c);
/* A non-negative INTEGER of at most 64 bits. */
uint64_t rf_der_u64(struct rf_cur *c);
/* UTCTime or GeneralizedTime in the forms of RFC 5280 4.1.2.5, as seconds since 1970. */
int64_t rf_der_time(struct rf_cur *c);

/* One extension of a certificate or CRL [RFC 5280 4.1]: *value is the content of extnValue. */
struct rf_str rf_der_ext(struct rf_cur *c, bool *critical, struct rf_str *value);
