/* Records against the published traces [RFC 8448 3], against tampering, and the ciphers that are lent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/ssl.h>
#include <string.h>
#include "tls/libctx.h"
#include "tls/record.h"

static struct tls_ciphers ciphers;

static size_t bytes(const char *hex, uint8_t *to)
{
	size_t n = 0;
	for (; *hex; hex++) {
		if (*hex == ' ')
			continue;
		unsigned v = 0;
		for (int i = 0; i < 2; i++, hex += i < 2)
			v = v << 4 | (unsigned)(*hex <= '9' ? *hex - '0' : *hex - 'a' + 10);
		to[n++] = (uint8_t)v;
	}
	return n;
}

static const char client_secret[] =
	"9e 40 64 6c e7 9a 7f 9d c0 5a f8 88 9b ce 65 52 87 5a fa 0b 06 df 00 87 f7 92 eb b7 c1 75 04 a5";
static const char server_secret[] =
	"a1 1a f9 f0 55 31 f8 56 ad 47 11 6b 45 a9 50 32 82 04 b4 f4 4b fb 6b 3a 4b 4f 1f 3f cb 63 16 43";

static struct tls_half half_of(const char *hex, uint32_t suite, uint64_t seq)
{
	struct tls_half h = { .seq = seq };
	h.secret_n = (uint8_t)bytes(hex, h.secret);
	assert_true(tls_half_start(&ciphers, &h, tls_suite_of(suite)));
	return h;
}

static struct tls_half filled(uint32_t suite, uint8_t fill)
{
	struct tls_half h = { .secret_n = tls_suite_of(suite)->secret_n };
	memset(h.secret, fill, h.secret_n);
	assert_true(tls_half_start(&ciphers, &h, tls_suite_of(suite)));
	return h;
}

static void assert_bytes(const uint8_t *p, const char *hex)
{
	uint8_t want[TLS_RECORD_MAX];
	size_t n = bytes(hex, want);
	assert_memory_equal(p, want, n);
}

static void keys_are_derived(void **state)
{
	(void)state;
	struct tls_half c = half_of(client_secret, TLS1_3_CK_AES_128_GCM_SHA256, 0);
	struct tls_half s = half_of(server_secret, TLS1_3_CK_AES_128_GCM_SHA256, 0);
	assert_bytes(c.key, "17 42 2d da 59 6e d5 d9 ac d8 90 e3 c6 3f 50 51");
	assert_bytes(c.iv, "5b 78 92 3d ee 08 57 90 33 e5 23 d9");
	assert_bytes(s.key, "9f 02 28 3b 6c 9c 07 ef c2 6b b9 f2 ac 92 e3 56");
	assert_bytes(s.iv, "cf 78 2b 88 dd 83 54 9a ad f1 e9 84");
	tls_half_fini(&c);
	tls_half_fini(&s);
}

/* Of both sides' application data and alerts: who, sequence number, type, content, record. */
static const struct trace {
	const char *secret;
	uint64_t seq;
	enum tls_type type;
	const char *content, *record;
} traces[] = {
	{ client_secret, 0, TLS_TYPE_DATA,
	  "00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f 20 21 22 23 24 25 26 27 28 "
	  "29 2a 2b 2c 2d 2e 2f 30 31",
	  "17 03 03 00 43 a2 3f 70 54 b6 2c 94 d0 af fa fe 82 28 ba 55 cb ef ac ea 42 f9 14 aa 66 bc ab 3f 2b 98 19 a8 a5 b4 6b 39 5b "
	  "d5 4a 9a 20 44 1e 2b 62 97 4e 1f 5a 62 92 a2 97 70 14 bd 1e 3d ea e6 3a ee bb 21 69 49 15 e4" },
	{ server_secret, 1, TLS_TYPE_DATA, /* a session ticket was 0 */
	  "00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f 20 21 22 23 24 25 26 27 28 "
	  "29 2a 2b 2c 2d 2e 2f 30 31",
	  "17 03 03 00 43 2e 93 7e 11 ef 4a c7 40 e5 38 ad 36 00 5f c4 a4 69 32 fc 32 25 d0 5f 82 aa 1b 36 e3 0e fa f9 7d 90 e6 df fc "
	  "60 2d cb 50 1a 59 a8 fc c4 9c 4b f2 e5 f0 a2 1c 00 47 c2 ab f3 32 54 0d d0 32 e1 67 c2 95 5d" },
	{ client_secret, 1, TLS_TYPE_ALERT, "01 00", "17 03 03 00 13 c9 87 27 60 65 56 66 b7 4d 7f f1 15 3e fd 6d b6 d0 b0 e3" },
	{ server_secret, 2, TLS_TYPE_ALERT, "01 00", "17 03 03 00 13 b5 8f d6 71 66 eb f5 99 d2 47 20 cf be 7e fa 7a 88 64 a9" },
};

static void records_are_those_of_the_traces(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof traces / sizeof *traces; i++) {
		const struct trace *t = &traces[i];
		uint8_t content[64], record[128], made[128], plain[64];
		struct tls_plain found;
		size_t n = bytes(t->content, content), length = bytes(t->record, record);
		struct tls_half h = half_of(t->secret, TLS1_3_CK_AES_128_GCM_SHA256, t->seq);
		memcpy(made + TLS_HEADER, content, n);
		assert_int_equal(tls_seal(&ciphers, &h, t->type, made, n), length);
		assert_memory_equal(made, record, length);
		h.seq = t->seq;
		assert_int_equal(tls_open(&ciphers, &h, record, length - TLS_HEADER, plain, &found), 0);
		assert_int_equal(found.type, t->type);
		assert_int_equal(found.n, n);
		assert_memory_equal(plain, content, n);
		h.seq = t->seq; /* and where it lies */
		assert_int_equal(tls_open(&ciphers, &h, made, length - TLS_HEADER, made + TLS_HEADER, &found), 0);
		assert_memory_equal(made + TLS_HEADER, content, n);
		tls_half_fini(&h);
	}
}

static const uint32_t all_suites[] = { TLS1_3_CK_AES_128_GCM_SHA256, TLS1_3_CK_AES_256_GCM_SHA384,
				       TLS1_3_CK_CHACHA20_POLY1305_SHA256 };

static void what_is_sealed_opens(void **state)
{
	(void)state;
	static const size_t lengths[] = { 0, 1, 15, 16, 17, 4096, TLS_PLAIN_MAX };
	static uint8_t record[TLS_RECORD_MAX], plain[TLS_RECORD_MAX];
	for (size_t i = 0; i < 3; i++) {
		struct tls_half out = filled(all_suites[i], 7), in = filled(all_suites[i], 7);
		for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
			struct tls_plain found;
			if (k % 3 == 2) { /* another generation */
				assert_true(tls_half_update(&ciphers, &out) && tls_half_update(&ciphers, &in));
				assert_int_equal(out.seq, 0);
			}
			memset(record + TLS_HEADER, (int)k + 1, lengths[k]);
			size_t n = tls_seal(&ciphers, &out, TLS_TYPE_DATA, record, lengths[k]);
			assert_int_equal(n, lengths[k] + TLS_OVERHEAD);
			assert_int_equal(tls_open(&ciphers, &in, record, n - TLS_HEADER, plain, &found), 0);
			assert_int_equal(found.n, lengths[k]);
			for (size_t at = 0; at < found.n; at++)
				assert_int_equal(plain[at], k + 1);
		}
		tls_half_fini(&out);
		tls_half_fini(&in);
	}
}

static void any_changed_bit_is_seen(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct tls_half out = filled(all_suites[i], 7), in = filled(all_suites[i], 7);
		uint8_t record[64], plain[64];
		struct tls_plain found = { 9, 9 };
		memcpy(record + TLS_HEADER, "secret", 6);
		size_t n = tls_seal(&ciphers, &out, TLS_TYPE_DATA, record, 6);
		for (size_t bit = 0; bit < 8 * n; bit++) {
			record[bit / 8] ^= (uint8_t)(1 << bit % 8);
			in.seq = 0;
			memset(plain, 0xee, sizeof plain);
			assert_int_equal(tls_open(&ciphers, &in, record, n - TLS_HEADER, plain, &found), SSL_AD_BAD_RECORD_MAC);
			assert_int_equal(plain[0] | plain[5], 0); /* nothing unproven is left behind */
			record[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		assert_int_equal(found.n, 9); /* outputs are untouched */
		in.seq = 1; /* replayed or out of order */
		assert_int_equal(tls_open(&ciphers, &in, record, n - TLS_HEADER, plain, &found), SSL_AD_BAD_RECORD_MAC);
		in.seq = 0;
		assert_int_equal(tls_open(&ciphers, &in, record, n - TLS_HEADER, plain, &found), 0);
		tls_half_fini(&out);
		tls_half_fini(&in);
	}
}

static void padding_is_taken_off(void **state)
{
	(void)state;
	struct tls_half out = filled(all_suites[0], 7), in = filled(all_suites[0], 7);
	static uint8_t record[TLS_RECORD_MAX + 8], plain[TLS_RECORD_MAX];
	struct tls_plain found;
	memcpy(record + TLS_HEADER, "ab\x17\0\0\0", 6); /* the type, then zeros: the last is the type of this call */
	size_t n = tls_seal(&ciphers, &out, 0, record, 6);
	assert_int_equal(tls_open(&ciphers, &in, record, n - TLS_HEADER, plain, &found), 0);
	assert_int_equal(found.type, TLS_TYPE_DATA);
	assert_int_equal(found.n, 2);
	memset(record + TLS_HEADER, 0, 100);
	n = tls_seal(&ciphers, &out, 0, record, 100);
	assert_int_equal(tls_open(&ciphers, &in, record, n - TLS_HEADER, plain, &found), SSL_AD_UNEXPECTED_MESSAGE);
	memset(record + TLS_HEADER, 1, TLS_PLAIN_MAX + 1); /* one byte too many */
	n = tls_seal(&ciphers, &out, TLS_TYPE_DATA, record, TLS_PLAIN_MAX + 1);
	assert_int_equal(tls_open(&ciphers, &in, record, n - TLS_HEADER, plain, &found), SSL_AD_RECORD_OVERFLOW);
	tls_half_fini(&out);
	tls_half_fini(&in);
}

static void sequence_numbers_never_wrap(void **state)
{
	(void)state;
	struct tls_half h = filled(all_suites[0], 7);
	uint8_t record[64];
	struct tls_plain found;
	h.seq = UINT64_MAX - 1;
	size_t n = tls_seal(&ciphers, &h, TLS_TYPE_DATA, record, 1);
	assert_true(n > 0);
	assert_int_equal(tls_seal(&ciphers, &h, TLS_TYPE_DATA, record, 1), 0);
	assert_int_equal(tls_open(&ciphers, &h, record, TLS_TAG + 2, record + TLS_HEADER, &found), SSL_AD_INTERNAL_ERROR);
	assert_true(tls_half_update(&ciphers, &h));
	assert_true(tls_seal(&ciphers, &h, TLS_TYPE_DATA, record, 1) > 0);
	tls_half_fini(&h);
}

/* More directions than ciphers: each record is right, whoever had the cipher before, and those in use keep theirs. */
static void ciphers_are_lent(void **state)
{
	(void)state;
	struct tls_half out[8], in[8];
	uint8_t record[64], plain[64];
	struct tls_plain found;
	ciphers.max = 5;
	for (size_t i = 0; i < 8; i++) {
		out[i] = filled(all_suites[i % 3], (uint8_t)i);
		in[i] = filled(all_suites[i % 3], (uint8_t)i);
	}
	for (size_t round = 0; round < 50; round++) {
		size_t i = round * 7 % 8;
		record[TLS_HEADER] = (uint8_t)round;
		size_t n = tls_seal(&ciphers, &out[i], TLS_TYPE_DATA, record, 1);
		assert_int_equal(tls_open(&ciphers, &in[i], record, n - TLS_HEADER, plain, &found), 0);
		assert_int_equal(plain[0], round);
		assert_true(ciphers.count <= 5);
	}
	uint64_t keyed = ciphers.keyed;
	for (size_t round = 0; round < 10; round++)
		assert_true(tls_seal(&ciphers, &out[0], TLS_TYPE_DATA, record, 1) && tls_seal(&ciphers, &out[1], TLS_TYPE_DATA, record, 1));
	assert_true(ciphers.keyed <= keyed + 2);
	for (size_t i = 0; i < 8; i++) {
		tls_half_fini(&out[i]);
		tls_half_fini(&in[i]);
		assert_int_equal(out[i].secret[0] | out[i].key[0] | out[i].key[15], 0);
	}
}

static int setup(void **state)
{
	(void)state;
	return tls_ciphers_init(&ciphers, rf_tls_libctx()) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	tls_ciphers_fini(&ciphers);
	return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(keys_are_derived), TEST(records_are_those_of_the_traces), TEST(what_is_sealed_opens), TEST(any_changed_bit_is_seen),
		TEST(padding_is_taken_off), TEST(sequence_numbers_never_wrap), TEST(ciphers_are_lent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
