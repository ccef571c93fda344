/* The server layer against libssl's client over a socket pair, with a clock that the tests set. */
#include "tls/test_links.h"

static void a_device_proves_itself(void **state)
{
	(void)state;
	struct link l;
	const struct rf_tls_info *i = shake(&l, &w.device, "Edge.Example", NULL);
	assert_int_equal(i->status, RF_CERT_VALID);
	assert_true(i->verified && !i->revoked && !i->resumed);
	assert_string_equal(i->sni, "edge.example");
	assert_string_equal(i->version, "TLSv1.3");
	assert_string_equal(i->peer->cert->ski, w.device.cert->ski);
	assert_string_equal(i->peer->root_id, RF_TRUST_OWN);
	assert_true(rf_tls_hello_length(&l.s) > 150);
	struct rf_str ja4 = rf_tls_ja4(&l.s);
	assert_int_equal(ja4.n, RF_JA4_TEXT - 1);
	assert_memory_equal(ja4.p, "t13d", 4); /* TCP, TLS 1.3, a server's name */
	char byte[8];
	assert_int_equal(SSL_write(l.ssl, "hello", 5), 5);
	rf_loop_turn(w.loop, 0);
	assert_int_equal(rf_stream_read(&l.s, byte, sizeof byte), 5);
	assert_int_equal(rf_stream_read(&l.s, byte, sizeof byte), RF_E_AGAIN);
	struct iovec v[3] = { { "ab", 2 }, { NULL, 0 }, { "cd", 2 } };
	assert_int_equal(rf_stream_write(&l.s, v, 3), 4);
	assert_int_equal(SSL_read(l.ssl, byte, sizeof byte), 4); /* one record */
	assert_memory_equal(byte, "abcd", 4);
	link_close(&l);
}

static void who_is_refused_and_why(void **state)
{
	(void)state;
	struct link l;
	const struct rf_tls_info *i = shake(&l, NULL, "edge.example", NULL);
	assert_int_equal(i->status, RF_CERT_NONE);
	assert_null(i->peer);
	link_close(&l);
	i = shake(&l, &w.stranger, "edge.example", NULL);
	assert_int_equal(i->status, RF_CERT_INVALID);
	assert_false(i->verified);
	assert_string_equal(i->reason, "unable to get local issuer certificate");
	link_close(&l);
}

static void time_passes_over_a_live_connection(void **state)
{
	(void)state;
	struct link l;
	const struct rf_tls_info *i = shake(&l, &w.device, NULL, NULL);
	assert_int_equal(i->status, RF_CERT_VALID);
	w.now_s = NOW + 11 * DAY;
	rf_tls_recheck(&l.s);
	assert_string_equal(i->reason, "certificate has expired");
	assert_false(i->verified);
	w.now_s = NOW - 2 * DAY; /* the clock was set back */
	rf_tls_recheck(&l.s);
	assert_string_equal(i->reason, "certificate is not yet valid");
	w.now_s = NOW + 1;
	w.deny = true;
	rf_tls_recheck(&l.s);
	assert_true(i->verified && i->revoked && i->status == RF_CERT_INVALID);
	assert_string_equal(i->reason, "certificate revoked");
	link_close(&l);
}

/* A denial is looked for again exactly when the number of denials has changed. */
static void an_unchanged_world_is_not_asked_again(void **state)
{
	(void)state;
	struct link l, again;
	denials_now = 7;
	const struct rf_tls_info *i = shake(&l, &w.device, NULL, NULL);
	asked = 0;
	for (int k = 0; k < 5; k++)
		rf_tls_recheck(&l.s);
	assert_int_equal(asked, 0);
	w.deny = true;
	denials_now++;
	rf_tls_recheck(&l.s);
	assert_true(i->revoked && i->status == RF_CERT_INVALID);
	assert_int_equal(asked, 1);
	rf_tls_recheck(&l.s);
	assert_true(i->revoked);
	w.deny = false;
	denials_now++;
	rf_tls_recheck(&l.s);
	assert_false(i->revoked);
	link_close(&l);
	asked = 0; /* another connection asks for itself */
	shake(&again, &w.device, NULL, NULL);
	assert_true(asked > 0);
	link_close(&again);
}

/* TLS 1.3 leaves libssl when its handshake is over; what came behind the handshake is not lost; older versions stay. */
static void connections_leave_libssl(void **state)
{
	(void)state;
	static const char *const suites[] = { "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256" };
	for (size_t i = 0; i < 3; i++) {
		struct link l;
		char got[64];
		link_open(&l, &w.device, "edge.example", NULL, TLS1_3_VERSION);
		assert_int_equal(SSL_set_ciphersuites(l.ssl, suites[i]), 1);
		for (int k = 0; k < 20 && l.client_rc != 1; k++) {
			l.client_rc = SSL_connect(l.ssl);
			if (l.client_rc == 1) /* its Finished is under way: the first request comes with it */
				assert_int_equal(SSL_write(l.ssl, "first", 5), 5);
			rf_loop_turn(w.loop, 0);
			if (l.server_rc == RF_E_AGAIN)
				l.server_rc = rf_stream_handshake(&l.s);
		}
		assert_int_equal(l.server_rc, RF_OK);
		assert_null(tls_conn_of(&l.s)->ssl);
		assert_string_equal(rf_tls_info(&l.s)->cipher, suites[i]);
		assert_int_equal(rf_stream_read(&l.s, got, sizeof got), 5);
		assert_memory_equal(got, "first", 5);
		assert_int_equal(w.tls->bufs.out, 0);
		for (int round = 0; round < 3; round++) { /* new keys, by libssl's own */
			assert_int_equal(SSL_key_update(l.ssl, round ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED), 1);
			assert_int_equal(SSL_write(l.ssl, "more", 4), 4);
			rf_loop_turn(w.loop, 0);
			assert_int_equal(rf_stream_read(&l.s, got, sizeof got), 4);
			struct iovec v = { "answer", 6 };
			assert_int_equal(rf_stream_write(&l.s, &v, 1), 6);
			assert_int_equal(SSL_read(l.ssl, got, sizeof got), 6);
		}
		assert_int_equal(rf_stream_shutdown(&l.s), RF_OK);
		assert_int_equal(SSL_read(l.ssl, got, sizeof got), 0);
		assert_int_equal(SSL_get_shutdown(l.ssl), SSL_RECEIVED_SHUTDOWN);
		link_close(&l);
	}
	struct link old;
	link_open(&old, &w.device, "edge.example", NULL, TLS1_2_VERSION);
	pump(&old);
	assert_int_equal(old.server_rc, RF_OK);
	assert_non_null(tls_conn_of(&old.s)->ssl);
	assert_int_equal(tls_conn_of(&old.s)->direct.in.secret[0], 0);
	link_close(&old);
}

static void a_smaller_fragment_is_agreed(void **state)
{
	(void)state;
	struct link l;
	static char big[5000], got[5000];
	link_open(&l, &w.device, "edge.example", NULL, TLS1_3_VERSION);
	assert_int_equal(SSL_set_tlsext_max_fragment_length(l.ssl, TLSEXT_max_fragment_length_1024), 1);
	pump(&l);
	assert_int_equal(l.server_rc, RF_OK);
	struct iovec v = { big, sizeof big };
	assert_int_equal(rf_stream_write(&l.s, &v, 1), 1024);
	assert_int_equal(SSL_read(l.ssl, got, sizeof got), 1024);
	link_close(&l);
}

static void a_host_may_refuse_in_the_handshake(void **state)
{
	(void)state;
	struct link l;
	w.refuse = true;
	shake(&l, &w.device, "edge.example", NULL);
	link_close(&l);
	struct rf_bundle *bad[] = { NULL, &w.stranger };
	for (int i = 0; i < 2; i++) {
		link_open(&l, bad[i], "edge.example", NULL, TLS1_3_VERSION);
		pump(&l);
		assert_int_equal(l.server_rc, RF_E_CRYPTO);
		assert_true(strlen(rf_tls_error(&l.s)) > 10);
		link_close(&l);
	}
}

/* A port of its own speaks what its origin speaks. */
static void a_raw_port_does_not_care_for_alpn(void **state)
{
	(void)state;
	struct link l;
	for (int any = 0; any < 2; any++) {
		w.any_protocol = any;
		link_open(&l, &w.device, "edge.example", NULL, TLS1_3_VERSION);
		SSL_set_alpn_protos(l.ssl, (const unsigned char *)"\x04mqtt", 5);
		pump(&l);
		assert_int_equal(l.server_rc, any ? RF_OK : RF_E_CRYPTO);
		if (any)
			assert_int_equal(rf_tls_alpn(&l.s).n, 0);
		link_close(&l);
	}
}

static void an_unknown_host_has_no_certificate(void **state)
{
	(void)state;
	struct link l;
	link_open(&l, &w.device, "nobody.example", NULL, TLS1_3_VERSION);
	pump(&l);
	assert_int_equal(l.server_rc, RF_E_CRYPTO);
	assert_string_equal(rf_tls_error(&l.s), "no host of this name");
	link_close(&l);
}

static void older_versions(void **state)
{
	(void)state;
	struct link l;
	link_open(&l, &w.device, "edge.example", NULL, TLS1_2_VERSION);
	pump(&l);
	assert_int_equal(l.server_rc, RF_OK);
	assert_string_equal(rf_tls_info(&l.s)->version, "TLSv1.2");
	link_close(&l);
	link_open(&l, &w.device, "edge.example", NULL, TLS1_1_VERSION);
	SSL_set_security_level(l.ssl, 0);
	pump(&l);
	assert_int_equal(l.server_rc, RF_E_CRYPTO);
	link_close(&l);
	w.min_version = TLS1_1_VERSION; /* a listener for legacy devices says so */
	link_open(&l, &w.device, "edge.example", NULL, TLS1_1_VERSION);
	SSL_set_security_level(l.ssl, 0);
	pump(&l);
	assert_int_equal(l.server_rc, RF_OK);
	assert_string_equal(rf_tls_info(&l.s)->version, "TLSv1.1");
	link_close(&l);
}

static void garbage_fails_the_handshake(void **state)
{
	(void)state;
	static const char *const inputs[] = { "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\xff\xff", "\x16\x03\x01\x00\x04\x01\x00\x00\x7f" };
	for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
		struct link l;
		size_t n = i == 2 ? 9 : strlen(inputs[i]);
		link_open(&l, NULL, NULL, NULL, TLS1_3_VERSION);
		assert_int_equal(write(SSL_get_fd(l.ssl), inputs[i], n), n);
		shutdown(SSL_get_fd(l.ssl), SHUT_WR);
		for (int k = 0; k < 5 && l.server_rc == RF_E_AGAIN; k++) {
			rf_loop_turn(w.loop, 0);
			l.server_rc = rf_stream_handshake(&l.s);
		}
		assert_true(l.server_rc == RF_E_CRYPTO || l.server_rc == RF_E_EOF);
		link_close(&l);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_device_proves_itself), TEST(who_is_refused_and_why), TEST(time_passes_over_a_live_connection),
		TEST(an_unchanged_world_is_not_asked_again), TEST(connections_leave_libssl),
		TEST(a_smaller_fragment_is_agreed), TEST(a_host_may_refuse_in_the_handshake),
		TEST(a_raw_port_does_not_care_for_alpn), TEST(an_unknown_host_has_no_certificate),
		TEST(older_versions), TEST(garbage_fails_the_handshake),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
