/* An established connection without libssl, against a peer that says exactly what a test tells it to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "tls/test.h"

static const uint32_t GCM = TLS1_3_CK_AES_128_GCM_SHA256;
static uint8_t big[3 * TLS_RECORD_MAX], heard[TLS_RECORD_MAX];

static void begin(bool client, uint64_t rekey)
{
	assert_true(dw_open(GCM, client, rekey));
}

static struct tls_direct *direct(void) { return &tls_conn_of(&dw.s)->direct; }

static void hear(int type, const void *content, size_t n)
{
	struct tls_plain plain;
	assert_true(dw_hear(&plain, heard));
	assert_int_equal(plain.type, type);
	assert_int_equal(plain.n, n);
	assert_memory_equal(heard, content, n);
}

/* The connection ends with this alert. */
static void dies(int alert)
{
	char got[64];
	assert_int_equal(rf_stream_read(&dw.s, got, sizeof got), RF_E_CRYPTO);
	hear(TLS_TYPE_ALERT, (uint8_t[]){ SSL3_AL_FATAL, (uint8_t)alert }, 2);
	assert_int_equal(rf_stream_read(&dw.s, got, sizeof got), RF_E_CRYPTO); /* for ever */
	struct iovec v = { "x", 1 };
	assert_int_equal(rf_stream_write(&dw.s, &v, 1), RF_E_CRYPTO);
	assert_true(strlen(rf_tls_error(&dw.s)) > 10);
	assert_int_equal(direct()->in.secret[0] | direct()->out.secret[0], 0); /* wiped */
	assert_int_equal(dw.tls->bufs.out, 0);
	dw_close();
}

static void reads(const void *want, size_t n)
{
	static char got[4 * TLS_PLAIN_MAX];
	assert_int_equal(rf_stream_read(&dw.s, got, sizeof got), n);
	assert_memory_equal(got, want, n);
}

static void bytes_flow_and_idle_holds_nothing(void **state)
{
	(void)state;
	static const uint32_t suites[] = { TLS1_3_CK_AES_128_GCM_SHA256, TLS1_3_CK_AES_256_GCM_SHA384, TLS1_3_CK_CHACHA20_POLY1305_SHA256 };
	for (size_t i = 0; i < 3; i++) {
		assert_true(dw_open(suites[i], false, 0));
		char got[8];
		dw_say(TLS_TYPE_DATA, "hello", 5);
		reads("hello", 5);
		assert_int_equal(rf_stream_read(&dw.s, got, sizeof got), RF_E_AGAIN);
		struct iovec v[3] = { { "ab", 2 }, { NULL, 0 }, { "cd", 2 } };
		assert_int_equal(rf_stream_write(&dw.s, v, 3), 4);
		hear(TLS_TYPE_DATA, "abcd", 4);
		assert_int_equal(rf_stream_write(&dw.s, v + 1, 1), 0);
		assert_int_equal(dw.tls->bufs.out, 0);
		dw_close();
	}
}

static void several_records_come_at_once(void **state)
{
	(void)state;
	begin(false, 0);
	size_t n = 0;
	for (int i = 0; i < 5; i++)
		n += dw_seal(TLS_TYPE_DATA, "abcdefghi", 9, big + n);
	dw_send(big, n);
	uint64_t calls = rf_replay_calls(dw.r);
	reads("abcdefghiabcdefghiabcdefghiabcdefghiabcdefghi", 45);
	assert_int_equal(rf_replay_calls(dw.r) - calls, 1);
	assert_int_equal(dw.tls->bufs.out, 0);
	dw_close();
}

static void small_reads_get_large_records(void **state)
{
	(void)state;
	begin(false, 0);
	static char content[TLS_PLAIN_MAX];
	for (size_t i = 0; i < sizeof content; i++)
		content[i] = (char)(i * 7 + i / 256);
	for (int i = 0; i < 3; i++)
		dw_say(TLS_TYPE_DATA, content, sizeof content);
	char got[1000];
	for (size_t at = 0; at < 3 * sizeof content;) {
		ssize_t n = rf_stream_read(&dw.s, got, sizeof got);
		assert_true(n > 0);
		for (ssize_t i = 0; i < n; i++, at++)
			assert_int_equal(got[i], content[at % sizeof content]);
	}
	assert_int_equal(rf_stream_read(&dw.s, got, sizeof got), RF_E_AGAIN);
	assert_int_equal(dw.tls->bufs.out, 0);
	dw_close();
}

static void any_split_of_reads(void **state)
{
	(void)state;
	static const uint8_t update[5] = { 24, 0, 0, 1, 0 };
	for (size_t split = 1;; split++) {
		begin(false, 0);
		size_t n = dw_seal(TLS_TYPE_DATA, "first", 5, big);
		n += dw_seal(TLS_TYPE_DATA, "", 0, big + n);
		n += dw_seal(TLS_TYPE_HANDSHAKE, update, sizeof update, big + n);
		assert_true(tls_half_update(&dw.tls->ciphers, &dw.far_out));
		n += dw_seal(TLS_TYPE_DATA, "second", 6, big + n);
		char got[32];
		size_t have = 0;
		for (size_t at = 0; at < n; at += split) {
			dw_send(big + at, n - at < split ? n - at : split);
			ssize_t r;
			while ((r = rf_stream_read(&dw.s, got + have, sizeof got - have)) > 0)
				have += (size_t)r;
			assert_int_equal(r, RF_E_AGAIN);
		}
		assert_int_equal(have, 11);
		assert_memory_equal(got, "firstsecond", 11);
		assert_int_equal(dw.tls->bufs.out, 0);
		dw_close();
		if (split >= n)
			break;
	}
}

static void a_full_window_holds_one_record_back(void **state)
{
	(void)state;
	begin(false, 0);
	memset(big, 'x', sizeof big);
	rf_replay_window(dw.far, 1000);
	struct iovec v = { big, sizeof big };
	size_t put = 0, taken = 0;
	char sink[999];
	struct tls_plain plain;
	static uint8_t wire[4 * TLS_RECORD_MAX];
	while (put < sizeof big) {
		v = (struct iovec){ big + put, sizeof big - put };
		ssize_t r = rf_stream_write(&dw.s, &v, 1);
		assert_true(r == RF_E_AGAIN || (r > 0 && r <= TLS_PLAIN_MAX));
		put += r > 0 ? (size_t)r : 0;
		assert_true(dw.tls->bufs.out <= 1);
		size_t n;
		while ((n = rf_replay_take(dw.far, sink, sizeof sink)) > 0) {
			memcpy(wire + taken, sink, n);
			taken += n;
		}
		rf_replay_run(dw.r, 0);
	}
	size_t n;
	while ((n = rf_replay_take(dw.far, sink, sizeof sink)) > 0) {
		memcpy(wire + taken, sink, n);
		taken += n;
	}
	size_t got = 0;
	for (size_t at = 0; at < taken;) {
		size_t length = (size_t)wire[at + 3] << 8 | wire[at + 4];
		assert_int_equal(tls_open(&dw.tls->ciphers, &dw.far_in, wire + at, length, heard, &plain), 0);
		got += plain.n;
		at += TLS_HEADER + length;
	}
	assert_int_equal(got, sizeof big);
	assert_int_equal(dw.tls->bufs.out, 0);
	dw_close();
}

static void a_smaller_record_size_is_kept(void **state)
{
	(void)state;
	begin(false, 0);
	direct()->most = 512;
	struct iovec v = { big, 1000 };
	memset(big, 'y', 1000);
	assert_int_equal(rf_stream_write(&dw.s, &v, 1), 512);
	hear(TLS_TYPE_DATA, big, 512);
	dw_say(TLS_TYPE_DATA, big, 512);
	reads(big, 512);
	dw_say(TLS_TYPE_DATA, big, 513);
	dies(SSL_AD_RECORD_OVERFLOW);
}

/* --- keys --- */

static const uint8_t update_plain[5] = { 24, 0, 0, 1, 0 }, update_asking[5] = { 24, 0, 0, 1, 1 };

static void say_update(bool ask)
{
	dw_say(TLS_TYPE_HANDSHAKE, ask ? update_asking : update_plain, 5);
	assert_true(tls_half_update(&dw.tls->ciphers, &dw.far_out));
}

static void hear_update(bool asking)
{
	hear(TLS_TYPE_HANDSHAKE, asking ? update_asking : update_plain, 5);
	assert_true(tls_half_update(&dw.tls->ciphers, &dw.far_in));
}

static void new_keys_of_the_peer(void **state)
{
	(void)state;
	begin(false, 0);
	struct iovec v = { "answer", 6 };
	char got[8];
	say_update(false);
	dw_say(TLS_TYPE_DATA, "one", 3);
	reads("one", 3);
	assert_int_equal(rf_stream_write(&dw.s, &v, 1), 6);
	hear(TLS_TYPE_DATA, "answer", 6); /* none were asked of us */
	for (int i = 0; i < 3; i++)
		say_update(true);
	assert_int_equal(rf_stream_read(&dw.s, got, sizeof got), RF_E_AGAIN);
	assert_int_equal(rf_replay_sent(dw.far).n, 0); /* one answer to all of them, before our next bytes */
	assert_int_equal(rf_stream_write(&dw.s, &v, 1), 6);
	hear_update(false);
	hear(TLS_TYPE_DATA, "answer", 6);
	dw_close();
}

static void new_keys_of_ours_at_the_bound(void **state)
{
	(void)state;
	begin(false, 3);
	struct iovec v = { "out", 3 };
	for (int i = 0; i < 3; i++) {
		assert_int_equal(rf_stream_write(&dw.s, &v, 1), 3);
		hear(TLS_TYPE_DATA, "out", 3);
	}
	assert_int_equal(rf_stream_write(&dw.s, &v, 1), 3);
	hear_update(false);
	hear(TLS_TYPE_DATA, "out", 3);
	for (int i = 0; i < 4; i++) {
		dw_say(TLS_TYPE_DATA, "in", 2);
		reads("in", 2);
	}
	assert_int_equal(rf_stream_write(&dw.s, &v, 1), 3);
	hear_update(true); /* the peer has used its keys up too */
	hear(TLS_TYPE_DATA, "out", 3);
	assert_int_equal(rf_stream_write(&dw.s, &v, 1), 3);
	hear(TLS_TYPE_DATA, "out", 3); /* asked once */
	say_update(false);
	dw_say(TLS_TYPE_DATA, "in", 2);
	reads("in", 2);
	dw_close();
}

static void a_message_in_pieces(void **state)
{
	(void)state;
	begin(false, 0);
	for (int i = 0; i < 5; i++)
		dw_say(TLS_TYPE_HANDSHAKE, update_plain + i, 1);
	assert_true(tls_half_update(&dw.tls->ciphers, &dw.far_out));
	dw_say(TLS_TYPE_DATA, "ok", 2);
	reads("ok", 2);
	dw_say(TLS_TYPE_HANDSHAKE, update_plain, 2);
	dw_say(TLS_TYPE_DATA, "within", 6); /* [RFC 8446 5.1] */
	dies(SSL_AD_UNEXPECTED_MESSAGE);
}

static void tickets_of_an_origin_are_passed_over(void **state)
{
	(void)state;
	begin(true, 0);
	static uint8_t ticket[1204] = { 4, 0, 4, 176 };
	dw_say(TLS_TYPE_HANDSHAKE, ticket, 700);
	dw_say(TLS_TYPE_HANDSHAKE, ticket + 700, 504);
	uint8_t both[1209];
	memcpy(both, ticket, sizeof ticket);
	memcpy(both + sizeof ticket, update_plain, 5);
	dw_say(TLS_TYPE_HANDSHAKE, both, sizeof both);
	assert_true(tls_half_update(&dw.tls->ciphers, &dw.far_out));
	dw_say(TLS_TYPE_DATA, "answer", 6);
	reads("answer", 6);
	dw_close();
}

/* --- what breaks the protocol --- */

static void messages_that_may_not_come(void **state)
{
	(void)state;
	static const struct { bool client; int alert; size_t n; uint8_t p[8]; } cases[] = {
		{ false, SSL_AD_UNEXPECTED_MESSAGE, 4, { 4, 0, 0, 1 } },            /* NewSessionTicket of a client */
		{ false, SSL_AD_UNEXPECTED_MESSAGE, 6, { 13, 0, 0, 2, 0, 0 } },     /* CertificateRequest */
		{ true, SSL_AD_UNEXPECTED_MESSAGE, 6, { 13, 0, 0, 2, 0, 0 } },
		{ false, SSL_AD_UNEXPECTED_MESSAGE, 4, { 1, 0, 0, 0 } },            /* ClientHello: no renegotiation */
		{ true, SSL_AD_UNEXPECTED_MESSAGE, 4, { 0, 0, 0, 0 } },             /* HelloRequest */
		{ false, SSL_AD_UNEXPECTED_MESSAGE, 4, { 5, 0, 0, 0 } },            /* EndOfEarlyData */
		{ false, SSL_AD_UNEXPECTED_MESSAGE, 6, { 24, 0, 0, 2, 0, 0 } },     /* KeyUpdate of a wrong length */
		{ true, SSL_AD_UNEXPECTED_MESSAGE, 4, { 4, 255, 255, 255 } },       /* a ticket without end */
		{ false, SSL_AD_UNEXPECTED_MESSAGE, 6, { 24, 0, 0, 1, 0, 24 } },    /* something behind a KeyUpdate */
		{ false, SSL_AD_ILLEGAL_PARAMETER, 5, { 24, 0, 0, 1, 2 } },
		{ false, SSL_AD_UNEXPECTED_MESSAGE, 0, { 0 } },                     /* an empty record of messages */
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		begin(cases[i].client, 0);
		dw_say(TLS_TYPE_HANDSHAKE, cases[i].p, cases[i].n);
		dies(cases[i].alert);
	}
}

static void records_that_may_not_come(void **state)
{
	(void)state;
	static const struct { int alert; size_t n; uint8_t p[40]; } cases[] = {
		{ SSL_AD_UNEXPECTED_MESSAGE, 6, { 20, 3, 3, 0, 1, 1 } },    /* change_cipher_spec [RFC 8446 5] */
		{ SSL_AD_UNEXPECTED_MESSAGE, 7, { 21, 3, 3, 0, 2, 1, 0 } }, /* an alert in the clear */
		{ SSL_AD_UNEXPECTED_MESSAGE, 1, { 22 } },
		{ SSL_AD_RECORD_OVERFLOW, 5, { 23, 3, 3, 0x41, 0x01 } },
		{ SSL_AD_BAD_RECORD_MAC, 5, { 23, 3, 3, 0, 15 } },
		{ SSL_AD_BAD_RECORD_MAC, 21, { 23, 3, 3, 0, 16 } },
		{ SSL_AD_BAD_RECORD_MAC, 30, { 23, 3, 3, 0, 25 } },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		begin(false, 0);
		dw_send(cases[i].p, cases[i].n);
		dies(cases[i].alert);
	}
	static const int types[] = { 0, 20, 24, 99 };
	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		begin(false, 0);
		dw_say(types[i], "\0\0", 2);
		dies(SSL_AD_UNEXPECTED_MESSAGE);
	}
	begin(false, 0); /* what came before the bad record is the owner's */
	size_t n = dw_seal(TLS_TYPE_DATA, "good", 4, big);
	size_t bad = dw_seal(TLS_TYPE_DATA, "evil", 4, big + n);
	big[n + 7] ^= 1;
	dw_send(big, n + bad);
	reads("good", 4);
	dies(SSL_AD_BAD_RECORD_MAC);
}

static void replayed_and_dropped_records(void **state)
{
	(void)state;
	begin(false, 0);
	size_t n = dw_seal(TLS_TYPE_DATA, "pay", 3, big);
	dw_send(big, n);
	reads("pay", 3);
	dw_send(big, n);
	dies(SSL_AD_BAD_RECORD_MAC);
	begin(false, 0);
	dw_seal(TLS_TYPE_DATA, "lost", 4, big);
	dw_say(TLS_TYPE_DATA, "next", 4);
	dies(SSL_AD_BAD_RECORD_MAC);
}

static void records_without_content_are_bounded(void **state)
{
	(void)state;
	char got[8];
	begin(false, 0);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 32; i++)
			dw_say(TLS_TYPE_DATA, "", 0);
		assert_int_equal(rf_stream_read(&dw.s, got, sizeof got), RF_E_AGAIN);
		dw_say(TLS_TYPE_DATA, "x", 1);
		reads("x", 1);
	}
	for (int i = 0; i < 33; i++)
		i % 2 ? dw_say(TLS_TYPE_DATA, "", 0) : say_update(true);
	dies(SSL_AD_UNEXPECTED_MESSAGE);
}

/* --- ends --- */

static void good_byes(void **state)
{
	(void)state;
	char got[8];
	struct iovec v = { "x", 1 };
	begin(true, 0);
	size_t n = dw_seal(TLS_TYPE_DATA, "end", 3, big);
	n += dw_seal(TLS_TYPE_ALERT, "\1\0", 2, big + n);
	dw_send(big, n + 3); /* what follows is not looked at */
	reads("end", 3);
	assert_int_equal(rf_stream_read(&dw.s, got, sizeof got), RF_E_EOF);
	assert_int_equal(rf_stream_read(&dw.s, got, sizeof got), RF_E_EOF);
	assert_int_equal(rf_stream_write(&dw.s, &v, 1), 1); /* our direction goes on [RFC 8446 6.1] */
	hear(TLS_TYPE_DATA, "x", 1);
	assert_int_equal(rf_stream_shutdown(&dw.s), RF_OK);
	hear(TLS_TYPE_ALERT, "\1\0", 2);
	assert_int_equal(rf_stream_shutdown(&dw.s), RF_OK);
	assert_int_equal(rf_replay_sent(dw.far).n, 0); /* said once */
	assert_int_equal(rf_stream_write(&dw.s, &v, 1), RF_E_CRYPTO);
	assert_int_equal(dw.tls->bufs.out, 0);
	dw_close();
}

static void a_good_bye_waits_for_room(void **state)
{
	(void)state;
	begin(false, 0);
	rf_replay_window(dw.far, 10);
	assert_int_equal(rf_stream_shutdown(&dw.s), RF_E_AGAIN);
	for (int i = 0; i < 5; i++) {
		char part[10];
		size_t n = rf_replay_take(dw.far, part, sizeof part);
		memcpy(big + 10 * i, part, n);
		rf_replay_run(dw.r, 0);
		if (rf_stream_shutdown(&dw.s) == RF_OK)
			break;
	}
	assert_int_equal(dw.tls->bufs.out, 0);
	dw_close();
}

static void alerts_of_the_peer(void **state)
{
	(void)state;
	char got[8];
	begin(false, 0);
	dw_say(TLS_TYPE_ALERT, "\1\132", 2); /* user_canceled says nothing by itself [RFC 8446 6.1] */
	dw_say(TLS_TYPE_DATA, "on", 2);
	reads("on", 2);
	dw_say(TLS_TYPE_ALERT, "\1\24", 2); /* bad_record_mac, whatever its level */
	assert_int_equal(rf_stream_read(&dw.s, got, sizeof got), RF_E_CRYPTO);
	assert_string_equal(rf_tls_error(&dw.s), "bad record mac");
	assert_int_equal(rf_replay_sent(dw.far).n, 0);
	dw_close();
	begin(false, 0);
	dw_say(TLS_TYPE_ALERT, "\1\0\1\0", 4);
	dies(SSL_AD_DECODE_ERROR);
}

static void ends_without_a_good_bye(void **state)
{
	(void)state;
	char got[8];
	for (int client = 0; client < 2; client++) {
		begin(client, 0);
		rf_replay_fin(dw.far);
		rf_replay_run(dw.r, 0);
		assert_int_equal(rf_stream_read(&dw.s, got, sizeof got), client ? RF_E_RESET : RF_E_EOF);
		dw_close();
		begin(client, 0); /* within a record */
		size_t n = dw_seal(TLS_TYPE_DATA, "half", 4, big);
		dw_send(big, n - 1);
		rf_replay_fin(dw.far);
		rf_replay_run(dw.r, 0);
		assert_int_equal(rf_stream_read(&dw.s, got, sizeof got), RF_E_RESET);
		assert_string_equal(rf_tls_error(&dw.s), "the peer closed the connection within a record");
		dw_close();
	}
}

static void memory_runs_out(void **state)
{
	(void)state;
	char got[8];
	struct iovec v = { "x", 1 };
	begin(false, 0);
	dw.tls->bufs.bound = 0;
	dw_say(TLS_TYPE_DATA, "later", 5);
	assert_int_equal(rf_stream_read(&dw.s, got, sizeof got), RF_E_NOMEM);
	assert_int_equal(rf_stream_write(&dw.s, &v, 1), RF_E_NOMEM);
	dw.tls->bufs.bound = UINT32_MAX;
	reads("later", 5);
	assert_int_equal(rf_stream_write(&dw.s, &v, 1), 1);
	hear(TLS_TYPE_DATA, "x", 1);
	dw_close();
}

#define TEST(f) cmocka_unit_test(f)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(bytes_flow_and_idle_holds_nothing), TEST(several_records_come_at_once), TEST(small_reads_get_large_records),
		TEST(any_split_of_reads), TEST(a_full_window_holds_one_record_back), TEST(a_smaller_record_size_is_kept),
		TEST(new_keys_of_the_peer), TEST(new_keys_of_ours_at_the_bound), TEST(a_message_in_pieces),
		TEST(tickets_of_an_origin_are_passed_over), TEST(messages_that_may_not_come), TEST(records_that_may_not_come),
		TEST(replayed_and_dropped_records), TEST(records_without_content_are_bounded), TEST(good_byes),
		TEST(a_good_bye_waits_for_room), TEST(alerts_of_the_peer), TEST(ends_without_a_good_bye), TEST(memory_runs_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
