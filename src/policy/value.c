/* policy/value: names of types, their empty values, and the order of versions. */
#include "policy/value.h"

static const char *const names[RF_TYPE_COUNT] = {
	[RF_T_NONE] = "nothing",
	[RF_T_BOOL] = "boolean",
	[RF_T_INT] = "integer",
	[RF_T_STR] = "string",
	[RF_T_IP] = "address",
	[RF_T_VERSION] = "version",
	[RF_T_A_STR] = "array of strings",
	[RF_T_M_STR] = "map of strings",
	[RF_T_M_A_STR] = "map of arrays of strings",
	[RF_T_A_INT] = "array of integers",
	[RF_T_A_A_STR] = "array of arrays of strings",
	[RF_T_M_A_INT] = "map of arrays of integers",
};

enum rf_type rf_type_element(enum rf_type t)
{
	static const enum rf_type of[RF_TYPE_COUNT] = { [RF_T_A_STR] = RF_T_STR, [RF_T_A_INT] = RF_T_INT,
		[RF_T_A_A_STR] = RF_T_A_STR, [RF_T_M_STR] = RF_T_STR, [RF_T_M_A_STR] = RF_T_A_STR,
		[RF_T_M_A_INT] = RF_T_A_INT };
	return of[t];
}

const char *rf_type_name(enum rf_type t)
{
	return names[t];
}

struct rf_val rf_type_zero(enum rf_type t)
{
	switch (t) {
	case RF_T_BOOL:
		return rf_val_bool(false);
	case RF_T_INT:
		return rf_val_int(0);
	case RF_T_STR:
	case RF_T_VERSION:
		return rf_val_str(RF_STR(""));
	case RF_T_A_STR:
	case RF_T_A_INT:
	case RF_T_A_A_STR:
		return rf_val_array(NULL, 0);
	case RF_T_M_STR:
	case RF_T_M_A_STR:
	case RF_T_M_A_INT:
		return rf_val_map(NULL, 0);
	default:
		return (struct rf_val){ 0 };
	}
}

bool rf_val_at(const struct rf_val *map, struct rf_str key, struct rf_val *ret)
{
	for (uint32_t i = 0; map->tag == RF_V_MAP && i < map->n; i++)
		if (rf_str_eq(map->m[i].key, key)) {
			*ret = map->m[i].val;
			return true;
		}
	return false;
}

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool separator(char c)
{
	return c == '.' || c == '_' || c == ' ';
}

/* Take one part off the front: a run of digits without leading zeros, or a run of anything else. */
static struct rf_str part(struct rf_str *v, bool *number)
{
	while (v->n && separator(v->p[0]))
		*v = rf_str_skip(*v, 1);
	*number = v->n && digit(v->p[0]);
	size_t n = 0;
	while (n < v->n && !separator(v->p[n]) && digit(v->p[n]) == *number)
		n++;
	struct rf_str got = { v->p, n };
	*v = rf_str_skip(*v, n);
	while (*number && got.n && got.p[0] == '0')
		got = rf_str_skip(got, 1);
	return got;
}

/* Runs separated by dots: numbers by size, a missing number is zero, a number before a word. */
static int cmp_parts(struct rf_str a, struct rf_str b)
{
	while (a.n || b.n) {
		bool na, nb;
		struct rf_str x = part(&a, &na), y = part(&b, &nb);
		bool zx = x.n == 0, zy = y.n == 0; /* zero, or nothing left */
		if (zx && zy)
			continue;
		bool wx = !na && !zx, wy = !nb && !zy;
		if (wx != wy)
			return wx ? 1 : -1;
		if (!wx && x.n != y.n)
			return x.n < y.n ? -1 : 1;
		int c = rf_str_cmp(x, y);
		if (c)
			return c < 0 ? -1 : 1;
	}
	return 0;
}

int rf_version_cmp(struct rf_str a, struct rf_str b)
{
	struct rf_str v[2] = { a, b }, pre[2];
	for (int i = 0; i < 2; i++) {
		v[i] = rf_str_trim(v[i]);
		if (v[i].n > 1 && (v[i].p[0] | 0x20) == 'v' && digit(v[i].p[1]))
			v[i] = rf_str_skip(v[i], 1);
		v[i].n = rf_str_find(v[i], '+');
		size_t dash = rf_str_find(v[i], '-');
		pre[i] = rf_str_skip(v[i], dash);
		v[i].n = dash;
	}
	int c = cmp_parts(v[0], v[1]);
	if (c)
		return c;
	if (!pre[0].n != !pre[1].n)
		return pre[0].n ? -1 : 1;
	return pre[0].n ? cmp_parts(rf_str_skip(pre[0], 1), rf_str_skip(pre[1], 1)) : 0;
}
