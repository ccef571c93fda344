/* The server layer against libssl's client over a socket pair, with a clock that the tests set. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include "pki/ca.h"
#include "pki/pem.h"
#include "tls/layer.h"

#define NOW 1790000000
#define DAY 86400

static uint64_t denials_now;
static unsigned asked;

static struct world {
	char dir[64];
	struct rf_ca *ca, *other;
	struct rf_bundle device, stranger;
	struct rf_keypair *server;
	struct rf_trust *trust;
	struct rf_tls *tls;
	struct rf_loop *loop;
	int64_t now_s;
	bool ask, refuse, early, deny, any_protocol;
	int min_version;
} w;

static uint64_t test_mono(void *ctx) { (void)ctx; return 1; }
static int64_t test_wall(void *ctx) { (void)ctx; return w.now_s * (int64_t)RF_NS_S; }

static bool host(void *arg, struct rf_stream *s, struct rf_str sni, struct rf_tls_host *ret)
{
	(void)s, (void)arg;
	if (rf_str_eq(sni, RF_STR("nobody.example")))
		return false;
	bool open = rf_str_eq(sni, RF_STR("open.example"));
	*ret = (struct rf_tls_host){ .keypair = { w.server }, .ask_client = w.ask && !open,
				     .refuse_handshake = w.refuse && !open, .early_data = w.early, .any_protocol = w.any_protocol, .roots = 1 };
	return true;
}

static const struct rf_trust *trust(void *arg) { (void)arg; return w.trust; }
static bool denied(void *arg, const struct rf_tls_peer *peer) { (void)arg; (void)peer; asked++; return w.deny; }
static uint64_t denials(void *arg) { (void)arg; return denials_now; }

/* A self-signed certificate for a server of this name. */
static struct rf_keypair *self_signed(const char *name, long days_left)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	char san[128];
	snprintf(san, sizeof san, "DNS:%s", name);
	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -10L * DAY);
	X509_gmtime_adj(X509_getm_notAfter(x), days_left * DAY);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	X509_set_pubkey(x, key);
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san);
	X509_add_ext(x, ext, -1);
	X509_EXTENSION_free(ext);
	ext = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "CA:TRUE");
	X509_add_ext(x, ext, -1);
	X509_EXTENSION_free(ext);
	X509_sign(x, key, EVP_sha256());
	RF_BUF_AUTO cert = { 0 };
	rf_pem_add(&cert, x);
	BIO *bio = BIO_new(BIO_s_mem());
	PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
	char *p;
	long n = BIO_get_mem_data(bio, &p);
	struct rf_keypair *k = NULL;
	struct rf_err e;
	assert_int_equal(rf_keypair_from_pem(rf_buf_str(&cert), (struct rf_str){ p, (size_t)n }, &k, &e), RF_OK);
	BIO_free(bio);
	X509_free(x);
	EVP_PKEY_free(key);
	return k;
}

/* A root of the trust set; *pem is filled once and the caller's to free. */
static struct rf_trust_root root_of(struct rf_ca *ca, const char *id, enum rf_crl_mode mode, struct rf_crl *const *crls, size_t n,
				    struct rf_buf *pem)
{
	if (!pem->n)
		rf_ca_chain_pem(ca, pem);
	struct rf_trust_root root = { .pem = rf_buf_str(pem), .crl_mode = mode, .crls = crls, .crl_count = n };
	snprintf(root.id, sizeof root.id, "%s", id);
	return root;
}

static struct rf_trust *trust_of(struct rf_ca *ca, enum rf_crl_mode mode, struct rf_crl *const *crls, size_t n)
{
	RF_BUF_AUTO pem = { 0 };
	struct rf_err e;
	struct rf_trust *t = NULL;
	struct rf_trust_root root = root_of(ca, RF_TRUST_OWN, mode, crls, n, &pem);
	assert_int_equal(rf_trust_new(&root, 1, &t, &e), RF_OK);
	return t;
}

static struct rf_ca *make_ca(const char *sub)
{
	char path[128];
	struct rf_ca *ca = NULL;
	struct rf_err e = { 0 };
	snprintf(path, sizeof path, "%s/%s", w.dir, sub);
	if (rf_ca_open(&(struct rf_ca_conf){ .dir = path }, NOW, &ca, &e) != RF_OK)
		fail_msg("%s", e.text);
	return ca;
}

static int setup(void **state)
{
	(void)state;
	struct rf_err e;
	w = (struct world){ .now_s = NOW + 1, .ask = true };
	strcpy(w.dir, "/tmp/rf-tls-XXXXXX");
	assert_non_null(mkdtemp(w.dir));
	w.ca = make_ca("ours");
	w.other = make_ca("other");
	struct rf_issue req = { .days = 10, .cn = RF_STR("camera-1") };
	assert_int_equal(rf_ca_bundle(w.ca, &req, NOW, &w.device, &e), RF_OK);
	assert_int_equal(rf_ca_bundle(w.other, &req, NOW, &w.stranger, &e), RF_OK);
	w.server = self_signed("edge.example", 3650);
	w.trust = trust_of(w.ca, RF_CRL_NONE, NULL, 0);
	w.loop = rf_loop_epoll(&e);
	denials_now = 0;
	struct rf_tls_conf conf = { .host = host, .trust = trust, .denied = denied, .denials = denials, .session_cache = 100, .chain_cache = 4, .session_timeout_s = 3600,
				    .clock = { test_mono, test_wall, NULL } };
	w.tls = rf_tls_new(&conf, &e);
	assert_non_null(w.tls);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	char cmd[128];
	rf_tls_free(w.tls);
	rf_loop_free(w.loop);
	rf_trust_put(w.trust);
	rf_keypair_put(w.server);
	rf_bundle_fini(&w.device);
	rf_bundle_fini(&w.stranger);
	rf_ca_free(w.ca);
	rf_ca_free(w.other);
	snprintf(cmd, sizeof cmd, "rm -rf %s", w.dir);
	return system(cmd);
}

/* --- a client --- */

struct link {
	struct rf_stream s;
	SSL_CTX *ctx;
	SSL *ssl;
	int server_rc, client_rc;
};

static void nothing(struct rf_stream *s) { (void)s; }

static X509 *pem_cert(struct rf_buf *pem, EVP_PKEY **key, struct rf_buf *key_pem)
{
	BIO *bio = BIO_new_mem_buf(pem->p, (int)pem->n);
	X509 *x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	BIO_free(bio);
	bio = BIO_new_mem_buf(key_pem->p, (int)key_pem->n);
	*key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	BIO_free(bio);
	return x;
}

static void link_open(struct link *l, struct rf_bundle *who, const char *sni, SSL_SESSION *session, int version)
{
	int fd[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
	*l = (struct link){ .ctx = SSL_CTX_new(TLS_client_method()), .server_rc = RF_E_AGAIN, .client_rc = 0 };
	SSL_CTX_set_max_proto_version(l->ctx, version);
	if (who) {
		EVP_PKEY *key;
		X509 *x = pem_cert(&who->cert_pem, &key, &who->key_pem);
		SSL_CTX_use_certificate(l->ctx, x);
		SSL_CTX_use_PrivateKey(l->ctx, key);
		X509_free(x);
		EVP_PKEY_free(key);
	}
	l->ssl = SSL_new(l->ctx);
	SSL_set_fd(l->ssl, fd[1]);
	if (sni)
		SSL_set_tlsext_host_name(l->ssl, sni);
	if (session)
		SSL_set_session(l->ssl, session);
	assert_int_equal(rf_stream_accept(&l->s, w.loop, fd[0], nothing), RF_OK);
	assert_int_equal(rf_tls_accept(w.tls, &l->s, w.min_version), RF_OK);
}

static void pump(struct link *l)
{
	char byte;
	for (int i = 0; i < 20; i++) {
		if (l->client_rc != 1)
			l->client_rc = SSL_connect(l->ssl);
		else
			SSL_read(l->ssl, &byte, 1); /* takes session tickets */
		rf_loop_turn(w.loop, 0);
		if (l->server_rc == RF_E_AGAIN)
			l->server_rc = rf_stream_handshake(&l->s);
	}
}

static const struct rf_tls_info *shake(struct link *l, struct rf_bundle *who, const char *sni, SSL_SESSION *session)
{
	link_open(l, who, sni, session, TLS1_3_VERSION);
	pump(l);
	if (l->server_rc != RF_OK)
		fail_msg("%s: %s", rf_code_name(l->server_rc), rf_tls_error(&l->s));
	return rf_tls_info(&l->s);
}

static void link_close(struct link *l)
{
	int fd = SSL_get_fd(l->ssl);
	rf_stream_close(&l->s);
	SSL_set_shutdown(l->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(l->ssl);
	SSL_CTX_free(l->ctx);
	close(fd);
	ERR_clear_error();
}

/* --- the tests --- */

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
		TEST(a_device_proves_itself), TEST(who_is_refused_and_why), TEST(time_passes_over_a_live_connection),
		TEST(an_unchanged_world_is_not_asked_again), TEST(lists_revoke_and_expire), TEST(each_root_answers_for_its_own_lists),
		TEST(a_resumed_session_is_the_same_device),
		TEST(a_lost_link_does_not_lose_the_session), TEST(sessions_are_bounded_and_the_oldest_leaves),
		TEST(old_sessions_leave_as_new_ones_come), TEST(a_session_of_tls12_is_resumed), TEST(a_tls_error_forgets_the_session),
		TEST(an_error_forgets_its_own_session_alone), TEST(connections_leave_libssl),
		TEST(a_smaller_fragment_is_agreed), TEST(a_revoked_device_resumes_into_a_refusal), TEST(a_session_of_an_open_host_proves_nothing),
		TEST(a_known_chain_is_verified_once), TEST(a_host_may_refuse_in_the_handshake),
		TEST(a_raw_port_does_not_care_for_alpn), TEST(an_unknown_host_has_no_certificate), TEST(older_versions),
		TEST(early_data_is_marked_and_single_use), TEST(garbage_fails_the_handshake),
		TEST(an_origin_is_verified_by_name), TEST(an_expired_origin_is_refused), TEST(a_key_must_belong_to_its_certificate),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
