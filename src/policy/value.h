/* policy/value: what a field or a sub-expression can be.
 *
 * A value owns nothing: its bytes live in the request's arena, in the connection, or in the
 * compiled rule, all of which outlive the evaluation. The zero value is "missing".
 */
#pragma once
#include "base/ip.h"

/* Static types. A VERSION is a string at run time that compares by its numeric components. */
enum rf_type {
	RF_T_NONE, RF_T_BOOL, RF_T_INT, RF_T_STR, RF_T_IP, RF_T_VERSION,
	RF_T_A_STR,   /* array of strings */
	RF_T_M_STR,   /* map of strings */
	RF_T_M_A_STR, /* map of arrays of strings */
	RF_T_A_INT, RF_T_A_A_STR, RF_T_M_A_INT,
	RF_TYPE_COUNT
};

enum rf_tag { RF_V_MISSING, RF_V_BOOL, RF_V_INT, RF_V_STR, RF_V_IP, RF_V_ARRAY, RF_V_MAP };

struct rf_val;
struct rf_entry;

struct rf_val {
	enum rf_tag tag;
	uint32_t n;                        /* elements of an array, entries of a map */
	union {
		bool b;
		int64_t i;
		struct rf_str s;           /* also bytes and versions */
		struct rf_ip ip;
		const struct rf_val *a;
		const struct rf_entry *m;  /* in the order of appearance; keys are unique */
	};
};

struct rf_entry {
	struct rf_str key;
	struct rf_val val;
};

static inline struct rf_val rf_val_bool(bool b) { return (struct rf_val){ .tag = RF_V_BOOL, .b = b }; }
static inline struct rf_val rf_val_int(int64_t i) { return (struct rf_val){ .tag = RF_V_INT, .i = i }; }
static inline struct rf_val rf_val_str(struct rf_str s) { return (struct rf_val){ .tag = RF_V_STR, .s = s }; }
static inline struct rf_val rf_val_ip(struct rf_ip ip) { return (struct rf_val){ .tag = RF_V_IP, .ip = ip }; }
static inline struct rf_val rf_val_array(const struct rf_val *a, uint32_t n)
{
	return (struct rf_val){ .tag = RF_V_ARRAY, .n = n, .a = a };
}
static inline struct rf_val rf_val_map(const struct rf_entry *m, uint32_t n)
{
	return (struct rf_val){ .tag = RF_V_MAP, .n = n, .m = m };
}

enum rf_type rf_type_element(enum rf_type t); /* of an array or the values of a map; RF_T_NONE for others */
static inline bool rf_type_is_map(enum rf_type t) { return t == RF_T_M_STR || t == RF_T_M_A_STR || t == RF_T_M_A_INT; }
const char *rf_type_name(enum rf_type t); /* "string", "map of arrays of strings" */
/* The empty value of a type: "", 0, false, an empty array or map. An address has none: missing. */
struct rf_val rf_type_zero(enum rf_type t);

/* The value of a key of a map; false where there is none. *ret may be the map itself. */
bool rf_val_at(const struct rf_val *map, struct rf_str key, struct rf_val *ret);

/* Compare versions by their parts: numbers as numbers, "2.4" equals "2.4.0", a leading v is
 * ignored, a part after '-' comes before the version without it, one after '+' is ignored. */
int rf_version_cmp(struct rf_str a, struct rf_str b);
