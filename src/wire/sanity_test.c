#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/enc.h"
#include "base/err.h"
#include "wire/sanity.h"
#include "wire/spp.h"

static char bytes[2048];

static struct rf_str hex(const char *text)
{
	ssize_t n = rf_unhex(rf_str_z(text), bytes, sizeof bytes);
	assert_true(n >= 0);
	return (struct rf_str){ bytes, (size_t)n };
}

#define NAME "03777777" "076578616d706c65" "00"
#define ASK NAME "0001" "0001"
#define QUERY(flags, counts) "1234" flags counts
#define OPT "00" "0029" "04d0" "00000000" "0000"
#define A_OF(name) name "0001" "0001" "0000003c" "0004" "c0000201"

struct dns_case { const char *hex; bool client, origin; };

static void dns(void **state)
{
	(void)state;
	static const struct dns_case cases[] = {
		{ QUERY("0100", "0001000000000000") ASK, true, false },
		{ QUERY("0120", "0001000000000001") ASK OPT, true, false },
		{ QUERY("0100", "0000000000000001") OPT, true, false },             /* cookies only [RFC 7873 5.4] */
		{ QUERY("8180", "0001000100000000") ASK A_OF("c00c"), false, true },
		{ QUERY("8180", "0001000100000001") ASK A_OF("c00c") OPT, false, true },
		{ QUERY("8183", "0001000000000000") ASK, false, true },
		{ QUERY("2000", "0001000000000000") ASK, true, false },             /* NOTIFY */
		{ QUERY("2800", "0001000000010000") ASK A_OF(NAME), true, false },  /* UPDATE */
		{ QUERY("0800", "0001000000000000") ASK, false, false },            /* inverse query */
		{ QUERY("0100", "0001000100000000") ASK A_OF("c00c"), false, false }, /* a query that brings an answer */
		{ QUERY("0140", "0001000000000000") ASK, false, false },            /* Z */
		{ QUERY("0103", "0001000000000000") ASK, false, false },            /* a query with a result */
		{ QUERY("0100", "0002000000000000") ASK ASK, false, false },
		{ QUERY("0100", "0001000000000000") "c00c" "00010001", false, false }, /* itself */
		{ QUERY("0100", "0001000000000000") ASK "00", false, false },
		{ QUERY("0100", "0001000000000000") NAME "0001", false, false },
		{ QUERY("0100", "0001000000000000") "40" "00" "00010001", false, false },
		{ QUERY("8180", "0001000100000000") ASK A_OF("c040"), false, false }, /* forward */
		{ QUERY("8180", "0001000100000000") ASK A_OF("c002"), false, false }, /* into the header */
		{ QUERY("8180", "0001ffffffffffff") ASK, false, false },
		{ QUERY("8180", "0001000100000000") ASK "c00c" "0001" "0001" "0000003c" "0005" "c0000201", false, false },
		{ "123401", false, false },
		{ "", false, false },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct rf_str m = hex(cases[i].hex);
		if (rf_sane_dns(m, RF_SANITY_CLIENT) != cases[i].client || rf_sane_dns(m, RF_SANITY_ORIGIN) != cases[i].origin)
			fail_msg("case %zu: %s", i, cases[i].hex);
	}
}

static void dns_names_have_a_bound(void **state)
{
	(void)state;
	struct rf_str m = hex(QUERY("0100", "0001000000000000"));
	size_t n = m.n;
	for (int i = 0; i < 128; i++) {
		bytes[n++] = 1;
		bytes[n++] = 'a';
	}
	memset(bytes + n, 0, 5);
	assert_false(rf_sane_dns((struct rf_str){ bytes, n + 5 }, RF_SANITY_CLIENT)); /* 257 bytes */
	n -= 2;
	memset(bytes + n, 0, 5);
	assert_true(rf_sane_dns((struct rf_str){ bytes, n + 5 }, RF_SANITY_CLIENT));
}

struct form_case { const char *hex; bool good; };

static void coap(void **state)
{
	(void)state;
	static const struct form_case cases[] = {
		{ "40010001", true },                       /* GET */
		{ "44010001" "aabbccdd" "b474696d65", true }, /* token, Uri-Path "time" */
		{ "40000001", true },                       /* ping */
		{ "70000001", true },                       /* reset */
		{ "60450001" "ff" "3132", true },           /* 2.05 with a payload */
		{ "40010001" "d0" "05", true },             /* an extended delta */
		{ "40010001" "0d" "00" "30313233343536373839616263", true },
		{ "4000000100", false },                    /* an empty message with more */
		{ "41000001", false },
		{ "00010001", false }, { "80010001", false }, /* versions */
		{ "49010001" "000102030405060708", false }, /* token of 9 */
		{ "44010001" "aabbcc", false },
		{ "40010001" "ff", false },                 /* a marker without a payload */
		{ "40010001" "b474696d", false },
		{ "40010001" "f0", false }, { "40010001" "0f", false }, /* 15 is reserved */
		{ "40010001" "e0" "feff" "e0" "feff", false }, /* past 65535 */
		{ "40200001", false }, { "40e10001", false }, /* classes 1 and 7 */
		{ "400100", false }, { "", false },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		if (rf_sane_coap(hex(cases[i].hex)) != cases[i].good)
			fail_msg("case %zu: %s", i, cases[i].hex);
}

#define HELLO(type) type "000002" "0000" "000000" "000002" "fefd"
#define RECORD(type, version, epoch, length, body) type version epoch "000000000001" length body
#define SIXTEEN "00112233445566778899aabbccddeeff"

struct dtls_case { const char *hex; bool first, later; };

static void dtls(void **state)
{
	(void)state;
	static const struct dtls_case cases[] = {
		{ RECORD("16", "feff", "0000", "000e", HELLO("01")), true, true },
		{ RECORD("16", "fefd", "0000", "000e", HELLO("01")), true, true },
		{ RECORD("16", "fefd", "0000", "000e", HELLO("02")), false, true },
		{ RECORD("16", "fefd", "0001", "000e", HELLO("01")), false, true },
		{ RECORD("17", "fefd", "0001", "0010", SIXTEEN), false, true },
		{ RECORD("14", "fefd", "0000", "0001", "01") RECORD("17", "fefd", "0001", "0010", SIXTEEN), false, true },
		{ RECORD("19", "fefd", "0001", "aabb", SIXTEEN), true, true }, /* a connection id of unknown length */
		{ "2f" "0001" "0010" SIXTEEN, false, true },       /* 1.3 */
		{ "2b" "0001" SIXTEEN, false, true },              /* without a length */
		{ "3f" "aabbcc" SIXTEEN, true, true },             /* with a connection id */
		{ "2f" "0001" "0011" SIXTEEN, false, false },
		{ "2f" "0001" "0001" "00", false, false },
		{ RECORD("16", "0303", "0000", "000e", HELLO("01")), false, false }, /* TLS */
		{ RECORD("13", "fefd", "0000", "0001", "01"), false, false },
		{ RECORD("16", "fefd", "0000", "000f", HELLO("01")), false, false },
		{ RECORD("16", "fefd", "0000", "0000", ""), false, false },
		{ RECORD("16", "fefd", "0000", "000e", HELLO("01")) "00", false, false },
		{ "16fefd", false, false }, { "", false, false },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct rf_str m = hex(cases[i].hex);
		if (rf_sane_dtls(m, true) != cases[i].first || rf_sane_dtls(m, false) != cases[i].later)
			fail_msg("case %zu: %s", i, cases[i].hex);
	}
}

static void simple_header(void **state)
{
	(void)state;
	struct rf_spp p = { .client_port = 40000, .proxy_port = 5683 }, q;
	char header[RF_SPP_SIZE + 2], text[2 * RF_SPP_SIZE + 1];
	assert_true(rf_ip_parse(RF_STR("192.0.2.7"), &p.client) && rf_ip_parse(RF_STR("2001:db8::1"), &p.proxy));
	rf_spp_build(&p, header);
	rf_hex(header, RF_SPP_SIZE, text);
	assert_string_equal(text, "56ec" "00000000000000000000ffffc0000207" "20010db8000000000000000000000001" "9c40" "1633");
	memcpy(header + RF_SPP_SIZE, "hi", 2);
	struct rf_str all = { header, sizeof header };
	assert_int_equal(rf_spp_parse(all, &q), RF_OK);
	assert_true(rf_ip_eq(&q.client, &p.client) && rf_ip_eq(&q.proxy, &p.proxy) && q.client_port == 40000 && q.proxy_port == 5683);
	assert_true(rf_str_eq(rf_spp_strip(all, header), RF_STR("hi")));
	assert_int_equal(rf_spp_parse((struct rf_str){ header, RF_SPP_SIZE - 1 }, &q), RF_E_SYNTAX);
	char other[RF_SPP_SIZE];
	memcpy(other, header, sizeof other);
	header[1] = 0;
	assert_int_equal(rf_spp_parse(all, &q), RF_E_SYNTAX);
	assert_int_equal(rf_spp_strip(all, other).n, sizeof header);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dns),
		cmocka_unit_test(dns_names_have_a_bound),
		cmocka_unit_test(coap),
		cmocka_unit_test(dtls),
		cmocka_unit_test(simple_header),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
