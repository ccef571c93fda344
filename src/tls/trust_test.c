/* Whom roots, their lists of what is revoked, and the names of origins let through. */
#include "tls/test_links.h"

static struct rf_crl *list_with(const struct rf_cert *revoked, int64_t at)
{
	struct rf_crl_entry entry;
	struct rf_err e;
	struct rf_crl *crl = NULL;
	RF_BUF_AUTO der = { 0 };
	assert_int_equal(rf_crl_entry(rf_str_z(revoked->serial), at, RF_REASON_KEY_COMPROMISE, &entry), RF_OK);
	struct rf_crl_make m = { .ca = rf_ca_cert(w.ca), .key = rf_ca_key(w.ca), .entries = &entry, .count = 1,
				 .number = 1, .now = at, .valid_for = 3600 };
	assert_int_equal(rf_crl_build(&m, &der, &e), RF_OK);
	assert_int_equal(rf_crl_parse(rf_buf_str(&der), rf_ca_cert(w.ca), &crl, &e), RF_OK);
	return crl;
}

static void lists_revoke_and_expire(void **state)
{
	(void)state;
	struct link l;
	const struct rf_tls_info *i = shake(&l, &w.device, NULL, NULL);
	struct rf_trust *before = w.trust;
	struct rf_crl *crl = list_with(w.device.cert, NOW);
	w.trust = trust_of(w.ca, RF_CRL_OPEN, &crl, 1);
	rf_trust_put(before);
	rf_tls_recheck(&l.s); /* the trust set changed under a live connection */
	assert_true(i->verified && i->revoked);
	assert_string_equal(i->stale, "revocation list missing"); /* of the root CA itself */
	assert_int_equal(i->stale_roots, 1);
	rf_trust_put(w.trust);
	w.trust = trust_of(w.ca, RF_CRL_CLOSED, NULL, 0);
	rf_tls_recheck(&l.s);
	assert_true(i->verified && !i->revoked);
	assert_int_equal(i->status, RF_CERT_INVALID);
	assert_string_equal(i->reason, "revocation list missing");
	rf_crl_put(crl);
	link_close(&l);
}

/* The same CA uploaded three times: each root answers for its own lists and its own way to fail. */
static void each_root_answers_for_its_own_lists(void **state)
{
	(void)state;
	struct link l;
	struct rf_err e;
	RF_BUF_AUTO pem = { 0 };
	struct rf_crl *other = list_with(w.stranger.cert, NOW);
	struct rf_trust_root roots[] = {
		root_of(w.ca, "plain", RF_CRL_NONE, NULL, 0, &pem),
		root_of(w.ca, "open", RF_CRL_OPEN, &other, 1, &pem),
		root_of(w.ca, "closed", RF_CRL_CLOSED, NULL, 0, &pem),
	};
	rf_trust_put(w.trust);
	assert_int_equal(rf_trust_new(roots, 3, &w.trust, &e), RF_OK);
	const struct rf_tls_info *i = shake(&l, &w.device, "edge.example", NULL);
	assert_int_equal(i->status, RF_CERT_VALID);
	assert_int_equal(i->peer->roots, 7);
	assert_int_equal(i->roots, 3);       /* the closed one has no list and vouches for nothing */
	assert_int_equal(i->stale_roots, 6); /* the open one lacks the root CA's list, and says so */
	assert_int_equal(rf_tls_unvouched(i, 4), RF_REASON_CRL_STALE);
	assert_int_equal(rf_tls_unvouched(i, 8), RF_REASON_CERT_UNKNOWN_CA);
	link_close(&l);
	struct rf_crl *crl = list_with(w.device.cert, NOW); /* what one list revokes is revoked for every root */
	roots[1] = root_of(w.ca, "open", RF_CRL_OPEN, &crl, 1, &pem);
	rf_trust_put(w.trust);
	assert_int_equal(rf_trust_new(roots, 3, &w.trust, &e), RF_OK);
	i = shake(&l, &w.device, "edge.example", NULL);
	assert_true(i->revoked && i->status == RF_CERT_INVALID);
	link_close(&l);
	rf_crl_put(other);
	rf_crl_put(crl);
}

static void a_known_chain_is_verified_once(void **state)
{
	(void)state;
	struct link l;
	struct rf_tls_stats stats;
	for (int i = 0; i < 3; i++) {
		shake(&l, &w.device, NULL, NULL);
		link_close(&l);
	}
	rf_tls_stats(w.tls, &stats);
	assert_int_equal(stats.chain_misses, 1);
	assert_int_equal(stats.chain_hits, 2);
}

/* Our client half against our server half, both on the loop. */
static int origin(const char *name, bool verify, struct rf_trust *with)
{
	struct rf_stream a, b;
	int fd[2], server = RF_E_AGAIN, client = RF_E_AGAIN;
	w.ask = false;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
	rf_stream_accept(&a, w.loop, fd[0], nothing);
	rf_stream_accept(&b, w.loop, fd[1], nothing);
	rf_tls_accept(w.tls, &a, 0);
	struct rf_tls_client c = { .name = rf_str_z(name), .verify = verify, .trust = with };
	assert_int_equal(rf_tls_connect(w.tls, &b, &c), RF_OK);
	for (int i = 0; i < 20; i++) {
		if (client == RF_E_AGAIN)
			client = rf_stream_handshake(&b);
		rf_loop_turn(w.loop, 0);
		if (server == RF_E_AGAIN)
			server = rf_stream_handshake(&a);
		rf_loop_turn(w.loop, 0);
	}
	if (client != RF_OK)
		assert_true(strlen(rf_tls_error(&b)) > 10);
	rf_stream_close(&a);
	rf_stream_close(&b);
	return client;
}

static void an_origin_is_verified_by_name(void **state)
{
	(void)state;
	RF_BUF_AUTO pem = { 0 };
	struct rf_err e;
	struct rf_trust *t = NULL;
	rf_pem_add(&pem, rf_keypair_leaf(w.server));
	struct rf_trust_root root = { .id = "1", .pem = rf_buf_str(&pem) };
	assert_int_equal(rf_trust_new(&root, 1, &t, &e), RF_OK);
	assert_int_equal(origin("edge.example", true, t), RF_OK);
	assert_int_equal(origin("other.example", true, t), RF_E_CRYPTO);
	assert_int_equal(origin("edge.example", true, NULL), RF_E_CRYPTO);
	assert_int_equal(origin("other.example", false, NULL), RF_OK);
	rf_trust_put(t);
}

static void an_expired_origin_is_refused(void **state)
{
	(void)state;
	RF_BUF_AUTO pem = { 0 };
	struct rf_err e;
	struct rf_trust *t = NULL;
	rf_keypair_put(w.server);
	w.server = self_signed("edge.example", -1);
	rf_pem_add(&pem, rf_keypair_leaf(w.server));
	struct rf_trust_root root = { .id = "1", .pem = rf_buf_str(&pem) };
	assert_int_equal(rf_trust_new(&root, 1, &t, &e), RF_OK);
	assert_int_equal(origin("edge.example", true, t), RF_E_CRYPTO);
	rf_trust_put(t);
}

static void a_key_must_belong_to_its_certificate(void **state)
{
	(void)state;
	struct rf_keypair *k = NULL;
	struct rf_err e;
	assert_int_equal(rf_keypair_from_pem(rf_buf_str(&w.device.cert_pem), rf_buf_str(&w.stranger.key_pem), &k, &e),
			 RF_E_CERT);
	assert_int_equal(rf_keypair_from_pem(rf_buf_str(&w.device.cert_pem), RF_STR("nonsense"), &k, &e), RF_E_CERT);
	assert_null(k);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(lists_revoke_and_expire), TEST(each_root_answers_for_its_own_lists),
		TEST(a_known_chain_is_verified_once), TEST(an_origin_is_verified_by_name),
		TEST(an_expired_origin_is_refused), TEST(a_key_must_belong_to_its_certificate),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
