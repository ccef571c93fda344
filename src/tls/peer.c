/* The way of a certificate: its encoding is hashed with what came beside it; found in the cache it is the
 * same peer as before; otherwise the trust set verifies the chain and the facts are taken once.
 *
 * Invariants: an entry is in the map and in the list of use, or in neither. Peers are shared by
 * sessions and connections of this worker only, so their count of references is plain.
 */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <stdlib.h>
#include "base/list.h"
#include "base/map.h"
#include "tls/peer.h"

enum { CHAIN_MAX = 8 /* certificates beside the leaf that we look at */, SUBJECT_ARENA = 65536 };

struct entry {
	struct rf_map_node node;
	struct rf_node use; /* least recently used first */
	uint8_t key[40];    /* SHA-256, generation */
	struct rf_tls_peer *peer;
};

struct rf_peer_cache {
	struct rf_map map;
	struct rf_node use;
	size_t bound;
	EVP_MD *sha256;
	EVP_MD_CTX *hash;
	struct rf_buf der; /* scratch */
	uint64_t hits, misses;
};

struct rf_peer_cache *rf_peer_cache_new(size_t bound)
{
	struct rf_peer_cache *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	rf_list_init(&c->use);
	c->bound = bound ? bound : 1;
	c->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	c->hash = EVP_MD_CTX_new();
	if (c->sha256 && c->hash)
		return c;
	rf_peer_cache_free(c);
	return NULL;
}

static void drop(struct rf_peer_cache *c, struct entry *en)
{
	rf_map_del(&c->map, &en->node);
	rf_list_del(&en->use);
	rf_peer_put(en->peer);
	free(en);
}

void rf_peer_cache_free(struct rf_peer_cache *c)
{
	if (!c)
		return;
	RF_LIST_EACH(it, &c->use)
		drop(c, RF_CONTAINER(it, struct entry, use));
	rf_map_fini(&c->map);
	rf_buf_fini(&c->der);
	EVP_MD_CTX_free(c->hash);
	EVP_MD_free(c->sha256);
	free(c);
}

struct rf_tls_peer *rf_peer_get(struct rf_tls_peer *p)
{
	if (p)
		p->refs++;
	return p;
}

void rf_peer_put(struct rf_tls_peer *p)
{
	if (!p || --p->refs)
		return;
	rf_cert_put(p->cert);
	for (size_t i = 0; i < p->chain_count; i++)
		rf_cert_put(p->chain[i]);
	free(p->chain);
	free(p->crl_until);
	free((char *)p->subject.p);
	free(p);
}

static int count_of(STACK_OF(X509) *others)
{
	int n = others ? sk_X509_num(others) : 0;
	return n < 0 ? 0 : n > CHAIN_MAX ? CHAIN_MAX : n;
}

/* Append the encoding of x with its length, so that two lists never hash alike. */
/* libssl's chain begins with the leaf, a renewed peer's does not: where the certificates above the leaf begin. */
static int above(X509 *leaf, STACK_OF(X509) *others)
{
	return count_of(others) > 0 && X509_cmp(leaf, sk_X509_value(others, 0)) == 0;
}

static bool add_der(struct rf_buf *b, X509 *x)
{
	int n = i2d_X509(x, NULL);
	unsigned char *to = n > 0 ? (unsigned char *)rf_buf_room(b, (size_t)n + 4) : NULL;
	if (!to)
		return false;
	memcpy(to, &n, 4);
	to += 4;
	i2d_X509(x, &to);
	b->n += (size_t)n + 4;
	return true;
}

static int key_of(struct rf_peer_cache *c, uint64_t generation, X509 *leaf, STACK_OF(X509) *others, uint8_t key[40],
		  struct rf_err *e)
{
	unsigned n = 0;
	rf_buf_clear(&c->der);
	bool good = add_der(&c->der, leaf);
	for (int i = above(leaf, others); good && i < count_of(others); i++)
		good = add_der(&c->der, sk_X509_value(others, i));
	if (good)
		good = EVP_DigestInit_ex2(c->hash, c->sha256, NULL) && EVP_DigestUpdate(c->hash, c->der.p, c->der.n) &&
		       EVP_DigestFinal_ex(c->hash, key, &n);
	if (!good)
		return rf_fail(e, RF_E_NOMEM, "no memory to look at a client certificate");
	memcpy(key + 32, &generation, 8);
	return RF_OK;
}

static int take_subject(struct rf_tls_peer *p, struct rf_err *e)
{
	struct rf_arena a;
	rf_arena_init(&a, SUBJECT_ARENA);
	struct rf_str s = rf_cert_subject(p->cert, RF_DN_RFC2253, &a);
	char *kept = malloc(s.n + 1);
	if (kept && s.n)
		memcpy(kept, s.p, s.n);
	p->subject = (struct rf_str){ kept, kept ? s.n : 0 };
	rf_arena_fini(&a);
	return kept ? RF_OK : rf_fail(e, RF_E_NOMEM, "no memory for a client certificate");
}

static int take_facts(struct rf_tls_peer *p, X509 *leaf, STACK_OF(X509) *others, struct rf_err *e)
{
	int from = above(leaf, others), n = count_of(others);
	unsigned digest_len = 0;
	uint8_t digest[EVP_MAX_MD_SIZE];
	int rc = rf_cert_from_x509(leaf, from < n ? sk_X509_value(others, from) : NULL, 0, &p->cert, e);
	if (rc != RF_OK)
		return rc;
	if ((rc = take_subject(p, e)) != RF_OK)
		return rc;
	if (!X509_pubkey_digest(leaf, EVP_sha256(), digest, &digest_len))
		return rf_fail(e, RF_E_CERT, "the public key of the certificate cannot be read");
	memcpy(p->pin, digest, sizeof p->pin);
	rf_credkey_ski(rf_str_z(p->cert->ski), &p->ski);
	rf_credkey_fingerprint(rf_str_z(p->cert->sha256), &p->fingerprint);
	rf_credkey_serial(rf_str_z(p->cert->issuer_ski), rf_str_z(p->cert->serial), &p->serial);
	p->chain = calloc((size_t)n + 1, sizeof *p->chain);
	if (!p->chain)
		return rf_fail(e, RF_E_NOMEM, "no memory for a certificate chain");
	for (int i = from; i < n; i++, p->chain_count++) {
		rc = rf_cert_from_x509(sk_X509_value(others, i), NULL, 0, &p->chain[p->chain_count], e);
		if (rc != RF_OK)
			return rc;
	}
	return RF_OK;
}

/* What the trust set found out; kept small, for there are many peers and few roots with lists. */
static int take_verdict(struct rf_tls_peer *p, const struct rf_trust *trust, const struct rf_trust_verdict *v, struct rf_err *e)
{
	size_t n = 0;
	p->crl_until = v->crl_expected ? calloc((size_t)__builtin_popcountll(v->crl_expected), sizeof *p->crl_until) : NULL;
	if (v->crl_expected && !p->crl_until)
		return rf_fail(e, RF_E_NOMEM, "no memory for a client certificate");
	for (uint64_t left = v->crl_expected; left; left &= left - 1)
		p->crl_until[n++] = v->crl_until[__builtin_ctzll(left)];
	p->crl_expected = v->crl_expected;
	p->crl_closed = v->crl_closed;
	p->generation = rf_trust_generation(trust);
	p->chain_error = v->error;
	p->root = v->root;
	p->roots = v->roots;
	p->valid_from = v->valid_from;
	p->valid_until = v->valid_until;
	p->revoked = v->revoked;
	if (v->root >= 0)
		memcpy(p->root_id, rf_trust_id(trust, v->root), sizeof p->root_id);
	return RF_OK;
}

static int make(const struct rf_trust *trust, X509 *leaf, STACK_OF(X509) *others, struct rf_tls_peer **ret,
		struct rf_err *e)
{
	struct rf_trust_verdict v;
	struct rf_tls_peer *p = calloc(1, sizeof *p);
	if (!p)
		return rf_fail(e, RF_E_NOMEM, "no memory for a client certificate");
	p->refs = 1;
	int rc = take_facts(p, leaf, others, e);
	if (rc == RF_OK && rf_trust_verify(trust, leaf, others, &v) != RF_OK)
		rc = rf_fail(e, RF_E_NOMEM, "no memory to verify a client certificate");
	if (rc == RF_OK)
		rc = take_verdict(p, trust, &v, e);
	if (rc != RF_OK) {
		rf_peer_put(p);
		return rc;
	}
	*ret = p;
	return RF_OK;
}

static void remember(struct rf_peer_cache *c, const uint8_t key[40], struct rf_tls_peer *p)
{
	struct entry *en = calloc(1, sizeof *en);
	if (!en)
		return; /* a cache may forget */
	if (c->map.count >= c->bound)
		drop(c, RF_CONTAINER(rf_list_first(&c->use), struct entry, use));
	memcpy(en->key, key, sizeof en->key);
	en->peer = rf_peer_get(p);
	rf_map_add(&c->map, &en->node, (struct rf_str){ (const char *)en->key, sizeof en->key });
	rf_list_push(&c->use, &en->use);
}

int rf_peer_verify(struct rf_peer_cache *c, const struct rf_trust *trust, X509 *leaf, STACK_OF(X509) *others,
		   struct rf_tls_peer **ret, struct rf_err *e)
{
	uint8_t key[40];
	int rc = key_of(c, rf_trust_generation(trust), leaf, others, key, e);
	if (rc != RF_OK)
		return rc;
	struct rf_map_node *there = rf_map_find(&c->map, (struct rf_str){ (const char *)key, sizeof key });
	if (there) {
		struct entry *en = RF_CONTAINER(there, struct entry, node);
		rf_list_del(&en->use);
		rf_list_push(&c->use, &en->use);
		c->hits++;
		rf_count(RF_C_CHAIN_HIT);
		*ret = rf_peer_get(en->peer);
		return RF_OK;
	}
	c->misses++;
	rf_count(RF_C_CHAIN_MISS);
	rc = make(trust, leaf, others, ret, e);
	ERR_clear_error(); /* else SSL_get_error takes a bad signature here for the end of a connection */
	if (rc == RF_OK)
		remember(c, key, *ret);
	return rc;
}

static X509 *x509_of(const struct rf_cert *cert)
{
	const unsigned char *p = (const unsigned char *)cert->der.p;
	return d2i_X509(NULL, &p, (long)cert->der.n);
}

int rf_peer_renew(struct rf_peer_cache *c, const struct rf_trust *trust, struct rf_tls_peer **peer, struct rf_err *e)
{
	struct rf_tls_peer *old = *peer, *new = NULL;
	if (old->generation == rf_trust_generation(trust))
		return RF_OK;
	X509 *leaf = x509_of(old->cert);
	STACK_OF(X509) *others = sk_X509_new_null();
	bool good = leaf && others;
	for (size_t i = 0; good && i < old->chain_count; i++) {
		X509 *x = x509_of(old->chain[i]);
		good = x && sk_X509_push(others, x);
		if (!good)
			X509_free(x);
	}
	int rc = good ? rf_peer_verify(c, trust, leaf, others, &new, e)
		      : rf_fail(e, RF_E_NOMEM, "no memory to verify a client certificate again");
	X509_free(leaf);
	sk_X509_pop_free(others, X509_free);
	if (rc != RF_OK)
		return rc;
	rf_peer_put(old);
	*peer = new;
	return RF_OK;
}

static enum rf_reason reason_of(int error)
{
	switch (error) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return RF_REASON_CERT_EXPIRED;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return RF_REASON_CERT_NOT_YET;
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		return RF_REASON_CERT_UNKNOWN_CA;
	default:
		return RF_REASON_CERT_INVALID;
	}
}

static void refuse(struct rf_tls_info *info, enum rf_reason why, const char *words)
{
	info->why = why;
	info->reason = words;
}

/* Each root answers for its own lists: a closed one whose lists are stale vouches for nothing. */
static void judge_lists(const struct rf_tls_peer *p, int64_t now_s, struct rf_tls_info *info)
{
	const int64_t *until = p->crl_until;
	info->roots = p->roots;
	info->stale = "";
	info->stale_roots = 0;
	for (uint64_t left = p->crl_expected; left; left &= left - 1, until++) {
		uint64_t bit = left & -left;
		if (*until >= 0 && now_s <= *until)
			continue;
		info->stale_roots |= bit;
		info->stale = *until < 0 ? "revocation list missing" : "revocation list expired";
		if (p->crl_closed & bit)
			info->roots &= ~bit;
	}
}

void rf_peer_judge(const struct rf_tls_peer *p, int64_t now_s, bool denied, struct rf_tls_info *info)
{
	int error = p->chain_error;
	if (error == X509_V_OK && now_s < p->valid_from)
		error = X509_V_ERR_CERT_NOT_YET_VALID;
	if (error == X509_V_OK && now_s > p->valid_until)
		error = X509_V_ERR_CERT_HAS_EXPIRED;
	info->verified = error == X509_V_OK;
	info->revoked = denied || p->revoked;
	info->peer = p;
	judge_lists(p, now_s, info);
	info->reason = "";
	if (error != X509_V_OK)
		refuse(info, reason_of(error), X509_verify_cert_error_string(error));
	else if (info->revoked)
		refuse(info, RF_REASON_CERT_REVOKED, "certificate revoked");
	else if (!info->roots && info->stale_roots)
		refuse(info, RF_REASON_CRL_STALE, info->stale);
	info->status = *info->reason ? RF_CERT_INVALID : RF_CERT_VALID;
}

void rf_peer_cache_stats(const struct rf_peer_cache *c, uint64_t *ret_hits, uint64_t *ret_misses)
{
	*ret_hits = c->hits;
	*ret_misses = c->misses;
}
