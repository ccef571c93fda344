/* tls/test_links: a server over two CAs of its own, on a real loop, and clients of libssl at socket pairs. For tests only. */
#pragma once
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
#include "pki/ca.h"
#include "pki/pem.h"
#include "tls/layer.h"
#include "tls/test_cert.h"

#define NOW 1790000000

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

static inline uint64_t test_mono(void *ctx) { (void)ctx; return 1; }
static inline int64_t test_wall(void *ctx) { (void)ctx; return w.now_s * (int64_t)RF_NS_S; }

static inline bool host(void *arg, struct rf_stream *s, struct rf_str sni, struct rf_tls_host *ret)
{
	(void)s, (void)arg;
	if (rf_str_eq(sni, RF_STR("nobody.example")))
		return false;
	bool open = rf_str_eq(sni, RF_STR("open.example"));
	*ret = (struct rf_tls_host){ .keypair = { w.server }, .ask_client = w.ask && !open,
				     .refuse_handshake = w.refuse && !open, .early_data = w.early, .any_protocol = w.any_protocol, .roots = 1 };
	return true;
}

static inline const struct rf_trust *trust(void *arg) { (void)arg; return w.trust; }
static inline bool denied(void *arg, const struct rf_tls_peer *peer) { (void)arg; (void)peer; asked++; return w.deny; }
static inline uint64_t denials(void *arg) { (void)arg; return denials_now; }

/* A root of the trust set; *pem is filled once and the caller's to free. */
static inline struct rf_trust_root root_of(struct rf_ca *ca, const char *id, enum rf_crl_mode mode, struct rf_crl *const *crls, size_t n,
				    struct rf_buf *pem)
{
	if (!pem->n)
		rf_ca_chain_pem(ca, pem);
	struct rf_trust_root root = { .pem = rf_buf_str(pem), .crl_mode = mode, .crls = crls, .crl_count = n };
	snprintf(root.id, sizeof root.id, "%s", id);
	return root;
}

static inline struct rf_trust *trust_of(struct rf_ca *ca, enum rf_crl_mode mode, struct rf_crl *const *crls, size_t n)
{
	RF_BUF_AUTO pem = { 0 };
	struct rf_err e;
	struct rf_trust *t = NULL;
	struct rf_trust_root root = root_of(ca, RF_TRUST_OWN, mode, crls, n, &pem);
	assert_int_equal(rf_trust_new(&root, 1, &t, &e), RF_OK);
	return t;
}

static inline struct rf_ca *make_ca(const char *sub)
{
	char path[128];
	struct rf_ca *ca = NULL;
	struct rf_err e = { 0 };
	snprintf(path, sizeof path, "%s/%s", w.dir, sub);
	if (rf_ca_open(&(struct rf_ca_conf){ .dir = path }, NOW, &ca, &e) != RF_OK)
		fail_msg("%s", e.text);
	return ca;
}

static inline int setup(void **state)
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

static inline int teardown(void **state)
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

static inline void nothing(struct rf_stream *s) { (void)s; }

static inline X509 *pem_cert(struct rf_buf *pem, EVP_PKEY **key, struct rf_buf *key_pem)
{
	BIO *bio = BIO_new_mem_buf(pem->p, (int)pem->n);
	X509 *x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	BIO_free(bio);
	bio = BIO_new_mem_buf(key_pem->p, (int)key_pem->n);
	*key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	BIO_free(bio);
	return x;
}

static inline void link_open(struct link *l, struct rf_bundle *who, const char *sni, SSL_SESSION *session, int version)
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

static inline void pump(struct link *l)
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

static inline const struct rf_tls_info *shake(struct link *l, struct rf_bundle *who, const char *sni, SSL_SESSION *session)
{
	link_open(l, who, sni, session, TLS1_3_VERSION);
	pump(l);
	if (l->server_rc != RF_OK)
		fail_msg("%s: %s", rf_code_name(l->server_rc), rf_tls_error(&l->s));
	return rf_tls_info(&l->s);
}

static inline void link_close(struct link *l)
{
	int fd = SSL_get_fd(l->ssl);
	rf_stream_close(&l->s);
	SSL_set_shutdown(l->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(l->ssl);
	SSL_CTX_free(l->ctx);
	close(fd);
	ERR_clear_error();
}
