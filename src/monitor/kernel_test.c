/* What a kernel gives: words, what is withheld, what each thing that is missing leads to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <unistd.h>
#include "monitor/filter.h"
#include "monitor/kernel.h"

static uint32_t bits_of(const char *words)
{
	struct rf_str bad;
	uint32_t bits = 0;
	assert_int_equal(rf_kernel_words(rf_str_z(words), &bits, &bad), RF_OK);
	return bits;
}

static void words_are_told_apart(void **state)
{
	struct rf_str bad = { "", 0 };
	uint32_t bits = 77;
	(void)state;
	assert_int_equal(bits_of(""), 0);
	assert_int_equal(bits_of("::xdp:"), 1u << RF_KERNEL_XDP);
	assert_int_equal(bits_of("btf:nft"), 1u << RF_KERNEL_BTF | 1u << RF_KERNEL_NFT);
	assert_int_equal(rf_kernel_words(RF_STR("btf:XDP"), &bits, &bad), RF_E_UNKNOWN);
	assert_true(rf_str_eq(bad, RF_STR("XDP")) && bits == 77);
	for (unsigned i = 0; i < RF_KERNEL_COUNT; i++) /* each has a word of its own */
		assert_int_equal(bits_of(rf_kernel_word((enum rf_kernel_thing)i)), 1u << i);
}

static void each_thing_that_is_withheld_is_named_by_its_use_alone(void **state)
{
	char want[160];
	(void)state;
	for (unsigned i = 0; i < RF_KERNEL_COUNT; i++) {
		struct rf_kernel k;
		struct rf_err e = { 0 };
		rf_kernel_probe(0, 1u << i, &k);
		assert_int_equal(k.missing, 1u << i);
		for (unsigned use = 0; use < RF_KERNEL_USES; use++) {
			int rc = rf_kernel_gives(&k, (enum rf_kernel_use)use, &e);
			assert_int_equal(rc, use == rf_kernel_use_of((enum rf_kernel_thing)i) ? RF_E_UNSUPPORTED : RF_OK);
		}
		snprintf(want, sizeof want, "shield.without withholds %s", rf_kernel_word((enum rf_kernel_thing)i));
		assert_string_equal(e.text, want);
		k.withheld = 0; /* as on a kernel that has it not */
		assert_int_equal(rf_kernel_gives(&k, rf_kernel_use_of((enum rf_kernel_thing)i), &e), RF_E_UNSUPPORTED);
		assert_memory_equal(e.text, "this kernel has no ", 19);
	}
	for (unsigned use = 0; use < RF_KERNEL_USES; use++)
		assert_true(rf_kernel_what((enum rf_kernel_use)use)[0] && rf_kernel_instead((enum rf_kernel_use)use)[0]);
}

/* The filter of a kernel that has all but one thing: it is not loaded without what it needs, and goes without the others. */
static void the_filter_goes_without_what_is_withheld(void **state)
{
	char dir[64], path[128];
	(void)state;
	if (geteuid() != 0)
		skip();
	snprintf(dir, sizeof dir, "/sys/fs/bpf/rftest-kernel-%d", (int)getpid());
	struct rf_kernel all;
	rf_kernel_probe(RF_FILTER_USES, 0, &all);
	if (all.missing)
		skip(); /* this kernel shows it by itself */
	static const enum rf_kernel_thing some[] = { RF_KERNEL_XDP, RF_KERNEL_RINGBUF, RF_KERNEL_COARSE, RF_KERNEL_BTF, RF_KERNEL_REQSK, RF_KERNEL_NATIVE };
	for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
		struct rf_kernel k = { .missing = 1u << some[i] };
		enum rf_kernel_use use = rf_kernel_use_of(some[i]);
		struct rf_filter *f = NULL;
		struct rf_err e = { 0 };
		const char *why;
		bool fresh;
		int rc = rf_filter_open(dir, &k, &f, &fresh, &e);
		assert_int_equal(rc, use == RF_KERNEL_FOR_FILTER ? RF_E_UNSUPPORTED : RF_OK);
		if (rc == RF_OK)
			assert_int_equal(rf_filter_cookies(f, &why), use != RF_KERNEL_FOR_COOKIES);
		if (use == RF_KERNEL_FOR_COOKIES)
			assert_memory_equal(why, "this kernel has no ", 19);
		rf_filter_close(f);
	}
	static const char *const names[] = {
#define X(name) #name,
		RF_FILTER_MAPS(X)
		RF_FILTER_KEPT(X)
#undef X
	};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, "%s/rf_%s", dir, names[i]);
		unlink(path);
	}
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_are_told_apart),
		cmocka_unit_test(each_thing_that_is_withheld_is_named_by_its_use_alone),
		cmocka_unit_test(the_filter_goes_without_what_is_withheld),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
