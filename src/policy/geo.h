/* policy/geo: what the operator's databases say about an address: place and autonomous system.
 *
 * A set of up to two MMDB files, one of countries or cities and one of autonomous systems, held in memory, immutable and
 * shared by reference count. Which fields they can answer follows from what they are.
 */
#pragma once
#include "base/arena.h"
#include "policy/field.h"

struct rf_geo;

enum rf_geo_file { RF_GEO_PLACE, RF_GEO_ASN, RF_GEO_FILES };

/* A set of the files given (n 0: none). The bytes are taken over, also on failure; malloc'ed. RF_E_INVALID where one is no
 * database, or not of its kind, with the pointer "/0" or "/1"; RF_E_NOMEM. The reference is the caller's. */
int rf_geo_make(struct rf_str bytes[RF_GEO_FILES], struct rf_geo **ret, struct rf_err *e);
struct rf_geo *rf_geo_get(struct rf_geo *g); /* NULL is fine */
void rf_geo_put(struct rf_geo *g);           /* NULL is fine */
/* 1u << RF_NEED_* that it answers. */
unsigned rf_geo_have(const struct rf_geo *g);
/* The value of a field of ip.src or ip.dst; false where it is no such field, or nothing is known. */
bool rf_geo_fact(const struct rf_geo *g, const struct rf_ip *ip, enum rf_field f, struct rf_arena *a, struct rf_val *ret);
/* Whether a field is one of the destination's. */
bool rf_geo_of_dst(enum rf_field f);
/* A country of two letters as a number; 0: it is none. */
uint32_t rf_geo_country(struct rf_str s);
/* Every network of a database with its country (rf_geo_country) or its autonomous system; those without are left out. RF_E_MISSING: there
 * is no such database; RF_E_INVALID: it is broken; else what `each` gives that is not RF_OK. */
int rf_geo_walk(const struct rf_geo *g, enum rf_geo_file file, int (*each)(void *arg, const struct rf_prefix *net, uint32_t value), void *arg);
