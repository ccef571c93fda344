/* Any text as an expression: what compiles must print as a text that compiles to the same program, and
 * evaluate over a request made of the same bytes without a fault, to the same answer both times. */
#include <stdlib.h>
#include "policy/lists.h"
#include "policy/ruletest.h"

static struct rf_str input;

static bool get(void *ctx, struct rf_arena *arena, enum rf_field f, struct rf_val *ret)
{
	(void)ctx;
	struct rf_val *a;
	switch (rf_fields[f].type) {
	case RF_T_BOOL:
		*ret = rf_val_bool(input.n & 1);
		return true;
	case RF_T_INT:
		*ret = rf_val_int((int64_t)input.n * 7919);
		return f != RF_F_TCP_SRCPORT;
	case RF_T_STR:
	case RF_T_VERSION:
		*ret = rf_val_str(input);
		return f != RF_F_DEVICE_MODEL;
	case RF_T_IP:
		*ret = rf_val_ip((struct rf_ip){ .family = input.n & 2 ? 4 : 6, .b = { 10, 0, 0, 1 } });
		return f != RF_F_IP_DST;
	case RF_T_A_STR:
		a = rf_arena_array(arena, 2, sizeof *a);
		if (!a)
			return false;
		a[0] = rf_val_str(input);
		a[1] = rf_val_str((struct rf_str){ input.p, input.n / 2 });
		*ret = rf_val_array(a, 2);
		return true;
	default:
		return false;
	}
}

static bool get_key(void *ctx, struct rf_arena *arena, enum rf_field f, struct rf_str key, struct rf_val *ret)
{
	return key.n % 3 != 1 && get(ctx, arena, f == RF_F_HTTP_HEADERS ? RF_F_HTTP_HEADER_VALUES : RF_F_DEVICE_TAGS, ret);
}

static int answer(const struct rf_expr *x, bool *ret)
{
	static const struct rf_facts_ops ops = { get, get_key };
	static struct rf_facts f;
	struct rf_arena arena;
	rf_arena_init(&arena, 1 << 20);
	rf_facts_init(&f, &ops, NULL, &arena, NULL, 1700000000000000000);
	int r = rf_expr_test(x, &f, ret);
	rf_arena_fini(&arena);
	return r;
}

static void check(const struct rf_expr *x, const struct rf_rule_env *env)
{
	struct rf_buf text = { 0 };
	struct rf_expr *again = NULL;
	struct rf_err e;
	bool one = false, two = false;
	rf_expr_print(x, &text);
	int r = rf_expr_compile(env, RF_PHASE_HTTP_REQUEST, rf_buf_str(&text), &again, &e);
	if (r == RF_OK && (!rf_expr_same(x, again) || answer(x, &one) != answer(again, &two) || one != two))
		abort();
	if (r != RF_OK && r != RF_E_TOO_LARGE) /* the canonical text may be longer than the bound */
		abort();
	rf_expr_put(again);
	rf_buf_fini(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct rf_rule_env env = { .have = ~0u };
	struct rf_expr *x = NULL, *v = NULL;
	struct rf_err e;
	input = (struct rf_str){ (const char *)data, size };
	if (rf_expr_compile(&env, RF_PHASE_HTTP_REQUEST, input, &x, &e) == RF_OK)
		check(x, &env);
	if (rf_expr_compile_value(&env, RF_PHASE_HTTP_REQUEST, input, &v, &e) == RF_OK) {
		bool unused;
		(void)answer(v, &unused);
	}
	rf_expr_put(x);
	rf_expr_put(v);
	return 0;
}
