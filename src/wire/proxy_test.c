/* The PROXY protocol: both versions, in pieces, broken, and built. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include "base/err.h"
#include "wire/proxy.h"

static struct rf_proxy p;

static int parse(struct rf_str in)
{
	char *exact = malloc(in.n ? in.n : 1);
	memcpy(exact, in.p, in.n);
	struct rf_proxy got;
	int r = rf_proxy_parse((struct rf_str){ exact, in.n }, &got);
	free(exact);
	return r == RF_OK ? rf_proxy_parse(in, &p) : r;
}

static void version_1(void **state)
{
	(void)state;
	char text[RF_IP_TEXT];
	struct rf_str in = RF_STR("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\nGET");
	for (size_t n = 0; n < in.n - 3; n++)
		assert_int_equal(parse((struct rf_str){ in.p, n }), RF_E_AGAIN);
	assert_int_equal(parse(in), RF_OK);
	assert_int_equal(p.size, in.n - 3);
	assert_string_equal(rf_ip_str(&p.src, text), "192.0.2.1");
	assert_string_equal(rf_ip_str(&p.dst, text), "198.51.100.2");
	assert_int_equal(p.src_port, 56324);
	assert_int_equal(p.kind, RF_PROXY_TCP);
	assert_int_equal(parse(RF_STR("PROXY TCP6 2001:db8::1 ::1 1 0\r\n")), RF_OK);
	assert_int_equal(p.src.family, 6);
	assert_int_equal(parse(RF_STR("PROXY UNKNOWN\r\n")), RF_OK);
	assert_int_equal(parse(RF_STR("PROXY UNKNOWN what ever 1 2 3 4\r\n")), RF_OK);
	assert_int_equal(p.kind, RF_PROXY_UNKNOWN);
	static const char *bad[] = { "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", "PROXY TCP4 ::1 ::1 1 2\r\n", "PROXY TCP6 1.2.3.4 ::1 1 2\r\n",
		"PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n", "PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", "PROXY \r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(parse(rf_str_z(bad[i])), RF_E_INVALID);
	char long_line[120];
	memset(long_line, 'x', sizeof long_line);
	memcpy(long_line, "PROXY UNKNOWN ", 14);
	assert_int_equal(parse((struct rf_str){ long_line, 106 }), RF_E_AGAIN);
	assert_int_equal(parse((struct rf_str){ long_line, 107 }), RF_E_INVALID);
	assert_int_equal(parse(RF_STR("GET / HTTP/1.1\r\n")), RF_E_SYNTAX);
	assert_int_equal(parse(RF_STR("PROXYX")), RF_E_SYNTAX);
}

static struct rf_proxy full(void)
{
	struct rf_proxy q = { .kind = RF_PROXY_TCP, .src_port = 5683, .dst_port = 443, .checked = true, .has_ssl = true,
		.alpn = RF_STR("h2"), .authority = RF_STR("a.example"), .unique_id = RF_STR("\x01\x02"),
		.ssl_client = RF_PROXY_SSL | RF_PROXY_CERT_CONN, .ssl_verify = 1, .ssl_version = RF_STR("TLSv1.3"),
		.ssl_cn = RF_STR("device 7"), .ssl_cipher = RF_STR("TLS_AES_128_GCM_SHA256") };
	assert_true(rf_ip_parse(RF_STR("192.0.2.1"), &q.src) && rf_ip_parse(RF_STR("198.51.100.2"), &q.dst));
	return q;
}

static void version_2_round_trip(void **state)
{
	(void)state;
	struct rf_proxy q = full();
	struct rf_buf b = { 0 };
	rf_buf_add(&b, RF_STR("before"));
	assert_int_equal(rf_proxy_build(&q, &b), RF_OK);
	rf_buf_eat(&b, 6);
	size_t size = b.n;
	for (size_t n = 0; n < size; n++)
		assert_int_equal(parse((struct rf_str){ b.p, n }), RF_E_AGAIN);
	rf_buf_add(&b, RF_STR("payload"));
	assert_int_equal(parse(rf_buf_str(&b)), RF_OK);
	assert_int_equal(p.size, size);
	assert_true(p.checked && p.has_ssl && rf_ip_eq(&p.src, &q.src) && p.src_port == 5683 && p.dst_port == 443);
	assert_true(rf_str_eq(p.ssl_cn, q.ssl_cn) && rf_str_eq(p.authority, q.authority) && p.ssl_verify == 1);
	assert_true(rf_str_eq(p.ssl_cipher, q.ssl_cipher) && rf_str_eq(p.alpn, q.alpn) && !p.ssl_key.p);
	for (size_t i = 16; i < size; i++) { /* no flipped bit leaves a header that counts as checked */
		b.p[i] ^= 4;
		assert_true(parse(rf_buf_str(&b)) != RF_OK || !p.checked);
		b.p[i] ^= 4;
	}
	rf_buf_fini(&b);
}

static void version_2_kinds(void **state)
{
	(void)state;
	struct rf_proxy unix_q = { .kind = RF_PROXY_UNIX_DGRAM, .src_path = RF_STR("/run/a"), .dst_path = RF_STR("\0abstract") };
	struct rf_proxy local = { .local = true }, mixed = full(), none = { .kind = RF_PROXY_TCP };
	struct rf_buf b = { 0 };
	assert_int_equal(rf_proxy_build(&unix_q, &b), RF_OK);
	assert_int_equal(parse(rf_buf_str(&b)), RF_OK);
	assert_true(p.kind == RF_PROXY_UNIX_DGRAM && rf_str_eq(p.src_path, RF_STR("/run/a")) && p.dst_path.n == 108);
	rf_buf_clear(&b);
	assert_int_equal(rf_proxy_build(&local, &b), RF_OK);
	assert_int_equal(parse(rf_buf_str(&b)), RF_OK);
	assert_true(p.local && p.size == 16);
	rf_buf_clear(&b);
	mixed.kind = RF_PROXY_UDP;
	assert_true(rf_ip_parse(RF_STR("2001:db8::1"), &mixed.dst));
	assert_int_equal(rf_proxy_build(&mixed, &b), RF_OK);
	assert_int_equal(parse(rf_buf_str(&b)), RF_OK);
	assert_true(p.kind == RF_PROXY_UDP && p.src.family == 4 && rf_ip_eq(&p.dst, &mixed.dst));
	rf_buf_clear(&b);
	assert_int_equal(rf_proxy_build(&none, &b), RF_E_INVALID);
	assert_int_equal(b.n, 0);
	rf_buf_fini(&b);
}

/* What tells an origin the device, next to the rest; and that strangers' own types are passed over. */
static void version_2_own_types(void **state)
{
	(void)state;
	struct rf_proxy q = full();
	struct rf_buf b = { 0 };
	q.ski = RF_STR("0A1B");
	q.device = RF_STR("d0d0");
	assert_int_equal(rf_proxy_build(&q, &b), RF_OK);
	assert_int_equal(parse(rf_buf_str(&b)), RF_OK);
	struct rf_str rest = p.tlvs, v, ski = { 0 }, device = { 0 };
	uint8_t type;
	while (rf_proxy_tlv_next(&rest, &type, &v)) {
		ski = type == RF_PROXY_TLV_SKI ? v : ski;
		device = type == RF_PROXY_TLV_DEVICE ? v : device;
	}
	assert_true(p.checked && rf_str_eq(ski, q.ski) && rf_str_eq(device, q.device));
	rf_buf_fini(&b);
}

static void version_1_built(void **state)
{
	(void)state;
	struct rf_proxy q = full(), none = { .kind = RF_PROXY_TCP }, local = { .local = true };
	struct rf_buf b = { 0 };
	assert_int_equal(rf_proxy_build_line(&q, &b), RF_OK);
	assert_string_equal(rf_buf_z(&b), "PROXY TCP4 192.0.2.1 198.51.100.2 5683 443\r\n");
	rf_buf_clear(&b);
	assert_true(rf_ip_parse(RF_STR("2001:db8::1"), &q.src));
	assert_int_equal(rf_proxy_build_line(&q, &b), RF_OK);
	assert_string_equal(rf_buf_z(&b), "PROXY TCP6 2001:db8::1 ::ffff:198.51.100.2 5683 443\r\n");
	assert_int_equal(parse(rf_buf_str(&b)), RF_OK);
	assert_true(rf_ip_eq(&p.src, &q.src) && rf_ip_eq(&p.dst, &q.dst));
	rf_buf_clear(&b);
	assert_int_equal(rf_proxy_build_line(&local, &b), RF_OK);
	assert_string_equal(rf_buf_z(&b), "PROXY UNKNOWN\r\n");
	assert_int_equal(rf_proxy_build_line(&none, &b), RF_E_INVALID);
	rf_buf_fini(&b);
}

#define SIG "\r\n\r\n\0\r\nQUIT\n"
#define V4 "\x01\x02\x03\x04\x05\x06\x07\x08\x00\x01\x00\x02"

static void version_2_broken(void **state)
{
	(void)state;
	assert_int_equal(parse(RF_STR(SIG "\x21\x11\x00\x0c" V4)), RF_OK);
	assert_int_equal(parse(RF_STR(SIG "\x21\x00\x00\x02??")), RF_OK); /* UNSPEC: what follows is ignored */
	assert_int_equal(parse(RF_STR(SIG "\x31\x11\x00\x0c" V4)), RF_E_UNSUPPORTED);
	assert_int_equal(parse(RF_STR(SIG "\x22\x11\x00\x0c" V4)), RF_E_UNSUPPORTED);
	assert_int_equal(parse(RF_STR(SIG "\x21\x41\x00\x0c" V4)), RF_E_UNSUPPORTED);
	assert_int_equal(parse(RF_STR(SIG "\x21\x13\x00\x0c" V4)), RF_E_UNSUPPORTED);
	assert_int_equal(parse(RF_STR(SIG "\x21\x11\x00\x04\x01\x02\x03\x04")), RF_E_INVALID);
	assert_int_equal(parse(RF_STR(SIG "\x21\x11\xff\xff")), RF_E_TOO_LARGE);
	assert_int_equal(parse(RF_STR(SIG "\x21\x11\x00\x0e" V4 "\x01\x00")), RF_E_INVALID);
	assert_int_equal(parse(RF_STR(SIG "\x21\x11\x00\x10" V4 "\x01\x00\x05x")), RF_E_INVALID);
	assert_int_equal(parse(RF_STR(SIG "\x21\x11\x00\x12" V4 "\x20\x00\x03\x01\x00\x00")), RF_E_INVALID);
	assert_int_equal(parse(RF_STR(SIG "\x21\x11\x00\x13" V4 "\x03\x00\x04\x01\x02\x03\x04")), RF_E_INVALID);
	assert_int_equal(parse(RF_STR(SIG "\x21\x11\x00\x14" V4 "\x02\x00\x01" "a\x02\x00\x01" "b")), RF_E_INVALID);
}

static void checksum_of_nine_digits(void **state)
{
	(void)state;
	assert_int_equal(rf_crc32c(0, "123456789", 9), 0xe3069283u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(version_1),
		cmocka_unit_test(version_2_round_trip),
		cmocka_unit_test(version_1_built),
		cmocka_unit_test(version_2_own_types),
		cmocka_unit_test(version_2_kinds),
		cmocka_unit_test(version_2_broken),
		cmocka_unit_test(checksum_of_nine_digits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
