#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/enc.h"
#include "base/err.h"
#include "wire/packet.h"

static uint8_t bytes[2048];

static int parse(const char *hex, struct rf_packet *ret)
{
	ssize_t n = rf_unhex(rf_str_z(hex), bytes, sizeof bytes);
	assert_true(n >= 0);
	return rf_packet_parse((struct rf_str){ (char *)bytes, (size_t)n }, ret);
}

#define V4(proto, flags) "4500002c0001" flags "40" proto "0000" "c0000207" "c6336401"
#define TCP_SYN "9c40" "1a0b" "00000000" "00000000" "5002" "ffff" "0000" "0000" "deadbeef"

static void v4_tcp(void **state)
{
	(void)state;
	struct rf_packet p;
	char text[RF_IP_TEXT];
	assert_int_equal(parse(V4("06", "0000") TCP_SYN, &p), RF_OK);
	assert_string_equal(rf_ip_str(&p.src, text), "192.0.2.7");
	assert_string_equal(rf_ip_str(&p.dst, text), "198.51.100.1");
	assert_true(p.has_ports && p.has_flags && !p.has_icmp && !p.fragment);
	assert_int_equal(p.src_port, 40000);
	assert_int_equal(p.dst_port, 6667);
	assert_int_equal(p.tcp_flags, 2);
	assert_int_equal(p.ttl, 64);
	assert_int_equal(p.hdr_len, 20);
	assert_int_equal(p.ip.n, 44);
	assert_int_equal(p.option, -1);
	assert_string_equal(rf_packet_proto_name(p.proto), "tcp");
}

static void padding_is_no_part_of_it(void **state)
{
	(void)state;
	struct rf_packet p;
	assert_int_equal(parse("4500001c00000000401100007f0000017f000001" "0035003500080000" "00000000000000000000", &p), RF_OK);
	assert_int_equal(p.ip.n, 28);
	assert_int_equal(p.transport.n, 8);
	assert_int_equal(p.dst_port, 53);
}

static void options_and_fragments(void **state)
{
	(void)state;
	struct rf_packet p;
	assert_int_equal(parse("4600002000000000400100007f0000017f000001" "94040000" "0800f7ff00000000", &p), RF_OK);
	assert_int_equal(p.option, 0x94);
	assert_int_equal(p.hdr_len, 24);
	assert_true(p.has_icmp && p.icmp_type == 8 && p.icmp_code == 0);
	assert_int_equal(parse(V4("06", "0001") TCP_SYN, &p), RF_OK);
	assert_true(p.fragment && !p.has_ports && !p.has_flags && p.transport.n == 0);
	assert_int_equal(parse(V4("06", "2000") TCP_SYN, &p), RF_OK); /* the first one, more follow */
	assert_true(!p.fragment && p.has_ports);
}

#define V6(next, len) "60000000" len next "40" "20010db8000000000000000000000001" "20010db8000000000000000000000002"
#define UDP "13c4" "13c4" "0010" "0000" "0102030405060708"

static void v6_with_extensions(void **state)
{
	(void)state;
	struct rf_packet p;
	assert_int_equal(parse(V6("00", "0028") "3c00010400000000" "2c00010400000000" "1100000000000001" UDP, &p), RF_OK);
	assert_string_equal(rf_packet_proto_name(p.proto), "udp");
	assert_int_equal(p.hdr_len, 40 + 24);
	assert_true(p.has_ports && p.src_port == 5060 && !p.fragment);
	assert_int_equal(parse(V6("2c", "0018") "1100000800000001" UDP, &p), RF_OK); /* not the first fragment */
	assert_true(p.fragment && !p.has_ports);
	assert_int_equal(parse(V6("33", "0028") "1104000000000000000000000000000000000000000000000000" UDP, &p), RF_OK);
	assert_int_equal(p.proto, RF_IP_PROTO_UDP);
	assert_int_equal(parse(V6("3a", "0008") "8000000000000000", &p), RF_OK);
	assert_true(p.has_icmp && p.icmp_type == 128);
}

static void hostile(void **state)
{
	(void)state;
	struct rf_packet p;
	static const char *const bad[] = {
		"", "45", "50000000", "4500001400000000400600007f0000017f0000", "4400001400000000400600007f0000017f000001",
		"4f00001400000000400600007f0000017f000001", "4500001000000000400600007f0000017f000001",
		V6("00", "0008") "3cff000000000000", V6("00", "0000"), "6000000000000000" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(parse(bad[i], &p), RF_E_INVALID);
	assert_int_equal(parse(V4("06", "0000") "9c401a0b0000", &p), RF_OK); /* a header of TCP that is cut off */
	assert_true(!p.has_ports && !p.has_flags);
}

static void too_many_extensions(void **state)
{
	(void)state;
	char hex[2048] = V6("00", "0100");
	struct rf_packet p;
	for (int i = 0; i < RF_PACKET_EXTENSIONS; i++)
		strcat(hex, "0000000000000000");
	strcat(hex, "1100000000000000" UDP);
	assert_int_equal(parse(hex, &p), RF_E_INVALID);
}

static void bits(void **state)
{
	(void)state;
	uint32_t v;
	struct rf_str s = RF_STR("\x12\x34\x56\x78\x9a\xbc");
	assert_true(rf_bits(s, 0, 32, &v) && v == 0x12345678);
	assert_true(rf_bits(s, 4, 36, &v) && v == 0x23456789);
	assert_true(rf_bits(s, 47, 48, &v) && v == 0);
	assert_true(rf_bits(s, 3, 4, &v) && v == 1);
	assert_false(rf_bits(s, 40, 49, &v));
	assert_false(rf_bits(s, 0, 33, &v));
	assert_false(rf_bits(s, 8, 8, &v));
}

static void sip(void **state)
{
	(void)state;
	static const struct { const char *text; bool want; } rows[] = {
		{ "INVITE sip:a@b SIP/2.0\r\n", true }, { "SIP/2.0 200 OK\r\n", true }, { "INVITE sip:a@b SIP/2.0", false },
		{ "GET / HTTP/1.1\r\n", false }, { "", false } };
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char raw[128] = "\x13\xc4\x13\xc4\0\0\0";
		strcpy(raw + 8, rows[i].text);
		struct rf_packet p = { .proto = RF_IP_PROTO_UDP, .has_ports = true,
			.transport = { raw, 8 + strlen(rows[i].text) } };
		assert_int_equal(rf_packet_is_sip(&p), rows[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(v4_tcp), cmocka_unit_test(padding_is_no_part_of_it), cmocka_unit_test(options_and_fragments),
		cmocka_unit_test(v6_with_extensions), cmocka_unit_test(hostile), cmocka_unit_test(too_many_extensions),
		cmocka_unit_test(bits), cmocka_unit_test(sip),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
