/* Both ways to do AES-GCM make and open the same records, and neither takes a record that was touched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "tls/aead.h"
#include "tls/libctx.h"

static struct tls_aeads fast, slow;

static int setup(void **state)
{
	(void)state;
	if (!tls_aeads_init(&fast, rf_tls_libctx()) || !tls_aeads_init(&slow, rf_tls_libctx()))
		return -1;
	void *mb = slow.mb;
	slow.mb = NULL;
	struct tls_aeads rest = { .mb = mb };
	tls_aeads_fini(&rest);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	tls_aeads_fini(&fast);
	tls_aeads_fini(&slow);
	return 0;
}

static void fill(uint8_t *p, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++) {
		seed = seed * 1103515245u + 12345u;
		p[i] = (uint8_t)(seed >> 16);
	}
}

static void exchange(struct tls_aeads *one, struct tls_aeads *other, enum tls_aead_kind kind, size_t n)
{
	uint8_t key[TLS_KEY_MAX], nonce[TLS_IV];
	uint8_t *a = malloc(TLS_HEADER + n + TLS_TAG), *b = malloc(TLS_HEADER + n + TLS_TAG), *to = malloc(n + 1);
	fill(key, sizeof key, (unsigned)n);
	fill(nonce, sizeof nonce, (unsigned)n + 1);
	fill(a, TLS_HEADER + n, (unsigned)n + 2);
	memcpy(b, a, TLS_HEADER + n);
	struct tls_aead *x = tls_aead_new(), *y = tls_aead_new(), *open = tls_aead_new();
	assert_false(tls_aead_seal(one, x, nonce, a, n)); /* without a key */
	assert_true(tls_aead_key(one, x, kind, key, true) && tls_aead_key(other, y, kind, key, true));
	assert_true(tls_aead_key(other, open, kind, key, false));
	assert_true(tls_aead_seal(one, x, nonce, a, n) && tls_aead_seal(other, y, nonce, b, n));
	assert_memory_equal(a, b, TLS_HEADER + n + TLS_TAG);
	for (size_t at = 0; at < TLS_HEADER + n + TLS_TAG; at += 1 + at / 7) {
		a[at] ^= 1u << at % 8;
		assert_false(tls_aead_open(other, open, nonce, a, n, to));
		a[at] ^= 1u << at % 8;
	}
	nonce[3] ^= 1;
	assert_false(tls_aead_open(other, open, nonce, a, n, to));
	nonce[3] ^= 1;
	assert_true(tls_aead_open(other, open, nonce, a, n, to));
	assert_true(tls_aead_open(other, open, nonce, a, n, a + TLS_HEADER)); /* in place */
	assert_memory_equal(a + TLS_HEADER, to, n);
	tls_aead_wipe(x);
	assert_false(tls_aead_seal(one, x, nonce, a, n));
	tls_aead_free(x);
	tls_aead_free(y);
	tls_aead_free(open);
	free(a);
	free(b);
	free(to);
}

static void test_same(void **state)
{
	(void)state;
	static const size_t sizes[] = { 0, 1, 15, 16, 17, 127, 128, 255, 256, 1000, 16384, 16385 };
	for (int kind = 0; kind < TLS_AEADS; kind++) {
		for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
			exchange(&fast, &slow, (enum tls_aead_kind)kind, sizes[i]);
			exchange(&slow, &fast, (enum tls_aead_kind)kind, sizes[i]);
		}
	}
}

/* A cipher goes from key to key and from suite to suite. */
static void test_another_key(void **state)
{
	(void)state;
	uint8_t key[TLS_KEY_MAX] = { 1 }, nonce[TLS_IV] = { 2 }, record[TLS_HEADER + 32 + TLS_TAG], to[32];
	struct tls_aead *a = tls_aead_new(), *b = tls_aead_new();
	for (unsigned i = 0; i < 12; i++) {
		struct tls_aeads *s = i % 2 ? &fast : &slow;
		fill(record, TLS_HEADER + 32, i);
		key[5] = (uint8_t)i;
		assert_true(tls_aead_key(s, a, (enum tls_aead_kind)(i % TLS_AEADS), key, true));
		assert_true(tls_aead_key(s, b, (enum tls_aead_kind)(i % TLS_AEADS), key, false));
		assert_true(tls_aead_seal(s, a, nonce, record, 32));
		assert_true(tls_aead_open(s, b, nonce, record, 32, to));
		if (i % 4 == 0)
			tls_aead_wipe(a);
	}
	tls_aead_free(a);
	tls_aead_free(b);
}

/* AES-128-GCM of McGrew and Viega, test case 2: additional data, the header here, changes the tag alone. */
static void test_zero_vector(void **state)
{
	(void)state;
	static const uint8_t want[] = { 0x03, 0x88, 0xda, 0xce, 0x60, 0xb6, 0xa3, 0x92, 0xf3, 0x28, 0xc2, 0xb9, 0x71, 0xb2, 0xfe, 0x78 };
	struct tls_aeads *both[] = { &fast, &slow };
	for (size_t i = 0; i < 2; i++) {
		uint8_t key[TLS_KEY_MAX] = { 0 }, nonce[TLS_IV] = { 0 }, record[TLS_HEADER + 16 + TLS_TAG] = { 0 };
		struct tls_aead *a = tls_aead_new();
		assert_true(tls_aead_key(both[i], a, TLS_AES_128_GCM, key, true));
		assert_true(tls_aead_seal(both[i], a, nonce, record, 16));
		assert_memory_equal(record + TLS_HEADER, want, 16);
		tls_aead_free(a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same), cmocka_unit_test(test_another_key), cmocka_unit_test(test_zero_vector),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
