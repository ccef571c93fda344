/* tls/host: contexts that show a host's certificates, made when first asked for and kept by use.
 *
 * libssl copies the certificates of a context into each connection; a context a host makes that copy a
 * few counted references. The key is the pair of keypairs: they are immutable, and the context holds
 * references, so a pair that is in the map is never freed under it.
 */
#include <stdlib.h>
#include "tls/layer.h"
#include "tls/libctx.h"

enum { HOSTS_MAX = 4096 }; /* contexts kept a worker; the least recently used leaves */

struct host_ctx {
	struct rf_map_node node;
	struct rf_node use;
	struct rf_keypair *pair[2];
	SSL_CTX *ctx;
};

static bool show(SSL_CTX *ctx, const struct rf_keypair *k)
{
	X509 *const *chain;
	size_t n = rf_keypair_chain(k, &chain);
	if (SSL_CTX_use_certificate(ctx, rf_keypair_leaf(k)) != 1 ||
	    SSL_CTX_use_PrivateKey(ctx, rf_keypair_key(k)) != 1 || SSL_CTX_clear_chain_certs(ctx) != 1)
		return false;
	for (size_t i = 0; i < n; i++)
		if (SSL_CTX_add1_chain_cert(ctx, chain[i]) != 1)
			return false;
	return true;
}

static void host_free(struct rf_tls *t, struct host_ctx *h)
{
	if (rf_node_linked(&h->use)) {
		rf_map_del(&t->hosts, &h->node);
		rf_list_del(&h->use);
	}
	SSL_CTX_free(h->ctx);
	for (int i = 0; i < 2; i++)
		rf_keypair_put(h->pair[i]);
	free(h);
}

static struct host_ctx *host_new(struct rf_tls *t, const struct rf_keypair *const pair[2])
{
	struct host_ctx *h = calloc(1, sizeof *h);
	bool good = h && (h->ctx = SSL_CTX_new_ex(rf_tls_libctx(), NULL, TLS_server_method())) && tls_server_settings(t, h->ctx) == RF_OK;
	for (int i = 0; good && i < 2; i++)
		if (pair[i]) {
			h->pair[i] = rf_keypair_get(pair[i]);
			good = show(h->ctx, pair[i]);
		}
	if (good)
		return h;
	if (h)
		host_free(t, h);
	return NULL;
}

SSL_CTX *tls_host_ctx(struct rf_tls *t, const struct rf_keypair *const pair[2])
{
	struct rf_str key = { (const char *)pair, 2 * sizeof *pair };
	struct rf_map_node *there = rf_map_find(&t->hosts, key);
	struct host_ctx *h = there ? RF_CONTAINER(there, struct host_ctx, node) : host_new(t, pair);
	if (!h)
		return NULL;
	if (there)
		rf_list_del(&h->use);
	else if (t->hosts.count >= HOSTS_MAX)
		host_free(t, RF_CONTAINER(rf_list_first(&t->hosts_used), struct host_ctx, use));
	if (!there)
		rf_map_add(&t->hosts, &h->node, (struct rf_str){ (const char *)h->pair, sizeof h->pair });
	rf_list_push(&t->hosts_used, &h->use);
	return h->ctx;
}

void tls_hosts_fini(struct rf_tls *t)
{
	RF_LIST_EACH(it, &t->hosts_used)
		host_free(t, RF_CONTAINER(it, struct host_ctx, use));
	rf_map_fini(&t->hosts);
}
