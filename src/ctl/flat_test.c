/* A flat document gives what jansson would; one that is not flat is left to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "ctl/flat.h"

static struct rf_str model, tags[2];
static size_t count;

static bool read_doc(const char *z)
{
	const struct rf_flat_want v[] = { { .name = "model", .text = &model },
					  { .name = "tags", .items = tags, .max = 2, .count = &count } };
	model = RF_STR("untouched");
	count = 9;
	return rf_flat_read(rf_str_z(z), v, 2);
}

static void flat_documents_are_read(void **state)
{
	(void)state;
	assert_true(read_doc("{\"name\":\"a\",\"n\":-1.5e3,\"model\":\"m 1\",\"tags\":[\"x\",\"y\",\"z\"],\"on\":true,\"other\":[]}"));
	assert_true(rf_str_eq(model, RF_STR("m 1")));
	assert_int_equal(count, 2);
	assert_true(rf_str_eq(tags[1], RF_STR("y")));
	assert_true(read_doc(" { \"tags\" : [ ] , \"model\" : \"\" }"));
	assert_int_equal(count, 0);
	assert_int_equal(model.n, 0);
	assert_true(read_doc("{}"));
	assert_true(read_doc("{\"model\":null}"));
	assert_true(rf_str_eq(model, RF_STR("untouched")));
}

static void others_are_left_to_the_parser(void **state)
{
	(void)state;
	static const char *const not_flat[] = {
		"", "{", "[]", "x", "{}x", "{\"model\"}", "{\"model\":}", "{\"model\":\"a}", "{\"model\":\"\\u0041\"}", "{\"a\\n\":1}",
		"{\"limits\":{\"a\":1}}", "{\"tags\":[1]}", "{\"tags\":[\"a\",]}", "{\"tags\":[\"a\"}", "{\"tags\":[[\"a\"]]}",
		"{\"model\":\"a\",}", "{\"model\":\"a\" \"b\":1}", "{\"tags\":[", "{\"tags\":[\"a\\\"\"]}",
	};
	for (size_t i = 0; i < sizeof not_flat / sizeof *not_flat; i++)
		assert_false(read_doc(not_flat[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(flat_documents_are_read), cmocka_unit_test(others_are_left_to_the_parser) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
