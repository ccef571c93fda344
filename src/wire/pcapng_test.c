#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "wire/pcapng.h"

static uint32_t at32(const struct rf_buf *b, size_t at)
{
	uint32_t v;
	assert_true(at + 4 <= b->n);
	memcpy(&v, b->p + at, 4);
	return v;
}

static void blocks_have_the_lengths_that_they_say(void **state)
{
	RF_BUF_AUTO b = { 0 };
	size_t at = 0;
	static const uint32_t types[] = { 0x0a0d0d0a, 1, 6, 6, 6 };
	(void)state;
	rf_pcapng_begin(&b, 2048);
	rf_pcapng_frame(&b, 0x123456789abcdef0, 100, RF_STR("abcde"), RF_STR("rule x"));
	rf_pcapng_frame(&b, 1, 4, RF_STR("abcd"), RF_STR(""));
	rf_pcapng_frame(&b, 1, 0, RF_STR(""), RF_STR("why"));
	for (size_t i = 0; i < 5; i++) {
		uint32_t n = at32(&b, at + 4);
		assert_int_equal(at32(&b, at), types[i]);
		assert_int_equal(n % 4, 0);
		assert_int_equal(at32(&b, at + n - 4), n);
		if (i == 2) {
			assert_int_equal(at32(&b, at + 12), 0x12345678);
			assert_int_equal(at32(&b, at + 16), 0x9abcdef0);
			assert_int_equal(at32(&b, at + 20), 5);
			assert_int_equal(at32(&b, at + 24), 100);
			assert_memory_equal(b.p + at + 28, "abcde\0\0\0", 8);
			assert_memory_equal(b.p + at + 40, "rule x\0\0", 8);
		}
		at += n;
	}
	assert_int_equal(at, b.n);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(blocks_have_the_lengths_that_they_say) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
