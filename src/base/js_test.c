/* Walking over JSON as text: what is taken and refused, digests, decoding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "base/js.h"

static bool takes(const char *z)
{
	struct rf_js j = rf_js_over(rf_str_z(z));
	return rf_js_skip(&j, NULL) && rf_js_end(&j);
}

static void takes_json_alone(void **state)
{
	static const char *const good[] = { "0", "-1.5e+9", "true", " null ", "\"\"", "\"\\u00e9\\ud83d\\ude00\\n\"", "\"\xc3\xa9\xf0\x9f\x98\x80\"", "[]",
		"[1, [2, {}]]", "{}", "{\"a\" : [false] , \"b\":{\"c\":\"d\"}}", "[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]" };
	static const char *const bad[] = { "", " ", "01", "-", "1.", ".5", "1e", "+1", "tru", "truee", "nul l", "\"", "\"\\x\"", "\"\\u12g4\"", "\"\\u0000\"",
		"\"\\ud800\"", "\"\\udc00\"", "\"\\ud800\\u0041\"", "\"a\nb\"", "\"\xff\"", "\"\xc0\x80\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"", "\"\xe2\x82\"", "[", "[1",
		"[1,]", "[,1]", "[1 2]", "]", "{", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "{\"a\" 1}", "{\"a\":1 \"b\":2}", "1 2", "[1]]",
		"[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]" };
	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		if (!takes(good[i]))
			fail_msg("refused: %s", good[i]);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (takes(bad[i]))
			fail_msg("taken: %s", bad[i]);
}

static uint64_t digest(const char *z)
{
	struct rf_js j = rf_js_over(rf_str_z(z));
	uint64_t v = 0;
	assert_true(rf_js_digest(&j, &v) && rf_js_end(&j));
	return v;
}

static void digests_are_of_what_is_said(void **state)
{
	static const char *const same[][2] = { { "[1,2]", " [ 1 ,\n2 ] " }, { "{\"a\":1,\"b\":[true]}", "{\"b\" : [ true ],\"a\":1}" },
		{ "\"a/\xc3\xa9\xf0\x9f\x98\x80\"", "\"\\u0061\\/\\u00E9\\ud83D\\uDE00\"" }, { "\"\\n\\t\\\"\\\\\"", "\"\\u000a\\u0009\\u0022\\u005c\"" },
		{ "{\"a\":1}", "{\"\\u0061\":1}" } };
	static const char *const all[] = { "1", "\"1\"", "true", "\"true\"", "null", "[]", "{}", "[1]", "[[1]]", "[1,1]", "[12]", "[1,2]", "[2,1]", "{\"a\":1}",
		"{\"a\":2}", "{\"b\":1}", "{\"a\":\"b\"}", "{\"b\":\"a\"}", "{\"a\":1,\"b\":2}", "{\"a\":2,\"b\":1}", "[\"a\",\"b\"]", "[\"ab\"]", "\"\"", "\"a\"",
		"{\"a\":{\"b\":1}}", "{\"a\":1,\"a\":1}", "[null]", "[{}]" };
	(void)state;
	for (size_t i = 0; i < sizeof same / sizeof *same; i++)
		assert_int_equal(digest(same[i][0]), digest(same[i][1]));
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		for (size_t k = 0; k < i; k++)
			if (digest(all[i]) == digest(all[k]))
				fail_msg("%s and %s have one digest", all[i], all[k]);
	char longer[2][1400], *a = longer[0], *b = longer[1]; /* more than is decoded at once */
	*a++ = *b++ = '"';
	for (int i = 0; i < 200; i++) {
		memcpy(a, "A", 1), a += 1;
		memcpy(b, "\\u0041", 6), b += 6;
	}
	memcpy(a, "\"", 2);
	memcpy(b, "\"", 2);
	assert_int_equal(digest(longer[0]), digest(longer[1]));
}

static void walks_over_members(void **state)
{
	struct rf_js j = rf_js_over(RF_STR("{\"a\":1,\"b\":[2, 3] }x"));
	struct rf_js_text name;
	struct rf_str value;
	bool first = true;
	(void)state;
	assert_true(rf_js_take(&j, '{'));
	assert_true(rf_js_more(&j, '}', &first) && rf_js_name(&j, &name) && rf_js_skip(&j, &value));
	assert_true(rf_str_eq(name.raw, RF_STR("a")) && rf_str_eq(value, RF_STR("1")));
	assert_true(rf_js_more(&j, '}', &first) && rf_js_name(&j, &name) && rf_js_skip(&j, &value));
	assert_true(rf_str_eq(name.raw, RF_STR("b")) && rf_str_eq(value, RF_STR("[2, 3]")));
	assert_false(rf_js_more(&j, '}', &first));
	assert_false(j.bad);
	assert_false(rf_js_end(&j));
	assert_int_equal(rf_js_peek(&j), 'x');
	assert_false(rf_js_skip(&j, NULL));
	assert_true(j.bad);
	assert_int_equal(rf_js_peek(&j), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_json_alone),
		cmocka_unit_test(digests_are_of_what_is_said),
		cmocka_unit_test(walks_over_members),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
