/* wire/mmdb: databases that give data for addresses: the MaxMind DB file format, version 2.
 *
 * A binary tree over the bits of an address leads to a place in a section of data: maps, arrays, texts and numbers. The
 * bytes are the operator's file and trusted for nothing: every offset is checked, pointers do not lead to pointers, and
 * a walk has a bound of steps.
 */
#pragma once
#include "base/err.h"
#include "base/ip.h"

enum { RF_MMDB_DEPTH = 32, RF_MMDB_STEPS = 65536 };

struct rf_mmdb {
	struct rf_str tree, data;
	uint32_t nodes;
	unsigned record_bits;   /* 24, 28 or 32 */
	bool six;               /* its tree is of IPv6, IPv4 below ::/96 */
	struct rf_str type;     /* "GeoLite2-City" */
	uint64_t built;         /* seconds since 1970 */
};

enum rf_mmdb_type { RF_MMDB_POINTER = 1, RF_MMDB_TEXT, RF_MMDB_DOUBLE, RF_MMDB_BYTES, RF_MMDB_U16, RF_MMDB_U32, RF_MMDB_MAP,
	RF_MMDB_I32, RF_MMDB_U64, RF_MMDB_U128, RF_MMDB_ARRAY, RF_MMDB_BOOL = 14, RF_MMDB_FLOAT };

struct rf_mmdb_value {
	enum rf_mmdb_type type;
	struct rf_str text;     /* TEXT, BYTES */
	uint64_t number;        /* integers and BOOL; elements of MAP and ARRAY */
	double real;            /* DOUBLE, FLOAT */
};

/* Read the head of a database; *ret borrows from the bytes. RF_E_INVALID with a sentence, RF_E_UNSUPPORTED for a version. */
int rf_mmdb_open(struct rf_str bytes, struct rf_mmdb *ret, struct rf_err *e);
/* Where the data of an address are; false where it has none, or the tree is broken. */
bool rf_mmdb_find(const struct rf_mmdb *m, const struct rf_ip *ip, size_t *ret);
/* The value at a path of keys ("country", "iso_code") or indexes ("0") below the data at `at`; path ends with NULL. False
 * where there is none. */
bool rf_mmdb_get(const struct rf_mmdb *m, size_t at, const char *const *path, struct rf_mmdb_value *ret);
/* Every network of the tree that has data, IPv4 as IPv4; `at` as rf_mmdb_find gives it. RF_E_INVALID: the tree is broken; else what
 * `each` gives that is not RF_OK. */
int rf_mmdb_walk(const struct rf_mmdb *m, int (*each)(void *arg, const struct rf_prefix *net, size_t at), void *arg);
