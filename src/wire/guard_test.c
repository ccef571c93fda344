/* Guards of each protocol: what real clients send passes whole and in single bytes; what they never send does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include "base/err.h"
#include "wire/guard.h"

/* Give the bytes in pieces of `step`, as a relay would. RF_OK: all of them have passed. RF_E_AGAIN: some are held. */
static int feed_by(enum rf_guard_kind kind, struct rf_str in, size_t step, size_t *ret_passed)
{
	struct rf_guard g;
	size_t at = 0, given = 0;
	int r = RF_OK;
	rf_guard_init(&g, kind);
	while (given < in.n && r == RF_OK) {
		given = given + step < in.n ? given + step : in.n;
		char *exact = malloc(given - at);
		memcpy(exact, in.p + at, given - at);
		size_t pass = 0;
		r = rf_guard_feed(&g, (struct rf_str){ exact, given - at }, &pass);
		free(exact);
		assert_true(pass <= given - at);
		at += pass;
		assert_true((r == RF_E_INVALID) == (g.why != NULL));
	}
	*ret_passed = at;
	return r ? r : at == in.n ? RF_OK : RF_E_AGAIN;
}

/* However it is cut, the verdict and what had passed by then are the same. */
static int feed(enum rf_guard_kind kind, struct rf_str in, size_t *ret_passed)
{
	size_t passed;
	int r = feed_by(kind, in, in.n, ret_passed);
	for (size_t step = 1; step < in.n && step < 8; step++) {
		assert_int_equal(feed_by(kind, in, step, &passed), r);
		assert_int_equal(passed, *ret_passed);
	}
	return r;
}

struct vector { const char *name; struct rf_str in; int want; size_t passed; };
#define GOOD(s) RF_STR(s), RF_OK, sizeof(s) - 1
#define HELD(s, n) RF_STR(s), RF_E_AGAIN, n
#define BAD(s, n) RF_STR(s), RF_E_INVALID, n

static void check(enum rf_guard_kind kind, const struct vector *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t passed;
		int r = feed(kind, v[i].in, &passed);
		if (r != v[i].want || passed != v[i].passed)
			fail_msg("%s, %s: %d with %zu passed", rf_guard_name(kind), v[i].name, r, passed);
	}
}

#define KEXINIT "\0\0\0\x4c\x06\x14" "0123456789abcdef" "........................................" "\0\0\0\0\0" "pppppp" "...."

static void ssh(void **state)
{
	(void)state;
	static const struct vector v[] = {
		{ "openssh", GOOD("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n" KEXINIT "anything \0\x01") },
		{ "no CR", GOOD("SSH-2.0-x\n" KEXINIT) },
		{ "1.99", GOOD("SSH-1.99-x\r\n") },
		{ "half", HELD("SSH-2.0-Open", 0) },
		{ "half of the packet's head", HELD("SSH-2.0-x\r\n\0\0\0", 11) },
		{ "http", BAD("GET / HTTP/1.1\r\n", 0) },
		{ "version 1.5", BAD("SSH-1.5-x\r\n", 0) },
		{ "no software", BAD("SSH-2.0-\r\n", 0) },
		{ "control bytes", BAD("SSH-2.0-x\x01\r\n", 0) },
		{ "CR within", BAD("SSH-2.0-x\ry\r\n", 0) },
		{ "no key exchange", BAD("SSH-2.0-x\r\n\0\0\0\x4c\x06\x05" "x", 11) },
		{ "huge packet", BAD("SSH-2.0-x\r\n\x7f\0\0\0\x06\x14", 11) },
		{ "little padding", BAD("SSH-2.0-x\r\n\0\0\0\x4c\x03\x14", 11) },
		{ "tiny packet", BAD("SSH-2.0-x\r\n\0\0\0\x0c\x06\x14", 11) },
	};
	check(RF_GUARD_SSH, v, sizeof v / sizeof *v);
	char lines[300];
	memset(lines, 'x', sizeof lines);
	memcpy(lines, "SSH-2.0-", 8);
	size_t passed;
	assert_int_equal(feed(RF_GUARD_SSH, (struct rf_str){ lines, 254 }, &passed), RF_E_AGAIN);
	assert_int_equal(feed(RF_GUARD_SSH, (struct rf_str){ lines, 255 }, &passed), RF_E_INVALID);
}

#define CONNECT4 "\x10\x10\0\x04MQTT\x04\x02\0\x3c\0\x04lamp"
#define CONNECT5 "\x10\x11\0\x04MQTT\x05\x02\0\x3c\0\0\x04lamp"

static void mqtt(void **state)
{
	(void)state;
	static const struct vector v[] = {
		{ "3.1", GOOD("\x10\x12\0\x06MQIsdp\x03\x02\0\x3c\0\x04lamp") },
		{ "3.1.1", GOOD(CONNECT4 "\x30\x05\0\x01t42" "\x82\x06\0\x01\0\x01t\0" "\xc0\0" "\x62\x02\0\x01" "\xe0\0") },
		{ "5", GOOD(CONNECT5 "\xf0\x01\x19" "\x40\x03\0\x01\x10" "\xe0\x01\x04") },
		{ "two-byte length", GOOD(CONNECT4 "\x30\x80\x01" "\0\x01t..............................................................."
					  "..............................................................") },
		{ "half a header", HELD(CONNECT4 "\x30", 18) },
		{ "half a length", HELD(CONNECT4 "\x30\x80", 18) },
		{ "half a CONNECT", HELD("\x10\x10\0\x04MQ", 0) },
		{ "PUBLISH first", BAD("\x30\x05\0\x01t42", 0) },
		{ "http", BAD("GET / HTTP/1.1\r\n\r\n", 0) },
		{ "CONNECT twice", BAD(CONNECT4 CONNECT4, 18) },
		{ "CONNACK", BAD(CONNECT4 "\x20\x02\0\0", 18) },
		{ "AUTH before 5", BAD(CONNECT4 "\xf0\x01\x19", 18) },
		{ "type 0", BAD(CONNECT4 "\0\0", 18) },
		{ "flags of SUBSCRIBE", BAD(CONNECT4 "\x80\x06\0\x01\0\x01t\0", 18) },
		{ "QoS 3", BAD(CONNECT4 "\x36\x07\0\x01t\0\x01" "42", 18) },
		{ "PINGREQ with a body", BAD(CONNECT4 "\xc0\x01x", 18) },
		{ "length of five bytes", BAD(CONNECT4 "\x30\xff\xff\xff\xff\x01", 18) },
		{ "length too wide", BAD(CONNECT4 "\x30\x85\0", 18) },
		{ "another protocol", BAD("\x10\x10\0\x04HTTP\x04\x02\0\x3c\0\x04lamp", 0) },
		{ "another level", BAD("\x10\x10\0\x04MQTT\x06\x02\0\x3c\0\x04lamp", 0) },
		{ "long name", BAD("\x10\x10\x7f\x04MQTT\x04\x02\0\x3c\0\x04lamp", 0) },
		{ "reserved flag", BAD("\x10\x10\0\x04MQTT\x04\x03\0\x3c\0\x04lamp", 0) },
		{ "will of nothing", BAD("\x10\x10\0\x04MQTT\x04\x22\0\x3c\0\x04lamp", 0) },
		{ "password alone", BAD("\x10\x10\0\x04MQTT\x04\x42\0\x3c\0\x04lamp", 0) },
		{ "too short", BAD("\x10\x0a\0\x04MQTT\x04\x02\0\x3c", 0) },
	};
	check(RF_GUARD_MQTT, v, sizeof v / sizeof *v);
}

static void modbus(void **state)
{
	(void)state;
	static const struct vector v[] = {
		{ "read", GOOD("\0\x01\0\0\0\x06\x01\x03\0\x6b\0\x03" "\0\x02\0\0\0\x06\x01\x01\0\0\0\x01") },
		{ "write many", GOOD("\0\x01\0\0\0\x0b\x11\x10\0\x01\0\x02\x04\0\x0a\x01\x02") },
		{ "own function", GOOD("\0\x01\0\0\0\x03\x11\x41\x01") },
		{ "half", HELD("\0\x01\0\0\0\x06\x01\x03\0\x6b\0\x03" "\0\x02\0\0\0", 12) },
		{ "protocol 1", BAD("\0\x01\0\x01\0\x06\x01\x03\0\x6b\0\x03", 0) },
		{ "no length", BAD("\0\x01\0\0\0\0\x01\x03", 0) },
		{ "too long", BAD("\0\x01\0\0\0\xff\x01\x03", 0) },
		{ "exception from a client", BAD("\0\x01\0\0\0\x03\x01\x83\x02", 0) },
		{ "function 0", BAD("\0\x01\0\0\0\x03\x01\0\x02", 0) },
		{ "read of a wrong length", BAD("\0\x01\0\0\0\x07\x01\x03\0\x6b\0\x03\0", 0) },
		{ "second is http", BAD("\0\x01\0\0\0\x06\x01\x03\0\x6b\0\x03" "GET / HTTP/1.1", 12) },
	};
	check(RF_GUARD_MODBUS, v, sizeof v / sizeof *v);
}

#define QUERY "\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03www\x07" "example\0\0\x01\0\x01"

static void dns(void **state)
{
	(void)state;
	static const struct vector v[] = {
		{ "two queries", GOOD("\0\x21" QUERY "\0\x21" QUERY) },
		{ "root", GOOD("\0\x11\x12\x34\0\0\0\x01\0\0\0\0\0\0\0\0\x02\0\x01") },
		{ "stateful", GOOD("\0\x10\x12\x34\x30\0\0\0\0\0\0\0\0\0\0\x01\0\0") },
		{ "half a name", HELD("\0\x21\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03ww", 0) },
		{ "short", BAD("\0\x0b\x12\x34\x01\0\0\x01\0\0\0\0\0\0", 0) },
		{ "answer", BAD("\0\x21\x12\x34\x81\0\0\x01\0\0\0\0\0\0\x03www\x07" "example\0\0\x01\0\x01", 0) },
		{ "operation 9", BAD("\0\x21\x12\x34\x48\0\0\x01\0\0\0\0\0\0\x03www\x07" "example\0\0\x01\0\x01", 0) },
		{ "two questions", BAD("\0\x21\x12\x34\x01\0\0\x02\0\0\0\0\0\0\x03www\x07" "example\0\0\x01\0\x01", 0) },
		{ "pointer in the name", BAD("\0\x12\x12\x34\x01\0\0\x01\0\0\0\0\0\0\xc0\x0c\0\x01\0\x01", 0) },
		{ "name past the end", BAD("\0\x10\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x3fwww", 0) },
		{ "no type", BAD("\0\x13\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03www\0\0\x01", 0) },
		{ "http", BAD("GET / HTTP/1.1\r\nHost: x", 0) },
	};
	check(RF_GUARD_DNS, v, sizeof v / sizeof *v);
}

/* TLS 1.2 with one suite and no extension, in one record and in two. */
#define RANDOM32 "0123456789abcdef0123456789abcdef"
#define HELLO "\x01\0\0\x29\x03\x03" RANDOM32 "\0\0\x02\x13\x01\x01\0"

static void tls(void **state)
{
	(void)state;
	static const struct vector v[] = {
		{ "hello", GOOD("\x16\x03\x01\0\x2d" HELLO "\x14\x03\x03\0\x01\x01\x17\x03\x03\0\x03" "abc") },
		{ "hello in two records", GOOD("\x16\x03\x01\0\x06\x01\0\0\x29\x03\x03\x16\x03\x01\0\x27" RANDOM32 "\0\0\x02\x13\x01\x01\0") },
		{ "empty data", GOOD("\x16\x03\x01\0\x2d" HELLO "\x17\x03\x03\0\0") },
		{ "half a hello", HELD("\x16\x03\x01\0\x2d" "\x01\0\0\x29\x03\x03" "0123", 0) },
		{ "half a record", HELD("\x16\x03\x01\0\x2d" HELLO "\x17\x03", 50) },
		{ "http", BAD("GET / HTTP/1.1\r\n", 0) },
		{ "server hello", BAD("\x16\x03\x01\0\x2d" "\x02\0\0\x29\x03\x03" RANDOM32 "\0\0\x02\x13\x01\x01\0", 0) },
		{ "heartbeat", BAD("\x16\x03\x01\0\x2d" HELLO "\x18\x03\x03\0\x03\x01\x40\0", 50) },
		{ "version 4", BAD("\x16\x03\x01\0\x2d" HELLO "\x17\x04\x03\0\x03" "abc", 50) },
		{ "record too long", BAD("\x16\x03\x01\0\x2d" HELLO "\x17\x03\x03\x7f\0", 50) },
	};
	check(RF_GUARD_TLS, v, sizeof v / sizeof *v);
}

/* A head that never ends is refused at a bound; without a guard all passes. */
static void bounds(void **state)
{
	(void)state;
	static char hello[RF_GUARD_HELD];
	memcpy(hello, "\x16\x03\x01\x40\0\x01\0\x7f\xff\x03\x03", 11);
	size_t passed;
	assert_int_equal(feed_by(RF_GUARD_TLS, (struct rf_str){ hello, sizeof hello - 1 }, 4096, &passed), RF_E_AGAIN);
	assert_int_equal(feed_by(RF_GUARD_TLS, (struct rf_str){ hello, sizeof hello }, 4096, &passed), RF_E_INVALID);
	assert_int_equal(feed(RF_GUARD_NONE, RF_STR("\xff\xff anything"), &passed), RF_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ssh),
		cmocka_unit_test(mqtt),
		cmocka_unit_test(modbus),
		cmocka_unit_test(dns),
		cmocka_unit_test(tls),
		cmocka_unit_test(bounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
