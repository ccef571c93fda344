/* tls/client: the edge's side of a connection to an origin.
 *
 * Verification is by the origin's name or address against the app's trust set or the system's store; a chain
 * that does not verify ends the handshake with libssl's words for why.
 */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include "base/ip.h"
#include "tls/layer.h"

SSL_CTX *tls_client_ctx(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	if (!ctx)
		return NULL;
	SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
			 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(ctx, 1);
	tls_watch(ctx);
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION))
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}

/* The system's roots, read when an origin first needs them and shared by all workers: reading them takes tens of
 * milliseconds, which nobody shall wait for when the engine starts again. NULL without memory. */
static X509_STORE *system_roots(void)
{
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	static X509_STORE *store;
	pthread_mutex_lock(&mutex);
	if (!store && (store = X509_STORE_new()) && !X509_STORE_set_default_paths(store)) {
		X509_STORE_free(store);
		store = NULL;
	}
	ERR_clear_error(); /* a system without roots verifies nothing */
	pthread_mutex_unlock(&mutex);
	return store;
}

static const char *verify_words(const SSL *ssl)
{
	long result = SSL_get_verify_result(ssl);
	return result == X509_V_OK ? NULL : X509_verify_cert_error_string(result);
}

static int client_handshake(struct rf_stream *s)
{
	struct tls_conn *c = tls_conn_of(s);
	if (c->phase != HANDSHAKE)
		return c->phase == OPEN ? RF_OK : RF_E_CRYPTO;
	int r = SSL_connect(c->ssl);
	if (r == 1) {
		c->phase = OPEN;
		tls_take_over(s);
		return RF_OK;
	}
	if (SSL_get_verify_mode(c->ssl) != SSL_VERIFY_NONE)
		c->error = verify_words(c->ssl);
	int rc = tls_result(s, r);
	if (rc != RF_E_AGAIN)
		c->phase = FAILED;
	return rc;
}

static const struct rf_layer client_layer = { client_handshake, tls_read, tls_write, tls_shutdown, tls_free };

static bool set_name(SSL *ssl, const struct rf_tls_client *c)
{
	char name[256];
	struct rf_ip ip;
	if (c->name.n == 0 || c->name.n >= sizeof name)
		return !c->verify;
	memcpy(name, c->name.p, c->name.n);
	name[c->name.n] = '\0';
	if (rf_ip_parse(c->name, &ip)) /* an address is never sent as server name [RFC 6066 3] */
		return !c->verify || X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name);
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set_tlsext_host_name(ssl, name) && (!c->verify || SSL_set1_host(ssl, name));
}

static bool show(SSL *ssl, const struct rf_keypair *k)
{
	X509 *const *chain;
	size_t n = rf_keypair_chain(k, &chain);
	if (SSL_use_certificate(ssl, rf_keypair_leaf(k)) != 1 || SSL_use_PrivateKey(ssl, rf_keypair_key(k)) != 1)
		return false;
	for (size_t i = 0; i < n; i++)
		if (SSL_add1_chain_cert(ssl, chain[i]) != 1)
			return false;
	return true;
}

int rf_tls_connect(struct rf_tls *t, struct rf_stream *s, const struct rf_tls_client *c)
{
	int rc = tls_attach(t, s, t->client, &client_layer);
	if (rc != RF_OK)
		return rc;
	struct tls_conn *conn = tls_conn_of(s);
	SSL_set_connect_state(conn->ssl);
	conn->direct.client = true;
	SSL_set_verify(conn->ssl, c->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	if (c->trust)
		conn->trust = rf_trust_get(c->trust);
	X509_STORE *roots = c->trust ? rf_trust_store(c->trust) : c->verify ? system_roots() : NULL;
	if (!set_name(conn->ssl, c) || (c->keypair && !show(conn->ssl, c->keypair)) || (c->verify && !roots) ||
	    (roots && !SSL_set1_verify_cert_store(conn->ssl, roots))) {
		conn->error = "the origin's name or certificate settings cannot be used";
		conn->phase = FAILED;
		return RF_E_CRYPTO;
	}
	return RF_OK;
}
