/* policy/func: the table of functions, and the call. */
#include "policy/func.h"
#include "base/near.h"
#include "policy/expr.h"
#include "policy/patch.h"
#include "policy/regex.h"
#include "wire/packet.h"

const struct func_info func_table[FUNC_COUNT] = {
#define RF_FUNC(name, text, returns, signature, doc) { text, RF_T_##returns, signature, doc },
#include "tbl/functions.def"
#undef RF_FUNC
};

int func_find(struct rf_str name)
{
	for (int i = 0; i < FUNC_COUNT; i++)
		if (rf_str_eq(name, rf_str_z(func_table[i].name)))
			return i;
	return -1;
}

const char *func_near(struct rf_str name)
{
	const char *names[FUNC_COUNT];
	for (size_t i = 0; i < FUNC_COUNT; i++)
		names[i] = func_table[i].name;
	return rf_near(name, names, FUNC_COUNT);
}

char func_letter(enum func fn, unsigned i, bool *ret_optional)
{
	bool optional = false;
	char last = '\0';
	unsigned at = 0;
	for (const char *s = func_table[fn].signature; *s; s++) {
		if (*s == '?') {
			optional = true;
		} else if (*s == '*') {
			*ret_optional = true;
			return i < RF_FUNC_ARGS ? last : '\0';
		} else {
			last = *s;
			if (at++ == i) {
				*ret_optional = optional;
				return last;
			}
		}
	}
	*ret_optional = true;
	return '\0';
}

static int cidr(const struct rf_val *a, bool six_only, struct rf_val *ret)
{
	int64_t bits = six_only ? (a[0].ip.family == 4 ? 32 : a[1].i) : a[a[0].ip.family == 4 ? 1 : 2].i;
	*ret = rf_val_ip(rf_ip_mask(&a[0].ip, (unsigned)bits).ip);
	return RF_OK;
}

static int bit_slice(const struct rf_val *a, struct rf_val *ret)
{
	uint32_t bits;
	if (rf_bits(a[0].s, (unsigned)a[1].i, (unsigned)a[2].i, &bits))
		*ret = rf_val_int(bits);
	return RF_OK;
}

static int replace(struct rf_facts *f, const struct rereplace *aux, const struct rf_val *a, struct rf_val *ret)
{
	struct rf_str s;
	int r = rereplace_run(aux, f->arena, a[0].s, a[2].s, &s);
	if (r == RF_OK)
		*ret = rf_val_str(s);
	return r;
}

int func_call(enum func fn, struct rf_facts *f, const struct rereplace *aux, const struct rf_val *a, unsigned n,
	struct rf_val *ret)
{
	static func_impl *const impl[FUNC_COUNT] = {
		[FN_CONCAT] = fn_concat, [FN_DECODE64] = fn_decode_base64, [FN_ENCODE64] = fn_encode_base64,
		[FN_JOIN] = fn_join, [FN_JSON_INT] = fn_lookup_json_integer, [FN_JSON_STR] = fn_lookup_json_string,
		[FN_LOWER] = fn_lower, [FN_REMOVE_BYTES] = fn_remove_bytes, [FN_REMOVE_ARGS] = fn_remove_query_args,
		[FN_SPLIT] = fn_split, [FN_SUBSTRING] = fn_substring, [FN_TO_STRING] = fn_to_string, [FN_UPPER] = fn_upper,
		[FN_URL_DECODE] = fn_url_decode, [FN_UUIDV4] = fn_uuidv4, [FN_WILD_REPLACE] = fn_wildcard_replace,
		[FN_HMAC] = fn_hmac, [FN_SHA256] = fn_sha256, [FN_VALUES] = fn_values, [FN_FLATTEN] = fn_flatten,
	};
	switch (fn) {
	case FN_CIDR:
	case FN_CIDR6:
		return cidr(a, fn == FN_CIDR6, ret);
	case FN_STARTS_WITH:
		*ret = rf_val_bool(rf_str_starts(a[0].s, a[1].s));
		return RF_OK;
	case FN_ENDS_WITH:
		*ret = rf_val_bool(rf_str_ends(a[0].s, a[1].s));
		return RF_OK;
	case FN_LEN:
		*ret = rf_val_int(a[0].tag == RF_V_ARRAY ? (int64_t)a[0].n : (int64_t)a[0].s.n);
		return RF_OK;
	case FN_STABLE_SHARE:
		*ret = rf_val_int(rf_stable_share(a[0].s, a[1].s));
		return RF_OK;
	case FN_BIT_SLICE:
		return bit_slice(a, ret);
	case FN_RE_REPLACE:
		return replace(f, aux, a, ret);
	default:
		return impl[fn] ? impl[fn](f, a, n, ret) : RF_E_INTERNAL;
	}
}
