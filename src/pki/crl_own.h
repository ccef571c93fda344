/* pki/crl_own: what the files of pki/crl share. */
#pragma once
#include "pki/crl.h"

/* A list with room for `room` entries and a copy of the issuer's Name; NULL without memory. */
struct rf_crl *rf_crl_new(size_t room, struct rf_str issuer);
static inline struct rf_crl_entry *rf_crl_own_entries(struct rf_crl *c) { return (struct rf_crl_entry *)(c + 1); }
struct rf_str rf_crl_serial(const struct rf_crl_entry *e);
/* Sort, and make serials unique. */
void rf_crl_settle(struct rf_crl *c);

/* rf_crl_parse for DER; `ca` NULL leaves the signature out, which only the fuzzer may want. */
int rf_crl_read(struct rf_str der, X509 *ca, struct rf_crl **ret, struct rf_err *e);

static inline uint32_t rf_crl_date(int64_t t)
{
	return t < 0 ? 0 : t > UINT32_MAX ? UINT32_MAX : (uint32_t)t;
}
