/* Sessions that are kept and resumed: the same device, in bounds, once for early data, and forgotten where something was wrong. */
#include "tls/test_links.h"

static void a_resumed_session_is_the_same_device(void **state)
{
	(void)state;
	struct link l, again;
	shake(&l, &w.device, "edge.example", NULL);
	SSL_SESSION *session = SSL_get1_session(l.ssl);
	assert_true(SSL_SESSION_is_resumable(session));
	link_close(&l);
	const struct rf_tls_info *i = shake(&again, &w.device, "edge.example", session);
	assert_true(i->resumed);
	assert_int_equal(i->status, RF_CERT_VALID);
	assert_string_equal(i->peer->cert->ski, w.device.cert->ski);
	link_close(&again);
	SSL_SESSION_free(session);
	struct rf_tls_stats stats;
	rf_tls_stats(w.tls, &stats);
	assert_int_equal(stats.full, 1);
	assert_int_equal(stats.resumed, 1);
}

static void a_lost_link_does_not_lose_the_session(void **state)
{
	(void)state;
	struct link l, again;
	char byte;
	shake(&l, &w.device, "edge.example", NULL);
	SSL_SESSION *session = SSL_get1_session(l.ssl);
	shutdown(SSL_get_fd(l.ssl), SHUT_RDWR);
	rf_loop_turn(w.loop, 0);
	assert_true(rf_stream_read(&l.s, &byte, 1) < 0);
	link_close(&l);
	assert_true(shake(&again, &w.device, "edge.example", session)->resumed);
	link_close(&again);
	SSL_SESSION_free(session);
}

static void sessions_are_bounded_and_the_oldest_leaves(void **state)
{
	(void)state;
	struct link l;
	SSL_SESSION *kept[3];
	w.tls->sessions.bound = 2;
	for (int i = 0; i < 3; i++) {
		shake(&l, &w.device, "edge.example", NULL);
		kept[i] = SSL_get1_session(l.ssl);
		link_close(&l);
		assert_int_equal(w.tls->sessions.map.count, i ? 2 : 1);
	}
	assert_true(shake(&l, &w.device, "edge.example", kept[2])->resumed);
	assert_string_equal(rf_tls_info(&l.s)->peer->cert->ski, w.device.cert->ski);
	link_close(&l);
	assert_false(shake(&l, &w.device, "edge.example", kept[0])->resumed);
	link_close(&l);
	for (int i = 0; i < 3; i++)
		SSL_SESSION_free(kept[i]);
}

static void old_sessions_leave_as_new_ones_come(void **state)
{
	(void)state;
	struct link l;
	SSL_CTX_set_timeout(w.tls->base, -1); /* over when it begins */
	for (int i = 0; i < 4; i++) {
		shake(&l, &w.device, "edge.example", NULL);
		link_close(&l);
		assert_true(w.tls->sessions.map.count <= 2);
	}
}

/* How a connection ends whose client has done this to it; then whether its session is still good. */
static bool resumes_after(void (*harm)(struct link *l), int ends)
{
	struct link l, again;
	char byte;
	shake(&l, &w.device, "edge.example", NULL);
	SSL_SESSION *session = SSL_get1_session(l.ssl);
	harm(&l);
	rf_loop_turn(w.loop, 0);
	assert_int_equal(rf_stream_read(&l.s, &byte, 1), ends);
	link_close(&l);
	bool resumed = shake(&again, &w.device, "edge.example", session)->resumed;
	link_close(&again);
	SSL_SESSION_free(session);
	return resumed;
}

static void break_record(struct link *l)
{
	char record[64] = { 0x17, 3, 3, 0, 59 };
	assert_int_equal(send(SSL_get_fd(l->ssl), record, sizeof record, 0), sizeof record);
}

static void say_nonsense(struct link *l) { assert_int_equal(send(SSL_get_fd(l->ssl), "GET /", 5, 0), 5); }
static void say_goodbye(struct link *l) { SSL_shutdown(l->ssl); }
static void lose_the_link(struct link *l) { shutdown(SSL_get_fd(l->ssl), SHUT_WR); }

/* [RFC 8446 6.2] */
static void a_tls_error_forgets_the_session(void **state)
{
	(void)state;
	assert_true(resumes_after(say_goodbye, RF_E_EOF));
	assert_true(resumes_after(lose_the_link, RF_E_EOF));
	assert_false(resumes_after(break_record, RF_E_CRYPTO));
	assert_false(resumes_after(say_nonsense, RF_E_CRYPTO));
}

/* Two connections of one session: the error of the second takes what it was given, not what the first still has. */
static void an_error_forgets_its_own_session_alone(void **state)
{
	(void)state;
	struct link a, b, again;
	char byte;
	shake(&a, &w.device, "edge.example", NULL);
	shake(&b, &w.device, "edge.example", NULL);
	SSL_SESSION *kept = SSL_get1_session(a.ssl), *lost = SSL_get1_session(b.ssl);
	break_record(&b);
	rf_loop_turn(w.loop, 0);
	assert_int_equal(rf_stream_read(&b.s, &byte, 1), RF_E_CRYPTO);
	link_close(&b);
	assert_false(shake(&again, &w.device, "edge.example", lost)->resumed);
	link_close(&again);
	assert_true(shake(&again, &w.device, "edge.example", kept)->resumed);
	break_record(&a); /* its session is still there, and goes now */
	rf_loop_turn(w.loop, 0);
	assert_int_equal(rf_stream_read(&a.s, &byte, 1), RF_E_CRYPTO);
	link_close(&a);
	link_close(&again);
	SSL_SESSION_free(kept);
	SSL_SESSION_free(lost);
}

static void a_session_of_tls12_is_resumed(void **state)
{
	(void)state;
	struct link l;
	link_open(&l, &w.device, "edge.example", NULL, TLS1_2_VERSION);
	pump(&l);
	SSL_SESSION *session = SSL_get1_session(l.ssl);
	link_close(&l);
	link_open(&l, &w.device, "edge.example", session, TLS1_2_VERSION);
	pump(&l);
	assert_int_equal(l.server_rc, RF_OK);
	assert_true(rf_tls_info(&l.s)->resumed);
	assert_int_equal(rf_tls_info(&l.s)->status, RF_CERT_VALID);
	link_close(&l);
	SSL_SESSION_free(session);
}

static void a_revoked_device_resumes_into_a_refusal(void **state)
{
	(void)state;
	struct link l, again;
	shake(&l, &w.device, "edge.example", NULL);
	SSL_SESSION *session = SSL_get1_session(l.ssl);
	link_close(&l);
	w.deny = true;
	const struct rf_tls_info *i = shake(&again, &w.device, "edge.example", session);
	assert_true(i->resumed && i->revoked);
	assert_int_equal(i->status, RF_CERT_INVALID);
	link_close(&again);
	SSL_SESSION_free(session);
}

static void a_session_of_an_open_host_proves_nothing(void **state)
{
	(void)state;
	struct link l, again;
	shake(&l, &w.device, "open.example", NULL);
	SSL_SESSION *session = SSL_get1_session(l.ssl);
	link_close(&l);
	const struct rf_tls_info *i = shake(&again, &w.device, "edge.example", session);
	assert_false(i->resumed);
	assert_int_equal(i->status, RF_CERT_VALID);
	link_close(&again);
	SSL_SESSION_free(session);
}

static void early_data_is_marked_and_single_use(void **state)
{
	(void)state;
	struct link l, again;
	char buf[32];
	size_t put;
	w.early = true;
	shake(&l, &w.device, "edge.example", NULL);
	SSL_SESSION *session = SSL_get1_session(l.ssl);
	assert_true(SSL_SESSION_get_max_early_data(session) > 0);
	link_close(&l);
	for (int use = 0; use < 2; use++) {
		link_open(&again, &w.device, "edge.example", session, TLS1_3_VERSION);
		assert_int_equal(SSL_write_early_data(again.ssl, "GET /", 5, &put), 1);
		rf_loop_turn(w.loop, 0);
		int rc = rf_stream_handshake(&again.s);
		if (use == 0) {
			assert_int_equal(rc, RF_OK);
			assert_true(rf_tls_info(&again.s)->early);
			assert_int_equal(rf_tls_info(&again.s)->status, RF_CERT_VALID);
			assert_int_equal(rf_stream_read(&again.s, buf, sizeof buf), 5);
			assert_memory_equal(buf, "GET /", 5);
			again.server_rc = RF_OK;
			pump(&again);
			assert_int_equal(rf_tls_settle(&again.s), RF_OK);
			assert_false(rf_tls_info(&again.s)->early);
		} else {
			pump(&again);
			assert_int_equal(SSL_get_early_data_status(again.ssl), SSL_EARLY_DATA_REJECTED);
		}
		link_close(&again);
	}
	SSL_SESSION_free(session);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_resumed_session_is_the_same_device), TEST(a_lost_link_does_not_lose_the_session),
		TEST(sessions_are_bounded_and_the_oldest_leaves), TEST(old_sessions_leave_as_new_ones_come),
		TEST(a_tls_error_forgets_the_session), TEST(an_error_forgets_its_own_session_alone),
		TEST(a_session_of_tls12_is_resumed), TEST(a_revoked_device_resumes_into_a_refusal),
		TEST(a_session_of_an_open_host_proves_nothing), TEST(early_data_is_marked_and_single_use),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
