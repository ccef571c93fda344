/* Any text as an expression: what compiles must print as a text that compiles to the same program, and
 * evaluate over a request made of the same bytes without a fault, to the same answer both times. */
#include <stdlib.h>
#include "policy/lists.h"
#include "policy/ruletest.h"

static struct rf_str input;

/* A value of a type out of the input; false without memory. */
static bool value(struct rf_arena *arena, enum rf_type t, struct rf_val *ret)
{
	struct rf_val *a;
	struct rf_entry *m;
	switch (t) {
	case RF_T_BOOL:
		*ret = rf_val_bool(input.n & 1);
		return true;
	case RF_T_INT:
		*ret = rf_val_int((int64_t)input.n * 7919);
		return true;
	case RF_T_STR:
	case RF_T_VERSION:
		*ret = rf_val_str(input);
		return true;
	case RF_T_IP:
		*ret = rf_val_ip((struct rf_ip){ .family = input.n & 2 ? 4 : 6, .b = { 10, 0, 0, 1 } });
		return true;
	default:
		break;
	}
	a = rf_arena_array(arena, 2, sizeof *a);
	m = rf_arena_array(arena, 2, sizeof *m);
	if (!a || !m || !value(arena, rf_type_element(t), &a[0]))
		return false;
	a[1] = a[0];
	m[0] = (struct rf_entry){ RF_STR("host"), a[0] };
	m[1] = (struct rf_entry){ RF_STR("x"), a[1] };
	*ret = rf_type_is_map(t) ? rf_val_map(m, 2) : rf_val_array(a, 2);
	return true;
}

static bool get(void *ctx, struct rf_arena *arena, enum rf_field f, struct rf_val *ret)
{
	(void)ctx;
	return f != RF_F_TCP_SRCPORT && f != RF_F_DEVICE_MODEL && f != RF_F_IP_DST && value(arena, rf_fields[f].type, ret);
}

static bool get_key(void *ctx, struct rf_arena *arena, enum rf_field f, struct rf_str key, struct rf_val *ret)
{
	(void)ctx;
	return key.n % 3 != 1 && value(arena, rf_type_element(rf_fields[f].type), ret);
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

static void check(const struct rf_expr *x, const struct rf_rule_env *env, enum rf_phase phase)
{
	struct rf_buf text = { 0 };
	struct rf_expr *again = NULL;
	struct rf_err e;
	bool one = false, two = false;
	rf_expr_print(x, &text);
	int r = rf_expr_compile(env, phase, rf_buf_str(&text), &again, &e);
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
	static const enum rf_phase phases[] = { RF_PHASE_HTTP_REQUEST, RF_PHASE_PACKET, RF_PHASE_CONNECTION, RF_PHASE_HTTP_RESPONSE };
	for (size_t i = 0; i < sizeof phases / sizeof *phases; i++) {
		x = NULL;
		if (rf_expr_compile(&env, phases[i], input, &x, &e) == RF_OK)
			check(x, &env, phases[i]);
		rf_expr_put(x);
	}
	if (rf_expr_compile_value(&env, RF_PHASE_HTTP_REQUEST, input, &v, &e) == RF_OK) {
		bool unused;
		(void)answer(v, &unused);
	}
	rf_expr_put(v);
	return 0;
}
