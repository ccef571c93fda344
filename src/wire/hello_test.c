/* The ClientHello: parsed, put together from records, fingerprinted; JA4 against its published example. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include "base/enc.h"
#include "base/err.h"
#include "wire/hello.h"

static void be(struct rf_buf *b, uint64_t v, unsigned bytes)
{
	while (bytes--)
		rf_buf_addc(b, (char)(v >> 8 * bytes));
}

static void ext(struct rf_buf *b, uint16_t type, const char *hex)
{
	char body[256];
	ssize_t n = rf_unhex(rf_str_z(hex), body, sizeof body);
	assert_true(n >= 0);
	be(b, type, 2);
	be(b, (uint64_t)n, 2);
	rf_buf_add(b, (struct rf_str){ body, (size_t)n });
}

static void message(struct rf_buf *b, const char *ciphers, struct rf_str exts)
{
	char list[256], random[32] = { 1 };
	ssize_t n = rf_unhex(rf_str_z(ciphers), list, sizeof list);
	be(b, 1, 1);
	be(b, 2 + 32 + 1 + 2 + (uint64_t)n + 2 + 2 + exts.n, 3);
	be(b, 0x0303, 2);
	rf_buf_add(b, (struct rf_str){ random, 32 });
	be(b, 0, 1);
	be(b, (uint64_t)n, 2);
	rf_buf_add(b, (struct rf_str){ list, (size_t)n });
	be(b, 0x0100, 2);
	be(b, exts.n, 2);
	rf_buf_add(b, exts);
}

/* The browser of the JA4 description, extensions shuffled, with GREASE. */
static void browser(struct rf_buf *b)
{
	RF_BUF_AUTO e = { 0 };
	ext(&e, 0x1a1a, "");
	ext(&e, 0x001b, "020002");
	ext(&e, 0x0000, "000e00000b612e622e6578616d706c65");
	ext(&e, 0x0033, "");
	ext(&e, 0x0010, "000c02683208687474702f312e31");
	ext(&e, 0x4469, "");
	ext(&e, 0x0017, "");
	ext(&e, 0x002d, "0101");
	ext(&e, 0x000d, "001004030804040105030805050108060601");
	ext(&e, 0x0005, "0100000000");
	ext(&e, 0x0023, "");
	ext(&e, 0x0012, "");
	ext(&e, 0x002b, "06dada03040303");
	ext(&e, 0xff01, "00");
	ext(&e, 0x000b, "0100");
	ext(&e, 0x000a, "0008fafa001d00170018");
	ext(&e, 0x0015, "0000");
	ext(&e, 0xdada, "00");
	message(b, "eaea130113021303c02bc02fc02cc030cca9cca8c013c014009c009d002f0035", rf_buf_str(&e));
}

static void sha256(void *ctx, struct rf_str in, uint8_t out[32])
{
	(void)ctx;
	SHA256((const unsigned char *)in.p, in.n, out);
}

static void parts(void **state)
{
	(void)state;
	RF_BUF_AUTO b = { 0 };
	struct rf_hello h;
	struct rf_str rest, name;
	browser(&b);
	for (size_t n = 0; n < b.n; n++) {
		char *exact = malloc(n ? n : 1);
		memcpy(exact, b.p, n);
		assert_int_equal(rf_hello_parse((struct rf_str){ exact, n }, &h), RF_E_AGAIN);
		free(exact);
	}
	assert_int_equal(rf_hello_parse(rf_buf_str(&b), &h), RF_OK);
	assert_int_equal(h.version, 0x0304);
	assert_int_equal(h.legacy_version, 0x0303);
	assert_int_equal(h.ext_count, 18);
	assert_int_equal(rf_hello_count(h.ciphers), 16);
	assert_true(rf_str_eq(h.sni, RF_STR("a.b.example")) && h.ticket && !h.psk && !h.early_data);
	rest = h.alpn;
	assert_true(rf_hello_alpn_next(&rest, &name) && rf_str_eq(name, RF_STR("h2")));
	assert_true(rf_hello_alpn_next(&rest, &name) && rf_str_eq(name, RF_STR("http/1.1")));
	assert_false(rf_hello_alpn_next(&rest, &name));
}

static void fingerprints(void **state)
{
	(void)state;
	RF_BUF_AUTO b = { 0 };
	RF_BUF_AUTO out = { 0 };
	struct rf_hello h;
	browser(&b);
	assert_int_equal(rf_hello_parse(rf_buf_str(&b), &h), RF_OK);
	assert_int_equal(rf_hello_ja4(&h, false, sha256, NULL, &out), RF_OK);
	assert_string_equal(rf_buf_z(&out), "t13d1516h2_8daaf6152771_e5627efa2ab1");
	rf_buf_clear(&out);
	assert_int_equal(rf_hello_ja4(&h, true, NULL, NULL, &out), RF_OK);
	assert_string_equal(rf_buf_z(&out), "q13d1516h2_002f,0035,009c,009d,1301,1302,1303,c013,c014,c02b,c02c,c02f,c030,"
		"cca8,cca9_0005,000a,000b,000d,0012,0015,0017,001b,0023,002b,002d,0033,4469,ff01_"
		"0403,0804,0401,0503,0805,0501,0806,0601");
	rf_buf_clear(&out);
	assert_int_equal(rf_hello_ja3(&h, &out), RF_OK);
	assert_string_equal(rf_buf_z(&out), "771,4865-4866-4867-49195-49199-49196-49200-52393-52392-49171-49172-156-157-47-53,"
		"27-0-51-16-17513-23-45-13-5-35-18-43-65281-11-10-21,29-23-24,0");
}

static void bare_client(void **state)
{
	(void)state;
	RF_BUF_AUTO b = { 0 };
	RF_BUF_AUTO out = { 0 };
	struct rf_hello h;
	message(&b, "002f", RF_STR(""));
	assert_int_equal(rf_hello_parse(rf_buf_str(&b), &h), RF_OK);
	assert_int_equal(rf_hello_ja4(&h, false, sha256, NULL, &out), RF_OK);
	assert_true(rf_str_starts(rf_buf_str(&out), RF_STR("t12i010000_")));
	assert_true(rf_str_ends(rf_buf_str(&out), RF_STR("_000000000000")));
	rf_buf_clear(&out);
	assert_int_equal(rf_hello_ja3(&h, &out), RF_OK);
	assert_string_equal(rf_buf_z(&out), "771,47,,,");
}

static void from_records(void **state)
{
	(void)state;
	RF_BUF_AUTO b = { 0 };
	struct rf_arena arena;
	struct rf_str got;
	browser(&b);
	rf_arena_init(&arena, 1 << 20);
	static const size_t steps[] = { 1, 3, 4, 100, 16384 };
	for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
		RF_BUF_AUTO r = { 0 };
		for (size_t at = 0; at < b.n; at += steps[s]) {
			size_t n = b.n - at < steps[s] ? b.n - at : steps[s];
			be(&r, 0x160301, 3);
			be(&r, n, 2);
			rf_buf_add(&r, (struct rf_str){ b.p + at, n });
		}
		for (size_t n = 0; n < r.n; n += 17)
			assert_int_equal(rf_hello_from_records((struct rf_str){ r.p, n }, &arena, &got), RF_E_AGAIN);
		rf_buf_add(&r, RF_STR("more"));
		assert_int_equal(rf_hello_from_records(rf_buf_str(&r), &arena, &got), RF_OK);
		assert_true(rf_str_eq(got, rf_buf_str(&b)));
		rf_arena_reset(&arena);
	}
	assert_int_equal(rf_hello_from_records(RF_STR("GET / HTTP/1.1"), &arena, &got), RF_E_SYNTAX);
	assert_int_equal(rf_hello_from_records(RF_STR("\x16\x03\x01\x00\x00"), &arena, &got), RF_E_SYNTAX);
	assert_int_equal(rf_hello_from_records(RF_STR("\x16\x03\x01\x00\x04\x02\x00\x00\x00"), &arena, &got), RF_E_SYNTAX);
	assert_int_equal(rf_hello_from_records(RF_STR("\x16\x03\x01\x00\x04\x01\xff\xff\xff"), &arena, &got), RF_E_TOO_LARGE);
	rf_arena_fini(&arena);
}

static void broken(void **state)
{
	(void)state;
	static const struct {
		uint16_t type;
		const char *hex;
	} bad[] = {
		{ 0, "" }, { 0, "0000" }, { 0, "0004000001ff" }, { 0, "000400000120" }, { 0, "000401000161" }, { 10, "0003001d00" },
		{ 10, "" }, { 10, "0000" }, { 10, "000200" }, { 11, "00" }, { 13, "0002040300" }, { 16, "000100" }, { 16, "00020568" },
		{ 16, "0000" }, { 43, "03030403" },
	};
	struct rf_hello h;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		RF_BUF_AUTO e = { 0 };
		RF_BUF_AUTO b = { 0 };
		ext(&e, bad[i].type, bad[i].hex);
		message(&b, "1301", rf_buf_str(&e));
		assert_int_equal(rf_hello_parse(rf_buf_str(&b), &h), RF_E_INVALID);
	}
	RF_BUF_AUTO e = { 0 };
	RF_BUF_AUTO b = { 0 };
	ext(&e, 35, "");
	ext(&e, 35, "");
	message(&b, "1301", rf_buf_str(&e));
	assert_int_equal(rf_hello_parse(rf_buf_str(&b), &h), RF_E_INVALID);
	assert_int_equal(rf_hello_parse(RF_STR("\x02\x00\x00\x00"), &h), RF_E_SYNTAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts),
		cmocka_unit_test(fingerprints),
		cmocka_unit_test(bare_client),
		cmocka_unit_test(from_records),
		cmocka_unit_test(broken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
