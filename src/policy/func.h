/* policy/func: the functions of the language (tbl/functions.def). Private to policy. */
#pragma once
#include "policy/facts.h"

enum func {
#define RF_FUNC(name, text, returns, signature, doc) FN_##name,
#include "tbl/functions.def"
#undef RF_FUNC
	FUNC_COUNT
};

struct func_info {
	const char *name;
	enum rf_type returns;
	const char *signature;
	const char *doc;
};

extern const struct func_info func_table[FUNC_COUNT];

int func_find(struct rf_str name); /* -1 when there is none */
const char *func_near(struct rf_str name);
/* The letter of argument i, or 0 past the last; *ret_optional: it may be left out. */
char func_letter(enum func fn, unsigned i, bool *ret_optional);

struct rereplace;

/* Call a function on values of the right types, none missing. *ret is missing on entry and may stay so.
 * RF_E_NOMEM or RF_E_TOO_LARGE. any and all are the evaluator's. */
int func_call(enum func fn, struct rf_facts *f, const struct rereplace *aux, const struct rf_val *a, unsigned n,
	struct rf_val *ret);

/* In func_text.c, func_code.c, func_json.c and func_array.c. */
typedef int func_impl(struct rf_facts *f, const struct rf_val *a, unsigned n, struct rf_val *ret);
func_impl fn_url_decode, fn_remove_query_args, fn_wildcard_replace, fn_substring, fn_split, fn_join, fn_concat;
func_impl fn_to_string, fn_remove_bytes, fn_lower, fn_upper;
func_impl fn_lookup_json_integer, fn_lookup_json_string, fn_hmac, fn_sha256, fn_uuidv4, fn_encode_base64;
func_impl fn_decode_base64, fn_values, fn_flatten;
