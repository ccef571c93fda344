#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/err.h"
#include "wire/form.h"

static struct rf_arena arena;

static int start(void **state)
{
	(void)state;
	rf_arena_init(&arena, 1 << 20);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	rf_arena_fini(&arena);
	return 0;
}

static void is(struct rf_str got, const char *want)
{
	if (!got.p || !rf_str_eq(got, rf_str_z(want)))
		fail_msg("`%.*s` should be `%s`", RF_ARG(got), want);
}

static void parameters(void **state)
{
	(void)state;
	struct rf_str v;
	assert_true(rf_header_param(RF_STR("multipart/form-data; Boundary=abc"), RF_STR("boundary"), &arena, &v));
	is(v, "abc");
	assert_true(rf_header_param(RF_STR("f; name=\"a;b\\\"c\"; filename=x"), RF_STR("name"), &arena, &v));
	is(v, "a;b\"c");
	assert_true(rf_header_param(RF_STR("f; name=\"a;b\\\"c\"; filename= x "), RF_STR("filename"), &arena, &v));
	is(v, "x");
	assert_true(rf_header_param(RF_STR("f; name=\"open"), RF_STR("name"), &arena, &v));
	is(v, "open");
	assert_false(rf_header_param(RF_STR("name=x"), RF_STR("name"), &arena, &v));
	assert_false(rf_header_param(RF_STR("f; x=\"; name=y\""), RF_STR("name"), &arena, &v));
	assert_false(rf_header_param(RF_STR("f; ;;"), RF_STR("name"), &arena, &v));
	assert_false(rf_header_param(RF_STR(""), RF_STR("name"), &arena, &v));
}

static void parts(void **state)
{
	(void)state;
	struct rf_str rest = RF_STR("preamble\r\n--B\r\nContent-Disposition: form-data; name=\"user\"\r\n\r\nalice\r\n"
		"--B \r\ncontent-type: image/jpeg\r\nContent-Disposition: form-data;\r\n name=pic; filename=\"a.jpg\";"
		" filename*=UTF-8''b.jpg\r\nContent-Transfer-Encoding: binary\r\n\r\nx\r\n--b\r\n\r\n--B--\r\nepilogue");
	struct rf_part p;
	assert_int_equal(rf_multipart_next(&rest, RF_STR("B"), &arena, &p), RF_OK);
	is(p.name, "user");
	is(p.body, "alice");
	assert_true(!p.filename.p && !p.type.p && !p.cut);
	assert_int_equal(rf_multipart_next(&rest, RF_STR("B"), &arena, &p), RF_OK);
	is(p.name, "pic");
	is(p.filename, "a.jpg");
	is(p.filename_star, "UTF-8''b.jpg");
	is(p.type, "image/jpeg");
	is(p.encoding, "binary");
	is(p.body, "x\r\n--b\r\n");
	assert_int_equal(rf_multipart_next(&rest, RF_STR("B"), &arena, &p), RF_E_EOF);
}

static void what_an_origin_might_read_too(void **state)
{
	(void)state;
	struct rf_part p;
	struct rf_str lf = RF_STR("--B\nContent-Disposition: form-data; name=a\n\nv\n--B--\n");
	assert_int_equal(rf_multipart_next(&lf, RF_STR("B"), &arena, &p), RF_OK);
	is(p.name, "a");
	is(p.body, "v");
	struct rf_str cut = RF_STR("--B\r\nContent-Disposition: form-data; name=a\r\n\r\nhalf");
	assert_int_equal(rf_multipart_next(&cut, RF_STR("B"), &arena, &p), RF_OK);
	is(p.body, "half");
	assert_true(p.cut);
	assert_int_equal(rf_multipart_next(&cut, RF_STR("B"), &arena, &p), RF_E_EOF);
	struct rf_str bare = RF_STR("--B\r\n\r\nno headers\r\n--B--");
	assert_int_equal(rf_multipart_next(&bare, RF_STR("B"), &arena, &p), RF_OK);
	is(p.body, "no headers");
	assert_null(p.name.p);
	struct rf_str empty = RF_STR("--B\r\nContent-Disposition: form-data; name=e\r\n\r\n\r\n--B--");
	assert_int_equal(rf_multipart_next(&empty, RF_STR("B"), &arena, &p), RF_OK);
	is(p.body, "");
}

static void hostile(void **state)
{
	(void)state;
	static const char *const none[] = { "", "--", "--B", "--B--", "--B\r\n", "B\r\n\r\nx", "\r\n\r\n" };
	struct rf_part p;
	for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
		struct rf_str rest = rf_str_z(none[i]);
		if (rf_multipart_next(&rest, RF_STR("B"), &arena, &p) == RF_OK)
			fail_msg("`%s` has no part", none[i]);
	}
	static char big[RF_PART_HEADERS + 100];
	memset(big, 'x', sizeof big);
	memcpy(big, "--B\r\n", 5);
	struct rf_str rest = { big, sizeof big };
	assert_int_equal(rf_multipart_next(&rest, RF_STR("B"), &arena, &p), RF_E_TOO_LARGE);
	struct rf_arena little;
	rf_arena_init(&little, 1);
	rest = RF_STR("--B\r\nContent-Disposition: f; name=\"n\"\r\n\r\nx\r\n--B--");
	assert_int_equal(rf_multipart_next(&rest, RF_STR("B"), &little, &p), RF_E_NOMEM);
	rf_arena_fini(&little);
}

static void types_by_bytes(void **state)
{
	(void)state;
	assert_string_equal(rf_media_of_bytes(RF_STR("\x7f" "ELF\x01")), "application/x-executable");
	assert_string_equal(rf_media_of_bytes(RF_STR("RIFF1234WAVEfmt")), "audio/wav");
	assert_null(rf_media_of_bytes(RF_STR("{\"a\": 1}")));
	assert_null(rf_media_of_bytes(RF_STR("")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(parameters, start, stop), cmocka_unit_test_setup_teardown(parts, start, stop),
		cmocka_unit_test_setup_teardown(what_an_origin_might_read_too, start, stop),
		cmocka_unit_test_setup_teardown(hostile, start, stop), cmocka_unit_test(types_by_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
