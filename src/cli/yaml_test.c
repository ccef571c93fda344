/* YAML in and out: what is taken, what is refused and where, and that what is written is read back the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include "cli/cli.h"

static json_t *read_ok(const char *text)
{
	struct rf_err e = { 0 };
	json_t *v = NULL;
	if (cli_yaml_read(rf_str_z(text), "t", &v, &e) != RF_OK)
		fail_msg("%s: %u:%u %s", text, e.line, e.column, e.text);
	return v;
}

static void reads_values(void **state)
{
	(void)state;
	static const struct { const char *yaml, *json; } table[] = {
		{ "a: 1\nb: [x, 'y', \"z\"]\n", "{\"a\":1,\"b\":[\"x\",\"y\",\"z\"]}" },
		{ "a: ~\nb: true\nc: 'true'\nd: 1.5\ne: -3\n", "{\"a\":null,\"b\":true,\"c\":\"true\",\"d\":1.5,\"e\":-3}" },
		{ "a: 007\nb: yes\nc: 1e400\nd: 0x10\n", "{\"a\":\"007\",\"b\":\"yes\",\"c\":\"1e400\",\"d\":\"0x10\"}" },
		{ "{\"a\":\t[1]}", "{\"a\":[1]}" },
		{ "{a: b}", "{\"a\":\"b\"}" },
		{ "e: |\n  one\n  two\n", "{\"e\":\"one\\ntwo\\n\"}" },
		{ "- 99999999999999999999\n", "[\"99999999999999999999\"]" },
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		json_t *v = read_ok(table[i].yaml), *want = json_loads(table[i].json, 0, NULL);
		assert_true(json_equal(v, want));
		json_decref(v);
		json_decref(want);
	}
}

static void refuses_with_the_place(void **state)
{
	(void)state;
	static const struct { const char *yaml; int code; unsigned line, column; } table[] = {
		{ "a: 1\na: 2\n", RF_E_EXISTS, 2, 1 },
		{ "a: &x 1\nb: *x\n", RF_E_UNSUPPORTED, 1, 4 },
		{ "a: !!python/object x\n", RF_E_UNSUPPORTED, 1, 4 },
		{ "? [a]\n: b\n", RF_E_SYNTAX, 1, 3 },
		{ "a: 1\n---\nb: 2\n", RF_E_UNSUPPORTED, 2, 1 },
		{ "a: [1\n", RF_E_SYNTAX, 2, 1 },
		{ "\ta: 1\n", RF_E_SYNTAX, 1, 1 },
		{ "", RF_E_MISSING, 0, 0 },
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct rf_err e = { 0 };
		json_t *v = NULL;
		assert_int_equal(cli_yaml_read(rf_str_z(table[i].yaml), "t", &v, &e), table[i].code);
		assert_null(v);
		assert_int_equal(e.line, table[i].line);
		assert_int_equal(e.column, table[i].column);
	}
}

static void bounds_depth(void **state)
{
	(void)state;
	char deep[200];
	struct rf_err e = { 0 };
	json_t *v = NULL;
	memset(deep, '[', 100);
	memset(deep + 100, ']', 99);
	deep[199] = '\0';
	deep[99] = 'x';
	assert_int_equal(cli_yaml_read(rf_str_z(deep), "t", &v, &e), RF_E_TOO_LARGE);
}

static void writes_what_is_read_back(void **state)
{
	(void)state;
	static const char text[] = "{\"a\":\"true\",\"b\":\"\",\"c\":\"1\",\"d\":\"x: y\",\"e\":\"one\\ntwo\\n\",\"f\":[],\"g\":{},\"h\":[{\"i\":null}],"
		"\"j\":1.5,\"k\":2.0,\"l\":-7,\"m\":\"no\",\"n\":\"- x\",\"o\":\"#x\",\"p\":\" x \",\"q\":\"\\u0007\",\"r\":\"~\",\"s\":false}";
	json_t *v = json_loads(text, 0, NULL);
	char *yaml = NULL;
	size_t n;
	FILE *f = open_memstream(&yaml, &n);
	assert_non_null(v);
	assert_int_equal(cli_yaml_write(v, f), RF_OK);
	fclose(f);
	json_t *back = read_ok(yaml);
	assert_true(json_equal(v, back));
	json_decref(v);
	json_decref(back);
	free(yaml);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_values), cmocka_unit_test(refuses_with_the_place), cmocka_unit_test(bounds_depth),
		cmocka_unit_test(writes_what_is_read_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
